"""Puts deferred task instances and their triggers into the database, as if workers had deferred them."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.dag_version import DagVersion
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType

from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.links.dsw import links_of


def make(waits: list[tuple[str, dict[str, Any]]]) -> None:
    """Make one task instance for each trigger: its class and arguments."""
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import DagSerialization

    with create_session() as session:
        manager = DagBundlesManager()
        manager.sync_bundles_to_db(session=session)
        session.commit()
        (bundle,) = manager.get_all_dag_bundles()
        bundle.initialize()
        bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        assert not bag.import_errors, bag.import_errors
        sync_bag_to_db(bag, bundle.name, bundle.version)
        dag: SerializedDAG = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(bag.dags["deferred"]))
        now = datetime.now(UTC)
        run = dag.create_dagrun(
            run_id="bench",
            run_after=now,
            start_date=now,
            run_type=DagRunType.MANUAL,
            state=DagRunState.RUNNING,
            triggered_by=DagRunTriggeredByType.TEST,
            session=session,
        )
        session.flush()
        version = DagVersion.get_latest_version("deferred", session=session)
        assert version
        task = dag.get_task("wait")
        for number, (classpath, kwargs) in enumerate(waits):
            trigger = Trigger(classpath, kwargs)
            session.add(trigger)
            session.flush()
            instance = TaskInstance(
                task, version.id, run_id=run.run_id, state=TaskInstanceState.DEFERRED, map_index=number
            )
            instance.start_date = now
            instance.trigger_id = trigger.id
            instance.trigger_timeout = now + timedelta(days=1)
            instance.next_method = "execute_complete"
            instance.try_number = 1
            session.add(instance)


async def push_urls(waits: list[tuple[str, dict[str, Any]]]) -> None:
    """Note the links that a worker has put on the task's page before it defers."""
    async with DswHook() as hook:
        links: dict[str, dict[str, str]] = {}
        for _, kwargs in waits:
            if "links" not in kwargs:
                continue
            instance_id = kwargs["instance_id"]
            if instance_id not in links:
                links[instance_id] = links_of(await hook.aget_instance(instance_id), hook.connection.region)
            kwargs["links"] = links[instance_id]


if __name__ == "__main__":
    deferred = json.load(sys.stdin)
    asyncio.run(push_urls(deferred))
    make(deferred)
