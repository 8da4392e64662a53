"""What is known of an argument when the DAG is parsed, and suggestions for mistyped names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

MAX_SHOWN = 500
"""How much of an argument is in a message about a wait, in characters."""


@contextmanager
def task_in_errors(task_id: str) -> Iterator[None]:
    """
    Prefix a ValueError with the task's id: Airflow's UI shows the error without a line of the DAG file.

    :param task_id: the task's.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"Task {task_id!r}: {error}") from None


def is_literal(value: Any) -> bool:
    """
    Return whether an argument already has the value that it will have at run time.

    Everything else is what Airflow renders or resolves: templates, also in lists and dicts; XComArgs and what mapped
    task groups pass; callables.
    """
    try:
        return _is_literal(value)
    except RecursionError:
        return True  # of a list that holds itself nothing could be rendered either


def _is_literal(value: Any) -> bool:
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, (list, tuple, set)):
        return all(map(_is_literal, value))
    if isinstance(value, dict):
        return all(map(_is_literal, value.values()))
    is_resolved = not isinstance(value, os.PathLike) and callable(getattr(value, "resolve", None))
    return not is_resolved and not callable(value)


def shortened(text: str) -> str:
    """
    Return an argument's text for a message, cut. What is cut is told from others by a hash.

    :param text: what a DAG author, or who triggers a run, has given.
    """
    if len(text) <= MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]}… ({hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]})"


def on_one_line(text: str) -> str:
    """
    Return a text with its line breaks and control characters escaped.

    :param text: any text.
    """
    return text if text.isprintable() else repr(text)[1:-1]


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """
    Return `` Did you mean …?`` with the known name nearest to a mistyped one, or all known ones.

    :param word: what was given; case does not count.
    :param known: the names that would be right.
    """
    known = list(known)
    return near_miss(word, known) or f" Known names: {', '.join(known)}."


def near_miss(word: object, known: Iterable[str]) -> str:
    """
    Return `` Did you mean …?`` with the known name nearest to a mistyped one; empty if none is near.

    :param word: what was given; case does not count.
    :param known: the names that would be right.
    """
    # Not at the top: only a mistake needs it.
    import difflib

    by_lower_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word).lower(), by_lower_case, n=1)
    return f" Did you mean {by_lower_case[near[0]]!r}?" if near else ""
