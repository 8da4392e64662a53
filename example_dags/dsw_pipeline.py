"""
Start a notebook instance, work on it, save its image, and stop it, even if the work fails.

| task | does |
|---|---|
| `start` | starts the instance `instance_id`, unless it is running; a setup |
| `work` | stands for your own work; gets the instance's details |
| `snapshot` | saves the image, and sends an event of the asset `training_image` |
| `use` | gets the image's URL |
| `stop` | stops the instance, whether the work succeeded or not; the teardown of `start` |

The emulator has `dsw-stopped`. With the real service, set `IMAGE` to a repository of your own.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, dag, task

from airflow_provider_dsw.operators.dsw import (
    DswCreateSnapshotOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)

IMAGE = "registry.cn-hangzhou.aliyuncs.com/my-namespace/training"
INSTANCE: dict[str, Any] = {
    "instance_id": "{{ params.instance_id }}",
    "poke_interval": 5,  # seconds; 10 to 30 are enough for a real instance
    "deferrable": True,
}


@dag(
    schedule=None,
    params={"instance_id": "dsw-stopped"},
    description="Start an instance, work on it, save its image, and stop it.",
    tags=["dsw"],
    doc_md=__doc__,
)
def dsw_pipeline() -> None:
    # Airflow skips a teardown if its setup failed: so a start that fails or is killed must stop the instance itself.
    start = DswStartInstanceOperator(task_id="start", stop_on_kill=True, **INSTANCE)

    @task
    def work(instance: Any) -> None:
        print(f"{instance['InstanceId']} is {instance['Status']}: {instance['JupyterlabUrl']}")

    snapshot = DswCreateSnapshotOperator(
        task_id="snapshot",
        # Neither the name that is made for it nor this URL is ever used twice, by whatever run or try.
        image_url=f"{IMAGE}:{{{{ ti.id }}}}",
        outlets=[Asset("training_image")],  # its events tell the ImageUrl
        **INSTANCE,
    )
    stop = DswStopInstanceOperator(task_id="stop", **INSTANCE)

    @task
    def use(image: Any) -> str:
        print(f"The image is {image['ImageUrl']}")
        return image["ImageUrl"]

    start.as_setup() >> work(start.output) >> snapshot >> stop.as_teardown(setups=start)
    use(snapshot.output)


dsw_pipeline()
