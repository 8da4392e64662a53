"""
What has changed since a watcher's last poll.

What a watcher has to remember between two looks is small and JSON: Airflow keeps it in its database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_dsw.waits.answers import (
    PollResult,
    fingerprint,
    status_in,
    storable_status,
    storable_time,
    text_in,
)
from airflow_provider_dsw.waits.conditions import (
    Outcome,
    SnapshotCondition,
    StatusCondition,
    Verdict,
    WaitCondition,
    evaluate_snapshot,
)

LastSeen = dict[str, Any]
_Key = list[str | None]

MAX_REMEMBERED = 100
"""Snapshots of each kind, finished and not, that a watcher remembers."""

_ANY = "any"
# What a snapshot is told from another by, the surest first. Those in GetInstance's answer have no SnapshotId.
_NAMES = ("SnapshotId", "ImageId", "ImageUrl", "ImageName")


def detect_transitions(
    condition: WaitCondition, found: PollResult, last_seen: LastSeen | None
) -> tuple[LastSeen | None, list[Verdict]]:
    """
    Say whether an instance has entered what a watcher looks for, since it was looked at last.

    :param condition: what to look for.
    :param found: the service's answer.
    :param last_seen: what the last call said to remember; None at the first look, which never finds a change.
    :return: what to remember for the next call, the same object if nothing is new; and a verdict for each
        change: one for a status, one for each snapshot that was finished, in the order in which they were.
    """
    if isinstance(condition, SnapshotCondition):
        return _snapshot_transitions(condition, found.instance or {}, last_seen)
    if isinstance(condition, StatusCondition):
        return _status_transitions(condition, found, last_seen)
    return _expression_transitions(condition, found, last_seen)


def _expression_transitions(
    condition: WaitCondition, found: PollResult, last_seen: LastSeen | None
) -> tuple[LastSeen | None, list[Verdict]]:
    verdict = condition.evaluate(found)
    if not verdict.has_evidence:
        return last_seen, []
    seen = {"success": verdict.outcome is Outcome.SUCCESS, "since": _since(found)}
    if last_seen is None:
        return seen, []
    if seen["success"] == last_seen.get("success") or _is_behind(seen, last_seen):
        return last_seen, []
    return seen, [verdict] if seen["success"] else []


def _status_transitions(
    condition: StatusCondition, found: PollResult, last_seen: LastSeen | None
) -> tuple[LastSeen | None, list[Verdict]]:
    status = storable_status(found.instance or {})
    if status is None:
        return last_seen, []
    seen = {"status": status, "since": _since(found)}
    if last_seen is None:
        return seen, []
    if seen["status"] == last_seen.get("status") or _is_behind(seen, last_seen):
        return last_seen, []
    verdict = condition.evaluate(found)
    return seen, [verdict] if verdict.outcome is Outcome.SUCCESS else []


def _since(found: PollResult) -> str | None:
    return storable_time(found.instance or {}, "GmtModifiedTime")


def _is_behind(seen: LastSeen, last_seen: LastSeen) -> bool:
    """Return whether an answer from before the last one comes from a replica that is behind."""
    return bool(seen["since"]) and seen["since"] < (last_seen.get("since") or "")


def _snapshot_transitions(
    condition: SnapshotCondition, instance: Mapping[str, Any], last_seen: LastSeen | None
) -> tuple[LastSeen | None, list[Verdict]]:
    """
    Tell a snapshot that was finished since the last look from an old one that merely comes to the front.

    The former was seen unfinished before, or it was finished after all that were seen finished.
    """
    if not condition.has_evidence(instance):
        return last_seen, []
    remembered = last_seen or {}
    finished, unfinished = _Keys(remembered.get("finished", ())), _Keys(remembered.get("unfinished", ()))
    latest = str(remembered.get("latest_finish", ""))
    new = []
    for key, snapshot in sorted(_without_twins(condition.matching(instance)), key=lambda each: _finish(each[1])):
        status, finish = status_in(snapshot), _finish(snapshot)
        if key in finished:
            continue
        # At the first look, one without a status may be finished already.
        if status == "Saved" or (status is None and last_seen is None):
            has_room = len(finished) < MAX_REMEMBERED
            is_new = key in unfinished or finish > latest or (finish == latest and has_room)
            if is_new:
                new.append(snapshot)
            if is_new or has_room:
                finished.add(key)
        elif status not in ("Failed", None) and key not in unfinished:
            unfinished.add(key)
        if status in ("Saved", "Failed"):
            unfinished.remove(key)
    seen = {
        "finished": list(finished)[-MAX_REMEMBERED:],
        "unfinished": list(unfinished)[-MAX_REMEMBERED:],
        "latest_finish": max((latest, *map(_finish, new))),
    }
    if last_seen is None:
        return seen, []
    return (last_seen if seen == last_seen else seen), [evaluate_snapshot(each, condition.instance_id) for each in new]


def _without_twins(snapshots: Iterable[Mapping[str, Any]]) -> list[tuple[_Key, Mapping[str, Any]]]:
    """Leave out the second of two that are one snapshot; of the two, one that is finished counts."""
    found: list[tuple[_Key, Mapping[str, Any]]] = []
    known = _Keys()
    for snapshot in sorted(snapshots, key=lambda each: each.get("Status") != "Saved"):
        key = _key(snapshot)
        if key not in known:
            known.add(key)
            found.append((key, snapshot))
    return found


def _key(snapshot: Mapping[str, Any]) -> _Key:
    """Return what a snapshot is known by: its names, of whatever length, as fingerprints, and when it was created."""
    names = [text_in(snapshot, field) for field in _NAMES]
    return [*(name and fingerprint(name) for name in names), storable_time(snapshot, "GmtCreateTime")]


def _same(one: _Key, other: _Key) -> bool:
    """Two are one snapshot if they were created at one time and have the surest name that both have in common."""
    if one[-1] and other[-1] and one[-1] != other[-1]:
        return False
    for name, other_name in zip(one[:-1], other[:-1], strict=False):
        if name and other_name:
            return name == other_name
    return bool(one[-1] and other[-1])


class _Keys:
    """The keys of several snapshots, oldest first; one is found quickly however many there are."""

    def __init__(self, keys: Iterable[_Key] = ()) -> None:
        self._keys: dict[int, _Key] = {}
        self._added = 0
        # By name and time, by name alone, and by time alone.
        self._places: defaultdict[tuple[str | None, str | None], list[int]] = defaultdict(list)
        for key in keys:
            self.add(key)

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: _Key) -> bool:
        return any(True for _ in self._same_as(key))

    def add(self, key: _Key) -> None:
        self._keys[self._added] = key
        names, created = _parts(key)
        for place in [(name, time) for name in names for time in (created, _ANY)] + [(_ANY, created)]:
            self._places[place].append(self._added)
        self._added += 1

    def remove(self, key: _Key) -> None:
        for number in set(self._same_as(key)):
            del self._keys[number]

    def _same_as(self, key: _Key) -> Iterator[int]:
        names, created = _parts(key)
        places: list[tuple[str | None, str | None]] = [(_ANY, created)]
        if names != [None]:
            # None: one without a name, which its time alone tells from others, and one without a time.
            places = [(name, time) for name in [*names, None] for time in ((created, None) if created else (_ANY,))]
        for place in places:
            for number in self._places.get(place, ()):
                if number in self._keys and _same(key, self._keys[number]):
                    yield number


def _parts(key: _Key) -> tuple[list[str | None], str | None]:
    return [name for name in key[:-1] if name] or [None], key[-1]


def _finish(snapshot: Mapping[str, Any]) -> str:
    """When a finished snapshot was finished, as far as it says so; a snapshot does not change after that."""
    return storable_time(snapshot, "GmtModifiedTime") or storable_time(snapshot, "GmtCreateTime") or ""
