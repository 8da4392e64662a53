"""
One poll of a wait, the pause after it, and what Airflow needs of its verdict.

The sensor, the operators and the triggers share it; what an answer means is said in
:mod:`~airflow_provider_dsw.waits`, where an error is an answer like any other: here errors become its problems, and its
failures become errors.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_dsw.exceptions import (
    SAID,
    DswAccessDeniedError,
    DswConnectionError,
    DswError,
    DswInstanceNotFoundError,
    DswOperationFailedError,
    DswRequestError,
    DswTransientError,
    DswWaitArgumentError,
    DswWaitFailedError,
    said_in,
)
from airflow_provider_dsw.secrets import clean, without_secrets
from airflow_provider_dsw.version_compat import AirflowException, AirflowNotFoundException
from airflow_provider_dsw.waits.answers import PollResult, text_in
from airflow_provider_dsw.waits.conditions import (
    Outcome,
    Problem,
    Verdict,
    Wait,
    WaitCondition,
    evaluate,
    evaluate_snapshot,
)

if TYPE_CHECKING:
    from airflow_provider_dsw.hooks.dsw import DswHook


def fetch(
    hook: DswHook,
    instance_id: str,
    snapshot_id: str | None = None,
    *,
    after_error: bool = False,
    may_be_shown_late: bool = False,
) -> PollResult:
    """
    Ask the service once, and raise what the hook raises.

    :param hook: the hook.
    :param instance_id: the ``InstanceId``.
    :param snapshot_id: the ``SnapshotId``, to wait for one snapshot.
    :param after_error: whether the poll before has failed. Then the hook doesn't retry, because the next poll
        will: waits must not ask a service that is down or throttles more often than one that works.
    :param may_be_shown_late: whether the snapshot is an operation's own: the service has named it, so that one of its
        replicas that doesn't know it is behind. Of an instance that is gone too, GetInstance says so.
    """
    attempts, requested_at = 1 if after_error else None, time.time()
    snapshot = None
    if snapshot_id:
        try:
            snapshot = hook.get_instance_snapshot(instance_id, snapshot_id, attempts=attempts)
        except DswInstanceNotFoundError:
            if not may_be_shown_late:
                raise
    instance = None if _is_decided(snapshot) else hook.get_instance(instance_id, attempts=attempts)
    return PollResult(instance, snapshot, hook.connection.region, requested_at)


async def afetch(
    hook: DswHook,
    instance_id: str,
    snapshot_id: str | None = None,
    *,
    after_error: bool = False,
    may_be_shown_late: bool = False,
) -> PollResult:
    """As :func:`fetch`, without blocking the event loop."""
    attempts, requested_at = 1 if after_error else None, time.time()
    snapshot = None
    if snapshot_id:
        try:
            snapshot = await hook.aget_instance_snapshot(instance_id, snapshot_id, attempts=attempts)
        except DswInstanceNotFoundError:
            if not may_be_shown_late:
                raise
    instance = None if _is_decided(snapshot) else await hook.aget_instance(instance_id, attempts=attempts)
    return PollResult(instance, snapshot, hook.connection.region, requested_at)


def _is_decided(snapshot: Mapping[str, Any] | None) -> bool:
    return snapshot is not None and evaluate_snapshot(snapshot, "").outcome is not Outcome.PENDING


_PROBLEMS = (
    (DswTransientError, Problem.TRANSIENT),
    (DswInstanceNotFoundError, Problem.NOT_FOUND),
    (DswAccessDeniedError, Problem.DENIED),
    (DswError, Problem.REFUSED),
)


def problem_from_error(error: DswError) -> Problem:
    """Return what an error of the hook means for a wait."""
    return next(problem for error_class, problem in _PROBLEMS if isinstance(error, error_class))


def as_wait_error(wait: Wait, error: DswError) -> DswError:
    """
    Return what a task raises for an error of the hook: a transient one as it is, for a retry may find another.

    An operator's retry asks again, so that what was refused once may be granted then.
    """
    is_operation = wait.operation is not None
    if isinstance(error, DswTransientError) or (is_operation and isinstance(error, DswConnectionError)):
        return error
    if is_operation and isinstance(error, DswRequestError):
        text = f"{error} Expected {wait}. A retry of the task requests it again."
        return DswOperationFailedError(text, **said_in(error))
    return DswWaitFailedError(f"{error} Expected {wait}.", **said_in(error))


def with_remedy_if_taken(refusal: DswOperationFailedError, remedy: str) -> DswOperationFailedError:
    """
    Return the error of a refused request, with what helps if a retry would meet the same name again.

    :param refusal: what the task would end with.
    :param remedy: a sentence, for a refusal that may mean that a name is taken.
    """
    # Not at the top: no DAG file needs it.
    from airflow_provider_dsw.client.failures import says_taken

    return DswOperationFailedError(f"{refusal} {remedy}", **said_in(refusal)) if says_taken(refusal) else refusal


def as_final_error(error: DswError) -> DswWaitFailedError:
    """Return what a task raises for an error of the hook that a retry would find again."""
    return DswWaitFailedError(str(error), **said_in(error))


def raise_for_outcome(wait: Wait, verdict: Verdict) -> None:
    """
    Raise what a task ends with if its wait can no longer succeed.

    :param wait: what is waited for.
    :param verdict: what a poll found.
    :raises DswWaitFailedError: if that is a failure.
    :raises DswOperationFailedError: the same, if it is an operator's.
    """
    if verdict.outcome is not Outcome.FAILURE:
        return
    # Not at the top: no DAG file needs it.
    from airflow_provider_dsw.details import secrets_in

    # The message may echo what the instance was given.
    secrets = secrets_in(verdict.payload)
    reason = f" ({clean(verdict.reason, also=secrets)})" if verdict.reason else ""
    failed = DswWaitFailedError if wait.operation is None else DswOperationFailedError
    remedy = "then clear the task" if wait.operation is None else "a retry of the task requests it again"
    raise failed(
        f"{wait.describe_failure(verdict)}{reason}. Waited for {wait}. Fix the instance in the PAI console; {remedy}.",
        code=text_in(verdict.payload, "ReasonCode"),
        request_id=text_in(verdict.payload, "RequestId"),
        message=without_secrets(text_in(verdict.payload, "ReasonMessage") or "", also=secrets),
    )


def error_key(error: AirflowException) -> str:
    """Return what tells one error from another: each is logged once, not at every poll that finds it again."""
    return f"{type(error).__name__} {getattr(error, 'code', None)} {getattr(error, 'status_code', None)}"


class LogLine(NamedTuple):
    """A line for the log, as ``log`` and ``alog`` take it."""

    level: int
    text: str


class PollLog:
    """
    A wait from poll to poll, and what of it is a line in the log: each change of status, each new error.

    Who polls writes the lines, because to write one can take a while: Airflow's supervisor has to read it.

    :param last_status: the status that was logged last.
    :param last_error: the error of the poll before, as :func:`error_key` has it; None if it has worked.
    """

    def __init__(self, last_status: str | None = None, last_error: str | None = None) -> None:
        self.last_status = last_status
        self.last_error = last_error
        self.has_worked = False

    def as_json(self) -> dict[str, str | None]:
        """Return the arguments that make it again in another process."""
        return {"last_status": self.last_status, "last_error": self.last_error}

    def record(
        self, wait: Wait, found: PollResult | DswError, *, tolerate_transient: bool
    ) -> tuple[Verdict, LogLine | None]:
        """
        Take one poll, and say what is new.

        :param wait: what is waited for.
        :param found: what the service said, or the hook's error.
        :param tolerate_transient: whether a transient error is a line in the log only: not at the first poll.
        :return: what the poll means, which is never a failure; and a line for the log, if any.
        :raises DswWaitFailedError: if the wait can no longer succeed.
        :raises DswOperationFailedError: the same, if it is an operator's.
        :raises DswTransientError: if the service can't answer the first poll.
        """
        if not isinstance(found, DswError):
            verdict = evaluate(wait, found)
            raise_for_outcome(wait, verdict)
            return verdict, self._status_line(wait, verdict)
        verdict = evaluate(wait, problem_from_error(found))
        if verdict.outcome is not Outcome.FAILURE and not isinstance(found, DswTransientError):
            # That the instance is not found is a state too.
            return verdict, self._status_line(wait, verdict)
        line = self._error_line(wait, found)
        if verdict.outcome is Outcome.FAILURE or not tolerate_transient:
            raise as_wait_error(wait, found)
        return verdict, line

    def _status_line(self, wait: Wait, verdict: Verdict) -> LogLine | None:
        self.has_worked = True
        says_nothing = not (verdict.has_evidence or verdict.remark) and self.last_status is not None
        status = verdict.last_status if verdict.last_status == self.last_status else clean(verdict.last_status)
        if says_nothing or (status == self.last_status and not self.last_error):
            return None
        level, shown = logging.INFO, status
        if remark := clean(verdict.remark):
            if remark in (self.last_status or ""):
                shown = status.removesuffix(f"; {remark}")
            else:
                level = logging.WARNING
        self.last_status, self.last_error = status, None
        return LogLine(level, f"Waiting for {wait}: {shown}")

    def _error_line(self, wait: Wait, error: DswError) -> LogLine | None:
        is_known, self.last_error = error_key(error) == self.last_error, error_key(error)
        return None if is_known else LogLine(logging.WARNING, f"Still waiting for {wait}. {error}")


def timeout_ending(last_status: str | None) -> str:
    """Return the end of a sentence about a wait that was given up."""
    seen = f"; last seen: {last_status}" if last_status else ""
    return seen if seen.endswith((".", "?")) else f"{seen}."


def xcom_value(condition: WaitCondition, verdict: Verdict) -> dict[str, Any]:
    """Return the XCom of a wait that has succeeded: the instance's default details, or the snapshot."""
    # Not at the top: no DAG file needs it.
    from airflow_provider_dsw.details import default_details, redact

    return redact(verdict.payload if condition.returns_snapshot else default_details(verdict.payload))


def summary(wait: Wait, seconds: float, polls: int, *, more: bool = False, has_succeeded: bool) -> str:
    """
    Return the log line for the end of a wait.

    :param wait: what was waited for.
    :param seconds: how long.
    :param polls: how many are known of.
    :param more: whether there may have been others: a triggerer that starts again doesn't know of those before.
    :param has_succeeded: whether what was waited for has come.
    """
    number = f"{'at least ' if more else ''}{polls} poll{'' if polls == 1 else 's'}"
    end = "." if has_succeeded else ", without success."
    return f"Waited {timedelta(seconds=round(seconds))} and {number} for {wait}{end}"


def event_from_error(error: AirflowException) -> dict[str, Any]:
    """Return the event that carries an error from the triggerer to the task."""
    return {
        "outcome": Outcome.FAILURE.value,
        "error": type(error).__name__,
        "text": str(error),
        **said_in(error),
    }


def error_from_event(event: Mapping[str, Any]) -> AirflowException:
    """Return the error that an event carries."""
    if event["error"] not in _ERRORS:
        # Airflow's own: it knows no such connection.
        return AirflowNotFoundException(event["text"])
    return _ERRORS[event["error"]](event["text"], **{name: event.get(name) for name in SAID})


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


def next_interval(
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
        # Less than 0 where the clock is behind that of the machine on which the wait began.
        seconds += max(elapsed, 0.0)
        if max_wait is not None:
            seconds = min(seconds, max_wait)
    return max(seconds * random.uniform(0.9, 1.0), retry_after or 0.0)  # noqa: S311 - not for secrets


def remaining_interval(interval: float, elapsed: float) -> float:
    """
    Return the seconds until the next poll of a wait with ``exponential_backoff`` whose pause was broken off.

    :param interval: ``poke_interval``, seconds.
    :param elapsed: seconds since the wait began.
    """
    due = interval
    while 0 < due <= elapsed:
        due = 2 * due + interval
    return max(due - elapsed, 0.0)
