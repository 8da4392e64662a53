"""A deletion: what it waits for, what it does if it is refused, and when it is over."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.exceptions import (
    DswOperationFailedError,
    DswTimeoutError,
    DswTransientError,
    DswWaitFailedError,
)
from airflow_provider_dsw.operators.dsw import DswDeleteInstanceOperator
from tests.support.beside import add_instance_for
from tests.support.task_runs import context, run
from tests.unit.operators.conftest import ID, Make

CHANGES = {"DeleteInstance": "delete", "StopInstance": "stop"}
# What deletes something, its arguments, and the action by which it looks at that.
DELETIONS: list[tuple[Any, dict[str, Any], str]] = [(DswDeleteInstanceOperator, {}, "GetInstance")]


@pytest.fixture(autouse=True)
def quick(dsw_default: DswEmulator) -> None:
    dsw_default.delete_timeline = ["Deleting", "Deleting", None]


def made(emulator: DswEmulator) -> list[tuple[str, int | None]]:
    return [(CHANGES[r.action], r.status) for r in emulator.requests if r.action in CHANGES]


@pytest.mark.parametrize("try_number", [1, 2])
@pytest.mark.parametrize(
    ("polls", "requests"),
    [
        ([None], []),
        (["Deleting", "Deleting", None], []),
        (["Running"], [("delete", 200)]),
        (["Stopped"], [("delete", 200)]),
        (["Failed"], [("delete", 200)]),
        (["Queuing"], [("delete", 200)]),
        (["Saving", "Saving", "Running"], [("delete", 200)]),
        (["Saving", "Saved", "Stopping", "Stopped"], [("delete", 200)]),
        (["Updating", "Updating", "Running"], [("delete", 200)]),
        (["Saving", "Deleting", None], []),
        (["Updating", None], []),
        (["A status of tomorrow"], [("delete", 200)]),
    ],
)
def test_from_each_status_until_it_is_gone(
    make: Make, emulator: DswEmulator, polls: list[Any], requests: list[Any], try_number: int
) -> None:
    emulator.add_instance(ID, per_poll=polls)

    assert run(make(DswDeleteInstanceOperator), context(try_number))["InstanceId"] == ID
    assert made(emulator) == requests
    assert emulator.status(ID) is None


@pytest.mark.parametrize(
    ("polls", "requests"),
    [
        (["Running"], [("delete", 400), ("stop", 200), ("delete", 200)]),
        (["Queuing"], [("delete", 400), ("stop", 200), ("delete", 200)]),
        (["Stopping", "Stopping", "Stopped"], [("delete", 400), ("delete", 200)]),
        (["Saving", "Running"], [("delete", 400), ("stop", 200), ("delete", 200)]),
        (["Stopped"], [("delete", 200)]),
        (["Failed"], [("delete", 200)]),
    ],
)
def test_a_service_that_deletes_only_what_is_stopped(
    make: Make, emulator: DswEmulator, polls: list[str], requests: list[Any]
) -> None:
    emulator.deletable = "stopped"
    emulator.stop_timeline = ["Stopping", "Stopping", "Stopped"]
    emulator.add_instance(ID, per_poll=polls)

    run(make(DswDeleteInstanceOperator))

    assert made(emulator) == requests
    assert emulator.status(ID) is None


@pytest.mark.parametrize("then", ["Failed", None])
def test_what_fails_or_goes_away_while_it_stops_needs_no_more(make: Make, emulator: DswEmulator, then: Any) -> None:
    emulator.deletable = "stopped"
    emulator.stop_timeline = ["Stopping", then]
    emulator.add_instance(ID)

    run(make(DswDeleteInstanceOperator))

    assert emulator.status(ID) is None


def test_a_refusal_of_what_is_stopped_is_the_last_word(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.fault("DeleteInstance", times=None, status=400, message="It is protected.")

    with pytest.raises(DswOperationFailedError, match="It is protected"):
        run(make(DswDeleteInstanceOperator))
    assert made(emulator) == [("delete", 400)]


def test_a_deletion_that_fails_may_be_asked_for_again(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.next_deletes = [["Deleting", ("Failed", {"GmtModifiedTime": "2099-01-31T08:00:00Z"})]]

    with pytest.raises(DswOperationFailedError, match="Failed"):
        run(make(DswDeleteInstanceOperator))
    run(make(DswDeleteInstanceOperator), context(2))

    assert made(emulator) == [("delete", 200)] * 2
    assert emulator.status(ID) is None


@pytest.mark.parametrize("modified_time", ["status", "frozen", "always", "missing"])
def test_the_state_from_before_the_request_ends_nothing(make: Make, emulator: DswEmulator, modified_time: str) -> None:
    emulator.modified_time = modified_time
    emulator.add_instance(ID, "Failed")
    emulator.stale_reads = 2

    run(make(DswDeleteInstanceOperator))

    assert emulator.status(ID) is None
    assert made(emulator) == [("delete", 200)]


@pytest.mark.parametrize("try_number", [1, 2])
@pytest.mark.parametrize(("operator", "arguments", "look"), DELETIONS)
def test_one_look_that_does_not_find_it(
    make: Make, emulator: DswEmulator, operator: Any, arguments: dict[str, Any], look: str, try_number: int
) -> None:
    """An instance is gone then. Anything else may only be new: it is requested, and that tells."""
    add_instance_for(emulator, operator.action, ID, "Running")
    emulator.fault(look, status=404, code="InstanceNotFound")

    run(make(operator, **arguments), context(try_number))

    requests = 0 if operator is DswDeleteInstanceOperator else 1
    assert len(emulator.calls(operator.action)) == requests, "in a retry, too, one look may be a replica's: look again"


# What is not the service's own "no such instance"


@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ({"status": 404, "code": "100700008", "message": "denied by RAM"}, DswWaitFailedError),
        ({"status": 404, "body": b'{"message": "no Route matched"}'}, DswTransientError),
    ],
)
def test_a_404_that_means_something_else_is_no_end(
    make: Make, emulator: DswEmulator, fault: dict[str, Any], raised: type[Exception], at: int
) -> None:
    emulator.add_instance(ID)
    emulator.delete_timeline = [("Deleting", 1), (None, None)]
    is_denied = raised is DswWaitFailedError

    def meet(request: Request) -> None:
        if len(emulator.calls("GetInstance")) == at - 1:
            emulator.fault("GetInstance", times=None if is_denied else 4, **fault)

    emulator.on_request = meet
    if at == 1:
        emulator.fault("GetInstance", times=None if is_denied else 4, **fault)
    if is_denied or at == 1:
        with pytest.raises(raised):
            run(make(DswDeleteInstanceOperator))
        assert emulator.status(ID) is not None
    else:
        run(make(DswDeleteInstanceOperator))
        assert emulator.status(ID) is None


# Lost answers, and other ends


@pytest.mark.parametrize("performed", [True, False])
@pytest.mark.parametrize("stale_reads", [0, 2])
def test_a_lost_answer(make: Make, emulator: DswEmulator, performed: bool, stale_reads: int) -> None:
    emulator.add_instance(ID)
    emulator.stale_reads = stale_reads
    emulator.fault("DeleteInstance", drop=True, performed=performed)

    run(make(DswDeleteInstanceOperator))

    assert emulator.status(ID) is None
    assert len(made(emulator)) == (1 if performed else 2)


def test_somebody_else_deletes_it_between_the_look_and_the_request(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)

    def remove(request: Request) -> None:
        if request.action == "GetInstance" and emulator.status(ID):
            emulator.remove_instance(ID)

    emulator.on_request = remove

    run(make(DswDeleteInstanceOperator))

    assert made(emulator) == [("delete", 404)]


def test_without_a_wait_it_ends_when_it_has_asked(make: Make, emulator: DswEmulator) -> None:
    emulator.delete_timeline = [("Deleting", 60), (None, None)]
    emulator.add_instance(ID)

    found = run(make(DswDeleteInstanceOperator, wait_for_completion=False))

    assert (found["InstanceId"], found["Status"]) == (ID, "Deleting")


def test_its_timeout_and_a_retry_that_resumes(make: Make, emulator: DswEmulator) -> None:
    emulator.delete_timeline = [("Deleting", 60), (None, None)]
    emulator.add_instance(ID)

    with pytest.raises(DswTimeoutError, match="to be gone"):
        run(make(DswDeleteInstanceOperator, timeout=0.3))
    emulator.remove_instance(ID)
    run(make(DswDeleteInstanceOperator), context(2))

    assert made(emulator) == [("delete", 200)]


def test_an_outage_in_the_middle_is_waited_out(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)

    def break_down(request: Request) -> None:
        if request.action == "DeleteInstance":
            emulator.fault("GetInstance", times=6, status=503)

    emulator.on_request = break_down

    run(make(DswDeleteInstanceOperator))

    assert made(emulator) == [("delete", 200)]


@pytest.mark.parametrize("wrong", ["", "a/b", None, 7])
def test_a_malformed_id_is_said_where_the_dag_is_parsed(wrong: Any) -> None:
    with pytest.raises(ValueError, match="instance_id"):
        DswDeleteInstanceOperator(task_id="t", instance_id=wrong)
