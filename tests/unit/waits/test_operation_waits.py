"""What an operator waits for beside the status that it requests: no service, no Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import ExpressionCondition, Outcome, Problem, Wait, evaluate
from airflow_provider_dsw.waits.operation_waits import (
    condition_for_deletion,
    condition_for_end_of,
    condition_for_stop_before_deletion,
    condition_for_target,
)
from airflow_provider_dsw.waits.operations import Baseline, Operation
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES
from tests.support.answers import ID, instance, judge, moved

SUCCESS, PENDING, FAILURE = Outcome.SUCCESS, Outcome.PENDING, Outcome.FAILURE


@pytest.mark.parametrize("status", ["Stopping", "Saving", "Saved", "Updating"])
def test_whatever_follows_a_status_is_the_end_of_it(status: str) -> None:
    wait = condition_for_end_of(instance(status, 1))

    found = {each: judge(wait, instance(each, 2)).outcome for each in (*INSTANCE_STATUSES, "A status of tomorrow")}
    assert {each for each, outcome in found.items() if outcome is PENDING} == {status, "A status of tomorrow"}
    assert FAILURE not in found.values()
    assert judge(wait, instance("Running", 0)).outcome is PENDING  # from before
    assert status in str(wait)


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


@pytest.mark.parametrize(
    ("wait", "goal"),
    [
        (condition_for_deletion(ID, Baseline()), "be gone"),
        (condition_for_end_of(instance("Saving")), "be no longer Saving"),
        (
            Wait(ExpressionCondition(ID, until="InstanceName == 'x'"), Operation(Baseline(), goal="be renamed")),
            "be renamed",
        ),
    ],
)
def test_what_was_requested_is_worded_by_the_operation_while_it_is_waited_for_and_when_it_fails(
    wait: Wait, goal: str
) -> None:
    wait = moved(wait)

    assert str(wait) == f"DSW instance {ID} to {goal}"
    failure = wait.describe_failure(judge(wait, instance("Failed")))
    assert failure == f"DSW instance {ID} is Failed and can no longer {goal}"


@pytest.mark.parametrize(
    ("wait", "target"),
    [
        (condition_for_target(ID, "Running", Operation(Baseline()), ends_at_reversal=True), "Running"),
        (condition_for_stop_before_deletion(ID, Baseline()), "Stopped"),
    ],
)
def test_what_else_ends_a_wait_is_not_said_to_be_its_goal(wait: Wait, target: str) -> None:
    failure = wait.describe_failure(judge(wait, instance("Arrearge")))

    assert str(wait) == f"DSW instance {ID} to be {target}"
    assert failure == f"DSW instance {ID} is Arrearge and can no longer reach {target}"
