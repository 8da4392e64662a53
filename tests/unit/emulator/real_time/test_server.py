"""The record of requests, and the emulator's life."""

import http.client
import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.support.emulator import ABC, Caller, refused, send, sign


def test_a_request_is_recorded_with_its_answer(emulator, caller):
    emulator.add_instance("dsw-abc")
    caller.create_snapshot(SnapshotDescription="ü")
    with refused(404, "InternalError"):
        caller.get("dsw-none", Fields="Status")

    created, missing = emulator.requests

    assert (created.action, created.method, created.status, created.code) == (
        "CreateInstanceSnapshot",
        "POST",
        200,
        None,
    )
    assert (created.path, created.instance_id) == (f"{ABC}/snapshots", "dsw-abc")
    assert json.loads(created.body)["SnapshotDescription"] == "ü"
    assert created.headers["x-acs-version"] == "2022-01-01"
    assert created.access_key_id == "emulator-key-id"
    assert created.time < missing.time <= time.monotonic()
    assert timedelta(0) <= datetime.now(UTC) - missing.wall < timedelta(minutes=1)
    assert (missing.status, missing.code, missing.query) == (404, "InternalError", {"Fields": "Status"})


def test_calls_are_told_apart_by_action_and_instance(emulator, caller):
    emulator.add_instance("dsw-abc")
    emulator.add_instance("dsw-xyz")
    for instance_id in ("dsw-abc", "dsw-xyz", "dsw-abc"):
        caller.get(instance_id)
    caller.list()

    assert len(emulator.calls("GetInstance")) == 3
    assert len(emulator.calls("GetInstance", "dsw-abc")) == 2
    assert emulator.calls("StartInstance") == []
    emulator.clear_requests()
    assert emulator.requests == []


def test_a_call_that_the_emulator_does_not_know_is_still_one_for_the_instance(emulator):
    """The paths of its metrics begin with the singular."""
    for path in ("/api/v2/instance/dsw-abc/metrics", "/api/v2/instances/dsw-abc/metrics"):
        refused = send(emulator, sign(emulator, "GetInstanceMetrics", path), path)
        assert refused.status == 404

    assert [request.instance_id for request in emulator.requests] == ["dsw-abc", "dsw-abc"]


def test_the_record_holds_no_secret(emulator):
    emulator.add_instance("dsw-abc")
    emulator.add_credential("STS.x", "the-secret", security_token="the-token")
    caller = Caller(emulator, access_key_id="STS.x", access_key_secret="the-secret", security_token="the-token")
    caller.get(Token="sharing-token")

    (request,) = emulator.requests

    for secret in ("the-secret", "the-token", "sharing-token"):
        assert secret not in repr(request)
    assert request.headers["x-acs-security-token"] == "***"
    assert request.query == {"Token": "***"}
    assert request.headers["authorization"].endswith("Signature=***")
    assert request.access_key_id == "STS.x"


def test_a_dropped_answer_is_recorded_without_a_status(emulator):
    emulator.add_instance("dsw-abc")
    emulator.fault(drop=True)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        send(emulator, sign(emulator))

    (request,) = emulator.requests

    assert (request.status, request.code) == (None, None)


def test_the_record_keeps_the_last_requests_only():
    with DswEmulator(record_limit=2) as emulator:
        for path in ("/1", "/2", "/3"):
            send(emulator, {}, path=path)

        assert [request.path for request in emulator.requests] == ["/2", "/3"]


def test_the_connection_is_an_airflow_connection_that_works(emulator):
    emulator.add_instance("dsw-abc")

    connection = json.loads(json.dumps(emulator.connection()))

    assert connection == {
        "conn_type": "dsw",
        "login": "emulator-key-id",
        "password": "emulator-key-secret",
        "host": "127.0.0.1",
        "port": emulator.port,
        "extra": {"protocol": "http", "region": "cn-hangzhou"},
    }
    assert emulator.endpoint == f"127.0.0.1:{emulator.port}"


def test_it_starts_and_stops_more_than_once():
    emulator = DswEmulator()
    emulator.stop()
    for _ in range(2):
        emulator.start()
        emulator.start()
        assert send(emulator, {}).status == 400
        emulator.stop()
        emulator.stop()
        with pytest.raises(ConnectionError):
            send(emulator, {})


def test_stop_does_not_wait_for_a_slow_answer():
    with DswEmulator() as emulator:
        emulator.fault(delay=120, before_auth=True)
        connection = http.client.HTTPConnection(emulator.host, emulator.port)
        connection.request("GET", ABC)
        while not emulator.requests:
            time.sleep(0.005)
        begin = time.monotonic()
    assert time.monotonic() - begin < 60
    connection.close()


def test_the_certificate_is_gone_after_the_stop_and_its_key_is_never_there():
    with DswEmulator(tls=True) as emulator:
        assert emulator.ca_file
        certificate = Path(emulator.ca_file)
        assert "CERTIFICATE" in certificate.read_text()
        assert list(certificate.parent.iterdir()) == [certificate]
    assert not certificate.parent.exists()
    assert emulator.ca_file is None


def test_a_port_that_is_taken_is_an_error_of_the_start(emulator):
    other = DswEmulator(port=emulator.port)

    with pytest.raises(OSError, match="in use"):
        other.start()


def test_instances_can_be_changed_while_others_ask(emulator, caller):
    emulator.add_instance("dsw-abc")
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            emulator.set_instance("dsw-abc", InstanceName="x")
            emulator.add_snapshot("dsw-abc", "snp-1")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(100):
            assert caller.status() == "Running"
    finally:
        done.set()
        thread.join()


def test_a_speed_must_be_above_zero():
    with pytest.raises(ValueError, match="speed"):
        DswEmulator(speed=0)


def test_importing_it_brings_neither_airflow_nor_the_sdk_nor_cryptography():
    code = (
        "import sys, airflow_provider_dsw.emulator.cli\n"
        "heavy = {'airflow', 'cryptography', 'alibabacloud_tea_openapi', 'darabonba', 'requests'}\n"
        "heavy |= {'airflow_provider_dsw.hooks', 'airflow_provider_dsw.exceptions'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
