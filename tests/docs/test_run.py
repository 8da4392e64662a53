"""The command `dsw-emulator run`."""

from __future__ import annotations

import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from pytest_mock import MockerFixture

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.emulator.cli import __main__ as cli
from airflow_provider_dsw.emulator.cli import airflow_home, in_airflow
from airflow_provider_dsw.emulator.cli.run import DagRun, _Events
from airflow_provider_dsw.emulator.cli.scenario import ScenarioEmulator
from airflow_provider_dsw.emulator.record import Request
from tests.support.processes import left_after

COMMAND = [sys.executable, "-m", "airflow_provider_dsw.emulator.cli", "run"]
DAG = """
from airflow.sdk import DAG, task
from beside import INSTANCE_ID
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

with DAG("one", schedule=None):
    @task
    def use(instance):
        print("in the log of Airflow")
        return [instance["Status"]]

    use(DswInstanceSensor(task_id="wait", instance_id=INSTANCE_ID, poke_interval=0.2).output)
"""
WATCHED = """
from airflow.sdk import DAG, Asset, AssetWatcher
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger

trigger = DswInstanceEventTrigger(instance_id="dsw-abc", target_status="Running")
watched = Asset("watched", watchers=[AssetWatcher(name="running", trigger=trigger)])
with DAG("one", schedule=Asset("other") | watched):
    pass
"""
PATIENCE = 600  # seconds: only a fault takes until then, however busy the machine is
TWO_DAGS = "from airflow.sdk import DAG\na = DAG('a')\nb = DAG('b')"


@pytest.fixture
def dag_file(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text('INSTANCE_ID = "dsw-abc"')
    (tmp_path / "my_dag.py").write_text(DAG)
    return tmp_path / "my_dag.py"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return environment_in(tmp_path)


def environment_in(directory: Path) -> dict[str, str]:
    """One in which what is left behind is seen, and what leads astray is ignored."""
    (directory / "tmp").mkdir()
    (directory / "home").mkdir()
    return {
        **os.environ,
        "TMPDIR": str(directory / "tmp"),
        "HOME": str(directory / "home"),
        "AIRFLOW_HOME": str(directory / "home" / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": "/no/such/folder",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////no/such/folder/airflow.db",
        "AIRFLOW_CONN_DSW_DEFAULT": "dsw://elsewhere.invalid",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "not-this",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }


def run(dag_file: Path, *options: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, str(dag_file), *options], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )


def left_behind(tmp_path: Path) -> list[str]:
    return [str(path) for name in ("tmp", "home") for path in (tmp_path / name).iterdir()]


@pytest.mark.slow
def test_it_shows_statuses_requests_tasks_and_values(
    dag_file: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    ended = run(dag_file, "--instance", "dsw-abc=Starting:2,Running", environment=environment)

    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [line[10:] if line[2:3] == ":" else line for line in ended.stdout.splitlines()]
    expected = [
        "task wait: running",
        "GetInstance  dsw-abc  200  Starting",
        "dsw-abc: Starting -> Running",
        "GetInstance  dsw-abc  200  Running",
        "task wait: success",
        "task use: running",
        "task use: success",
    ]
    shown = [line for line in lines if line in expected]
    assert sorted(shown) == sorted(expected)
    assert shown.index(expected[0]) < shown.index(expected[1])  # a task begins before its first request
    assert shown.index(expected[1]) < shown.index(expected[2]) < shown.index(expected[4])
    assert 'use: success\n    ["Running"]\n' in ended.stdout
    assert "\n    Status: Running\n" in ended.stdout
    assert "ReasonCode:" not in ended.stdout  # empty, as is
    assert "\033" not in ended.stdout  # no terminal
    assert lines[-1].startswith("The DAG run is over: success. Requests: ")
    assert "in the log of Airflow" not in ended.stdout
    assert left_behind(tmp_path) == []
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.slow
def test_a_deferral_is_shown_to_hold_no_worker(dag_file: Path, environment: dict[str, str]) -> None:
    dag_file.write_text(DAG.replace("poke_interval", "deferrable=True, poke_interval"))

    ended = run(dag_file, "--instance", "dsw-abc=Starting:2,Running", environment=environment)

    lines = [line[10:] for line in ended.stdout.splitlines() if "task wait: " in line]
    assert lines == [
        f"task wait: {told}" for told in ("running", "deferred, no worker is held", "running again", "success")
    ]


@pytest.mark.slow
def test_what_the_provider_warns_of_is_shown_with_its_task(dag_file: Path, environment: dict[str, str]) -> None:
    dag_file.write_text(DAG.replace("poke_interval", "until=\"Statsu || Status == 'Running'\", poke_interval"))

    ended = run(dag_file, "--instance", "dsw-abc=Starting:2,Running", environment=environment)

    warnings = [line for line in ended.stdout.splitlines() if line.startswith("          warning: ")]
    assert len(warnings) == 1
    assert "GetInstance documents no field 'Statsu'" in warnings[0]


def test_a_wait_in_which_nothing_changes_is_told_once_and_when_it_is_ended(
    tmp_path: Path, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    mocker.patch("airflow_provider_dsw.emulator.cli.run.QUIET", 0.0)
    events = tmp_path / "events"
    events.write_text('{"event": "task", "task": "wait", "state": "deferred"}\n')
    process = mocker.Mock(**{"poll.side_effect": [None, None, None, 0]})

    emulator = ScenarioEmulator([("dsw-abc", [("Stopped", None)])])
    with emulator:
        dag_run = DagRun(emulator, Path("my_dag.py"))
        dag_run._events = _Events(events, dag_run._show_event)
        dag_run._show_request(Request("GetInstance", "GET", "/", {}, {}, "", "dsw-abc", "id", 200))
        dag_run._follow(process, [])

    told = "Nothing has changed for 0 seconds. Task wait is deferred; dsw-abc is Stopped. Ctrl-C ends this."
    assert capsys.readouterr().out.count(told) == 1


@pytest.mark.slow
def test_a_failed_run_is_told_and_has_another_exit_status(
    dag_file: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    ended = run(dag_file, "--tls", "--instance", "dsw-abc=Starting:1,Failed", environment=environment)

    assert ended.returncode == 1
    assert "task wait: failed\n          DswWaitFailedError: DSW instance dsw-abc is Failed" in ended.stdout
    assert "\nwait: failed\nuse: upstream_failed\n" in ended.stdout
    assert "The DAG run is over: failed." in ended.stdout
    assert left_behind(tmp_path) == []


@pytest.mark.slow
def test_an_instance_that_is_not_served_is_named(dag_file: Path, environment: dict[str, str]) -> None:
    ended = run(dag_file, "--verbose", environment=environment)

    assert ended.returncode == 1
    assert "The emulator has no instance dsw-abc. Known names: dsw-running, " in ended.stdout
    assert "To add it: --instance dsw-abc=" in ended.stdout
    assert "DswWaitFailedError" in ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_connection_that_is_not_there_is_named(dag_file: Path, environment: dict[str, str]) -> None:
    dag_file.write_text(DAG.replace('task_id="wait"', 'task_id="wait", dsw_conn_id="dsw_other"'))

    ended = run(dag_file, environment=environment)

    assert ended.returncode == 1
    assert "Add: --conn-id dsw_default --conn-id dsw_other\n" in ended.stdout


# The examples

EXAMPLES = ("dsw_wait_for_running", "dsw_pipeline", "dsw_wait_for_snapshot", "dsw_wait_for_many")
# Five seconds after each other, in a minute: on a machine that is busy there are fewer.
MOST_POLLS = 12


@pytest.fixture(scope="module")
def examples(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Those that are to be run, side by side: they mostly wait."""
    chosen = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    processes = {
        name: subprocess.Popen(
            [*COMMAND, str(Path(__file__).parents[2] / "example_dags" / f"{name}.py")],
            env=environment_in(tmp_path_factory.mktemp(name)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in EXAMPLES
        if name in chosen
    }
    yield processes
    for process in processes.values():
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_runs_without_options_in_less_than_a_minute(
    name: str, examples: dict[str, subprocess.Popen[str]]
) -> None:
    output, _ = examples[name].communicate(timeout=PATIENCE)

    assert examples[name].returncode == 0, output
    assert "use: success" in output
    (requests,) = re.findall(r"Requests: (.*)\.$", output, re.MULTILINE)
    polls = max(int(number) for number in re.findall(r"(\d+) Get", requests))
    assert polls <= MOST_POLLS, output


# What is wrong with the file


@pytest.mark.parametrize(
    ("name", "told"),
    [("nothing.py", "no such file"), ("a_folder", "not a Python file"), ("a.txt", "not a Python file")],
)
def test_a_file_that_can_not_be_run_is_told(
    name: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_folder").mkdir()
    (tmp_path / "a.txt").touch()

    assert cli.main(["run", str(tmp_path / name)]) == 1
    assert capsys.readouterr().err == f"dsw-emulator: {tmp_path / name}: {told}\n"


@pytest.mark.parametrize(
    ("version", "told"), [(None, "Airflow is not installed here: pip install"), ("2.11.0", "3.1 or later is needed")]
)
def test_a_missing_or_old_airflow_is_told(
    version: str | None,
    told: str,
    dag_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def look_up(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", look_up)

    assert cli.main(["run", str(dag_file)]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "dag_id", "told"),
    [
        ("x = 1", None, "no DAG in it"),
        ("import no_such_module", None, "ModuleNotFoundError: No module named 'no_such_module'"),
        (TWO_DAGS, None, "several DAGs in it; choose one with --dag: a, b"),
        (TWO_DAGS, "c", "no DAG 'c' in it; it has: a, b"),
        (WATCHED, None, "started by an AssetWatcher, whose trigger only a triggerer runs"),
    ],
)
def test_a_file_without_the_one_dag_is_told(tmp_path: Path, text: str, dag_id: str | None, told: str) -> None:
    file = tmp_path / "my_dag.py"
    file.write_text(text)

    with pytest.raises(in_airflow.ProblemError) as raised:
        in_airflow.load(file, dag_id)

    assert told in str(raised.value)


def test_one_of_several_dags_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "my_dag.py").write_text(TWO_DAGS)

    assert in_airflow.load(tmp_path / "my_dag.py", "b").dag_id == "b"


@pytest.mark.slow
def test_what_is_wrong_is_told_by_the_command_with_the_path_that_it_got(
    dag_file: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "beside.py").unlink()

    ended = run(dag_file, environment=environment)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"dsw-emulator: {dag_file}: Airflow can't import it:\n")
    assert f'File "{dag_file}", line 3' in ended.stderr
    assert "No module named 'beside'" in ended.stderr
    assert left_behind(tmp_path) == []


@pytest.mark.slow
def test_a_mistyped_argument_is_told_with_the_line_that_it_stands_in(
    dag_file: Path, environment: dict[str, str]
) -> None:
    dag_file.write_text(DAG.replace("poke_interval", 'target_status="Runing", poke_interval'))

    ended = run(dag_file, environment=environment)

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[1:3] == [
        "Traceback (most recent call last):",
        f'  File "{dag_file}", line 12, in <module>',
    ]
    assert "'Runing' is not an instance status. Did you mean 'Running'?" in ended.stderr


@pytest.mark.parametrize(
    "prod",
    [
        '{"conn_type": "dsw", "login": "key-id", "extra": {"region": "cn-hangzhou"}}',
        '{"conn_type": "alibaba_cloud"}',
        '{"conn_type": "generic"}',
        '{"login": "key-id"}',
        "dsw://key-id:the-secret@?region=cn-hangzhou",
        "alibaba-cloud://key-id:the-secret@",
        "",
    ],
)
def test_no_connection_of_the_environment_leads_to_the_real_service(
    prod: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DSW_PROD", prod)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://somewhere")
    monkeypatch.setenv("AIRFLOW_CONN_MY_SERVICE", '{"conn_type": "http"}')

    kept = {name for name in airflow_home.environment(tmp_path, DswEmulator()) if name.startswith("AIRFLOW_CONN_")}

    assert kept == {"AIRFLOW_CONN_WAREHOUSE", "AIRFLOW_CONN_MY_SERVICE"}


# Its end


@contextmanager
def waiting(dag_file: Path, environment: dict[str, str], until: str) -> Iterator[subprocess.Popen[str]]:
    """The command, once it has shown this; a wait that would never end."""
    command = [*COMMAND, str(dag_file), "--instance", "dsw-abc=Queuing"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        assert any(until in line for line in process.stdout)
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def started_by(process: subprocess.Popen[str]) -> list[psutil.Process]:
    end = time.monotonic() + PATIENCE
    while not (found := psutil.Process(process.pid).children(recursive=True)):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(
    ("number", "until"),
    [
        (signal.SIGINT, "is starting"),
        pytest.param(signal.SIGINT, "Queuing", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "Queuing", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_all_that_was_started_and_leaves_nothing(
    dag_file: Path, environment: dict[str, str], tmp_path: Path, number: signal.Signals, until: str
) -> None:
    with waiting(dag_file, environment, until) as command:
        started = started_by(command)

        command.send_signal(number)
        output, errors = command.communicate(timeout=PATIENCE)

        assert (command.returncode, errors) == (128 + number, "")
        assert f"Stopped by {number.name}." in output
        assert left_after(PATIENCE, started) == []
    assert left_behind(tmp_path) == []


@pytest.mark.slow
def test_airflow_does_not_outlive_a_command_that_is_killed(dag_file: Path, environment: dict[str, str]) -> None:
    with waiting(dag_file, environment, "Queuing") as command:
        started = started_by(command)

        command.kill()

        assert left_after(PATIENCE, started) == []
