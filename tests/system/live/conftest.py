"""A real Airflow for the whole session, and the emulator that its tasks wait for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.system.live.real_airflow import REPOSITORY, Airflow

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "begin(by): starts something before the first test")


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
    with airflow.running():
        # The others are in the environment: this one alone has to be asked for at the API, by the supervisor.
        stored = {**connection, "connection_id": "dsw_stored", "extra": json.dumps(connection["extra"])}
        airflow.request("POST", "/connections", json=stored)
        yield airflow


@pytest.fixture(scope="session")
def _begun(airflow: Airflow, emulator: DswEmulator, request: pytest.FixtureRequest) -> dict[str, Any]:
    found = ((item.nodeid, item.get_closest_marker("begin")) for item in request.session.items)
    return {nodeid: marker.kwargs["by"](airflow, emulator) for nodeid, marker in found if marker}


@pytest.fixture
def begun(_begun: dict[str, Any], request: pytest.FixtureRequest) -> Any:
    """
    What the function in the mark ``begin`` returned.

    These functions get Airflow and the emulator. They are called one after the other before the first test, so
    that all DAG runs go on at the same time and the slowest alone sets the time of them all.
    """
    return _begun[request.node.nodeid]
