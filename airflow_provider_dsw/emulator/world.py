"""The instances that an emulator has, and the ways to put them there and to change them. No HTTP."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_dsw.emulator.state import (
    Instance,
    Snapshot,
    Step,
    StepSpec,
    Timeline,
    parse_steps,
    stamp,
    template,
)

Steps = Sequence[StepSpec]


class World:
    """All instances. The public methods take the lock; those with an underscore expect it to be held."""

    def __init__(self, *, speed: float = 1.0, region: str = "cn-hangzhou") -> None:
        if not speed > 0:
            raise ValueError(f"speed must be more than 0, not {speed!r}")
        self.speed = speed
        self.region = region
        # What StartInstance, StopInstance and CreateInstanceSnapshot set going. A test may replace each.
        self.start_timeline: Steps = [
            ("Creating", 2),
            ("ResourceAllocating", 3),
            ("EnvPreparing", 3),
            ("Starting", 5),
            ("Running", None),
        ]
        self.stop_timeline: Steps = [("Stopping", 3), ("Stopped", None)]
        self.snapshot_timeline: Steps = [("Committing", 3), ("Pushing", 6), ("Saved", None)]
        self.saved_seconds = 2.0  # how long an instance shows Saved or SaveFailed before it goes on
        self.stale_reads = 0  # how many GetInstance answers still show the old status after a start or stop
        self._lock = threading.RLock()
        self._instances: dict[str, Instance] = {}

    def add_instance(
        self,
        instance_id: str,
        status: str | None = None,
        *,
        timeline: Steps | None = None,
        per_poll: Steps | None = None,
        omit: Iterable[str] = (),
        old_snapshot: bool = True,
        **fields: Any,
    ) -> str:
        """Add an instance, or replace the one with this id. Return its id.

        status: stays (default Running); or timeline: [(status, seconds), ..., (status, None)], with seconds
        divided by `speed`; or per_poll: one status for each answered GetInstance. The last one stays. A step
        may end with a dict of fields that it shows; a status of None means gone: GetInstance answers 404.
        fields: values under the API's names, in place of the default ones. omit: names of fields to leave
        out.
        old_snapshot: whether it has a finished snapshot of 2021: the latest one until another is added.
        """
        if not isinstance(instance_id, str) or not instance_id:
            raise ValueError(f"an instance id is a string that is not empty, not {instance_id!r}")
        with self._lock:
            instance = Instance(instance_id, self.region, self._timeline(status, timeline, per_poll, "Running"))
            instance.overrides = fields
            instance.omit = frozenset(omit)
            if old_snapshot:
                self._add_old_snapshot(instance)
            self._instances[instance_id] = instance
        return instance_id

    def set_instance(
        self,
        instance_id: str,
        status: str | None = None,
        *,
        timeline: Steps | None = None,
        per_poll: Steps | None = None,
        **fields: Any,
    ) -> None:
        """Change an instance now. A status, timeline or per_poll ends the timeline that it has."""
        with self._lock:
            instance = self._known(instance_id)
            if status is not None or timeline is not None or per_poll is not None:
                instance.move(self._timeline(status, timeline, per_poll, "Running"))
            instance.overrides.update(fields)
            instance.touch()

    def remove_instance(self, instance_id: str) -> None:
        """From now on GetInstance answers 404."""
        with self._lock:
            self._known(instance_id)
            del self._instances[instance_id]

    def add_snapshot(
        self,
        instance_id: str,
        snapshot_id: str | None = None,
        status: str | None = None,
        *,
        timeline: Steps | None = None,
        per_poll: Steps | None = None,
        snapshot_name: str | None = None,
        image_id: str | None = None,
        image_name: str | None = None,
        image_url: str | None = None,
        created: str | datetime | None = None,
        reason_code: str = "",
        reason_message: str = "",
        latest: bool = True,
    ) -> str:
        """Add a snapshot (by default Pushing, created now) and return its id.

        status, timeline and per_poll mean what they mean for an instance; a poll is an answered
        GetInstance or GetInstanceSnapshot that shows it. The reason is shown while it is Failed.
        """
        with self._lock:
            instance = self._known(instance_id)
            snapshot_id = snapshot_id or _new_snapshot_id()
            name = snapshot_name or image_name or snapshot_id
            snapshot = Snapshot(
                snapshot_id=snapshot_id,
                name=name,
                image_id=image_id or f"image-{uuid.uuid4().hex[:16]}",
                image_name=image_name or name,
                image_url=image_url or f"registry.{self.region}.aliyuncs.com/emulator/images:{name}",
                created=created if isinstance(created, str) else stamp(created or time.monotonic()),
                timeline=self._timeline(status, timeline, per_poll, "Pushing"),
                reason_code=reason_code,
                reason_message=reason_message,
            )
            _attach(instance, snapshot, latest=latest)
        return snapshot_id

    def set_snapshot(
        self,
        instance_id: str,
        snapshot_id: str,
        status: str | None = None,
        *,
        timeline: Steps | None = None,
        per_poll: Steps | None = None,
        reason_code: str | None = None,
        reason_message: str | None = None,
    ) -> None:
        """Change a snapshot now; its timeline ends."""
        with self._lock:
            instance = self._known(instance_id)
            snapshot = instance.snapshots.get(snapshot_id)
            if snapshot is None:
                raise KeyError(f"the instance {instance_id} has no snapshot {snapshot_id}")
            if status is not None or timeline is not None or per_poll is not None:
                snapshot.timeline = self._timeline(status, timeline, per_poll, "Pushing")
                snapshot.changed = True
            if reason_code is not None:
                snapshot.reason_code = reason_code
            if reason_message is not None:
                snapshot.reason_message = reason_message
            instance.touch()

    def status(self, instance_id: str) -> str | None:
        """The true status now (None: no such instance). Looking is not a poll."""
        with self._lock:
            instance = self._instances.get(instance_id)
            return instance.status(time.monotonic()) if instance else None

    def statuses(self) -> dict[str, str | None]:
        """The true status of each instance, and of each snapshot under "instance id/snapshot id"."""
        now = time.monotonic()
        with self._lock:
            found: dict[str, str | None] = {}
            for instance_id, instance in self._instances.items():
                found[instance_id] = instance.status(now)
                for snapshot in instance.snapshots.values():
                    found[f"{instance_id}/{snapshot.snapshot_id}"] = snapshot.timeline.peek(now).status
        return found

    # What the operations do

    def _begin_start(self, instance: Instance) -> None:
        instance.overrides.pop("ReasonCode", None)
        instance.overrides.pop("ReasonMessage", None)
        steps = parse_steps(self.start_timeline, self.speed)
        instance.move(Timeline(steps, time.monotonic()), self.stale_reads)

    def _begin_stop(self, instance: Instance) -> None:
        steps = parse_steps(self.stop_timeline, self.speed)
        instance.move(Timeline(steps, time.monotonic()), self.stale_reads)

    def _begin_save(
        self,
        instance: Instance,
        *,
        name: str,
        image_url: str,
        then_stop: bool = False,
        labels: Sequence[Any] = (),
        exclude_paths: Sequence[str] = (),
    ) -> str:
        """Take a snapshot: the instance is Saving while it is pushed, then Saved, then goes on."""
        now = time.monotonic()
        steps = parse_steps(self.snapshot_timeline, self.speed)
        snapshot = Snapshot(
            snapshot_id=_new_snapshot_id(),
            name=name,
            image_id=f"image-{uuid.uuid4().hex[:16]}",
            image_name=name,
            image_url=image_url,
            created=stamp(now),
            timeline=Timeline(steps, now),
            labels=labels,
            exclude_paths=exclude_paths,
        )
        failed = steps[-1].status == "Failed"
        saving = [Step("Saving", step.seconds, {}, step.per_poll) for step in steps[:-1]]
        per_poll = any(step.per_poll for step in steps)
        saved = Step(
            "SaveFailed" if failed else "Saved",
            None if per_poll else self.saved_seconds / self.speed,
            {},
            per_poll,
        )
        then = self.stop_timeline if then_stop and not failed else [("Running", None)]
        path = [*saving, saved, *parse_steps(then, self.speed)]
        instance.move(Timeline(path, now), self.stale_reads if then_stop else 0)
        _attach(instance, snapshot, latest=True)
        return snapshot.snapshot_id

    def _known(self, instance_id: str) -> Instance:
        try:
            return self._instances[instance_id]
        except KeyError:
            raise KeyError(f"the emulator has no instance {instance_id!r}") from None

    def _timeline(self, status: str | None, timeline: Steps | None, per_poll: Steps | None, default: str) -> Timeline:
        given = [way for way in (status, timeline, per_poll) if way is not None]
        if len(given) > 1:
            raise ValueError("give one of status, timeline and per_poll")
        if timeline is not None:
            items = timeline
        elif per_poll is not None:
            items = per_poll
        else:
            items = [(status or default, None)]
        return Timeline(parse_steps(items, self.speed), time.monotonic())

    def _add_old_snapshot(self, instance: Instance) -> None:
        old = template()["LatestSnapshot"]
        snapshot = Snapshot(
            snapshot_id=_new_snapshot_id(),
            name="training-data-2021",
            image_id=old["ImageId"],
            image_name=old["ImageName"],
            image_url=old["ImageUrl"],
            created=old["GmtCreateTime"],
            timeline=self._timeline(old["Status"], None, None, ""),
            repository_url=old["RepositoryUrl"],
        )
        _attach(instance, snapshot, latest=True)


def _new_snapshot_id() -> str:
    return f"snp-{uuid.uuid4().hex[:16]}"


def _attach(instance: Instance, snapshot: Snapshot, *, latest: bool) -> None:
    instance.snapshots[snapshot.snapshot_id] = snapshot
    if latest:
        instance.latest = snapshot
        instance.overrides.pop("LatestSnapshot", None)
    instance.overrides.pop("InstanceSnapshotList", None)
    instance.touch()
