"""
The history of an instance whose wait failed or timed out: its last events, and its time in each status.

A real instance was Failed without any reason: the cause was only in its events. The worker requests them once, and
whatever comes of it does not change how the task ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from airflow_provider_dsw.exceptions import (
    DswConnectionError,
    DswError,
    DswOperationFailedError,
    DswTimeoutError,
    DswWaitFailedError,
)
from airflow_provider_dsw.secrets import MAX_WORD, clean
from airflow_provider_dsw.version_compat import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout
from airflow_provider_dsw.waits.answers import time_in

if TYPE_CHECKING:
    from airflow_provider_dsw.hooks.dsw import DswHook

T = TypeVar("T")

TIME_LIMIT = 5.0
"""Seconds for all requests about one instance."""
LAST_EVENTS = 10
"""How many of an instance's events are logged."""
SESSIONS = 10
"""How many sessions of an instance to ask for; only those that the wait has seen something of are logged."""

# With soft_fail, a sensor's own timeout is a skip.
_TIMEOUTS = (AirflowSensorTimeout, AirflowTaskTimeout, DswTimeoutError, AirflowSkipException)


class Task(Protocol):
    """What is needed of a task."""

    instance_id: Any

    @property
    def log(self) -> Any:
        """The task's log."""

    @property
    def hook(self) -> DswHook:
        """The task's hook."""

    @property
    def secrets(self) -> Iterable[str]:
        """What an event must not echo."""


def explain(task: Task, error: BaseException, since: float | None) -> bool:
    """
    Log the history of an instance whose wait failed or timed out, and append its last event to the error's text.

    The text stays as it is if the service gave a reason. Nothing is asked for after another kind of error: then there
    was no wait, or it was the service's answer to a request that has ended it.

    :param task: which has waited.
    :param error: what the wait ends with.
    :param since: POSIX time at which the wait began; None if that is not known.
    :return: whether the service was asked.
    """
    if isinstance(error, AirflowSkipException):
        if error.__cause__ is not None:
            error = error.__cause__
        elif not getattr(task, "soft_fail", False):
            return False  # a subclass's own
    is_failure = type(error) in (DswWaitFailedError, DswOperationFailedError) and not _is_refusal(error)
    if not task.instance_id or not (is_failure or isinstance(error, _TIMEOUTS)):
        return False
    has_reason = isinstance(error, DswError) and bool(error.code or error.message)
    last_event = log_history(task, task.instance_id, since, wants_last=is_failure and not has_reason)
    if last_event is not None and not has_reason:
        error.args = (f"{error} Last event: {last_event}", *error.args[1:])
    return True


def _is_refusal(error: BaseException) -> bool:
    return getattr(error, "status_code", None) is not None


def log_history(task: Task, instance_id: str, since: float | None, *, wants_last: bool = False) -> str | None:
    """
    Log an instance's last events and the time that it spent in each status, and return its last event.

    Each is asked for once, and nothing is raised: what can't be had is one line in the log.

    :param task: its hook asks, and its log is written.
    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
    :param since: POSIX time from which on events count; None for any.
    :param wants_last: whether an event from before `since` will do if there is none after it.
    """
    history = None
    try:
        history = _History(task, instance_id, since)
        history.log_events(wants_last)
        history.log_times()
        history.log_errors()
    except DswConnectionError:
        return None  # with which the task ends anyway
    except (Exception, AirflowTaskTimeout) as error:
        # An execution_timeout that is over just now must not change either how the wait has ended.
        why = error if isinstance(error, DswError) else f"({type(error).__name__})"
        task.log.warning("The history of DSW instance %s could not be read. %s", instance_id, why)
    return history.last_event if history else None


class _History:
    """What is logged of one instance's history, as far as the time limit allows."""

    def __init__(self, task: Task, instance_id: str, since: float | None) -> None:
        self._ends = time.monotonic() + TIME_LIMIT
        self._log = task.log
        self._hook = task.hook
        _ = self._hook.connection
        self._secrets = tuple(task.secrets)
        self._instance_id = instance_id
        # The service's times are of whole seconds.
        self._since = None if since is None else datetime.fromtimestamp(int(since), UTC)
        self._errors: list[str] = []
        self.last_event: str | None = None

    def log_events(self, wants_last: bool) -> None:
        """Log the last events."""
        events = self._events(LAST_EVENTS, self._since)
        if events:
            self._log.info("Last events of DSW instance %s:", self._instance_id)
        for event in events or ():  # without its id, which would push the cause over the edge of Airflow's page
            self._log.info("Event %s", event)
        if events == [] and self._since is not None:
            events = self._events(1, None) if wants_last else []
            last = f" The last one before: {events[0]}" if events else ""
            self._log.info("DSW instance %s has no events since the wait began.%s", self._instance_id, last)
        self.last_event = events[-1] if events else None

    def log_times(self) -> None:
        """Log the time in each status, for the sessions that the wait has seen something of."""
        phases = list(_phases(self._sessions()))
        now = [phase.session for phase in phases if self._since is None or phase.ended >= self._since]
        seen = now or [phase.session for phase in phases[-1:]]
        spent: dict[str, timedelta] = {}
        for phase in phases:
            if phase.session in seen:
                status = self._clean(phase.status, MAX_WORD)
                spent[status] = spent.get(status, timedelta()) + phase.ended - phase.began
        if spent:
            words = ", ".join(f"{status} {timedelta(seconds=round(s.total_seconds()))}" for status, s in spent.items())
            self._log.info("Time of DSW instance %s in each status: %s", self._instance_id, self._clean(words))

    def log_errors(self) -> None:
        """Log what could not be had."""
        if self._errors:
            errors = " ".join(self._errors)
            self._log.warning("The history of DSW instance %s could not be read in full. %s", self._instance_id, errors)

    def _events(self, limit: int, since: datetime | None) -> list[str] | None:
        get, instance_id = self._hook.get_instance_events, self._instance_id
        found = self._send(lambda seconds: get(instance_id, limit=limit, since=since, attempts=1, time_limit=seconds))
        return None if found is None else [self._clean(line) for line in found]

    def _sessions(self) -> list[list[dict[str, Any]]]:
        get, instance_id = self._hook.get_lifecycle, self._instance_id
        return self._send(lambda seconds: get(instance_id, sessions=SESSIONS, attempts=1, time_limit=seconds)) or []

    def _send(self, request: Callable[[float], T]) -> T | None:
        """Send a request that may take so many seconds; None if it fails, or there is no time for it."""
        seconds = self._ends - time.monotonic()
        if seconds > 0:
            try:
                return request(seconds)
            except DswError as error:
                self._errors.append(str(error))
        elif not self._errors:
            self._errors.append(f"The {TIME_LIMIT:g} s for it are over.")
        return None

    def _clean(self, text: str, *longest: int) -> str:
        return clean(text, *longest, also=self._secrets)


class _Phase(NamedTuple):
    began: datetime
    ended: datetime
    session: int
    status: str


def _phases(sessions: Iterable[Iterable[Mapping[str, Any]]]) -> Iterator[_Phase]:
    """Iterate over all statuses, oldest first; one whose end is not told ends where the next one begins."""
    known = [
        (began, number, phase)
        for number, session in enumerate(sessions)
        for phase in session
        if (began := time_in(phase, "GmtCreateTime")) is not None
    ]
    known.sort(key=lambda entry: entry[0])
    following = [began for began, _, _ in known[1:]] + [datetime.now(UTC)]
    for (began, number, phase), next_began in zip(known, following, strict=False):
        ended = time_in(phase, "GmtEndTime") or next_began
        yield _Phase(began, max(ended, began), number, str(phase.get("Status")))
