"""What becomes of an image that is saved: before a stop, and by a task that is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, ManualClock, Request
from airflow_provider_dsw.exceptions import DswOperationFailedError, DswTimeoutError, DswWaitFailedError
from airflow_provider_dsw.operators.dsw import DswCreateSnapshotOperator, DswStopInstanceOperator
from tests.support.task_runs import context, run
from tests.unit.operators.conftest import ID, Make

FAILED = ("Failed", {"ReasonCode": "PushFailed", "ReasonMessage": "disk full"})
SNAPSHOT = {"image_url": "registry/a:1"}


def of_a_run_that_began(ago: timedelta, **of_task: Any) -> Any:
    return {**context(**of_task), "dag_run": SimpleNamespace(start_date=datetime.now(UTC) - ago)}


# The image that is saved before a stop


@pytest.mark.parametrize("latest_snapshot", ["created", "modified"])
@pytest.mark.parametrize("saving_status", [True, False])
@pytest.mark.parametrize("after_failed_save", ["running", "stop", "stay"])
def test_a_save_that_fails_fails_the_stop_though_no_poll_sees_that_status(
    make: Make, emulator: DswEmulator, after_failed_save: str, saving_status: bool, latest_snapshot: str
) -> None:
    emulator.add_instance(ID)
    emulator.snapshot_timeline = [("Pushing", 0), ("Failed", None, FAILED[1])]
    emulator.saved_seconds = 0
    emulator.after_failed_save = after_failed_save
    emulator.saving_status = saving_status
    emulator.latest_snapshot = latest_snapshot

    with pytest.raises(DswOperationFailedError, match="disk full") as raised:
        run(make(DswStopInstanceOperator, save_image=True))
    assert raised.value.code == "PushFailed"


def test_the_polls_may_see_all_but_that(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)

    def stopped(request: Request) -> None:
        if request.action == "StopInstance":
            emulator.add_snapshot(ID, per_poll=["Pushing", "Pushing", FAILED])
            emulator.set_instance(ID, per_poll=["Running", "Saving", "Stopping", "Stopped"])

    emulator.on_request = stopped

    with pytest.raises(DswOperationFailedError, match="disk full"):
        run(make(DswStopInstanceOperator, save_image=True))


def test_an_older_snapshot_that_has_failed_is_not_that_of_the_stop(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.add_snapshot(ID, status="Failed")

    assert run(make(DswStopInstanceOperator, save_image=True))["Status"] == "Stopped"


def test_a_push_that_goes_on_after_the_stop_is_waited_for(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)

    def stopped(request: Request) -> None:
        if request.action == "StopInstance":
            emulator.add_snapshot(ID, per_poll=["Committing", "Pushing", "Pushing", "Pushing", "Pushing", FAILED])
            emulator.set_instance(ID, per_poll=["Saving", "Stopped"])

    emulator.on_request = stopped

    with pytest.raises(DswOperationFailedError, match="disk full"):
        run(make(DswStopInstanceOperator, save_image=True))


def test_without_a_save_no_snapshot_matters(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)

    def stopped(request: Request) -> None:
        if request.action == "StopInstance":
            emulator.add_snapshot(ID, status="Failed")

    emulator.on_request = stopped

    assert run(make(DswStopInstanceOperator))["Status"] == "Stopped"


@pytest.mark.parametrize(
    ("status", "raised"), [("Failed", True), ("Saved", False)], ids=["the save has failed", "the save has worked"]
)
@pytest.mark.parametrize("now", ["Stopped", "Stopping"])
def test_a_retry_that_finds_the_instance_stopped_asks_what_became_of_the_save(
    make: Make, emulator: DswEmulator, now: str, status: str, raised: bool
) -> None:
    emulator.add_instance(ID, per_poll=[now, "Stopped"])
    emulator.add_snapshot(ID, status=status, reason_message="disk full")
    of_task = of_a_run_that_began(timedelta(hours=1), try_number=2)

    if raised:
        with pytest.raises(DswOperationFailedError, match="disk full"):
            run(make(DswStopInstanceOperator, save_image=True), of_task)
    else:
        assert run(make(DswStopInstanceOperator, save_image=True), of_task)["Status"] == "Stopped"
    assert emulator.calls("StopInstance") == []


def test_a_retry_waits_for_a_push_that_goes_on(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.add_snapshot(ID, per_poll=["Pushing", "Pushing", "Pushing", "Saved"])

    found = run(make(DswStopInstanceOperator, save_image=True), of_a_run_that_began(timedelta(hours=1), try_number=2))

    assert found["LatestSnapshot"]["Status"] == "Saved"


@pytest.mark.parametrize(
    "of_task",
    [
        of_a_run_that_began(timedelta(hours=-1), try_number=2),  # the snapshot is from before the run
        of_a_run_that_began(timedelta(hours=1), try_number=1),
        of_a_run_that_began(timedelta(hours=1), try_number=3, max_tries=4),  # cleared
    ],
    ids=["an earlier run", "the first try", "cleared"],
)
def test_a_failed_save_that_is_nobody_s_of_this_task_is_not_its_failure(
    make: Make, emulator: DswEmulator, of_task: Any
) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.add_snapshot(ID, status="Failed")

    assert run(make(DswStopInstanceOperator, save_image=True, retries=2), of_task)["Status"] == "Stopped"


# A snapshot that one of the service's replicas does not know yet

NOT_FOUND: dict[str, Any] = {"status": 404, "code": "SnapshotNotFound"}


@pytest.mark.parametrize("poll", [1, 2])
def test_a_push_goes_on_while_its_snapshot_is_not_found_yet(make: Make, emulator: DswEmulator, poll: int) -> None:
    emulator.add_instance(ID)
    emulator.snapshot_timeline = ["Committing", "Pushing", "Pushing", "Saved"]

    def is_behind(request: Request) -> None:
        if request.action == "GetInstance" and len(emulator.calls("GetInstanceSnapshot")) == poll - 1:
            emulator.fault("GetInstanceSnapshot", **NOT_FOUND)

    emulator.on_request = is_behind

    assert run(make(DswCreateSnapshotOperator, **SNAPSHOT))["Status"] == "Saved"
    assert [request.status for request in emulator.calls("GetInstanceSnapshot")].index(404) == poll - 1


def test_the_failed_save_of_another_decides_nothing_for_it(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.snapshot_timeline = ["Committing", "Pushing", "Pushing", "Saved"]

    def is_behind(request: Request) -> None:
        if request.action == "CreateInstanceSnapshot":
            emulator.fault("GetInstanceSnapshot", **NOT_FOUND)
            emulator.set_instance(ID, "SaveFailed")
        elif len(emulator.calls("GetInstanceSnapshot")) == 1 and request.action == "GetInstanceSnapshot":
            emulator.set_instance(ID, "Running")

    emulator.on_request = is_behind

    assert run(make(DswCreateSnapshotOperator, **SNAPSHOT))["Status"] == "Saved"


def test_a_snapshot_that_is_not_found_with_its_instance_is_none(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)

    def is_gone(request: Request) -> None:
        if request.action == "CreateInstanceSnapshot":
            emulator.fault("GetInstanceSnapshot", times=None, **NOT_FOUND)
            emulator.fault("GetInstance", times=None, status=404, code="InstanceNotFound")

    emulator.on_request = is_gone

    with pytest.raises(DswWaitFailedError, match="no such instance or snapshot"):
        run(make(DswCreateSnapshotOperator, **SNAPSHOT))


# The snapshot of an earlier try


@pytest.mark.parametrize("status", ["SaveFailed", "Failed"])
@pytest.mark.parametrize("late_lists", [0, 2])
def test_a_status_from_before_it_says_nothing_of_the_snapshot_of_an_earlier_try(
    make: Make, emulator: DswEmulator, status: str, late_lists: int
) -> None:
    emulator.add_instance(ID)
    emulator.snapshot_timeline = ["Committing", "Committing", "Committing", "Pushing", "Saved"]
    emulator.late_lists = late_lists
    run(make(DswCreateSnapshotOperator, wait_for_completion=False, **SNAPSHOT))
    emulator.set_instance(ID, timeline=[(status, None, {"GmtModifiedTime": "2026-01-31T08:00:00Z"})])

    assert run(make(DswCreateSnapshotOperator, **SNAPSHOT), context(2))["Status"] == "Saved"
    assert len(emulator.calls("CreateInstanceSnapshot")) == 1


@pytest.mark.parametrize("modified_time", ["status", "missing", "always", "frozen"])
def test_while_it_is_pushed_no_failed_save_is_its_own(make: Make, emulator: DswEmulator, modified_time: str) -> None:
    emulator.add_instance(ID)
    emulator.modified_time = modified_time
    emulator.snapshot_timeline = ["Committing", "Committing", "Committing", "Pushing", "Saved"]
    run(make(DswCreateSnapshotOperator, wait_for_completion=False, **SNAPSHOT))
    emulator.set_instance(ID, "SaveFailed")

    assert run(make(DswCreateSnapshotOperator, **SNAPSHOT), context(2))["Status"] == "Saved"


def test_an_instance_that_fails_after_it_began_fails_it(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.snapshot_timeline = [("Pushing", 60), ("Saved", None)]
    run(make(DswCreateSnapshotOperator, wait_for_completion=False, **SNAPSHOT))
    emulator.set_instance(ID, timeline=[("Failed", None, {"GmtModifiedTime": "2099-01-31T08:00:00Z"})])

    with pytest.raises(DswOperationFailedError, match="is Failed"):
        run(make(DswCreateSnapshotOperator, **SNAPSHOT), context(2))


def test_a_retry_whose_own_snapshot_goes_on_makes_no_other(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.concurrent_snapshots, emulator.unique_names = True, False
    emulator.snapshot_timeline = [("Pushing", 60), ("Saved", None)]
    for try_number in (1, 2):
        with pytest.raises(DswTimeoutError):
            run(make(DswCreateSnapshotOperator, timeout=0.2, **SNAPSHOT), context(try_number))

    assert len(emulator.calls("CreateInstanceSnapshot")) == 1


def test_the_names_that_a_task_gives_are_valid_and_differ_by_run_and_try(make: Make, emulator: DswEmulator) -> None:
    names = set()
    for number, of_task in enumerate(
        [
            context(),
            context(run_id="scheduled__2026-01-31T08:00:00+00:00"),
            context(map_index=3),
            context(try_number=2, max_tries=3),  # cleared
            context(task_id="x" * 250, dag_id="y" * 250),
        ]
    ):
        emulator.add_instance(f"dsw-{number}")
        task = make(DswCreateSnapshotOperator, instance_id=f"dsw-{number}", wait_for_completion=False, **SNAPSHOT)
        names.add(run(task, of_task)["SnapshotName"])

    assert len(names) == 5
    assert max(map(len, names)) <= 60


def test_a_retry_waits_for_a_save_while_which_the_instance_goes_on_running(make: Make, emulator: DswEmulator) -> None:
    emulator.clock = clock = ManualClock()
    emulator.snapshot_timeline = [("Pushing", 60), ("Saved", None)]
    emulator.saving_status = False
    emulator.concurrent_snapshots, emulator.unique_names = True, False
    emulator.add_instance(ID)
    stop = {"save_image": True, "retries": 2}

    with pytest.raises(DswTimeoutError):
        run(make(DswStopInstanceOperator, timeout=0.2, **stop), context(1, max_tries=2))
    emulator.on_request = lambda _: clock.advance(10)
    run(make(DswStopInstanceOperator, **stop), context(2, max_tries=2))

    assert len(emulator.calls("StopInstance")) == 1
