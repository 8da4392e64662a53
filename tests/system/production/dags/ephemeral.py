"""The DAG whose runs are pipelines: each on an instance of its own, which it creates and deletes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

# More than a test needs: Airflow itself fails some on a busy machine.
RETRIES: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(seconds=2)}
CONNECTION = "dsw_patient"
IN_WORKER: dict[str, Any] = {"dsw_conn_id": CONNECTION, "poke_interval": 1, "timeout": 1800, **RETRIES}
# As often as Airflow itself can stand it.
DEFERRED: dict[str, Any] = {**IN_WORKER, "poke_interval": 5, "deferrable": True}


@task(**RETRIES)
def work(instance_id: str) -> None:
    """Leave something on the instance."""
    labels = [{"Key": "worked", "Value": "yes"}]
    path = f"/api/v2/instances/{instance_id}/labels"
    DswHook(CONNECTION).call("UpdateInstanceLabels", method="PUT", path=path, body={"Labels": labels})


with DAG("ephemeral", schedule=None, params={"name": "none"}, max_active_runs=100):
    create = DswCreateInstanceOperator(
        task_id="create",
        body={
            "InstanceName": "{{ params.name }}",
            "EcsSpec": "ecs.g6.xlarge",
            "ImageUrl": "registry/base:1",
            "UserVpc": {"ForwardInfos": [{"Name": "ssh", "Enable": True, "ForwardPort": "22"}]},
        },
        stop_after=timedelta(hours=8),
        **{**DEFERRED, "retries": 5},
    )
    created: Any = create.output
    instance_id = created["InstanceId"]
    ready = DswInstanceSensor(
        task_id="wait_for_ssh",
        instance_id=instance_id,
        until="UserVpc.ForwardInfos[?Name=='ssh'] | [0].ConnectInfo.Phase == 'Ready'",
        **IN_WORKER,
    )
    snapshot = DswCreateSnapshotOperator(
        task_id="snapshot", instance_id=instance_id, image_url="registry/trained:{{ ti.id }}", **IN_WORKER
    )
    delete = DswDeleteInstanceOperator(task_id="delete", instance_id=instance_id, **DEFERRED)

    create.as_setup() >> ready >> work(instance_id) >> snapshot >> delete.as_teardown(setups=create)
