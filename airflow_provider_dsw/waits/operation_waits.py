"""
The waits of operators: for what was requested, and for what has to end before it can be.

Pure functions of the service's answers, as in :mod:`~airflow_provider_dsw.waits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_dsw.waits.conditions import StatusCondition, Wait
from airflow_provider_dsw.waits.operations import Baseline, Operation
from airflow_provider_dsw.waits.progress import REVERSALS
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES, STOPPED, default_failure_statuses


def condition_for_target(
    instance_id: str,
    target: str,
    operation: Operation,
    *,
    ends_at_reversal: bool = False,
) -> Wait:
    """
    Return the wait for a status that was requested.

    :param instance_id: the ``InstanceId``.
    :param target: ``RUNNING`` or ``STOPPED`` of :mod:`~airflow_provider_dsw.waits.statuses`.
    :param operation: what was requested.
    :param ends_at_reversal: whether the wait also ends, other than as failed, when somebody has undone the start.
    """
    return _wait_for_target(instance_id, target, operation, REVERSALS if ends_at_reversal else ())


def condition_for_stop_before_deletion(instance_id: str, baseline: Baseline) -> Wait:
    """
    Return the wait until an instance can be deleted, once its stop was requested.

    :param instance_id: the ``InstanceId``.
    :param baseline: the state before that request.
    """
    return _wait_for_target(instance_id, STOPPED, Operation(baseline, may_be_gone=True), ("Failed", "Deleting"))


def _wait_for_target(instance_id: str, target: str, operation: Operation, also: tuple[str, ...]) -> Wait:
    failures = default_failure_statuses((target,)) | ({"SaveFailed"} if operation.saves_image else set())
    condition = StatusCondition(
        instance_id, target_status=(target, *also), failure_statuses=tuple(sorted(failures.difference(also)))
    )
    return Wait(condition, operation)


def condition_for_end_of(instance: Mapping[str, Any], *, may_be_gone: bool = False) -> Wait:
    """
    Return the wait until an instance has left its present status, for whatever other one that is known.

    :param instance: GetInstance's answer.
    :param may_be_gone: as :class:`Operation`'s.
    """
    blocked_by = str(instance.get("Status"))
    others = tuple(status for status in INSTANCE_STATUSES if status != blocked_by)
    condition = StatusCondition(str(instance["InstanceId"]), target_status=others, failure_statuses=())
    return Wait(
        condition,
        Operation(
            Baseline.of(instance), blocked_by=blocked_by, may_be_gone=may_be_gone, goal=f"be no longer {blocked_by}"
        ),
    )


def condition_for_deletion(instance_id: str, baseline: Baseline) -> Wait:
    """
    Return the wait until the service no longer knows the instance.

    :param instance_id: the ``InstanceId``.
    :param baseline: the state before the request.
    """
    condition = StatusCondition(instance_id, target_status=("Deleting",), failure_statuses=("Failed",))
    return Wait(condition, Operation(baseline, may_be_gone=True, until_gone=True, goal="be gone"))
