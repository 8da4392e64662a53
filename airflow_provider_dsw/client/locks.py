"""What a forked child must not take over from its parent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_RESETS: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def reset_in_child(owner: T, reset: Callable[[T], None]) -> None:
    """
    Call a function in each process that is forked from this one, before anything else runs there.

    :param owner: what it is called with, for as long as that lives.
    :param reset: the function.
    """
    _RESETS[owner] = reset


def _reset_all() -> None:
    for owner, reset in list(_RESETS.items()):
        reset(owner)


os.register_at_fork(after_in_child=_reset_all)


class ProcessLock:
    """Holds a lock that is free in a forked child, whichever of the parent's threads had it."""

    def __init__(self) -> None:
        self.current = threading.Lock()
        """To be used in a ``with`` of its own: a signal's exception never comes between it and the block."""
        reset_in_child(self, ProcessLock._replace)

    def _replace(self) -> None:
        self.current = threading.Lock()
