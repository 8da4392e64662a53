"""What the command `dsw-emulator` writes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from airflow_provider_dsw.emulator.record import Request

_GREEN, _RED, _MAGENTA = 32, 31, 35
_COLOURS = {
    **dict.fromkeys(("success", "Running", "Saved"), _GREEN),
    **dict.fromkeys(("failed", "Failed", "SaveFailed"), _RED),
    "deferred": _MAGENTA,
}
LOG_LINES = 15
_COLOURED = re.compile(rf"\b({'|'.join(_COLOURS)})\b")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")  # at once: two threads write
    sys.stdout.flush()


def say_now(text: str) -> None:
    """With the time of day before it, and states in colour where the terminal has them."""
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        text = _COLOURED.sub(lambda found: f"\033[{_COLOURS[found[0]]}m{found[0]}\033[0m", text)
    say(f"{datetime.now().astimezone():%H:%M:%S}  {text}")


def fail(text: str) -> int:
    print(f"dsw-emulator: {text}", file=sys.stderr, flush=True)
    return 1


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])


class RequestLines:
    """Shows requests: a poll that finds what the one before it found says nothing new."""

    def __init__(self) -> None:
        self._shown: dict[str | None, str] = {}

    def show(self, request: Request) -> None:
        line = request_line(request)
        if self._shown.get(request.instance_id) != line:
            self._shown[request.instance_id] = line
            say_now(line)


def request_line(request: Request) -> str:
    answered = "dropped" if request.status is None else str(request.status)
    parts = [request.action or f"{request.method} {request.path}", request.instance_id, answered]
    return _printable("  ".join(part for part in [*parts, request.code, request.shown] if part))


def changes(before: Mapping[str, str | None], now: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """Each name whose status changed, and a line about it."""
    for name in {**before, **now}:
        if now.get(name) != before.get(name):
            yield name, _printable(f"{name}: {before.get(name) or 'new'} -> {now.get(name) or 'gone'}")


def _printable(text: str) -> str:
    """An id may hold what a terminal would obey."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
