"""A temporary home for the Airflow that is installed here, whose connections lead to an emulator."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_provider_dsw.client.connection_fields import CONN_TYPE, OFFICIAL_CONN_TYPE
from airflow_provider_dsw.emulator.server import DswEmulator


def airflow_version() -> str | None:
    return installed_version("apache-airflow")


def installed_version(distribution: str) -> str | None:
    """The version of a distribution that is installed here; None where it is not."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(distribution)
    return None


def airflow_problem() -> str | None:
    """What is wrong with the Airflow that is installed here; None where nothing is."""
    airflow = airflow_version()
    if airflow is None:
        return "Airflow is not installed here: pip install 'apache-airflow>=3.1'"
    if [int(part) for part in airflow.split(".")[:2]] < [3, 1]:
        return f"Airflow {airflow} is installed here; 3.1 or later is needed"
    return None


def dag_file_problem(path: Path) -> str | None:
    """Why a path can't be a DAG file; None where it can."""
    if not path.exists():
        return f"{path}: no such file"
    if not path.is_file() or path.suffix != ".py":
        return f"{path}: not a Python file"
    return None


@contextmanager
def temporary_home(command: str) -> Iterator[Path]:
    """A directory with an empty DAGs folder in it, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"dsw-emulator-{command}-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        (home / "dags").mkdir()
        yield home


def environment(home: Path, emulator: DswEmulator) -> dict[str, str]:
    """The environment of an Airflow process that lives in `home`."""
    variables = {name: value for name, value in os.environ.items() if not _is_foreign(name, value)}
    # The package that this command is of, also where it is run from a checkout.
    package = str(Path(__file__).parents[3])
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [package, variables.get("PYTHONPATH")]))
    variables |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
        # Airflow's default shows the line that raised alone, and not the DAG's own that led there.
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "8",
        # By default 5 characters: of the emulator's protocol, http, Airflow would warn in each task's log.
        "AIRFLOW__LOGGING__MIN_LENGTH_MASKED_SECRET": "4",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if emulator.ca_file:
        variables["SSL_CERT_FILE"] = emulator.ca_file
    return variables


def _is_foreign(name: str, value: str) -> bool:
    """Whether a variable would lead Airflow or the SDK away from the temporary home or the emulator."""
    foreign = ("AIRFLOW__", "AIRFLOW_HOME", "AIRFLOW_CONFIG", "_AIRFLOW", "ALIBABA_CLOUD_")
    if name.startswith("AIRFLOW_CONN_"):
        return _conn_type(value) in ("", "generic", CONN_TYPE, OFFICIAL_CONN_TYPE)
    return name.startswith(foreign) or name.lower().endswith("_proxy")


def _conn_type(value: str) -> str:
    """The type of a connection in the environment, in JSON or as a URI; empty where it says none."""
    try:
        return str(json.loads(value).get("conn_type") or "")
    except (AttributeError, ValueError):
        return value.partition(":")[0].strip().lower().replace("-", "_")


@contextmanager
def collected_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM instead of dying of them."""
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda got, _: received.append(signal.Signals(got))) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
