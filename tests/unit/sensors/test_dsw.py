"""What ends a wait, and how, is the same in every mode."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswTransientError, DswWaitArgumentError, DswWaitFailedError
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.version_compat import (
    AirflowException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from tests.support import modes
from tests.support.clock import Clock
from tests.support.modes import ID
from tests.unit.sensors.conftest import Run

# What is wrong from the first poll on: how to bring it about, and what a sensor without flags raises.
WRONG: dict[str, tuple[type[AirflowException], dict[str, Any], dict[str, Any]]] = {
    "no such instance": (DswWaitFailedError, {"instance_id": "dsw-other"}, {}),
    "a failure status": (DswWaitFailedError, {"instance_id": "dsw-failed"}, {}),
    "a bad argument": (DswWaitArgumentError, {"target_status": ["Running", "{{ params.none }}"]}, {}),
    "a refusal": (DswWaitFailedError, {}, {"status": 400, "code": "ValidationError"}),
    "access denied": (DswWaitFailedError, {}, {"status": 403, "code": "Forbidden.RAM"}),
    "a service that is down": (DswTransientError, {}, {"status": 503, "code": "ServiceUnavailable"}),
    "a connection that lacks a field": (DswWaitFailedError, {"dsw_conn_id": "dsw_malformed"}, {}),
    "a connection that is not there": (AirflowNotFoundException, {"dsw_conn_id": "dsw_nowhere"}, {}),
}
# Those that poke mode takes for an error like any other: soft_fail does not help, silent_fail does.
RETRIED = (DswTransientError, AirflowNotFoundException)


@pytest.mark.parametrize("flag", [None, "soft_fail", "never_fail", "silent_fail"])
@pytest.mark.parametrize("wrong", WRONG)
def test_an_error_has_the_effect_that_it_has_in_poke_mode(
    run: Run, emulator: DswEmulator, clock: Clock, monkeypatch: pytest.MonkeyPatch, wrong: str, flag: str | None
) -> None:
    raised, arguments, fault = WRONG[wrong]
    malformed = {name: value for name, value in emulator.connection().items() if name not in ("host", "port", "extra")}
    monkeypatch.setenv("AIRFLOW_CONN_DSW_MALFORMED", json.dumps(malformed))
    emulator.add_instance(ID, status="Starting")
    emulator.add_instance("dsw-failed", status="Failed")
    if fault:
        emulator.fault(times=None, **fault)
    expected: type[AirflowException] = raised
    if flag == "never_fail" or (flag == "soft_fail" and raised not in RETRIED):
        expected = AirflowSkipException
    if flag == "silent_fail" and raised in RETRIED:
        expected = AirflowSensorTimeout  # it went on

    with pytest.raises(expected) as found:
        run(timeout=100, poke_interval=60, **arguments, **({flag: True} if flag else {}))

    assert found.type is expected
    if expected is AirflowNotFoundException:
        assert "dsw_nowhere" in str(found.value)


@pytest.mark.parametrize("conn_id", ["dsw_malformed", "dsw_nowhere"])
def test_a_connection_that_makes_no_request_counts_no_poll(
    run: Run, emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], conn_id: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DSW_MALFORMED", json.dumps({"conn_type": "dsw", "login": "id"}))

    with pytest.raises(AirflowException):
        run(dsw_conn_id=conn_id)

    assert not emulator.requests
    assert "Waited" not in "".join(capsys.readouterr())


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Airflow can't look a connection up: the API server is not there."""
    asked: list[str] = []

    def get_connection(conn_id: str) -> Any:
        asked.append(conn_id)
        raise ConnectionResetError

    async def aget_connection(conn_id: str) -> Any:
        get_connection(conn_id)

    monkeypatch.setattr("airflow_provider_dsw.hooks.dsw.DswHook.get_connection", staticmethod(get_connection))
    monkeypatch.setattr("airflow_provider_dsw.hooks.dsw.DswHook.aget_connection", staticmethod(aget_connection))
    return asked


def test_a_look_up_that_fails_is_a_transient_error(run: Run, look_ups: list[str]) -> None:
    with pytest.raises(DswTransientError, match=r"can't look up connection 'dsw_default' now \(ConnectionResetError\)"):
        run()
    assert look_ups == ["dsw_default"]


# Timeouts


MINUTE = {"poke_interval": 60, "timeout": 150}
SLOW = {"poke_interval": 60, "timeout": 20}
BACKOFF = {"poke_interval": 60, "timeout": 200, "exponential_backoff": True}


@pytest.mark.parametrize(
    ("arguments", "met_at", "polls", "ends"),
    [
        # The timeout is looked at after each poll, and so after the one that comes when it is over.
        (SLOW, 1, 1, None),
        (SLOW, 2, 2, None),
        (SLOW, 3, 2, AirflowSensorTimeout),
        (SLOW | {"soft_fail": True}, 3, 2, AirflowSkipException),
        (SLOW | {"never_fail": True}, 3, 2, AirflowSensorTimeout),
        (SLOW | {"timeout": 0}, 1, 1, None),
        (MINUTE, 3, 3, None),
        (MINUTE, 4, 4, None),
        (MINUTE, 5, 4, AirflowSensorTimeout),
    ],
)
def test_the_timeout_is_looked_at_after_each_poll(
    run: Run,
    emulator: DswEmulator,
    clock: Clock,
    arguments: dict[str, Any],
    met_at: int,
    polls: int,
    ends: type[AirflowException] | None,
) -> None:
    emulator.add_instance(ID, per_poll=["Starting"] * (met_at - 1) + ["Running"])
    began = clock.now
    if ends is None:
        assert run(**arguments)["Status"] == "Running"
    else:
        with pytest.raises(ends):
            run(**arguments)
    assert len(emulator.calls("GetInstance")) == polls
    assert clock.now - began <= (polls - 1) * arguments["poke_interval"] + 10.1  # the scheduler's grace


@pytest.mark.parametrize("met", [True, False])
@pytest.mark.parametrize("arguments", [BACKOFF, BACKOFF | {"poke_interval": 300}, BACKOFF | {"max_wait": 50}])
def test_with_exponential_backoff_the_last_poll_is_at_the_timeout(
    run: Run, emulator: DswEmulator, clock: Clock, arguments: dict[str, Any], met: bool
) -> None:
    """In every mode the pause that would go beyond the timeout is cut short."""
    emulator.add_instance(ID, "Starting")
    began = clock.now
    if met:
        clock.after(arguments["timeout"] - 1, lambda: emulator.set_instance(ID, "Running"))
        assert run(**arguments)["Status"] == "Running"
        earliest = arguments["timeout"] - 1  # Airflow's jitter may bring a poll in the very second of the change
    else:
        with pytest.raises(AirflowSensorTimeout):
            run(**arguments)
        earliest = arguments["timeout"]
    assert earliest <= clock.now - began < arguments["timeout"] + arguments.get("max_wait", 1)


def test_a_service_that_is_down_does_not_put_off_the_timeout(run: Run, emulator: DswEmulator, clock: Clock) -> None:
    emulator.add_instance(ID, status="Starting")
    goes_down_after_a_poll(emulator)
    began = clock.now
    with pytest.raises(AirflowSensorTimeout, match="last seen: Starting"):
        run(**MINUTE)
    assert clock.now - began < 180.1


# While the service is down


def goes_down_after_a_poll(emulator: DswEmulator) -> None:
    answered = iter(range(1_000_000))

    def fault_after_first(request: Any) -> None:
        if next(answered) == 0:
            emulator.fault(times=None, status=503, code="ServiceUnavailable")

    emulator.on_request = fault_after_first


@pytest.mark.parametrize("remembers", [True, False], ids=["Airflow 3.3", "before"])
def test_each_later_poll_of_a_service_that_is_down_is_one_request(
    run: Run, emulator: DswEmulator, clock: Clock, remembers: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    forgets = {} if remembers or run is not modes.reschedule else {"store": False}
    emulator.add_instance(ID, status="Starting")
    goes_down_after_a_poll(emulator)

    with pytest.raises(AirflowSensorTimeout):
        run(timeout=200, poke_interval=60, **forgets)

    # A poll that works, then one with all of its tries if it is known that the last one worked, then one try each.
    log = "".join(capsys.readouterr())
    (polls,) = re.findall(r"and (?:at least )?(\d+) polls for", log)
    assert len(emulator.calls("GetInstance")) == 1 + (1 if forgets else MAX_ATTEMPTS) + int(polls) - 2
    if not forgets:
        assert log.count("Still waiting for") == 1


@pytest.mark.parametrize(("asked", "kept"), [(10.0, 60.0), (120.0, 120.0), (1e15, 300.0)])
def test_the_next_poll_is_not_before_the_service_allows_it(
    run: Run, emulator: DswEmulator, clock: Clock, asked: float, kept: float
) -> None:
    emulator.add_instance(ID, per_poll=["Starting", "Running"])
    interval, began = 60.0, clock.now

    def throttle_after_first(request: Any) -> None:
        if len(emulator.requests) == 1:
            emulator.fault(times=MAX_ATTEMPTS, status=429, code="Throttling.User", retry_after_ms=int(asked * 1000))

    emulator.on_request = throttle_after_first

    assert run(timeout=3600, poke_interval=interval)["Status"] == "Running"

    assert len(emulator.requests) == 1 + MAX_ATTEMPTS + 1
    assert 0.9 * interval + min(kept, max(asked, 0.9 * interval)) <= clock.now - began <= interval + kept + 0.1


# Clocks that differ


def test_the_log_and_the_timeout_say_by_how_much_the_newest_snapshot_is_too_old(
    run: Run, emulator: DswEmulator, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    behind = (now - timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    emulator.add_instance(ID, status="Running")
    emulator.add_snapshot(ID, created=behind, status="Saved")

    with pytest.raises(AirflowSensorTimeout, match="the newest is 3 s too old"):
        run(snapshot_created_after=now.isoformat(), timeout=60, poke_interval=60)

    log = "".join(capsys.readouterr())
    assert log.count("no such snapshot yet, the newest is 3 s too old") == 1


def test_a_sensor_that_is_executed_again_waits_anew(dsw_default: DswEmulator, no_pauses: None) -> None:
    dsw_default.add_instance(ID, status="Running")
    sensor = DswInstanceSensor(task_id="wait", instance_id=ID)
    sensor.execute({})
    dsw_default.fault(times=None, status=503, code="ServiceUnavailable")
    with pytest.raises(DswTransientError):
        sensor.execute({})


def test_no_url_in_an_xcom_holds_a_token_or_a_password(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, JupyterlabUrl="https://gateway/lab/?token=abc", ImageUrl="https://me:abc@registry/a:1")

    found = run()

    assert (found["JupyterlabUrl"], found["ImageUrl"]) == ("https://gateway/lab/?token=***", "https://***@registry/a:1")
