"""Warnings of names that may be mistyped.

Each is served as it is all the same: the service may have fields and statuses that its documentation lacks.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Iterable
from typing import Any

from airflow_provider_dsw.emulator.statuses import INSTANCE_STATUSES, SNAPSHOT_STATUSES

NEAR = 0.8  # of 1: a status that is new to all, such as Hibernating, has some letters of a known one too
PACKAGE = __name__.rpartition(".")[0]
# Mistyped, one of these would be taken for a field.
ARGUMENTS = ("status", "timeline", "per_poll", "omit", "old_snapshot", "options", "stale_reads")


def warn_of_fields(names: Iterable[str], documented: Collection[str]) -> None:
    """Warn of each field that is near to a documented one, or to an argument beside them."""
    for name in names:
        if name not in documented and (near := _nearest(name, (*documented, *ARGUMENTS))):
            _warn(f"GetInstance documents no field {name!r}. Did you mean {near!r}?")


def warn_of_statuses(statuses: Iterable[Any], *, of_snapshot: bool = False) -> None:
    """Warn of each status that is near to one of an instance's, or of a snapshot's."""
    known, owner = (SNAPSHOT_STATUSES, "a snapshot") if of_snapshot else (INSTANCE_STATUSES, "an instance")
    for status in statuses:
        if isinstance(status, str) and status not in known and (near := _nearest(status, known)):
            _warn(f"{status!r} is not {owner} status. Did you mean {near!r}?")


def _nearest(name: str, known: Collection[str]) -> str | None:
    import difflib  # only a mistake needs it

    if near := difflib.get_close_matches(name, known, 1, NEAR):
        return near[0]
    by_lower_case = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower_case, 1, NEAR)
    return by_lower_case[near[0]] if near else None


def _warn(text: str) -> None:
    """Warn where the emulator is called from, whichever of its methods that is."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(f"{text} It is served as it is.", UserWarning, stacklevel=level)
