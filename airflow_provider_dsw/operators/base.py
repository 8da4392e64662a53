"""
What the operators that change something have in common.

Each looks before it asks, so that a task that ran before, or was killed at any point, asks for nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseOperator

from airflow_provider_dsw.arguments import check_id, is_literal, naming
from airflow_provider_dsw.details import default_details, redact
from airflow_provider_dsw.exceptions import (
    DswError,
    DswInstanceNotFoundError,
    DswOperationFailedError,
    DswRequestError,
    DswTimeoutError,
    DswTransientError,
    DswWaitArgumentError,
)
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.polling import end_by, pause, result
from airflow_provider_dsw.progress import (
    Baseline,
    Operation,
    Progress,
    condition_for_end_of,
    condition_for_target,
    fresher,
    has_nothing_to_stop,
    is_transitional,
    may_stay,
    progress,
)
from airflow_provider_dsw.task_end import Attempt, has_noted_wait, new_wait_id, note
from airflow_provider_dsw.version_compat import CALLS_ON_KILL, TaskDeferred
from airflow_provider_dsw.waiting import Waiting, is_deferrable
from airflow_provider_dsw.waits.conditions import Outcome, Wait

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger

SUBMIT_ATTEMPTS = 3
"""How often a request is sent, if the service does not show that it was performed."""
CONFIRM_ATTEMPTS = 3
"""How often to look whether a request was performed whose answer is lost."""
CONFIRM_PAUSE = 5.0
"""Seconds between two such looks, at most."""
PATIENCE = 10
"""For how many poll intervals to wait for the end of a status that may stay, before the request is made in it."""

T = TypeVar("T")


class DswBaseOperator(Waiting, BaseOperator):
    """
    Base of the operators that ask the service for a change and wait for its outcome.

    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``. Templated.
    :param wait_for_completion: wait until what was asked for is done; else end as soon as it is asked for.
    :param poke_interval: seconds between two polls, or a timedelta.
    :param timeout: seconds that one try of the task waits, or a timedelta. When they are over, the try fails with
        DswTimeoutError; a retry resumes.
    :param deferrable: wait in the triggerer, without a worker. None: ``[operators] default_deferrable``.
    :param dsw_conn_id: id of a connection of type ``dsw``. Templated.
    :param region: region id in place of the connection's own. Templated.
    """

    template_fields: Sequence[str] = ("instance_id", "dsw_conn_id", "region")
    stop_on_kill = False

    def __init__(
        self,
        *,
        instance_id: str,
        wait_for_completion: bool = True,
        poke_interval: float | timedelta = 30.0,
        timeout: float | timedelta = 60 * 60.0,
        deferrable: bool | None = None,
        dsw_conn_id: str = DswHook.default_conn_name,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.wait_for_completion = wait_for_completion
        with naming(self.task_id):
            self.poke_interval = _seconds("poke_interval", poke_interval)
            self.timeout = _seconds("timeout", timeout)
        self.deferrable = is_deferrable(deferrable)
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        self._reset()

    def _reset(self) -> None:
        """Begin anew: a task's object may be executed more than once."""
        self._began: float | None = None
        self._attempt = Attempt.of({})
        self._baseline: Baseline | None = None
        # Whether something goes on in the service that this task has asked for, or has found in progress.
        self._is_responsible = False
        self._is_deferred = False
        self._was_killed = False
        self._may_ask = True
        self._note_of_cleared: dict[str, Any] = {}

    def _check_literals(self) -> None:
        """Check what is known where the DAG is parsed."""
        with naming(self.task_id):
            for name, check in self._checks().items():
                if is_literal(value := getattr(self, name)):
                    check(value)

    def _warn_of_deaf_triggers(self) -> None:
        if self.stop_on_kill and self.deferrable and not CALLS_ON_KILL:
            warnings.warn(
                f"{self.task_id}: stop_on_kill=True does nothing while the task is deferred: only Airflow 3.3 tells a "
                "trigger that a person has ended its task. Use stop_after, with which the service itself stops the "
                "instance, or deferrable=False.",
                UserWarning,
                stacklevel=3,
            )

    def _checks(self) -> dict[str, Callable[[Any], None]]:
        return {"instance_id": partial(check_id, "instance_id")}

    # The course of a try

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Look, ask if need be, and wait.

        :raises DswOperationFailedError: if what was asked for is refused, or has failed; ``retries`` apply.
        :raises DswTimeoutError: if ``timeout`` is over; ``retries`` apply.
        :raises DswTransientError: if the service can't answer, and nothing was asked for yet; ``retries`` apply.
        :raises DswWaitFailedError: if there is no such instance, access is denied, or an argument was rendered to
            what can't work.
        """
        self._reset()
        with self._seeing_to_its_end(context):
            self._note_cleared()
            try:
                for name, check in self._checks().items():
                    check(getattr(self, name))
            except ValueError as error:
                raise DswWaitArgumentError(str(error)) from None
            self._forget_polls()
            return self._run(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral."""
        self._reset()
        event = (next_kwargs or {}).get("event") or {}
        self._began = event.get("began")
        with self._seeing_to_its_end(context):
            if self.stop_on_kill:
                # Airflow's own deferral timeout brings no event.
                self._is_responsible = event.get("stop_on_kill", False) or has_noted_wait(self._attempt)
                if operation := event.get("operation"):
                    self._baseline = Operation.from_json(operation).baseline
                note(self._attempt)
            return super().resume_execution(next_method, next_kwargs, context)

    def _run(self, context: Context) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def _stops_on_kill(self) -> bool:
        return self.stop_on_kill and self._is_responsible

    @property
    def _is_later_try(self) -> bool:
        return self._attempt.number > 1

    @property
    def _is_retry(self) -> bool:
        """Whether an earlier try, since the task was cleared last, has failed."""
        return self._attempt.is_retry(self.retries or 0)

    # The service

    def _get_instance(self, context: Context) -> dict[str, Any]:
        instance = self._call(lambda: self.hook.get_instance(self.instance_id))
        self._keep_links(context, instance)
        return instance

    def _call(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except DswError as error:
            raise end_by(self._wait(), error) from None

    def _submit(
        self, action: str, request: Callable[[], Mapping[str, Any]], find: Callable[[], T | None]
    ) -> tuple[Mapping[str, Any] | None, T | None]:
        """
        Send a request, and return its answer; or else what shows that it was performed all the same.

        After an error the service's state has the last word: an answer may be lost, and an earlier try of the task
        may have asked already. What was asked for may be shown late.

        :param action: the API's name of the request.
        :param request: sends it.
        :param find: looks for what it brings about; None if the service shows nothing of it.
        """
        unclear = self._is_later_try
        for attempts_left in reversed(range(SUBMIT_ATTEMPTS)):
            if not self._may_ask:
                raise DswOperationFailedError(f"{action} of {self.instance_id} was not sent: the task has been ended.")
            was_responsible, self._is_responsible = self._is_responsible, True
            try:
                answer = request()
            except DswError as error:
                lost = isinstance(error, DswTransientError) and error.may_have_been_performed
                if not lost:
                    self._is_responsible = was_responsible
                if not lost and not isinstance(error, DswRequestError):
                    raise end_by(self._wait(), error) from None
                unclear = unclear or lost
                found, has_looked = self._confirm(find, CONFIRM_ATTEMPTS if unclear else 1)
                if found is not None:
                    self.log.info("An earlier attempt already submitted this request; resuming. %s", error)
                    return None, found
                if not (lost and has_looked and attempts_left):
                    raise end_by(self._wait(), error) from None
                self.log.warning("The service shows nothing of this request; sending it again. %s", error)
            else:
                self._log_request(action, answer)
                if self._note_of_cleared:
                    # What goes on from now on is not an earlier try's to stop.
                    self._note_of_cleared = {}
                    note(self._attempt)
                if self._was_killed:
                    self._is_responsible = True
                    self._stop_instance("the task was ended while it asked for this")
                return answer, None
        raise AssertionError("unreachable")

    def _confirm(
        self, find: Callable[[], T | None], attempts: int, *, pauses_first: bool = False
    ) -> tuple[T | None, bool]:
        """Return what was found, and whether the service has answered at all."""
        has_looked = False
        for number in range(attempts):
            if number or pauses_first:
                time.sleep(min(self.poke_interval, CONFIRM_PAUSE))
            try:
                found = find()
            except DswError:
                continue
            has_looked = True
            if found is not None:
                return found, True
        return None, has_looked

    def _log_request(self, action: str, answer: Mapping[str, Any]) -> None:
        self.log.info(
            "%s of DSW instance %s is accepted. RequestId: %s", action, self.instance_id, answer.get("RequestId")
        )

    # The wait

    def _wait_for(self, context: Context, wait: Wait, *, limit: float | None = None) -> dict[str, Any]:
        """
        Wait in the worker, or defer.

        :param context: the task's.
        :param wait: what to wait for.
        :param limit: seconds after which to give this wait up without a failure.
        :return: what the wait was met with; empty if it was given up.
        """
        now = time.time()
        self._began = self._began or now
        limit_at = math.inf if limit is None else now + limit
        with self._summed_up(context):
            while True:
                verdict = self._poll(context, wait, tolerate_transient=True)
                wait = wait.after(verdict)
                if verdict.outcome is Outcome.SUCCESS:
                    return result(wait.condition, verdict)
                if self.deferrable:
                    self._defer(context, wait, self._began, limit_at)
                now = time.time()
                if now >= self._began + self.timeout:
                    raise self._out_of_time("timeout", self._poll_log.last_status)
                if now >= limit_at:
                    return {}
                planned = pause(self.poke_interval, retry_after=self._retry_after)
                time.sleep(min(planned, self._began + self.timeout - now, limit_at - now))

    def _defer(self, context: Context, wait: Wait, began: float, limit_at: float) -> None:
        wait_id = new_wait_id() if self._stops_on_kill else None
        if wait_id is not None:
            note(self._attempt, wait=wait_id, **self._note_of_cleared)
        trigger = partial(self._trigger, wait, wait_id, limit_at)
        self._leave_to_triggerer(context, trigger, began=began)

    @property
    def _is_out_of_time(self) -> bool:
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

    def _out_of_time(self, which: str, last_status: str | None = None) -> BaseException:
        if which == "execution_timeout":
            return super()._out_of_time(which, last_status)
        last = f"; last seen: {last_status}" if last_status else ""
        return DswTimeoutError(
            f"Timed out; the timeout of {self.timeout:g} s is over. Waited for {self._wait()}{last}. "
            "A retry of the task resumes; if it always takes longer, give it a longer timeout."
        )

    # The end

    @contextmanager
    def _seeing_to_its_end(self, context: Context) -> Iterator[None]:
        """Stop the instance, if ``stop_on_kill`` says so, when a try fails that Airflow does not repeat."""
        self._attempt = Attempt.of(context)
        try:
            yield
        except TaskDeferred:
            self._is_deferred = True
            raise
        except BaseException as error:
            if self.stop_on_kill:
                if self._attempt.is_last(error, self, context):
                    self._stop_instance("the task has failed for good")
                elif self._is_responsible:
                    self.log.info("DSW instance %s is left alone: a retry of the task resumes.", self.instance_id)
            self._has_ended()
            raise
        self._has_ended()

    def _has_ended(self) -> None:
        # After an execution_timeout Airflow calls on_kill, and with another signal it may too.
        self._is_responsible = False
        if self._note_of_cleared:
            note(self._attempt)

    def _note_cleared(self) -> None:
        """Let a triggerer that is late stop the instance for the try that a person has ended: this one will see it."""
        if self.stop_on_kill and self.deferrable and self._attempt.is_cleared(self.retries or 0):
            self._note_of_cleared = {"is_cleared": True, "began": time.time()}
            note(self._attempt, **self._note_of_cleared)

    def on_kill(self) -> None:
        """Stop the instance if ``stop_on_kill`` says so and Airflow does not repeat the task by itself."""
        # Airflow lets the task go on for up to five seconds.
        self._may_ask = False
        if not self._is_responsible:
            return
        if not self.stop_on_kill:
            self.log.info("DSW instance %s is left alone.", self.instance_id)
            return
        is_last = not self._is_deferred and not self._attempt.may_be_repeated
        if is_last or self._attempt.was_ended_by_person():
            self._was_killed = True
            self._stop_instance("the task was ended")
        else:
            self.log.info("DSW instance %s is left alone: Airflow repeats the task.", self.instance_id)

    def _stop_instance(self, why: str, attempts: int = SUBMIT_ATTEMPTS) -> None:
        """
        Stop the instance, if this task has asked for what goes on in it, and it does not stop already.

        :param why: in words, for the log.
        :param attempts: how often to send the request, if its answer is lost and the instance does not stop.
        """
        if not self._is_responsible and not self._is_later_try:
            return
        try:
            instance = self.hook.get_instance(self.instance_id)
        except DswInstanceNotFoundError:
            return
        except DswError as error:
            self.log.warning("DSW instance %s can't be looked at before it is stopped. %s", self.instance_id, error)
            instance = {}
        if not self._is_responsible and progress("Running", instance) is not Progress.IN_PROGRESS:
            # Nobody can say any more whether an earlier try has asked for what there is.
            return
        self._is_responsible = False
        if has_nothing_to_stop(instance, self._baseline):
            self.log.info("DSW instance %s is %s already; %s.", self.instance_id, instance.get("Status"), why)
            return
        try:
            answer = self.hook.stop_instance(self.instance_id)
        except DswError as error:
            if attempts > 1 and isinstance(error, DswTransientError) and error.may_have_been_performed:
                self.log.warning("Looking again whether DSW instance %s stops. %s", self.instance_id, error)
                self._is_responsible = True
                self._stop_instance(why, attempts - 1)
                return
            self.log.error("DSW instance %s could not be stopped, though %s. %s", self.instance_id, why, error)
        else:
            self._log_request("StopInstance", answer)
            self.log.info("DSW instance %s is stopped: %s.", self.instance_id, why)


class DswStatusOperator(DswBaseOperator):
    """Base of the operators that bring an instance to a status."""

    target: str
    action: str
    save_image = False

    def _request(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def _wait(self) -> Wait:
        return self._condition(self._operation(Baseline()))

    def _operation(self, baseline: Baseline, *, reversible: bool = False) -> Operation:
        return Operation(baseline, reversible=reversible, saves_image=self.save_image)

    def _condition(self, operation: Operation, *, also: Sequence[str] = ()) -> Wait:
        return condition_for_target(self.instance_id, self.target, operation, also=also)

    def _progress(self, instance: Mapping[str, Any]) -> Progress:
        return progress(self.target, instance, saves_image=self.save_image)

    def _run(self, context: Context) -> dict[str, Any]:
        return self._advance(context, self._get_instance(context))

    def _advance(self, context: Context, instance: Mapping[str, Any], *, is_patient: bool = True) -> dict[str, Any]:
        """Do what is to be done next, from the state that an instance is in, until the target is reached."""
        found = self._progress(instance)
        if found is Progress.DONE:
            self.log.info("DSW instance %s is %s already.", self.instance_id, self.target)
            return self._done(context, instance)
        if found is Progress.BLOCKED and is_patient:
            return self._wait_for_end_of(context, instance)
        if found is Progress.IN_PROGRESS:
            self._is_responsible, self._baseline = True, Baseline.of(instance)
            return self._complete(context, self._resumed(context, instance))
        if instance.get("Status") == "Deleting":
            raise self._failed(instance)
        baseline = self._baseline = Baseline.of(instance)
        try:
            _, changed = self._submit(self.action, self._request, partial(self._changed, baseline))
        except DswOperationFailedError:
            # It may have been the wrong moment only.
            now = fresher(instance, self._get_instance(context))
            is_another = now.get("Status") != instance.get("Status")
            if not is_patient or self._is_out_of_time or not (is_another or is_transitional(now)):
                raise
            return self._advance(context, now) if is_another else self._wait_for_end_of(context, now)
        if changed is not None:
            return self._advance(context, changed)
        return self._complete(context, self._condition(self._operation(baseline, reversible=self.target == "Running")))

    def _done(self, context: Context, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Return the details of an instance that has reached the target."""
        return redact(default_details(instance))

    def _resumed(self, context: Context, instance: Mapping[str, Any]) -> Wait:
        """Return the wait for what is in progress already."""
        return self._condition(self._operation(Baseline.of(instance)))

    def _changed(self, baseline: Baseline) -> dict[str, Any] | None:
        instance = self.hook.get_instance(self.instance_id)
        is_unchanged = baseline.is_stale(instance) or self._progress(instance) is Progress.NEEDS_REQUEST
        return None if is_unchanged else instance

    def _wait_for_end_of(self, context: Context, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Wait until the instance has left its present status, and look again."""
        limit = PATIENCE * self.poke_interval if may_stay(instance) else None
        self.log.info(
            "DSW instance %s is %s; waiting for the end of it before %s.",
            self.instance_id,
            instance.get("Status"),
            self.action,
        )
        ended = self._wait_for(context, condition_for_end_of({**instance, "InstanceId": self.instance_id}), limit=limit)
        return self._look_again(context, ended)

    def _look_again(self, context: Context, ended: Mapping[str, Any]) -> dict[str, Any]:
        """Go on after a wait, which has seen the instance so at its end, or was given up."""
        try:
            instance = self._get_instance(context)
        except DswTransientError as error:
            if not ended:
                raise
            self.log.warning("Going on from what was seen last. %s", error)
            instance = {}
        return self._advance(context, fresher(ended, instance) if instance else ended, is_patient=bool(ended))

    def _complete(self, context: Context, wait: Wait) -> dict[str, Any]:
        """Wait for what was asked for, or found in progress."""
        if not self.wait_for_completion:
            return self._details_now(context)
        return self._take(context, self._wait_for(context, wait))

    def _take(self, context: Context, found: dict[str, Any]) -> dict[str, Any]:
        if found.get("Status") == self.target:
            return self._done(context, found)
        self._is_responsible = False
        return self._look_again(context, found)

    def _details_now(self, context: Context) -> dict[str, Any]:
        try:
            return redact(default_details(self._get_instance(context)))
        except DswTransientError as error:
            self.log.warning("The details after the request are not known. %s", error)
            return {"InstanceId": self.instance_id}

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on as the trigger's event says: there may be more to do before the target is reached."""
        if event["outcome"] == "timeout" and not self._is_out_of_time:
            return self._look_again(context, {})
        return self._take(context, super().execute_complete(context, event))

    def _failed(self, instance: Mapping[str, Any]) -> DswOperationFailedError:
        return DswOperationFailedError(
            f"DSW instance {self.instance_id} is {instance.get('Status')} and can no longer reach {self.target}.",
            request_id=instance.get("RequestId"),
        )


def _idempotency_key(context: Context) -> str | None:
    """
    Return a name for the task instance that its retries share, and no other task instance has.

    ``max_tries`` grows when the task is cleared, the run's start tells it from a deleted run of the same id. None
    outside of Airflow.
    """
    ti = context.get("ti")
    if ti is None:
        return None
    started = getattr(context.get("dag_run"), "start_date", None)
    parts = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries, started and started.timestamp())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _seconds(name: str, value: float | timedelta) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0:
        raise ValueError(f"{name}: {value!r} is neither a number of seconds above 0 nor a timedelta.")
    return float(seconds)
