"""
Create a notebook instance for one run, work on it, and delete it: also when the work has failed.

The parameter `ecs_spec` says on which machine. `create` is a setup, `delete` its teardown. If `create` itself fails in
its last try, it deletes what it has created; and after two hours the service stops the instance, even if Airflow is
gone by then. With a real service it costs money.
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


@dag(schedule=None, params={"ecs_spec": "ecs.g6.xlarge"}, tags=["dsw"], doc_md=__doc__)
def dsw_ephemeral() -> None:
    create = DswCreateInstanceOperator(
        task_id="create",
        body={  # CreateInstance's own names
            "InstanceName": "airflow_{{ dag_run.run_after | ts_nodash }}",
            "EcsSpec": "{{ params.ecs_spec }}",
            "ImageUrl": "dsw-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai/modelscope:1.31.0",
        },
        # If the last try fails, it is deleted here: Airflow runs no teardown whose setup has failed.
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
