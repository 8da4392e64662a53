"""
Every difference between the Airflow versions that the package supports, and nothing else.

Each entry names the version that it is for: when that version is no longer supported, its lines go. No other module
asks which Airflow is installed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow import __version__

from airflow_provider_dsw.client import connection_fields

if TYPE_CHECKING:
    from airflow.sdk import BaseHook, Connection, Context

_AIRFLOW = tuple(int(part) for part in __version__.split(".")[:2])

if TYPE_CHECKING or _AIRFLOW >= (3, 2):
    from airflow.sdk import conf
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferralTimeout,
        TaskDeferred,
    )
else:  # 3.1
    from airflow.configuration import conf
    from airflow.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferralTimeout,
        TaskDeferred,
    )

__all__ = [
    "CALLS_ON_KILL",
    "QUEUES_WATCHERS",
    "STARTS_FROM_TRIGGER",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowRescheduleException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "TaskDeferralTimeout",
    "TaskDeferred",
    "TaskQueueMixin",
    "aget_connection",
    "aget_xcom",
    "amask_secret",
    "aset_xcom",
    "asset_state_store",
    "conf",
    "connection_form_widgets",
    "dag_bag_class",
    "get_connection",
    "is_expanded",
    "listener_manager",
    "serialize_dags",
    "task_state_store",
    "ui_field_behaviour",
]

# 3.1 and 3.2: a task starts in a worker, and each trigger polls alone.
STARTS_FROM_TRIGGER = _AIRFLOW >= (3, 3)
# 3.1 and 3.2: a trigger is not told that a person has ended its task.
CALLS_ON_KILL = _AIRFLOW >= (3, 3)
# 3.1 to 3.3: a watcher's trigger has no queue.
QUEUES_WATCHERS = _AIRFLOW >= (3, 4)


def get_connection(hook: BaseHook, conn_id: str) -> Connection:
    """
    Look a connection up.

    :raises AirflowNotFoundException: if there is none.
    """
    try:
        return hook.get_connection(conn_id)
    except ImportError as error:
        # In a plain process 3.1.0 has nobody to ask for what the environment and the secrets backends lack.
        if _AIRFLOW >= (3, 2) or error.name != "airflow.sdk.execution_time.task_runner":
            raise
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined") from None


async def aget_connection(hook: BaseHook, conn_id: str) -> Connection:
    """As :func:`get_connection`, without blocking the event loop."""
    if _AIRFLOW >= (3, 2):
        return await hook.aget_connection(conn_id)
    try:
        return await hook.aget_connection(conn_id)
    except ImportError:  # 3.1.0 wants a supervisor even for what the environment holds, and a plain process has none
        return await asyncio.to_thread(get_connection, hook, conn_id)
    except (AttributeError, NotImplementedError):
        # On 3.1 a worker's supervisor can't be awaited, and would mix up its answers to two threads.
        return hook.get_connection(conn_id)


async def amask_secret(secret: str) -> None:
    """Tell Airflow's masker of a secret, in the event loop."""
    from airflow.sdk import log

    if _AIRFLOW >= (3, 3):
        await log.amask_secret(secret)
    else:
        # Never in a thread: on 3.1 a message from a thread gets its answer mixed up with the loop's own, and the
        # triggerer dies of it. Here, as with Airflow's own secrets, the supervisor is not told.
        log.mask_secret(secret)


async def aget_xcom(key: str, **row: Any) -> Any:
    """Read an XCom from a trigger; None where there is none. ``row`` is as in :func:`aset_xcom`."""
    if _AIRFLOW >= (3, 3):
        from airflow.sdk.bases.xcom import BaseXCom

        return await BaseXCom.aget_one(key=key, **row)
    from airflow.sdk.execution_time.comms import GetXCom
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    found: Any = await SUPERVISOR_COMMS.asend(GetXCom(key=key, **row))  # type: ignore[attr-defined,unused-ignore]
    return getattr(found, "value", None)


async def aset_xcom(key: str, value: Any, **row: Any) -> None:
    """Write an XCom from a trigger; ``row`` names the task instance, as ``BaseXCom.set`` takes it."""
    if _AIRFLOW >= (3, 3):
        from airflow.sdk.bases.xcom import BaseXCom

        await BaseXCom.aset(key, value, **row)
        return
    from airflow.sdk.execution_time.comms import SetXCom
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    await SUPERVISOR_COMMS.asend(SetXCom(key=key, value=value, **row))  # type: ignore[attr-defined,unused-ignore]


def task_state_store(context: Context) -> Any:
    """Return where a task keeps what its next try needs; None on 3.1 and 3.2, which have no such thing."""
    return context.get("task_state_store")


def asset_state_store(trigger: Any) -> Any:
    """Return where an asset's trigger keeps what it saw; None on 3.1 and 3.2, and for a trigger without assets."""
    return getattr(trigger, "asset_state_store", None)


def is_expanded(task: Any) -> bool:
    """Return whether a task is one of a mapped task's, made in its worker and not where the DAG is parsed."""
    return bool(getattr(task, "_BaseOperator__from_mapped", False))


class TaskQueueMixin:
    """An event trigger that a task defers to as well: its queue is the task's, where Airflow has trigger queues."""

    supports_triggerer_queue = True  # 3.2 and 3.3
    trigger_queue_inherited_from_task = True  # from 3.4 on


def connection_form_widgets() -> dict[str, Any]:
    """
    Return the connection form's own fields for 3.1, which reads the form from the hook; 3.2 reads the metadata.

    :raises ModuleNotFoundError: without wtforms. Airflow then does not ask; 3.1's UI brings a stand-in for it.
    """
    from wtforms import IntegerField, PasswordField, StringField
    from wtforms.validators import any_of

    found = {}
    for name, field in connection_fields.form_fields().items():
        schema = field["schema"]
        widget = PasswordField if "format" in schema else StringField if "string" in schema["type"] else IntegerField
        found[name] = widget(
            field["label"],
            validators=[any_of(schema["enum"])] if "enum" in schema else [],
            description=field["description"],
            default=schema.get("default"),
        )
    return found


def ui_field_behaviour() -> dict[str, Any]:
    """Return what becomes of the form's standard fields, for 3.1."""
    return {name.replace("-", "_"): value for name, value in connection_fields.field_behaviour().items()}


def dag_bag_class() -> Any:
    """Return Airflow's ``DagBag``."""
    if TYPE_CHECKING or _AIRFLOW >= (3, 2):
        from airflow.dag_processing.dagbag import DagBag
    else:
        from airflow.models.dagbag import DagBag
    return DagBag


def listener_manager() -> Any:
    """Return the manager of those who listen to task instances."""
    if TYPE_CHECKING or _AIRFLOW >= (3, 2):
        from airflow.sdk.listener import get_listener_manager
    else:
        from airflow.listeners.listener import get_listener_manager
    return get_listener_manager()


def serialize_dags() -> None:
    """Write all bundles' DAGs to the database, as ``dag.test()`` does by itself on every version but 3.1.0."""
    if TYPE_CHECKING or __version__ != "3.1.0":
        return
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.dagbag import DagBag, sync_bag_to_db
    from airflow.utils.session import create_session

    manager = DagBundlesManager()
    with create_session() as session:
        manager.sync_bundles_to_db(session=session)
    for bundle in manager.get_all_dag_bundles():
        bundle.initialize()
        bag = DagBag(dag_folder=bundle.path, bundle_path=bundle.path, include_examples=False)
        sync_bag_to_db(bag, bundle.name, bundle.version)
