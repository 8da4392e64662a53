"""
Run each time that a new snapshot of an instance was pushed, by whomever, and hand its ImageUrl on.

A watcher of the asset `dsw_saving_snapshots` looks at the instance `dsw-saving`, which the emulator saves again and
again: do not trigger this DAG, wait for a minute and a half. A run by hand has no event, and hands nothing on.
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


@dag(schedule=[snapshots], tags=["dsw"], doc_md=__doc__)
def dsw_on_new_snapshot() -> None:
    @task
    def use(triggering_asset_events: Any = None) -> list[str]:
        # Several, if they came while a run was under way; none in a run that was started by hand.
        by_asset = triggering_asset_events or {}
        return [event.extra["payload"]["ImageUrl"] for events in by_asset.values() for event in events]

    use()


dsw_on_new_snapshot()
