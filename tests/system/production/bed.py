"""Airflow as production runs it: PostgreSQL, Redis, a Celery worker, two triggerers; and the emulated service."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from airflow_provider_dsw.emulator import DswEmulator
from tests.live.real_airflow import REPOSITORY, Airflow, Components
from tests.support import processes
from tests.support.processes import ending_on_signals
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
TASK_HEARTBEAT_TIMEOUT = 75  # seconds: more than a database may stand still here
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
    :param emulator: the service behind the connection ``dsw_default``, over TLS.
    :param database: Airflow's database.
    """

    airflow: Airflow
    emulator: DswEmulator
    database: PostgreSQL


@contextlib.contextmanager
def running(name: str = "production", **env: str) -> Iterator[Bed]:
    """
    Run all of it for a `with` block. Nothing is left of it then, whatever happened in it.

    :param name: of the folder in ``.artifacts`` that keeps the logs.
    :param env: further environment variables of Airflow's.
    """
    missing = [what for module, what in NEEDED.items() if not _is_installed(module)]
    assert not missing, f"{' and '.join(missing)} missing: pip install -e '.[test,production]'"
    with contextlib.ExitStack() as stack:
        stack.enter_context(ending_on_signals())
        directory = stack.enter_context(_directory())
        database = stack.enter_context(PostgreSQL(_made(directory / "postgres")).running())
        redis = stack.enter_context(Redis(_made(directory / "redis")).running())
        emulator = stack.enter_context(DswEmulator(tls=True, record_limit=1_000_000))
        assert emulator.ca_file
        airflow = Airflow(
            home=_made(directory / "airflow"),
            dags=Path(__file__).parent / "dags",
            artifacts=REPOSITORY / ".artifacts" / name,
            env={
                "AIRFLOW_CONN_DSW_DEFAULT": json.dumps(emulator.connection()),
                "SSL_CERT_FILE": emulator.ca_file,
                "AIRFLOW__CELERY__BROKER_URL": redis.url,
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "6",
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CORE__HOSTNAME_CALLABLE": "tests.system.production.hostname.of_component",
                "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
                "AIRFLOW__CORE__PARALLELISM": "32",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(TASK_HEARTBEAT_TIMEOUT),
                **env,
            },
            components=COMPONENTS,
            database=database.url,
        )
        stack.enter_context(airflow.running(timeout=180))
        yield Bed(airflow, emulator, database)


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


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
