"""The emulator's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """The time of this machine. offset: by how many seconds what the service writes as a time is ahead of it."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset
        self._epoch = time.time() - time.monotonic()

    def now(self) -> float:
        """The monotonic time in seconds, by which timelines go."""
        return time.monotonic()

    def utc(self, moment: float | None = None) -> datetime:
        """The service's time at a moment of `now()`, by default the present."""
        return datetime.fromtimestamp(self._epoch + (self.now() if moment is None else moment) + self.offset, UTC)

    def stamp(self, moment: float | None = None) -> str:
        """The same, as the service writes it."""
        return write_time(self.utc(moment))


class ManualClock(Clock):
    """A clock that stands still but for `advance`: nothing in a test depends on how fast the machine is."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__(offset)
        self._now = time.monotonic()

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass. They are the emulator's own: `speed` makes a timeline's seconds shorter."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds!r}")
        self._now += seconds


def write_time(moment: datetime) -> str:
    """Write a time as the service does."""
    if moment.tzinfo is None:
        raise ValueError(f"a time needs a time zone: {moment!r}")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
