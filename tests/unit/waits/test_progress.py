"""How far an operation is, and what was true before it: no service, no Airflow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import Outcome, Problem, SnapshotByIdCondition, Verdict, Wait, evaluate
from airflow_provider_dsw.waits.progress import (
    Baseline,
    Operation,
    Progress,
    condition_for_deletion,
    condition_for_end_of,
    condition_for_target,
    find_by_label,
    has_nothing_to_stop,
    newer_answer,
    progress,
    shutdown_timer,
)
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES

SUCCESS, PENDING, FAILURE = Outcome.SUCCESS, Outcome.PENDING, Outcome.FAILURE
ID = "dsw-abc"


def instance(status: Any, minute: int | None = None, **more: Any) -> dict[str, Any]:
    """An answer of GetInstance; `minute`: when the instance was modified."""
    time = {} if minute is None else {"GmtModifiedTime": f"2026-01-31T12:{minute:02}:00Z"}
    return {"InstanceId": ID, "Status": status, **time, **more}


def snapshot(status: str, name: str = "a", minute: int = 0, **more: Any) -> dict[str, Any]:
    created = f"2026-01-31T12:{minute:02}:00Z"
    return {"Status": status, "ImageName": name, "ImageUrl": f"registry/{name}", "GmtCreateTime": created, **more}


def judge(wait: Wait, answer: dict[str, Any], of_snapshot: dict[str, Any] | None = None) -> Verdict:
    return evaluate(wait, PollResult(answer, of_snapshot))


def moved(wait: Wait) -> Wait:
    """The wait in another process."""
    assert wait.operation
    return wait._replace(operation=Operation.from_json(json.loads(json.dumps(wait.operation.as_json()))))


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


# How far an instance is

IN_PROGRESS = {"Creating", "Queuing", "ResourceAllocating", "EnvPreparing", "Starting"}


@pytest.mark.parametrize(
    ("target", "saves_image", "in_progress", "blocked"),
    [
        (
            "Running",
            False,
            IN_PROGRESS,
            {"Stopping", "Saving", "Saved", "SaveFailed", "Updating", "Recovering"},
        ),
        ("Stopped", False, {"Stopping"}, {"Saving"}),
        ("Stopped", True, {"Stopping"}, {"Saving", "Saved", "SaveFailed"}),
    ],
)
def test_how_far_an_instance_is_on_its_way(
    target: str, saves_image: bool, in_progress: set[str], blocked: set[str]
) -> None:
    found: dict[Progress, set[Any]] = {}
    for status in (*INSTANCE_STATUSES, "A status of tomorrow", None):
        found.setdefault(progress(target, instance(status), saves_image=saves_image), set()).add(status)

    assert found.pop(Progress.DONE) == {target}
    assert found.pop(Progress.IN_PROGRESS) == in_progress
    assert found.pop(Progress.BLOCKED) == blocked
    assert list(found) == [Progress.NEEDS_REQUEST]


@pytest.mark.parametrize("status", ["Stopping", "Saving", "Saved", "Updating"])
def test_whatever_follows_a_status_is_the_end_of_it(status: str) -> None:
    wait = condition_for_end_of(instance(status, 1))

    found = {each: judge(wait, instance(each, 2)).outcome for each in (*INSTANCE_STATUSES, "A status of tomorrow")}
    assert {each for each, outcome in found.items() if outcome is PENDING} == {status, "A status of tomorrow"}
    assert FAILURE not in found.values()
    assert judge(wait, instance("Running", 0)).outcome is PENDING  # from before
    assert status in str(wait)


def test_of_two_answers_the_later_state_counts() -> None:
    old, new, undated = instance("Running", 1), instance("Stopped", 2), instance("Saved")

    assert newer_answer(old, new) is newer_answer(new, old) is new
    assert newer_answer(old, undated) is undated


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


LABEL = {"Key": "made-by", "Value": "a"}


def test_a_snapshot_is_found_by_its_label_and_a_failed_one_only_if_there_is_no_other() -> None:
    older = snapshot("Saved", minute=1, SnapshotId="snp-1", Labels=[{"Key": "team", "Value": "b"}, LABEL])
    newer = {**older, **snapshot("Pushing", minute=2), "SnapshotId": "snp-2"}
    failed = {**older, **snapshot("Failed", minute=3), "SnapshotId": "snp-3"}
    others = [
        snapshot("Saved", minute=4, Labels=labels) for labels in (None, [], [{**LABEL, "Value": "b"}], [{"Key": "a"}])
    ]

    assert find_by_label([*others, failed, newer, older], "made-by", "a") == newer
    assert find_by_label([*others, failed], "made-by", "a") == failed
    assert find_by_label([*others, failed], "made-by", "a", excluding=["snp-3"]) is None
    assert find_by_label(others, "made-by", "a") is None


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (instance("Running", 1), PENDING),
        (instance("Deleting", 2), PENDING),
        (instance("Stopped", 2), PENDING),
        (instance("Failed", 2), FAILURE),
        (Problem.NOT_FOUND, SUCCESS),
        (Problem.DENIED, FAILURE),
        (Problem.TRANSIENT, PENDING),
    ],
)
def test_a_deletion_is_over_when_there_is_no_such_instance(found: Any, outcome: Outcome) -> None:
    wait = moved(condition_for_deletion(ID, Baseline.of(instance("Running", 1))))

    assert evaluate(wait, found if isinstance(found, Problem) else PollResult(found)).outcome is outcome
    assert str(wait) == f"DSW instance {ID} to be gone"


def test_to_anybody_else_it_is_a_failure() -> None:
    assert evaluate(start_after(instance("Stopped", 1)), Problem.NOT_FOUND).outcome is FAILURE


@pytest.mark.parametrize(
    ("timer", "is_there"),
    [
        (None, False),
        ({}, False),
        ("soon", False),
        ({"DueTime": "2026-01-31T12:00:00Z", "RemainingTimeInMs": 0}, False),
        ({"DueTime": "2026-01-31T12:00:00Z", "RemainingTimeInMs": 1}, True),
        ({"DueTime": "2026-01-31T12:00:00Z"}, True),
        ({"RemainingTimeInMs": 1}, True),
    ],
)
def test_a_timer_that_is_over_is_none(timer: Any, is_there: bool) -> None:
    assert (shutdown_timer(instance("Running", InstanceShutdownTimer=timer)) is not None) is is_there
