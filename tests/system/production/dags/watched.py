"""A DAG for each watched instance, which runs when the instance has started."""

from __future__ import annotations

import os

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger

interval = float(os.environ["PRODUCTION_INTERVAL"])
for number in range(int(os.environ["PRODUCTION_WATCHERS"])):
    trigger = DswInstanceEventTrigger(
        instance_id=f"dsw-watched-{number}", target_status="Running", poke_interval=interval
    )
    asset = Asset(f"watched-{number}", watchers=[AssetWatcher(name="running", trigger=trigger)])
    with DAG(f"on-running-{number}", schedule=[asset]):
        EmptyOperator(task_id="nothing")  # which no worker has to do
