"""A DSW instance, and how GetInstance shows it. The caller holds the backend's lock."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from airflow_provider_dsw.emulator.clock import Clock
from airflow_provider_dsw.emulator.history import History
from airflow_provider_dsw.emulator.options import Options
from airflow_provider_dsw.emulator.replicas import REQUEST_ID, Replicas, Shown
from airflow_provider_dsw.emulator.snapshot import Snapshot
from airflow_provider_dsw.emulator.ssh import HAS_SSH, user_vpc
from airflow_provider_dsw.emulator.timeline import FAILED_STATUSES, Step, Timeline
from airflow_provider_dsw.emulator.timers import IdleCuller, ShutdownTimer

# The options that an answer depends on.
SHOWN_OPTIONS = (
    "modified_time",
    "failure_reasons",
    "failure_event",
    "latest_snapshot",
    "absent_timer",
    "ssh_endpoint",
)
# The fields of an answer that are about the request, not about the instance.
ENVELOPE = ("RequestId", "Success", "Message", "Code", "HttpStatusCode")


@cache
def template() -> dict[str, Any]:
    """The example answer of the API page, cleaned, with every documented field."""
    text = Path(__file__).with_name("default_instance.json").read_text(encoding="utf-8")
    answer: dict[str, Any] = json.loads(text)
    return answer


class Instance:
    """The default answer, the fields that override it, its timeline and its snapshots."""

    def __init__(self, instance_id: str, region: str, timeline: Timeline, clock: Clock, options: Options) -> None:
        self.instance_id = instance_id
        self.timeline = timeline
        self.clock = clock
        self.options: dict[str, Any] = {}  # its own, in place of the emulator's
        self.base = _base_fields(instance_id, region)
        self.overrides: dict[str, Any] = {}
        self.omit: frozenset[str] = frozenset()
        self.snapshots: dict[str, Snapshot] = {}
        self.latest: Snapshot | None = None
        self.history = History()
        self.timer: ShutdownTimer | None = None
        self.culler: IdleCuller | None = None
        self.idle_from: float | None = None  # set by hand; or else it is idle since it runs
        self.is_busy = False
        self.late_lists = 0  # how many lists still lack it
        self._emulator_options = options
        self._replicas = Replicas()
        self._recorded = 0
        self._revision = 0
        self._built_from: tuple[Any, ...] = ()
        self._built = Shown({})
        self._shown = self._built

    def option(self, name: str) -> Any:
        return self.options[name] if name in self.options else getattr(self._emulator_options, name)

    # The timeline

    def status(self, now: float) -> str | None:
        """The true status: that of a stale read may be an older one."""
        return self.timeline.peek(now).status

    def move(self, timeline: Timeline, stale_reads: int | Sequence[int] = 0) -> None:
        """Replace the timeline from now on; the next polls may still show the old state."""
        self.fall_behind(stale_reads)
        self.follow(timeline)

    def follow(self, timeline: Timeline) -> None:
        """Replace the timeline, from the new one's beginning on."""
        self.record(timeline.entered)
        self.timeline, self._recorded = timeline, 0
        self.idle_from, self.is_busy = None, False

    def appear(self, stale_reads: int | Sequence[int]) -> None:
        """It was created: the next polls may still not find it."""
        self._replicas.fall_behind(stale_reads, None)

    def fall_behind(self, stale_reads: int | Sequence[int]) -> None:
        self._replicas.fall_behind(stale_reads, self._observe(self.clock.now(), Timeline.peek) if stale_reads else None)

    def record(self, now: float) -> None:
        """Add to the history the statuses that were passed since the last call."""
        self.timeline.peek(now)
        for step, entered in self.timeline.passed[self._recorded :]:
            code, message = self._reason(step)
            cause = self.option("failure_event") if step.status == "Failed" else "Failed to save the image."
            self.history.enter(step.status, entered, code, message, message or cause)
        self._recorded = len(self.timeline.passed)

    def idle_since(self, now: float) -> float | None:
        """Return since when nobody has used it; None if it does not run, or is in use."""
        if self.culler is None or self.is_busy or self.status(now) != "Running":
            return None
        return max(self.timeline.entered, self.culler.created) if self.idle_from is None else self.idle_from

    # How it is shown

    def touch(self) -> None:
        """Drop the cached answer: something other than the timeline has changed."""
        self._revision += 1

    def show(self, now: float, *, poll: bool) -> dict[str, Any] | None:
        """The fields as a client sees them (not to be changed), or None when the instance is gone.

        poll: this is an answered GetInstance, which per-poll timelines count.
        """
        behind = self._replicas.next_behind() if poll else 0
        present = self._observe(now, Timeline.read if poll and not behind else Timeline.peek)
        shown = self._replicas.earlier(behind, present)
        if shown is None:
            return None
        if poll and not behind:
            self._replicas.show(shown)
        self._shown = shown
        return shown.fields

    def encoded(self, request_id: str) -> bytes:
        """The JSON of the fields that `show` returned last, under this request id."""
        return self._shown.encoded(request_id)

    def _observe(self, now: float, look: Callable[[Timeline, float], Step]) -> Shown | None:
        """The present state, or None when the instance is gone."""
        step = look(self.timeline, now)
        if len(self.timeline.passed) > self._recorded:
            self.record(now)
        if step.status is None:
            return None
        steps = [look(snapshot.timeline, now) for snapshot in self.snapshots.values()]
        modified = self.option("modified_time")
        built_from = (
            self._revision,
            step,
            *steps,
            tuple(self.option(name) for name in SHOWN_OPTIONS),
            self.clock.stamp() if modified == "always" else None,
            now if self.timer is not None else None,
            self.idle_since(now) and int(now),
            self._ssh_is_ready(step, now),
        )
        if built_from != self._built_from:
            self._built = Shown(self._build(step, steps, now))
            self._built_from = built_from
        return self._built

    def _build(self, step: Step, steps: Sequence[Step], now: float) -> dict[str, Any]:
        code, message = self._reason(step)
        summaries = {
            snapshot.snapshot_id: snapshot.summary(at)
            for snapshot, at in zip(self.snapshots.values(), steps, strict=True)
        }
        latest = self._latest_snapshot()
        fields = {
            **self.base,
            "Status": step.status,
            "GmtModifiedTime": self._modified_time(),
            "LatestSnapshot": summaries[latest.snapshot_id] if latest else None,
            "InstanceSnapshotList": list(summaries.values()),
            "UserVpc": self._user_vpc(step, now),
            **self._timers(now),
            **self.overrides,
            "ReasonCode": code,
            "ReasonMessage": message,
            **step.fields,
        }
        omit = set(self.omit)
        if self.option("modified_time") == "missing":
            omit.add("GmtModifiedTime")
        if self.option("absent_timer") == "missing":
            omit |= {name for name in ("InstanceShutdownTimer", "IdleInstanceCuller") if fields[name] is None}
        return {name: value for name, value in fields.items() if name not in omit}

    def _reason(self, step: Step) -> tuple[Any, Any]:
        failed = step.status in FAILED_STATUSES and self.option("failure_reasons")
        given = {**self.overrides, **step.fields}
        return (
            given.get("ReasonCode", "InternalError" if failed else ""),
            given.get("ReasonMessage", self.option("failure_event") if failed else ""),
        )

    def _modified_time(self) -> str:
        meaning = self.option("modified_time")
        if meaning == "frozen":
            created: str = self.overrides.get("GmtCreateTime", self.base["GmtCreateTime"])
            return created
        return self.clock.stamp(self.clock.now() if meaning == "always" else self.timeline.entered)

    def _latest_snapshot(self) -> Snapshot | None:
        if self.latest is None or self.latest.snapshot_id not in self.snapshots:
            return None
        if self.option("latest_snapshot") == "created":
            return self.latest
        return max(self.snapshots.values(), key=lambda snapshot: snapshot.timeline.entered)

    def _timers(self, now: float) -> dict[str, Any]:
        """The shutdown timer and the idle culler, as far as there are any."""
        timer, culler = self.timer, self.culler
        absent: dict[str, Any] | None = {} if self.option("absent_timer") == "empty" else None
        return {
            "InstanceShutdownTimer": timer.shown(self.instance_id, self.clock) if timer else absent,
            "IdleInstanceCuller": culler.shown(self.instance_id, self.clock, self.idle_since(now))
            if culler
            else absent,
        }

    def _ssh_is_ready(self, step: Step, now: float) -> bool:
        since = self.history.since(HAS_SSH) if step.status in HAS_SSH else None
        return since is not None and now >= since + self.option("ssh_seconds") / self.option("speed")

    def _user_vpc(self, step: Step, now: float) -> Any:
        return user_vpc(
            self.base["UserVpc"], is_ready=self._ssh_is_ready(step, now), endpoint=self.option("ssh_endpoint")
        )


def _base_fields(instance_id: str, region: str) -> dict[str, Any]:
    fields = copy.deepcopy(template())
    number = 100_000 + zlib.crc32(instance_id.encode()) % 900_000  # what the URLs name is not the id
    gateway = f"https://dsw-gateway-{region}.data.aliyun.com/dsw-{number}"
    fields.update(
        InstanceId=instance_id,
        InstanceUrl=f"https://dsw-{region}.data.aliyun.com/notebook.htm?instance={number}#/",
        JupyterlabUrl=f"{gateway}/lab/",
        WebIDEUrl=f"{gateway}/ide/",
        TerminalUrl=f"{gateway}/tty/",
        ProxyPath=f"dsw-{number}/proxy/",
        RequestId=REQUEST_ID,
    )
    return fields
