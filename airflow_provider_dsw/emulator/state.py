"""What the emulator serves: instances and snapshots that move through their statuses on a timeline.

Nothing runs in the background: where a timeline stands is computed when somebody looks, so a thousand
instances cost nothing between two requests. The callers hold the emulator's lock.
"""

from __future__ import annotations

import copy
import json
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

FAILED_STATUSES = frozenset({"Failed", "SaveFailed"})
# The fields of an answer that are about the request, not about the instance.
ENVELOPE = ("RequestId", "Success", "Message", "Code", "HttpStatusCode")
_REQUEST_ID = "(request id)"

StepSpec = str | tuple[Any, ...] | None


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One status of a timeline: it lasts for `seconds`, or for one read (`per_poll`). The last one stays."""

    status: str | None  # None: gone, GetInstance answers 404
    seconds: float | None
    fields: Mapping[str, Any]
    per_poll: bool


def parse_steps(items: Iterable[StepSpec], speed: float) -> list[Step]:
    """Read steps: by time, ("Starting", 2) or ("Failed", None, {fields}); or, without seconds, by poll."""
    steps: list[Step] = []
    items = [items] if isinstance(items, str) else list(items)
    for number, item in enumerate(items, 1):
        status, *rest = item if isinstance(item, tuple | list) and item else (item,)
        fields = rest.pop() if rest and isinstance(rest[-1], Mapping) else {}
        per_poll = not rest
        seconds = rest.pop(0) if rest else None
        good_seconds = seconds is None or (
            isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0
        )
        if rest or not good_seconds or not (status is None or (isinstance(status, str) and status)):
            raise ValueError(f"not a step of a timeline: {item!r}; want (status, seconds) or a status")
        if not per_poll and seconds is None and number < len(items):
            raise ValueError(f"{status} without seconds stays forever: it can only be the last step")
        steps.append(Step(status, None if seconds is None else seconds / speed, dict(fields), per_poll))
    if not steps:
        raise ValueError("a timeline needs at least one status")
    return steps


class Timeline:
    """Where a thing is on its way through its steps."""

    def __init__(self, steps: Sequence[Step], now: float) -> None:
        self.steps = list(steps)
        self.index = 0
        self.entered = now  # monotonic time at which the current step began
        self._was_read = False

    def peek(self, now: float) -> Step:
        """The current step; looking changes nothing."""
        step = self.steps[self.index]
        while self.index + 1 < len(self.steps) and not step.per_poll and step.seconds is not None:
            if now < self.entered + step.seconds:
                break
            self._next(self.entered + step.seconds)
            step = self.steps[self.index]
        return step

    def read(self, now: float) -> Step:
        """The current step, shown to a client: a `per_poll` step ends with the next read."""
        step = self.peek(now)
        if step.per_poll and self._was_read and self.index + 1 < len(self.steps):
            self._next(now)
            step = self.steps[self.index]
        self._was_read = True
        return step

    def _next(self, entered: float) -> None:
        self.index += 1
        self.entered = entered
        self._was_read = False


def stamp(moment: float | datetime) -> str:
    """The service's way to write a time; a float is a monotonic time of this process."""
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(time.time() - time.monotonic() + moment, UTC)
    elif moment.tzinfo is None:
        raise ValueError(f"a time needs a time zone: {moment!r}")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def template() -> dict[str, Any]:
    """The example answer of the API page, cleaned, with every documented field."""
    text = Path(__file__).with_name("default_instance.json").read_text(encoding="utf-8")
    answer: dict[str, Any] = json.loads(text)
    return answer


@dataclass(eq=False)
class Snapshot:
    """An image that is, or was, saved from an instance."""

    snapshot_id: str
    name: str
    image_id: str
    image_name: str
    image_url: str
    created: str
    timeline: Timeline
    repository_url: str = ""
    reason_code: str = ""
    reason_message: str = ""
    labels: Sequence[Any] = ()
    exclude_paths: Sequence[str] = ()
    changed: bool = False

    def summary(self, step: Step) -> dict[str, Any]:
        """As LatestSnapshot and InstanceSnapshotList show it: without its id."""
        failed = step.status in FAILED_STATUSES
        changed = self.changed or self.timeline.index > 0
        return {
            "ImageId": self.image_id,
            "ImageName": self.image_name,
            "ImageUrl": self.image_url,
            "RepositoryUrl": self.repository_url,
            "GmtCreateTime": self.created,
            "GmtModifiedTime": stamp(self.timeline.entered) if changed else self.created,
            "ReasonCode": (self.reason_code or "InternalError") if failed else "",
            "ReasonMessage": (self.reason_message or "Failed to push the image") if failed else "",
            "Status": step.status,
            **step.fields,
        }

    def detail(self, step: Step, instance_id: str) -> dict[str, Any]:
        """As GetInstanceSnapshot shows it."""
        fields = self.summary(step)
        del fields["ImageName"], fields["RepositoryUrl"]
        return {
            "SnapshotId": self.snapshot_id,
            "SnapshotName": self.name,
            "InstanceId": instance_id,
            "Labels": list(self.labels),
            "ExcludePaths": list(self.exclude_paths),
            **fields,
        }


class Instance:
    """A DSW instance: the default answer, what its maker overrode, its timeline and its snapshots."""

    def __init__(self, instance_id: str, region: str, timeline: Timeline) -> None:
        self.instance_id = instance_id
        self.timeline = timeline
        self.base = _base_fields(instance_id, region)
        self.overrides: dict[str, Any] = {}
        self.omit: frozenset[str] = frozenset()
        self.snapshots: dict[str, Snapshot] = {}
        self.latest: Snapshot | None = None
        self._stale: Timeline | None = None
        self._stale_reads = 0
        self._revision = 0
        self._built_from: tuple[Any, ...] = ()
        self._fields: dict[str, Any] = {}
        self._encoded = (b"", b"", b"")

    def status(self, now: float) -> str | None:
        """The true status: that of a stale read may be an older one."""
        return self.timeline.peek(now).status

    def move(self, timeline: Timeline, stale_reads: int = 0) -> None:
        """Go another way from now on; the next `stale_reads` polls still show the old one."""
        self._stale, self._stale_reads = self.timeline, stale_reads
        self.timeline = timeline

    def touch(self) -> None:
        """Forget the built answer: something other than a timeline has changed."""
        self._revision += 1

    def show(self, now: float, *, poll: bool) -> dict[str, Any] | None:
        """The fields as a client sees them (not to be changed), or None when the instance is gone.

        poll: this is an answered GetInstance, which per-poll timelines count.
        """
        timeline = self.timeline
        if self._stale is not None and self._stale_reads:
            timeline = self._stale
            self._stale_reads -= 1 if poll else 0
        look = Timeline.read if poll else Timeline.peek
        step = look(timeline, now)
        if step.status is None:
            return None
        steps = [look(snapshot.timeline, now) for snapshot in self.snapshots.values()]
        built_from = (self._revision, step, *steps)
        if built_from != self._built_from:
            self._fields = self._build(step, timeline, steps)
            self._encoded = _encode(self._fields)
            self._built_from = built_from
        return self._fields

    def encoded(self, request_id: str) -> bytes:
        """The JSON of the fields that `show` returned last, under this request id."""
        head, placeholder, tail = self._encoded
        return head + request_id.encode() + tail if placeholder else head

    def _build(self, step: Step, timeline: Timeline, steps: Sequence[Step]) -> dict[str, Any]:
        failed = step.status in FAILED_STATUSES
        summaries = [snapshot.summary(at) for snapshot, at in zip(self.snapshots.values(), steps, strict=True)]
        latest = None
        if self.latest is not None and self.latest.snapshot_id in self.snapshots:
            latest = summaries[list(self.snapshots).index(self.latest.snapshot_id)]
        fields = {
            **self.base,
            "Status": step.status,
            "GmtModifiedTime": stamp(timeline.entered),
            "ReasonCode": "InternalError" if failed else "",
            "ReasonMessage": "Resource queue timeout, lack of sufficient resources" if failed else "",
            "LatestSnapshot": latest,
            "InstanceSnapshotList": summaries,
            **self.overrides,
            **step.fields,
        }
        return {name: value for name, value in fields.items() if name not in self.omit}


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


def _encode(fields: Mapping[str, Any]) -> tuple[bytes, bytes, bytes]:
    body = json.dumps(fields, ensure_ascii=False).encode()
    return body.partition(_REQUEST_ID.encode())
