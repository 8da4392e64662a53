"""A DAG for each case of the table."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from tests.system.live.cases import CASES, FROM_TRIGGER_CASES

for case in (*CASES, *FROM_TRIGGER_CASES):
    with DAG(case.name, schedule=None, params={"instance_id": case.instance_id}):
        DswInstanceSensor(task_id="wait", instance_id="{{ params.instance_id }}", **case.sensor)
