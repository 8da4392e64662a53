"""A DSW instance, and how GetInstance shows it. The callers hold the emulator's lock."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from airflow_provider_dsw.emulator.clock import Clock
from airflow_provider_dsw.emulator.options import Options, reads_behind
from airflow_provider_dsw.emulator.snapshot import Snapshot
from airflow_provider_dsw.emulator.timeline import FAILED_STATUSES, Step, Timeline

# The fields of an answer that are about the request, not about the instance.
ENVELOPE = ("RequestId", "Success", "Message", "Code", "HttpStatusCode")
_REQUEST_ID = "(request id)"


@cache
def template() -> dict[str, Any]:
    """The example answer of the API page, cleaned, with every documented field."""
    text = Path(__file__).with_name("default_instance.json").read_text(encoding="utf-8")
    answer: dict[str, Any] = json.loads(text)
    return answer


class Instance:
    """The default answer, what its maker overrode, its timeline and its snapshots."""

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
        self.late_lists = 0  # how many lists still lack it
        self._emulator_options = options
        self._behind: list[int] = []  # by how many states each of the next polls is behind
        self._earlier: list[Shown] = []  # what those may show, oldest first; the first is from before the operation
        self._polled: Shown | None = None
        self._revision = 0
        self._built_from: tuple[Any, ...] = ()
        self._built = Shown({})
        self._shown = self._built

    def option(self, name: str) -> Any:
        return self.options[name] if name in self.options else getattr(self._emulator_options, name)

    def status(self, now: float) -> str | None:
        """The true status: that of a stale read may be an older one."""
        return self.timeline.peek(now).status

    def move(self, timeline: Timeline, stale_reads: int | Sequence[int] = 0) -> None:
        """Go another way from now on, which the next polls may not show yet."""
        self.fall_behind(stale_reads)
        self.timeline = timeline

    def fall_behind(self, stale_reads: int | Sequence[int]) -> None:
        """Let the next polls be behind: see `Options.stale_reads`."""
        self._behind = reads_behind(stale_reads)
        self._earlier, self._polled = [], None
        if self._behind and self._look(self.clock.now(), Timeline.peek) is not None:
            self._earlier = [self._built]

    def touch(self) -> None:
        """Forget the built answer: something other than a timeline has changed."""
        self._revision += 1

    def show(self, now: float, *, poll: bool) -> dict[str, Any] | None:
        """The fields as a client sees them (not to be changed), or None when the instance is gone.

        poll: this is an answered GetInstance, which per-poll timelines count.
        """
        behind = self._behind.pop(0) if poll and self._behind else 0
        look = Timeline.read if poll and not behind else Timeline.peek
        present = self._look(now, look)
        earlier = self._earlier
        if self._polled is not None and self._polled is not present:
            earlier = [*earlier, self._polled]
        if behind and earlier:
            self._shown = earlier[max(len(earlier) - behind, 0)]
            return self._shown.fields
        if present is None:
            return None
        if poll and self._behind:
            self._earlier, self._polled = earlier, present
        self._shown = present
        return present.fields

    def encoded(self, request_id: str) -> bytes:
        """The JSON of the fields that `show` returned last, under this request id."""
        return self._shown.encoded(request_id)

    def _look(self, now: float, look: Callable[[Timeline, float], Step]) -> Shown | None:
        """The present state, or None when the instance is gone."""
        step = look(self.timeline, now)
        if step.status is None:
            return None
        steps = [look(snapshot.timeline, now) for snapshot in self.snapshots.values()]
        modified = self.option("modified_time")
        second = self.clock.stamp() if modified == "always" else None
        depends_on = (modified, second, self.option("failure_reasons"), self.option("latest_snapshot"))
        built_from = (self._revision, depends_on, step, *steps)
        if built_from != self._built_from:
            self._built = Shown(self._build(step, steps))
            self._built_from = built_from
        return self._built

    def _build(self, step: Step, steps: Sequence[Step]) -> dict[str, Any]:
        reasons = step.status in FAILED_STATUSES and self.option("failure_reasons")
        summaries = {
            snapshot.snapshot_id: snapshot.summary(at)
            for snapshot, at in zip(self.snapshots.values(), steps, strict=True)
        }
        latest = self._latest_snapshot()
        fields = {
            **self.base,
            "Status": step.status,
            "GmtModifiedTime": self._modified_time(),
            "ReasonCode": "InternalError" if reasons else "",
            "ReasonMessage": "Resource queue timeout, lack of sufficient resources" if reasons else "",
            "LatestSnapshot": summaries[latest.snapshot_id] if latest else None,
            "InstanceSnapshotList": list(summaries.values()),
            **self.overrides,
            **step.fields,
        }
        missing = {"GmtModifiedTime"} if self.option("modified_time") == "missing" else set()
        return {name: value for name, value in fields.items() if name not in self.omit and name not in missing}

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


class Shown:
    """A state of an instance, as an answer shows it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self._parts: tuple[bytes, bytes, bytes] | None = None

    def encoded(self, request_id: str) -> bytes:
        if self._parts is None:
            self._parts = json_bytes(self.fields).partition(_REQUEST_ID.encode())
        head, placeholder, tail = self._parts
        return head + request_id.encode() + tail if placeholder else head


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
        RequestId=_REQUEST_ID,
    )
    fields["InstanceShutdownTimer"]["InstanceId"] = instance_id
    fields["IdleInstanceCuller"]["InstanceId"] = instance_id
    return fields


def json_bytes(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can write
        return json.dumps(value).encode()
