"""Airflow as production runs it: PostgreSQL, Redis, a Celery worker, two triggerers; and the emulated service."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.support import processes
from tests.support.processes import ending_on_signals
from tests.system.live.real_airflow import PATIENCE, REPOSITORY, Airflow, Components, Run, wait_until
from tests.system.production.created import PlannedEmulator
from tests.system.production.servers import PostgreSQL, Redis

TRIGGERERS = ("triggerer-1", "triggerer-2")
WORKER = "worker"
COMPONENTS: Components = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler",),
    "dag-processor": ("dag-processor",),
    # Without their log servers: all components see the one folder of logs.
    **dict.fromkeys(TRIGGERERS, ("triggerer", "--skip-serve-logs")),
    WORKER: ("celery", "worker", "-H", "w1@localhost", "--skip-serve-logs"),
}
HEARTBEAT_TIMEOUT = 30  # seconds, of a triggerer
TASK_HEARTBEAT_TIMEOUT = 60  # seconds: more than a database may stand still here
# Seconds, for the connection of tasks that are not answered for as long as a test wants.
PATIENT = {"read_timeout": 1800}
NEEDED = {
    "airflow.providers.celery": "the Celery provider",
    "airflow.providers.postgres": "the PostgreSQL provider",
    "redis": "redis",
}


@dataclass(frozen=True)
class Bed:
    """
    What a test has.

    :param airflow: Airflow, ready.
    :param emulator: the service behind the connections ``dsw_default`` and ``dsw_patient``, over TLS.
    :param database: Airflow's database.
    :param watched: the instances that a watcher waits for, each with a DAG that runs when it has started.
    :param pace: what to multiply the times with that are about Airflow's heartbeats.
    """

    airflow: Airflow
    emulator: PlannedEmulator
    database: PostgreSQL
    watched: Sequence[str]
    pace: float

    def sleep(self, seconds: float) -> None:
        """Sleep so long, at a pace of 1."""
        time.sleep(seconds * self.pace)

    def begin(self, dag_id: str, instance_id: str, status: str = "Stopped") -> Run:
        """Run a DAG on a new instance."""
        self.emulator.add_instance(instance_id, status)
        return self.airflow.trigger(dag_id, instance_id=instance_id)

    def wait_until_polled(
        self, instance_ids: Iterable[str], more: int = 1, timeout: float = PATIENCE, since: float | None = None
    ) -> None:
        """
        Wait until each instance is polled so many times more, and has answered.

        :param instance_ids: of the instances.
        :param more: how many times.
        :param timeout: seconds.
        :param since: monotonic time from which polls count; now, if None.
        """
        began = time.monotonic() if since is None else since

        def late() -> list[str]:
            polls = Counter(
                request.instance_id
                for request in self.emulator.calls("GetInstance")
                if request.time > began and request.status == 200
            )
            return [instance_id for instance_id in instance_ids if polls[instance_id] < more]

        wait_until(lambda: not late(), timeout, lambda: f"not polled: {late()}", interval=1)

    def asked(self, instance_id: str) -> list[str | None]:
        """Return what an instance was asked for, and not only looked at."""
        requests = [request for request in self.emulator.requests if request.instance_id == instance_id]
        return [request.action for request in requests if request.method != "GET"]

    def triggerer_of(self, run: Run) -> str:
        """Return the triggerer that a deferred task was given to."""
        return wait_until(lambda: _triggerer(run), PATIENCE, lambda: f"no triggerer takes {run.dag_id}")

    def triggerers(self) -> set[str]:
        """Return those that Airflow takes for alive."""
        return {job["hostname"] for job in self.airflow.get("/jobs", job_type="TriggererJob", is_alive=True)["jobs"]}


@contextlib.contextmanager
def running(
    name: str = "production", *, watchers: int = 4, takes: int = 2, interval: float = 5, pace: float = 1
) -> Iterator[Bed]:
    """
    Run all of it for a `with` block. Nothing is left of it then, whatever happened in it.

    :param name: of the folder in ``.artifacts`` that keeps the logs.
    :param watchers: how many.
    :param interval: seconds between two polls of a watcher and of a wait in the fleet.
    :param takes: how many triggers a triggerer takes at a time: the one that is there first would take all.
    :param pace: 1 for the heartbeats that Airflow is content with by default, less for earlier ones.
    """
    missing = [what for module, what in NEEDED.items() if not _is_installed(module)]
    assert not missing, f"{' and '.join(missing)} missing: pip install -e '.[test,production]'"
    with contextlib.ExitStack() as stack:
        stack.enter_context(ending_on_signals())
        directory = stack.enter_context(_directory())
        database = stack.enter_context(PostgreSQL(_made(directory / "postgres")).running())
        redis = stack.enter_context(Redis(_made(directory / "redis")).running())
        emulator = PlannedEmulator(tls=True, record_limit=1_000_000)
        stack.enter_context(emulator)
        assert emulator.ca_file
        connection = emulator.connection()
        emulator.start_timeline = [("Queuing", None)]  # which a test ends when it wants
        watched = [emulator.add_instance(f"dsw-watched-{number}", "Stopped") for number in range(watchers)]
        airflow = Airflow(
            home=_made(directory / "airflow"),
            dags=Path(__file__).parent / "dags",
            artifacts=REPOSITORY / ".artifacts" / name,
            env={
                "AIRFLOW_CONN_DSW_DEFAULT": json.dumps(connection),
                "AIRFLOW_CONN_DSW_PATIENT": json.dumps(connection | {"extra": {**connection["extra"], **PATIENT}}),
                "SSL_CERT_FILE": emulator.ca_file,
                "AIRFLOW__CELERY__BROKER_URL": redis.url,
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "10",
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CORE__HOSTNAME_CALLABLE": "tests.system.production.hostname.of_component",
                "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
                "AIRFLOW__CORE__PARALLELISM": "32",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(round(TASK_HEARTBEAT_TIMEOUT * pace)),
                "AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": str(takes),
                "AIRFLOW__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD": str(HEARTBEAT_TIMEOUT * pace),
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(round(HEARTBEAT_TIMEOUT * pace)),
                "PRODUCTION_INTERVAL": str(interval),
                "PRODUCTION_WATCHERS": str(watchers),
            },
            components=COMPONENTS,
            database=database.url,
        )
        stack.enter_context(airflow.running())
        stack.enter_context(airflow.kept_running())
        yield Bed(airflow, emulator, database, watched, pace)


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """A directory that is gone afterwards, with all the processes that work in it."""
    directory = Path(tempfile.mkdtemp(prefix="dsw-production-"))
    try:
        directory.chmod(0o711)  # PostgreSQL's user has to get to its own
        yield directory
    finally:
        processes.sweep(directory)
        shutil.rmtree(directory)


def _triggerer(run: Run) -> str:
    (task,) = run.tasks()
    return (task["triggerer_job"] or {}).get("hostname", "")


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
