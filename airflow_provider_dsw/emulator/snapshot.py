"""An image that is, or was, saved from an instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_dsw.emulator.clock import Clock
from airflow_provider_dsw.emulator.timeline import FAILED_STATUSES, Step, Timeline


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
    clock: Clock
    repository_url: str = ""
    reason_code: str = ""
    reason_message: str = ""
    labels: Sequence[Any] = ()
    exclude_paths: Sequence[str] = ()
    changed: bool = False
    late_lists: int = 0  # how many lists still lack it

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
            "GmtModifiedTime": self.clock.stamp(self.timeline.entered) if changed else self.created,
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
