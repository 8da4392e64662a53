"""What an operator waits for before it asks, and what it does if somebody stops the instance on its way."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.exceptions import DswError, DswOperationFailedError, DswTimeoutError
from airflow_provider_dsw.operators.base import DswBaseOperator, NextStep
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.waits.conditions import ExpressionCondition, Wait
from airflow_provider_dsw.waits.operations import Baseline, Operation
from airflow_provider_dsw.waits.progress import blocks_deletion
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES
from tests.support.beside import add_instance_for
from tests.support.task_runs import context, run
from tests.unit.operators.conftest import ID, Make


class Busy(NamedTuple):
    """
    What an operator makes of each status that it finds.

    :param arguments: of the operator.
    :param action: what it requests.
    :param waits: the statuses whose end it waits for before it requests anything.
    :param requests: those in which it sends its request at once, the usual one first. In all others it sends none.
    :param ends: one in which the instance is as the operator wants it; or one of ``requests``, if there is none.
    """

    arguments: dict[str, Any]
    action: str
    waits: tuple[str, ...]
    requests: tuple[str, ...]
    ends: str


STARTING = ("Creating", "Queuing", "ResourceAllocating", "EnvPreparing", "Starting")
SAVED, ARREARS = ("Saved", "SaveFailed"), ("ArrearStopping", "Arrearge")
OPERATORS: dict[type, Busy] = {
    DswStartInstanceOperator: Busy(
        {},
        "StartInstance",
        ("Stopping", "Saving", *SAVED, "Updating", "Recovering"),
        ("Stopped", "Failed", *ARREARS),
        "Running",
    ),
    DswStopInstanceOperator: Busy(
        {},
        "StopInstance",
        ("Saving",),
        ("Running", *STARTING, *SAVED, "Updating", "Recovering", "Failed", *ARREARS),
        "Stopped",
    ),
    DswDeleteInstanceOperator: Busy(
        {},
        "DeleteInstance",
        ("Saving", "Updating"),
        ("Stopped", "Running", *STARTING, *SAVED, "Stopping", "Recovering", "Failed", *ARREARS),
        "Stopped",
    ),
    # Whether it can save an image now the service decides.
    DswCreateSnapshotOperator: Busy(
        {"image_url": "registry/a:1"}, "CreateInstanceSnapshot", (), INSTANCE_STATUSES, "Running"
    ),
}
# Which operators these tests do not fit, and where the same is tested of them.
TESTED_ALONE = {
    DswCreateInstanceOperator: "test_create.py",  # there is no instance before
}


def status_at_first_request(emulator: DswEmulator, action: str, since: int) -> str | None:
    """Return what the operator has read last before it sent its first request; None if it has sent none."""
    shown = None
    for request in emulator.requests[since:]:
        if request.action == action:
            return shown
        shown = request.shown if request.action == "GetInstance" else shown
    return None


@pytest.mark.parametrize("operator", [operator for operator, busy in OPERATORS.items() if busy.waits])
def test_the_end_of_what_blocks_a_request_is_waited_for(make: Make, emulator: DswEmulator, operator: type) -> None:
    busy, found = OPERATORS[operator], {}
    for status in busy.waits:
        since = len(emulator.requests)
        add_instance_for(emulator, busy.action, ID, per_poll=[status, status, busy.requests[0]])
        run(make(operator, poke_interval=0.005, wait_for_completion=False, **busy.arguments))
        found[status] = status_at_first_request(emulator, busy.action, since)
        emulator.remove_instance(ID)

    assert found == dict.fromkeys(busy.waits, busy.requests[0])


@pytest.mark.parametrize("make", [False], ids=["worker"], indirect=True)
@pytest.mark.parametrize("operator", OPERATORS)
def test_in_no_other_status_anything_is_requested(make: Make, emulator: DswEmulator, operator: type) -> None:
    busy, found = OPERATORS[operator], set()
    for status in INSTANCE_STATUSES:
        since = len(emulator.requests)
        add_instance_for(emulator, busy.action, ID, status)
        # Whatever is waited for, it is over with the first look.
        task = make(operator, poke_interval=0.001, timeout=0.001, wait_for_completion=False, **busy.arguments)
        with contextlib.suppress(DswError):
            run(task)
        if status_at_first_request(emulator, busy.action, since):
            found.add(status)
        emulator.remove_instance(ID)

    assert found == {*busy.requests}


@pytest.mark.parametrize("operator", OPERATORS)
def test_no_status_from_before_ends_what_the_service_has_granted(
    make: Make, emulator: DswEmulator, operator: type
) -> None:
    busy, ended = OPERATORS[operator], {}
    emulator.stale_reads = 2
    for status in busy.requests:
        add_instance_for(emulator, busy.action, ID, status)
        try:
            run(make(operator, **busy.arguments))
        except DswError as error:
            if asked(emulator, busy.action)[-1] == 200:
                ended[status] = str(error)
        emulator.remove_instance(ID)

    assert ended == {}


@pytest.mark.parametrize("operator", OPERATORS)
def test_no_single_look_fails_a_task(make: Make, emulator: DswEmulator, operator: type) -> None:
    busy, failed = OPERATORS[operator], {}
    for status in (status for status in INSTANCE_STATUSES if status != "Deleting"):  # which ends in nothing else
        since = len(emulator.requests)
        add_instance_for(emulator, busy.action, ID, per_poll=[status, busy.requests[0]])
        try:
            run(make(operator, timeout=0.2, **busy.arguments))
        except DswError as error:
            if [request.action for request in emulator.requests[since:]] == ["GetInstance"]:
                failed[status] = str(error)
        emulator.remove_instance(ID)

    assert failed == {}, "The first look may have read an old state: look again, with _confirm(), before it fails"


@pytest.mark.parametrize("operator", [operator for operator, busy in OPERATORS.items() if busy.waits])
def test_a_refusal_that_is_about_the_moment_is_no_failure(make: Make, emulator: DswEmulator, operator: type) -> None:
    busy = OPERATORS[operator]
    add_instance_for(
        emulator, busy.action, ID, per_poll=[busy.requests[0], busy.waits[0], busy.waits[0], busy.requests[0]]
    )
    emulator.fault(busy.action, times=1, status=400)

    try:
        run(make(operator, **busy.arguments))
    except DswOperationFailedError as error:
        pytest.fail(f"It has to look again after a refusal, and go on if the instance is {busy.waits[0]}: {error}")

    assert asked(emulator, busy.action) == [400, 200]


class Label(DswBaseOperator):
    """An operator of somebody's own, which is done at once."""

    action = "UpdateInstanceLabels"

    def _build_wait(self) -> Wait:
        return Wait(ExpressionCondition(self.instance_id, until="Labels"), Operation(Baseline()))

    def _is_blocked(self, instance: Mapping[str, Any]) -> bool:
        return blocks_deletion(instance)

    def _step(self, context: Any, instance: Mapping[str, Any], may_wait: bool) -> dict[str, Any] | NextStep:
        self._submit(self.action, self._request, lambda: None)
        return self._await_completion(context, self._build_wait())

    def _request(self) -> dict[str, Any]:
        path, body = f"/api/v2/instances/{ID}/labels", {"Labels": [{"Key": "a", "Value": "b"}]}
        return self.hook.call(self.action, method="PUT", path=path, body=body)


def test_an_operator_of_somebody_s_own_goes_on_after_what_has_blocked_it(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, per_poll=["Saving", "Saving", "Running"])

    assert run(make(Label, wait_for_completion=False))["Status"] == "Running"
    assert status_at_first_request(emulator, Label.action, 0) == "Running"
    assert asked(emulator, Label.action) == [200]


def asked(emulator: DswEmulator, action: str) -> list[int | None]:
    return [request.status for request in emulator.calls(action)]


@pytest.mark.parametrize("try_number", [1, 2])
@pytest.mark.parametrize(
    ("polls", "requests"),
    [
        (["Stopping", "Stopping", "Stopped"], [200]),
        (["Stopping", "Failed"], [200]),
        (["Saving", "Saving", "Saved", "Running"], []),
        (["Saving", "SaveFailed", "Running"], []),
        (["Saving", "Saved", "Stopping", "Stopped"], [200]),
        (["Saved", "Saved", "Stopped"], [200]),
        (["SaveFailed", "SaveFailed", "Running"], []),
        (["Updating", "Updating", "Running"], []),
        (["Updating", "Stopped"], [200]),
        (["Recovering", "Recovering", "Starting", "Running"], []),
        (["Recovering", "A status of tomorrow", "Running"], []),
    ],
)
def test_a_start_waits_for_the_end_of_something_else_and_looks_again(
    make: Make, emulator: DswEmulator, polls: list[str], requests: list[int], try_number: int
) -> None:
    emulator.add_instance(ID, per_poll=polls)

    assert run(make(DswStartInstanceOperator), context(try_number))["Status"] == "Running"
    assert asked(emulator, "StartInstance") == requests


@pytest.mark.parametrize("status", ["Stopping", "Saving", "Updating", "Recovering"])
def test_a_start_does_not_wait_for_ever(make: Make, emulator: DswEmulator, status: str) -> None:
    emulator.add_instance(ID, status)

    with pytest.raises(DswTimeoutError, match=status):
        run(make(DswStartInstanceOperator, timeout=0.3))
    assert asked(emulator, "StartInstance") == []


@pytest.mark.parametrize("status", ["Saved", "SaveFailed"])
def test_where_the_service_stays_saved_its_refusal_decides(make: Make, emulator: DswEmulator, status: str) -> None:
    emulator.add_instance(ID, status)

    with pytest.raises(DswOperationFailedError, match=f"is {status} and cannot be started"):
        run(make(DswStartInstanceOperator))
    assert asked(emulator, "StartInstance") == [400]
    # It is waited for first, in case it passes.
    assert [request.action for request in emulator.requests].index("StartInstance") > 1


def test_a_start_fails_if_the_instance_is_deleted_meanwhile(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, per_poll=["Saving", "Saving", "Deleting"])

    with pytest.raises(DswOperationFailedError, match="Deleting"):
        run(make(DswStartInstanceOperator))


@pytest.mark.parametrize("save_image", [False, True])
@pytest.mark.parametrize(
    "polls",
    [
        ["Saving", "Saving", "Saved", "Running"],
        ["Saving", "SaveFailed", "SaveFailed", "Running"],
    ],
)
def test_a_stop_waits_for_the_end_of_a_save(
    make: Make, emulator: DswEmulator, polls: list[str], save_image: bool
) -> None:
    emulator.add_instance(ID, per_poll=polls)

    assert run(make(DswStopInstanceOperator, save_image=save_image))["Status"] == "Stopped"
    assert asked(emulator, "StopInstance") == [200]


@pytest.mark.parametrize("polls", [["Updating", "Updating", "Running"], ["Creating", "Starting", "Running"]])
def test_a_stop_that_is_refused_in_a_status_that_passes_is_asked_for_again(
    make: Make, emulator: DswEmulator, polls: list[str]
) -> None:
    """An image can be saved of a running instance only."""
    emulator.add_instance(ID, per_poll=polls)

    assert run(make(DswStopInstanceOperator, save_image=True))["Status"] == "Stopped"
    assert asked(emulator, "StopInstance")[-1] == 200
    assert set(asked(emulator, "StopInstance")[:-1]) == {400}


# What somebody else stops


def stop_after(emulator: DswEmulator, polls: int, timeline: list[Any]) -> None:
    """Let somebody stop the instance when it was polled so often."""

    def count(request: Request) -> None:
        if len(emulator.calls("GetInstance")) == polls:
            emulator.set_instance(ID, per_poll=timeline)

    emulator.on_request = count


STOPS: list[list[Any]] = [["Stopping", "Stopping", "Stopped"], ["Stopped"]]


@pytest.mark.parametrize("timeline", STOPS)
@pytest.mark.parametrize("try_number", [1, 2])
def test_a_start_that_is_stopped_on_its_way_has_failed(
    make: Make, emulator: DswEmulator, timeline: list[Any], try_number: int
) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.start_timeline = [("Queuing", {"GmtModifiedTime": "2099-01-31T08:00:00Z"})]
    stop_after(emulator, 4, [(status, {"GmtModifiedTime": "2099-01-31T08:01:00Z"}) for status in timeline])

    with pytest.raises(DswOperationFailedError, match="is Stop"):
        run(make(DswStartInstanceOperator), context(try_number))
    assert asked(emulator, "StartInstance") == [200]


@pytest.mark.parametrize("timeline", STOPS)
def test_so_has_somebody_else_s_start(make: Make, emulator: DswEmulator, timeline: list[Any]) -> None:
    emulator.add_instance(ID, "Queuing")
    stop_after(emulator, 3, timeline)

    with pytest.raises(DswOperationFailedError, match="is Stop"):
        run(make(DswStartInstanceOperator))
    assert asked(emulator, "StartInstance") == []


@pytest.mark.parametrize("timeline", STOPS)
def test_a_later_try_starts_again_what_was_stopped_for_the_end_of_an_earlier_one(
    make: Make, emulator: DswEmulator, timeline: list[Any]
) -> None:
    """A person clears the task: its stop may arrive when the next try has looked already."""
    emulator.add_instance(ID, "Queuing")
    stop_after(emulator, 3, timeline)

    assert run(make(DswStartInstanceOperator, stop_on_kill=True), context(2, max_tries=3))["Status"] == "Running"
    assert asked(emulator, "StartInstance") == [200]


def test_a_later_try_waits_for_a_stop_that_arrived_before_it(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Running")
    emulator.stop_timeline = [("Stopping", 0.5), ("Stopped", None)]
    run(DswStopInstanceOperator(task_id="other", instance_id=ID, wait_for_completion=False))

    assert run(make(DswStartInstanceOperator, stop_on_kill=True), context(2, max_tries=3))["Status"] == "Running"
    assert asked(emulator, "StartInstance") == [200]


def test_what_contradicts_itself_is_neither_looked_at_nor_asked_for_without_a_pause(
    make: Make, emulator: DswEmulator
) -> None:
    """Replicas that take turns, without a time that would tell which is behind, and a start that is always refused."""
    emulator.modified_time = "missing"
    emulator.add_instance(ID, per_poll=["Stopped", "Stopping"] * 1000)
    emulator.fault("StartInstance", times=None, status=400)

    with pytest.raises((DswOperationFailedError, DswTimeoutError)):
        run(make(DswStartInstanceOperator, poke_interval=0.1, timeout=1))

    # Two or three looks and one request in each poll interval.
    assert len(emulator.calls("GetInstance")) < 40
    assert len(emulator.calls("StartInstance")) <= 12


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_answer_without_a_status_is_no_reason_for_a_request(
    make: Make, emulator: DswEmulator, operator: type
) -> None:
    busy = OPERATORS[operator]
    add_instance_for(emulator, busy.action, ID, per_poll=[(busy.ends, {"Status": None}), busy.ends])

    run(make(operator, **busy.arguments))

    first, second, *more = emulator.requests
    assert (first.action, second.action) == ("GetInstance", "GetInstance")
    assert bool(more) is (busy.ends in busy.requests)


def test_a_retry_does_not_start_again_what_a_person_has_stopped(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, per_poll=["Starting", "Starting", "Stopping", "Stopped"])

    with pytest.raises(DswOperationFailedError, match="is Stop"):
        run(make(DswStartInstanceOperator, retries=2), context(2, max_tries=2))
    assert asked(emulator, "StartInstance") == []
