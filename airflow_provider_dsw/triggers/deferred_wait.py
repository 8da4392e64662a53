"""A trigger's wait for a deferred task, from poll to poll."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_dsw.exceptions import DswConnectionError, DswError, DswWaitArgumentError
from airflow_provider_dsw.links.dsw import apush_urls, links_of
from airflow_provider_dsw.polling import LogLine, PollLog, error_key, event_from_error, xcom_value
from airflow_provider_dsw.triggers.base import Poll
from airflow_provider_dsw.version_compat import AirflowException
from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import Outcome, Wait

if TYPE_CHECKING:
    from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger


# What the service said is in the result, or in the error.
_DECIDED = frozenset({Outcome.SUCCESS.value, Outcome.FAILURE.value})
_EMPTY: tuple[Any, ...] = (None, False, {})


class WaitEnd(NamedTuple):
    """What ended a wait: a part of its event, and a line for the log, if any."""

    event: dict[str, Any]
    line: LogLine | None = None


class DeferredWait:
    """A trigger's wait from poll to poll, until one ends it."""

    def __init__(self, trigger: DswInstanceTrigger) -> None:
        self._trigger = trigger
        self._poll_log = PollLog(trigger.last_status)
        self._links = trigger.links
        # Either it starts again or it starts late: there may have been polls before.
        self._more_polls = trigger.has_polled and trigger.starts_in_triggerer
        self._more_polls |= time.time() - trigger.began > trigger.poke_interval
        self._poll_count = int(trigger.has_polled)
        self._tolerates_transient = trigger.has_polled or trigger.silent_fail or self._more_polls
        self._wait: Wait | None = None

    async def run(self, stream: AsyncIterator[Any]) -> WaitEnd:
        """Take one poll after the other; the sensor's timeout is looked at after each."""
        trigger = self._trigger
        while True:
            end = await self.handle(await anext(stream))
            if end is not None:
                return end
            elapsed = time.time() - trigger.began
            if trigger.timeout is not None and elapsed > trigger.timeout and not trigger.last_poll_at_timeout:
                return WaitEnd({"outcome": "timeout"})

    async def handle(self, poll: Poll) -> WaitEnd | None:
        """Take one poll, and return the end of the wait, if it is one."""
        trigger = self._trigger
        found = poll.read(trigger)
        if found is None:
            return None
        if not isinstance(found, (PollResult, DswError)):
            return await self._handle_connection_error(found)
        self._poll_count += not isinstance(found, DswConnectionError)
        if isinstance(found, PollResult) and found.instance is not None:
            self._links = links_of(found.instance, found.region)
        try:
            wait = self._wait = self._wait or await trigger.restore_wait()
            verdict, line = self._poll_log.record(wait, found, tolerate_transient=self._tolerates_transient)
        except DswError as error:
            return WaitEnd(event_from_error(error))
        except ValueError as error:
            return WaitEnd(event_from_error(DswWaitArgumentError(str(error))))
        if verdict.outcome is Outcome.SUCCESS:
            return WaitEnd({"outcome": verdict.outcome.value, "result": xcom_value(wait.condition, verdict)}, line)
        has_worked = isinstance(found, PollResult)
        self._wait = wait.after(verdict)
        del found, verdict  # not to be held until the next poll
        if self._wait.operation is not None and self._wait.operation != wait.operation:
            await trigger.save_operation(self._wait.operation)
        if line:
            await trigger.log.alog(*line)
        if has_worked:
            self._tolerates_transient = True
            await trigger.save_has_polled()
            trigger.links = await apush_urls(trigger.task_instance, self._links, trigger.links)
            if self._links == trigger.links:
                self._links = trigger.links  # not to hold them twice
        return None

    async def _handle_connection_error(self, error: AirflowException) -> WaitEnd | None:
        """Handle an error of Airflow's, not of the service: there is no such connection."""
        if not self._trigger.silent_fail:
            return WaitEnd(event_from_error(error))
        if error_key(error) != self._poll_log.last_error:
            self._poll_log.last_error = error_key(error)
            await self._trigger.log.aerror("The poll failed: %s", error)
        return None

    def event(self, end: WaitEnd) -> dict[str, Any]:
        """
        Return the event that the task resumes with.

        The task's log shows it in one line: what is empty or would not be read is left out.
        """
        trigger = self._trigger
        event = {
            **end.event,
            "began": trigger.began,
            "polls": self._poll_count,
            "more_polls": self._more_polls,
            "last_status": None if end.event["outcome"] in _DECIDED else self._poll_log.last_status,
        }
        if self._links != trigger.links:
            event["links"] = self._links
        if self._links != trigger.links or trigger.operation:
            event["pushed_links"] = trigger.links
        if trigger.operation:
            event |= {
                "instance_id": trigger.instance_id,
                "stop_on_kill": trigger.stop_on_kill,
                "operation": trigger.operation,
            }
        return {name: value for name, value in event.items() if value not in _EMPTY}
