"""What each kind of argument may be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_dsw import validation


@pytest.mark.parametrize(
    ("check", "value", "taken"),
    [
        (validation.seconds, 30, 30.0),
        (validation.seconds, 0.5, 0.5),
        (validation.seconds, timedelta(minutes=1), 60.0),
    ],
)
def test_what_is_right_is_taken(check: Callable[[str, object], Any], value: object, taken: object) -> None:
    found = check("it", value)

    assert (found, type(found)) == (taken, type(taken))


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (
            validation.seconds,
            [0, -1, True, None, "20", float("nan"), float("inf"), -float("inf"), timedelta(0), 10**400, [], {}],
        ),
    ],
)
def test_what_can_t_be_right_is_refused_by_its_name(check: Callable[[str, object], Any], values: list[object]) -> None:
    for value in values:
        with pytest.raises(ValueError, match="it: "):
            check("it", value)


def test_a_long_value_is_not_shown_whole() -> None:
    with pytest.raises(ValueError, match="it: ") as raised:
        validation.seconds("it", "x" * 10_000)
    assert len(str(raised.value)) < 200
