"""DAGs that start, save and stop instances."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_dsw.operators.dsw import (
    DswCreateSnapshotOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)

CONF_ID: dict[str, Any] = {"instance_id": "{{ dag_run.conf['instance_id'] }}", "poke_interval": 2}
RETRIES: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=1)}


@task
def work(fails: str) -> None:
    if fails == "True":
        raise RuntimeError("the work has failed")


# With retries, because Airflow itself may fail a deferred task that polls every two seconds; a retry goes on.
with DAG("pipeline", schedule=None):
    start = DswStartInstanceOperator(task_id="start", deferrable=True, **CONF_ID, **RETRIES)
    snapshot = DswCreateSnapshotOperator(
        task_id="snapshot",
        snapshot_name="of-{{ dag_run.conf['instance_id'] }}",
        image_url="registry/{{ dag_run.conf['instance_id'] }}:1",
        outlets=[Asset("image_of_the_pipeline")],
        deferrable=True,
        **CONF_ID,
        **RETRIES,
    )
    stop = DswStopInstanceOperator(task_id="stop", deferrable=True, **CONF_ID, **RETRIES)
    working = work("{{ dag_run.conf.get('fails', False) }}")
    start.as_setup() >> working >> snapshot >> stop.as_teardown(setups=start)

for way, deferrable in (("worker", False), ("deferred", True)):
    for stop_on_kill in (False, True):
        with DAG(f"start-{way}{'-stops' if stop_on_kill else ''}", schedule=None):
            DswStartInstanceOperator(
                task_id="start", deferrable=deferrable, stop_on_kill=stop_on_kill, **CONF_ID, **RETRIES
            )

with DAG("save-many", schedule=None):
    # One name and one URL: what tells the snapshots apart is whose they are.
    DswCreateSnapshotOperator.partial(
        task_id="save",
        snapshot_name="a",
        image_url="registry/many:1",
        overwrite=True,
        poke_interval=2,
        deferrable=True,
        **RETRIES,
    ).expand(instance_id=["dsw-many-0", "{{ dag_run.conf['second'] }}"])
