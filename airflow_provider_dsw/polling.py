"""
One poll of a wait, the pause after it, and what Airflow needs of its verdict.

The sensor, the operators and the triggers share it; what an answer means is in :mod:`~airflow_provider_dsw.waits`.
"""

from __future__ import annotations

import json
import logging
import random
import time
import zlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from airflow_provider_dsw.details import default_details, redact
from airflow_provider_dsw.exceptions import (
    DswConnectionError,
    DswError,
    DswOperationFailedError,
    DswRequestError,
    DswTransientError,
    DswWaitArgumentError,
    DswWaitFailedError,
)
from airflow_provider_dsw.hooks.dsw import TRIES, DswHook
from airflow_provider_dsw.version_compat import AirflowException, AirflowNotFoundException
from airflow_provider_dsw.waits import Outcome, Verdict, Wait, judge, judge_snapshot


class Answers(NamedTuple):
    """
    What the service said at one poll.

    :param instance: what a wait needs of GetInstance's answer; None where the snapshot had decided already.
    :param snapshot: GetInstanceSnapshot's answer, where a snapshot was asked for by its id.
    :param region: the connection's region id, which the service's answers don't hold.
    :param asked_at: POSIX time of the request.
    """

    instance: Mapping[str, Any] | None
    snapshot: Mapping[str, Any] | None = None
    region: str | None = None
    asked_at: float = 0.0

    def packed(self) -> bytes:
        """
        Return them as few bytes.

        From one poll to the next the triggerer holds the answer of every wait. As objects, those of a thousand
        keep Python's garbage collector looking through the whole process, and the event loop waits for it.
        """
        return zlib.compress(json.dumps(self).encode(), level=1)

    @classmethod
    def unpacked(cls, packed: bytes) -> Answers:
        """Return what :meth:`packed` made bytes of."""
        return cls(*json.loads(zlib.decompress(packed)))


def ask(hook: DswHook, instance_id: str, snapshot_id: str | None = None, in_trouble: bool = False) -> Answers:
    """
    Ask the service once, and raise what the hook raises.

    :param hook: the hook.
    :param instance_id: the ``InstanceId``.
    :param snapshot_id: the ``SnapshotId``, to wait for one snapshot.
    :param in_trouble: whether the poll before has failed. Then the hook doesn't retry, because the next poll
        will: waits must not ask a service that is down or throttles more often than one that works.
    """
    tries = 1 if in_trouble else TRIES
    snapshot = hook.get_instance_snapshot(instance_id, snapshot_id, tries=tries) if snapshot_id else None
    instance = None if _is_over(snapshot) else hook.get_instance(instance_id, tries=tries)
    return Answers(_needed(instance), snapshot, hook.connection.region)


async def aask(hook: DswHook, instance_id: str, snapshot_id: str | None = None, in_trouble: bool = False) -> Answers:
    """As :func:`ask`, without blocking the event loop."""
    tries = 1 if in_trouble else TRIES
    asked_at = time.time()
    snapshot = await hook.aget_instance_snapshot(instance_id, snapshot_id, tries=tries) if snapshot_id else None
    instance = None if _is_over(snapshot) else await hook.aget_instance(instance_id, tries=tries)
    return Answers(_needed(instance), snapshot, hook.connection.region, asked_at)


def _is_over(snapshot: Mapping[str, Any] | None) -> bool:
    return snapshot is not None and judge_snapshot(snapshot).outcome is not Outcome.NOT_YET


def _needed(instance: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what a wait needs of GetInstance's answer."""
    if instance is None:
        return None
    snapshots = {name: instance[name] for name in ("InstanceSnapshotList",) if name in instance}
    return default_details(instance) | snapshots


def end_by(wait: Wait, error: DswError) -> DswError:
    """
    Return what a task raises for an error of the hook: a transient one as it is, for a retry may find another.

    An operator's retry asks again, so that what was refused once may be granted then.
    """
    is_operation = wait.operation is not None
    if isinstance(error, DswTransientError) or (is_operation and isinstance(error, DswConnectionError)):
        return error
    failed = DswOperationFailedError if is_operation and isinstance(error, DswRequestError) else DswWaitFailedError
    return failed(f"Waited for {wait}. {error}", **{name: getattr(error, name) for name in _CARRIED})


def as_final(error: DswError) -> DswWaitFailedError:
    """Return what a task raises for an error of the hook that a retry would find again."""
    return DswWaitFailedError(str(error), **{name: getattr(error, name) for name in _CARRIED})


def settle(wait: Wait, answers: Answers | DswError) -> Verdict:
    """
    Return the verdict on a poll that goes on, or has met what is waited for.

    :param wait: what is waited for.
    :param answers: what the service said, or the hook's error.
    :raises DswWaitFailedError: where the wait can't succeed any more.
    :raises DswOperationFailedError: the same, if it is an operator's.
    :raises DswTransientError: where the service can't answer now.
    """
    if isinstance(answers, DswError):
        raise end_by(wait, answers)
    verdict = judge(wait, answers.instance, answers.snapshot)
    if verdict.outcome is Outcome.FAILED:
        reason = f" ({verdict.reason})" if verdict.reason else ""
        failed = DswWaitFailedError if wait.operation is None else DswOperationFailedError
        remedy = "mend it and clear the task" if wait.operation is None else "mend it; a retry of the task asks again"
        raise failed(
            f"Waited for {wait}, which can't happen any more: found {verdict.seen}{reason}. "
            f"Look at the instance in the PAI console, {remedy}.",
            code=verdict.found.get("ReasonCode"),
            request_id=verdict.found.get("RequestId"),
            message=verdict.found.get("ReasonMessage"),
        )
    return verdict


def kind(error: AirflowException) -> str:
    """Return what tells one trouble from another: each is logged once, not at every poll that finds it again."""
    return f"{type(error).__name__} {getattr(error, 'code', None)} {getattr(error, 'status_code', None)}"


class Line(NamedTuple):
    """A line for the log, as ``log`` and ``alog`` take it."""

    level: int
    text: str


class Course:
    """
    A wait from poll to poll, and what of it is a line in the log: each change of status, each new trouble.

    Who polls writes the lines, because to write one can take a while: Airflow's supervisor has to read it.

    :param seen: the status that was logged last.
    :param trouble: what the poll before has failed of, as :func:`kind` has it; None where it has worked.
    """

    def __init__(self, seen: str | None = None, trouble: str | None = None) -> None:
        self.seen = seen
        self.trouble = trouble
        self.polled = False

    def kept(self) -> dict[str, str | None]:
        """Return what makes it again in another process, as JSON."""
        return {"seen": self.seen, "trouble": self.trouble}

    def take(self, wait: Wait, found: Answers | DswError, *, first: bool) -> tuple[Verdict | None, Line | None]:
        """
        Settle one poll, and say what is new.

        :param wait: what is waited for.
        :param found: what the service said, or the hook's error.
        :param first: whether no poll of this wait has worked before.
        :return: the verdict, None where the service can't answer now and a poll has worked before; and a line
            for the log, if any.
        :raises DswWaitFailedError: where the wait can't succeed any more.
        :raises DswTransientError: where the service can't answer the first poll.
        """
        try:
            verdict = settle(wait, found)
        except DswTransientError as error:
            known = kind(error) == self.trouble
            self.trouble = kind(error)
            if first:
                raise
            return None, None if known else Line(logging.WARNING, f"Still waiting for {wait}. {error}")
        self.polled = True
        says_nothing = not verdict.evidence and self.seen is not None
        if says_nothing or (verdict.seen == self.seen and not self.trouble):
            return verdict, None
        self.seen, self.trouble = verdict.seen, None
        return verdict, Line(logging.INFO, change(wait, verdict))


def result(wait: Wait, verdict: Verdict) -> dict[str, Any]:
    """Return the XCom of a wait that was met: the instance's default details, or the snapshot."""
    return redact(verdict.found if wait.snapshot else default_details(verdict.found))


def change(wait: Wait, verdict: Verdict) -> str:
    """Return the log line for a change of status."""
    return f"DSW instance {wait.instance_id}: {verdict.seen} (waiting for {wait})"


def summary(wait: Wait, seconds: float, polls: int, more: bool = False) -> str:
    """
    Return the log line for the end of a wait, whatever the end.

    :param wait: what was waited for.
    :param seconds: how long.
    :param polls: how many are known of.
    :param more: whether there may have been others: a triggerer that starts again doesn't know of those before.
    """
    number = f"{'at least ' if more else ''}{polls} poll{'' if polls == 1 else 's'}"
    return f"Waited {timedelta(seconds=round(seconds))} and {number} for {wait}."


def event_of(error: AirflowException) -> dict[str, Any]:
    """Return the event that carries an error from the triggerer to the task."""
    return {
        "outcome": "failed",
        "error": type(error).__name__,
        "text": str(error),
        **{name: getattr(error, name, None) for name in _CARRIED},
    }


def error_of(event: Mapping[str, Any]) -> AirflowException:
    """Return the error that an event carries."""
    if event["error"] not in _ERRORS:
        # Airflow's own: it knows no such connection.
        return AirflowNotFoundException(event["text"])
    return _ERRORS[event["error"]](event["text"], **{name: event[name] for name in _CARRIED})


_CARRIED = ("code", "status_code", "request_id", "message")
_ERRORS = {
    error.__name__: error
    for error in (
        DswConnectionError,
        DswOperationFailedError,
        DswTransientError,
        DswWaitArgumentError,
        DswWaitFailedError,
    )
}


def pause(
    interval: float,
    *,
    elapsed: float = 0.0,
    exponential_backoff: bool = False,
    max_wait: float | None = None,
    retry_after: float | None = None,
) -> float:
    """
    Return the seconds until the next poll.

    With ``exponential_backoff`` each pause is twice the one before: as long as the wait has lasted, plus one
    interval. It follows from the time alone, so that a restart loses no count. Jitter of up to a tenth keeps
    waits that began together from polling together.

    :param interval: ``poke_interval``, seconds.
    :param elapsed: seconds since the wait began.
    :param exponential_backoff: as the sensor's.
    :param max_wait: the longest pause, seconds, as the sensor's.
    :param retry_after: seconds that the service asked to wait.
    """
    seconds = interval
    if exponential_backoff:
        seconds += elapsed
        if max_wait is not None:
            seconds = min(seconds, max_wait)
    return max(seconds * random.uniform(0.9, 1.0), retry_after or 0.0)  # noqa: S311 - not for secrets


def next_due(interval: float, elapsed: float) -> float:
    """
    Return the seconds until the next poll of a wait with ``exponential_backoff`` whose pause was broken off.

    :param interval: ``poke_interval``, seconds.
    :param elapsed: seconds since the wait began.
    """
    due = interval
    while 0 < due <= elapsed:
        due = 2 * due + interval
    return max(due - elapsed, 0.0)
