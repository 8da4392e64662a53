"""The stop of an instance whose task a person has ended while it was deferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_dsw.exceptions import DswError, DswInstanceNotFoundError, DswTransientError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.hooks.shared import shared_hook
from airflow_provider_dsw.secrets import word_in
from airflow_provider_dsw.task_end import amay_stop_instance
from airflow_provider_dsw.waits.operations import SUBMIT_ATTEMPTS, has_nothing_to_stop

if TYPE_CHECKING:
    from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger


async def stop_if_ended_by_person(trigger: DswInstanceTrigger) -> None:
    """
    Stop a killed trigger's instance, unless its task continues in another triggerer.

    :param trigger: the trigger, with ``stop_on_kill``.
    """
    if not await amay_stop_instance(trigger.task_instance, trigger.wait_id, trigger.log):
        await trigger.log.ainfo("DSW instance %s is left alone: the task continues elsewhere.", trigger.instance_id)
        return
    try:
        async with shared_hook(trigger.dsw_conn_id, trigger.region) as hook:
            await _stop(trigger, hook, SUBMIT_ATTEMPTS)
    except DswError as error:
        await trigger.log.aerror("DSW instance %s could not be stopped. %s", trigger.instance_id, error)


async def _stop(trigger: DswInstanceTrigger, hook: DswHook, attempts: int) -> None:
    instance_id, log = trigger.instance_id, trigger.log
    if await _has_nothing_to_stop(trigger, hook):
        await log.ainfo("DSW instance %s is already stopping.", instance_id)
        return
    try:
        answer = await hook.astop_instance(instance_id)
    except DswTransientError as error:
        if attempts <= 1 or not error.may_have_been_performed:
            raise
        await log.awarning("Checking again whether DSW instance %s is stopping. %s", instance_id, error)
        await _stop(trigger, hook, attempts - 1)
    else:
        accepted = "StopInstance of DSW instance %s was accepted: the task was ended. RequestId: %s"
        await log.ainfo(accepted, instance_id, word_in(answer, "RequestId"))


async def _has_nothing_to_stop(trigger: DswInstanceTrigger, hook: DswHook) -> bool:
    operation = trigger.wait().operation
    try:
        instance = await hook.aget_instance(trigger.instance_id)
    except DswInstanceNotFoundError:
        return operation is None or not operation.baseline.is_absence
    except DswError:
        return False
    return has_nothing_to_stop(instance, operation.baseline if operation else None)
