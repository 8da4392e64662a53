"""The command `dsw-emulator standalone`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from airflow_provider_dsw.emulator.cli import __main__ as cli
from airflow_provider_dsw.emulator.cli.standalone import example_dags
from tests.docs.readme import block
from tests.support.processes import HOST, free_port, left_after, sweep
from tests.support.until import LIMIT, wait_until

COMMAND = [
    *(sys.executable, "-m", "airflow_provider_dsw.emulator.cli"),
    *shlex.split(block("bash", "dsw-emulator standalone"))[1:],
]


class Client:
    """Of Airflow's REST API."""

    def __init__(self, url: str) -> None:
        # Longer than the API itself waits for the lock of its database.
        self._client = httpx.Client(base_url=f"{url}/api/v2", trust_env=False, timeout=150)
        token = self._client.get(f"{url}/auth/token").raise_for_status().json()["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()

    def trigger(self, dag_id: str, **conf: Any) -> str:
        body = {"dag_run_id": "by-hand", "conf": conf, "logical_date": None}
        self._client.post(f"/dags/{dag_id}/dagRuns", json=body).raise_for_status()
        return f"/dags/{dag_id}/dagRuns/by-hand"


def encrypted_columns(database: Path) -> set[tuple[int, int]]:
    """Whether the connections' passwords and extras are encrypted."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return set(connection.execute("SELECT is_encrypted, is_extra_encrypted FROM connection"))


@pytest.mark.slow
def test_one_sees_waits_links_and_assets_until_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    # Home, and where all temporary files lie: what is left behind is seen.
    env = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "own")}
    with subprocess.Popen(
        [*COMMAND, "--ui-port", str(port), "--speed", "10"], env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        watchdog = threading.Timer(900, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            assert any(f"http://{HOST}:{port}" in line for line in process.stdout)
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would hold it up
            airflow = Client(f"http://{HOST}:{port}")
            wait_until(lambda: airflow.get("/dags")["total_entries"] == len(example_dags()))
            assert airflow.get("/importErrors")["import_errors"] == []

            task = (
                airflow.trigger("dsw_wait_for_running", instance_id="dsw-stopped") + "/taskInstances/wait_for_running"
            )
            wait_until(lambda: airflow.get(task)["state"] == "deferred")
            assert airflow.get(f"{task}/links")["extra_links"]["JupyterLab"]

            # What would show a secret is stored by one key that all of Airflow's processes have.
            assert encrypted_columns(next(tmp_path.glob("*/airflow.db"))) == {(1, 1)}

            watched = "/dags/dsw_on_new_snapshot/dagRuns"
            wait_until(lambda: "success" in [found["state"] for found in airflow.get(watched)["dag_runs"]])

            started = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT) == 128 + signal.SIGINT
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            left = [path.name for path in tmp_path.iterdir()]
            sweep(tmp_path)
    assert left == []
    assert left_after(LIMIT, started) == []


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert cli.main(["standalone", "--ui-port", str(port)]) == 1

    assert f"cannot listen on {HOST}:{port}: Address already in use; choose another with --ui-port" in (
        capsys.readouterr().err
    )


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["standalone", str(tmp_path / "nothing.py")]) == 1
    assert "nothing.py: no such file" in capsys.readouterr().err


def test_two_files_of_one_name_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One would replace the other in the folder that Airflow loads."""
    paths = [tmp_path / folder / "my_dag.py" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.touch()

    with socket.socket() as taken:  # so that Airflow does not start, if nobody looks at the names
        taken.bind((HOST, 0))
        taken.listen()
        assert cli.main(["standalone", *map(str, paths), "--ui-port", str(taken.getsockname()[1])]) == 1

    assert f"{paths[0]} and {paths[1]} have the same name" in capsys.readouterr().err


def test_an_example_that_needs_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = {dag_file.stem for dag_file in example_dags()}

    def look_up(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", look_up)

    assert everything - {dag_file.stem for dag_file in example_dags()} == {"dsw_ssh"}
