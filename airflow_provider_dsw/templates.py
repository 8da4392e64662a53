"""Tell what is known where a DAG is parsed from what only a run will fill in."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def is_literal(value: Any) -> bool:
    """
    Return whether an argument already has the value that it will have at run time.

    Templates don't, nor do XComArgs and what mapped task groups pass.
    """
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_literal, value))
    return value is None or isinstance(value, (bool, int, float, datetime))
