"""What a wait makes of what was true before a request, and of who undoes it: no service, no Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.waits.conditions import Outcome, Problem, SnapshotByIdCondition, Wait, evaluate
from airflow_provider_dsw.waits.operation_waits import condition_for_target
from airflow_provider_dsw.waits.operations import Baseline, Operation, has_nothing_to_stop
from tests.support.answers import ID, instance, judge, moved, snapshot

SUCCESS, PENDING, FAILURE = Outcome.SUCCESS, Outcome.PENDING, Outcome.FAILURE


def outcomes(wait: Wait, *polls: dict[str, Any]) -> list[Outcome]:
    found = []
    for poll in polls:
        verdict = judge(wait, poll)
        wait = moved(wait.after(verdict))
        found.append(verdict.outcome)
    return found


def start_after(before: dict[str, Any], **more: Any) -> Wait:
    return condition_for_target(ID, "Running", Operation(Baseline.of(before), reversible=True, **more))


def stop_after(before: dict[str, Any], saves_image: bool = False) -> Wait:
    return condition_for_target(ID, "Stopped", Operation(Baseline.of(before), saves_image=saves_image))


# What was true before a request


@pytest.mark.parametrize(
    ("polls", "found"),
    [
        ([("Failed", 1)] * 3, [PENDING] * 3),
        ([("Failed", 1), ("Failed", 5), ("Failed", 5)], [PENDING, PENDING, FAILURE]),
        ([("Failed", 5), ("Failed", 1), ("Failed", 5)], [PENDING, PENDING, FAILURE]),
        # A time that moves by itself tells nothing.
        ([("Failed", 5), ("Failed", 6), ("Failed", 7)], [PENDING] * 3),
        ([("Failed", 5), ("Failed", 6), ("Starting", 7), ("Failed", 8)], [PENDING] * 3 + [FAILURE]),
        ([("Starting", 2), ("Failed", 1), ("Starting", 2), ("Failed", 1), ("Running", 3)], [PENDING] * 4 + [SUCCESS]),
        ([("Starting", 2), ("Failed", 0)], [PENDING] * 2),
        ([("Running", 0)], [PENDING]),  # even older, from before it failed
        ([("Starting", 2), ("Failed", 3)], [PENDING, FAILURE]),
        ([("Running", 1)], [SUCCESS]),  # within one second
        ([("Queuing", 1), ("Failed", 1)], [PENDING] * 2),
        # Where an answer has none, only another status shows that the old one is over.
        ([("Failed", None)] * 3, [PENDING] * 3),
        ([("Starting", None), ("Failed", None)], [PENDING, FAILURE]),
        ([("Starting", None), ("Failed", 1)], [PENDING] * 2),
        ([("Failed", None), ("Running", None)], [PENDING, SUCCESS]),
    ],
)
def test_what_was_true_before_a_request_decides_nothing_however_late_it_is_read(
    polls: list[tuple[str, int | None]], found: list[Outcome]
) -> None:
    assert outcomes(start_after(instance("Failed", 1)), *(instance(*poll) for poll in polls)) == found


def test_within_one_second_another_reason_makes_another_failure() -> None:
    before = instance("Failed", 1, ReasonCode="NoStock", ReasonMessage="")
    again = instance("Failed", 1, ReasonCode="NoStock", ReasonMessage="")
    other = instance("Failed", 1, ReasonCode="NoStock", ReasonMessage="No GPU is left")

    assert outcomes(start_after(before), again, instance("Queuing", 1), again, other) == [PENDING] * 3 + [FAILURE]


@pytest.mark.parametrize("unreadable", [None, "", "yesterday", 7, ["2026-01-31T12:00:00Z"]])
def test_without_a_time_the_same_status_is_old_until_another_was_read(unreadable: Any) -> None:
    before = instance("Failed", GmtModifiedTime=unreadable)
    polls = [before, instance("Failed", 9), instance("Failed", 9), instance("Queuing", 9), before]

    assert outcomes(start_after(before), *polls) == [PENDING] * 4 + [FAILURE]


@pytest.mark.parametrize(
    ("polls", "found"),
    [
        ([("Running", 1), ("Stopped", 0), ("Stopping", 2), ("Stopped", 3)], [PENDING] * 3 + [SUCCESS]),
        ([("Failed", 0), ("Stopped", 3)], [PENDING, SUCCESS]),
        ([("Failed", 2)], [FAILURE]),
    ],
)
def test_an_older_end_is_not_that_of_a_stop(polls: list[tuple[str, int]], found: list[Outcome]) -> None:
    assert outcomes(stop_after(instance("Running", 1)), *(instance(*poll) for poll in polls)) == found


# What undoes a start


@pytest.mark.parametrize(
    ("polls", "found"),
    [
        ([("Starting", 2), ("Stopping", 3)], [PENDING, FAILURE]),
        ([("Starting", 2), ("Stopped", 3)], [PENDING, FAILURE]),
        ([("Starting", 2), ("Stopped", 1), ("Running", 4)], [PENDING, PENDING, SUCCESS]),
        ([("Stopping", 3)], [FAILURE]),  # it was stopped, so it had left it
        ([("Stopped", 3), ("Queuing", 4), ("Running", 5)], [PENDING, PENDING, SUCCESS]),  # accepted, and not yet begun
        ([("Stopped", None), ("Starting", None), ("Stopped", None)], [PENDING, PENDING, FAILURE]),
        ([("Stopping", None), ("Stopped", None), ("Running", None)], [PENDING, PENDING, SUCCESS]),
    ],
)
def test_a_start_that_somebody_stops_has_failed(polls: list[tuple[str, int | None]], found: list[Outcome]) -> None:
    assert outcomes(start_after(instance("Stopped", 1)), *(instance(*poll) for poll in polls)) == found


def test_an_instance_that_is_gone_fails_a_start() -> None:
    assert evaluate(start_after(instance("Stopped", 1)), Problem.NOT_FOUND).outcome is FAILURE


# What did not exist before a request

CREATION = condition_for_target(ID, "Running", Operation(Baseline(), reversible=True, may_be_gone=True))


def test_what_was_created_is_gone_only_once_it_was_shown() -> None:
    shown = CREATION.after(judge(CREATION, instance("Creating", 1)))

    assert evaluate(CREATION, Problem.NOT_FOUND).outcome is PENDING
    assert evaluate(moved(CREATION.after(evaluate(CREATION, Problem.NOT_FOUND))), Problem.NOT_FOUND).outcome is PENDING
    assert evaluate(moved(shown), Problem.NOT_FOUND).outcome is SUCCESS


@pytest.mark.parametrize(
    ("polls", "found"),
    [
        ([("Creating", 1), ("Running", 2)], [PENDING, SUCCESS]),
        ([("Running", None)], [SUCCESS]),
        ([("Failed", 1)], [FAILURE]),
        ([("Stopping", 1)], [FAILURE]),
        ([("Stopped", None)], [FAILURE]),
    ],
)
def test_all_that_is_shown_of_it_is_news(polls: list[tuple[str, int | None]], found: list[Outcome]) -> None:
    assert outcomes(CREATION, *(instance(*poll) for poll in polls)) == found


@pytest.mark.parametrize(
    ("status", "minute", "nothing"),
    [("Stopping", 2, True), ("Stopped", 2, True), ("Stopped", 1, False), ("Starting", 2, False), (None, None, False)],
)
def test_what_stops_already_needs_no_stop(status: str | None, minute: int | None, nothing: bool) -> None:
    # A start that was asked for may not be shown yet.
    assert has_nothing_to_stop(instance(status, minute), Baseline.of(instance("Stopped", 1))) is nothing


# The image


@pytest.mark.parametrize(
    ("status", "found"),
    [("Failed", FAILURE), ("Saved", SUCCESS), ("Pushing", PENDING), ("Committing", PENDING), ("Unheard of", PENDING)],
)
@pytest.mark.parametrize("older", [(), (snapshot("Failed"),), (snapshot("Saved"),)])
def test_the_newest_snapshot_tells_what_became_of_the_save_before_a_stop(
    status: str, found: Outcome, older: tuple[dict[str, Any], ...]
) -> None:
    wait = stop_after(instance("Running", 1, InstanceSnapshotList=list(older)), saves_image=True)
    new = snapshot(status, "b", 5, ReasonMessage="disk full")

    stopped = instance("Stopped", 7, LatestSnapshot=new, InstanceSnapshotList=[new, *older], RequestId="R-1")

    verdict = judge(wait, stopped)
    assert verdict.outcome is found
    if found is FAILURE:
        assert verdict.reason == "ReasonMessage: disk full, RequestId: R-1"
    assert judge(wait, instance("Stopped", 7, LatestSnapshot=older[0] if older else None)).outcome is SUCCESS


def test_a_failed_save_is_seen_even_if_the_stop_was_given_up_for_it() -> None:
    wait = stop_after(instance("Running", 1), saves_image=True)

    assert judge(wait, instance("Running", 4, LatestSnapshot=snapshot("Failed", "b", 3))).outcome is FAILURE


def test_two_snapshots_of_one_second_are_told_apart() -> None:
    wait = stop_after(instance("Running", 1, LatestSnapshot=snapshot("Saved", "a", 0)), saves_image=True)

    assert judge(wait, instance("Stopped", 4, LatestSnapshot=snapshot("Failed", "b", 0))).outcome is FAILURE


@pytest.mark.parametrize(
    ("pushing", "status", "minute", "found"),
    [
        ("Committing", "SaveFailed", 1, PENDING),
        ("Pushing", "SaveFailed", 9, PENDING),  # the snapshot itself will say so
        ("Committing", "Failed", 1, PENDING),
        ("Committing", "Failed", 9, FAILURE),
        ("Pushing", "Deleting", 9, FAILURE),
        ("Unheard of", "SaveFailed", 9, FAILURE),
        ("Unheard of", "SaveFailed", 1, PENDING),
        ("Pushing", "SaveFailed", None, PENDING),
        ("Pushing", "Failed", None, FAILURE),
    ],
)
def test_a_status_that_is_older_than_a_snapshot_says_nothing_of_it(
    pushing: str, status: str, minute: int | None, found: Outcome
) -> None:
    wait = Wait(SnapshotByIdCondition(ID, snapshot_id="snp-1"), Operation(Baseline()))

    assert judge(wait, instance(status, minute), snapshot(pushing, minute=5)).outcome is found
