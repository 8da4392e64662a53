"""What the operators that make an instance run have in common: when it is stopped again, also without Airflow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_dsw import validation
from airflow_provider_dsw.exceptions import (
    DswAccessDeniedError,
    DswError,
    DswInstanceNotFoundError,
    DswOperationFailedError,
    DswRequestError,
    DswTransientError,
    DswWaitFailedError,
    said_in,
)
from airflow_provider_dsw.mixins import argument_errors
from airflow_provider_dsw.operators.status import DswStatusOperator
from airflow_provider_dsw.operators.submission import CONFIRM_PAUSE
from airflow_provider_dsw.secrets import word_in
from airflow_provider_dsw.waits.answers import shutdown_timer
from airflow_provider_dsw.waits.conditions import Wait
from airflow_provider_dsw.waits.operations import SUBMIT_ATTEMPTS, Baseline, Operation
from airflow_provider_dsw.waits.statuses import RUNNING

if TYPE_CHECKING:
    from airflow.sdk import Context

WITHOUT_WAIT = (
    "If the service sets a timer only once the instance is Running, stop_after needs wait_for_completion=True."
)


class DswRunningOperator(DswStatusOperator):
    """
    Base of the operators that make an instance run.

    :param stop_after: seconds from the request, or a timedelta, after which the service itself stops the instance,
        whatever becomes of Airflow: by its own shutdown timer. After a request of this try it replaces a timer that
        is there. A retry, and an instance that others have started, get one only if there is none. If it can't be set,
        the task fails, and what it has started is stopped.
    :param stop_on_kill: stop the instance when a person ends the task, and when its last try ends in a failure or a
        time limit, but never one that was ``Running`` before the task asked. While the task is deferred, Airflow
        reports a person's action only from 3.3 on.
    """

    target = RUNNING
    action = "StartInstance"

    def __init__(
        self, *, stop_after: float | timedelta | None = None, stop_on_kill: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        with argument_errors(self):
            self.stop_after = validation.optional(validation.seconds)("stop_after", stop_after)
        self.stop_on_kill = stop_on_kill

    def _argument_checks(self) -> dict[str, validation.Check]:
        return {**super()._argument_checks(), "stop_on_kill": validation.boolean}

    def _reset(self) -> None:
        super()._reset()
        self._has_timer = False
        self._was_in_progress = False

    def _restore(self, operation: Operation) -> None:
        super()._restore(operation)
        self._has_timer = operation.has_timer
        self._was_in_progress = operation.blocked_by is None

    def _request(self) -> Mapping[str, Any]:
        return self.hook.start_instance(self.instance_id)

    def _operation(self, baseline: Baseline, *, reversible: bool = False) -> Operation:
        operation = super()._operation(baseline, reversible=reversible)
        return operation._replace(submitted_at=self._submitted_at, has_timer=self._has_timer)

    def _resumed_wait(self, context: Context, instance: Mapping[str, Any]) -> Wait:
        # One that is not shown yet has no state to leave.
        baseline = Baseline.of(instance)._replace(left=bool(instance))
        if self._is_later_try and (self.stop_on_kill or not self._is_retry):
            # What ended an earlier try may undo its request: stop_on_kill, or the person who cleared it.
            return self._target_wait(self._operation(baseline), ends_at_reversal=True)
        return self._target_wait(self._operation(baseline, reversible=True))

    def _after_request(self, context: Context, instance: Mapping[str, Any]) -> None:
        """Set the timer as early as the service takes it: from here on Airflow may not live to do so."""
        self._was_in_progress = True
        if self.stop_after is None:
            return
        timer = shutdown_timer(instance)
        if timer is not None and self._submitted_at is None:
            self._keep_timer(timer)
            return
        try:
            self._set_timer(timer)
        except (DswRequestError, DswTransientError, DswInstanceNotFoundError) as error:
            # Not yet, or not shown yet.
            if not self.wait_for_completion:
                raise self._timer_error(error) from None
            self.log.warning(
                "The shutdown timer of DSW instance %s will be set when it is Running. %s", self.instance_id, error
            )
        except DswError as error:
            raise self._timer_error(error) from None

    def _finish(self, context: Context, instance: Mapping[str, Any]) -> dict[str, Any]:
        """As the base's, once there is a timer."""
        if self.stop_after is not None:
            self._ensure_timer(context)
        return super()._finish(context, instance)

    def _ensure_timer(self, context: Context) -> None:
        try:
            timer = shutdown_timer(self._get_instance(context))
        except DswTransientError as error:
            if self._has_timer:
                self.log.warning("Could not check whether the shutdown timer is still set. %s", error)
                return
            timer = None
        if timer is not None and (self._has_timer or self._submitted_at is None):
            if not self._has_timer:
                self._keep_timer(timer)
            return
        try:
            self._set_timer(timer)
        except DswError as error:
            if self._has_timer and isinstance(error, (DswRequestError, DswTransientError)):
                # It was taken before, and is only not shown yet.
                self.log.warning("The shutdown timer was set but could not be confirmed. %s", error)
                return
            raise self._timer_error(error) from None

    def _keep_timer(self, timer: Mapping[str, Any]) -> None:
        self._has_timer = True
        self.log.info(
            "DSW instance %s keeps its existing shutdown timer, due at %s.", self.instance_id, word_in(timer, "DueTime")
        )

    def _set_timer(self, old: Mapping[str, Any] | None) -> None:
        """
        Set the shutdown timer. A lost answer does no harm: setting it again leads to the same end.

        :param old: the timer that was there before.
        """
        request_id = None
        for attempts_left in reversed(range(SUBMIT_ATTEMPTS)):
            try:
                answer = self.hook.set_shutdown_timer(self.instance_id, after=self._remaining())
                request_id = word_in(answer, "RequestId")
                break
            except DswTransientError:
                if not attempts_left:
                    raise
                time.sleep(min(self.poke_interval, CONFIRM_PAUSE))
            except DswRequestError:
                shown = shutdown_timer(self.hook.get_instance(self.instance_id))
                if shown is None or not attempts_left:
                    raise
                if _timer_identity(shown) != _timer_identity(old):
                    break  # the first request's, whose answer was lost
                self._delete_timer()
        self._has_timer = True
        replaced = f", in place of the timer that was due at {word_in(old, 'DueTime')}" if old else ""
        self.log.info(
            "The shutdown timer of DSW instance %s is set: the service stops the instance in %.0f s%s. RequestId: %s",
            self.instance_id,
            self._remaining(),
            replaced,
            request_id,
        )

    def _delete_timer(self) -> None:
        """The service may take a new timer only if there is none."""
        with contextlib.suppress(DswInstanceNotFoundError):
            answer = self.hook.delete_shutdown_timer(self.instance_id)
            self._log_request("DeleteInstanceShutdownTimer", answer)

    def _remaining(self) -> float:
        """
        Return the seconds from now on that are left of ``stop_after``.

        :raises DswOperationFailedError: if it is over.
        """
        # It may have been requested by a worker whose clock is ahead of this one's.
        gone = 0.0 if self._submitted_at is None else max(time.time() - self._submitted_at, 0.0)
        remaining = (self.stop_after or 0.0) - gone
        if remaining <= 0:
            raise DswOperationFailedError(
                f"stop_after has already passed: the start was requested {gone:.0f} s ago. Set a longer stop_after."
            )
        return remaining

    def _timer_error(self, error: DswError) -> DswError:
        """Stop the instance if this task has started it, and return what the task ends with."""
        what_became = "The instance was not started by this task and is left alone"
        if self._submitted_at is not None or (self._was_in_progress and self._is_later_try):
            self._is_responsible = True
            is_stopped = self._stop_instance("its shutdown timer could not be set")
            what_became = "The instance was stopped" if is_stopped else "The instance could not be stopped either"
        is_denied = isinstance(error, DswAccessDeniedError)
        failed = DswWaitFailedError if is_denied else DswOperationFailedError
        remedy = "" if is_denied or self.wait_for_completion else f" {WITHOUT_WAIT}"
        return failed(
            f"The shutdown timer of DSW instance {self.instance_id} could not be set "
            f"(stop_after={self.stop_after:g} s). {what_became}. {error}{remedy}",
            **said_in(error),
        )


def _timer_identity(timer: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """Return what tells a timer from another."""
    return () if timer is None else (timer.get("GmtCreateTime"), timer.get("DueTime"))
