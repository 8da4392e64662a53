"""The operations of the DSW API, and the routes to them. No HTTP; the caller holds the backend's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from airflow_provider_dsw.emulator import creation, specs
from airflow_provider_dsw.emulator import event_operations as events
from airflow_provider_dsw.emulator import instance_operations as instances
from airflow_provider_dsw.emulator import snapshot_operations as snapshots
from airflow_provider_dsw.emulator import timer_operations as timers
from airflow_provider_dsw.emulator.backend import Backend
from airflow_provider_dsw.emulator.calls import OperationCall
from airflow_provider_dsw.emulator.encoding import json_bytes
from airflow_provider_dsw.emulator.errors import no_such_action

PREFIX = "/api/v2/"
Operation = Callable[[Backend, OperationCall], bytes | dict[str, Any]]
# By the method, and the parts of the path after the prefix, "*" for an id.
_INSTANCE = ("instances", "*")
ROUTES: dict[tuple[str, tuple[str, ...]], tuple[str, Operation]] = {
    ("GET", ("instances",)): ("ListInstances", instances.list_instances),
    ("POST", ("instances",)): ("CreateInstance", creation.create_instance),
    ("GET", _INSTANCE): ("GetInstance", instances.get_instance),
    ("PUT", _INSTANCE): ("UpdateInstance", creation.update_instance),
    ("DELETE", _INSTANCE): ("DeleteInstance", instances.delete_instance),
    ("PUT", (*_INSTANCE, "start")): ("StartInstance", instances.start_instance),
    ("PUT", (*_INSTANCE, "stop")): ("StopInstance", instances.stop_instance),
    ("PUT", (*_INSTANCE, "labels")): ("UpdateInstanceLabels", creation.update_instance_labels),
    ("DELETE", (*_INSTANCE, "labels")): ("DeleteInstanceLabels", creation.delete_instance_labels),
    ("POST", (*_INSTANCE, "snapshots")): ("CreateInstanceSnapshot", snapshots.create_instance_snapshot),
    ("GET", (*_INSTANCE, "snapshots")): ("ListInstanceSnapshot", snapshots.list_instance_snapshot),
    ("GET", (*_INSTANCE, "snapshots", "*")): ("GetInstanceSnapshot", snapshots.get_instance_snapshot),
    ("DELETE", (*_INSTANCE, "snapshots", "*")): ("DeleteInstanceSnapshot", snapshots.delete_instance_snapshot),
    ("POST", (*_INSTANCE, "shutdowntimer")): ("CreateInstanceShutdownTimer", timers.create_shutdown_timer),
    ("GET", (*_INSTANCE, "shutdowntimer")): ("GetInstanceShutdownTimer", timers.get_shutdown_timer),
    ("DELETE", (*_INSTANCE, "shutdowntimer")): ("DeleteInstanceShutdownTimer", timers.delete_shutdown_timer),
    ("POST", (*_INSTANCE, "idleinstanceculler")): ("CreateIdleInstanceCuller", timers.create_idle_culler),
    ("GET", (*_INSTANCE, "idleinstanceculler")): ("GetIdleInstanceCuller", timers.get_idle_culler),
    ("DELETE", (*_INSTANCE, "idleinstanceculler")): ("DeleteIdleInstanceCuller", timers.delete_idle_culler),
    ("GET", (*_INSTANCE, "events")): ("GetInstanceEvents", events.get_instance_events),
    ("GET", (*_INSTANCE, "lifecycle")): ("GetLifecycle", events.get_lifecycle),
    ("GET", ("ecsspecs",)): ("ListEcsSpecs", specs.list_ecs_specs),
}
OPERATIONS = dict(ROUTES.values())
ACTIONS = frozenset(OPERATIONS)


def route(method: str, path: str) -> tuple[str | None, str | None, str | None]:
    """Return the action that a path (still encoded) means, and the instance's and the snapshot's id in it."""
    if not path.startswith(PREFIX):
        return None, None, None
    parts = [unquote(part) for part in path[len(PREFIX) :].split("/")]
    if not all(parts):
        return None, None, None  # an empty id
    shape = tuple("*" if number % 2 else part for number, part in enumerate(parts))
    action, _ = ROUTES.get((method, shape), (None, None))
    # The paths of an instance's metrics begin with the singular.
    ids = [*parts[1::2], None, None] if parts[0] in ("instances", "instance") else [None, None]
    return action, ids[0], ids[1]


def perform(backend: Backend, call: OperationCall) -> bytes:
    """Perform the operation and return the body of its answer, or raise the service's refusal."""
    operation = OPERATIONS.get(call.action or "")
    if operation is None:
        raise no_such_action()
    answer = operation(backend, call)
    return answer if isinstance(answer, bytes) else json_bytes(answer)
