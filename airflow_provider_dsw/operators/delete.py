"""The operator that deletes an instance."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_dsw.exceptions import DswInstanceNotFoundError, DswOperationFailedError
from airflow_provider_dsw.operators.status import DswStatusOperator, NextStep
from airflow_provider_dsw.waits.conditions import Wait
from airflow_provider_dsw.waits.progress import (
    Baseline,
    Operation,
    condition_for_deletion,
    condition_for_target,
    is_transitional,
    newer_answer,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

# These statuses end on their own, and must not be interrupted.
_BLOCKED = ("Saving", "Updating")
# In these nothing is left to stop: a refusal is the last word.
_STOPPED = ("Stopped", "Failed")


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

    def _step(self, context: Context, instance: Mapping[str, Any], may_wait: bool) -> dict[str, Any] | NextStep:
        if not instance:
            self.log.info("DSW instance %s does not exist (any more).", self.instance_id)
            return {"InstanceId": self.instance_id}
        baseline = Baseline.of(instance)
        if instance.get("Status") == "Deleting":
            return self._await_completion(context, condition_for_deletion(self.instance_id, baseline))
        if instance.get("Status") in _BLOCKED:
            return self._wait_for_end_of(context, instance)
        try:
            self._submit(self.action, self._request, self._find_deletion)
        except DswOperationFailedError as refusal:
            return self._after_refusal(context, instance, refusal)
        return self._await_completion(context, condition_for_deletion(self.instance_id, baseline))

    def _find_deletion(self) -> Mapping[str, Any] | None:
        """Return the instance if it goes away, or nothing of it if it is gone; None if the service shows neither."""
        instance = self._fetch_instance()
        return instance if not instance or instance.get("Status") == "Deleting" else None

    def _after_refusal(
        self, context: Context, instance: Mapping[str, Any], refusal: DswOperationFailedError
    ) -> dict[str, Any] | NextStep:
        """Do what the refusal is about: the instance may have to be stopped before, or it was the wrong moment."""
        self._pace_lookups()
        now = newer_answer(instance, self._get_instance(context))
        status = now.get("Status")
        if not now or status in (*_BLOCKED, "Deleting"):
            return NextStep(now)
        if self._has_timed_out or status in _STOPPED:
            if status == instance.get("Status") or self._has_timed_out:
                raise refusal
            return NextStep(now)
        if status == "Stopping":
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
        wait = condition_for_target(
            self.instance_id, "Stopped", Operation(baseline, may_be_gone=True), also=("Failed", "Deleting")
        )
        return self._after_wait(context, self._wait_for(context, wait))

    def _find_stop(self, baseline: Baseline) -> Mapping[str, Any] | None:
        instance = self._fetch_instance()
        is_on = baseline.is_stale(instance) or instance.get("Status") not in (*_STOPPED, "Stopping", "Deleting")
        return None if instance and is_on else instance

    def _after_wait(self, context: Context, found: dict[str, Any]) -> dict[str, Any] | NextStep:
        return self._continue_after_wait(context, found) if found.get("Status") else found
