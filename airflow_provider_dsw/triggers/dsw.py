"""
The triggers: waits that hold no worker, and events for assets.

Both poll through one shared stream for each connection, instance and interval (Airflow 3.3+); where Airflow has
none, each polls alone with the same result.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Hashable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_dsw.exceptions import (
    DswConnectionError,
    DswError,
    DswTransientError,
    DswWaitArgumentError,
    DswWaitFailedError,
)
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.hooks.shared import shared_hook
from airflow_provider_dsw.links.dsw import akeep_links, links_of
from airflow_provider_dsw.polling import Answers, Course, Line, aask, event_of, kind, next_due, pause, result
from airflow_provider_dsw.transitions import LastSeen, detect_transitions
from airflow_provider_dsw.version_compat import AirflowException, TaskQueueMixin, asset_state_store
from airflow_provider_dsw.waits import RUNNING, Outcome, Wait, check_target, judge

SCHEDULER_GRACE = 10.0
"""
Seconds for which a wait keeps its event back, or one ``poke_interval``, if it has one at once: one that joins others'
polls may. Airflow fails a task that resumes before its scheduler has seen that the worker has left it.
"""


class _DswTrigger(BaseEventTrigger):
    """
    Polls one instance; its subclasses say what to make of the answers.

    The attributes have the names of the sensor's templated fields, so that Airflow can render them for a wait
    that starts in the triggerer.
    """

    def __init__(
        self,
        *,
        instance_id: str,
        target_status: str | Collection[str] = "Running",
        wait_for_snapshot: bool = False,
        snapshot_id: str | None = None,
        snapshot_image: str | None = None,
        snapshot_created_after: datetime | str | None = None,
        failure_statuses: Collection[str] | None = None,
        dsw_conn_id: str = DswHook.default_conn_name,
        region: str | None = None,
        poke_interval: float = 60.0,
    ) -> None:
        super().__init__()
        self.instance_id = instance_id
        # A plain str: the worker sends it to its supervisor, which takes no subclass.
        self.target_status = str(target_status) if isinstance(target_status, str) else target_status
        self.wait_for_snapshot = wait_for_snapshot
        self.snapshot_id = snapshot_id
        self.snapshot_image = snapshot_image
        self.snapshot_created_after = snapshot_created_after
        self.failure_statuses = failure_statuses
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        self.poke_interval = poke_interval

    def _kwargs(self) -> dict[str, Any]:
        """What makes the trigger again, as JSON; never a credential."""
        after = self.snapshot_created_after
        return {
            "instance_id": self.instance_id,
            "target_status": _as_json(self.target_status),
            "wait_for_snapshot": self.wait_for_snapshot,
            "snapshot_id": self.snapshot_id,
            "snapshot_image": self.snapshot_image,
            "snapshot_created_after": after.isoformat() if isinstance(after, datetime) else after,
            "failure_statuses": _as_json(self.failure_statuses),
            "dsw_conn_id": self.dsw_conn_id,
            "region": self.region,
            "poke_interval": self.poke_interval,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and what makes the trigger again, without what is None anyway."""
        kwargs = {name: value for name, value in self._kwargs().items() if value is not None}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    def wait(self) -> Wait:
        """
        Return what is waited for.

        :raises ValueError: on arguments that a wait can't work with.
        """
        return Wait.of(
            instance_id=self.instance_id,
            target_status=self.target_status,
            wait_for_snapshot=self.wait_for_snapshot,
            snapshot_id=self.snapshot_id,
            snapshot_image=self.snapshot_image,
            snapshot_created_after=self.snapshot_created_after,
            failure_statuses=self.failure_statuses,
        )

    def shared_stream_key(self) -> Hashable | None:
        """Everything that changes the answers or their pace."""
        return "dsw", self.dsw_conn_id, self.region, self.instance_id, self.snapshot_id, self.poke_interval

    @classmethod
    def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[bytes | DswError]:
        """Poll for as long as somebody listens; an error is an item like any other and ends nobody's stream."""
        interval = kwargs["poke_interval"]
        first = pause(interval * random.uniform(0.5, 1.0)) if kwargs.get("polled") else 0.0  # noqa: S311 - not for secrets
        return _polls(kwargs, first, partial(pause, interval))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll alone: on Airflow before 3.3, in ``dag.test()``, and where a wait has a pace of its own."""
        async with aclosing(self._own_stream()) as stream:
            async for event in self.filter_shared_stream(stream):
                yield event

    def _own_stream(self) -> AsyncGenerator[bytes | DswError]:
        return self.open_shared_stream(self._kwargs())


class DswInstanceTrigger(TaskQueueMixin, _DswTrigger):
    """
    Waits for one deferred task, and fires once: met, failed, or out of time.

    :param instance_id: as the sensor's, like the further arguments down to ``region``.
    :param poke_interval: seconds between two polls.
    :param exponential_backoff: as the sensor's.
    :param max_wait: the longest pause between two polls, seconds, with ``exponential_backoff``.
    :param started_at: POSIX time at which the wait began; None where it begins in the triggerer.
    :param timeout_at: POSIX time at which the sensor's ``timeout`` is over.
    :param execution_timeout_at: POSIX time at which the task's ``execution_timeout`` is over.
    :param polled: whether a poll has worked before, so that a transient error doesn't end the wait.
    :param seen: the status that was logged last.
    :param links: the links that the task's page shows already.
    :param outdated: the state of the instance from before the request whose outcome is waited for, as
        :func:`~airflow_provider_dsw.waits.state_of` gives it.
    :param stop_on_kill: stop the instance when a person ends the deferred task (Airflow 3.3+).
    """

    def __init__(
        self,
        *,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        started_at: float | None = None,
        timeout_at: float | None = None,
        execution_timeout_at: float | None = None,
        polled: bool = False,
        seen: str | None = None,
        links: dict[str, str] | None = None,
        outdated: str | None = None,
        stop_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.started_at = started_at
        self.timeout_at = timeout_at
        self.execution_timeout_at = execution_timeout_at
        self.polled = polled
        self.seen = seen
        self.links = links or {}
        self.outdated = outdated
        self.stop_on_kill = stop_on_kill

    def _kwargs(self) -> dict[str, Any]:
        return {
            **super()._kwargs(),
            "exponential_backoff": self.exponential_backoff,
            "max_wait": self.max_wait,
            "started_at": self.started_at,
            "timeout_at": self.timeout_at,
            "execution_timeout_at": self.execution_timeout_at,
            "polled": self.polled,
            "seen": self.seen,
            "links": self.links,
            "outdated": self.outdated,
            "stop_on_kill": self.stop_on_kill,
        }

    def wait(self) -> Wait:
        """As the base's; what was so before the request is not its outcome."""
        return replace(super().wait(), outdated=self.outdated)

    async def on_kill(self) -> None:
        """Stop the instance if the task wants that; Airflow 3.3 calls it when a person ends the deferred task."""
        if not self.stop_on_kill:
            return
        try:
            async with shared_hook(self.dsw_conn_id, self.region) as hook:
                await hook.astop_instance(self.instance_id)
        except DswError as error:
            await self.log.aerror("DSW instance %s could not be stopped. %s", self.instance_id, error)

    def shared_stream_key(self) -> Hashable | None:
        """None with ``exponential_backoff``: each such wait has a pace of its own."""
        return None if self.exponential_backoff else super().shared_stream_key()

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncGenerator[TriggerEvent]:
        """Judge each poll's answers until one ends the wait."""
        began = self._began
        # Either it starts again or it starts late: there may have been polls before.
        late = time.time() - began > self.poke_interval
        polls = int(self.polled)
        course = Course(self.seen)
        links = self.links
        earliest = time.time() + min(self.poke_interval, SCHEDULER_GRACE)

        async def until_it_ends() -> tuple[dict[str, Any], Line | None]:
            nonlocal polls, links
            polled = self.polled or late
            try:
                wait = self.wait()
            except ValueError as error:
                return event_of(DswWaitArgumentError(str(error))), None
            while True:
                answers = _unpacked(await anext(shared_stream))
                polls += 1
                if isinstance(answers, Answers) and answers.instance is not None:
                    links = links_of(answers.instance, answers.region)
                try:
                    verdict, line = course.take(wait, answers, first=not polled)
                except (DswTransientError, DswWaitFailedError) as error:
                    return event_of(error), None
                if verdict and verdict.outcome is Outcome.MET:
                    return {"outcome": "met", "result": result(wait, verdict)}, line
                if line:
                    await self.log.alog(*line)
                if verdict is None:
                    continue
                polled = True
                wait = wait.after(verdict)
                del answers, verdict  # not to be held until the next poll
                self.links = await akeep_links(self.task_instance, links, self.links)
                if links == self.links:
                    links = self.links  # not to hold them twice

        try:
            async with asyncio.timeout(self._seconds_left()):
                event, line = await until_it_ends()
        except TimeoutError:
            event, line = {"outcome": self._deadline_passed()}, None
        if line:
            await self.log.alog(*line)
        await asyncio.sleep(earliest - time.time())
        yield TriggerEvent(
            {
                **event,
                "seen": course.seen,
                "began": began,
                "polls": polls,
                "more_polls": late,
                "links": links,
                "shown_links": self.links,
            }
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """As the base does, but with all closed before the one event: whoever takes it looks no further."""
        async with (
            aclosing(self._own_stream()) as stream,
            aclosing(self.filter_shared_stream(stream)) as events,
        ):
            event = await anext(events)
        yield event

    @property
    def _began(self) -> float:
        if self.started_at is not None:
            return self.started_at
        start_date = getattr(self.task_instance, "start_date", None)
        return start_date.timestamp() if start_date else time.time()

    def _seconds_left(self) -> float | None:
        deadlines = [at for at in (self.timeout_at, self.execution_timeout_at) if at is not None]
        return max(min(deadlines) - time.time(), 0.0) if deadlines else None

    def _deadline_passed(self) -> str:
        execution_first = self.execution_timeout_at is not None and (
            self.timeout_at is None or self.execution_timeout_at < self.timeout_at
        )
        return "execution_timeout" if execution_first else "timeout"

    def _own_stream(self) -> AsyncGenerator[bytes | DswError]:
        def seconds(retry_after: float | None = None) -> float:
            return pause(
                self.poke_interval,
                elapsed=time.time() - began,
                exponential_backoff=self.exponential_backoff,
                max_wait=self.max_wait,
                retry_after=retry_after,
            )

        began, first = self._began, 0.0
        if self.polled:
            # What is left of the pause that a restart of the triggerer broke off, not a new one.
            due = next_due(self.poke_interval, time.time() - began) if self.exponential_backoff else math.inf
            first = min(seconds(), due)
        return _polls(self._kwargs(), first, seconds)


class DswInstanceEventTrigger(_DswTrigger):
    """
    Fires for an AssetWatcher each time that an instance enters a status, or that a new snapshot is finished.

    Never for what was so when it first looked, and never twice for one change. Where Airflow keeps state for
    assets (3.3+) it also knows, after a restart of the triggerer, what it saw last. The event's payload is the
    sensor's XCom: the instance's default details, or the snapshot.

    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
    :param target_status: one status, or several.
    :param wait_for_snapshot: fire for snapshots instead of a status.
    :param snapshot_image: only for snapshots with this ``ImageId``, ``ImageName`` or ``ImageUrl``.
    :param dsw_conn_id: id of a connection of type ``dsw``.
    :param region: region id in place of the connection's own.
    :param poke_interval: seconds between two polls.
    :raises ValueError: where the DAG is parsed, on a malformed id, an unknown status, or ``target_status`` beside
        ``wait_for_snapshot`` or ``snapshot_image``.
    """

    def __init__(
        self,
        *,
        instance_id: str,
        target_status: str | Collection[str] = RUNNING,
        wait_for_snapshot: bool = False,
        snapshot_image: str | None = None,
        dsw_conn_id: str = DswHook.default_conn_name,
        region: str | None = None,
        poke_interval: float = 60.0,
    ) -> None:
        waits_for_snapshot = wait_for_snapshot or snapshot_image is not None
        check_target(target_status, waits_for_snapshot)
        super().__init__(
            instance_id=instance_id,
            target_status=target_status,
            wait_for_snapshot=waits_for_snapshot,
            snapshot_image=snapshot_image,
            dsw_conn_id=dsw_conn_id,
            region=region,
            poke_interval=poke_interval,
        )
        self.wait()

    def _kwargs(self) -> dict[str, Any]:
        kwargs = super()._kwargs()
        unused = {"snapshot_id", "snapshot_created_after", "failure_statuses"}
        if self.wait_for_snapshot:
            unused.add("target_status")
        return {name: value for name, value in kwargs.items() if name not in unused}

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Compare each poll's answers with what was seen last."""
        wait = self.wait()
        memory = _Memory(asset_state_store(self), f"dsw: {wait}")
        last_seen = await memory.recall()
        trouble: Hashable = None
        async for found in shared_stream:
            answers = _unpacked(found)
            if isinstance(answers, DswError):
                # Nothing may end a watcher: Airflow would start it again at once.
                if kind(answers) != trouble:
                    await self.log.awarning("Still watching for %s. %s", wait, answers)
                trouble = kind(answers)
                continue
            trouble = None
            instance = answers.instance or {}
            seen, entered = detect_transitions(wait, instance, last_seen)
            if seen is not None and seen != last_seen:
                # Before the event: after a crash between the two, a lost event rather than a second one.
                await memory.keep(seen)
                found_now = judge(wait, instance).seen
                await self.log.ainfo("DSW instance %s: %s (watching for %s)", wait.instance_id, found_now, wait)
            last_seen = seen
            for verdict in entered:
                yield TriggerEvent(result(wait, verdict))


class _Memory:
    """What a watcher saw last, in Airflow's asset state store where there is one (3.3+)."""

    def __init__(self, store: Any, key: str) -> None:
        # The store of several assets answers for each of them alone, and has no public way to name them.
        self._stores = list(getattr(store, "_by_name", {}).values()) or [store] * (store is not None)
        self._key = key

    async def recall(self) -> LastSeen | None:
        kept = [found for store in self._stores if isinstance(found := await store.aget(self._key), dict)]
        # Another asset may have been without this watcher for a while, and remember what was before.
        return max(kept, key=lambda found: found["at"])["last_seen"] if kept else None

    async def keep(self, last_seen: LastSeen) -> None:
        for store in self._stores:
            await store.aset(self._key, {"at": time.time(), "last_seen": last_seen})


async def _polls(
    kwargs: dict[str, Any], first: float, seconds: Callable[..., float]
) -> AsyncGenerator[bytes | DswError]:
    """
    Poll, and yield packed answers or an error.

    :param kwargs: the trigger's.
    :param first: seconds until the first poll.
    :param seconds: returns those until the next one, given ``retry_after`` where the service asks for a pause.
    """
    await asyncio.sleep(first)
    found: bytes | DswError | None = None
    while True:
        try:
            async with shared_hook(kwargs["dsw_conn_id"], kwargs.get("region")) as hook:
                while True:
                    in_trouble = isinstance(found, DswError)
                    try:
                        answers = await aask(hook, kwargs["instance_id"], kwargs.get("snapshot_id"), in_trouble)
                        found = answers.packed()
                        del answers  # not to be held until the next poll
                    except DswError as error:
                        found = error.with_traceback(None)  # which holds this frame
                    yield found
                    await asyncio.sleep(seconds(retry_after=getattr(found, "retry_after", None)))
        except DswError as error:
            yield error
        except AirflowException as error:
            # Airflow knows no such connection.
            yield DswConnectionError(str(error))
        await asyncio.sleep(seconds())


def _unpacked(found: bytes | DswError) -> Answers | DswError:
    return found if isinstance(found, DswError) else Answers.unpacked(found)


def _as_json(statuses: str | Collection[str] | None) -> str | list[str] | None:
    return statuses if statuses is None or isinstance(statuses, str) else list(statuses)
