"""Check what a DAG author passes, and help with what is mistyped."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SNAPSHOT_NAME = re.compile(r"[a-z0-9-]+")


@contextmanager
def naming(task_id: str) -> Iterator[None]:
    """
    Let a ValueError say which task it is about: what Airflow's UI shows of it has no line of the DAG file.

    :param task_id: the task's.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"Task {task_id!r}: {error}") from None


def check_id(name: str, value: object) -> None:
    """
    Check the id of an instance or snapshot.

    The SDK would call ListInstances for an empty one, and sign a wrong path for one with special characters.

    :param name: the argument that holds it, for the message.
    :param value: letters, digits, ``-`` and ``_``, e.g. ``dsw-730xxxxxxxxxx``.
    :raises ValueError: where it is empty or malformed.
    """
    # 'None' is what a template makes of an XCom that is not there.
    if not isinstance(value, str) or not _ID.fullmatch(value) or value == "None":
        raise ValueError(f"{name}: {value!r} is no id. Ids are letters, digits, '-' and '_', e.g. 'dsw-730abc'.")


def check_snapshot_name(value: object) -> None:
    """
    Check the name for a new snapshot.

    :param value: lowercase letters, digits and hyphens (CreateInstanceSnapshot's page).
    :raises ValueError: where it is empty or holds anything else.
    """
    if not isinstance(value, str) or not _SNAPSHOT_NAME.fullmatch(value):
        raise ValueError(f"snapshot_name: {value!r} is not of lowercase letters, digits and hyphens.")


def check_image_url(value: object) -> None:
    """
    Check the address to push an image to.

    :param value: e.g. ``registry.cn-hangzhou.aliyuncs.com/ns/repo:tag``.
    :raises ValueError: where it is empty.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("image_url: empty. Name the repository and tag to push the image to.")


def is_literal(value: Any) -> bool:
    """
    Return whether an argument already has the value that it will have at run time.

    Everything else is what Airflow renders or resolves: templates, also in lists and dicts; XComArgs and what mapped
    task groups pass; callables.
    """
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, (list, tuple, set)):
        return all(map(is_literal, value))
    if isinstance(value, dict):
        return all(map(is_literal, value.values()))
    is_resolved = not isinstance(value, os.PathLike) and hasattr(value, "resolve")
    return not is_resolved and not callable(value)


def nearest(word: object, known: Iterable[str]) -> str:
    """
    Return `` Did you mean …?`` with the known name nearest to a mistyped one, or all known ones.

    :param word: what was given; case does not count.
    :param known: the names that would be right.
    """
    by_lower_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word).lower(), by_lower_case, n=1)
    return f" Did you mean {by_lower_case[near[0]]!r}?" if near else f" Known are: {', '.join(by_lower_case.values())}."
