"""What the operators that bring an instance to a status have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_dsw.exceptions import DswOperationFailedError, DswTransientError
from airflow_provider_dsw.operators.base import DswBaseOperator, NextStep
from airflow_provider_dsw.polling import raise_for_outcome
from airflow_provider_dsw.waits.answers import PollResult, newer_answer, status_in
from airflow_provider_dsw.waits.conditions import Wait
from airflow_provider_dsw.waits.operation_waits import condition_for_target
from airflow_provider_dsw.waits.operations import Baseline, Operation
from airflow_provider_dsw.waits.progress import Progress, is_being_deleted, is_reversible, is_transitional, progress

if TYPE_CHECKING:
    from airflow.sdk import Context


class DswStatusOperator(DswBaseOperator):
    """Base of the operators that bring an instance to a status."""

    target: str
    save_image = False

    def _request(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def _build_wait(self) -> Wait:
        return self._target_wait(self._operation(Baseline()))

    def _operation(self, baseline: Baseline, *, reversible: bool = False) -> Operation:
        return Operation(baseline, reversible=reversible, saves_image=self.save_image, may_be_gone=self.may_be_gone)

    def _target_wait(self, operation: Operation, *, ends_at_reversal: bool = False) -> Wait:
        return condition_for_target(self.instance_id, self.target, operation, ends_at_reversal=ends_at_reversal)

    def _progress(self, instance: Mapping[str, Any]) -> Progress:
        return progress(self.target, instance, saves_image=self.save_image)

    def _is_blocked(self, instance: Mapping[str, Any]) -> bool:
        return self._progress(instance) is Progress.BLOCKED

    def _step(self, context: Context, instance: Mapping[str, Any], may_wait: bool) -> dict[str, Any] | NextStep:
        found = self._progress(instance)
        if found is Progress.DONE:
            self.log.info("DSW instance %s is already %s.", self.instance_id, self.target)
            return self._finish(context, instance)
        if found is Progress.IN_PROGRESS:
            self._is_responsible, self._baseline = True, Baseline.of(instance)
            self._after_request(context, instance)
            return self._await_completion(context, self._resumed_wait(context, instance))
        if is_being_deleted(instance):
            wait = self._build_wait()
            raise_for_outcome(wait, wait.condition.evaluate(PollResult(instance)))
        baseline = self._baseline = Baseline.of(instance)
        try:
            _, changed = self._submit(self.action, self._request, partial(self._find_change, baseline))
        except DswOperationFailedError:
            # It may have been the wrong moment only.
            self._pace_lookups()
            now = newer_answer(instance, self._get_instance(context))
            is_another = now.get("Status") != instance.get("Status")
            if not may_wait or self._has_timed_out or not (is_another or is_transitional(now)):
                raise
            return NextStep(now) if is_another else self._wait_for_end_of(context, now)
        if changed is not None and not self._shows_own_request(changed, baseline):
            return NextStep(changed)
        self._after_request(context, instance)
        return self._await_completion(
            context, self._target_wait(self._operation(baseline, reversible=is_reversible(self.target)))
        )

    def _shows_own_request(self, instance: Mapping[str, Any], baseline: Baseline) -> bool:
        """Return whether a request is in progress whose answer this try has lost: its baseline is from before it."""
        is_in_progress = self._progress(instance) is Progress.IN_PROGRESS
        return self._submitted_at is not None and (
            is_in_progress or self._operation(baseline).own_snapshot(instance) is not None
        )

    def _after_request(self, context: Context, instance: Mapping[str, Any]) -> None:
        """
        Prepare the wait for an operation that was requested, or was found in progress.

        :param context: the task's.
        :param instance: GetInstance's answer, from before the request.
        """

    def _resumed_wait(self, context: Context, instance: Mapping[str, Any]) -> Wait:
        """Return the wait for what is in progress already."""
        return self._target_wait(self._operation(Baseline.of(instance)))

    def _find_change(self, baseline: Baseline) -> dict[str, Any] | None:
        instance = self.hook.get_instance(self.instance_id)
        if status_in(instance) is None:
            raise DswTransientError("The service's answer has no status.")
        if self._operation(baseline).own_snapshot(instance) is not None:
            return instance
        is_unchanged = baseline.is_stale(instance) or self._progress(instance) is Progress.NEEDS_REQUEST
        return None if is_unchanged else instance

    def _after_wait(self, context: Context, found: dict[str, Any]) -> dict[str, Any] | NextStep:
        if found.get("Status") == self.target:
            return self._finish(context, found)
        self._is_responsible, self._submitted_at = False, None
        return self._continue_after_wait(context, found)
