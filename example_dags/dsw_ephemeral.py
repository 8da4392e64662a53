"""
Create a notebook instance for one run, work on it, and delete it, even if the work fails.

The parameter `ecs_spec` chooses the machine. `create` is a setup, `delete` its teardown. If the last try of `create`
itself fails, it deletes what it created; and after two hours the service stops the instance, even if Airflow is gone by
then. With the real service, this costs money.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_dsw.operators.dsw import DswCreateInstanceOperator, DswDeleteInstanceOperator

WAIT: dict[str, Any] = {
    "poke_interval": 5,  # seconds; 10 to 30 are enough for a real instance
    "deferrable": True,
}


@dag(
    schedule=None,
    params={"ecs_spec": "ecs.g6.xlarge"},
    description="Create an instance for one run, work on it, and delete it.",
    tags=["dsw"],
    doc_md=__doc__,
)
def dsw_ephemeral() -> None:
    create = DswCreateInstanceOperator(
        task_id="create",
        body={  # CreateInstance's own names
            # At most 27 letters, digits and underscores; never the same twice, if the service refuses that.
            "InstanceName": "airflow_{{ dag_run.run_after | ds_nodash }}_{{ ti.id.hex[-8:] }}",
            "EcsSpec": "{{ params.ecs_spec }}",
            "ImageUrl": "dsw-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai/modelscope:1.31.0",
        },
        # If the last try fails, it is deleted here: Airflow skips a teardown if its setup failed.
        delete_on_failure=True,
        # The service stops it then, even if Airflow does not live to delete it.
        stop_after=timedelta(hours=2),
        retries=5,  # no stock, for instance: each retry asks again
        **WAIT,
    )

    @task
    def work(instance: Any) -> str:
        print(f"{instance['InstanceId']} is {instance['Status']}: {instance['JupyterlabUrl']}")
        return instance["InstanceId"]

    created: Any = create.output
    delete = DswDeleteInstanceOperator(task_id="delete", instance_id=created["InstanceId"], **WAIT)

    create.as_setup() >> work(created) >> delete.as_teardown(setups=create)


dsw_ephemeral()
