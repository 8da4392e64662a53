"""Waiting for what another thread, or the rest of an event loop, brings about: only a fault takes until the limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LIMIT = 300.0


def wait_until(holds: Callable[[], object]) -> None:
    """Return once this holds."""
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


async def until(holds: Callable[[], object]) -> None:
    """Return once this holds; the loop goes on meanwhile."""
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)
