"""
What changed since a watcher looked last: pure functions, as in :mod:`~airflow_provider_dsw.waits`.

What a watcher has to remember between two looks is small and JSON: Airflow keeps it in its database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow_provider_dsw.waits import (
    Outcome,
    Verdict,
    Wait,
    judge,
    judge_snapshot,
    matching_snapshots,
    shows_snapshots,
    status_in,
    time_in,
)

LastSeen = dict[str, Any]
_Key = list[str | None]

MAX_REMEMBERED = 100
"""Snapshots of each kind, finished and not, that a watcher remembers."""

# What a snapshot is told from another by, the surest first. Those in GetInstance's answer have no SnapshotId.
_NAMES = ("SnapshotId", "ImageId", "ImageUrl", "ImageName")


def detect_transitions(
    wait: Wait, instance: Mapping[str, Any], last_seen: LastSeen | None
) -> tuple[LastSeen | None, list[Verdict]]:
    """
    Say whether an instance has entered what a watcher looks for, since it was looked at last.

    :param wait: the status or snapshot to look for.
    :param instance: GetInstance's answer.
    :param last_seen: what the last call said to remember; None at the first look, which never finds a change.
    :return: what to remember for the next call, the same object if nothing is new; and a verdict for each
        change: one for a status, one for each snapshot that was finished, in the order in which they were.
    """
    if wait.snapshot:
        return _of_snapshots(wait, instance, last_seen)
    return _of_status(wait, instance, last_seen)


def _of_status(
    wait: Wait, instance: Mapping[str, Any], last_seen: LastSeen | None
) -> tuple[LastSeen | None, list[Verdict]]:
    status = status_in(instance)
    if status is None:
        return last_seen, []
    seen = {"status": _short(status), "since": _iso(time_in(instance, "GmtModifiedTime"))}
    if last_seen is None:
        return seen, []
    # An answer from before the last one comes from a replica that is behind.
    if seen["status"] == last_seen.get("status") or (seen["since"] and seen["since"] < (last_seen.get("since") or "")):
        return last_seen, []
    verdict = judge(wait, instance)
    return seen, [verdict] if verdict.outcome is Outcome.MET else []


def _of_snapshots(
    wait: Wait, instance: Mapping[str, Any], last_seen: LastSeen | None
) -> tuple[LastSeen | None, list[Verdict]]:
    """
    Tell a snapshot that was finished since the last look from an old one that merely comes to the front.

    The former was seen unfinished before, or it was finished after all that were seen finished.
    """
    if not shows_snapshots(instance):
        return last_seen, []
    remembered = last_seen or {}
    finished, unfinished = list(remembered.get("finished", ())), list(remembered.get("unfinished", ()))
    latest = str(remembered.get("latest_finish", ""))
    new = []
    for key, snapshot in sorted(_without_twins(matching_snapshots(wait, instance)), key=lambda each: _finish(each[1])):
        status, finish = status_in(snapshot), _finish(snapshot)
        if _find(key, finished):
            continue
        # At the first look, one without a status may be finished already.
        if status == "Saved" or (status is None and last_seen is None):
            has_room = len(finished) < MAX_REMEMBERED
            is_new = _find(key, unfinished) or finish > latest or (finish == latest and has_room)
            if is_new:
                new.append(snapshot)
            if is_new or has_room:
                finished.append(key)
        elif status not in ("Failed", None) and not _find(key, unfinished):
            unfinished.append(key)
        if status in ("Saved", "Failed"):
            unfinished = [other for other in unfinished if not _same(key, other)]
    seen = {
        "finished": finished[-MAX_REMEMBERED:],
        "unfinished": unfinished[-MAX_REMEMBERED:],
        "latest_finish": max((latest, *map(_finish, new))),
    }
    if last_seen is None:
        return seen, []
    return (last_seen if seen == last_seen else seen), [
        judge_snapshot(each, InstanceId=wait.instance_id) for each in new
    ]


def _without_twins(snapshots: Iterable[Mapping[str, Any]]) -> list[tuple[_Key, Mapping[str, Any]]]:
    """Leave out the second of two that are one snapshot; of the two, one that is finished counts."""
    found: list[tuple[_Key, Mapping[str, Any]]] = []
    for snapshot in sorted(snapshots, key=lambda each: each.get("Status") != "Saved"):
        key = _key(snapshot)
        if not _find(key, (other for other, _ in found)):
            found.append((key, snapshot))
    return found


def _key(snapshot: Mapping[str, Any]) -> _Key:
    """Return what a snapshot is known by: its names, of whatever length, as short hashes, and when it was created."""
    names = [name if isinstance(name := snapshot.get(field), str) and name else None for field in _NAMES]
    hashes = [name and hashlib.sha256(name.encode(errors="replace")).hexdigest()[:10] for name in names]
    return [*hashes, _iso(time_in(snapshot, "GmtCreateTime"))]


def _same(one: _Key, other: _Key) -> bool:
    """Two are one snapshot if they were created at one time and have the surest name that both have in common."""
    if one[-1] and other[-1] and one[-1] != other[-1]:
        return False
    for name, other_name in zip(one[:-1], other[:-1], strict=False):
        if name and other_name:
            return name == other_name
    return bool(one[-1] and other[-1])


def _find(key: _Key, keys: Iterable[_Key]) -> bool:
    return any(_same(key, other) for other in keys)


def _finish(snapshot: Mapping[str, Any]) -> str:
    """When a finished snapshot was finished, as far as it says so; a snapshot does not change after that."""
    return _iso(time_in(snapshot, "GmtModifiedTime") or time_in(snapshot, "GmtCreateTime")) or ""


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")


def _short(status: str) -> str:
    return status[:100]
