"""A search of all that runs at log level DEBUG leave behind, for each secret that was used."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from airflow_provider_dsw.emulator import DswEmulator
from tests.support import leaks
from tests.system.live.cases import FAILS, STARTS
from tests.system.live.real_airflow import REPOSITORY, Airflow, Run
from tests.system.live.secret_uses import WAYS


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    return leaks.new_secrets() | {"of_new_instance": secrets.token_hex(20)}


@pytest.fixture(scope="module")
def emulator(known: dict[str, str]) -> Iterator[DswEmulator]:
    with DswEmulator(tls=True) as served:
        leaks.teach(served, known)
        yield served


@pytest.fixture(scope="module")
def airflow(
    emulator: DswEmulator, known: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    assert emulator.ca_file
    by_environment = {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(leaks.connection(emulator, known, name))
        for name in leaks.CONNECTIONS
        if name != "stored"
    }
    airflow = Airflow(
        home=tmp_path_factory.mktemp("airflow"),
        dags=Path(__file__).parent / "dags_with_secrets",
        artifacts=REPOSITORY / ".artifacts" / "secrets",
        env={
            **by_environment,
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            # Under a name by which Airflow does not know that it is a secret.
            "AIRFLOW_VAR_OF_NEW_INSTANCE": known["of_new_instance"],
            "SHARING_TOKEN": known["sharing_token"],
            "SSL_CERT_FILE": emulator.ca_file,
        },
    )
    with airflow.running():
        yield airflow


@pytest.fixture(scope="module")
def run(airflow: Airflow, emulator: DswEmulator, known: dict[str, str]) -> Run:
    """A run that used each secret, and in which each task ended as its name says."""
    stored = leaks.connection(emulator, known, "stored")
    airflow.request(
        "POST", "/connections", json={**stored, "connection_id": "stored", "extra": json.dumps(stored["extra"])}
    )
    emulator.add_instance("dsw-good", "Running")
    emulator.add_instance("dsw-stopped", "Stopped")
    for way in WAYS:
        for name in ("stored", "environed"):
            emulator.add_instance(f"dsw-good-{way}-{name}", per_poll=STARTS)
        emulator.add_instance(f"dsw-bad-{way}", per_poll=FAILS)
        emulator.add_instance(f"dsw-echo-{way}", "Starting")
        said = f"Denied. You sent {known['key']} and {known['token']}."
        # At first as if it were a passing trouble, then as a refusal.
        emulator.fault("GetInstance", f"dsw-echo-{way}", 2, status=503, code="ServiceUnavailable", message=said)
        emulator.fault("GetInstance", f"dsw-echo-{way}", None, status=403, code="NoPermission", message=said)
    said = f"The value {known['of_new_instance']} is not allowed today."
    emulator.fault("CreateInstance", times=1, status=400, code="ValidationError", message=said)
    run = airflow.trigger("uses_secrets")
    ended = {task["task_id"]: task["state"] for task in run.wait()}
    assert ended == {task_id: task_id.partition("_")[0] for task_id in ended}
    return run


def places(run: Run, emulator: DswEmulator) -> Iterator[tuple[str, str]]:
    airflow = run.airflow
    yield from leaks.files(airflow.home)
    yield from leaks.files(airflow.artifacts)
    yield from leaks.rows(airflow.home / "airflow.db")
    yield "answers of the API", json.dumps([airflow.get("/connections"), airflow.get("/connections/stored")])
    # What a new instance is made of is sent, whole.
    requests = [
        vars(request) | ({"body": ""} if request.action == "CreateInstance" else {}) for request in emulator.requests
    ]
    yield "record of the emulator", "\n".join(map(str, requests))


def test_no_secret_is_found(run: Run, emulator: DswEmulator, known: dict[str, str]) -> None:
    assert leaks.leaks(known, places(run, emulator)) == set()


def test_the_search_looks_where_secrets_could_be(run: Run, emulator: DswEmulator, known: dict[str, str]) -> None:
    found = {place for _, place in leaks.leaks({"an id": "dsw-good"}, places(run, emulator))}

    assert {"table xcom", "table rendered_task_instance_fields", "record of the emulator"} <= found
    assert any(place.endswith("attempt=1.log") for place in found)
    assert any(".log.trigger." in place for place in found)
    assert "scheduler.log" in {place for _, place in leaks.leaks({"a DAG": "uses_secrets"}, places(run, emulator))}
    assert "answers of the API" in {p for _, p in leaks.leaks({"a key": "id-of-good"}, places(run, emulator))}


def test_the_stored_connection_is_encrypted(run: Run) -> None:
    (row,) = [row for table, row in leaks.rows(run.airflow.home / "airflow.db") if table == "table connection"]

    assert "id-of-good" in row  # the id is none
    assert "gAAAA" in row


def test_a_new_instance_gets_what_it_is_made_of_all_the_same(
    run: Run, emulator: DswEmulator, known: dict[str, str]
) -> None:
    sent = emulator.calls("CreateInstance")

    assert [call.status for call in sent][:2] == [400, 200]
    assert all(known["of_new_instance"] in call.body for call in sent)
