"""DAGs for what takes more than one wait and its end."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_dsw.operators.dsw import DswGetInstanceOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger
from tests.system.live.cases import DEFER, FROM_TRIGGER, HURRY, LINKED, MAPPED, POKE

for dag_id, way in MAPPED.items():
    with DAG(dag_id, schedule=None):
        DswInstanceSensor.partial(task_id="wait", **way).expand(
            instance_id=[f"dsw-{dag_id}-0", f"dsw-{dag_id}-1", "{{ dag_run.conf['third'] }}"]
        )

with DAG("linked", schedule=None):
    # Each on an instance of its own, so that each can be seen to wait, and then be let go.
    for name, way in LINKED.items():
        DswInstanceSensor(task_id=name, instance_id=f"dsw-linked-{name}", **way)
    DswInstanceSensor.partial(task_id="mapped", **DEFER).expand(instance_id=["dsw-linked-mapped"])
    DswGetInstanceOperator(task_id="details", instance_id="dsw-linked-details", fields=["Status"])

with DAG("crowd", schedule=None):
    DswInstanceSensor.partial(
        task_id="wait", pool="one_slot", pool_slots=1, instance_id="dsw-crowd", deferrable=True, poke_interval=3
    ).expand(target_status=[["Running", "Stopped"]] * 5)

with DAG("patient", schedule=None):
    DswInstanceSensor(task_id="wait", instance_id="{{ dag_run.conf['instance_id'] }}", **DEFER)

with DAG("moved", schedule=None):
    DswInstanceSensor(task_id="wait", instance_id="dsw-moved", **FROM_TRIGGER | {"poke_interval": 20})

with DAG("hurried", schedule=None):
    DswInstanceSensor(task_id="wait", instance_id="{{ dag_run.conf['instance_id'] }}", timeout=HURRY, **DEFER)

# Two assets with one watcher, which Airflow makes one trigger: each has to remember what it saw.
watched = [
    Asset(
        name,
        watchers=[
            AssetWatcher(
                name="snapshots",
                trigger=DswInstanceEventTrigger(instance_id="dsw-watched", wait_for_snapshot=True, poke_interval=2),
            )
        ],
    )
    for name in ("dsw_watched", "dsw_watched_too")
]
with DAG("on-snapshot", schedule=watched):
    DswInstanceSensor(task_id="wait", instance_id="dsw-watched", **POKE)
