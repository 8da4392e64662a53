"""`dsw-emulator standalone`: a whole Airflow with its UI beside the emulator, gone after Ctrl-C."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_dsw.emulator.cli.airflow_home import (
    airflow_problem,
    airflow_version,
    collected_signals,
    dag_file_problem,
    environment,
    installed_version,
    temporary_home,
)
from airflow_provider_dsw.emulator.cli.console import RequestLines, changes, fail, say, say_now, tail
from airflow_provider_dsw.emulator.cli.loaded_dags import NEEDED, LoadedDags
from airflow_provider_dsw.emulator.cli.scenario import ScenarioEmulator
from airflow_provider_dsw.emulator.server import HOST

if TYPE_CHECKING:
    import psutil  # type: ignore[import-untyped]

PATIENCE = 300.0  # seconds for Airflow to be ready
LOAD_PATIENCE = 20.0  # seconds for a DAG in each file to appear; a file without one never shows any
GRACE = 10.0  # seconds that Airflow has to end by itself
# In a process of its own: with SQLite, the API's event loop itself waits for the lock of a transaction that a task's
# call to the same process is about to end.
EXECUTION_API = "execution-api"
COMPONENTS = {
    "api-server": ("api-server", "--apps", "core"),
    EXECUTION_API: ("api-server", "--apps", "execution"),
    "scheduler": ("scheduler",),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer",),
}


def example_dags() -> tuple[list[Path], list[Path]]:
    """
    The example DAGs that can be loaded, and those that need what is not installed.

    They lie inside the package where it was installed, beside it in a checkout.
    """
    package = Path(__file__).parents[2]
    folders = (package / "example_dags", package.parent / "example_dags")
    found = next((sorted(folder.glob("*.py")) for folder in folders if folder.is_dir()), [])
    left_out = [
        dag_file for dag_file in found if dag_file.stem in NEEDED and not installed_version(NEEDED[dag_file.stem])
    ]
    return [dag_file for dag_file in found if dag_file not in left_out], left_out


class StandaloneAirflow:
    """
    An Airflow beside an emulator.

    :param emulator: where the connections lead to.
    :param dag_files: the Python files that it loads; None: the example DAGs.
    :param conn_ids: the connections that the DAGs use.
    :param port: of the UI, on loopback.
    """

    def __init__(
        self, emulator: ScenarioEmulator, dag_files: Sequence[Path] | None, *, conn_ids: Sequence[str], port: int
    ) -> None:
        self.emulator = emulator
        self.dag_files, self._left_out = (dag_files, []) if dag_files else example_dags()
        self.conn_ids = conn_ids
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._loaded: LoadedDags | None = None
        self._load_end: float | None = None

    def problem(self) -> str | None:
        """What is wrong that can be known before Airflow starts; None where nothing is."""
        problems = [
            *map(dag_file_problem, self.dag_files),
            self._name_problem(),
            airflow_problem(),
            self._port_problem(),
        ]
        return next(filter(None, problems), None)

    def _name_problem(self) -> str | None:
        """What is wrong with the names of the DAG files, which all go into one folder; None where nothing is."""
        by_name: dict[str, Path] = {}
        for dag_file in self.dag_files:
            other = by_name.setdefault(dag_file.name, dag_file)
            if other.resolve() != dag_file.resolve():
                return f"{other} and {dag_file} have the same name, and Airflow loads both from one folder; rename one"
        return None

    def _port_problem(self) -> str | None:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, self.port))
            except OSError as error:
                return f"cannot listen on {HOST}:{self.port}: {error.strerror}; choose another with --ui-port"
        return None

    def run(self) -> int:
        """Run it until a signal comes; return the exit status of the command."""
        with collected_signals() as received, temporary_home("standalone") as home:
            for dag_file in {dag_file.name: dag_file for dag_file in self.dag_files}.values():
                # A link, so that Airflow loads the file anew after an edit.
                (home / "dags" / dag_file.name).symlink_to(dag_file.resolve())
            folders = {dag_file.resolve().parent for dag_file in self.dag_files}
            if len(folders) == 1:
                # Airflow puts this folder last on its path: so DAG files can import what lies beside them.
                (home / "config").symlink_to(folders.pop())
            # Else each of Airflow's processes that finds none writes one, and another may read the half of it.
            (home / "airflow.cfg").touch()
            say(f"Airflow {airflow_version()} is starting in a temporary home: about 30 seconds.")
            try:
                problem = self._start(home, received) or self._follow(home, received)
            finally:
                self._stop()
        if problem:
            return fail(problem)
        say(f"\nStopped by {received[0].name}. Nothing of it is left.")
        return 128 + received[0]

    def _start(self, home: Path, received: Sequence[int]) -> str | None:
        """Start Airflow and wait until it is ready or a signal came; return what went wrong."""
        env = self._environment(home)
        connections = home / "connections.json"
        connections.write_text(json.dumps({conn_id: self.emulator.connection() for conn_id in self.conn_ids}))
        database = self._start_process(
            "database", "airflow_provider_dsw.emulator.cli.database", (str(connections),), home, env
        )
        while database.poll() is None and not received:
            time.sleep(0.1)
        if database.returncode == 0:
            del self._processes["database"]
            # Else tasks that start at once would find it locked.
            with contextlib.closing(sqlite3.connect(home / "airflow.db")) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            for name, command in COMPONENTS.items():
                self._start_process(name, "airflow", command, home, env)
        end = time.monotonic() + PATIENCE
        while not received and not self._is_ready():
            if problem := self._ended(home):
                return problem
            if time.monotonic() > end:
                last_lines = tail(_log(home, "scheduler"))
                return f"Airflow was not ready within {PATIENCE:.0f} s. The scheduler's last lines:\n{last_lines}"
            time.sleep(0.3)
        return None

    def _environment(self, home: Path) -> dict[str, str]:
        execution_port, *log_ports = _free_ports(3)
        return environment(home, self.emulator) | {
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__DEFAULT_WRAP": "True",  # else the page cuts off what is longer than its width
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{execution_port}/execution/",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[0]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[1]),
            # By default 5 seconds, which an API that waits for SQLite's lock may take: asked for the second time to
            # begin a task it refuses, and the task fails.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
            "DSW_EMULATOR_EXECUTION_PORT": str(execution_port),
        }

    def _start_process(
        self, name: str, module: str, arguments: Sequence[str], home: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        if name == EXECUTION_API:
            env = {**env, "AIRFLOW__API__PORT": env["DSW_EMULATOR_EXECUTION_PORT"]}
        with _log(home, name).open("wb") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", module, *arguments],
                cwd=home,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the command, which ends them in order
            )
        return self._processes[name]

    def _is_ready(self) -> bool:
        try:
            health = self._get("/api/v2/monitor/health")
            if any(health[name]["status"] != "healthy" for name in ("scheduler", "dag_processor", "triggerer")):
                return False
            token = self._get("/auth/token")["access_token"]
            self._loaded = LoadedDags(lambda path: self._get(path, token))
        except OSError:  # it does not listen yet
            return False
        self._load_end = self._load_end or time.monotonic() + LOAD_PATIENCE
        return self._loaded.has_all(self.dag_files) or time.monotonic() > self._load_end

    def _get(self, path: str, token: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)  # noqa: S310
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

    def _ended(self, home: Path) -> str | None:
        """What to say of a part of Airflow that has ended; None while all run."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                return f"Airflow's {name} has ended. Its last lines:\n{tail(_log(home, name))}"
        return None

    def _follow(self, home: Path, received: Sequence[int]) -> str | None:
        """Show what happens until a signal comes or a part of Airflow ends; return what went wrong."""
        if not received:
            say(self._introduction())
        self.emulator.on_request = RequestLines().show
        before = self.emulator.statuses()
        problem = None
        while not received and not problem:
            time.sleep(0.1)
            self.emulator.advance()
            now = self.emulator.statuses()
            for _, line in changes(before, now):
                say_now(line)
            before = now
            problem = self._ended(home)
        return problem

    def _introduction(self) -> str:
        return "\n".join(
            [
                "",
                f"Airflow:      {self.url}  (no password)",
                f"DSW emulator: {self.emulator.protocol}://{self.emulator.endpoint}",
                "",
                *(self._loaded.lines(self.dag_files, self._left_out) if self._loaded else []),
                "",
                "A DAG file is loaded anew after each edit. An instance's statuses begin to change with the first",
                "request for it. Ctrl-C stops everything and removes it.",
                "",
            ]
        )

    def _stop(self) -> None:
        if not self._processes:
            return
        import psutil  # comes with Airflow

        members = []
        for process in self._processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                eldest = psutil.Process(process.pid)
                members += [eldest, *eldest.children(recursive=True)]
        for process in self._processes.values():
            process.terminate()
        end = time.monotonic() + GRACE
        while time.monotonic() < end and any(map(_is_running, members)):
            time.sleep(0.05)
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        for process in self._processes.values():
            process.wait()


def _is_running(process: psutil.Process) -> bool:
    """Whether a process has not ended; one that nobody has reaped, as in many containers, has."""
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((HOST, 0))
        return [listener.getsockname()[1] for listener in listeners]


def _log(home: Path, name: str) -> Path:
    return home / f"{name}.log"
