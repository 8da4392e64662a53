"""The emulator's instances, and how to add and change them. No HTTP."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_dsw.emulator.clock import Clock, write_time
from airflow_provider_dsw.emulator.history import History
from airflow_provider_dsw.emulator.instance import Instance, template
from airflow_provider_dsw.emulator.near_misses import warn_of_fields, warn_of_statuses
from airflow_provider_dsw.emulator.options import Options, Steps, check_fields, check_options
from airflow_provider_dsw.emulator.snapshot import Snapshot
from airflow_provider_dsw.emulator.statuses import CAN_STOP, NOTHING_TO_STOP
from airflow_provider_dsw.emulator.timeline import Step, Timeline, parse_steps
from airflow_provider_dsw.emulator.timers import IdleCuller, ShutdownTimer


class Backend(Options):
    """All instances. The public methods take the lock; those with an underscore expect it to be held."""

    def __init__(
        self, *, speed: float = 1.0, region: str = "cn-hangzhou", clock: Clock | None = None, **options: Any
    ) -> None:
        super().__init__(speed=speed, **options)
        self.region = region
        self.clock = clock or Clock()
        self._lock = threading.RLock()
        self._instances: dict[str, Instance] = {}
        self._timed: dict[str, Instance] = {}  # those that a timer or idleness may stop
        self._due: list[tuple[float, Callable[[], None]]] = []

    def add_instance(
        self,
        instance_id: str,
        status: str | None = None,
        *,
        timeline: Steps | None = None,
        per_poll: Steps | None = None,
        omit: Iterable[str] = (),
        old_snapshot: bool = True,
        options: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """Add an instance, or replace the one with this id. Return its id.

        status: stays (default Running); or timeline: [(status, seconds), ..., (status, None)], with seconds
        divided by `speed`; or per_poll: one status for each answered GetInstance. The last one stays. A step
        may end with a dict of fields that it shows; a status of None means gone: GetInstance answers 404.
        fields: values under the API's names, in place of the default ones. omit: names of fields to leave
        out. A name that is not the API's, but near to one that is, is a UserWarning.
        old_snapshot: whether it has a finished snapshot of 2021: the latest one until another is added.
        options: what it does otherwise than the other instances; see `Options`.
        """
        if not isinstance(instance_id, str) or not instance_id:
            raise ValueError(f"an instance id is a string that is not empty, not {instance_id!r}")
        with self._lock:
            steps = self._timeline(status, timeline, per_poll, "Running")
            instance = Instance(instance_id, self.region, steps, self.clock, self)
            instance.options = check_options(dict(options or {}))
            instance.overrides = self._checked_fields(fields)
            instance.omit = frozenset(omit)
            warn_of_fields(instance.omit, template())
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
        stale_reads: int | Sequence[int] = 0,
        options: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Change an instance now. A status, timeline or per_poll ends the timeline that it has.

        stale_reads: which of the next GetInstance answers show an older state; see `Options`. options: as for
        `add_instance`, beside those that it has.
        """
        with self._lock:
            instance = self._known(instance_id)
            instance.options |= check_options(dict(options or {}))
            moved = status is not None or timeline is not None or per_poll is not None
            if moved or stale_reads:
                instance.fall_behind(stale_reads)
            if moved:
                instance.follow(self._timeline(status, timeline, per_poll, "Running"))
            instance.overrides.update(self._checked_fields(fields))
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
            snapshot_id = snapshot_id or new_snapshot_id()
            name = snapshot_name or image_name or snapshot_id
            snapshot = Snapshot(
                snapshot_id=snapshot_id,
                name=name,
                image_id=image_id or f"image-{uuid.uuid4().hex[:16]}",
                image_name=image_name or name,
                image_url=image_url or f"registry.{self.region}.aliyuncs.com/emulator/images:{name}",
                created=created if isinstance(created, str) else write_time(created or self.clock.utc()),
                timeline=self._timeline(status, timeline, per_poll, "Pushing", of_snapshot=True),
                clock=self.clock,
                reason_code=reason_code,
                reason_message=reason_message,
            )
            attach(instance, snapshot, latest=latest)
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
                snapshot.timeline = self._timeline(status, timeline, per_poll, "Pushing", of_snapshot=True)
                snapshot.changed = True
            if reason_code is not None:
                snapshot.reason_code = reason_code
            if reason_message is not None:
                snapshot.reason_message = reason_message
            instance.touch()

    def status(self, instance_id: str) -> str | None:
        """The true status now (None: no such instance). Looking is not a poll."""
        with self._lock:
            self._catch_up()
            instance = self._instances.get(instance_id)
            return instance.status(self.clock.now()) if instance else None

    def statuses(self) -> dict[str, str | None]:
        """The true status of each instance, and of each snapshot under "instance id/snapshot id"."""
        now = self.clock.now()
        with self._lock:
            self._catch_up()
            found: dict[str, str | None] = {}
            for instance_id, instance in self._instances.items():
                found[instance_id] = instance.status(now)
                for snapshot in instance.snapshots.values():
                    found[f"{instance_id}/{snapshot.snapshot_id}"] = snapshot.timeline.peek(now).status
        return found

    def set_shutdown_timer(self, instance_id: str, seconds: float | None) -> None:
        """Set the instance's shutdown timer to so many seconds, as a person would; None deletes it."""
        with self._lock:
            now = self.clock.now()
            timer = None if seconds is None else ShutdownTimer(now, now + seconds / self.speed, self.speed)
            self._set_timer(self._known(instance_id), timer)

    def set_idle(self, instance_id: str, minutes: float | None) -> None:
        """Let its idle culler, which it must have, find it idle for so long by now; None: in use until it stops."""
        with self._lock:
            self._catch_up()
            instance = self._known(instance_id)
            instance.is_busy = minutes is None
            instance.idle_from = self.clock.now() - (minutes or 0.0) * 60 / self.speed
            instance.touch()

    def add_event(self, instance_id: str, text: str, level: str = "Normal") -> None:
        """Add a line to what GetInstanceEvents answers."""
        with self._lock:
            self._catch_up()
            instance = self._known(instance_id)
            instance.record(self.clock.now())
            instance.history.add_event(self.clock.now(), text, level)

    def history(self, instance_id: str) -> History:
        """Its statuses with their times, and its events, also of one that was deleted."""
        with self._lock:
            self._catch_up()
            instance = self._known(instance_id)
            instance.record(self.clock.now())
            return copy.deepcopy(instance.history)

    # What the operations do

    def _steps(self, instance: Instance, kind: str) -> list[Step]:
        """Return the steps of a start, a stop or a snapshot that begins now."""
        waiting = instance.option(f"next_{kind}s")
        return parse_steps(waiting.pop(0) if waiting else instance.option(f"{kind}_timeline"), self.speed)

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        """Schedule a call in so many seconds; it is made at the first read after that."""
        self._due.append((self.clock.now() + seconds, what))

    def _catch_up(self) -> None:
        """Make the scheduled calls that are due."""
        now = self.clock.now()
        due = [entry for entry in self._due if entry[0] <= now]
        self._due = [entry for entry in self._due if entry[0] > now]
        for _, what in sorted(due, key=lambda entry: entry[0]):
            what()
        for instance in list(self._timed.values()):
            self._stop_if_due(instance, now)

    def _stop_if_due(self, instance: Instance, now: float) -> None:
        """Stop the instance as of the moment at which its timer was due, or it had been idle for too long."""
        ends: list[tuple[float, str]] = []
        if instance.timer is not None:
            ends.append((instance.timer.due, "The shutdown timer is due"))
        idle_since = instance.idle_since(now)
        if instance.culler is not None and idle_since is not None:
            ends.append((instance.culler.due(idle_since), "The instance has been idle for too long"))
        moment, why = min(ends, default=(now, ""))
        if not why or moment > now:
            return
        status = instance.status(moment)
        if status not in CAN_STOP and status not in NOTHING_TO_STOP:  # when it is saved, for instance
            status = instance.status(now)
            moment = max(moment, instance.timeline.entered)
        if status in CAN_STOP:
            instance.record(moment)
            instance.history.add_event(moment, f"{why}: the instance is stopped.")
            self._stop(instance, moment)
        elif status in NOTHING_TO_STOP:
            instance.timer = None

    def _stop(self, instance: Instance, moment: float) -> None:
        instance.follow(Timeline(self._steps(instance, "stop"), moment))
        self._drop_timer(instance, moment)

    def _drop_timer(self, instance: Instance, moment: float) -> None:
        """Forget the shutdown timer of an instance that stops, unless it is for later and timers outlive stops."""
        timer = instance.timer
        if timer is not None and (timer.due <= moment or not instance.option("timers_outlive_stops")):
            instance.timer = None

    def _set_timer(self, instance: Instance, timer: ShutdownTimer | None) -> None:
        instance.timer = timer
        self._timed[instance.instance_id] = instance
        instance.touch()

    def _set_culler(self, instance: Instance, culler: IdleCuller | None) -> None:
        instance.culler = culler
        self._timed[instance.instance_id] = instance
        instance.touch()

    def _names(self) -> set[Any]:
        now = self.clock.now()
        shown = (instance.show(now, poll=False) for instance in self._instances.values())
        return {fields.get("InstanceName") for fields in shown if fields is not None}

    def _known(self, instance_id: str) -> Instance:
        try:
            return self._instances[instance_id]
        except KeyError:
            raise KeyError(f"the emulator has no instance {instance_id!r}") from None

    def _checked_fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        warn_of_fields(check_fields(fields), template())
        warn_of_statuses([fields.get("Status")])
        return fields

    def _timeline(
        self,
        status: str | None,
        timeline: Steps | None,
        per_poll: Steps | None,
        default: str,
        *,
        of_snapshot: bool = False,
    ) -> Timeline:
        given = [way for way in (status, timeline, per_poll) if way is not None]
        if len(given) > 1:
            raise ValueError("give one of status, timeline and per_poll")
        if timeline is not None:
            items = timeline
        elif per_poll is not None:
            items = per_poll
        else:
            items = [(status or default, None)]
        steps = parse_steps(items, self.speed)
        warn_of_statuses((step.status for step in steps), of_snapshot=of_snapshot)
        if not of_snapshot:
            warn_of_fields((name for step in steps for name in step.fields), template())
        return Timeline(steps, self.clock.now())

    def _add_old_snapshot(self, instance: Instance) -> None:
        old = template()["LatestSnapshot"]
        snapshot = Snapshot(
            snapshot_id=new_snapshot_id(),
            name="training-data-2021",
            image_id=old["ImageId"],
            image_name=old["ImageName"],
            image_url=old["ImageUrl"],
            created=old["GmtCreateTime"],
            timeline=self._timeline(old["Status"], None, None, "", of_snapshot=True),
            clock=self.clock,
            repository_url=old["RepositoryUrl"],
        )
        attach(instance, snapshot, latest=True)


def new_snapshot_id() -> str:
    return f"snp-{uuid.uuid4().hex[:16]}"


def attach(instance: Instance, snapshot: Snapshot, *, latest: bool) -> None:
    instance.snapshots[snapshot.snapshot_id] = snapshot
    if latest:
        instance.latest = snapshot
        instance.overrides.pop("LatestSnapshot", None)
    instance.overrides.pop("InstanceSnapshotList", None)
    instance.touch()
