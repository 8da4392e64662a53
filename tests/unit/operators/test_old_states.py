"""What was true before an operator's request decides nothing, however late it is read, and whoever reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.exceptions import DswOperationFailedError, DswTimeoutError
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.triggers.base import Poll
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from airflow_provider_dsw.version_compat import TaskDeferred
from airflow_provider_dsw.waits.answers import PollResult
from tests.support.task_runs import carried_over, context, run
from tests.unit.operators.conftest import ID, Make

T0, T1, T2 = ({"GmtModifiedTime": f"2026-01-31T08:0{minute}:00Z"} for minute in range(3))
SAVED_BEFORE = {"SnapshotId": "snp-old", "ImageUrl": "registry/a:1", "Status": "Saved"}


class OlderSuccess(NamedTuple):
    """
    An answer from before a request that shows what the operator waits for, since the instance has had it once.

    :param operator: its class.
    :param arguments: of the operator.
    :param action: what it requests.
    :param before: the instance's state before the request.
    :param after: what is read after it, the older answer at last.
    """

    operator: type
    arguments: dict[str, Any]
    action: str
    before: tuple[str, dict[str, Any]]
    after: list[tuple[str, dict[str, Any]]]


OLDER_SUCCESSES = [
    OlderSuccess(DswStartInstanceOperator, {}, "StartInstance", ("Stopped", T1), [("Running", T0)]),
    OlderSuccess(DswStopInstanceOperator, {}, "StopInstance", ("Running", T1), [("Stopped", T0)]),
    OlderSuccess(DswStopInstanceOperator, {}, "StopInstance", ("Running", T1), [("Stopping", T2), ("Stopped", T0)]),
    OlderSuccess(DswStopInstanceOperator, {"save_image": True}, "StopInstance", ("Running", T1), [("Stopped", T0)]),
    OlderSuccess(
        DswCreateSnapshotOperator,
        {"image_url": "registry/a:1"},
        "CreateInstanceSnapshot",
        ("Running", T1),
        [("Running", {"LatestSnapshot": SAVED_BEFORE, **T0})],
    ),
]
# Which operators this test does not fit, and where the same is tested of them.
TESTED_ALONE = {
    DswCreateInstanceOperator: "test_create.py",  # there is no instance before
    DswDeleteInstanceOperator: "test_delete.py",  # what is gone comes back as nothing
}


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
@pytest.mark.parametrize("stale_reads", [3, [0, 1, 0, 1, 0, 1], [1, 0, 2, 0, 3, 0]])
@pytest.mark.parametrize("modified_time", ["status", "frozen", "missing"])
def test_a_start_outlives_a_replica_that_goes_back_and_forth(
    make: Make, emulator: DswEmulator, status: str, stale_reads: Any, modified_time: str
) -> None:
    if stale_reads != 3 and modified_time != "status":
        pytest.skip("without a time, what is old can be told only until something new was read")
    emulator.add_instance(ID, timeline=[("Running", 0), ("Stopping", 0), (status, None)])
    emulator.modified_time = modified_time
    emulator.stale_reads = stale_reads
    emulator.start_timeline = ["Creating", "Starting", "Starting", "Starting", "Running"]

    assert run(make(DswStartInstanceOperator))["Status"] == "Running"
    assert [request.status for request in emulator.calls("StartInstance")] == [200]


def test_an_old_failure_between_new_states_decides_nothing(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, timeline=[("Failed", None, T0)])
    emulator.start_timeline = [("Starting", T1), ("Failed", T0), ("Starting", T1), ("Failed", T0), ("Running", T2)]

    assert run(make(DswStartInstanceOperator))["Status"] == "Running"


def test_a_failure_that_is_new_does(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, timeline=[("Failed", None, T0)])
    emulator.start_timeline = [("Starting", T1), ("Failed", T0), ("Failed", T2)]

    with pytest.raises(DswOperationFailedError):
        run(make(DswStartInstanceOperator))


@pytest.mark.parametrize("row", OLDER_SUCCESSES, ids=lambda row: row.operator.__name__)
def test_an_older_success_is_none(make: Make, emulator: DswEmulator, row: OlderSuccess) -> None:
    status, time = row.before
    emulator.add_instance(ID, timeline=[(status, None, time)])
    emulator.snapshot_timeline = [("Pushing", 60), "Saved"]

    def show_older_answers(request: Request) -> None:
        if request.action == row.action:
            emulator.on_request = None
            emulator.set_instance(ID, per_poll=row.after)

    emulator.on_request = show_older_answers

    try:
        run(make(row.operator, timeout=0.2, **row.arguments))
        pytest.fail("an answer with an older GmtModifiedTime has ended the wait: see _build_wait of operators/base.py")
    except DswTimeoutError:
        assert [request.status for request in emulator.calls(row.action)] == [200]


@pytest.mark.parametrize("row", OLDER_SUCCESSES, ids=lambda row: row.operator.__name__)
def test_nor_does_it_show_that_a_lost_request_was_performed(
    make: Make, emulator: DswEmulator, row: OlderSuccess
) -> None:
    status, time = row.before
    emulator.add_instance(ID, timeline=[(status, None, time)])
    emulator.fault(row.action, drop=True)

    def show_older_answers(request: Request) -> None:
        if request.action == row.action:
            emulator.on_request = None
            emulator.set_instance(ID, per_poll=[row.after[-1], row.before])

    emulator.on_request = show_older_answers

    run(make(row.operator, wait_for_completion=False, **row.arguments))

    requests = len(emulator.calls(row.action))
    assert requests == 2, "an older answer passes for the request's effect: see what is handed to _submit()"


@pytest.mark.parametrize("try_number", [1, 2])
def test_nor_does_an_older_state_end_the_wait_for_what_was_found_on_its_way(
    make: Make, emulator: DswEmulator, try_number: int
) -> None:
    emulator.add_instance(
        ID, per_poll=[("Starting", T1), ("Failed", T0), ("Stopped", T0), ("Starting", T1), ("Running", T2)]
    )

    assert run(make(DswStartInstanceOperator), context(try_number))["Status"] == "Running"
    assert emulator.calls("StartInstance") == []


def test_what_ended_a_wait_is_not_undone_by_an_older_answer_to_the_next_look(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, timeline=[("Running", None, T0)])
    emulator.set_instance(ID, per_poll=[("Stopping", T1), ("Stopped", T2)], stale_reads=[0, 0, 2])
    emulator.start_timeline = [("Running", {"GmtModifiedTime": "2026-01-31T08:03:00Z"})]

    run(make(DswStartInstanceOperator))

    assert [request.status for request in emulator.calls("StartInstance")] == [200]


def test_a_failed_snapshot_of_before_does_not_fail_the_next_one(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.add_snapshot(ID, status="Failed", image_url="registry/a:1")

    assert run(make(DswCreateSnapshotOperator, image_url="registry/a:1"))["Status"] == "Saved"


def test_what_another_wait_s_poll_has_read_late_decides_nothing(dsw_default: DswEmulator) -> None:
    """The triggerer shares polls: one that was sent before the request may be answered after it."""
    dsw_default.add_instance(ID, timeline=[("Failed", None, T0)])
    dsw_default.start_timeline = [("Starting", T1)]
    task = DswStartInstanceOperator(task_id="t", instance_id=ID, deferrable=True, poke_interval=0.02)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())
    trigger: Any = deferred.value.trigger

    async def shared() -> AsyncIterator[Poll]:
        for status, time in (("Failed", T0), ("Starting", T1), ("Failed", T0), ("Running", T2)):
            yield Poll(PollResult({"InstanceId": ID, "Status": status, **time}))

    async def first(trigger: DswInstanceTrigger) -> Any:
        return (await anext(aiter(trigger.filter_shared_stream(shared())))).payload

    assert asyncio.run(first(carried_over(trigger)))["outcome"] == "success"


@pytest.mark.parametrize("time", [T0, T2], ids=["a replica that is behind", "a deleted snapshot"])
def test_an_older_snapshot_that_becomes_the_newest_is_no_save(
    make: Make, emulator: DswEmulator, time: dict[str, str]
) -> None:
    times = [f"2026-01-31T07:0{minute}:00Z" for minute in range(3)]
    failed, before, saved = (
        {"ImageUrl": f"registry/a:{created}", "GmtCreateTime": created, "Status": status}
        for created, status in zip(times, ("Failed", "Saved", "Saved"), strict=True)
    )
    emulator.add_instance(ID, timeline=[("Running", None, {"LatestSnapshot": before, **T1})], InstanceSnapshotList=[])
    emulator.stop_timeline = [
        ("Saving", {"LatestSnapshot": failed, **time}),
        ("Stopping", {"LatestSnapshot": saved, **T2}),
        ("Stopped", {"LatestSnapshot": saved, **T2}),
    ]

    assert run(make(DswStopInstanceOperator, save_image=True))["Status"] == "Stopped"
