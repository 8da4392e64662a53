"""Each way to wait, without Airflow's processes: the same sensor, run as a worker, a scheduler or a triggerer does."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import timezone

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from airflow_provider_dsw.version_compat import STARTS_FROM_TRIGGER, AirflowRescheduleException
from tests.support import task_runs

ID = "dsw-abc"
USUAL: dict[str, Any] = {"task_id": "wait", "instance_id": ID, "poke_interval": 0.05}


def poke(**arguments: Any) -> Any:
    return DswInstanceSensor(**{**USUAL, **arguments}).execute({})


def reschedule(store: Any = None, **arguments: Any) -> Any:
    """
    Run one try after the other, each with a sensor of its own, as a worker does.

    :param store: what the tries remember, as Airflow 3.3 has it; False for an Airflow that remembers nothing.
    """
    began, number, stored = timezone.utcnow(), 0, dict[str, Any]()
    if store is None:
        store = SimpleNamespace(
            get=stored.get, set=lambda key, value: stored.update({key: json.loads(json.dumps(value))})
        )
    while True:
        first = began if number else None
        task_instance = SimpleNamespace(get_first_reschedule_date=lambda _, first=first: first)
        context: Any = {"ti": task_instance, "task_reschedule_count": number}
        if store:
            context["task_state_store"] = store
        with warnings.catch_warnings():
            # That Airflow can't keep so short an interval.
            warnings.simplefilter("ignore", UserWarning)
            sensor = DswInstanceSensor(**{**USUAL, "mode": "reschedule", **arguments})
        try:
            return sensor.execute(context)
        except AirflowRescheduleException as again:
            time.sleep(max((again.reschedule_date - timezone.utcnow()).total_seconds(), 0))
            number += 1


def defer(**arguments: Any) -> Any:
    return task_runs.run(DswInstanceSensor(**{**USUAL, "deferrable": True, **arguments}), {})


def from_trigger(**arguments: Any) -> Any:
    """Without a worker before the end, as Airflow 3.3's scheduler and triggerer do it."""
    if not STARTS_FROM_TRIGGER:
        pytest.skip("Airflow 3.3 starts tasks in the triggerer")
    sensor = DswInstanceSensor(**{**USUAL, "start_from_trigger": True, **arguments})
    trigger = in_triggerer(sensor)
    event = asyncio.run(task_runs.first_event(trigger))
    return sensor.resume_execution("execute_complete", {"event": event}, {})


def in_triggerer(sensor: DswInstanceSensor, ago: float = 0.0, ti: Any = None) -> DswInstanceTrigger:
    """
    Return the trigger of a wait that began in the triggerer, as a triggerer makes it.

    :param ago: the seconds since then.
    :param ti: the task instance.
    """
    start = sensor.start_trigger_args
    assert start is not None, "Only a worker can render that: see _renders_in_triggerer in sensors/dsw.py"
    assert start.timeout is not None
    trigger: Any = DswInstanceTrigger(**json.loads(json.dumps(start.trigger_kwargs)))
    limit = min(start.timeout, sensor.execution_timeout or start.timeout)
    trigger.task_instance = ti
    trigger.timeout_after = timezone.utcnow() - timedelta(seconds=ago) + limit
    return trigger


ALL = (poke, reschedule, defer, from_trigger)
