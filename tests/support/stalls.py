"""How long an event loop stood still. Imports next to nothing, so that it can run in a fresh process."""

import asyncio
import time
from collections.abc import Awaitable, Callable


def unhindered_time() -> float:
    """Return seconds, without those in which this thread could have run, and others had the processor."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            waited = int(file.read().split()[1]) / 1e9
    except OSError:  # the kernel does not count them
        waited = 0.0
    return time.monotonic() - waited


async def longest_stall(work: Awaitable[object], clock: Callable[[], float] = unhindered_time) -> float:
    """
    Return the longest time, in seconds, for which the loop did nothing else while it did this work.

    :param clock: with ``time.thread_time``, what the loop itself computes counts, however busy the machine is, and not
        what it waits for. Both clocks are of the thread that calls.
    """
    longest, done = 0.0, asyncio.Event()

    async def heartbeat() -> None:
        nonlocal longest
        while not done.is_set():
            before = clock()
            await asyncio.sleep(0.005)
            longest = max(longest, clock() - before - 0.005)

    beating = asyncio.create_task(heartbeat())
    await asyncio.sleep(0.02)
    try:
        await work
    finally:
        done.set()
        await beating
    return longest
