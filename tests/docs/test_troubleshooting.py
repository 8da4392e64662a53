"""The messages of the page about troubleshooting are those that users get."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_dsw.client import causes
from airflow_provider_dsw.client import connection as connections
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import DswCreateSnapshotOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from tests.docs.readme import codes, rows, section

Provoke = Callable[[DswEmulator, Callable[[dict[str, Any] | None], None]], Any]


def by_connection(*without: str, **changed: Any) -> Provoke:
    """Call the hook through a connection that lacks these fields, or has these."""

    def provoke(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
        connection = {**emulator.connection(), **changed}
        connect({name: value for name, value in connection.items() if name not in without})
        DswHook().get_instance("dsw-abc")

    return provoke


def by_fault(**fault: Any) -> Provoke:
    def provoke(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
        emulator.fault(times=None, **fault)
        connect(emulator.connection())
        DswHook().get_instance("dsw-abc")

    return provoke


def by_sensor(status: str = "Running", **arguments: Any) -> Provoke:
    def provoke(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
        emulator.set_instance("dsw-abc", status)
        connect(emulator.connection())
        DswInstanceSensor(task_id="wait", instance_id="dsw-abc", **arguments).execute({})

    return provoke


def undefined(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
    connect(None)
    DswHook().get_instance("dsw-abc")


def unknown(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
    connect(emulator.connection())
    DswHook().get_instance("dsw-other")


def without_events(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
    emulator.fault("GetInstanceEvents", status=403)
    connect(emulator.connection())
    DswHook().get_instance_events("dsw-abc")


def untrusted(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
    with DswEmulator(tls=True) as with_tls:
        connect(with_tls.connection())
        DswHook().get_instance("dsw-abc")


def broken_extra(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
    # As the UI stores it; in an environment variable Airflow 3.1 itself stumbles over it.
    connections.parse(Connection(conn_id="dsw_default", conn_type="dsw", extra='{"region": "cn-hangzhou"'))


def too_slow(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
    raise RuntimeError(causes.NO_CONNECTION)


def twice(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
    emulator.snapshot_timeline = ["Saved"]
    emulator.saved_seconds = 0
    connect(emulator.connection())
    for _ in range(2):
        DswCreateSnapshotOperator(
            task_id="save", instance_id="dsw-abc", snapshot_name="a", image_url="registry/a:1", poke_interval=0.02
        ).execute({})


def without_triggerer(emulator: DswEmulator, connect: Callable[[dict[str, Any] | None], None]) -> None:
    connect(emulator.connection())
    sensor = DswInstanceSensor(task_id="wait", instance_id="dsw-abc", deferrable=True)
    # As Airflow resumes a task whose deferral was over before any event came.
    sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, {})


NO_CREDENTIALS = {"protocol": "http", "credentials_uri": "http://127.0.0.1:1/"}
PROVOKED: dict[str, Provoke] = {
    "The conn_id `dsw_default` isn't defined": undefined,
    "neither extra 'region' (e.g. 'cn-hangzhou') nor host is set": by_connection("host", "port", "extra"),
    "login (the AccessKey id) is not set": by_connection("login"),
    "password (the AccessKey secret) is not set": by_connection("password"),
    "The connection's type is": by_connection("login", conn_type="aws"),
    "the credentials could not be fetched": by_connection(extra={"auth_type": "credentials_uri"} | NO_CREDENTIALS),
    "Code InvalidSecurityToken.Expired": by_fault(status=400, code="InvalidSecurityToken.Expired"),
    "extra is not a JSON object": broken_extra,
    "without scheme and path": by_connection(host="https://pai-dsw.cn-hangzhou.aliyuncs.com"),
    "Code InvalidAccessKeyId.NotFound": by_connection(login="not-a-key"),
    "Code SignatureDoesNotMatch": by_connection(password="not-its-secret"),
    "Code NoPermission": by_fault(status=403),
    "Code InvalidTimeStamp.Expired": by_fault(status=400, code="InvalidTimeStamp.Expired"),
    "the service knows no such instance or snapshot": unknown,
    "the host name is unknown": by_connection("port", host="pai-dsw.cn-nowhere.invalid"),
    "no connection in time": too_slow,
    "nothing listens there (connection refused)": by_connection(port=1),
    "The response did not come from PAI-DSW": by_fault(status=404, body={"message": "no such route"}),
    "TLS failed; is it an https endpoint?": by_connection(extra={"protocol": "https"}),
    "the server's TLS certificate is not trusted here": untrusted,
    "No triggerer ended this wait in time": without_triggerer,
    "Code Throttling.User": by_fault(status=429),
    "can no longer reach": by_sensor("Failed"),
    "The RAM action paidsw:GetInstanceEvents": without_events,
    "is not an instance status. Did you mean": by_sensor(target_status="Runing"),
    "exists already": twice,
    "has no time zone": by_sensor(snapshot_created_after="2026-01-31T08:00:00"),
}


def test_every_message_of_the_table_is_provoked_here() -> None:
    messages = [message for cell, _ in rows(section("When something goes wrong")) for message in codes(cell)]

    assert messages == list(PROVOKED)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("message", PROVOKED)
def test_this_is_what_the_user_reads(
    emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], message: str
) -> None:
    def connect(connection: dict[str, Any] | None) -> None:
        if connection is None:
            monkeypatch.delenv("AIRFLOW_CONN_DSW_DEFAULT", raising=False)
        else:
            monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(connection))

    emulator.add_instance("dsw-abc")

    with pytest.raises(Exception) as raised:  # noqa: PT011 - of many kinds
        PROVOKED[message](emulator, connect)

    assert message in str(raised.value) + "".join(capsys.readouterr())
