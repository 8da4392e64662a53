"""Tries of a task without Airflow's database: its context, and ways to run it that end as Airflow's do."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from airflow_provider_dsw.version_compat import TaskDeferred

STARTED = datetime(2026, 1, 31, 8, tzinfo=UTC)


def context(try_number: int = 1, max_tries: int = 2, **of_task: Any) -> Any:
    """What Airflow hands to a task: a retry has the next `try_number`, a cleared task a greater `max_tries` too."""
    names = {"dag_id": "pipeline", "run_id": "manual", "task_id": "t", "map_index": -1, **of_task}
    ti = SimpleNamespace(**names, try_number=try_number, max_tries=max_tries, start_date=datetime.now(UTC))
    return {"ti": ti, "dag_run": SimpleNamespace(start_date=STARTED), "outlet_events": OutletEventAccessors()}


async def first_event(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload
    return None


def carried_over(trigger: DswInstanceTrigger) -> DswInstanceTrigger:
    """The trigger, on the other side of Airflow's database."""
    path, kwargs = trigger.serialize()
    assert path == "airflow_provider_dsw.triggers.dsw.DswInstanceTrigger"
    # As the worker sends it to its supervisor: plain types only.
    return DswInstanceTrigger(**msgspec.msgpack.decode(msgspec.msgpack.encode(kwargs)))


def run(
    operator: Any, of_task: Any = None, *, resumed_in: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Any:
    """
    Execute, and where the task defers itself, run its trigger and resume, as often as it does.

    :param resumed_in: what holds only for the workers that resume it.
    """
    of_task = context() if of_task is None else of_task
    resumed = copy.deepcopy(operator)  # by another process, which knows nothing of the first
    try:
        return operator.execute(of_task)
    except TaskDeferred as deferred:
        waits: Any = deferred
    while True:
        event = asyncio.run(first_event(carried_over(waits.trigger)))
        try:
            with resumed_in():
                return resumed.resume_execution(waits.method_name, {"event": event}, of_task)
        except TaskDeferred as deferred:
            waits = deferred
