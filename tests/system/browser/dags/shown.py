"""A DAG with the connection that the form saves, and one whose task's page is looked at while it waits."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_dsw.operators.dsw import DswGetInstanceOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

with DAG("by_the_form", schedule=None):
    DswGetInstanceOperator(
        task_id="details", instance_id="dsw-form", fields=["InstanceId"], dsw_conn_id="from_the_form"
    )

with DAG("linked", schedule=None):
    DswInstanceSensor(task_id="wait", instance_id="dsw-linked", poke_interval=5, deferrable=True)
