"""Real Airflow in a home of its own, and the emulator behind the default connection."""

from __future__ import annotations

import gc
import json
import os
import sys
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
SLOW = [Path(__file__).parent / "system" / name for name in ("browser", "live")]


def pytest_collection() -> None:
    """Look for no garbage until all is imported and collected, of which nothing is: it would take a quarter more."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = {path for path in {item.path for item in items} if any(folder in path.parents for folder in SLOW)}
    for item in items:
        if item.path in slow:
            item.add_marker("slow")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """
    Run all everyday tests side by side: they mostly wait.

    Not the others: those with real Airflow processes share one Airflow, and benchmarks the machine. Nor those that
    somebody has named, where the start of four processes takes longer than the tests.
    """
    is_everyday = (
        config.option.markexpr == "not slow and not live" and config.args_source is pytest.Config.ArgsSource.TESTPATHS
    )
    is_alone = config.option.usepdb or hasattr(config, "workerinput") or not config.pluginmanager.hasplugin("xdist")
    if is_everyday and not is_alone:
        if config.option.numprocesses is None:
            config.option.numprocesses = 4
        if config.option.dist == "no":
            # Neighbours stay together, and with them what they share: Airflow's database, its form.
            config.option.dist = "worksteal"


def pytest_collection_finish() -> None:
    """Let collections of garbage pass over Airflow's hundreds of thousands of objects."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def emulator() -> Iterator[DswEmulator]:
    with DswEmulator() as served:
        yield served


@pytest.fixture
def dsw_default(emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> DswEmulator:
    """The emulator, reached through the connection ``dsw_default``."""
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
    return emulator


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let triggers poll more often than once a second, where how often they do is not what is tested."""
    monkeypatch.setattr("airflow_provider_dsw.triggers.base.MIN_INTERVAL", 0.0)


@pytest.fixture(autouse=True)
def no_masks_of_earlier_tests() -> Iterator[None]:
    """
    Let Airflow's masker forget what this test taught it.

    Else it would hide from a later test what the provider itself has to hide; and with each new secret it compiles one
    expression of all that it knows.
    """
    yield
    if masker := sys.modules.get("airflow.sdk._shared.secrets_masker"):
        masker.reset_secrets_masker()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hook's retries follow each other at once, where how long they wait is not what is tested."""
    monkeypatch.setattr("airflow_provider_dsw.hooks.dsw._retry_wait", lambda state: 0.0)
