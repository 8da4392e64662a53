"""The operator that deletes an instance."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_dsw.exceptions import DswInstanceNotFoundError, DswOperationFailedError
from airflow_provider_dsw.operators.base import NextStep
from airflow_provider_dsw.operators.status import DswStatusOperator
from airflow_provider_dsw.waits.answers import newer_answer
from airflow_provider_dsw.waits.conditions import Wait
from airflow_provider_dsw.waits.operation_waits import condition_for_deletion, condition_for_stop_before_deletion
from airflow_provider_dsw.waits.operations import Baseline
from airflow_provider_dsw.waits.progress import (
    blocks_deletion,
    is_being_deleted,
    is_deletable,
    is_stopping,
    is_transitional,
    needs_stop_before_deletion,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class DswDeleteInstanceOperator(DswStatusOperator):
    """
    Delete a PAI-DSW instance, with its disk, and wait until the service knows it no more.

    Returns a dict with ``InstanceId``, and what else is known of the instance. One that is gone already is a success.
    The end of a save or an update is waited for before. If the service deletes only what is stopped, the instance is
    stopped first.

    The further parameters are those of :class:`~airflow_provider_dsw.operators.base.DswBaseOperator`.

    :raises ValueError: where the DAG is parsed, on an empty or malformed id.
    """

    action = "DeleteInstance"
    may_be_gone = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._check_literals()

    def _build_wait(self) -> Wait:
        return condition_for_deletion(self.instance_id, Baseline())

    def _request(self) -> Mapping[str, Any]:
        try:
            return self.hook.delete_instance(self.instance_id)
        except DswInstanceNotFoundError as error:
            # Somebody else was quicker.
            return {"InstanceId": self.instance_id, "RequestId": error.request_id}

    def _is_blocked(self, instance: Mapping[str, Any]) -> bool:
        return blocks_deletion(instance)

    def _step(self, context: Context, instance: Mapping[str, Any], may_wait: bool) -> dict[str, Any] | NextStep:
        if not instance:
            self.log.info("DSW instance %s does not exist (any more).", self.instance_id)
            return {"InstanceId": self.instance_id}
        baseline = Baseline.of(instance)
        if is_being_deleted(instance):
            return self._await_completion(context, condition_for_deletion(self.instance_id, baseline))
        try:
            self._submit(self.action, self._request, self._find_deletion)
        except DswOperationFailedError as refusal:
            return self._after_refusal(context, instance, refusal)
        return self._await_completion(context, condition_for_deletion(self.instance_id, baseline))

    def _find_deletion(self) -> Mapping[str, Any] | None:
        """Return the instance if it goes away, or nothing of it if it is gone; None if the service shows neither."""
        instance = self._fetch_instance()
        return instance if not instance or is_being_deleted(instance) else None

    def _after_refusal(
        self, context: Context, instance: Mapping[str, Any], refusal: DswOperationFailedError
    ) -> dict[str, Any] | NextStep:
        """Do what the refusal is about: the instance may have to be stopped before, or it was the wrong moment."""
        self._pace_lookups()
        now = newer_answer(instance, self._get_instance(context))
        if not now or blocks_deletion(now) or is_being_deleted(now):
            return NextStep(now)
        if self._has_timed_out or is_deletable(now):
            if now.get("Status") == instance.get("Status") or self._has_timed_out:
                raise refusal
            return NextStep(now)
        if is_stopping(now):
            return self._wait_for_end_of(context, now)
        self.log.info("Stopping DSW instance %s before deleting it. %s", self.instance_id, refusal)
        return self._stop_first(context, now)

    def _stop_first(self, context: Context, instance: Mapping[str, Any]) -> dict[str, Any] | NextStep:
        baseline = Baseline.of(instance)
        try:
            self._submit(
                "StopInstance", lambda: self.hook.stop_instance(self.instance_id), partial(self._find_stop, baseline)
            )
        except DswOperationFailedError:
            if is_transitional(instance):
                return self._wait_for_end_of(context, instance)
            raise
        wait = condition_for_stop_before_deletion(self.instance_id, baseline)
        return self._after_wait(context, self._wait_for(context, wait))

    def _find_stop(self, baseline: Baseline) -> Mapping[str, Any] | None:
        instance = self._fetch_instance()
        is_on = baseline.is_stale(instance) or needs_stop_before_deletion(instance)
        return None if instance and is_on else instance

    def _after_wait(self, context: Context, found: dict[str, Any]) -> dict[str, Any] | NextStep:
        return self._continue_after_wait(context, found) if found.get("Status") else found
