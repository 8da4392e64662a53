"""What an answer says: no service, no Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.waits.answers import newer_answer, shutdown_timer
from tests.support.answers import instance


def test_of_two_answers_the_later_state_counts() -> None:
    old, new, undated = instance("Running", 1), instance("Stopped", 2), instance("Saved")

    assert newer_answer(old, new) is newer_answer(new, old) is new
    assert newer_answer(old, undated) is undated


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
