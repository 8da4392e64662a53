"""
What the operators that change something have in common.

Each takes one step after the other from the instance's state: it waits for the end of what blocks its request, sends
that, and waits for the outcome. It looks before each request: a task that ran before, or was killed at any point,
requests nothing twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk import BaseOperator

from airflow_provider_dsw import validation
from airflow_provider_dsw.details import default_details, redact
from airflow_provider_dsw.exceptions import DswInstanceNotFoundError, DswTimeoutError, DswTransientError
from airflow_provider_dsw.mixins import E, argument_errors, is_deferrable
from airflow_provider_dsw.operators.body import MaskedBodyMixin
from airflow_provider_dsw.operators.submission import SubmissionMixin
from airflow_provider_dsw.polling import next_interval, xcom_value
from airflow_provider_dsw.secrets import word_in
from airflow_provider_dsw.task_end import has_noted_wait, new_wait_id, write_note
from airflow_provider_dsw.waits.answers import newer_answer, status_in
from airflow_provider_dsw.waits.conditions import Outcome, Wait
from airflow_provider_dsw.waits.operation_waits import condition_for_end_of
from airflow_provider_dsw.waits.operations import Operation
from airflow_provider_dsw.waits.progress import may_be_final

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger

MAX_BLOCKED_POLLS = 10
"""For how many poll intervals to wait for the end of a status that may stay, before the request is made in it."""


class NextStep(NamedTuple):
    """The next step: the instance's state, and whether to wait for the end of a status that may be final."""

    instance: Mapping[str, Any]
    may_wait: bool = True


class DswBaseOperator(MaskedBodyMixin, SubmissionMixin, BaseOperator):
    """
    Base of the operators that request a change and wait for its outcome.

    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``. Templated.
    :param wait_for_completion: wait until the change is complete; if False, succeed as soon as it is requested.
    :param poke_interval: seconds between two polls, or a timedelta.
    :param timeout: seconds that one try of the task waits, or a timedelta. When they are over, the try fails with
        DswTimeoutError; a retry resumes.
    :param deferrable: wait in the triggerer, without a worker. None: ``[operators] default_deferrable``.
    :param dsw_conn_id: id of a connection of type ``dsw``. Templated.
    :param region: region id in place of the connection's own. Templated.
    """

    template_fields: Sequence[str] = ("instance_id", "dsw_conn_id", "region")
    action: str
    """The API's name of the request."""
    may_be_gone = False
    """Whether an instance that is gone is a state to continue from."""

    def __init__(
        self,
        *,
        instance_id: str,
        wait_for_completion: bool = True,
        poke_interval: float | timedelta = 30.0,
        timeout: float | timedelta = 60 * 60.0,
        deferrable: bool | None = None,
        dsw_conn_id: str = "dsw_default",
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.wait_for_completion = wait_for_completion
        with argument_errors(self):
            self.poke_interval = validation.seconds("poke_interval", poke_interval)
            self.timeout = validation.seconds("timeout", timeout)
            self.deferrable = is_deferrable(deferrable)
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        self._reset()

    def _reset(self) -> None:
        super()._reset()
        self._began: float | None = None
        self._was_blocked = False
        self._next_lookup_at = 0.0

    def _argument_checks(self) -> dict[str, validation.Check]:
        return {
            **super()._argument_checks(),
            "instance_id": validation.identifier,
            "wait_for_completion": validation.boolean,
        }

    # One try, from start to end

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Check the instance, send the request if it is needed, and wait.

        :raises DswOperationFailedError: if the request is refused or the operation fails; ``retries`` apply.
        :raises DswTimeoutError: if ``timeout`` is over; ``retries`` apply.
        :raises DswTransientError: if the service can't answer before anything is requested; ``retries`` apply.
        :raises DswWaitFailedError: if there is no such instance, access is denied, or an argument was rendered to
            what can't work.
        """
        self._reset()
        with self._cleaning_up_on_failure(context):
            self._note_cleared_try()
            self._validate_arguments()
            self._reset_poll_state()
            return self._run(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral."""
        self._reset()
        event = (next_kwargs or {}).get("event") or {}
        self._began = event.get("began")
        self.instance_id = event.get("instance_id", self.instance_id)
        with self._cleaning_up_on_failure(context):
            if operation := event.get("operation"):
                self._restore(Operation.from_json(operation))
            if self.stop_on_kill:
                # Airflow's own deferral timeout brings no event.
                self._is_responsible = event.get("stop_on_kill", False) or has_noted_wait(self._task_try)
                write_note(self._task_try)
            return super().resume_execution(next_method, next_kwargs, context)

    def _restore(self, operation: Operation) -> None:
        """Recall what was known when the task deferred itself."""
        self._baseline, self._submitted_at = operation.baseline, operation.submitted_at
        self._was_blocked = operation.blocked_by is not None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Continue as the trigger's event says: there may be more to do before the operation is complete."""
        found = super().execute_complete(context, event)
        step = self._continue_after_wait(context, found) if self._was_blocked else self._after_wait(context, found)
        return self._advance(context, *step) if isinstance(step, NextStep) else step

    def continue_after_limit(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """As :meth:`execute_complete`, after a wait with a limit of its own, whose end is no failure."""
        if event["outcome"] != "timeout":
            return self.execute_complete(context, event)
        return self._advance(context, *self._continue_after_wait(context, {}))

    # Step by step, from the instance's state

    def _run(self, context: Context) -> dict[str, Any]:
        return self._advance(context, self._get_instance(context))

    def _advance(self, context: Context, instance: Mapping[str, Any], may_wait: bool = True) -> dict[str, Any]:
        """Take one step after the other until the operation is complete."""
        step: dict[str, Any] | NextStep = NextStep(instance, may_wait)
        while isinstance(step, NextStep):
            if step.instance and status_in(step.instance) is None:
                # An answer without a status is no reason for a request.
                self._pace_lookups()
                step = NextStep(self._get_instance(context), step.may_wait)
            elif step.may_wait and self._is_blocked(step.instance):
                step = self._wait_for_end_of(context, step.instance)
            else:
                step = self._step(context, *step)
        return step

    def _build_wait(self) -> Wait:
        """
        Return the wait for the outcome: for a status, a snapshot, or else with an ``ExpressionCondition``.

        Without an ``Operation`` a refusal is not retried; without its ``goal`` log and errors show the expression. Its
        baseline is ``Baseline.of(instance)``, a state that decides nothing; for a request that leaves the status as it
        is, ``Baseline.of(instance)._replace(status=None, left=True)``, by which only an older state decides nothing.
        ``until`` and ``failure_statuses`` must not be true of the state before. An outcome that no condition expresses
        gets its meaning in ``waits/``.
        """
        raise NotImplementedError

    def _is_blocked(self, instance: Mapping[str, Any]) -> bool:
        """
        Return whether something has to end before the request is sent.

        :param instance: GetInstance's answer; empty for an instance that is gone.
        """
        raise NotImplementedError

    def _step(self, context: Context, instance: Mapping[str, Any], may_wait: bool) -> dict[str, Any] | NextStep:
        """
        Do what the instance's state calls for: if it shows that all is done, :meth:`_finish`; or else send the request
        (:meth:`_submit`), and wait (:meth:`_await_completion`). A refusal may be about the moment: look again.

        :param context: the task's.
        :param instance: GetInstance's answer; empty for an instance that is gone.
        :param may_wait: whether the end of a status may still be waited for that may be final.
        :return: the task's result, or the state from which to go on.
        """
        raise NotImplementedError

    def _await_completion(self, context: Context, wait: Wait) -> dict[str, Any] | NextStep:
        """Wait for the operation that was requested, or found in progress."""
        if not self.wait_for_completion:
            return self._details_now(context)
        return self._after_wait(context, self._wait_for(context, wait))

    def _finish(self, context: Context, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a task whose instance is as it wants it: its details."""
        return redact(default_details(instance))

    def _after_wait(self, context: Context, found: dict[str, Any]) -> dict[str, Any] | NextStep:
        """Return the result of a wait for the operation, or the state from which to go on."""
        return found

    def _details_now(self, context: Context) -> dict[str, Any]:
        try:
            return {"InstanceId": self.instance_id, **redact(default_details(self._get_instance(context)))}
        except DswTransientError as error:
            self.log.warning("Could not get the instance's details after the request. %s", error)
            return {"InstanceId": self.instance_id}

    def _wait_for_end_of(self, context: Context, instance: Mapping[str, Any]) -> NextStep:
        """Wait until the instance has left its present status, and look again."""
        limit = MAX_BLOCKED_POLLS * self.poke_interval if may_be_final(instance) else None
        self.log.info(
            "DSW instance %s is %s; waiting for that to end before %s.",
            self.instance_id,
            word_in(instance, "Status"),
            self.action,
        )
        present = {**instance, "InstanceId": self.instance_id}
        wait = condition_for_end_of(present, may_be_gone=self.may_be_gone)
        return self._continue_after_wait(context, self._wait_for(context, wait, limit=limit))

    def _continue_after_wait(self, context: Context, ended: Mapping[str, Any]) -> NextStep:
        """Continue after a wait: from what it saw last, or, if it was given up, from a new lookup."""
        self._pace_lookups()
        try:
            instance = self._get_instance(context)
        except DswTransientError as error:
            if not ended:
                raise
            self.log.warning("Continuing from the state that was read last. %s", error)
            return NextStep(ended)
        return NextStep(newer_answer(ended, instance), may_wait=bool(ended))

    def _pace_lookups(self) -> None:
        """
        Let a poll interval pass between a second look and each one after it.

        Otherwise answers that contradict each other would cause lookups and requests in a tight loop.
        """
        now = time.time()
        self._began = self._began or now
        if self._next_lookup_at > now:
            time.sleep(min(self._next_lookup_at, max(self._began + self.timeout, now)) - now)
        if self._has_timed_out and self._next_lookup_at:
            raise self._explain(self._timeout_error("timeout", self._poll_log.last_status), self._began)
        self._next_lookup_at = time.time() + self.poke_interval

    # The service

    def _get_instance(self, context: Context) -> dict[str, Any]:
        """Return GetInstance's answer; empty for an instance that is gone, if that is a state to continue from."""
        instance = self._call(self._fetch_instance)
        if instance:
            self._push_links(context, instance)
        return instance

    def _fetch_instance(self) -> dict[str, Any]:
        try:
            return self.hook.get_instance(self.instance_id)
        except DswInstanceNotFoundError:
            if self.may_be_gone:
                return {}
            raise

    # The wait

    def _wait_for(self, context: Context, wait: Wait, *, limit: float | None = None) -> dict[str, Any]:
        """
        Wait in the worker, or defer.

        :param context: the task's.
        :param wait: what to wait for.
        :param limit: seconds after which to give this wait up without a failure. A deferred task resumes then in
            ``continue_after_limit``.
        :return: the XCom of a wait that has succeeded; empty if it was given up.
        """
        now = time.time()
        self._began = self._began or now
        limit_at = math.inf if limit is None else now + limit
        with self._log_summary(context) as end:
            while True:
                verdict = self._poll(context, wait, tolerate_transient=True)
                wait = wait.after(verdict)
                if wait.operation and not wait.operation.blocked_by:
                    self._baseline = wait.operation.baseline
                if verdict.outcome is Outcome.SUCCESS:
                    return xcom_value(wait.condition, verdict)
                if self.deferrable:
                    self._defer(context, wait, self._began, limit_at)
                now = time.time()
                if now >= self._began + self.timeout:
                    raise self._timeout_error("timeout", self._poll_log.last_status)
                if now >= limit_at:
                    end.has_succeeded = False
                    return {}
                planned = next_interval(self.poke_interval, retry_after=self._retry_after)
                time.sleep(min(planned, self._began + self.timeout - now, limit_at - now))

    def _defer(self, context: Context, wait: Wait, began: float, limit_at: float) -> None:
        wait_id = new_wait_id() if self._stops_on_kill else None
        if wait_id is not None:
            write_note(self._task_try, wait=wait_id, **self._cleared_note)
        trigger = partial(self._trigger, wait, wait_id, limit_at)
        # Which of the two limits has ended the wait is not left to the clock of the worker that resumes the task.
        is_limited = limit_at < began + self.timeout
        method_name = "continue_after_limit" if is_limited else "execute_complete"
        self._defer_to_trigger(context, trigger, began=began, method_name=method_name)

    @property
    def _has_timed_out(self) -> bool:
        return self._began is not None and time.time() >= self._began + self.timeout

    def _trigger(self, wait: Wait, wait_id: str | None, limit_at: float, **state: Any) -> DswInstanceTrigger:
        # Not at the top: no DAG file needs it, and importing it takes long.
        from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger

        state["timeout"] = min(state["timeout"], limit_at - state["started_at"])
        return DswInstanceTrigger(
            **wait.condition.arguments(),
            operation=wait.operation.as_json() if wait.operation else None,
            dsw_conn_id=self.dsw_conn_id,
            region=self.region,
            poke_interval=self.poke_interval,
            stop_on_kill=self._stops_on_kill,
            wait_id=wait_id,
            **state,
        )

    def _explain(self, error: E, since: float | None) -> E:
        """As the base's, from the request on."""
        moments = [moment for moment in (since, self._began, self._submitted_at) if moment is not None]
        return super()._explain(error, min(moments, default=None))

    def _timeout_error(self, which: str, last_status: str | None = None) -> BaseException:
        if which == "execution_timeout":
            return super()._timeout_error(which, last_status)
        last = f"; last seen: {last_status}" if last_status else ""
        return DswTimeoutError(
            f"Timed out after {self.timeout:g} s waiting for {self._build_wait()}{last}. "
            "A retry of the task resumes the wait; if it always takes longer, set a longer timeout."
        )
