"""The command `dsw-emulator standalone`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from itertools import takewhile
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from airflow_provider_dsw.emulator.cli import __main__ as cli
from airflow_provider_dsw.emulator.cli.loaded_dags import LoadedDags
from airflow_provider_dsw.emulator.cli.scenario import ScenarioEmulator
from airflow_provider_dsw.emulator.cli.standalone import StandaloneAirflow, example_dags
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


def copy_of_the_examples(folder: Path) -> list[Path]:
    return [Path(shutil.copy(dag_file, folder)) for dag_file in example_dags()[0]]


BROKEN = """
from airflow.sdk import dag
from beside import tags


@dag(tags=tags)
def mine(): pass


mine(1)
"""


@pytest.mark.slow
def test_one_sees_waits_links_and_assets_until_ctrl_c(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    port = free_port()
    folder = tmp_path_factory.mktemp("dags")
    examples, mine = copy_of_the_examples(folder), folder / "mine.py"
    mine.write_text(BROKEN)
    (folder / "beside.py").write_text("tags = ['dsw']")
    # Home, and where all temporary files lie: what is left behind is seen.
    env = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "own")}
    with subprocess.Popen(
        [*COMMAND, "--ui-port", str(port), "--speed", "10", *map(str, [*examples, mine, mine])],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        watchdog = threading.Timer(900, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            introduction = [line.strip() for line in takewhile(lambda line: "Ctrl-C stops" not in line, process.stdout)]
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would hold it up
            assert f"Airflow:      http://{HOST}:{port}  (no password)" in introduction
            assert "dsw_wait_for_running   Wait until an instance is running." in introduction
            assert next(line for line in introduction if "on_new" in line).endswith("pushed. It runs by itself.")
            assert next(line for line in introduction if "mine.py" in line).startswith(f"{mine}: TypeError: ")
            airflow = Client(f"http://{HOST}:{port}")
            assert airflow.get("/dags")["total_entries"] == len(examples)
            mine.write_text(BROKEN.replace("mine(1)", "mine()"))  # an edit is loaded

            task = (
                airflow.trigger("dsw_wait_for_running", instance_id="dsw-stopped") + "/taskInstances/wait_for_running"
            )
            wait_until(lambda: airflow.get(task)["state"] == "deferred")
            assert airflow.get(f"{task}/links")["extra_links"]["JupyterLab"]

            wait_until(lambda: airflow.get("/dags")["total_entries"] == len([*examples, mine]))
            assert airflow.get("/importErrors")["import_errors"] == []

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
    assert mine.exists()
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


def test_an_example_that_needs_what_is_not_installed_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    everything, nothing = example_dags()
    assert StandaloneAirflow(ScenarioEmulator(), None, conn_ids=[], port=1).dag_files == everything

    def look_up(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", look_up)
    loaded, left_out = example_dags()

    assert nothing == []
    assert set(everything) - set(loaded) == set(left_out)
    assert [dag_file.stem for dag_file in left_out] == ["dsw_ssh"]
    assert "  dsw_ssh.py needs: pip install apache-airflow-providers-ssh" in list(airflow_of().lines([], left_out))


def test_an_example_that_is_named_by_hand_is_told_what_it_needs() -> None:
    error = "Traceback\n  File …\nModuleNotFoundError: No module named 'airflow.providers.ssh'\n"

    lines = list(airflow_of(("dsw_ssh.py", error), ("own.py", error)).lines([Path("dsw_ssh.py"), Path("own.py")], []))

    why = "ModuleNotFoundError: No module named 'airflow.providers.ssh'"
    assert f"  dsw_ssh.py: {why}. It needs: pip install apache-airflow-providers-ssh" in lines
    assert f"  own.py: {why}" in lines


def airflow_of(*errors: tuple[str, str], **dags: str) -> LoadedDags:
    """An Airflow's DAGs and import errors, as its REST API gives them."""
    answers = {
        "dags": {
            "dags": [
                {"dag_id": dag_id, "relative_fileloc": name, "description": None, "timetable_summary": None}
                for dag_id, name in dags.items()
            ]
        },
        "importErrors": {"import_errors": [{"filename": name, "stack_trace": trace} for name, trace in errors]},
    }
    return LoadedDags(lambda path: answers[path.removeprefix("/api/v2/").partition("?")[0]])


def test_dags_are_named_by_their_ids_and_files_without_one_are_told() -> None:
    found = airflow_of(
        ("broken.py", "Traceback …\n  File …\n    a = b\nTypeError: no such argument:\na=1\n"), my_dag="other.py"
    )
    files = [Path("here/broken.py"), Path("here/other.py")]

    assert found.has_all(files)
    assert list(found.lines(files, [])) == [
        "DAGs, each with a Trigger button on its page:",
        "  my_dag",
        "",
        "Not loaded:",
        "  here/broken.py: TypeError: no such argument: a=1",
    ]

    empty = Path("empty.py")
    assert not found.has_all([*files, empty])
    assert list(found.lines([empty], []))[-1].startswith(
        "  empty.py: no DAG in it. Is the DAG created at the top level"
    )
