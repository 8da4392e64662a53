"""
Run each time a new snapshot of an instance is pushed, by anyone, and pass on its ImageUrl.

A watcher of the asset `dsw_saving_snapshots` polls the instance `dsw-saving`, which the emulator saves again and again:
don't trigger this DAG, wait a minute and a half. A manual run has no event, and passes nothing on.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger

snapshots = Asset(
    "dsw_saving_snapshots",
    watchers=[
        AssetWatcher(
            name="new_snapshot",
            trigger=DswInstanceEventTrigger(
                instance_id="dsw-saving",
                wait_for_snapshot=True,
                poke_interval=5,  # seconds; 10 to 30 are enough for a real push
            ),
        )
    ],
)


@dag(
    schedule=[snapshots],
    description="Run each time a new snapshot of an instance is pushed.",
    tags=["dsw"],
    doc_md=__doc__,
)
def dsw_on_new_snapshot() -> None:
    @task
    def use(triggering_asset_events: Any = None) -> list[str]:
        # Several, if they came while a run was active; none in a manual run.
        by_asset = triggering_asset_events or {}
        return [event.extra["payload"]["ImageUrl"] for events in by_asset.values() for event in events]

    use()


dsw_on_new_snapshot()
