"""A DAG whose runs are waves of waits: what each task waits for is on an instance of its own."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset

from airflow_provider_dsw.operators.dsw import DswStartInstanceOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from tests.system.production.wave import TASKS

WAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sensor": (DswInstanceSensor, {"deferrable": True}),
    "from-trigger": (DswInstanceSensor, {"start_from_trigger": True}),
    "start": (DswStartInstanceOperator, {"deferrable": True}),
    "start-stops": (DswStartInstanceOperator, {"deferrable": True, "stop_on_kill": True}),
}
RESULTS = Asset("results")  # one event for each success of a task

with DAG("wave", schedule=None, params={"wave": "0"}, max_active_runs=100):
    for task_id, way in TASKS.items():
        operator, arguments = WAYS[way]
        operator(
            task_id=task_id,
            instance_id=f"dsw-{{{{ params.wave }}}}-{task_id}",
            poke_interval=float(os.environ["PRODUCTION_INTERVAL"]),
            timeout=3600,
            retries=2,
            retry_delay=timedelta(seconds=5),
            outlets=[RESULTS],
            **arguments,
        )
