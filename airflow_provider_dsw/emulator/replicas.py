"""Replicas that are behind: they show an earlier state of an instance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_dsw.emulator.encoding import json_bytes

REQUEST_ID = "(request id)"  # in place of which each answer has its own
FARTHEST = 1_000_000  # more states than there are: the state from before the operation


class Shown:
    """A state of an instance, as an answer shows it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self._parts: tuple[bytes, bytes, bytes] | None = None

    def encoded(self, request_id: str) -> bytes:
        if self._parts is None:
            self._parts = json_bytes(self.fields).partition(REQUEST_ID.encode())
        head, placeholder, tail = self._parts
        return head + request_id.encode() + tail if placeholder else head


class Replicas:
    """Which of the next polls reach a replica that is behind, and what it shows."""

    def __init__(self) -> None:
        self._behind: list[int] = []
        # Oldest first; the first is from before the operation. None: there was no instance.
        self._earlier: list[Shown | None] = []
        self._polled: Shown | None = None

    def fall_behind(self, stale_reads: int | Sequence[int], before: Shown | None) -> None:
        """
        See `Options.stale_reads`. before: the state that the oldest answer shows, if none was behind already; None:
        that there is no instance.
        """
        earlier = self._earlier if self._behind else []
        self._behind = [FARTHEST] * stale_reads if isinstance(stale_reads, int) else list(stale_reads)
        self._earlier = [*earlier, before] if self._behind else []
        self._polled = None

    def next_behind(self) -> int:
        """By how many states the poll that is answered now is behind."""
        return self._behind.pop(0) if self._behind else 0

    def earlier(self, behind: int, present: Shown | None) -> Shown | None:
        """The state that is so many behind the present one."""
        states = [*self._earlier]
        if self._polled is not None and self._polled is not present:
            states.append(self._polled)
        return states[max(len(states) - behind, 0)] if behind and states else present

    def show(self, present: Shown) -> None:
        """A poll was answered with the present state."""
        if self._behind:
            if self._polled is not None and self._polled is not present:
                self._earlier.append(self._polled)
            self._polled = present
