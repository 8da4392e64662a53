"""The timeline of an instance or a snapshot: its statuses, one after the other.

Nothing runs in the background: where a timeline stands is computed when somebody looks, so a thousand
instances cost nothing between two requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FAILED_STATUSES = frozenset({"Failed", "SaveFailed"})

StepSpec = str | tuple[Any, ...] | None


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One status of a timeline: it lasts for `seconds`, or for one read (`per_poll`). The last one stays."""

    status: str | None  # None: gone, GetInstance answers 404
    seconds: float | None
    fields: Mapping[str, Any]
    per_poll: bool


def parse_steps(items: Iterable[StepSpec], speed: float) -> list[Step]:
    """Read steps: by time, ("Starting", 2) or ("Failed", None, {fields}); or, without seconds, by poll."""
    steps: list[Step] = []
    items = [items] if isinstance(items, str) else list(items)
    for number, item in enumerate(items, 1):
        status, *rest = item if isinstance(item, tuple | list) and item else (item,)
        fields = rest.pop() if rest and isinstance(rest[-1], Mapping) else {}
        per_poll = not rest
        seconds = rest.pop(0) if rest else None
        good_seconds = seconds is None or (
            isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0
        )
        if rest or not good_seconds or not (status is None or (isinstance(status, str) and status)):
            raise ValueError(f"not a step of a timeline: {item!r}; want (status, seconds) or a status")
        if not per_poll and seconds is None and number < len(items):
            raise ValueError(f"{status} without seconds stays forever: it can only be the last step")
        steps.append(Step(status, None if seconds is None else seconds / speed, dict(fields), per_poll))
    if not steps:
        raise ValueError("a timeline needs at least one status")
    return steps


class Timeline:
    """The position in a timeline's steps."""

    def __init__(self, steps: Sequence[Step], now: float) -> None:
        self.steps = list(steps)
        self.index = 0
        self.entered = now  # monotonic time at which the current step began
        self.passed = [(self.steps[0], now)]  # each step so far and when it began
        self._was_read = False

    def peek(self, now: float) -> Step:
        """The current step; looking changes nothing."""
        step = self.steps[self.index]
        while self.index + 1 < len(self.steps) and not step.per_poll and step.seconds is not None:
            if now < self.entered + step.seconds:
                break
            self._next(self.entered + step.seconds)
            step = self.steps[self.index]
        return step

    def read(self, now: float) -> Step:
        """The current step, shown to a client: a `per_poll` step ends with the next read."""
        step = self.peek(now)
        if step.per_poll and self._was_read and self.index + 1 < len(self.steps):
            self._next(now)
            step = self.steps[self.index]
        self._was_read = True
        return step

    def _next(self, entered: float) -> None:
        self.index += 1
        self.entered = entered
        self.passed.append((self.steps[self.index], entered))
        self._was_read = False

    def end(self, now: float) -> float:
        """When the last step begins; now if that depends on who reads."""
        self.peek(now)
        end = self.entered
        for step in self.steps[self.index : -1]:
            end += step.seconds or 0.0
        return max(now, end)
