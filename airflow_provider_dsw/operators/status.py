"""What the operators that bring an instance to a status have in common."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_dsw.details import default_details, redact
from airflow_provider_dsw.exceptions import (
    DswError,
    DswInstanceNotFoundError,
    DswOperationFailedError,
    DswTransientError,
)
from airflow_provider_dsw.operators.base import DswBaseOperator
from airflow_provider_dsw.polling import as_wait_error, raise_for_outcome
from airflow_provider_dsw.secrets import word_in
from airflow_provider_dsw.waits.answers import PollResult, newer_answer, status_in
from airflow_provider_dsw.waits.conditions import Wait
from airflow_provider_dsw.waits.operation_waits import condition_for_end_of, condition_for_target
from airflow_provider_dsw.waits.operations import Baseline, Operation
from airflow_provider_dsw.waits.progress import (
    Progress,
    is_being_deleted,
    is_reversible,
    is_transitional,
    may_be_final,
    progress,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

MAX_BLOCKED_POLLS = 10
"""For how many poll intervals to wait for the end of a status that may stay, before the request is made in it."""


class NextStep(NamedTuple):
    """The next step: the instance's state, and whether to wait for the end of a status that may be final."""

    instance: Mapping[str, Any]
    may_wait: bool = True


class DswStatusOperator(DswBaseOperator):
    """Base of the operators that bring an instance to a status."""

    target: str
    action: str
    save_image = False
    # Whether an instance that is gone is a state to continue from.
    may_be_gone = False

    def _reset(self) -> None:
        super()._reset()
        self._next_lookup_at = 0.0

    def _request(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def _get_instance(self, context: Context) -> dict[str, Any]:
        """As the base's; empty for an instance that is gone, if that is a state to continue from."""
        try:
            instance = self._fetch_instance()
        except DswError as error:
            raise as_wait_error(self._build_wait(), error) from None
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

    def _build_wait(self) -> Wait:
        return self._target_wait(self._operation(Baseline()))

    def _operation(self, baseline: Baseline, *, reversible: bool = False) -> Operation:
        return Operation(baseline, reversible=reversible, saves_image=self.save_image, may_be_gone=self.may_be_gone)

    def _target_wait(self, operation: Operation, *, ends_at_reversal: bool = False) -> Wait:
        return condition_for_target(self.instance_id, self.target, operation, ends_at_reversal=ends_at_reversal)

    def _progress(self, instance: Mapping[str, Any]) -> Progress:
        return progress(self.target, instance, saves_image=self.save_image)

    def _run(self, context: Context) -> dict[str, Any]:
        return self._advance(context, self._get_instance(context))

    def _advance(self, context: Context, instance: Mapping[str, Any], may_wait: bool = True) -> dict[str, Any]:
        """Take one step after the other, from the instance's state, until the target is reached."""
        step: dict[str, Any] | NextStep = NextStep(instance, may_wait)
        while isinstance(step, NextStep):
            if step.instance and status_in(step.instance) is None:
                # An answer without a status is no reason for a request.
                self._pace_lookups()
                step = NextStep(self._get_instance(context), step.may_wait)
            else:
                step = self._step(context, *step)
        return step

    def _step(self, context: Context, instance: Mapping[str, Any], may_wait: bool) -> dict[str, Any] | NextStep:
        found = self._progress(instance)
        if found is Progress.DONE:
            self.log.info("DSW instance %s is already %s.", self.instance_id, self.target)
            return self._finish(context, instance)
        if found is Progress.BLOCKED and may_wait:
            return self._wait_for_end_of(context, instance)
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

    def _finish(self, context: Context, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Return the details of an instance that has reached the target."""
        return redact(default_details(instance))

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

    def _await_completion(self, context: Context, wait: Wait) -> dict[str, Any] | NextStep:
        """Wait for the operation that was requested, or found in progress."""
        if not self.wait_for_completion:
            return self._details_now(context)
        return self._after_wait(context, self._wait_for(context, wait))

    def _after_wait(self, context: Context, found: dict[str, Any]) -> dict[str, Any] | NextStep:
        if found.get("Status") == self.target:
            return self._finish(context, found)
        self._is_responsible, self._submitted_at = False, None
        return self._continue_after_wait(context, found)

    def _details_now(self, context: Context) -> dict[str, Any]:
        try:
            return {"InstanceId": self.instance_id, **redact(default_details(self._get_instance(context)))}
        except DswTransientError as error:
            self.log.warning("Could not get the instance's details after the request. %s", error)
            return {"InstanceId": self.instance_id}

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Continue as the trigger's event says: there may be more to do before the target is reached."""
        step = self._after_wait(context, super().execute_complete(context, event))
        return self._advance(context, *step) if isinstance(step, NextStep) else step

    def continue_after_limit(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """As :meth:`execute_complete`, after a wait with a limit of its own, whose end is no failure."""
        if event["outcome"] != "timeout":
            return self.execute_complete(context, event)
        return self._advance(context, *self._continue_after_wait(context, {}))
