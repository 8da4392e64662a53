"""What an operator waits for beside the status that it requests: no service, no Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import Outcome, Problem, evaluate
from airflow_provider_dsw.waits.operation_waits import condition_for_deletion, condition_for_end_of
from airflow_provider_dsw.waits.operations import Baseline
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
