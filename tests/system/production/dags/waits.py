"""A DAG for each kind of wait, on the instance that a run is given as its parameter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_dsw.operators.dsw import DswStartInstanceOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

INSTANCE = "{{ params.instance_id }}"
PARAMS = {"instance_id": "dsw-none"}
# As short as Airflow itself can stand it.
WAY: dict[str, Any] = {
    "instance_id": INSTANCE,
    "poke_interval": 5,
    "timeout": 1800,
    "retries": 2,
    "retry_delay": timedelta(seconds=2),
}

with DAG("sensor", schedule=None, params=PARAMS):
    DswInstanceSensor(task_id="wait", deferrable=True, **WAY)

with DAG("sensor-from-trigger", schedule=None, params=PARAMS):
    DswInstanceSensor(task_id="wait", start_from_trigger=True, **WAY)

with DAG("sensor-from-trigger-backoff", schedule=None, params=PARAMS):
    DswInstanceSensor(task_id="wait", start_from_trigger=True, exponential_backoff=True, max_wait=20, **WAY)

for name, stop_on_kill in (("start", False), ("start-stops", True)):
    with DAG(name, schedule=None, params=PARAMS):
        DswStartInstanceOperator(task_id="start", deferrable=True, stop_on_kill=stop_on_kill, **WAY)
