"""
What a wait means: pure functions of the service's answers.

Every way to wait (poke, reschedule, deferred, event-driven) calls :func:`judge`, so all of them mean the same.
Nothing here knows of HTTP or Airflow. The statuses are those of the API page of GetInstance; what the page
does not say is named in :data:`ASSUMPTIONS`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import MAXYEAR, UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_provider_dsw.arguments import check_id, nearest

if TYPE_CHECKING:
    from airflow_provider_dsw.progress import Operation

ASSUMPTIONS = (
    "GetInstance may answer ArrearStopping and Arrearge, which only GetLifecycle documents.",
    "The list of statuses is open: one that is not known here is neither a success nor a failure.",
    "GetInstanceSnapshot and the items of InstanceSnapshotList use the statuses of LatestSnapshot.",
    "LatestSnapshot may be an older, finished snapshot; the newest GmtCreateTime is the latest push.",
    "GmtCreateTime is cut to whole seconds, so a snapshot of the same second is not older.",
    "A snapshot is known by its ImageId, else by its ImageUrl or ImageName, and by its GmtCreateTime. Once it is Saved "
    "it does not change any more: its GmtModifiedTime is when it was finished.",
    "An answer may come from a replica that is behind; its GmtModifiedTime is older than that of the answer before.",
    "On its way from StartInstance to Running an instance shows Creating, Queuing, ResourceAllocating, "
    "EnvPreparing or Starting and nothing else; from StopInstance to Stopped it shows Stopping, where it saves "
    "the image Saving and Saved before.",
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


class _NotGiven(str):
    """A default that can be told apart from the same word given by the DAG author."""


RUNNING = _NotGiven("Running")


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
    :param operation: the operation whose outcome is waited for; None if nobody has asked for anything, as in a sensor.
    """

    instance_id: str
    target_statuses: tuple[str, ...] = ("Running",)
    failure_statuses: tuple[str, ...] | None = None
    snapshot: bool = False
    snapshot_id: str | None = None
    snapshot_image: str | None = None
    snapshot_created_after: datetime | None = None
    operation: Operation | None = None

    @classmethod
    def of(
        cls,
        instance_id: str,
        target_status: str | Collection[str] = "Running",
        wait_for_snapshot: bool = False,
        snapshot_id: str | None = None,
        snapshot_image: str | None = None,
        snapshot_created_after: datetime | str | None = None,
        failure_statuses: Collection[str] | None = None,
    ) -> Wait:
        """
        Return the wait that a DAG author's arguments ask for; they are those of the sensor.

        :raises ValueError: as :func:`check_arguments`.
        """
        given = {"instance_id": instance_id, "target_status": target_status, "failure_statuses": failure_statuses}
        narrowed = {
            name: value
            for name, value in {
                "snapshot_id": snapshot_id,
                "snapshot_image": snapshot_image,
                "snapshot_created_after": snapshot_created_after,
            }.items()
            if value is not None
        }
        check_arguments(given | narrowed)
        return cls(
            instance_id=instance_id,
            target_statuses=_check_statuses("target_status", target_status),
            failure_statuses=None
            if failure_statuses is None
            else _check_statuses("failure_statuses", failure_statuses),
            snapshot=wait_for_snapshot or bool(narrowed),
            snapshot_id=snapshot_id,
            snapshot_image=snapshot_image,
            snapshot_created_after=None
            if snapshot_created_after is None
            else _check_created_after(snapshot_created_after),
        )

    def __str__(self) -> str:
        if not self.snapshot:
            whose = f"DSW instance {self.instance_id} to be"
            if self.operation is None:
                return f"{whose} {' or '.join(self.target_statuses)}"
            blocked_by = self.operation.blocked_by
            return f"{whose} no longer {blocked_by}" if blocked_by else f"{whose} {self.target_statuses[0]}"
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

    def after(self, verdict: Verdict) -> Wait:
        """Return the wait as it goes on after a poll."""
        if self.operation is None or self.snapshot or not verdict.evidence:
            return self
        return replace(self, operation=self.operation.after(verdict.found))


@dataclass(frozen=True)
class Verdict:
    """
    What a poll found.

    :param outcome: met, not yet, or can't any more.
    :param seen: the status that decided, in words for a log line; it changes when the status does.
    :param found: the service's object that decided: the instance, or the snapshot with ``InstanceId`` added.
    :param is_stale: whether the instance was still read as it was before the request.
    :param evidence: whether the answer holds a status at all; without one it says nothing new.
    """

    outcome: Outcome
    seen: str
    found: Mapping[str, Any] = field(default_factory=dict)
    is_stale: bool = False
    evidence: bool = True

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
        if snapshot is None:
            verdict = _judge_absence(wait, instance or {})
        else:
            verdict = judge_snapshot(snapshot, InstanceId=wait.instance_id)
        if verdict.outcome is Outcome.FAILED and instance is not None:
            return replace(verdict, found={"RequestId": instance.get("RequestId"), **verdict.found})
        if verdict.outcome is not Outcome.NOT_YET or instance is None:
            return verdict
        if wait.operation is not None and not wait.operation.is_evidence(instance, snapshot):
            return verdict
        of_instance = _judge_instance(wait, instance, targets=())
        return of_instance if of_instance.outcome is Outcome.FAILED else verdict
    return _judge_instance(wait, instance or {}, targets=wait.target_statuses)


def judge_snapshot(snapshot: Mapping[str, Any], **added: str) -> Verdict:
    """
    Say what one snapshot means for a wait for its push.

    :param snapshot: as the service sent it.
    :param added: fields to add to what was found.
    """
    status = status_in(snapshot)
    found = {**snapshot, **added}
    if status is None:
        return Verdict(Outcome.NOT_YET, "snapshot without a status", found, evidence=False)
    outcome = {"Saved": Outcome.MET, "Failed": Outcome.FAILED}.get(status, Outcome.NOT_YET)
    known = "" if status in SNAPSHOT_STATUSES else " (a status that this provider does not know)"
    return Verdict(outcome, f"snapshot {status}{known}", found)


def status_in(answer: Mapping[str, Any]) -> str | None:
    """
    Return the status that an answer gives; None where it gives none, which is no evidence of any change.

    :param answer: an instance or a snapshot, as the service sent it.
    """
    status = answer.get("Status")
    return status if isinstance(status, str) and status.strip() else None


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
    return isinstance(instance.get("InstanceSnapshotList"), list) or any(_snapshots(instance))


def newest_snapshot(instance: Mapping[str, Any], *, before: datetime | None = None) -> Mapping[str, Any] | None:
    """
    Return an instance's newest snapshot; None if it has none.

    :param instance: GetInstance's answer.
    :param before: an aware datetime; a snapshot that was created then or later does not count.
    """
    old = (snapshot for snapshot in _snapshots(instance) if before is None or _created(snapshot) < before)
    return max(old, key=_age, default=None)


def _judge_instance(wait: Wait, instance: Mapping[str, Any], *, targets: Iterable[str]) -> Verdict:
    status = status_in(instance)
    if status is None:
        return Verdict(Outcome.NOT_YET, "no status", instance, evidence=False)
    operation = wait.operation
    save = operation.save(instance) if operation else None
    if save is not None and save.get("Status") == "Failed":
        found = {"RequestId": instance.get("RequestId"), **save, "InstanceId": wait.instance_id}
        return Verdict(Outcome.FAILED, f"{status}, snapshot Failed", found)
    if operation and operation.baseline.is_stale(instance):
        # Of one that would decide nothing anyway the log need not say why it does not.
        would_decide = status in {*targets, *wait.failures, "Stopped"}
        is_old = would_decide and not operation.blocked_by and not operation.baseline.left
        seen = f"{status}, as before the request" if is_old else status
        return Verdict(Outcome.NOT_YET, seen, instance, is_stale=True)
    if status in tuple(targets):
        if save is not None and save.get("Status") != "Saved":
            return Verdict(Outcome.NOT_YET, f"{status}, snapshot {save.get('Status')}", instance)
        outcome = Outcome.MET
    elif status in tuple(wait.failures) or (operation and operation.is_reversed(instance)):
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.NOT_YET
    known = "" if status in INSTANCE_STATUSES else " (a status that this provider does not know)"
    return Verdict(outcome, f"{status}{known}", instance)


def _judge_absence(wait: Wait, instance: Mapping[str, Any]) -> Verdict:
    """Say how far the newest is from being the one: the clock that set the limit may be ahead of the service's."""
    seen = "no such snapshot yet"
    if wait.snapshot_created_after is not None:
        newest = _newest_matching_snapshot(replace(wait, snapshot_created_after=None), instance)
        created = time_in(newest or {}, "GmtCreateTime")
        if created is not None:
            too_old = _whole_seconds(wait.snapshot_created_after) - created
            seen += f", the newest is {too_old.total_seconds():.0f} s too old"
    return Verdict(Outcome.NOT_YET, seen, evidence=shows_snapshots(instance))


def _newest_matching_snapshot(wait: Wait, instance: Mapping[str, Any]) -> Mapping[str, Any] | None:
    # max() keeps the first of equals: LatestSnapshot before its twin in the list, unless it lacks the status.
    return max(matching_snapshots(wait, instance), key=_age, default=None)


def _age(snapshot: Mapping[str, Any]) -> tuple[datetime, bool]:
    return _created(snapshot), status_in(snapshot) is not None


def matching_snapshots(wait: Wait, instance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """
    Iterate over the snapshots that a wait may be for, ``LatestSnapshot`` first; it has a twin in the list.

    :param wait: what is waited for.
    :param instance: GetInstance's answer.
    """
    return (snapshot for snapshot in _snapshots(instance) if _matches(wait, snapshot))


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
    return _created(snapshot) >= _whole_seconds(wait.snapshot_created_after)


def _whole_seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _created(snapshot: Mapping[str, Any]) -> datetime:
    """A snapshot whose time can't be read counts as older than any other: it is never taken for a new one."""
    return time_in(snapshot, "GmtCreateTime") or datetime.min.replace(tzinfo=UTC)


def check_target(target_status: object, waits_for_snapshot: bool) -> None:
    """
    Check that a wait for a snapshot was given no target status, which it has none of.

    :raises ValueError: where it was.
    """
    if waits_for_snapshot and not isinstance(target_status, _NotGiven):
        raise ValueError("target_status: a wait for a snapshot has no target status. Leave one of the two out.")


def check_arguments(values: Mapping[str, Any]) -> None:
    """
    Check a wait's arguments, as far as they are known.

    :param values: those of the sensor's ``instance_id``, ``target_status``, ``failure_statuses`` and
        ``snapshot_…`` arguments that were given and whose value is known already.
    :raises ValueError: on an empty or malformed id, an unknown status, no status at all, or a datetime without
        a time zone; the message says what to do.
    """
    for name, value in values.items():
        if name in ("instance_id", "snapshot_id"):
            check_id(name, value)
        elif name == "target_status":
            if not _check_statuses(name, value):
                raise ValueError("target_status: empty. Name at least one status.")
        elif name == "failure_statuses" and value is not None:
            _check_statuses(name, value)
        elif name == "snapshot_image" and (not isinstance(value, str) or not value.strip()):
            raise ValueError(f"snapshot_image: {value!r} is no ImageId, ImageName or ImageUrl.")
        elif name == "snapshot_created_after":
            _check_created_after(value)


def _check_statuses(name: str, statuses: object) -> tuple[str, ...]:
    statuses = tuple(statuses) if isinstance(statuses, Iterable) and not isinstance(statuses, str) else (statuses,)
    for status in statuses:
        if status not in INSTANCE_STATUSES:
            raise ValueError(f"{name}: {status!r} is no instance status.{nearest(status, INSTANCE_STATUSES)}")
    return statuses


def _check_created_after(value: datetime | str) -> datetime:
    moment: object = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            moment = None
    if not isinstance(moment, datetime):
        raise ValueError(f"snapshot_created_after: {value!r} is neither a datetime nor ISO 8601.")
    # Without a time zone, which moment it means would be a guess.
    if moment.utcoffset() is None:
        raise ValueError(
            f"snapshot_created_after: {value!s} has no time zone. Add one: '…Z' or '…+08:00' in a string, "
            "tzinfo=… (e.g. datetime.timezone.utc) in a datetime."
        )
    return moment
