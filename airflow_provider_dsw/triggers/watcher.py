"""What a watcher sees from poll to poll, and what it fires: each change once, whichever triggerer runs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from airflow_provider_dsw.polling import LogLine, error_key
from airflow_provider_dsw.secrets import clean
from airflow_provider_dsw.version_compat import AirflowException
from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import Verdict, WaitCondition
from airflow_provider_dsw.waits.transitions import LastSeen, detect_transitions

T = TypeVar("T")

CLAIM_PAUSE = 1.0
"""Seconds in which another triggerer that runs the same watcher may claim a change too, before it is fired."""
CANCEL_GRACE = 10.0
"""Seconds in which a watcher that is cancelled may still fire what it has begun to claim."""
CANCEL_PERIOD = 1.5
"""Seconds within which Airflow 3.3.2 cancels a trigger again, and again, until it is gone."""


async def run_to_completion(coroutine: Coroutine[Any, Any, T]) -> tuple[T, asyncio.CancelledError | None]:
    """Return what a coroutine returns, and with what the caller was cancelled meanwhile, once or several times."""
    task = asyncio.create_task(coroutine)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            if cancelled is None:
                cancelled = error
                asyncio.get_running_loop().call_later(CANCEL_GRACE, task.cancel)
    return task.result(), cancelled


async def wait_past_next_cancel() -> None:
    """
    Return when the next cancellation is as far off as it can be.

    One that comes while Airflow takes an event, between its log line and its queue, loses the event.
    """
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(CANCEL_PERIOD)


class Watcher:
    """
    What a watcher has seen so far, also in Airflow's asset state store where there is one (3.3+).

    Nothing may end a watcher: Airflow would start it again at once.
    """

    def __init__(self, condition: WaitCondition, store: Any) -> None:
        self.condition = condition
        # The store of several assets answers for each of them alone, and has no public way to name them.
        self._stores = list(getattr(store, "_by_name", {}).values()) or [store] * (store is not None)
        self._key = f"dsw: {condition}"
        self._claim_key = f"dsw claim: {condition}"
        self._kept_at = self._ignored_before = 0.0
        self._last_seen: LastSeen | None = None
        self._last_error: str | None = None
        self._last_remark = ""

    async def handle(self, found: PollResult | AirflowException | None) -> tuple[list[Verdict], LogLine | None]:
        """Take one poll, and return the changes to fire for, and a line for the log, if any."""
        if found is None:
            return [], None
        if isinstance(found, AirflowException):
            return [], self._warning(error_key(found), str(found))
        try:
            return await self._compare(found)
        except Exception as error:  # the store's
            # Not to fire twice, the change waits for the next poll.
            return [], self._warning(type(error).__name__, f"Airflow's asset state store failed ({error}).")

    async def _compare(self, found: PollResult) -> tuple[list[Verdict], LogLine | None]:
        if self._last_seen is None:
            await self._load()
        elif self._changes(found)[0] is not self._last_seen and await self._load():
            # Another triggerer runs the same watcher, for a while. What it saw may be newer than this answer.
            self._ignored_before = time.time()
        seen, entered = self._changes(found)
        self._last_error = None
        if seen is None or seen is self._last_seen or found.requested_at < self._ignored_before:
            return [], self._line(found, is_new=False)
        if entered and not await self._claim():
            self._ignored_before = time.time() + CLAIM_PAUSE
            return [], None
        # Before the event: after a crash between the two, a lost event rather than a second one.
        await self._save(seen)
        self._last_seen = seen
        return entered, self._line(found, is_new=True)

    def _line(self, found: PollResult, *, is_new: bool) -> LogLine | None:
        """Return what to log of an answer: that it shows something new, or that what is watched for may be mistaken."""
        verdict = self.condition.evaluate(found)
        is_new_remark = verdict.remark not in ("", self._last_remark)
        self._last_remark = verdict.remark
        level = logging.WARNING if is_new_remark else logging.INFO
        text = f"Watching for {self.condition}: {clean(verdict.last_status)}"
        return LogLine(level, text) if is_new or is_new_remark else None

    def _changes(self, found: PollResult) -> tuple[LastSeen | None, list[Verdict]]:
        return detect_transitions(self.condition, found, self._last_seen)

    async def _load(self) -> bool:
        """Adopt what is in the store, and return whether another triggerer has written it."""
        kept = [found for store in self._stores if isinstance(found := await store.aget(self._key), dict)]
        # Another asset may have been without this watcher for a while, and remember what was before.
        newest = max(kept, key=lambda found: found["at"], default=None)
        if newest is None or newest["at"] == self._kept_at:
            return False
        self._kept_at, self._last_seen = newest["at"], newest["last_seen"]
        return True

    async def _claim(self) -> bool:
        """
        Return whether a change is to be fired here: if two triggerers see it at one moment, by the later to claim it.

        The claim lies beside what was seen last: whoever ends before it has fired leaves the change to the next.
        """
        claim = time.time()
        for store in self._stores:
            await store.aset(self._claim_key, claim)
        await asyncio.sleep(CLAIM_PAUSE if self._stores else 0.0)
        claims = [await store.aget(self._claim_key) for store in self._stores]
        return set(claims) <= {claim} and not await self._load()

    async def _save(self, last_seen: LastSeen) -> None:
        # Known before it is written: if the answer is lost, it is recognised as its own.
        self._kept_at = time.time()
        for store in self._stores:
            await store.aset(self._key, {"at": self._kept_at, "last_seen": last_seen})

    def _warning(self, error: str, text: str) -> LogLine | None:
        is_known, self._last_error = self._last_error == error, error
        return None if is_known else LogLine(logging.WARNING, f"Still watching for {self.condition}. {text}")
