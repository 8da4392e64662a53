"""A real Airflow on loopback, in processes of its own, and a client of its REST API."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil  # type: ignore[import-untyped]

from tests.support import processes
from tests.support.processes import HOST, ending_on_signals, free_port

REPOSITORY = Path(__file__).parents[3]
# What the command `airflow` is called with, for each component.
Components = Mapping[str, tuple[str, ...]]
LIGHT: Components = {
    "api-server": ("api-server", "--apps", "core"),
    # In a process of its own: the API's event loop itself waits for the lock of a database that is SQLite, and would
    # keep a worker's call from ending its transaction, which holds that lock.
    "execution-api": ("api-server", "--apps", "execution"),
    "scheduler": ("scheduler",),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer",),
}
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
PATIENCE = 600.0  # seconds: only a fault takes until then, however busy the machine is
API_TIMEOUT = 150.0  # seconds: longer than the API itself waits for the lock of a database that is SQLite
# What the machine may have set, and what would reach the processes under test.
_FOREIGN = ("AIRFLOW", "ALIBABA_CLOUD_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_", "PYTEST_")

T = TypeVar("T")


def wait_until(what: Callable[[], T], timeout: float, failing: Callable[[], str], interval: float = 0.3) -> T:
    """Call `what` until it returns something true, and return that."""
    end = time.monotonic() + timeout
    while not (found := what()):
        assert time.monotonic() < end, f"not within {timeout:.0f} s: {failing()}"
        time.sleep(interval)
    return found


class Run:
    """One DAG run."""

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str) -> None:
        self.airflow = airflow
        self.dag_id = dag_id
        self.run_id = run_id
        self.path = f"/dags/{dag_id}/dagRuns/{run_id}"

    def tasks(self, task_id: str | None = None) -> list[dict[str, Any]]:
        """The task instances, a mapped one for each index."""
        found: list[dict[str, Any]] = self.airflow.get(f"{self.path}/taskInstances")["task_instances"]
        return [task for task in found if task_id in (None, task["task_id"])]

    def states(self, task_id: str | None = None) -> list[str | None]:
        return [task["state"] for task in self.tasks(task_id)]

    def wait(self, *states: str, task_id: str | None = None, timeout: float = PATIENCE) -> list[dict[str, Any]]:
        """Wait until all task instances (of a task) have one of these states, or by default until they have ended."""
        wanted = frozenset(states) or ENDED

        def reached() -> list[dict[str, Any]]:
            tasks = self.tasks(task_id)
            found = {task["state"] for task in tasks}
            if found and not found <= wanted:
                wrong = (found & ENDED) - wanted
                assert not wrong, f"{self.dag_id}: {wrong}, not {set(wanted)}\n{self.logs()}"
                return []
            return tasks

        return wait_until(reached, timeout, lambda: f"{self.dag_id}: {self.states()}, not {set(wanted)}\n{self.logs()}")

    def wait_for_end(self, timeout: float = PATIENCE) -> None:
        """Wait until Airflow calls the whole run ended: before, a task that is cleared may never be scheduled."""
        wait_until(lambda: self.airflow.get(self.path)["state"] in ENDED, timeout, self.logs)

    def was_mixed_up(self) -> bool:
        """Whether Airflow itself failed one of its tasks, as `Airflow.mix_ups` says."""
        return any(f"{self.dag_id}." in line and f" {self.run_id} " in line for line in self.airflow.mix_ups())

    def xcoms(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """All XComs of a task instance, links among them, as they lie in the database."""
        path = f"{self.path}/taskInstances/{task_id}/xcomEntries"
        keys = [
            entry["key"]
            for entry in self.airflow.get(path, map_index=map_index, limit=100)["xcom_entries"]
            if entry["map_index"] == map_index
        ]
        return {key: self.airflow.get(f"{path}/{key}", map_index=map_index)["value"] for key in keys}

    def links(self, task_id: str, map_index: int = -1) -> dict[str, str]:
        """The links on a task's page."""
        found = self.airflow.get(f"{self.path}/taskInstances/{task_id}/links", map_index=map_index)["extra_links"]
        return {name: url for name, url in found.items() if url}

    def log(self, task_id: str, map_index: int = -1, try_number: int = 1) -> str:
        """The log of one try, as the UI shows it: of the worker and the triggerer."""
        answer = self.airflow.get(
            f"{self.path}/taskInstances/{task_id}/logs/{try_number}", map_index=map_index, full_content="true"
        )
        return "\n".join(map(_log_line, answer["content"]))

    def logs(self) -> str:
        """The logs of all task instances, for the message of a test that fails."""
        parts = []
        for task in self.tasks():
            for try_number in range(1, (task["try_number"] or 0) + 1):
                parts.append(f"--- {task['task_id']}[{task['map_index']}], try {try_number}: {task['state']}")
                with contextlib.suppress(httpx.HTTPError, AssertionError):
                    parts.append(self.log(task["task_id"], task["map_index"], try_number))
        return "\n".join([*parts, *self.airflow.mix_ups()])

    def mark(self, task_id: str, state: str) -> None:
        """What the buttons Mark success and Mark failed do."""
        self.airflow.request("PATCH", f"{self.path}/taskInstances/{task_id}", json={"new_state": state})

    def clear(self, task_id: str) -> None:
        """What the button Clear does."""
        body = {"dag_run_id": self.run_id, "task_ids": [task_id], "dry_run": False, "only_failed": False}
        self.airflow.request("POST", f"/dags/{self.dag_id}/clearTaskInstances", json=body)


class Airflow:
    """
    Airflow's processes.

    :param home: an empty directory.
    :param dags: the folder of the DAG files.
    :param artifacts: where the logs of the components and the tasks are kept.
    :param env: further environment variables.
    :param components: what it is made of, by default what a test needs that is not about production.
    :param database: URL of an empty database; by default one of SQLite is made.
    """

    # SQLite's file after the first migration, which takes ten seconds: all are alike.
    _migrated: bytes | None = None

    def __init__(
        self,
        home: Path,
        dags: Path,
        artifacts: Path,
        env: Mapping[str, str],
        *,
        components: Components = LIGHT,
        database: str | None = None,
    ) -> None:
        self.home = home
        self.dags = dags
        self.artifacts = artifacts
        self.components = components
        self._sqlite = None if database else home / "airflow.db"
        self.port, self._execution_port = free_port(), free_port()
        execution_port = self._execution_port if "execution-api" in components else self.port
        self.url = f"http://{HOST}:{self.port}"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)},
            "PYTHONPATH": str(REPOSITORY),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "NO_COLOR": "1",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{execution_port}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "6",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database or f"sqlite:///{self._sqlite}?timeout=120",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
            # By default 5 seconds: a worker that asks again to begin a task, because the first answer is late on a busy
            # machine, is refused, and Airflow fails the task.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
            **env,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.revived: list[str] = []
        self._client = httpx.Client(trust_env=False, timeout=API_TIMEOUT)
        self._numbers = itertools.count(1)

    # Its life

    def migrate(self) -> None:
        """Make the database."""
        shutil.rmtree(self.artifacts, ignore_errors=True)
        self.artifacts.mkdir(parents=True)
        if self._sqlite and Airflow._migrated:
            self._sqlite.write_bytes(Airflow._migrated)
        else:
            with (self.artifacts / "db-migrate.log").open("wb") as log:
                subprocess.run([*_AIRFLOW, "db", "migrate"], env=self.env, stdout=log, stderr=log, check=True)
        if self._sqlite:
            Airflow._migrated = self._sqlite.read_bytes()
            # So many tasks at once would find the database locked otherwise.
            with contextlib.closing(sqlite3.connect(self._sqlite)) as database:
                database.execute("PRAGMA journal_mode=WAL")

    def start(self, timeout: float = PATIENCE) -> None:
        """Make the database, start the components, and wait until they are ready and the DAGs are there."""
        try:
            self.migrate()
            for component in self.components:
                self.start_component(component)
            wait_until(
                self._is_ready, timeout, lambda: f"Airflow is not ready; its logs end so:\n{self._ends_of_logs()}"
            )
        except BaseException:
            self.stop()
            raise

    @contextlib.contextmanager
    def running(self, timeout: float = PATIENCE) -> Iterator[Airflow]:
        """Start, and stop at the end, also where a signal ends the tests."""
        with ending_on_signals():
            self.start(timeout)
            try:
                yield self
            finally:
                self.stop()

    @contextlib.contextmanager
    def kept_running(self) -> Iterator[None]:
        """Start components that end by themselves again, as a service manager does: a scheduler needs its database."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(1):
                for component, process in list(self._processes.items()):
                    if process.poll() is not None:
                        self.revived.append(component)
                        self.start_component(component)

        keeper = threading.Thread(target=keep, name="keeper")
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    def stop(self) -> None:
        """End all processes, whatever state they are in, and keep the tasks' logs."""
        processes.end(self._processes.values())
        processes.sweep(self.home)
        self._processes.clear()
        self._client.close()
        if (self.home / "logs").exists():
            shutil.copytree(self.home / "logs", self.artifacts / "logs", dirs_exist_ok=True)

    def start_component(self, component: str) -> None:
        env = {**self.env, "AIRFLOW_COMPONENT": component}
        if component == "execution-api":
            env["AIRFLOW__API__PORT"] = str(self._execution_port)
        with (self.artifacts / f"{component}.log").open("ab") as log:
            self._processes[component] = subprocess.Popen(
                [*_AIRFLOW, *self.components[component]],
                env=env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop_component(self, component: str) -> None:
        """Stop one component as a service manager does, with SIGTERM."""
        processes.end([self._processes.pop(component)])

    def kill_component(self, component: str) -> None:
        """Kill one component with all its children at once, as a power cut does."""
        processes.kill(self._processes.pop(component))

    def suspended(self, component: str) -> contextlib.AbstractContextManager[None]:
        """Suspend one component with all its children for a `with` block."""
        return processes.suspended(self._processes[component].pid)

    def process(self, component: str) -> psutil.Process:
        return psutil.Process(self._processes[component].pid)

    def _is_ready(self) -> bool:
        for component, process in self._processes.items():
            if process.poll() is not None:
                log = (self.artifacts / f"{component}.log").read_text(errors="replace")
                raise AssertionError(f"{component} ended with {process.returncode}:\n{log[-4000:]}")
        try:
            if "Authorization" not in self._client.headers:
                answer = self._client.get(f"{self.url}/auth/token")
                self._client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
            health = self.request("GET", "/monitor/health")
        except (httpx.TransportError, httpx.HTTPStatusError):
            return False
        broken = self.get("/importErrors")["import_errors"]
        assert not broken, broken[0]["stack_trace"]
        healthy = all(health[name]["status"] == "healthy" for name in ("scheduler", "triggerer", "dag_processor"))
        return healthy and self._all_triggerers_beat() and self._workers_are_ready() and self._all_dags_are_there()

    def _all_dags_are_there(self) -> bool:
        """One file is parsed after the other, and what is in the last may be what the first test starts."""
        found = {dag["fileloc"] for dag in self.get("/dags", limit=100)["dags"]}
        return len(found) >= len(list(self.dags.glob("*.py")))

    def _all_triggerers_beat(self) -> bool:
        """The health check is content with one."""
        wanted = sum(command[0] == "triggerer" for command in self.components.values())
        return len(self.get("/jobs", job_type="TriggererJob", is_alive=True)["jobs"]) >= wanted

    def _workers_are_ready(self) -> bool:
        """Only a Celery worker's own log tells."""
        workers = [component for component, command in self.components.items() if command[0] == "celery"]
        return all(" ready." in (self.artifacts / f"{worker}.log").read_text() for worker in workers)

    def _ends_of_logs(self) -> str:
        logs = sorted(self.artifacts.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs)

    def mix_ups(self) -> list[str]:
        """
        Where Airflow itself failed a task that was fine: one that resumed before its scheduler had noticed that the
        worker which deferred it is gone. It starts another try then, and knows nothing of the first any more.
        """
        log = (self.artifacts / "scheduler.log").read_text(errors="replace").splitlines()
        return [line for line in log if "but the task instance's state attribute is" in line]

    # Its API

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Call the REST API; path as in "/dags"."""
        answer = self._client.request(
            method, f"{self.url}/api/v2{path}", headers={"Accept": "application/json"}, **arguments
        )
        if answer.is_client_error:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}\n" + "\n".join(self.mix_ups()))
        return answer.raise_for_status().json() if answer.content else None

    def get(self, path: str, **query: Any) -> Any:
        """Ask, and ask again if there is no answer: the API's database may be locked, or have just been restarted."""
        for _ in range(5):
            with contextlib.suppress(httpx.TransportError, httpx.HTTPStatusError):
                return self.request("GET", path, params=query)
            time.sleep(2)
        return self.request("GET", path, params=query)

    def trigger(self, dag_id: str, **conf: Any) -> Run:
        """Start a DAG run."""
        run_id = f"live-{next(self._numbers)}"
        body = {"dag_run_id": run_id, "conf": conf, "logical_date": None}
        self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)
        return Run(self, dag_id, run_id)

    def runs(self, dag_id: str) -> list[Run]:
        """All runs of a DAG, whatever started them, oldest first."""
        found = self.get(f"/dags/{dag_id}/dagRuns", limit=100, order_by="run_after")["dag_runs"]
        return [Run(self, dag_id, run["dag_run_id"]) for run in found]


_AIRFLOW = (sys.executable, "-m", "airflow")


def _log_line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    text = f"{entry.get('level', '')} {entry.get('event', '')}".strip()
    for error in entry.get("error_detail") or ():
        text += f"\n{error['exc_type']}: {error['exc_value']}"
    return text
