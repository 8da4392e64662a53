"""The operations of the DSW API: which request means which. No HTTP; the caller holds the world's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from airflow_provider_dsw.emulator import instance_operations as instances
from airflow_provider_dsw.emulator import snapshot_operations as snapshots
from airflow_provider_dsw.emulator.calls import Call
from airflow_provider_dsw.emulator.errors import ServiceError
from airflow_provider_dsw.emulator.instance import json_bytes
from airflow_provider_dsw.emulator.world import World

PREFIX = "/api/v2/instances"
Operation = Callable[[World, Call], bytes | dict[str, Any]]
# By the method, and the parts of the path after the prefix, "*" for an id.
ROUTES: dict[tuple[str, tuple[str, ...]], tuple[str, Operation]] = {
    ("GET", ()): ("ListInstances", instances.list_instances),
    ("GET", ("*",)): ("GetInstance", instances.get_instance),
    ("PUT", ("*", "start")): ("StartInstance", instances.start_instance),
    ("PUT", ("*", "stop")): ("StopInstance", instances.stop_instance),
    ("POST", ("*", "snapshots")): ("CreateInstanceSnapshot", snapshots.create_instance_snapshot),
    ("GET", ("*", "snapshots")): ("ListInstanceSnapshot", snapshots.list_instance_snapshot),
    ("GET", ("*", "snapshots", "*")): ("GetInstanceSnapshot", snapshots.get_instance_snapshot),
}
OPERATIONS = dict(ROUTES.values())
ACTIONS = frozenset(OPERATIONS)


def route(method: str, path: str) -> tuple[str | None, str | None, str | None]:
    """Return the action that a path (still encoded) means, and the instance's and the snapshot's id in it."""
    if path != PREFIX and not path.startswith(f"{PREFIX}/"):
        return None, None, None
    parts = [unquote(part) for part in path[len(PREFIX) :].split("/")[1:]]
    if not all(parts):
        return None, None, None  # an empty id
    shape = tuple(part if number % 2 else "*" for number, part in enumerate(parts))
    ids = [*parts[::2], None, None]
    action, _ = ROUTES.get((method, shape), (None, None))
    return action, ids[0], ids[1]


def perform(world: World, call: Call) -> bytes:
    """Do what is asked and return the body of the answer, or raise the service's refusal."""
    operation = OPERATIONS.get(call.action or "")
    if operation is None:
        raise ServiceError(
            404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method."
        )
    answer = operation(world, call)
    return answer if isinstance(answer, bytes) else json_bytes(answer)
