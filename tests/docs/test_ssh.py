"""The example that runs a command on an instance, against a real SSH server on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.docs.conftest import DagRunner, RunDag
from tests.docs.test_examples import EXAMPLES
from tests.support import sshd
from tests.support.processes import HOST
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sshd.PROGRAM is None, reason=sshd.MISSING)]


@pytest.fixture
def server(tmp_path: Path, dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """An SSH server, which is where every instance says that it can be reached a while after it runs."""
    with sshd.running(tmp_path) as running:
        monkeypatch.setenv("AIRFLOW_CONN_DSW_SSH", json.dumps(running.connection))
        dsw_default.ssh_endpoint = f"{HOST}:{running.port}"
        dsw_default.ssh_seconds = 0.5
        dsw_default.start_timeline = ["Creating", "Running"]
        dsw_default.snapshot_timeline = ["Pushing", "Saved"]
        dsw_default.delete_timeline = ["Deleting", None]
        yield running


def asked(emulator: DswEmulator) -> list[str | None]:
    return [request.action for request in emulator.requests if request.method != "GET"]


def left(emulator: DswEmulator) -> list[str]:
    """The instances that are still there. An image outlives its instance."""
    return [name for name, status in emulator.statuses().items() if status and "/" not in name]


def test_a_command_runs_on_the_instance_before_it_is_saved_and_deleted(
    run_dag: RunDag, server: Sshd, dsw_default: DswEmulator
) -> None:
    returned = run_dag(EXAMPLES / "dsw_ssh.py", command="echo $SSH_CONNECTION")

    host, _, to, port = base64.b64decode(returned["work"]).decode().split()
    assert (host, to, port) == (HOST, HOST, str(server.port))
    assert returned["address"] == {"host": HOST}
    assert asked(dsw_default) == [
        "CreateInstance",
        "CreateInstanceShutdownTimer",
        "CreateInstanceSnapshot",
        "DeleteInstance",
    ]
    assert left(dsw_default) == []


def test_an_instance_whose_command_fails_is_not_saved_and_is_deleted(
    dag_runner: DagRunner, server: Sshd, dsw_default: DswEmulator
) -> None:
    dag_run = dag_runner(EXAMPLES / "dsw_ssh.py", command="exit 3")

    assert {ti.task_id: ti.state for ti in dag_run.get_task_instances()} == {
        **dict.fromkeys(("create", "wait_for_ssh", "address", "delete"), "success"),
        "work": "failed",
        "snapshot": "upstream_failed",
    }
    assert asked(dsw_default) == ["CreateInstance", "CreateInstanceShutdownTimer", "DeleteInstance"]
    assert left(dsw_default) == []
