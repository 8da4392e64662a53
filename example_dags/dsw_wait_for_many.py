"""
Wait for several notebook instances at once, one mapped task each, and pass on all their URLs.

The emulator has both, `dsw-starting` and `dsw-running`. All waits are deferred: none occupies a worker slot.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

INSTANCE_IDS = ["dsw-starting", "dsw-running"]


@dag(
    schedule=None,
    description="Wait for several instances at once, with one mapped task each.",
    tags=["dsw"],
    doc_md=__doc__,
)
def dsw_wait_for_many() -> None:
    running = DswInstanceSensor.partial(
        task_id="wait_for_running",
        poke_interval=5,  # seconds; 10 to 30 are enough for real instances
        timeout=30 * 60,
        deferrable=True,
    ).expand(instance_id=INSTANCE_IDS)

    @task
    def use(instances: Any) -> list[str]:
        return [instance["JupyterlabUrl"] for instance in instances]

    use(running.output)


dsw_wait_for_many()
