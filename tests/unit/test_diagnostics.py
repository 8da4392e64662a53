"""What the log holds of a wait that has failed or timed out: the instance's last events, and its statuses' times."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_dsw import diagnostics
from airflow_provider_dsw.emulator import DswEmulator, ManualClock
from airflow_provider_dsw.exceptions import (
    DswError,
    DswOperationFailedError,
    DswTimeoutError,
    DswTransientError,
    DswWaitFailedError,
)
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger
from airflow_provider_dsw.version_compat import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
)
from tests.support import modes, task_runs
from tests.support.modes import ID

Run = Callable[..., Any]
ASKED = ("GetInstanceEvents", "GetLifecycle")
OLD, CAUSE = "an event of last week", "no GPU is left in this zone"
SECRET = "the-secret-of-the-connection"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(offset=-600)


@pytest.fixture
def emulator(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[DswEmulator]:
    """Its clock is five minutes ahead when a wait begins, and goes on by half a minute with each poll."""
    monkeypatch.setattr(diagnostics, "TIME_LIMIT", 60.0)  # which no busy machine exceeds
    with DswEmulator(clock=clock, failure_event=CAUSE, failure_reasons=False) as emulator:
        emulator.add_credential("key", SECRET)
        connection = {**emulator.connection(), "login": "key", "password": SECRET}
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(connection))
        for status in ("Updating", "Failed", "Stopped"):
            emulator.set_instance(ID, status) if status != "Updating" else emulator.add_instance(ID, status)
        emulator.add_event(ID, OLD)
        emulator.add_instance("dsw-old", "Failed")
        clock.advance(900)
        emulator.on_request = lambda request: clock.advance(30) if request.action == "GetInstance" else None
        yield emulator


@pytest.fixture(params=modes.ALL)
def run(request: pytest.FixtureRequest, emulator: DswEmulator, no_pauses: None) -> Run:
    function: Run = request.param
    return function


def asked(emulator: DswEmulator) -> list[str]:
    return [request.action for request in emulator.requests if request.action in ASKED]


# The sensor


def test_a_wait_that_fails_tells_of_the_events_since_it_began_and_of_the_times(
    run: Run, emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.set_instance(ID, per_poll=["Queuing", "Queuing", "EnvPreparing", "Failed"])

    with pytest.raises(DswWaitFailedError) as raised:
        run()

    log = "".join(capsys.readouterr())
    assert re.search(r"Event .*The instance is Queuing", log)
    assert re.search(f"Event .*{CAUSE}", log)
    assert OLD not in log
    assert re.search("in each status: .*Queuing 0:01:00, EnvPreparing 0:00:30, Failed 0:00:00", log)
    assert "Updating" not in log  # in a session that was over before
    assert asked(emulator) == list(ASKED)
    # The service gave no reason.
    assert str(raised.value).startswith(f"DSW instance {ID} is Failed")
    assert CAUSE in str(raised.value)[150:]


def test_a_reason_of_the_service_is_not_doubled(run: Run, emulator: DswEmulator) -> None:
    emulator.set_instance(ID, "Failed", ReasonCode="ImagePullBackOff", ReasonMessage="no such image")

    with pytest.raises(DswWaitFailedError, match="ReasonCode: ImagePullBackOff") as raised:
        run()

    assert "Last event" not in str(raised.value)
    assert asked(emulator) == list(ASKED)


def test_of_an_instance_that_failed_before_the_wait_the_last_event_is_told(
    run: Run, emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DswWaitFailedError, match=f"Last event: .*{CAUSE}"):
        run(instance_id="dsw-old")

    log = "".join(capsys.readouterr())
    assert "dsw-old has no events since the wait began. The last one before: " in log
    assert "Last events of DSW instance" not in log


@pytest.mark.parametrize("arguments", [{}, {"snapshot_image": "registry/none:1"}, {"until": "Nothing"}])
def test_a_wait_that_times_out_tells_of_them_too(
    run: Run, emulator: DswEmulator, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any]
) -> None:
    emulator.set_instance(ID, "Queuing")
    emulator.add_event(ID, CAUSE)

    with pytest.raises(AirflowSensorTimeout) as raised:
        run(timeout=0, **arguments)

    log = "".join(capsys.readouterr())
    assert f"{CAUSE}" in log
    assert "in each status: " in log
    assert str(raised.value).startswith("Timed out after 0 s waiting for ")
    assert str(raised.value).endswith(CAUSE)
    assert asked(emulator) == list(ASKED)


@pytest.mark.parametrize("flag", ["soft_fail", "never_fail", "silent_fail"])
@pytest.mark.parametrize("status", ["Queuing", "Failed"])
def test_a_flag_that_skips_the_task_changes_nothing_about_the_log(
    run: Run, emulator: DswEmulator, capsys: pytest.CaptureFixture[str], flag: str, status: str
) -> None:
    emulator.set_instance(ID, status)
    skips = flag == "soft_fail" or (flag == "never_fail" and status == "Failed")
    usual = AirflowSensorTimeout if status == "Queuing" else DswWaitFailedError

    with pytest.raises(AirflowSkipException if skips else usual):
        run(timeout=0, **{flag: True})

    log = "".join(capsys.readouterr())
    assert f"The instance is {status}" in log
    assert asked(emulator) == list(ASKED)


def test_nothing_is_asked_for_while_a_wait_goes_on_or_if_it_succeeds(run: Run, emulator: DswEmulator) -> None:
    emulator.set_instance(ID, per_poll=["Queuing", "Starting", "Running"])
    advance = emulator.on_request
    assert advance is not None

    def fail_once(request: Any) -> None:
        advance(request)
        if len(emulator.calls("GetInstance")) == 2:
            emulator.fault("GetInstance", status=503)

    emulator.on_request = fail_once

    assert run()["Status"] == "Running"
    assert asked(emulator) == []


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [({"instance_id": "dsw-none"}, {}), ({}, {"status": 403}), ({}, {"status": 503}), ({"dsw_conn_id": "none"}, {})],
)
def test_nothing_is_asked_for_if_the_service_itself_says_why_it_does_not_answer(
    run: Run, emulator: DswEmulator, arguments: dict[str, Any], fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NONE", json.dumps({"conn_type": "dsw"}))
    if fault:
        emulator.fault(times=None, **fault)

    with pytest.raises(DswError):
        run(**arguments)

    assert asked(emulator) == []


def test_nor_if_a_first_poll_that_the_service_can_not_answer_skips_the_task(run: Run, emulator: DswEmulator) -> None:
    emulator.fault(times=None, status=503)

    with pytest.raises(AirflowSkipException):
        run(never_fail=True)

    assert asked(emulator) == []


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403},
        {"status": 404, "code": "InternalError"},
        {"status": 503},
        {"retry_after_ms": 60_000},
        {"drop": True},
        {"body": '{"Events": "none", "Lifecycle": {"Status": "Failed"}}'},
    ],
)
def test_if_they_cannot_be_had_one_line_says_so_and_the_wait_ends_as_it_does(
    run: Run, emulator: DswEmulator, capsys: pytest.CaptureFixture[str], fault: dict[str, Any]
) -> None:
    emulator.set_instance(ID, per_poll=["Queuing", "Failed"])
    for action in ASKED:
        emulator.fault(action, times=None, **fault)

    with pytest.raises(DswWaitFailedError) as raised:
        run()

    assert "".join(capsys.readouterr()).count(f"The history of DSW instance {ID} could not be read") == 1
    assert str(raised.value).endswith("then clear the task.")
    assert asked(emulator) == list(ASKED)  # one try each


@pytest.mark.parametrize("missing", ASKED)
def test_without_one_of_the_permissions_the_other_part_is_told(
    emulator: DswEmulator, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    emulator.add_credential("key", SECRET, denied=[f"paidsw:{missing}"])
    emulator.set_instance(ID, "Failed")

    with pytest.raises(DswWaitFailedError) as raised:
        modes.poke()

    log = "".join(capsys.readouterr())
    assert log.count(f"The RAM action paidsw:{missing}") == 1
    assert (CAUSE in str(raised.value)) == (CAUSE in log) == (missing != "GetInstanceEvents")
    assert ("in each status: " in log) == (missing != "GetLifecycle")


def test_all_of_it_together_has_one_time_limit(
    run: Run, emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagnostics, "TIME_LIMIT", 0.3)
    patient = {**emulator.connection(), "extra": {"protocol": "http", "read_timeout": 300}}
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(patient))
    emulator.set_instance(ID, "Failed")
    held = emulator.fault("GetInstanceEvents", hold=True)
    began = time.monotonic()

    with pytest.raises(DswWaitFailedError):
        run()

    assert time.monotonic() - began < 120  # without a limit of its own it would last five minutes
    held.release()
    assert "GetLifecycle" not in asked(emulator)  # for which no time is left
    assert "".join(capsys.readouterr()).count(f"The history of DSW instance {ID} could not be read in full.") == 1


@pytest.mark.parametrize("error", [AirflowTaskTimeout("over"), RuntimeError("broken"), OSError("no disk")])
def test_nothing_that_goes_wrong_meanwhile_changes_how_the_wait_ends(
    run: Run,
    emulator: DswEmulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(DswHook, "get_instance_events", fail)
    emulator.set_instance(ID, "Failed")

    with pytest.raises(DswWaitFailedError, match="is Failed"):
        run()

    assert f"({type(error).__name__})" in "".join(capsys.readouterr())


def test_statuses_without_end_are_cut(emulator: DswEmulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.set_instance(ID, "Failed")
    phases = [{"Status": f"Status{number}", "GmtCreateTime": "2026-01-01T00:00:00Z"} for number in range(5000)]
    emulator.fault("GetLifecycle", times=None, status=200, body=json.dumps({"Lifecycle": [phases]}))

    with pytest.raises(DswWaitFailedError):
        modes.poke()

    line = next(line for line in "".join(capsys.readouterr()).splitlines() if "in each status" in line)
    assert "Status1 " in line
    assert len(line) < 2000


def test_a_subclass_s_own_skip_is_left_alone(emulator: DswEmulator) -> None:
    class Impatient(DswInstanceSensor):
        def poke(self, context: Any) -> Any:
            super().poke(context)
            raise AirflowSkipException("not today")

    emulator.set_instance(ID, "Queuing")

    with pytest.raises(AirflowSkipException, match=r"^not today$"):
        Impatient(task_id="wait", instance_id=ID).execute({})

    assert asked(emulator) == []


def test_an_events_line_is_one_line_without_secrets_and_cut(
    run: Run, emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.set_instance(ID, "Failed")
    emulator.add_event(ID, f"pulled with {SECRET}\n\x1b[31mERROR: forged line\x1b[0m {'x' * 5000}END")

    with pytest.raises(DswWaitFailedError) as raised:
        run()

    for text in ("".join(capsys.readouterr()), str(raised.value)):
        assert re.search(r"pulled with \*\*\* ERROR: forged line x+…", text)
        assert SECRET not in text
        assert "\x1b[31m" not in text
        assert "END" not in text


def test_the_last_ten_of_many_events_are_told(emulator: DswEmulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.set_instance(ID, "Failed")
    for number in range(30):
        emulator.add_event(ID, f"number {number}.")

    with pytest.raises(DswWaitFailedError, match=r"Last event: .*number 29"):
        modes.poke()

    told = re.findall(r"Event .*number (\d+)", "".join(capsys.readouterr()))
    assert told == [str(number) for number in range(20, 30)]


# execution_timeout


def test_an_execution_timeout_that_ends_a_deferred_wait_tells_of_them(
    emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.set_instance(ID, "Queuing")
    emulator.add_event(ID, CAUSE)

    with pytest.raises(AirflowTaskTimeout, match=r"execution_timeout of .* waiting for DSW instance") as raised:
        modes.defer(execution_timeout=timedelta(seconds=0.01))

    assert str(raised.value).endswith(CAUSE)
    assert CAUSE in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "task",
    [
        lambda: DswInstanceSensor(task_id="t", instance_id=ID, poke_interval=600),
        lambda: DswStartInstanceOperator(task_id="t", instance_id=ID, poke_interval=600),
    ],
)
def test_after_one_in_a_worker_nothing_is_asked_for(
    emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch, task: Callable[[], Any]
) -> None:
    def is_over(_: float) -> None:
        raise AirflowTaskTimeout

    monkeypatch.setattr(time, "sleep", is_over)
    emulator.set_instance(ID, "Queuing")

    with pytest.raises(AirflowTaskTimeout):
        task().execute(task_runs.context())

    assert asked(emulator) == []


def test_where_only_airflow_ends_a_deferred_wait_it_is_told_all_the_same(
    emulator: DswEmulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_answer(*_: Any) -> None:
        raise TaskDeferralTimeout("the triggerer is down")

    monkeypatch.setattr("airflow.sdk.BaseOperator.resume_execution", no_answer)
    emulator.set_instance(ID, "Queuing")
    emulator.add_event(ID, CAUSE)
    sensor = DswInstanceSensor(task_id="t", instance_id=ID, deferrable=True)

    with pytest.raises(AirflowSensorTimeout, match=CAUSE):
        sensor.resume_execution("execute_complete", {}, task_runs.context())

    log = "".join(capsys.readouterr())
    assert OLD not in log
    assert "Check that a triggerer is running and has free capacity." in log


# Operators


OPERATORS: dict[str, tuple[Callable[..., Any], dict[str, Any], str, dict[str, Any], type[DswError]]] = {
    "a start fails": (
        DswStartInstanceOperator,
        {},
        "Stopped",
        {"start_timeline": ["Queuing", "Failed"]},
        DswOperationFailedError,
    ),
    "a start that is too long": (
        DswStartInstanceOperator,
        {"timeout": 0.01},
        "Stopped",
        {"start_timeline": ["Queuing"]},
        DswTimeoutError,
    ),
    "a start that somebody undoes": (
        DswStartInstanceOperator,
        {},
        "Stopped",
        {"start_timeline": ["Starting", "Stopping", "Stopped"]},
        DswOperationFailedError,
    ),
    "a stop fails": (
        DswStopInstanceOperator,
        {},
        "Running",
        {"stop_timeline": ["Stopping", "Failed"]},
        DswOperationFailedError,
    ),
    "a wait before a request that is too long": (
        DswStartInstanceOperator,
        {"timeout": 0.01},
        "Saving",
        {},
        DswTimeoutError,
    ),
    "a deletion that is too long": (
        DswDeleteInstanceOperator,
        {"timeout": 0.01},
        "Stopped",
        {"delete_timeline": ["Deleting"]},
        DswTimeoutError,
    ),
    "a snapshot that is too long": (
        DswCreateSnapshotOperator,
        {"image_url": "registry/a:1", "timeout": 0.01},
        "Running",
        {"snapshot_timeline": ["Committing"]},
        DswTimeoutError,
    ),
}


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
@pytest.mark.parametrize("case", OPERATORS)
def test_so_does_what_an_operator_waits_for(
    emulator: DswEmulator, no_pauses: None, capsys: pytest.CaptureFixture[str], case: str, deferrable: bool
) -> None:
    operator, arguments, status, timelines, raises = OPERATORS[case]
    emulator.set_instance(ID, status)
    for name, timeline in timelines.items():
        setattr(emulator, name, timeline)

    with pytest.raises(raises) as raised:
        task_runs.run(operator(task_id="t", instance_id=ID, poke_interval=0.01, deferrable=deferrable, **arguments))

    log = "".join(capsys.readouterr())
    assert re.search(r"Event .*The instance is", log)
    assert OLD not in log
    assert "in each status: " in log
    assert "Last event: " in str(raised.value)[100:]
    assert asked(emulator) == list(ASKED)


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
def test_a_snapshot_that_fails_has_a_reason_of_its_own(
    emulator: DswEmulator, no_pauses: None, capsys: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    emulator.set_instance(ID, "Running")
    emulator.snapshot_timeline = ["Committing", "Failed"]
    snapshot = DswCreateSnapshotOperator(
        task_id="t", instance_id=ID, image_url="registry/a:1", poke_interval=0.01, deferrable=deferrable
    )

    with pytest.raises(DswOperationFailedError, match="ReasonMessage: ") as raised:
        task_runs.run(snapshot)

    assert "Last event" not in str(raised.value)
    assert "Last events of DSW instance" in "".join(capsys.readouterr())
    assert asked(emulator) == list(ASKED)


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
def test_what_a_task_created_is_deleted_after_its_events_were_logged_once(
    emulator: DswEmulator, no_pauses: None, capsys: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    emulator.next_starts = [["Queuing", "Failed"]]
    emulator.failure_event = f"{CAUSE}; TOKEN=the-users-secret"
    body = {
        "InstanceName": "a",
        "EcsSpec": "e",
        "ImageUrl": "r/a:1",
        "EnvironmentVariables": {"TOKEN": "the-users-secret"},
    }
    create = DswCreateInstanceOperator(task_id="t", body=body, poke_interval=0.01, deferrable=deferrable)

    with pytest.raises(DswOperationFailedError, match=CAUSE) as raised:
        task_runs.run(create, task_runs.context(try_number=3, max_tries=2))

    log = "".join(capsys.readouterr())
    assert CAUSE in log
    assert "the-users-secret" not in log + str(raised.value)
    actions = [request.action for request in emulator.requests]
    assert asked(emulator) == list(ASKED)
    assert actions.index("GetInstanceEvents") < actions.index("DeleteInstance")


# Triggers


def test_a_watcher_asks_for_none(emulator: DswEmulator) -> None:
    emulator.set_instance(ID, per_poll=["Running", "Failed", "Stopped"])

    watcher = DswInstanceEventTrigger(instance_id=ID, target_status=["Failed"], poke_interval=0.01)

    assert asyncio.run(task_runs.first_event(watcher))["Status"] == "Failed"
    assert asked(emulator) == []


# The hook


def test_the_lifecycle_is_given_by_session_the_newest_first(emulator: DswEmulator) -> None:
    for status in ("Starting", "Failed", "Queuing", "Running"):
        emulator.set_instance(ID, status)

    sessions = DswHook().get_lifecycle(ID)

    assert [{phase["Status"] for phase in session} for session in sessions[:2]] == [
        {"Queuing", "Running"},
        {"Starting", "Failed"},
    ]
    assert DswHook().get_lifecycle(ID, sessions=1) == sessions[:1]


@pytest.mark.parametrize("body", ['{"Lifecycle": {}}', '{"Lifecycle": ["x"]}', '{"Lifecycle": [["x"]]}', "[]"])
def test_what_is_no_lifecycle_is_a_broken_answer(emulator: DswEmulator, no_pauses: None, body: str) -> None:
    emulator.fault("GetLifecycle", times=None, body=body)

    if body == '{"Lifecycle": {}}':
        assert DswHook().get_lifecycle(ID) == []
        return
    with pytest.raises(DswTransientError):
        DswHook().get_lifecycle(ID)
