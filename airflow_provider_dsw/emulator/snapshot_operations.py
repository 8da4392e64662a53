"""The operations on snapshots. The caller holds the backend's lock."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

from airflow_provider_dsw.emulator.backend import Backend, attach, new_snapshot_id
from airflow_provider_dsw.emulator.calls import OperationCall, check_labels, envelope, find, json_body, require_status
from airflow_provider_dsw.emulator.errors import invalid, not_found
from airflow_provider_dsw.emulator.instance import Instance
from airflow_provider_dsw.emulator.listing import is_in_this_list, list_snapshots
from airflow_provider_dsw.emulator.snapshot import Snapshot
from airflow_provider_dsw.emulator.statuses import CAN_SAVE, CAN_SAVE_AGAIN
from airflow_provider_dsw.emulator.timeline import Step, Timeline, parse_steps


def create_instance_snapshot(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    body = json_body(call)
    name, image_url = body.get("SnapshotName"), body.get("ImageUrl")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]+", name):
        raise invalid("SnapshotName is required: lowercase letters, digits and hyphens.")
    if not isinstance(image_url, str) or not image_url:
        raise invalid("ImageUrl is required.")
    overwrite = body.get("Overwrite") or False
    labels, exclude_paths = body.get("Labels") or [], body.get("ExcludePaths") or []
    if not isinstance(overwrite, bool):
        raise invalid("Overwrite is neither true nor false.")
    check_labels(labels)
    if not isinstance(exclude_paths, list) or not all(isinstance(path, str) for path in exclude_paths):
        raise invalid("ExcludePaths is not a list of strings.")
    again = instance.option("concurrent_snapshots")
    require_status(instance, CAN_SAVE_AGAIN if again else CAN_SAVE, "saved")
    _make_room(instance, name, image_url, overwrite=overwrite)
    snapshot_id = begin_save(
        backend,
        instance,
        name=name,
        image_url=image_url,
        labels=labels,
        exclude_paths=exclude_paths,
    )
    call.shown = instance.status(backend.clock.now())
    return {**envelope(call), "InstanceId": instance.instance_id, "SnapshotId": snapshot_id}


def _make_room(instance: Instance, name: str, image_url: str, *, overwrite: bool) -> None:
    """Refuse a name or URL that is taken, or drop what has it."""
    for snapshot in list(instance.snapshots.values()):
        if instance.option("unique_names") and snapshot.name == name:
            taken = f"A snapshot named {name}"
        elif instance.option("unique_image_urls") and snapshot.image_url == image_url:
            taken = f"A snapshot with the image {image_url}"
        else:
            continue
        if not overwrite:
            raise invalid(f"{taken} exists already.")
        del instance.snapshots[snapshot.snapshot_id]


def begin_save(
    backend: Backend,
    instance: Instance,
    *,
    name: str,
    image_url: str,
    then_stop: bool = False,
    labels: Sequence[Any] = (),
    exclude_paths: Sequence[str] = (),
) -> str:
    """Take a snapshot: the instance is Saving while it is pushed, then Saved, then continues its timeline."""
    now = backend.clock.now()
    steps = backend._steps(instance, "snapshot")
    snapshot = Snapshot(
        snapshot_id=new_snapshot_id(),
        name=name,
        image_id=f"image-{uuid.uuid4().hex[:16]}",
        image_name=name,
        image_url=image_url,
        created=backend.clock.stamp(now),
        timeline=Timeline(steps, now),
        clock=backend.clock,
        labels=labels,
        exclude_paths=exclude_paths,
        late_lists=instance.option("late_lists"),
    )
    last = max((other.timeline.end(now) for other in instance.snapshots.values()), default=now)
    instance.fall_behind(instance.option("stale_reads"))
    if last <= snapshot.timeline.end(now):  # or else it is Saving until an earlier one is done
        instance.follow(Timeline(_path_of_save(backend, instance, steps, then_stop=then_stop), now))
    attach(instance, snapshot, latest=True)
    return snapshot.snapshot_id


def _path_of_save(backend: Backend, instance: Instance, steps: Sequence[Step], *, then_stop: bool) -> list[Step]:
    """Return the instance's timeline while it is saved."""
    failed = steps[-1].status == "Failed"
    status = "Saving" if instance.option("saving_status") else "Running"
    path = [Step(status, step.seconds, {}, step.per_poll) for step in steps[:-1]]
    after_failure = instance.option("after_failed_save")
    outcome = "SaveFailed" if failed else "Saved"
    if failed and after_failure == "stay":
        return [*path, Step(outcome, None, {}, False)]
    seconds = instance.option("saved_seconds") / backend.speed
    if seconds and instance.option("saving_status"):
        per_poll = any(step.per_poll for step in steps)
        path.append(Step(outcome, None if per_poll else seconds, {}, per_poll))
    if then_stop and not (failed and after_failure == "running"):
        backend._drop_timer(instance, backend.clock.now())
        return [*path, *backend._steps(instance, "stop")]
    return [*path, *parse_steps([("Running", None)], backend.speed)]


def get_instance_snapshot(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    snapshot = instance.snapshots.get(call.snapshot_id or "")
    step = snapshot.timeline.read(backend.clock.now()) if snapshot else None
    if snapshot is None or step is None or step.status is None:
        raise not_found("snapshot", call.snapshot_id or "")
    call.shown = step.status
    return {**envelope(call), **snapshot.detail(step, instance.instance_id)}


def list_instance_snapshot(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    now = backend.clock.now()
    listed = [snapshot for snapshot in instance.snapshots.values() if is_in_this_list(snapshot)]
    details = [snapshot.detail(snapshot.timeline.peek(now), instance.instance_id) for snapshot in listed]
    items, total = list_snapshots(details, call.query)
    return {**envelope(call), "TotalCount": total, "Snapshots": items}


def delete_instance_snapshot(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    snapshot_id = call.snapshot_id or ""
    if snapshot_id not in instance.snapshots:
        raise not_found("snapshot", snapshot_id)
    instance.fall_behind(instance.option("stale_reads"))
    del instance.snapshots[snapshot_id]
    instance.touch()
    return {**envelope(call), "InstanceId": instance.instance_id, "SnapshotId": snapshot_id}
