"""Time limits for many answers in one event loop, kept by one timer."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Expiring(Protocol):
    """What has a time limit."""

    def expire(self) -> None:
        """End: the time is over."""


class Deadlines:
    """
    What of one event loop must end in time.

    ``asyncio.timeout()`` has a timer of its own, which an answer that comes in time cancels. asyncio frees cancelled
    timers by the hundred, and Python's garbage collector, which does not see them go, then looks through the whole
    triggerer ever more often, while the event loop stands still.
    """

    def __init__(self) -> None:
        self._due: dict[Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, expiring: Expiring, seconds: float) -> None:
        """Let something expire after so many seconds, unless that is set again or dropped."""
        due = self._due[expiring] = asyncio.get_running_loop().time() + seconds
        if self._timer is None or due < self._timer.when():
            self._wake_at(due)

    def drop(self, expiring: Expiring) -> None:
        """Leave it alone from now on."""
        self._due.pop(expiring, None)

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for expiring in [expiring for expiring, due in self._due.items() if due <= now]:
            self.drop(expiring)
            expiring.expire()
        if self._due:
            self._wake_at(min(self._due.values()))
