"""What each operation of the DSW API answers. No HTTP; the caller holds the world's lock."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from airflow_provider_dsw.emulator.errors import ServiceError, invalid, not_found
from airflow_provider_dsw.emulator.listing import list_instances, list_snapshots
from airflow_provider_dsw.emulator.state import Instance
from airflow_provider_dsw.emulator.world import World

PREFIX = "/api/v2/instances"
# The parts of the path after the prefix, "*" for an id.
ROUTES: dict[tuple[str, tuple[str, ...]], str] = {
    ("GET", ()): "ListInstances",
    ("GET", ("*",)): "GetInstance",
    ("PUT", ("*", "start")): "StartInstance",
    ("PUT", ("*", "stop")): "StopInstance",
    ("POST", ("*", "snapshots")): "CreateInstanceSnapshot",
    ("GET", ("*", "snapshots")): "ListInstanceSnapshot",
    ("GET", ("*", "snapshots", "*")): "GetInstanceSnapshot",
}
ACTIONS = frozenset(ROUTES.values())
CAN_START = frozenset({"Stopped", "Failed"})
CAN_STOP = frozenset(
    {
        "Creating",
        "Queuing",
        "ResourceAllocating",
        "EnvPreparing",
        "Starting",
        "Running",
        "Updating",
        "Recovering",
    }
    | {"Saved", "SaveFailed"}
)


@dataclass
class Call:
    """A request to an operation, whoever sent it."""

    action: str | None  # what the path and the method mean; None: nothing that is served
    instance_id: str | None
    snapshot_id: str | None
    query: Mapping[str, str]
    body: bytes
    request_id: str
    shown: str | None = None  # out: the status that the answer shows


def route(method: str, path: str) -> tuple[str | None, str | None, str | None]:
    """Return the action that a path (still encoded) means, and the instance's and the snapshot's id in it."""
    if path != PREFIX and not path.startswith(f"{PREFIX}/"):
        return None, None, None
    parts = [unquote(part) for part in path[len(PREFIX) :].split("/")[1:]]
    if not all(parts):
        return None, None, None  # an empty id
    shape = tuple(part if number % 2 else "*" for number, part in enumerate(parts))
    ids = [*parts[::2], None, None]
    return ROUTES.get((method, shape)), ids[0], ids[1]


def perform(world: World, call: Call) -> bytes:
    """Do what is asked and return the body of the answer, or raise the service's refusal."""
    operation = _OPERATIONS.get(call.action or "")
    if operation is None:
        raise ServiceError(
            404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method."
        )
    answer = operation(world, call)
    return answer if isinstance(answer, bytes) else json.dumps(answer, ensure_ascii=False).encode()


def envelope(call: Call) -> dict[str, Any]:
    return {
        "RequestId": call.request_id,
        "Success": True,
        "Code": None,
        "Message": None,
        "HttpStatusCode": None,
    }


def _get_instance(world: World, call: Call) -> bytes:
    instance = _find(world, call)
    fields = instance.show(time.monotonic(), poll=True)
    if fields is None:
        raise not_found("instance", instance.instance_id)
    call.shown = fields.get("Status")
    return instance.encoded(call.request_id)


def _list_instances(world: World, call: Call) -> dict[str, Any]:
    now = time.monotonic()
    shown = [instance.show(now, poll=False) for instance in world._instances.values()]
    items, total = list_instances([fields for fields in shown if fields is not None], call.query)
    return {**envelope(call), "TotalCount": total, "Instances": items}


def _start_instance(world: World, call: Call) -> dict[str, Any]:
    instance = _find(world, call)
    _need_status(instance, CAN_START, "started")
    world._begin_start(instance)
    call.shown = instance.status(time.monotonic())
    return {**envelope(call), "InstanceId": instance.instance_id}


def _stop_instance(world: World, call: Call) -> dict[str, Any]:
    instance = _find(world, call)
    save = call.query.get("SaveImage", "false").lower()
    if save not in ("true", "false", ""):
        raise invalid("SaveImage is neither true nor false.")
    if save == "true":
        _need_status(instance, frozenset({"Running"}), "saved")
        number = len(instance.snapshots) + 1
        name = f"{instance.instance_id.lower()}-stop-{number}"
        image_url = f"registry.{world.region}.aliyuncs.com/emulator/images:{name}"
        world._begin_save(instance, name=name, image_url=image_url, then_stop=True)
    else:
        _need_status(instance, CAN_STOP, "stopped")
        world._begin_stop(instance)
    call.shown = instance.status(time.monotonic())
    return {**envelope(call), "InstanceId": instance.instance_id}


def _create_instance_snapshot(world: World, call: Call) -> dict[str, Any]:
    instance = _find(world, call)
    try:
        body = json.loads(call.body)
    except ValueError:
        raise invalid("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise invalid("The body is not a JSON object.")
    name, image_url = body.get("SnapshotName"), body.get("ImageUrl")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]+", name):
        raise invalid("SnapshotName is required: lowercase letters, digits and hyphens.")
    if not isinstance(image_url, str) or not image_url:
        raise invalid("ImageUrl is required.")
    overwrite = body.get("Overwrite") or False
    labels, exclude_paths = body.get("Labels") or [], body.get("ExcludePaths") or []
    if not isinstance(overwrite, bool):
        raise invalid("Overwrite is neither true nor false.")
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise invalid("Labels is not a list of objects.")
    if not isinstance(exclude_paths, list) or not all(isinstance(path, str) for path in exclude_paths):
        raise invalid("ExcludePaths is not a list of strings.")
    _need_status(instance, frozenset({"Running"}), "saved")
    same = [snapshot.snapshot_id for snapshot in instance.snapshots.values() if snapshot.name == name]
    if same and not overwrite:
        raise invalid(f"A snapshot named {name} exists already.")
    for snapshot_id in same:
        del instance.snapshots[snapshot_id]
    snapshot_id = world._begin_save(
        instance,
        name=name,
        image_url=image_url,
        labels=labels,
        exclude_paths=exclude_paths,
    )
    call.shown = instance.status(time.monotonic())
    return {**envelope(call), "InstanceId": instance.instance_id, "SnapshotId": snapshot_id}


def _get_instance_snapshot(world: World, call: Call) -> dict[str, Any]:
    instance = _find(world, call)
    snapshot = instance.snapshots.get(call.snapshot_id or "")
    step = snapshot.timeline.read(time.monotonic()) if snapshot else None
    if snapshot is None or step is None or step.status is None:
        raise not_found("snapshot", call.snapshot_id or "")
    call.shown = step.status
    return {**envelope(call), **snapshot.detail(step, instance.instance_id)}


def _list_instance_snapshot(world: World, call: Call) -> dict[str, Any]:
    instance = _find(world, call)
    now = time.monotonic()
    details = [
        snapshot.detail(snapshot.timeline.peek(now), instance.instance_id) for snapshot in instance.snapshots.values()
    ]
    items, total = list_snapshots(details, call.query)
    return {**envelope(call), "TotalCount": total, "Snapshots": items}


def _find(world: World, call: Call) -> Instance:
    instance = world._instances.get(call.instance_id or "")
    if instance is None or instance.status(time.monotonic()) is None:
        raise not_found("instance", call.instance_id or "")
    return instance


def _need_status(instance: Instance, wanted: frozenset[str], what: str) -> None:
    status = instance.status(time.monotonic())
    if status not in wanted:
        raise invalid(f"The instance {instance.instance_id} is {status} and cannot be {what}.")


_OPERATIONS: dict[str, Callable[[World, Call], bytes | dict[str, Any]]] = {
    "GetInstance": _get_instance,
    "ListInstances": _list_instances,
    "StartInstance": _start_instance,
    "StopInstance": _stop_instance,
    "CreateInstanceSnapshot": _create_instance_snapshot,
    "GetInstanceSnapshot": _get_instance_snapshot,
    "ListInstanceSnapshot": _list_instance_snapshot,
}
