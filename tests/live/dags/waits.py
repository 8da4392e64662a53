"""A DAG for each case of the table, and one that maps its wait."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from tests.live.cases import CASES, POKE

for case in CASES:
    with DAG(case.name, schedule=None):
        DswInstanceSensor(task_id="wait", instance_id="{{ dag_run.conf['instance_id'] }}", **case.sensor)

with DAG("mapped", schedule=None):
    DswInstanceSensor.partial(task_id="wait", **POKE).expand(
        instance_id=["dsw-mapped-0", "dsw-mapped-1", "{{ dag_run.conf['third'] }}"]
    )
