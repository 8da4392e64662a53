"""A real Airflow for the whole session, and the emulator that its tasks wait for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.live.real_airflow import REPOSITORY, Airflow, ending_on_sigterm

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def emulator() -> Iterator[DswEmulator]:
    """Over TLS, as the service is: what TLS costs, and whether it is checked, counts here."""
    with DswEmulator(tls=True) as served:
        yield served


@pytest.fixture(scope="session")
def airflow(emulator: DswEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Airflow, ready, with the emulator behind ``dsw_default``; what it logs is in ``.artifacts/live``."""
    assert emulator.ca_file
    connection = emulator.connection()
    airflow = Airflow(
        home=tmp_path_factory.mktemp("airflow"),
        dags=HERE / "dags",
        artifacts=REPOSITORY / ".artifacts" / "live",
        env={
            "AIRFLOW_CONN_DSW_DEFAULT": json.dumps(connection),
            "AIRFLOW_CONN_DSW_WRONG_KEY": json.dumps(connection | {"password": "not-the-secret"}),
            "SSL_CERT_FILE": emulator.ca_file,
        },
    )
    with ending_on_sigterm():
        airflow.start()
        try:
            yield airflow
        finally:
            airflow.stop()
