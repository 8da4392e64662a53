"""A clock that only moves when somebody sleeps, for what would take too long, or depend on how busy the machine is."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from types import ModuleType, SimpleNamespace

import pytest

import airflow_provider_dsw

# The rest of the package has nothing to do with how long a wait takes.
OTHER_ROOMS = ("client", "hooks", "emulator", "links", "waits")
# How tasks are run, beside the package's own modules.
AROUND = ("airflow.sdk.bases.sensor", "tests.support.modes")


@cache
def modules_that_use(used: ModuleType) -> tuple[str, ...]:
    """
    Return the modules whose sleeps and looks at the clock decide how long a wait takes.

    :param used: ``time`` or ``asyncio``.
    """
    package = pkgutil.walk_packages(airflow_provider_dsw.__path__, "airflow_provider_dsw.")
    names = [*AROUND, *(each.name for each in package if each.name.split(".")[1] not in OTHER_ROOMS)]
    return tuple(name for name in names if used in vars(importlib.import_module(name)).values())


@contextmanager
def wrong_clock(ahead: float) -> Iterator[None]:
    """
    Run what a machine runs whose clock is wrong.

    :param ahead: by how many seconds; less than 0 for one that is behind.
    """
    shown = SimpleNamespace(time=lambda: time.time() + ahead, monotonic=time.monotonic, sleep=time.sleep)
    with pytest.MonkeyPatch.context() as patch:
        for module in modules_that_use(time):
            patch.setattr(f"{module}.time", shown)
        yield


class Clock:
    """Seconds since the epoch; a request takes none."""

    def __init__(self) -> None:
        self.now = time.time()
        self._due: list[tuple[float, Callable[[], object]]] = []

    def after(self, seconds: float, happens: Callable[[], object]) -> None:
        """Let something happen before whoever sleeps until then, or longer, wakes up."""
        self._due.append((self.now + seconds, happens))

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        # A moment longer, as every sleep is.
        self.now += max(seconds, 0) + 0.001
        due, self._due = self._due, []
        for at, happens in due:
            if at <= self.now:
                happens()
            else:
                self._due.append((at, happens))

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def utcnow(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = SimpleNamespace(time=self.time, monotonic=self.time, sleep=self.sleep)
        for module in modules_that_use(time):
            monkeypatch.setattr(f"{module}.time", shown)
        for module in AROUND:
            monkeypatch.setattr(f"{module}.timezone", SimpleNamespace(utcnow=self.utcnow))
        for module in modules_that_use(asyncio):
            monkeypatch.setattr(f"{module}.asyncio", self.event_loop())

    def event_loop(self) -> SimpleNamespace:
        """Return what stands in for ``asyncio``."""
        in_loop = SimpleNamespace(**{name: getattr(asyncio, name) for name in asyncio.__all__})
        in_loop.sleep = self.asleep
        return in_loop


class LoopClock(Clock):
    """A clock for many waits in one event loop: whoever sleeps wakes up when the test lets the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def asleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = (self.now + seconds, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    @property
    def sleeping(self) -> int:
        """How many sleep, and have not been woken."""
        return sum(not woken.done() for _, woken in self._sleepers)

    def advance(self, seconds: float) -> None:
        """Let the time pass, and wake whoever is due by then."""
        self.now += seconds
        for due, woken in self._sleepers:
            if due <= self.now and not woken.done():
                woken.set_result(None)
