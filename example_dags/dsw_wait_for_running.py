"""
Wait until a notebook instance is running, and pass its JupyterLab URL to the next task.

The parameter `instance_id` says which one. The emulator has `dsw-starting`, which is running after about 90 seconds,
`dsw-failing`, which fails instead, and `dsw-stopped`, which is awaited until the DAG `dsw_pipeline` starts it. While
`wait_for_running` is deferred, it occupies no worker slot, and the tab Details of its page links to the instance.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor


@dag(
    schedule=None,
    params={
        "instance_id": Param("dsw-starting", type="string", examples=["dsw-starting", "dsw-failing", "dsw-stopped"])
    },
    description="Wait until an instance is running.",
    tags=["dsw"],
    doc_md=__doc__,
)
def dsw_wait_for_running() -> None:
    running = DswInstanceSensor(
        task_id="wait_for_running",
        instance_id="{{ params.instance_id }}",
        poke_interval=5,  # seconds; 10 to 30 are enough for a real instance
        timeout=30 * 60,
        deferrable=True,
    )

    @task
    def use(instance: Any) -> str:
        print(f"{instance['InstanceId']} is {instance['Status']}: {instance['JupyterlabUrl']}")
        return instance["JupyterlabUrl"]

    use(running.output)


dsw_wait_for_running()
