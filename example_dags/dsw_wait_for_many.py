"""Wait for several notebook instances at once: one mapped task each."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

INSTANCE_IDS = ["dsw-starting", "dsw-running"]


@dag(schedule=None, tags=["dsw"])
def dsw_wait_for_many() -> None:
    running = DswInstanceSensor.partial(
        task_id="wait_for_running", poke_interval=2, timeout=30 * 60, deferrable=True
    ).expand(instance_id=INSTANCE_IDS)

    @task
    def use(instances: list[dict[str, Any]]) -> list[str]:
        return [instance["JupyterlabUrl"] for instance in instances]

    use(running.output)  # type: ignore[arg-type]


dsw_wait_for_many()
