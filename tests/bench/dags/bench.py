"""The DAGs whose waits are measured."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

INTERVAL = float(os.environ.get("BENCH_INTERVAL", "10"))
WORKERS = int(os.environ.get("BENCH_WORKERS", "4"))

# Its rows are made by hand: so many waits would take too long to hand over one after the other.
with DAG("deferred", schedule=None):
    DswInstanceSensor(task_id="wait", instance_id="dsw-0", deferrable=True, poke_interval=INTERVAL)

for mode in ("poke", "reschedule"):
    with DAG(mode, schedule=None):
        DswInstanceSensor.partial(task_id="wait", mode=mode, poke_interval=INTERVAL).expand(
            instance_id=[f"dsw-{number}" for number in range(WORKERS)]
        )
