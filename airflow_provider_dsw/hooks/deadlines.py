"""Time limits for many calls in one event loop, kept by one timer."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadlines:
    """
    The calls of one event loop that must end in time.

    ``asyncio.timeout()`` alone has a timer of its own, which a call that ends in time cancels. asyncio frees
    cancelled timers by the hundred, and Python's garbage collector, which does not see them go, then looks through
    the whole triggerer ever more often, while the event loop stands still.
    """

    def __init__(self) -> None:
        self._due: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, timeout: asyncio.Timeout, due: float) -> None:
        """Let what runs under `timeout` end at `due`, by the loop's clock, unless that is set again or dropped."""
        self._due[timeout] = due
        if self._timer is None or due < self._timer.when():
            self._wake_at(due)

    def drop(self, timeout: asyncio.Timeout) -> None:
        """Leave `timeout` alone from now on."""
        self._due.pop(timeout, None)

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for timeout in [timeout for timeout, due in self._due.items() if due <= now]:
            self.drop(timeout)
            timeout.reschedule(now)
        if self._due:
            self._wake_at(min(self._due.values()))


class Deadline:
    """
    The time that one call may take in all, and between what it hears from the service.

    To be entered; raises TimeoutError where the time is over.

    :param deadlines: of the running event loop.
    :param seconds: in all.
    """

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._timeout = asyncio.timeout(None)
        self._end = asyncio.get_running_loop().time() + seconds

    async def __aenter__(self) -> Deadline:
        await self._timeout.__aenter__()
        self.only_in_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.drop(self._timeout)
        await self._timeout.__aexit__(kind, error, traceback)

    def within(self, seconds: float) -> None:
        """Expect the service's next word within so many seconds."""
        self._deadlines.set(self._timeout, min(self._end, asyncio.get_running_loop().time() + seconds))

    def only_in_all(self) -> None:
        """Expect nothing until the end of the time in all."""
        self._deadlines.set(self._timeout, self._end)
