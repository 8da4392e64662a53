"""When a task that ends without success stops its instance, and when it leaves it alone."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_dsw.exceptions import (
    DswError,
    DswInstanceNotFoundError,
    DswRequestError,
    DswTransientError,
    DswWaitArgumentError,
)
from airflow_provider_dsw.mixins import DswWaitMixin
from airflow_provider_dsw.secrets import forget_locals, word_in
from airflow_provider_dsw.task_end import TaskTry, write_note
from airflow_provider_dsw.version_compat import CALLS_ON_KILL, TaskDeferred
from airflow_provider_dsw.waits.operations import SUBMIT_ATTEMPTS, Baseline, has_nothing_to_stop
from airflow_provider_dsw.waits.progress import has_failed, is_starting

if TYPE_CHECKING:
    from airflow.sdk import Context


class StopOnKillMixin(DswWaitMixin):
    """Stops the instance when the task ends without success; a mixin for operators, before their base."""

    instance_id: str
    deferrable: bool
    stop_on_kill = False

    def _reset(self) -> None:
        """Reset the state of a try: a task's object may be executed more than once."""
        self._task_try = TaskTry.of({})
        self._baseline: Baseline | None = None
        # Whether an operation is in progress that this task has requested, or has found in progress.
        self._is_responsible = False
        self._is_deferred = False
        self._was_killed = False
        self._may_submit = True
        self._cleared_note: dict[str, Any] = {}

    @property
    def _stops_on_kill(self) -> bool:
        return self.stop_on_kill and self._is_responsible

    @property
    def _cleans_up(self) -> bool:
        """Whether anything is to be done when the last try fails."""
        return self.stop_on_kill

    def _clean_up(self) -> None:
        self._stop_instance("the task failed on its last try")

    @property
    def _is_later_try(self) -> bool:
        return self._task_try.number > 1

    @property
    def _is_retry(self) -> bool:
        """Whether an earlier try, since the task was cleared last, has failed."""
        return self._task_try.is_retry(self.retries or 0)

    def _warn_if_kills_go_unnoticed(self) -> None:
        if self.stop_on_kill and self.deferrable and not CALLS_ON_KILL:
            warnings.warn(
                f"{self.task_id}: stop_on_kill=True does nothing while the task is deferred: only Airflow 3.3 and "
                "later tell a trigger that a person ended its task. Use stop_after, which makes the service itself "
                "stop the instance, or deferrable=False.",
                UserWarning,
                stacklevel=3,
            )

    @contextmanager
    def _cleaning_up_on_failure(self, context: Context) -> Iterator[None]:
        """Stop the instance, if ``stop_on_kill`` says so, when a try fails that Airflow does not repeat."""
        self._task_try = TaskTry.of(context)
        try:
            yield
        except TaskDeferred:
            self._is_deferred = True
            raise
        except BaseException as error:
            if self._cleans_up and (self._is_later_try or not isinstance(error, DswWaitArgumentError)):
                if self._task_try.is_last(error, self, context):
                    self._clean_up_if_possible()
                elif self._is_responsible:
                    self.log.info("DSW instance %s is left alone: a retry of the task will resume.", self.instance_id)
            self._end_try()
            forget_locals(error)
            raise
        self._end_try()

    def _clean_up_if_possible(self) -> None:
        try:
            self._clean_up()
        except ValueError as error:
            # An argument that was rendered to what can't work, which is why the task has failed.
            self.log.error("Could not look for what an earlier try may have left behind. %s", error)

    def _end_try(self) -> None:
        # After an execution_timeout Airflow calls on_kill, and with another signal it may too.
        self._is_responsible = False
        if self._cleared_note:
            write_note(self._task_try)

    def _note_cleared_try(self) -> None:
        """Let a triggerer that is late stop the instance for the try that a person has ended: this one will see it."""
        if self.stop_on_kill and self.deferrable and self._task_try.is_cleared(self.retries or 0):
            self._cleared_note = {"is_cleared": True, "began": time.time()}
            write_note(self._task_try, **self._cleared_note)

    def _after_submit(self) -> None:
        """Take over what goes on from now on: it is not an earlier try's to stop."""
        if self._cleared_note:
            self._cleared_note = {}
            write_note(self._task_try)
        if self._was_killed:
            self._is_responsible = True
            self._stop_instance("the task was ended while it sent the request")

    def on_kill(self) -> None:
        """Stop the instance if ``stop_on_kill`` says so and Airflow does not repeat the task by itself."""
        # Airflow lets the task go on for up to five seconds.
        self._may_submit = False
        if not self._is_responsible:
            return
        if not self.stop_on_kill:
            self.log.info("DSW instance %s is left alone.", self.instance_id)
            return
        is_last = not self._is_deferred and not self._task_try.may_be_repeated
        if is_last or self._task_try.was_ended_by_person():
            self._was_killed = True
            self._stop_instance("the task was ended")
        else:
            self.log.info("DSW instance %s is left alone: Airflow will retry the task.", self.instance_id)

    def _stop_instance(self, why: str, attempts: int = SUBMIT_ATTEMPTS) -> bool:
        """
        Stop the instance, if this task has asked for what goes on in it, and it does not stop already.

        :param why: in words, for the log.
        :param attempts: how often to send the request, if its answer is lost and the instance does not stop.
        :return: whether it stops now, or is stopped or gone.
        """
        if not self._is_responsible and not self._is_later_try:
            return False
        try:
            instance = self.hook.get_instance(self.instance_id)
        except DswInstanceNotFoundError:
            if self._baseline is None or not self._baseline.is_absence:
                return True
            instance = {}
        except DswError as error:
            self.log.warning("Could not get DSW instance %s before stopping it. %s", self.instance_id, error)
            instance = {}
        if not self._is_responsible and not is_starting(instance):
            # Nobody can say any more whether an earlier try has asked for what there is.
            return False
        self._is_responsible = False
        if has_nothing_to_stop(instance, self._baseline):
            self.log.info(
                "DSW instance %s is already %s and needs no stop (%s).",
                self.instance_id,
                word_in(instance, "Status"),
                why,
            )
            return True
        try:
            answer = self.hook.stop_instance(self.instance_id)
        except DswError as error:
            if attempts > 1 and isinstance(error, DswTransientError) and error.may_have_been_performed:
                self.log.warning("Checking again whether DSW instance %s is stopping. %s", self.instance_id, error)
                self._is_responsible = True
                return self._stop_instance(why, attempts - 1)
            if has_failed(instance) and isinstance(error, DswRequestError):
                # Whether a failed instance still holds anything is documented nowhere: so it was asked for.
                self.log.info(
                    "DSW instance %s is Failed and the service refuses to stop it. %s", self.instance_id, error
                )
                return True
            self.log.error("DSW instance %s could not be stopped (%s). %s", self.instance_id, why, error)
            return False
        self._log_request("StopInstance", answer)
        self.log.info("DSW instance %s is being stopped: %s.", self.instance_id, why)
        return True

    def _log_request(self, action: str, answer: Mapping[str, Any], instance_id: str | None = None) -> None:
        instance_id = instance_id or self.instance_id
        self.log.info(
            "%s of DSW instance %s was accepted. RequestId: %s", action, instance_id, word_in(answer, "RequestId")
        )
