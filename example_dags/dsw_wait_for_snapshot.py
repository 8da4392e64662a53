"""
Wait for a snapshot that is created during this run, and pass its ImageUrl to the next task.

The parameter `instance_id` says of which instance. The emulator saves `dsw-saving` again and again, every minute and a
half. Older snapshots, which the instance has too, are ignored.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor


@dag(
    schedule=None,
    params={"instance_id": "dsw-saving"},
    description="Wait for a snapshot that is created during this run.",
    tags=["dsw"],
    doc_md=__doc__,
)
def dsw_wait_for_snapshot() -> None:
    pushed = DswInstanceSensor(
        task_id="wait_for_snapshot",
        instance_id="{{ params.instance_id }}",
        snapshot_created_after="{{ dag_run.run_after }}",  # ignore older snapshots
        poke_interval=5,  # seconds; 10 to 30 are enough for a real push
        timeout=60 * 60,
        deferrable=True,
    )

    @task
    def use(snapshot: Any) -> str:
        print(f"{snapshot['InstanceId']} was saved as {snapshot['ImageUrl']}")
        return snapshot["ImageUrl"]

    use(pushed.output)


dsw_wait_for_snapshot()
