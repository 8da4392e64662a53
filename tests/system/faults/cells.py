"""One cell of the matrix, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.system.faults.service import Bed


@dataclass(frozen=True)
class Found:
    """
    What came of a cell.

    :param outcome: "success", or the class of the error.
    :param requests: how many were made.
    :param wrong: in words, what should not be so.
    """

    outcome: str
    requests: int
    wrong: list[str]


@dataclass(frozen=True)
class Cell:
    """
    A fault, and where and when it strikes.

    :param mode: how the subject is run.
    :param subject: what is run.
    :param fault: the name of the fault.
    :param length: how often it strikes.
    :param at: the first request that it strikes, from 0 on; None if it strikes whichever asks for a change.
    :param runs: runs it.
    """

    mode: str
    subject: str
    fault: str
    length: str
    at: int | None
    runs: Callable[[Bed, Cell], Found]

    @property
    def name(self) -> str:
        where = "" if self.at is None else f", from request {self.at + 1} on"
        return f"{self.mode}, {self.subject}: {self.fault}, {self.length}{where}"
