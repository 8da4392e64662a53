"""
What is waited for, and what a poll means for it.

A condition says only what is waited for. What is known of a running wait beside that, such as the state from before a
request, belongs to :class:`Wait`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from airflow_provider_dsw.arguments import near_miss, on_one_line, shortened
from airflow_provider_dsw.expressions import is_true, root_fields, search, texts_beside
from airflow_provider_dsw.waits.answers import (
    PollResult,
    created_at,
    recency,
    shows_snapshots,
    snapshots_in,
    status_in,
    text_in,
    time_in,
)
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES, SNAPSHOT_STATUSES, default_failure_statuses

if TYPE_CHECKING:
    from airflow_provider_dsw.waits.operations import Operation


class Outcome(Enum):
    """The three things that a poll can mean."""

    SUCCESS = "success"
    PENDING = "pending"
    FAILURE = "failure"


class Problem(Enum):
    """Why the service gave no answer about the instance."""

    NOT_FOUND = "the service knows no such instance or snapshot"
    DENIED = "access is denied"
    REFUSED = "the request is refused"
    TRANSIENT = "the service can't answer now"


class Verdict(NamedTuple):
    """
    What a poll means for a wait.

    :param outcome: success, pending or failure.
    :param last_status: the status that decided, in words for a log line; it changes when the status does.
    :param payload: the service's object that decided: the instance, or the snapshot with ``InstanceId`` added.
    :param is_stale: whether the instance was still read as it was before the request.
    :param has_evidence: whether the answer holds what decides at all; without it, it says nothing new.
    :param remark: what the DAG author should know of how the answer was evaluated; the last status holds it too.
    """

    outcome: Outcome
    last_status: str
    payload: Mapping[str, Any] = MappingProxyType({})
    is_stale: bool = False
    has_evidence: bool = True
    remark: str = ""

    def __repr__(self) -> str:
        # Without the payload, as a poll's result.
        return f"{type(self).__name__}({self.outcome})"

    @property
    def is_of_snapshot(self) -> bool:
        """Whether a snapshot has decided."""
        return "snapshot " in self.last_status

    @property
    def reason(self) -> str:
        """``ReasonCode``, ``ReasonMessage`` and ``RequestId`` as far as the service gave them."""
        given = ((name, text_in(self.payload, name)) for name in ("ReasonCode", "ReasonMessage", "RequestId"))
        return ", ".join(f"{name}: {value}" for name, value in given if value)


@dataclass(frozen=True)
class WaitCondition:
    """
    What is waited for on one instance. The fields have the names of the sensor's arguments.

    :param instance_id: the ``InstanceId``.
    :param failure_statuses: instance statuses that end the wait as failed; None for those from which what is waited
        for is not reached unless a person acts.
    """

    noun: ClassVar[str] = ""
    """What is waited for, in words."""
    chosen_by: ClassVar[tuple[str, ...]] = ()
    """The arguments each of which means this kind of wait."""
    returns_snapshot: ClassVar[bool] = False
    """Whether the payload is a snapshot; else it is the instance."""

    instance_id: str
    _: KW_ONLY
    failure_statuses: tuple[str, ...] | None = None

    @classmethod
    def accepts(cls, argument: str) -> bool:
        """Return whether an argument means anything to this kind of wait."""
        return any(each.name == argument for each in fields(cls))

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that mean this condition."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def evaluate(self, found: PollResult) -> Verdict:
        """
        Say what the service's answer means.

        A failure status ends the wait as failed, unless the answer also shows what is waited for. One that lacks what
        decides is no evidence, and has a remark that says so: without it, the log leaves the answer out. What changes
        at every poll stays out of the last status, for each change of that is logged. A field may be of any type: read
        a text with ``text_in``. The time now is ``found.requested_at``, never the clock's.

        :param found: the answer, whole.
        """
        raise NotImplementedError

    def evaluate_problem(self, problem: Problem) -> Verdict:
        """
        Say what it means that the service gave no answer.

        :param problem: why.
        """
        outcome = Outcome.PENDING if problem is Problem.TRANSIENT else Outcome.FAILURE
        return Verdict(outcome, problem.value, has_evidence=outcome is Outcome.FAILURE)

    def describe_failure(self, verdict: Verdict) -> str:
        """Say in words what a failure has come to."""
        return f"DSW instance {self.instance_id} is {verdict.last_status} and can no longer do what is waited for"

    def _failures(self, *targets: str) -> frozenset[str]:
        """
        Return the instance statuses that end this wait as failed.

        :param targets: the statuses that it needs the instance to reach or to keep; ``""`` for none.
        """
        if self.failure_statuses is not None:
            return frozenset(self.failure_statuses)
        return default_failure_statuses(targets)

    def _evaluate_instance(
        self, instance: Mapping[str, Any], targets: Iterable[str], failures: Iterable[str]
    ) -> Verdict:
        status = status_in(instance)
        if status is None:
            return Verdict(Outcome.PENDING, "no status", instance, has_evidence=False)
        outcome = Outcome.PENDING
        if status in tuple(targets):
            outcome = Outcome.SUCCESS
        elif status in tuple(failures):
            outcome = Outcome.FAILURE
        return Verdict(outcome, _status_text(status, INSTANCE_STATUSES), instance)


@dataclass(frozen=True)
class StatusCondition(WaitCondition):
    """
    An instance's status.

    :param target_status: any of these.
    """

    noun: ClassVar[str] = "a status"
    chosen_by: ClassVar[tuple[str, ...]] = ("target_status",)

    target_status: tuple[str, ...] = ("Running",)

    def __str__(self) -> str:
        return f"DSW instance {self.instance_id} to be {' or '.join(self.target_status)}"

    @property
    def failures(self) -> frozenset[str]:
        """The instance statuses that end this wait as failed."""
        return self._failures(*self.target_status)

    def evaluate(self, found: PollResult) -> Verdict:
        """As the base's."""
        return self._evaluate_instance(found.instance or {}, self.target_status, self.failures)

    def describe_failure(self, verdict: Verdict) -> str:
        """As the base's."""
        found = f"DSW instance {self.instance_id} is {verdict.last_status}"
        # A stop may be over, but not have done what was asked of it.
        return found if verdict.is_of_snapshot else f"{found} and can no longer reach {' or '.join(self.target_status)}"


@dataclass(frozen=True)
class ExpressionCondition(WaitCondition):
    """
    What an expression says of an instance.

    Only whether it is true is made known, never its value: it sees the whole answer, secrets included.

    :param until: a JMESPath expression.
    """

    noun: ClassVar[str] = "an expression"
    chosen_by: ClassVar[tuple[str, ...]] = ("until",)

    until: str = ""

    def __str__(self) -> str:
        return f"DSW instance {self.instance_id} to satisfy {shortened(self.until)!r}"

    @property
    def failures(self) -> frozenset[str]:
        """The instance statuses that end this wait as failed."""
        return self._failures("")

    def evaluate(self, found: PollResult) -> Verdict:
        """As the base's."""
        verdict = self._evaluate_instance(found.instance or {}, (), self.failures)
        try:
            is_met = is_true(search(self.until, found.instance or {}))
        except ValueError as error:
            if verdict.outcome is Outcome.FAILURE:
                return verdict
            remark = f"until can't be evaluated now: {error}"
            last_status = f"{verdict.last_status}; {remark}"
            return verdict._replace(last_status=last_status, has_evidence=False, remark=remark)
        if is_met:
            verdict = verdict._replace(outcome=Outcome.SUCCESS)
        remark = self._mistyped(found.instance or {})
        if not remark or verdict.outcome is Outcome.FAILURE:
            return verdict
        return verdict._replace(last_status=f"{verdict.last_status}; {remark}", remark=remark)

    def _mistyped(self, instance: Mapping[str, Any]) -> str:
        """Return what to say of a name that may be mistyped: the wait would last until its timeout, or not at all."""
        # Not at the top: no DAG file needs it.
        from airflow_provider_dsw.waits.documented_fields import DOCUMENTED_FIELDS

        for name in root_fields(self.until):
            if name not in DOCUMENTED_FIELDS and name not in instance:
                quotes = f" A text needs single quotes: '{name}'." if name in INSTANCE_STATUSES else ""
                near = quotes or near_miss(name, DOCUMENTED_FIELDS)
                return f"until: GetInstance documents no field {name!r}.{near}"
        for text in texts_beside("Status", self.until):
            if text not in INSTANCE_STATUSES and (near := near_miss(text, INSTANCE_STATUSES)):
                return f"until: {text!r} is not an instance status.{near}"
        return ""

    def describe_failure(self, verdict: Verdict) -> str:
        """As the base's."""
        found = f"DSW instance {self.instance_id} is {verdict.last_status}"
        return f"{found} and can no longer satisfy {shortened(self.until)!r}"


@dataclass(frozen=True)
class _SnapshotPushCondition(WaitCondition):
    """
    The end of a snapshot's push.

    :param wait_for_snapshot: always true.
    """

    returns_snapshot: ClassVar[bool] = True

    wait_for_snapshot: bool = True

    @property
    def failures(self) -> frozenset[str]:
        """The instance statuses that end this wait as failed."""
        return self._failures("Saved")

    def evaluate(self, found: PollResult) -> Verdict:
        """As the base's."""
        verdict = self._evaluate_push(found)
        if found.instance is None:
            return verdict
        if verdict.outcome is Outcome.FAILURE:
            return verdict._replace(payload={"RequestId": found.instance.get("RequestId"), **verdict.payload})
        if verdict.outcome is Outcome.SUCCESS:
            return verdict
        of_instance = self._evaluate_instance(found.instance, (), self.failures)
        return of_instance if of_instance.outcome is Outcome.FAILURE else verdict

    def describe_failure(self, verdict: Verdict) -> str:
        """As the base's."""
        if verdict.is_of_snapshot:
            return f"The snapshot of DSW instance {self.instance_id} is {status_in(verdict.payload)}"
        return f"DSW instance {self.instance_id} is {verdict.last_status} and its snapshot can no longer be Saved"

    def _evaluate_push(self, found: PollResult) -> Verdict:
        raise NotImplementedError


@dataclass(frozen=True)
class SnapshotByIdCondition(_SnapshotPushCondition):
    """
    The end of one snapshot's push.

    :param snapshot_id: its ``SnapshotId``.
    """

    noun: ClassVar[str] = "a snapshot by its snapshot_id"
    chosen_by: ClassVar[tuple[str, ...]] = ("snapshot_id",)

    snapshot_id: str = ""

    def __str__(self) -> str:
        return f"the snapshot {self.snapshot_id} of DSW instance {self.instance_id} to be Saved"

    def _evaluate_push(self, found: PollResult) -> Verdict:
        if found.snapshot is None:
            return Verdict(Outcome.PENDING, "no such snapshot yet", has_evidence=False)
        return evaluate_snapshot(found.snapshot, self.instance_id)


@dataclass(frozen=True)
class SnapshotCondition(_SnapshotPushCondition):
    """
    The end of the push of the newest snapshot that GetInstance shows.

    :param snapshot_image: of those with this ``ImageId``, ``ImageName`` or ``ImageUrl``.
    :param snapshot_created_after: of those that were created then or later; an aware datetime.
    """

    noun: ClassVar[str] = "a snapshot"
    chosen_by: ClassVar[tuple[str, ...]] = ("wait_for_snapshot", "snapshot_image", "snapshot_created_after")

    snapshot_image: str | None = None
    snapshot_created_after: datetime | None = None

    def __str__(self) -> str:
        which = (
            f"snapshot of image {on_one_line(shortened(self.snapshot_image))}"
            if self.snapshot_image
            else "latest snapshot"
        )
        since = f" created after {self.snapshot_created_after.isoformat()}" if self.snapshot_created_after else ""
        return f"the {which}{since} of DSW instance {self.instance_id} to be Saved"

    def has_evidence(self, instance: Mapping[str, Any]) -> bool:
        """
        Return whether an answer says which snapshots there are.

        :param instance: GetInstance's answer.
        """
        return shows_snapshots(instance)

    def matching(self, instance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """
        Return the snapshots that may be the one, ``LatestSnapshot`` first; it has a twin in the list.

        :param instance: GetInstance's answer.
        """
        after = self.snapshot_created_after and _whole_seconds(self.snapshot_created_after)
        return [
            snapshot
            for snapshot in snapshots_in(instance)
            if (not self.snapshot_image or self.snapshot_image in _image_names(snapshot))
            and (after is None or created_at(snapshot) >= after)
        ]

    def _evaluate_push(self, found: PollResult) -> Verdict:
        instance = found.instance or {}
        # max() keeps the first of equals: LatestSnapshot before its twin in the list, unless it lacks the status.
        newest = max(self.matching(instance), key=recency, default=None)
        return self._evaluate_absence(instance) if newest is None else evaluate_snapshot(newest, self.instance_id)

    def _evaluate_absence(self, instance: Mapping[str, Any]) -> Verdict:
        """Say how far the newest is from being the one: the clock that set the limit may be ahead of the service's."""
        last_status = "no such snapshot yet"
        if self.snapshot_created_after is not None:
            of_any_age = replace(self, snapshot_created_after=None).matching(instance)
            created = time_in(max(of_any_age, key=recency, default={}), "GmtCreateTime")
            if created is not None:
                too_old = _whole_seconds(self.snapshot_created_after) - created
                last_status += f", the newest is {too_old.total_seconds():.0f} s too old"
        return Verdict(Outcome.PENDING, last_status, has_evidence=self.has_evidence(instance))


KINDS: tuple[type[WaitCondition], ...] = (
    SnapshotByIdCondition,
    SnapshotCondition,
    ExpressionCondition,
    StatusCondition,
)
"""The kinds of wait. If several are named by a wait's arguments the first is meant; if none, the last."""


class Wait(NamedTuple):
    """
    A running wait: what for, and what is known beside that.

    :param condition: what is waited for.
    :param operation: the operation whose outcome is waited for; None if nothing was requested, as in a sensor.
    """

    condition: WaitCondition
    operation: Operation | None = None

    def __str__(self) -> str:
        if self.operation is None:
            return str(self.condition)
        return self.operation.describe(self.condition)

    def describe_failure(self, verdict: Verdict) -> str:
        """Say in words what a failure has come to."""
        if self.operation is None:
            return self.condition.describe_failure(verdict)
        return self.operation.describe_failure(self.condition, verdict)

    def after(self, verdict: Verdict) -> Wait:
        """Return the wait as it continues after a poll."""
        if self.operation is None or self.condition.returns_snapshot or not verdict.has_evidence:
            return self
        return self._replace(operation=self.operation.after(verdict.payload))


def evaluate(wait: Wait, found: PollResult | Problem) -> Verdict:
    """
    Say what a poll means for a wait: all that it can mean.

    :param wait: what is waited for.
    :param found: what the service said, or why it said nothing.
    """
    if isinstance(found, Problem):
        if wait.operation is not None:
            return wait.operation.evaluate_problem(wait.condition, found)
        return wait.condition.evaluate_problem(found)
    if wait.operation is None:
        return wait.condition.evaluate(found)
    return wait.operation.evaluate(wait.condition, found)


def evaluate_snapshot(snapshot: Mapping[str, Any], instance_id: str) -> Verdict:
    """
    Say what one snapshot means for a wait for its push.

    :param snapshot: as the service sent it.
    :param instance_id: whose it is; added to the payload.
    """
    status = status_in(snapshot)
    payload = {**snapshot, "InstanceId": instance_id}
    if status is None:
        return Verdict(Outcome.PENDING, "snapshot without a status", payload, has_evidence=False)
    outcome = {"Saved": Outcome.SUCCESS, "Failed": Outcome.FAILURE}.get(status, Outcome.PENDING)
    return Verdict(outcome, f"snapshot {_status_text(status, SNAPSHOT_STATUSES)}", payload)


def _status_text(status: str, known: Iterable[str]) -> str:
    return status if status in known else f"{status} (a status that this provider does not know)"


def _image_names(snapshot: Mapping[str, Any]) -> tuple[Any, ...]:
    return snapshot.get("ImageId"), snapshot.get("ImageName"), snapshot.get("ImageUrl")


def _whole_seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
