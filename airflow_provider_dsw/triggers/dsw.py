"""The triggers: waits that hold no worker, and events for assets."""

from __future__ import annotations

import asyncio
import math
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Hashable
from contextlib import aclosing
from datetime import UTC, timedelta
from functools import cached_property, partial
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_dsw import validation
from airflow_provider_dsw.arguments import is_literal
from airflow_provider_dsw.exceptions import DswWaitArgumentError
from airflow_provider_dsw.links.dsw import ti_fields
from airflow_provider_dsw.polling import event_from_error, next_interval, remaining_interval, xcom_value
from airflow_provider_dsw.task_end import awrite_end_note
from airflow_provider_dsw.triggers.base import DswBaseTrigger, Poll, RegisteredReader, poll_stream
from airflow_provider_dsw.triggers.deferred_wait import DeferredWait, WaitEnd
from airflow_provider_dsw.triggers.stop_on_kill import stop_if_ended_by_person
from airflow_provider_dsw.triggers.watcher import Watcher, run_to_completion, wait_past_next_cancel
from airflow_provider_dsw.version_compat import (
    QUEUES_WATCHERS,
    TaskQueueMixin,
    aget_xcom,
    aset_xcom,
    asset_state_store,
)
from airflow_provider_dsw.wait_arguments import ARGUMENTS, DEFAULT_TARGET
from airflow_provider_dsw.waits.conditions import Wait
from airflow_provider_dsw.waits.operations import Operation

SCHEDULER_GRACE = 10.0
"""
Seconds for which a wait keeps its event back, or one ``poke_interval``, if it has one at once: one that joins others'
polls may. Airflow fails a task that resumes before its scheduler has seen that the worker has left it.
"""
# The XCom that says which try of a task was polled: where a wait begins in the triggerer, nothing else could.
_HAS_POLLED_KEY = "dsw_polled"
# The XCom that says what a try of a task knows of its operation since it was deferred.
_OPERATION_KEY = "dsw_seen"


class DswInstanceTrigger(TaskQueueMixin, DswBaseTrigger):
    """
    Waits for one deferred task, and fires once: at its success, its failure, or its timeout.

    :param instance_id: as the sensor's, like the further arguments down to ``region``.
    :param poke_interval: seconds between two polls, or a timedelta.
    :param exponential_backoff: as the sensor's.
    :param max_wait: the longest pause between two polls, seconds, with ``exponential_backoff``.
    :param silent_fail: as the sensor's: an error that poke mode would only log does not end the wait.
    :param started_at: POSIX time at which the wait began; None where it begins in the triggerer.
    :param trigger_timeout: seconds from the beginning of a wait that begins in the triggerer until Airflow itself
        would end it. Airflow tells the trigger when that is, and so when the wait began.
    :param timeout: seconds from the beginning of the wait: the sensor's ``timeout``, which is looked at after each
        poll, as in poke mode.
    :param last_poll_at_timeout: whether ``timeout`` ends the wait when it is over, with a last poll.
    :param execution_timeout: seconds from the beginning of the wait until the task's ``execution_timeout`` ends it.
    :param has_polled: whether a poll has worked before, so that a transient error doesn't end the wait.
    :param last_status: the status that was logged last.
    :param links: the links that the task's page shows already.
    :param operation: the operation whose outcome is waited for, as
        :meth:`~airflow_provider_dsw.waits.operations.Operation.as_json` gives it.
    :param stop_on_kill: stop the instance when a person ends the deferred task (Airflow 3.3+).
    :param wait_id: with ``stop_on_kill``, what :func:`~airflow_provider_dsw.task_end.new_wait_id` returned.
    """

    # Each is kept by serialize(). A dictionary of more than 30 attributes, as it would have with Airflow's, takes a
    # kilobyte more for each wait.
    __slots__ = (
        "execution_timeout",
        "exponential_backoff",
        "has_polled",
        "last_poll_at_timeout",
        "last_status",
        "links",
        "max_wait",
        "operation",
        "silent_fail",
        "started_at",
        "stop_on_kill",
        "timeout",
        "trigger_timeout",
        "wait_id",
    )

    def __init__(
        self,
        *,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        silent_fail: bool = False,
        started_at: float | None = None,
        trigger_timeout: float | None = None,
        timeout: float | None = None,
        last_poll_at_timeout: bool = False,
        execution_timeout: float | None = None,
        has_polled: bool = False,
        last_status: str | None = None,
        links: dict[str, str] | None = None,
        operation: dict[str, Any] | None = None,
        stop_on_kill: bool = False,
        wait_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.silent_fail = silent_fail
        self.started_at = started_at
        self.trigger_timeout = trigger_timeout
        self.timeout = timeout
        self.last_poll_at_timeout = last_poll_at_timeout
        self.execution_timeout = execution_timeout
        self.has_polled = has_polled
        self.last_status = last_status
        self.links = links or {}
        self.operation = operation
        self.stop_on_kill = stop_on_kill
        self.wait_id = wait_id

    def _state(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in DswInstanceTrigger.__slots__}
        return {**super()._state(), **own}

    def wait(self) -> Wait:
        """
        Return what is waited for.

        :raises ValueError: on arguments that a wait can't work with.
        """
        operation = None if self.operation is None else Operation.from_json(self.operation)
        return Wait(self.condition(), operation)

    async def on_kill(self) -> None:
        """
        Stop the instance if the task wants that, and a person has ended it.

        Airflow 3.3 calls this for a person, but also where another triggerer has taken the wait over.
        """
        if not self.stop_on_kill:
            return
        # Airflow 3.3.2 cancels a trigger anew every second until it is gone, and with it what this awaits.
        stop = asyncio.create_task(stop_if_ended_by_person(self))
        _running_stops.add(stop)
        stop.add_done_callback(_running_stops.discard)
        await asyncio.shield(stop)

    def shared_stream_key(self) -> Hashable | None:
        """None with ``exponential_backoff``, where each wait has its own pace, and for invalid arguments."""
        return None if self.exponential_backoff or self._argument_error() else super().shared_stream_key()

    def _argument_error(self) -> DswWaitArgumentError | None:
        try:
            self.wait()
            validation.text("dsw_conn_id", self.dsw_conn_id)
            validation.region("region", self.region)
        except ValueError as error:
            return DswWaitArgumentError(str(error))
        return None

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """As the base does, but close everything before the only event: the caller stops iterating after it."""
        if (error := self._argument_error()) is not None:
            yield TriggerEvent(DeferredWait(self).event(WaitEnd(event_from_error(error))))
            return
        await self._load_has_polled()
        async with (
            aclosing(self._own_stream()) as stream,
            aclosing(self.filter_shared_stream(stream)) as events,
        ):
            event = await anext(events)
        yield event

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncGenerator[TriggerEvent]:
        """Evaluate each poll's answers until one ends the wait."""
        with RegisteredReader(self.shared_stream_key(), self):
            await self._load_has_polled()
            earliest = time.time() + min(self.poke_interval, SCHEDULER_GRACE)
            wait = DeferredWait(self)
            limit, which = self._hard_limit()
            try:
                async with asyncio.timeout(None if limit is None else max(self.began + limit - time.time(), 0.0)):
                    end = await wait.run(shared_stream)
            except TimeoutError:
                last = await wait.handle(await self._poll_once()) if which == "timeout" else None
                end = last or WaitEnd({"outcome": which})
        if end.line:
            await self.log.alog(*end.line)
        await asyncio.sleep(earliest - time.time())
        if self.stop_on_kill:
            await awrite_end_note(self.task_instance, self.log)
        yield TriggerEvent(wait.event(end))

    @cached_property
    def began(self) -> float:
        """POSIX time at which the wait began."""
        if self.started_at is not None:
            return self.started_at
        deadline = getattr(self, "timeout_after", None)  # which Airflow sets
        if deadline is None or self.trigger_timeout is None:
            return time.time()
        deadline = deadline if deadline.tzinfo else deadline.replace(tzinfo=UTC)
        return min(float(deadline.timestamp()) - self.trigger_timeout, time.time())

    @property
    def starts_in_triggerer(self) -> bool:
        """Whether no worker has polled before."""
        return self.started_at is None and self.task_instance is not None

    async def _load_has_polled(self) -> None:
        """Find out whether a wait that began in a triggerer was polled by another one before."""
        ti: Any = self.task_instance
        if not self.starts_in_triggerer or self.has_polled:
            return
        try:
            self.has_polled = await aget_xcom(_HAS_POLLED_KEY, **ti_fields(ti)) == ti.try_number
        except Exception as error:
            await self.log.awarning("Could not read whether the wait was polled before (%s).", type(error).__name__)

    async def save_has_polled(self) -> None:
        """Store for another triggerer that may take the wait over that a poll has worked."""
        ti: Any = self.task_instance
        if not self.starts_in_triggerer or self.has_polled:
            return
        self.has_polled = True
        try:
            await aset_xcom(_HAS_POLLED_KEY, ti.try_number, **ti_fields(ti))
        except Exception as error:
            await self.log.awarning("Could not save that the wait was polled (%s).", type(error).__name__)

    async def restore_wait(self) -> Wait:
        """
        Return what is waited for, with what another triggerer has seen of it before.

        :raises ValueError: on arguments that a wait can't work with.
        """
        wait, ti = self.wait(), self.task_instance
        # What has left its old state, or is a snapshot, has nothing more to be kept.
        if ti is None or wait.operation is None or wait.operation.baseline.left or wait.condition.returns_snapshot:
            return wait
        try:
            kept = await aget_xcom(_OPERATION_KEY, **ti_fields(ti))
            if kept and kept["try"] == ti.try_number:
                operation = Operation.from_json(kept["operation"])
                if wait.operation.is_refined_by(operation):
                    return Wait(wait.condition, operation)
        except Exception as error:
            await self.log.awarning("Could not read what is known of the operation (%s).", type(error).__name__)
        return wait

    async def save_operation(self, operation: Operation) -> None:
        """
        Store what is known of the operation for another triggerer that may take the wait over.

        :param operation: what is known now.
        """
        ti: Any = self.task_instance
        if ti is None:
            return
        try:
            await aset_xcom(_OPERATION_KEY, {"try": ti.try_number, "operation": operation.as_json()}, **ti_fields(ti))
        except Exception as error:
            await self.log.awarning("Could not save what is known of the operation (%s).", type(error).__name__)

    def _hard_limit(self) -> tuple[float | None, str]:
        limits = [] if self.execution_timeout is None else [(self.execution_timeout, "execution_timeout")]
        if self.timeout is not None and self.last_poll_at_timeout:
            limits.append((self.timeout, "timeout"))
        return min(limits, default=(None, ""))

    async def _poll_once(self) -> Poll:
        async with aclosing(
            poll_stream(self.serialize()[1], 0.0, partial(next_interval, self.poke_interval))
        ) as stream:
            return await anext(stream)

    def _own_stream(self) -> AsyncGenerator[Poll]:
        def planned_interval() -> float:
            elapsed = time.time() - self.began
            planned = next_interval(
                self.poke_interval,
                elapsed=elapsed,
                exponential_backoff=self.exponential_backoff,
                max_wait=self.max_wait,
            )
            if self.exponential_backoff and self.timeout is not None:
                # As in poke mode, the last poll is no later than that.
                planned = min(planned, max(self.timeout - elapsed, 0.0))
            return planned

        first = 0.0
        if self.has_polled:
            # What is left of the pause that a restart of the triggerer broke off, not a new one.
            due = (
                remaining_interval(self.poke_interval, time.time() - self.began)
                if self.exponential_backoff
                else math.inf
            )
            first = min(planned_interval(), due)
        return poll_stream(self.serialize()[1], first, planned_interval)


# What on_kill has started: the event loop itself holds only weak references to tasks.
_running_stops: set[asyncio.Task[None]] = set()


class DswInstanceEventTrigger(DswBaseTrigger):
    """
    Fires for an AssetWatcher each time that an instance enters a status, an expression becomes true, or a new snapshot
    is finished.

    It does not fire for the initial state, nor twice for one change. Where Airflow keeps state for assets (3.3+) it
    also knows, after a restart of the triggerer, what it saw last. The event's payload is the
    sensor's XCom: the instance's default details, or the snapshot.

    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
    :param target_status: one status, or several.
    :param wait_for_snapshot: fire for snapshots instead of a status.
    :param snapshot_image: only for snapshots with this ``ImageId``, ``ImageName`` or ``ImageUrl``.
    :param until: fire each time that this JMESPath expression over GetInstance's answer becomes true.
    :param dsw_conn_id: id of a connection of type ``dsw``.
    :param region: region id in place of the connection's own.
    :param poke_interval: seconds between two polls, or a timedelta.
    :param queue: of the triggerers that may run it (Airflow 3.4+, with ``[triggerer] queues_enabled``); elsewhere a
        warning.
    :raises ValueError: where the DAG is parsed, on a malformed id, an unknown status, an expression that is not
        JMESPath, or two of ``target_status``, ``snapshot_…`` and ``until``.
    """

    def __init__(
        self,
        *,
        instance_id: str,
        target_status: str | Collection[str] = DEFAULT_TARGET,
        wait_for_snapshot: bool = False,
        snapshot_image: str | None = None,
        until: str | None = None,
        dsw_conn_id: str = "dsw_default",
        region: str | None = None,
        poke_interval: float | timedelta = 60.0,
        queue: str | None = None,
    ) -> None:
        given = locals()
        watchable = [argument.name for argument in ARGUMENTS if argument.watchable]
        for name in (*watchable, "dsw_conn_id", "region", "queue"):
            if not is_literal(given[name]):
                raise ValueError(f"{name}: Airflow does not render the trigger of a watcher. Pass the value itself.")
        super().__init__(
            **{name: given[name] for name in watchable},
            dsw_conn_id=validation.text("dsw_conn_id", dsw_conn_id),
            region=validation.region("region", region),
            poke_interval=validation.seconds("poke_interval", poke_interval),
        )
        self.check_wait_arguments(self.wait_arguments() | given)
        self.condition()
        if queue is not None and not QUEUES_WATCHERS:
            warnings.warn(
                "queue: any triggerer may run this watcher; queues for watchers need Airflow 3.4.", stacklevel=2
            )
        self.queue = validation.optional(validation.text)("queue", queue)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Compare each poll's answers with what was seen last."""
        watcher = Watcher(self.condition(), asset_state_store(self))
        with RegisteredReader(self.shared_stream_key(), self):
            async for poll in shared_stream:
                # A change that is written down as fired has to be fired, also if the watcher moves at that moment.
                (entered, line), cancelled = await run_to_completion(watcher.handle(poll.read(self)))
                if cancelled and entered:
                    await wait_past_next_cancel()
                for verdict in entered:
                    yield TriggerEvent(xcom_value(watcher.condition, verdict))
                if cancelled:
                    raise cancelled
                if line:
                    await self.log.alog(*line)
