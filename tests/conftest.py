"""Real Airflow in a home of its own, and the emulator behind the default connection."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports airflow.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ.update(
    AIRFLOW_HOME=_HOME.name,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(Path(__file__).parent.parent / "example_dags"),
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME.name}/airflow.db",
    AIRFLOW__LOGGING__LOGGING_LEVEL="INFO",
)
for _name in [
    name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "ALIBABA_CLOUD_")) or "_proxy" in name.lower()
]:
    del os.environ[_name]

from airflow_provider_dsw.emulator import DswEmulator  # noqa: E402

# Where a real Airflow runs.
SLOW = [Path(__file__).parent / name for name in ("browser", "live")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in SLOW):
            item.add_marker("slow")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Everyday tests mostly wait; those with real Airflow processes share one Airflow, and benchmarks the machine."""
    return 4 if config.option.markexpr.startswith("not ") else 0


@pytest.fixture
def emulator() -> Iterator[DswEmulator]:
    with DswEmulator() as served:
        yield served


@pytest.fixture
def dsw_default(emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> DswEmulator:
    """The emulator, reached through the connection ``dsw_default``."""
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
    return emulator


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hook's retries follow each other at once, where how long they wait is not what is tested."""
    monkeypatch.setattr("airflow_provider_dsw.hooks.dsw._pause", lambda state: 0.0)
