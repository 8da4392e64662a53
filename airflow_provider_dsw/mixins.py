"""How a task waits: poll by poll in the worker, or in the triggerer. The sensor and the operators share it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow.sdk import BaseOperator

from airflow_provider_dsw import validation
from airflow_provider_dsw.arguments import is_literal, task_in_errors
from airflow_provider_dsw.exceptions import DswError, DswWaitArgumentError
from airflow_provider_dsw.links.dsw import DSW_LINKS, push_links, push_urls
from airflow_provider_dsw.polling import PollLog, error_from_event, fetch, summary, timeout_ending
from airflow_provider_dsw.secrets import forget_locals
from airflow_provider_dsw.version_compat import (
    AirflowException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
    TaskDeferred,
    conf,
    is_expanded,
)
from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import Outcome, Verdict, Wait

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dsw.hooks.dsw import DswHook
    from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger

    _Task = BaseOperator
else:
    _Task = object

E = TypeVar("E", bound=BaseException)

TRIGGERER_GRACE = 60.0
"""Seconds after a deadline that the trigger keeps by itself, for a triggerer that is down or overloaded."""
POLL_GRACE = 360.0
"""Seconds by which a poll may end later than planned: the service may ask for five minutes, and it takes a minute."""


def is_deferrable(given: bool | None) -> bool:
    """
    Return what was given, or else ``[operators] default_deferrable``.

    :param given: the argument ``deferrable``.
    :raises ValueError: if it is no boolean.
    """
    if given is not None:
        return validation.boolean("deferrable", given)
    return conf.getboolean("operators", "default_deferrable", fallback=False)


@contextmanager
def argument_errors(task: BaseOperator, task_id: str | None = None) -> Iterator[None]:
    """
    Let a ValueError of a task's constructor say which task it is about.

    What is mapped is made in the worker, from values that no retry changes.

    :param task: the task.
    :param task_id: its id, before its own constructor has taken it.
    :raises DswWaitArgumentError: in place of a ValueError, if the task is one of a mapped task's.
    """
    try:
        with task_in_errors(task_id or task.task_id):
            yield
    except ValueError as error:
        if is_expanded(task):
            raise DswWaitArgumentError(str(error)) from None
        raise


class WaitSummary:
    """What the log line at the end of a wait says beside its time and polls."""

    has_succeeded = True


class DswTaskMixin(_Task):
    """What a task needs to call the service; a mixin for operators and sensors, before their base."""

    operator_extra_links = DSW_LINKS
    # Its locks can't be copied, and a copy of the task may call the service by the same hook.
    shallow_copy_attrs = ("hook",)
    ui_color = "#ffe8d6"
    dsw_conn_id: str
    region: str | None
    pushed_links: Mapping[str, str] = MappingProxyType({})

    @cached_property
    def hook(self) -> DswHook:
        """
        The hook of the rendered connection id.

        :raises DswTransientError: where Airflow can't look the connection up now.
        """
        # Not at the top: no DAG file needs it, and importing it takes long.
        from airflow_provider_dsw.hooks.dsw import DswHook, look_up_error

        hook = DswHook(self.dsw_conn_id, region=self.region)
        try:
            _ = hook.connection
        except AirflowException:
            raise
        except Exception as error:
            failed = look_up_error(self.dsw_conn_id, error)
        else:
            return hook
        raise failed

    def _argument_checks(self) -> dict[str, validation.Check]:
        """Return what each argument may be, by its name."""
        return {"dsw_conn_id": validation.text, "region": validation.region}

    def _check_literals(self) -> None:
        """Check what is known where the DAG is parsed: all that is no template."""
        with argument_errors(self):
            for name, check in self._argument_checks().items():
                value = getattr(self, name)
                if name not in self.template_fields or is_literal(value):
                    check(name, value)

    def _validate_arguments(self) -> None:
        """
        Check the rendered arguments, and replace them by what they mean.

        :raises DswWaitArgumentError: on one that can't work.
        """
        try:
            for name, check in self._argument_checks().items():
                value = getattr(self, name)
                is_rendered = name in self.template_fields
                setattr(self, name, check(name, validation.rendered(value) if is_rendered else value))
        except ValueError as error:
            raise DswWaitArgumentError(str(error)) from None

    def _push_links(self, context: Context, instance: Mapping[str, Any] | None) -> None:
        self.pushed_links = push_links(context, instance, self.hook.connection.region, self.pushed_links)


class DswWaitMixin(DswTaskMixin):
    """What a task needs to wait for an instance."""

    instance_id: Any
    timeout: float
    _last_poll_at_timeout = True
    _poll_count = 0
    _retry_after: float | None = None
    # The instance whose history was logged.
    _explained_id = ""

    @property
    def secrets(self) -> Iterable[str]:
        """What must not be shown of the instance, beside what is known to be secret everywhere."""
        return ()

    def _build_wait(self) -> Wait:
        """Return the wait that the rendered arguments describe."""
        raise NotImplementedError

    @cached_property
    def _poll_log(self) -> PollLog:
        return PollLog()

    def _reset_poll_state(self) -> None:
        """Reset the state of the polls: a task's object may be executed more than once."""
        self._poll_log = PollLog()
        self.pushed_links = {}

    def _poll(self, context: Context, wait: Wait, *, tolerate_transient: bool) -> Verdict:
        """
        Ask the service once, and keep the links on the task's page up to date.

        The rest is as in :meth:`~airflow_provider_dsw.polling.PollLog.record`.
        """
        self._retry_after = None
        condition = wait.condition
        found: PollResult | DswError
        try:
            hook = self.hook
            self._poll_count += 1  # not where the connection lacks what a request needs
            found = fetch(
                hook,
                condition.instance_id,
                getattr(condition, "snapshot_id", None),
                after_error=self._poll_log.last_error is not None,
                may_be_shown_late=wait.operation is not None,
            )
            self._push_links(context, found.instance)
        except DswError as error:
            found = error
            self._retry_after = getattr(error, "retry_after", None)
        verdict, line = self._poll_log.record(wait, found, tolerate_transient=tolerate_transient)
        if line:
            self.log.log(*line)
        return verdict

    @contextmanager
    def _log_summary(self, context: Context) -> Iterator[WaitSummary]:
        """Log how long the wait took, and why it failed, at its end: not where it continues in another process."""
        began, end = time.time(), WaitSummary()
        self._poll_count = before = context.get("task_reschedule_count") or 0
        try:
            yield end
        except (AirflowRescheduleException, TaskDeferred):
            raise
        except BaseException as error:
            began = self._log_duration(context, began, before, has_succeeded=False)
            if not isinstance(error, AirflowTaskTimeout):  # which leaves no time
                self._explain(error, began)
            forget_locals(error)
            raise
        self._log_duration(context, began, before, has_succeeded=end.has_succeeded)

    def _log_duration(self, context: Context, began: float, polls_before: int, *, has_succeeded: bool) -> float:
        """Log how long the wait took, and return when it began."""
        if self._poll_count > polls_before:
            first = context["ti"].get_first_reschedule_date(context) if polls_before else None
            began = first.timestamp() if first else began
            self._log_end(began, self._poll_count, has_succeeded=has_succeeded)
        return began

    def _log_end(self, began: float, polls: int, *, more: bool = False, has_succeeded: bool) -> None:
        seconds = max(time.time() - began, 0.0)  # by another machine's clock it may have begun later
        self.log.info(summary(self._build_wait(), seconds, polls, more=more, has_succeeded=has_succeeded))

    def _explain(self, error: E, since: float | None) -> E:
        """
        Log the history of an instance whose wait failed or timed out, and return the error it ends with.

        :param error: what it ends with; its text may get the last event.
        :param since: POSIX time at which it began; None if that is not known.
        """
        # Not at the top: no DAG file needs it, nor does a wait that succeeds.
        from airflow_provider_dsw.diagnostics import explain

        if explain(self, error, since):
            self._explained_id = self.instance_id
        return error

    def _defer_to_trigger(
        self,
        context: Context,
        trigger: Callable[..., DswInstanceTrigger],
        *,
        began: float,
        method_name: str = "execute_complete",
    ) -> NoReturn:
        """Defer, after a first poll."""
        self.defer(
            trigger=trigger(
                started_at=began,
                timeout=self.timeout,
                execution_timeout=self._seconds_until_execution_timeout(context, began),
                last_poll_at_timeout=self._last_poll_at_timeout,
                has_polled=True,
                last_status=self._poll_log.last_status,
                links=dict(self.pushed_links),
            ),
            method_name=method_name,
            timeout=timedelta(seconds=min(self._airflow_timeout(), self._execution_seconds() + TRIGGERER_GRACE)),
        )

    def _seconds_until_execution_timeout(self, context: Context, began: float) -> float | None:
        if self.execution_timeout is None:
            return None
        start_date = getattr(context.get("ti"), "start_date", None)
        started = start_date.timestamp() if start_date else began
        return started - began + self._execution_seconds()

    def _execution_seconds(self) -> float:
        return math.inf if self.execution_timeout is None else self.execution_timeout.total_seconds()

    def _latest_end(self) -> float:
        """Return the seconds after the beginning of the wait for which its last poll is planned at the latest."""
        return self.timeout

    def _airflow_timeout(self) -> float:
        """Return the seconds after which Airflow itself is to end a deferred wait."""
        return self._latest_end() + POLL_GRACE + TRIGGERER_GRACE

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """
        End the wait as its trigger's event says.

        :raises AirflowSensorTimeout: where ``timeout`` was over.
        :raises AirflowTaskTimeout: where the task's ``execution_timeout`` was over.
        :raises DswError: what ended the wait, as a wait in the worker raises it.
        """
        if polls := event.get("polls"):
            has_succeeded, more = event["outcome"] == Outcome.SUCCESS.value, event.get("more_polls", False)
            self._log_end(event["began"], polls, more=more, has_succeeded=has_succeeded)
        self.pushed_links = push_urls(context, event.get("links", {}), event.get("pushed_links"))
        return self._outcome_of(event)

    def _outcome_of(self, event: dict[str, Any]) -> dict[str, Any]:
        if event["outcome"] == Outcome.SUCCESS.value:
            result: dict[str, Any] = event["result"]
            return result
        if event["outcome"] == Outcome.FAILURE.value:
            raise self._explain(error_from_event(event), event.get("began"))
        raise self._explain(self._timeout_error(event["outcome"], event.get("last_status")), event["began"])

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral; where the triggerer itself gave no answer in time, as its event would have."""
        self._validate_arguments()
        try:
            # Not the sensor base's: there soft_fail and never_fail differ from poke mode.
            return BaseOperator.resume_execution(self, next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            which = "timeout" if self._latest_end() <= self._execution_seconds() else "execution_timeout"
        self.log.error("No triggerer ended this wait in time. Check that a triggerer is running and has free capacity.")
        start_date = getattr(context.get("ti"), "start_date", None)
        raise self._explain(self._timeout_error(which), start_date.timestamp() if start_date else None)

    def _timeout_error(self, which: str, last_status: str | None = None) -> BaseException:
        if which == "execution_timeout":
            return AirflowTaskTimeout(
                f"Timed out after the execution_timeout of {self.execution_timeout} "
                f"waiting for {self._build_wait()}{timeout_ending(last_status)} "
                "If it always takes longer, set a longer execution_timeout."
            )
        return AirflowSensorTimeout(
            f"Timed out after {self.timeout:g} s waiting for {self._build_wait()}{timeout_ending(last_status)} "
            "If it always takes longer, set a longer timeout."
        )
