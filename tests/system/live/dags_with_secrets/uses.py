"""One task for each way in which a secret is used, and each way in which its use goes wrong."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswDeleteInstanceOperator,
    DswGetInstanceOperator,
    DswStartInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from tests.system.live.secret_uses import DENIED, SECRET_FIELDS, WAYS

# The retries are for Airflow's own trouble on a machine that is busy: what fails here as it should has none.
AGAIN = {"retries": 2, "retry_delay": timedelta(seconds=1)}

with DAG("uses_secrets", schedule=None, max_active_tasks=4, default_args=AGAIN):
    for way, arguments in WAYS.items():
        for name in ("stored", "environed"):
            DswInstanceSensor(
                task_id=f"success_{way}_{name}", instance_id=f"dsw-good-{way}-{name}", dsw_conn_id=name, **arguments
            )
        DswInstanceSensor(task_id=f"failed_{way}", instance_id=f"dsw-bad-{way}", dsw_conn_id="environed", **arguments)
        for name in DENIED:
            DswInstanceSensor(
                task_id=f"failed_{way}_{name}", instance_id="dsw-good", dsw_conn_id=name, timeout=60, **arguments
            )
        DswInstanceSensor(
            task_id=f"failed_{way}_echo", instance_id=f"dsw-echo-{way}", dsw_conn_id="environed", **arguments
        )

    for number, fields in enumerate((None, SECRET_FIELDS, {"all": "@"})):
        DswGetInstanceOperator(
            task_id=f"success_details_{number}", instance_id="dsw-good", fields=fields, dsw_conn_id="stored"
        )

    DswStartInstanceOperator(
        task_id="success_start", instance_id="dsw-stopped", dsw_conn_id="stored", poke_interval=5, deferrable=True
    )

    create = DswCreateInstanceOperator(
        task_id="success_create",
        body={
            "InstanceName": "new",
            "EcsSpec": "ecs.g6.xlarge",
            "ImageUrl": "registry/base:1",
            "EnvironmentVariables": {"VALUE": "{{ var.value.of_new_instance }}"},
        },
        dsw_conn_id="stored",
        poke_interval=5,
        deferrable=True,
    )
    created: Any = create.output
    DswDeleteInstanceOperator(
        task_id="success_delete", instance_id=created["InstanceId"], dsw_conn_id="stored", poke_interval=2
    )

    @task
    def success_code() -> int:
        hook = DswHook("stored")
        hook.get_instance("dsw-good", token=os.environ["SHARING_TOKEN"])
        print(hook, hook.connection, hook.get_conn())
        return len(list(hook.list_instances()))

    @task
    def failed_code() -> None:
        DswHook("environed").get_instance("dsw-nowhere", token=os.environ["SHARING_TOKEN"])

    success_code()
    failed_code()
