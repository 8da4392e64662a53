"""A request whose answer was lost is not sent again before the service was asked whether it was performed."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.exceptions import DswOperationFailedError, DswTransientError
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from tests.support.beside import HARMLESS, add_instance_for
from tests.support.task_runs import context, run
from tests.unit.operators.conftest import ID, Change, Make

SNAPSHOT = {"image_url": "registry/a:1", "snapshot_name": "a"}
OPERATORS: list[Any] = [
    pytest.param(Change(DswStartInstanceOperator, {}, "Stopped", "StartInstance"), id="start"),
    pytest.param(Change(DswStopInstanceOperator, {}, "Running", "StopInstance"), id="stop"),
    pytest.param(Change(DswStopInstanceOperator, {"save_image": True}, "Running", "StopInstance"), id="save and stop"),
    pytest.param(
        Change(DswCreateSnapshotOperator, SNAPSHOT, "Running", "CreateInstanceSnapshot", "ListInstanceSnapshot"),
        id="snapshot",
    ),
    pytest.param(Change(DswDeleteInstanceOperator, {}, "Running", "DeleteInstance"), id="delete"),
]
# Which operators these tests do not fit, and where the same is tested of them.
TESTED_ALONE = {
    DswCreateInstanceOperator: "test_create.py",  # there is no instance before
}
LOST: list[Any] = [
    pytest.param({"drop": True}, id="dropped"),
    pytest.param({"truncate": True}, id="truncated"),
    pytest.param({"status": 502, "body": "<html>Bad Gateway</html>"}, id="gateway"),
    pytest.param({"status": 500, "code": "InternalError"}, id="5xx"),
]


@pytest.fixture(autouse=True)
def generous(dsw_default: DswEmulator) -> None:
    """A service that would do everything twice."""
    dsw_default.concurrent_snapshots = True
    dsw_default.unique_names = False


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("change", OPERATORS)
def test_what_was_performed_is_found_and_not_asked_for_again(
    make: Make, emulator: DswEmulator, change: Change, lost: dict[str, Any]
) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.fault(change.action, performed=None if "truncate" in lost else True, **lost)

    assert run(make(change.operator, **change.arguments))["InstanceId"] == ID
    assert len(emulator.calls(change.action)) == 1


@pytest.mark.parametrize("change", OPERATORS)
def test_also_if_it_is_shown_late(make: Make, emulator: DswEmulator, change: Change) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.stale_reads = emulator.late_lists = 2
    emulator.fault(change.action, drop=True, performed=True)

    assert run(make(change.operator, **change.arguments))["InstanceId"] == ID
    assert len(emulator.calls(change.action)) == 1


@pytest.mark.parametrize("change", OPERATORS)
def test_it_is_looked_for_until_it_is_shown(make: Make, emulator: DswEmulator, change: Change) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.stale_reads = emulator.late_lists = 2
    emulator.fault(change.action, drop=True, performed=True)

    run(make(change.operator, wait_for_completion=False, **change.arguments))

    actions = [request.action for request in emulator.requests]
    looks = actions[actions.index(change.action) :].count(change.look)
    assert looks >= 3, (
        f"Does stale_reads hide {change.action} from {change.look}? Its handlers in emulator/ have to do that, as "
        "fall_behind() does for GetInstance."
    )


@pytest.mark.parametrize("late_lists", [3, 6])
def test_a_snapshot_that_the_instance_shows_before_the_list_is_not_made_twice(
    make: Make, emulator: DswEmulator, late_lists: int
) -> None:
    emulator.add_instance(ID)
    emulator.late_lists = late_lists
    emulator.fault("CreateInstanceSnapshot", drop=True, performed=True)

    with pytest.raises(DswTransientError, match="CreateInstanceSnapshot"):
        run(make(DswCreateSnapshotOperator, **SNAPSHOT))
    assert run(make(DswCreateSnapshotOperator, **SNAPSHOT), context(2))["Status"] == "Saved"
    assert len(emulator.calls("CreateInstanceSnapshot")) == 1


@pytest.mark.parametrize("change", OPERATORS)
def test_what_was_not_performed_is_asked_for_again_after_a_look(
    make: Make, emulator: DswEmulator, change: Change
) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.fault(change.action, status=503, code="ServiceUnavailable")

    run(make(change.operator, **change.arguments))

    actions = [request.action for request in emulator.requests]
    first = actions.index(change.action)
    second = actions.index(change.action, first + 1)
    assert actions[first + 1 : second].count(change.look) == 3
    assert actions.count(change.action) == 2


@pytest.mark.parametrize("change", OPERATORS)
def test_where_nobody_can_look_nothing_is_repeated(make: Make, emulator: DswEmulator, change: Change) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.fault(change.action, drop=True, performed=True)

    def fail_from_now_on(request: Request) -> None:
        if request.action == change.action:
            emulator.fault(change.look, times=None, status=503)

    emulator.on_request = fail_from_now_on

    with pytest.raises(DswTransientError, match=change.action):
        run(make(change.operator, **change.arguments))
    assert len(emulator.calls(change.action)) == 1


@pytest.mark.parametrize("change", OPERATORS)
def test_a_service_that_never_performs_it_is_asked_only_so_often(
    make: Make, emulator: DswEmulator, change: Change
) -> None:
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.fault(change.action, times=None, status=503)

    with pytest.raises(DswTransientError, match=change.action):
        run(make(change.operator, **change.arguments))
    assert len(emulator.calls(change.action)) == 3


@pytest.mark.parametrize("change", [row for row in OPERATORS if row.values[0].action not in HARMLESS])
def test_a_retry_that_is_refused_for_what_an_earlier_try_brought_about_finds_it(
    make: Make, emulator: DswEmulator, change: Change
) -> None:
    """The earlier try was killed, and the state from before it is still read."""
    add_instance_for(emulator, change.action, ID, change.status)
    emulator.concurrent_snapshots, emulator.unique_names = False, True
    emulator.stale_reads = emulator.late_lists = 2
    run(make(change.operator, wait_for_completion=False, **change.arguments))
    emulator.set_instance(ID, stale_reads=2)

    assert run(make(change.operator, **change.arguments), context(2))["InstanceId"] == ID
    assert [request.status for request in emulator.calls(change.action)].count(200) == 1


def test_the_lost_answer_of_a_retry_is_not_taken_for_the_failed_snapshot_before_it(
    make: Make, emulator: DswEmulator
) -> None:
    emulator.add_instance(ID)
    emulator.next_snapshots = [["Pushing", "Failed"]]
    with pytest.raises(DswOperationFailedError):
        run(make(DswCreateSnapshotOperator, **SNAPSHOT))
    emulator.set_instance(ID, "Running")
    emulator.late_lists = 1
    emulator.fault("CreateInstanceSnapshot", drop=True, performed=True)

    assert run(make(DswCreateSnapshotOperator, **SNAPSHOT), context(2))["Status"] == "Saved"
    assert len(emulator.calls("CreateInstanceSnapshot")) == 2


def test_a_start_whose_answer_is_lost_outlives_the_failure_of_before(make: Make, emulator: DswEmulator) -> None:
    emulator.start_timeline = [("Starting", 0.3), ("Running", None)]
    emulator.add_instance(ID, "Failed")
    emulator.stale_reads = [0, 1, 0, 1, 0]
    emulator.fault("StartInstance", drop=True, performed=True)

    assert run(make(DswStartInstanceOperator))["Status"] == "Running"
    assert len(emulator.calls("StartInstance")) == 1


@pytest.mark.parametrize("after_failed_save", ["stop", "running"])
@pytest.mark.parametrize("pushing", [["Pushing", "Pushing"], [("Pushing", 0)]], ids=["seen", "not seen"])
def test_a_save_whose_answer_is_lost_fails_the_stop_if_it_fails(
    make: Make, emulator: DswEmulator, pushing: list[Any], after_failed_save: str
) -> None:
    emulator.snapshot_timeline = [*pushing, ("Failed", None, {"ReasonMessage": "disk full"})]
    emulator.after_failed_save = after_failed_save
    emulator.saved_seconds = 0
    emulator.add_instance(ID)
    emulator.fault("StopInstance", drop=True, performed=True)

    with pytest.raises(DswOperationFailedError, match="disk full"):
        run(make(DswStopInstanceOperator, save_image=True))
    assert len(emulator.calls("StopInstance")) == 1


def test_a_save_whose_answer_is_lost_is_found_though_the_instance_goes_on_running(
    make: Make, emulator: DswEmulator
) -> None:
    emulator.snapshot_timeline = [("Pushing", 0.5), ("Saved", None)]
    emulator.saving_status = False
    emulator.add_instance(ID)
    emulator.fault("StopInstance", drop=True, performed=True)

    assert run(make(DswStopInstanceOperator, save_image=True, timeout=20))["Status"] == "Stopped"
    assert len(emulator.calls("StopInstance")) == 1


def test_it_is_sent_again_no_sooner_than_the_service_allows(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.fault("StartInstance", status=504, code="Timeout", retry_after_ms=700)

    run(make(DswStartInstanceOperator))

    first, second = emulator.calls("StartInstance")
    assert second.time - first.time >= 0.7


def test_an_answer_without_a_status_does_not_show_that_nothing_was_performed(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, per_poll=["Stopped", *[("Stopped", {"Status": None})] * 4, "Running"])
    emulator.fault("StartInstance", times=None, drop=True)

    with pytest.raises(DswTransientError):
        run(make(DswStartInstanceOperator))
    assert len(emulator.calls("StartInstance")) == 1
