"""An instance's history: its statuses with their times, and its events."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from airflow_provider_dsw.emulator.timeline import FAILED_STATUSES

LIMIT = 2000  # GetInstanceEvents answers as many by default
ENDS_A_SESSION = frozenset({"Stopped", "Failed"})


@dataclass
class Phase:
    """A status that an instance had, or has; times by the emulator's clock."""

    number: int
    status: str
    began: float
    reason_code: str
    reason_message: str
    ended: float | None = None


@dataclass(frozen=True)
class Event:
    time: float
    level: str
    text: str


class History:
    """The last phases and events of one instance, oldest first."""

    def __init__(self) -> None:
        self.phases: deque[Phase] = deque(maxlen=LIMIT)
        self.events: deque[Event] = deque(maxlen=LIMIT)
        self._number = 0

    def enter(self, status: str | None, moment: float, reason_code: str, reason_message: str, cause: str) -> None:
        """Begin a phase, unless the instance has this status already. cause: the event of a failure."""
        last = self.phases[-1] if self.phases else None
        if last is not None and last.ended is None:
            if last.status == status:
                return
            last.ended = moment
        if status is None:
            return
        self._number += 1
        self.phases.append(Phase(self._number, status, moment, reason_code, reason_message))
        failed = status in FAILED_STATUSES
        self.add_event(moment, f"The instance is {status}.", "Warning" if failed else "Normal")
        if failed:
            self.add_event(moment, cause, "Warning")

    def add_event(self, moment: float, text: str, level: str = "Normal") -> None:
        self.events.append(Event(moment, level, text))

    def since(self, statuses: Collection[str]) -> float | None:
        """Return since when the instance has had these statuses and no others."""
        began = None
        for phase in reversed(self.phases):
            if phase.status not in statuses:
                break
            began = phase.began
        return began

    def sessions(self) -> Iterator[list[Phase]]:
        """Return the phases by session: from a start to the stop or failure."""
        session: list[Phase] = []
        for phase in self.phases:
            session.append(phase)
            if phase.status in ENDS_A_SESSION:
                yield session
                session = []
        if session:
            yield session
