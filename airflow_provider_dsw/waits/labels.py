"""Find what carries a label, by which a retry recognizes what an earlier try of its task has made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from airflow_provider_dsw.waits.answers import created_at
from airflow_provider_dsw.waits.progress import has_failed

TASK_LABEL = "airflow-task"
"""The label of a snapshot or an instance that says which task made it."""


def label_of(*parts: Any) -> str:
    """Return a value of :data:`TASK_LABEL` for what is named by these parts: 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def find_by_label(
    snapshots: Iterable[Mapping[str, Any]], key: str, value: str, *, excluding: Collection[str] = ()
) -> Mapping[str, Any] | None:
    """
    Return the newest snapshot with this label that has not failed, or else the newest with it; None without any.

    :param snapshots: ListInstanceSnapshot's.
    :param key: the label's ``Key``.
    :param value: its ``Value``.
    :param excluding: each ``SnapshotId`` that is not looked for.
    """
    found = [snapshot for snapshot in with_label(snapshots, key, value) if snapshot.get("SnapshotId") not in excluding]
    return max(found, key=lambda snapshot: (not has_failed(snapshot), created_at(snapshot)), default=None)


def with_label(items: Iterable[Mapping[str, Any]], key: str, value: str) -> list[Mapping[str, Any]]:
    """
    Return the snapshots or instances with this label.

    :param items: ListInstanceSnapshot's or ListInstances'.
    :param key: the label's ``Key``.
    :param value: its ``Value``.
    """
    return [item for item in items if _has_label(item.get("Labels"), key, value)]


def _has_label(labels: Any, key: str, value: str) -> bool:
    return isinstance(labels, list) and any(
        isinstance(label, Mapping) and label.get("Key") == key and label.get("Value") == value for label in labels
    )
