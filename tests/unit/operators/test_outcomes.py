"""How an operator's try ends, and whether a retry may mend it."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.exceptions import (
    DswConnectionError,
    DswError,
    DswOperationFailedError,
    DswTimeoutError,
    DswTransientError,
    DswWaitArgumentError,
    DswWaitFailedError,
)
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.version_compat import AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout
from tests.support.beside import HARMLESS, add_instance_for
from tests.support.task_runs import context, run
from tests.unit.operators.conftest import ID, Change, Make

SNAPSHOT = {"image_url": "registry/a:1"}
OPERATORS: list[Any] = [
    pytest.param(Change(DswStartInstanceOperator, {}, "Stopped", "StartInstance"), id="start"),
    pytest.param(Change(DswStopInstanceOperator, {}, "Running", "StopInstance"), id="stop"),
    pytest.param(Change(DswCreateSnapshotOperator, SNAPSHOT, "Running", "CreateInstanceSnapshot"), id="snapshot"),
]
LASTING = [row for row in OPERATORS if row.values[0].takes_time]
# Which operators these tests do not fit, and where the same is tested of them.
TESTED_ALONE = {
    DswCreateInstanceOperator: "test_create.py",  # there is no instance before
    DswDeleteInstanceOperator: "test_delete.py",  # there is none after, and a refused one stops it first
}


def is_retried(error: BaseException) -> bool:
    return not isinstance(error, (AirflowFailException, AirflowSensorTimeout))


@pytest.mark.parametrize("change", OPERATORS)
def test_a_refusal_is_retried_and_each_try_asks_again(make: Make, emulator: DswEmulator, change: Change) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.fault(change.action, times=None, status=400, code="NoStock", message="No GPU is left")
    for try_number in range(1, 7):
        with pytest.raises(DswOperationFailedError, match="No GPU is left") as raised:
            run(make(change.operator, **change.arguments), context(try_number, max_tries=5))
        assert is_retried(raised.value)
        assert (raised.value.code, raised.value.message) == ("NoStock", "No GPU is left")

    assert len(emulator.calls(change.action)) == 6


def test_a_start_that_fails_in_the_queue_is_asked_for_again_by_each_try(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped", GmtModifiedTime="2026-01-31T08:00:00Z")
    for try_number in range(1, 7):
        times = [f"2026-01-31T08:{try_number:02}:0{second}Z" for second in (0, 1)]
        emulator.start_timeline = [
            ("Queuing", {"GmtModifiedTime": times[0]}),
            ("Failed", {"GmtModifiedTime": times[1], "ReasonCode": "QueueTimeout"}),
        ]
        with pytest.raises(DswOperationFailedError, match="QueueTimeout") as raised:
            run(make(DswStartInstanceOperator), context(try_number, max_tries=5))
        assert is_retried(raised.value)

    assert [request.status for request in emulator.calls("StartInstance")] == [200] * 6


@pytest.mark.parametrize("change", OPERATORS)
@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ({"status": 404, "code": "InstanceNotFound"}, DswWaitFailedError),
        ({"status": 403, "code": "NoPermission"}, DswWaitFailedError),
    ],
)
@pytest.mark.parametrize("when", ["before", "asking", "waiting"])
def test_what_a_retry_would_find_again_is_not_retried(
    make: Make, emulator: DswEmulator, change: Change, fault: dict[str, Any], raised: type[DswError], when: str
) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    if when == "waiting":

        def fail_from_now_on(request: Request) -> None:
            if request.action == change.action:
                for awaits in ("GetInstance", "GetInstanceSnapshot"):
                    emulator.fault(awaits, times=None, **fault)

        emulator.on_request = fail_from_now_on
    else:
        emulator.fault("GetInstance" if when == "before" else change.action, times=None, **fault)

    with pytest.raises(raised) as error:
        run(make(change.operator, **change.arguments))

    assert not is_retried(error.value)
    assert error.value.code == fault["code"]


@pytest.mark.parametrize("change", LASTING)
def test_a_time_limit_is_retried_and_the_retry_resumes(make: Make, emulator: DswEmulator, change: Change) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.start_timeline = ["Queuing"]
    emulator.stop_timeline = ["Stopping"]
    emulator.snapshot_timeline = [("Pushing", 60), "Saved"]
    for try_number in (1, 2, 3):
        with pytest.raises(DswTimeoutError, match="a longer timeout") as raised:
            run(make(change.operator, timeout=0.15, **change.arguments), context(try_number, max_tries=3))
        assert is_retried(raised.value)

    assert len(emulator.calls(change.action)) == 1


@pytest.mark.parametrize("change", LASTING)
def test_an_operation_that_fails_ends_the_wait(make: Make, emulator: DswEmulator, change: Change) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.snapshot_timeline = ["Committing", "Failed"]

    def fail(request: Request) -> None:
        if request.action == "GetInstance" and emulator.calls(change.action):
            emulator.on_request = None
            emulator.set_instance(ID, "Failed")

    emulator.on_request = fail

    with pytest.raises(DswOperationFailedError, match="Failed"):
        run(make(change.operator, timeout=2, **change.arguments))


@pytest.mark.parametrize("change", LASTING)
def test_execution_timeout_keeps_its_own_exception(make: Make, emulator: DswEmulator, change: Change) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.start_timeline, emulator.stop_timeline = ["Queuing"], ["Stopping"]
    emulator.snapshot_timeline = [("Pushing", 60), "Saved"]
    task = make(change.operator, execution_timeout=timedelta(seconds=0.3), **change.arguments)
    if not task.deferrable:
        pytest.skip("Airflow itself ends a task in a worker")

    with pytest.raises(AirflowTaskTimeout):
        run(task)


@pytest.mark.parametrize("change", OPERATORS)
def test_airflow_s_own_timeout_of_a_silent_triggerer_is_the_same_error(change: Change) -> None:
    given = {"task_id": "t", "instance_id": ID, "deferrable": True, "timeout": 60, **change.arguments}

    with pytest.raises(DswTimeoutError):
        change.operator(**given).resume_execution("__fail__", {"error": "Trigger timeout"}, context())


@pytest.mark.parametrize("is_found_made", [False, True])
@pytest.mark.parametrize("change", OPERATORS)
def test_no_transient_error_ends_the_wait_once_the_request_was_made_or_found_made(
    make: Make, emulator: DswEmulator, change: Change, is_found_made: bool
) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.start_timeline = ["Creating", *["Starting"] * 9, "Running"]
    emulator.stop_timeline = [*["Stopping"] * 9, "Stopped"]
    emulator.snapshot_timeline = [*["Pushing"] * 9, "Saved"]
    last_before = change.action
    if is_found_made:
        run(make(change.operator, wait_for_completion=False, **change.arguments))
        last_before = "ListInstanceSnapshot" if change.operator is DswCreateSnapshotOperator else "GetInstance"

    def fail_from_now_on(request: Request) -> None:
        if request.action == last_before:
            emulator.on_request = None
            for read in ("GetInstance", "GetInstanceSnapshot"):
                emulator.fault(read, times=6, status=503)

    emulator.on_request = fail_from_now_on

    assert run(make(change.operator, **change.arguments), context(2))["Status"] in ("Running", "Stopped", "Saved")
    assert len(emulator.calls(change.action)) == (2 if is_found_made and change.action in HARMLESS else 1)


@pytest.mark.parametrize("change", OPERATORS)
def test_a_transient_error_before_the_request_is_retried(make: Make, emulator: DswEmulator, change: Change) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.fault("GetInstance", times=None, status=503)

    with pytest.raises(DswTransientError) as raised:
        run(make(change.operator, **change.arguments))

    assert is_retried(raised.value)
    assert emulator.calls(change.action) == []


@pytest.mark.parametrize("change", OPERATORS)
def test_a_connection_that_lacks_a_field_is_retried(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    change: Change,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", '{"conn_type": "dsw"}')

    with pytest.raises(DswConnectionError) as raised:
        run(make(change.operator, **change.arguments))

    assert is_retried(raised.value)


def test_an_instance_that_is_being_deleted_is_not_asked_for_anything(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Deleting", ReasonCode="Code.Of.Reason", ReasonMessage="somebody wants it")

    for operator in (DswStartInstanceOperator, DswStopInstanceOperator):
        with pytest.raises(
            DswOperationFailedError, match=r"is Deleting.*Code\.Of\.Reason.*somebody wants it.*RequestId: "
        ):
            run(make(operator))

    assert {request.action for request in emulator.requests} == {"GetInstance"}


def test_an_argument_that_renders_to_what_can_t_work_is_not_retried(make: Make, emulator: DswEmulator) -> None:
    task = make(DswStartInstanceOperator, instance_id="{{ params.id }}")
    task.instance_id = "None"

    with pytest.raises(DswWaitArgumentError, match="instance_id") as raised:
        run(task)

    assert not is_retried(raised.value)
    assert emulator.requests == []


@pytest.mark.parametrize("change", OPERATORS)
def test_the_log_says_what_was_asked_for_and_under_which_request_id(
    make: Make,
    emulator: DswEmulator,
    capsys: pytest.CaptureFixture[str],
    change: Change,
) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    run(make(change.operator, **change.arguments))

    (line,) = [line for line in capsys.readouterr().out.splitlines() if f"{change.action} of" in line]
    assert ID in line
    assert re.search(r"RequestId: [0-9A-F-]{36}", line)


@pytest.mark.parametrize("try_number", [1, 2])
def test_no_transient_error_ends_it_between_two_waits(make: Make, emulator: DswEmulator, try_number: int) -> None:
    """Between a wait for the end of what has to end first, and the request; in the second try of a cleared task too."""
    before = ["Stopping", "Stopping"] if try_number == 1 else ["Starting", "Starting", "Stopping", "Stopping"]
    emulator.add_instance(ID, per_poll=[*before, "Stopped"])

    def fail_the_next_look(request: Request) -> None:
        if len(emulator.calls("GetInstance")) == 3:
            emulator.on_request = None
            emulator.fault("GetInstance", times=4, status=503)

    emulator.on_request = fail_the_next_look

    of_task = context(try_number, max_tries=try_number - 1)
    assert run(make(DswStartInstanceOperator), of_task)["Status"] == "Running"
    assert len(emulator.calls("StartInstance")) == 1


def test_a_wait_asks_no_sooner_than_the_service_wants(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, per_poll=["Starting", "Starting", "Running"])
    times: list[float] = []

    def throttle_the_third(request: Request) -> None:
        times.append(time.monotonic())
        if len(times) == 2:
            # All of one poll's tries, and the next poll.
            emulator.fault("GetInstance", times=5, status=429, retry_after_ms=300)

    emulator.on_request = throttle_the_third
    run(make(DswStartInstanceOperator))

    assert len(times) == 8
    assert times[-1] - times[-2] > 0.25
    assert times[-2] - times[-3] > 0.25


@pytest.mark.parametrize("status", ["Starting", "Stopping", "Updating"])
def test_the_log_speaks_of_no_request_if_none_was_made(
    make: Make, emulator: DswEmulator, capsys: pytest.CaptureFixture[str], status: str
) -> None:
    emulator.add_instance(ID, per_poll=[status, status, "Running"])
    run(make(DswStartInstanceOperator))

    log = capsys.readouterr().out
    assert re.search(rf"Waiting for .*DSW instance {ID}.*: {status}\b", log)
    assert "the request" not in log


@pytest.mark.parametrize(
    ("operator", "blocked_by", "target"),
    [(DswStartInstanceOperator, "Updating", "Running"), (DswStopInstanceOperator, "Saving", "Stopped")],
)
def test_an_instance_that_is_deleted_before_the_request_could_be_made(
    make: Make, emulator: DswEmulator, operator: type, blocked_by: str, target: str
) -> None:
    emulator.add_instance(ID, per_poll=[blocked_by, blocked_by, "Deleting"])

    with pytest.raises(DswOperationFailedError, match=f"is Deleting and can no longer reach {target}"):
        run(make(operator))


def test_of_several_failed_snapshots_of_a_task_none_is_taken_for_the_one_whose_answer_was_lost(
    make: Make, emulator: DswEmulator
) -> None:
    emulator.add_instance(ID)
    emulator.saved_seconds = 0
    emulator.snapshot_timeline = ["Committing", "Failed"]
    for try_number in (1, 2):
        with pytest.raises(DswOperationFailedError):
            run(make(DswCreateSnapshotOperator, **SNAPSHOT), context(try_number))
    emulator.snapshot_timeline = ["Committing", "Saved"]
    emulator.fault("CreateInstanceSnapshot", drop=True)

    assert run(make(DswCreateSnapshotOperator, **SNAPSHOT), context(3))["Status"] == "Saved"
    assert len(emulator.calls("CreateInstanceSnapshot")) == 4
