"""Read the fields of the service's answers that a verdict rests on, and tell what an answer does not say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import MAXYEAR, UTC, datetime
from typing import Any, NamedTuple

from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES


class PollResult(NamedTuple):
    """
    What the service said at one poll, whole.

    :param instance: GetInstance's answer; None if the snapshot had decided already.
    :param snapshot: GetInstanceSnapshot's answer, if a snapshot is awaited by its id.
    :param region: the connection's region id, which the service's answers don't hold.
    :param requested_at: POSIX time of the request.
    """

    instance: Mapping[str, Any] | None
    snapshot: Mapping[str, Any] | None = None
    region: str | None = None
    requested_at: float = 0.0

    def __repr__(self) -> str:
        # A traceback may be printed with all local variables, and an answer holds secrets.
        return f"{type(self).__name__}(requested_at={self.requested_at})"


def status_in(answer: Mapping[str, Any]) -> str | None:
    """
    Return the status that an answer gives; None where it gives none, which is no evidence of any change.

    :param answer: an instance or a snapshot, as the service sent it.
    """
    status = answer.get("Status")
    return status if isinstance(status, str) and status.strip() else None


def text_in(answer: Mapping[str, Any], name: str) -> str | None:
    """
    Return a text that an answer gives, as it came; None where it gives none, or something else there.

    :param answer: an instance or a snapshot, as the service sent it.
    :param name: the field, e.g. ``ReasonCode``.
    """
    value = answer.get(name)
    return value if isinstance(value, str) and value else None


def time_in(answer: Mapping[str, Any], name: str) -> datetime | None:
    """
    Return a time that an answer gives, in UTC; None where it can't be read.

    :param answer: an instance or a snapshot, as the service sent it.
    :param name: the field, e.g. ``GmtCreateTime``.
    """
    try:
        moment = datetime.fromisoformat(answer.get(name, ""))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    # The last year that can be written stands for "never".
    return None if moment.year == MAXYEAR else moment


def shows_snapshots(instance: Mapping[str, Any]) -> bool:
    """
    Return whether an answer says anything of snapshots; an empty list says that there are none.

    :param instance: GetInstance's answer.
    """
    return isinstance(instance.get("InstanceSnapshotList"), list) or any(snapshots_in(instance))


def newest_snapshot(instance: Mapping[str, Any], *, before: datetime | None = None) -> Mapping[str, Any] | None:
    """
    Return an instance's newest snapshot; None if it has none.

    :param instance: GetInstance's answer.
    :param before: an aware datetime; a snapshot that was created then or later does not count.
    """
    old = (snapshot for snapshot in snapshots_in(instance) if before is None or created_at(snapshot) < before)
    return max(old, key=recency, default=None)


def snapshots_in(instance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """
    Iterate over an instance's snapshots, ``LatestSnapshot`` first; it has a twin in the list.

    :param instance: GetInstance's answer.
    """
    listed = instance.get("InstanceSnapshotList")
    for snapshot in (instance.get("LatestSnapshot"), *(listed if isinstance(listed, list) else ())):
        if isinstance(snapshot, Mapping) and snapshot:
            yield snapshot


def created_at(answer: Mapping[str, Any]) -> datetime:
    """
    Return when an instance or a snapshot was created.

    One whose time can't be read counts as older than any other: it is never taken for a new one.

    :param answer: the instance or snapshot, as the service sent it.
    """
    return time_in(answer, "GmtCreateTime") or datetime.min.replace(tzinfo=UTC)


def recency(snapshot: Mapping[str, Any]) -> tuple[datetime, bool]:
    """Return what the newest snapshot has most of; of a snapshot and its twin, it is the one with a status."""
    return created_at(snapshot), status_in(snapshot) is not None


def newer_answer(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return which of two answers of GetInstance shows the later state; the second if that is unknown."""
    first, second = time_in(one, "GmtModifiedTime"), time_in(other, "GmtModifiedTime")
    return one if first is not None and second is not None and second < first else other


def shutdown_timer(instance: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """
    Return the shutdown timer that an instance has; None if it has none, or one that is over.

    :param instance: GetInstance's answer.
    """
    timer = instance.get("InstanceShutdownTimer")
    if not isinstance(timer, Mapping) or not (timer.get("DueTime") or timer.get("RemainingTimeInMs")):
        return None
    remaining = timer.get("RemainingTimeInMs")
    return None if isinstance(remaining, (int, float)) and remaining <= 0 else timer


# What is kept of an answer lies in Airflow's database: no text of the service's, but what tells one from another.


def storable_status(instance: Mapping[str, Any]) -> str | None:
    """
    Return the status that an answer gives, one that is not known here as its fingerprint; None where it gives none.

    :param instance: GetInstance's answer.
    """
    status = status_in(instance)
    return status if status is None or status in INSTANCE_STATUSES else fingerprint(status)


def storable_time(answer: Mapping[str, Any], name: str) -> str | None:
    """
    Return a time that an answer gives, in ISO 8601 and UTC, of a length that makes texts compare as times do.

    :param answer: an instance or a snapshot, as the service sent it.
    :param name: the field, e.g. ``GmtCreateTime``.
    :return: None where the time can't be read.
    """
    moment = time_in(answer, name)
    return None if moment is None else moment.isoformat(timespec="microseconds")


def fingerprint(*texts: str | None) -> str:
    """Return what tells these texts from others: a short hash, whatever their length."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:10]
