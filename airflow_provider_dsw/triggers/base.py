"""
What the triggers have in common: they poll one instance, and share the polls of all that want the same answers.

Through one shared stream for each connection, instance and interval (Airflow 3.3+); where Airflow has none, each polls
alone with the same result.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Hashable, Iterable
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.hooks.shared import shared_hook
from airflow_provider_dsw.polling import afetch, next_interval
from airflow_provider_dsw.version_compat import AirflowException
from airflow_provider_dsw.wait_arguments import DEFAULT_TARGET, WaitArguments, as_json
from airflow_provider_dsw.waits.answers import PollResult

MIN_INTERVAL = 1.0
"""Seconds between two polls at least: a sensor's poke_interval may be 0, and a triggerer has no time for that."""


class Poll:
    """
    One poll, for all who share it.

    Each reads the whole answer, secrets included. So it is let go as soon as the last of them has.

    :param found: what the service said, or an error.
    :param readers: who shares the poll.
    """

    __slots__ = ("_found", "_readers")

    def __init__(self, found: PollResult | AirflowException, readers: Iterable[object] = ()) -> None:
        self._found: PollResult | AirflowException | None = found
        self._readers: set[int] | None = {id(reader) for reader in readers}

    def read(self, reader: object) -> PollResult | AirflowException | None:
        """
        Return what was found; None to one who came too late for it, whom the next poll will serve.

        :param reader: who reads it.
        """
        found = self._found
        if self._readers:
            self._readers.discard(id(reader))
        if not self._readers:
            # Airflow holds the poll until the next one.
            self._found = self._readers = None
        return found


_readers: defaultdict[Hashable, list[object]] = defaultdict(list)


class RegisteredReader:
    """
    Lets a shared poll know, while it is entered, who will read it.

    :param key: of the shared stream.
    :param reader: who reads it.
    """

    __slots__ = ("_key", "_reader")

    def __init__(self, key: Hashable | None, reader: object) -> None:
        self._key = key
        self._reader = reader

    def __enter__(self) -> None:
        _readers[self._key].append(self._reader)

    def __exit__(self, *_: object) -> None:
        _readers[self._key].remove(self._reader)
        if not _readers[self._key]:
            del _readers[self._key]


def _readers_of(key: Hashable | None) -> Collection[object]:
    return _readers.get(key, ()) if key is not None else ()


class DswBaseTrigger(WaitArguments, BaseEventTrigger):
    """
    Polls one instance; its subclasses say what to make of the answers.

    The attributes have the names of the sensor's templated fields, so that Airflow can render them for a wait
    that starts in the triggerer.
    """

    def __init__(
        self,
        *,
        instance_id: str,
        target_status: str | Collection[str] | None = DEFAULT_TARGET,
        wait_for_snapshot: bool = False,
        snapshot_id: str | None = None,
        snapshot_image: str | None = None,
        snapshot_created_after: datetime | str | None = None,
        until: str | None = None,
        failure_statuses: Collection[str] | None = None,
        dsw_conn_id: str = "dsw_default",
        region: str | None = None,
        poke_interval: float | timedelta = 60.0,
    ) -> None:
        given = locals()
        super().__init__()
        # Not checked here: an error would end the triggerer.
        self.set_wait_arguments(given)
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        self.poke_interval = poke_interval.total_seconds() if isinstance(poke_interval, timedelta) else poke_interval

    def _state(self) -> dict[str, Any]:
        """Return what makes the trigger again, beside the wait's own arguments; never a credential."""
        return {"dsw_conn_id": self.dsw_conn_id, "region": self.region, "poke_interval": self.poke_interval}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and, as JSON, what makes the trigger again, without what is None or False anyway."""
        kwargs = {**self.wait_arguments(), **self._state()}
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        given = {name: value for name, value in kwargs.items() if value is not None and value is not False}
        return path, {name: as_json(value) for name, value in given.items()}

    def shared_stream_key(self) -> Hashable | None:
        """Everything that changes the answers or their pace."""
        return _stream_key(self.serialize()[1])

    @classmethod
    def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[Poll]:
        """Poll while there are subscribers; an error is an item like any other, and ends no stream."""
        return _poll_at_intervals(kwargs, _stream_key(kwargs))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll alone: on Airflow before 3.3, in ``dag.test()``, and if a wait has its own pace."""
        async with aclosing(self._own_stream()) as stream:
            async for event in self.filter_shared_stream(stream):
                yield event

    def _own_stream(self) -> AsyncGenerator[Poll]:
        return _poll_at_intervals(self.serialize()[1])


def _stream_key(kwargs: dict[str, Any]) -> Hashable:
    names = ("dsw_conn_id", "region", "instance_id", "snapshot_id", "poke_interval")
    return "dsw", *(kwargs.get(name) for name in names), _is_of_own_snapshot(kwargs)


def _is_of_own_snapshot(kwargs: dict[str, Any]) -> bool:
    return bool(kwargs.get("snapshot_id") and kwargs.get("operation"))


def _poll_at_intervals(kwargs: dict[str, Any], key: Hashable | None = None) -> AsyncGenerator[Poll]:
    interval = kwargs["poke_interval"]
    first = next_interval(interval * random.uniform(0.5, 1.0)) if kwargs.get("has_polled") else 0.0  # noqa: S311 - not for secrets
    return poll_stream(kwargs, first, partial(next_interval, interval), key)


async def poll_stream(
    kwargs: dict[str, Any],
    first: float,
    seconds: Callable[[], float],
    key: Hashable | None = None,
) -> AsyncGenerator[Poll]:
    """
    Poll for ever.

    :param kwargs: the trigger's.
    :param first: seconds until the first poll.
    :param seconds: returns those until the next one, unless the service asks for a longer pause.
    :param key: of the shared stream; None if it is not shared.
    """
    await asyncio.sleep(first)
    after_error = False
    while True:
        try:
            async with shared_hook(kwargs["dsw_conn_id"], kwargs.get("region")) as hook:
                while True:
                    retry_after = None
                    try:
                        found = await afetch(
                            hook,
                            kwargs["instance_id"],
                            kwargs.get("snapshot_id"),
                            after_error=after_error,
                            may_be_shown_late=_is_of_own_snapshot(kwargs),
                        )
                        poll, after_error = Poll(found, _readers_of(key)), False
                        del found  # not to be held until the next poll
                    except DswError as error:
                        # Without what holds this frame.
                        poll, after_error = Poll(error.with_traceback(None), _readers_of(key)), True
                        retry_after = getattr(error, "retry_after", None)
                    yield poll
                    del poll
                    usual = max(seconds(), MIN_INTERVAL)
                    if retry_after is None:
                        await asyncio.sleep(usual)
                    else:
                        await _wait_for_service(usual, max(usual, retry_after), key)
        except AirflowException as error:
            # One without a field; or Airflow knows no such connection.
            yield Poll(error.with_traceback(None), _readers_of(key))
        await asyncio.sleep(max(seconds(), MIN_INTERVAL))


async def _wait_for_service(usual: float, left: float, key: Hashable | None) -> None:
    """Wait until the service allows the next poll, but no longer than usual once somebody joins who knows nothing."""
    known = set(map(id, _readers_of(key)))
    while left > 0 and known.issuperset(map(id, _readers_of(key))):
        await asyncio.sleep(min(left, usual))
        left -= usual
