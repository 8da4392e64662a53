"""
What a wait means: pure functions of the service's answers.

Every way to wait (poke, reschedule, deferred, event-driven) calls :func:`judge`, so all of them mean the same.
Nothing here knows of HTTP or Airflow. The statuses are those of the API page of GetInstance; what the page
does not say is named in :data:`ASSUMPTIONS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from airflow_provider_dsw.suggest import nearest

ASSUMPTIONS = (
    "GetInstance may answer ArrearStopping and Arrearge, which only GetLifecycle documents.",
    "The list of statuses is open: one that is not known here is neither a success nor a failure.",
    "GetInstanceSnapshot and the items of InstanceSnapshotList use the statuses of LatestSnapshot.",
    "LatestSnapshot may be an older, finished snapshot; the newest GmtCreateTime is the latest push.",
    "GmtCreateTime is cut to whole seconds, so a snapshot of the same second is not older.",
)

INSTANCE_STATUSES = (
    "Creating",
    "Queuing",
    "ResourceAllocating",
    "EnvPreparing",
    "Starting",
    "Running",
    "Saving",
    "Saved",
    "SaveFailed",
    "Stopping",
    "Stopped",
    "Updating",
    "Recovering",
    "Deleting",
    "Failed",
    "ArrearStopping",
    "Arrearge",
)
SNAPSHOT_STATUSES = ("Committing", "Pushing", "Saved", "Failed")

# From these a target can't come by itself: a person has to act first. ``Stopped`` is not among them for
# ``Running``, because right after a start the service still answers the old status.
_NEVER_BY_ITSELF = frozenset({"Failed", "Deleting"})
_FAILURES_OF = {
    "Running": _NEVER_BY_ITSELF | {"ArrearStopping", "Arrearge"},
    "Saved": _NEVER_BY_ITSELF | {"SaveFailed"},
}


class Outcome(Enum):
    """The three things that a poll can find."""

    MET = "met"
    NOT_YET = "not yet"
    FAILED = "can't any more"


@dataclass(frozen=True)
class Wait:
    """
    What is waited for, on one instance.

    :param instance_id: the ``InstanceId``.
    :param target_statuses: any of these instance statuses ends the wait; unused where ``snapshot`` is set.
    :param failure_statuses: instance statuses that end the wait as failed; None for those from which no
        target can come by itself.
    :param snapshot: wait for a finished snapshot push instead of a status.
    :param snapshot_id: exactly the snapshot with this ``SnapshotId``.
    :param snapshot_image: the snapshot with this ``ImageId``, ``ImageName`` or ``ImageUrl``.
    :param snapshot_created_after: an aware datetime; a snapshot created before it is not the one.
    """

    instance_id: str
    target_statuses: tuple[str, ...] = ("Running",)
    failure_statuses: tuple[str, ...] | None = None
    snapshot: bool = False
    snapshot_id: str | None = None
    snapshot_image: str | None = None
    snapshot_created_after: datetime | None = None

    def __str__(self) -> str:
        if not self.snapshot:
            return f"DSW instance {self.instance_id} to be {' or '.join(self.target_statuses)}"
        which = "latest snapshot"
        if self.snapshot_id:
            which = f"snapshot {self.snapshot_id}"
        elif self.snapshot_image:
            which = f"snapshot of image {self.snapshot_image}"
        since = f" created after {self.snapshot_created_after.isoformat()}" if self.snapshot_created_after else ""
        return f"the {which}{since} of DSW instance {self.instance_id} to be Saved"

    @property
    def failures(self) -> frozenset[str]:
        """The instance statuses that end this wait as failed."""
        if self.failure_statuses is not None:
            return frozenset(self.failure_statuses)
        return default_failure_statuses(("Saved",) if self.snapshot else self.target_statuses)


@dataclass(frozen=True)
class Verdict:
    """
    What a poll found.

    :param outcome: met, not yet, or can't any more.
    :param seen: the status that decided, in words for a log line; it changes when the status does.
    :param found: the service's object that decided: the instance, or the snapshot with ``InstanceId`` added.
    """

    outcome: Outcome
    seen: str
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """``ReasonCode``, ``ReasonMessage`` and ``RequestId`` as far as the service gave them."""
        given = ((name, self.found.get(name)) for name in ("ReasonCode", "ReasonMessage", "RequestId"))
        return ", ".join(f"{name}: {value}" for name, value in given if value)


def default_failure_statuses(targets: Iterable[str]) -> frozenset[str]:
    """Return the statuses from which none of ``targets`` can come by itself, less the targets."""
    targets = tuple(targets)
    return frozenset.intersection(*(_FAILURES_OF.get(t, _NEVER_BY_ITSELF) for t in targets)) - set(targets)


def judge(wait: Wait, instance: Mapping[str, Any] | None, snapshot: Mapping[str, Any] | None = None) -> Verdict:
    """
    Say what the service's answers mean for a wait.

    :param wait: what is waited for.
    :param instance: GetInstance's answer; None only where ``snapshot`` has already decided.
    :param snapshot: GetInstanceSnapshot's answer, where the wait names a ``snapshot_id``.
    """
    if wait.snapshot:
        if wait.snapshot_id is None:
            snapshot = _newest_matching_snapshot(wait, instance or {})
        verdict = judge_snapshot(wait, snapshot, request_id=(instance or {}).get("RequestId"))
        if verdict.outcome is not Outcome.NOT_YET or instance is None:
            return verdict
        failed = _judge_status(instance, targets=(), failures=wait.failures)
        return failed if failed.outcome is Outcome.FAILED else verdict
    return _judge_status(instance or {}, targets=wait.target_statuses, failures=wait.failures)


def judge_snapshot(wait: Wait, snapshot: Mapping[str, Any] | None, request_id: str | None = None) -> Verdict:
    """Say what one snapshot, or its absence, means for a wait."""
    if snapshot is None:
        return Verdict(Outcome.NOT_YET, "no such snapshot yet")
    status = snapshot.get("Status")
    outcome = {"Saved": Outcome.MET, "Failed": Outcome.FAILED}.get(str(status), Outcome.NOT_YET)
    found = {**snapshot, "InstanceId": wait.instance_id}
    if outcome is Outcome.FAILED and request_id:
        found.setdefault("RequestId", request_id)
    known = "" if status in SNAPSHOT_STATUSES else " (a status that this provider does not know)"
    return Verdict(outcome, f"snapshot {status}{known}", found)


def _judge_status(instance: Mapping[str, Any], *, targets: Iterable[str], failures: Iterable[str]) -> Verdict:
    status = instance.get("Status")
    if status in tuple(targets):
        outcome = Outcome.MET
    elif status in tuple(failures):
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.NOT_YET
    known = "" if status in INSTANCE_STATUSES else " (a status that this provider does not know)"
    return Verdict(outcome, f"{status}{known}", instance)


def _newest_matching_snapshot(wait: Wait, instance: Mapping[str, Any]) -> Mapping[str, Any] | None:
    matching = [snapshot for snapshot in _snapshots(instance) if _matches(wait, snapshot)]
    # max() keeps the first of equals: LatestSnapshot before its twin in the list.
    return max(matching, key=_created, default=None)


def _snapshots(instance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    listed = instance.get("InstanceSnapshotList")
    for snapshot in (instance.get("LatestSnapshot"), *(listed if isinstance(listed, list) else ())):
        if isinstance(snapshot, Mapping) and snapshot:
            yield snapshot


def _matches(wait: Wait, snapshot: Mapping[str, Any]) -> bool:
    names = (snapshot.get("ImageId"), snapshot.get("ImageName"), snapshot.get("ImageUrl"))
    if wait.snapshot_image and wait.snapshot_image not in names:
        return False
    if wait.snapshot_created_after is None:
        return True
    return _created(snapshot) >= wait.snapshot_created_after.replace(microsecond=0)


def _created(snapshot: Mapping[str, Any]) -> datetime:
    """A snapshot whose time can't be read counts as older than any other: it is never taken for a new one."""
    try:
        created = datetime.fromisoformat(snapshot.get("GmtCreateTime", ""))
    except (TypeError, ValueError):
        return datetime.min.replace(tzinfo=UTC)
    return created if created.tzinfo else created.replace(tzinfo=UTC)


def check_statuses(name: str, statuses: str | Iterable[str]) -> tuple[str, ...]:
    """
    Return one status, or several, as a tuple.

    :param name: the argument that holds them, for the message.
    :raises ValueError: where one is no status that the API documents; the message names the nearest.
    """
    statuses = (statuses,) if isinstance(statuses, str) else tuple(statuses)
    for status in statuses:
        if status not in INSTANCE_STATUSES:
            raise ValueError(f"{name}: {status!r} is no instance status.{nearest(status, INSTANCE_STATUSES)}")
    return statuses


def check_created_after(value: datetime | str) -> datetime:
    """
    Return ``value`` as an aware datetime.

    :param value: an aware datetime, or ISO 8601 with a time zone, e.g. ``2026-01-31T08:00:00+08:00`` or ``…Z``.
    :raises ValueError: where it is not one, or has no time zone: which moment it means would be a guess.
    """
    moment = value
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError:
            moment = None  # type: ignore[assignment]
    if not isinstance(moment, datetime):
        raise ValueError(f"snapshot_created_after: {value!r} is neither a datetime nor ISO 8601.")
    if moment.utcoffset() is None:
        raise ValueError(
            f"snapshot_created_after: {value!s} has no time zone. Add one: '…Z' or '…+08:00' in a string, "
            "tzinfo=… (e.g. datetime.timezone.utc) in a datetime."
        )
    return moment
