"""
What an operator's wait knows beyond a sensor's: the operation that was requested, and the state from before it.

Pure functions of the service's answers, as in :mod:`~airflow_provider_dsw.waits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider_dsw.waits.answers import (
    PollResult,
    fingerprint,
    newest_snapshot,
    status_in,
    storable_status,
    storable_time,
    text_in,
    time_in,
)
from airflow_provider_dsw.waits.conditions import Outcome, Problem, StatusCondition, Verdict, WaitCondition
from airflow_provider_dsw.waits.progress import BEING_PUSHED, REVERSALS, has_failed, is_saved

SUBMIT_ATTEMPTS = 3
"""How often a request is sent, if its answer is lost and the service does not show that it was performed."""


class Baseline(NamedTuple):
    """
    The state of an instance before a request: what was true then is never the request's outcome.

    :param status: its ``Status``; None if there was no instance.
    :param modified: its ``GmtModifiedTime``, in ISO 8601.
    :param reason: what tells its ``ReasonCode`` and ``ReasonMessage`` from others.
    :param snapshot: what tells its newest snapshot from any other; None if it had none.
    :param snapshot_created: that snapshot's ``GmtCreateTime``, in ISO 8601.
    :param left: whether another status was read since.
    :param again: a later ``GmtModifiedTime`` that was read with the same status since.
    :param time_moves: whether the time was seen to move when the status does not, so that it tells nothing.
    """

    status: str | None = None
    modified: str | None = None
    reason: str | None = None
    snapshot: str | None = None
    snapshot_created: str | None = None
    left: bool = False
    again: str | None = None
    time_moves: bool = False

    @classmethod
    def of(cls, instance: Mapping[str, Any], *, before: datetime | None = None) -> Baseline:
        """
        Return the state that an answer shows.

        :param instance: GetInstance's answer.
        :param before: an aware datetime: a snapshot that was created later is not from before the request.
        """
        snapshot = newest_snapshot(instance, before=before)
        return cls(
            status=storable_status(instance),
            modified=storable_time(instance, "GmtModifiedTime"),
            reason=_reason_fingerprint(instance),
            snapshot=None if snapshot is None else _snapshot_fingerprint(snapshot),
            snapshot_created=storable_time(snapshot or {}, "GmtCreateTime"),
        )

    @property
    def is_absence(self) -> bool:
        """Whether there was no instance, and none was read since: that it is not found is still the state of before."""
        return self.status is None and not self.left

    def is_stale(self, instance: Mapping[str, Any]) -> bool:
        """
        Return whether an answer shows the instance as it was before the request, or even earlier.

        :param instance: GetInstance's answer.
        """
        before, now = self._times(instance)
        is_same = storable_status(instance) == self.status
        if before is not None and now is not None and now < before:
            return True
        if before is None or now is None or self.time_moves:
            return is_same and not self.left
        if now == before:
            # All of it may have happened within one second.
            return is_same and _reason_fingerprint(instance) in (self.reason, None)
        # A later time with the same status has to be read twice: it may be one that always moves.
        return is_same and not self.left and storable_time(instance, "GmtModifiedTime") != self.again

    def is_left(self, instance: Mapping[str, Any]) -> bool:
        """
        Return whether the instance has left this state for certain: by what was read before, or by this answer.

        :param instance: GetInstance's answer, one that is not stale.
        """
        is_another = storable_status(instance) != self.status
        return self.left or self.is_absence or (self.is_before(instance) and is_another)

    def after(self, instance: Mapping[str, Any]) -> Baseline:
        """
        Return what is known after an answer.

        :param instance: GetInstance's answer.
        """
        if storable_status(instance) != self.status:
            return self if self.left or self.is_stale(instance) else self._replace(left=True)
        modified = storable_time(instance, "GmtModifiedTime")
        if self.left or not self.is_before(instance) or modified == self.again:
            return self
        return self._replace(again=modified, time_moves=self.again is not None)

    def is_before(self, instance: Mapping[str, Any]) -> bool:
        """
        Return whether an answer has a later time.

        :param instance: GetInstance's answer.
        """
        before, now = self._times(instance)
        return before is not None and now is not None and now > before

    def _times(self, instance: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
        return time_in({"modified": self.modified}, "modified"), time_in(instance, "GmtModifiedTime")


class Operation(NamedTuple):
    """
    What an operator's wait has to know beyond a sensor's: its outcome is that of a request.

    :param baseline: the state before the request; if the operation was found in progress, when it was found.
    :param reversible: whether ``Stopping`` or ``Stopped`` ends the wait as failed once the baseline was left.
    :param saves_image: whether a snapshot that is newer than the baseline's belongs to the operation.
    :param blocked_by: the status whose end is waited for, before the request can be made.
    :param may_be_gone: whether the wait ends, other than as failed, once the service knows no such instance.
    :param until_gone: whether nothing else is the end that is waited for.
    :param submitted_at: POSIX time at which this try has made the request; None if it has found it in progress.
    :param has_timer: whether the instance was given a shutdown timer, or had one.
    :param goal: what it leads to, in words that follow "to", e.g. ``"be gone"``; None: the condition's own words.
    :param was_repeated: whether this try has sent the request again, because its answer was lost.
    """

    baseline: Baseline
    reversible: bool = False
    saves_image: bool = False
    blocked_by: str | None = None
    may_be_gone: bool = False
    until_gone: bool = False
    submitted_at: float | None = None
    has_timer: bool = False
    goal: str | None = None
    was_repeated: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as plain types, for a trigger's arguments."""
        return {**self._asdict(), "baseline": self.baseline._asdict()}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Operation:
        """Return what :meth:`as_json` made plain types of."""
        return cls(**{**kept, "baseline": Baseline(**kept["baseline"])})

    def after(self, instance: Mapping[str, Any]) -> Operation:
        """
        Return what is known after an answer.

        :param instance: GetInstance's answer.
        """
        status = instance.get("Status")
        if self.reversible and status in REVERSALS and status != self.baseline.status:
            return self
        baseline = self.baseline.after(instance)
        return self if baseline is self.baseline else self._replace(baseline=baseline)

    def is_refined_by(self, other: Operation) -> bool:
        """
        Return whether another differs from this one in nothing but what was read since.

        :param other: what was kept of an operation.
        """
        since = {name: getattr(other.baseline, name) for name in ("left", "again", "time_moves")}
        return other == self._replace(baseline=self.baseline._replace(**since))

    def is_reversed(self, instance: Mapping[str, Any]) -> bool:
        """
        Return whether the operation in progress was reversed from outside.

        :param instance: GetInstance's answer, one that is not stale.
        """
        return self.reversible and instance.get("Status") in REVERSALS and self.baseline.is_left(instance)

    def own_snapshot(self, instance: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """
        Return the snapshot that this operation has made; None if there is none.

        :param instance: GetInstance's answer.
        """
        snapshot = newest_snapshot(instance) if self.saves_image else None
        if snapshot is None or _snapshot_fingerprint(snapshot) == self.baseline.snapshot:
            return None
        # The baseline's own may have been deleted since, or a replica that is behind may not have it yet.
        before = time_in({"created": self.baseline.snapshot_created}, "created")
        created = time_in(snapshot, "GmtCreateTime")
        return None if before is not None and created is not None and created < before else snapshot

    def evaluate(self, condition: WaitCondition, found: PollResult) -> Verdict:
        """
        Say what an answer means for the outcome of this operation.

        :param condition: what is waited for.
        :param found: the service's answer.
        """
        verdict, instance = condition.evaluate(found), found.instance
        if instance is None or status_in(instance) is None:
            return verdict
        if condition.returns_snapshot:
            decided_by_instance = verdict.outcome is Outcome.FAILURE and verdict.payload is instance
            if decided_by_instance and (
                self.baseline.is_stale(instance) or not _is_evidence_on(found.snapshot, instance)
            ):
                return condition.evaluate(found._replace(instance=None))
            return verdict
        return self._evaluate_instance(condition, verdict, instance)

    def evaluate_problem(self, condition: WaitCondition, problem: Problem) -> Verdict:
        """
        Say what it means for the outcome of this operation that the service gave no answer.

        :param condition: what is waited for.
        :param problem: why.
        """
        if self.may_be_gone and problem is Problem.NOT_FOUND:
            if self.baseline.is_absence:
                return Verdict(Outcome.PENDING, "not shown yet", has_evidence=False)
            return Verdict(Outcome.SUCCESS, "gone", {"InstanceId": condition.instance_id})
        return condition.evaluate_problem(problem)

    def _evaluate_instance(self, condition: WaitCondition, verdict: Verdict, instance: Mapping[str, Any]) -> Verdict:
        own_snapshot = self.own_snapshot(instance)
        if own_snapshot is not None and has_failed(own_snapshot):
            payload = {"RequestId": instance.get("RequestId"), **own_snapshot, "InstanceId": condition.instance_id}
            return Verdict(Outcome.FAILURE, f"{verdict.last_status}, snapshot Failed", payload)
        if self.baseline.is_stale(instance):
            # Of one that would decide nothing anyway the log need not say why it does not.
            would_decide = verdict.outcome is not Outcome.PENDING or instance.get("Status") == "Stopped"
            is_old = would_decide and not self.blocked_by and not self.baseline.left
            last_status = f"{verdict.last_status}, as before the request" if is_old else verdict.last_status
            return Verdict(Outcome.PENDING, last_status, instance, is_stale=True)
        if verdict.outcome is Outcome.SUCCESS and own_snapshot is not None and not is_saved(own_snapshot):
            return verdict._replace(
                outcome=Outcome.PENDING,
                last_status=f"{verdict.last_status}, snapshot {status_in(own_snapshot)}",
            )
        if verdict.outcome is Outcome.SUCCESS and self.until_gone:
            return verdict._replace(outcome=Outcome.PENDING)
        if verdict.outcome is Outcome.PENDING and self.is_reversed(instance):
            return verdict._replace(outcome=Outcome.FAILURE)
        return verdict

    def describe(self, condition: WaitCondition) -> str:
        """Say in words what is waited for."""
        if self.goal is not None:
            return f"DSW instance {condition.instance_id} to {self.goal}"
        return str(_requested(condition))

    def describe_failure(self, condition: WaitCondition, verdict: Verdict) -> str:
        """Say in words what a failure has come to."""
        if self.goal is not None:
            return f"DSW instance {condition.instance_id} is {verdict.last_status} and can no longer {self.goal}"
        return _requested(condition).describe_failure(verdict)


def _requested(condition: WaitCondition) -> WaitCondition:
    """Return what was requested: the first status of several, of which the others end the wait too."""
    if isinstance(condition, StatusCondition):
        return replace(condition, target_status=condition.target_status[:1])
    return condition


def shows_new_snapshot(instance: Mapping[str, Any], baseline: Baseline) -> bool:
    """
    Return whether an instance makes a snapshot, or has one that is newer than the baseline's.

    :param instance: GetInstance's answer.
    :param baseline: the state before the snapshot was requested.
    """
    own_snapshot = Operation(baseline, saves_image=True).own_snapshot(instance)
    return instance.get("Status") == "Saving" or own_snapshot is not None


def has_nothing_to_stop(instance: Mapping[str, Any], baseline: Baseline | None) -> bool:
    """
    Return whether an instance stops already, or is stopped, or goes away.

    :param instance: GetInstance's answer.
    :param baseline: the state before a request that may be in effect though it is not shown yet.
    """
    is_shown_late = baseline is not None and baseline.is_stale(instance) and not baseline.is_before(instance)
    return not is_shown_late and instance.get("Status") in (*REVERSALS, "Deleting", "ArrearStopping", "Arrearge")


def _is_evidence_on(snapshot: Mapping[str, Any] | None, instance: Mapping[str, Any]) -> bool:
    """Return whether an instance's status, which was read after it, says anything about a snapshot's push."""
    created, modified = time_in(snapshot or {}, "GmtCreateTime"), time_in(instance, "GmtModifiedTime")
    if created is not None and modified is not None and modified < created:
        return False
    # The snapshot itself will say if its push fails, with its own reason.
    return instance.get("Status") != "SaveFailed" or (snapshot or {}).get("Status") not in (*BEING_PUSHED, None)


def _reason_fingerprint(instance: Mapping[str, Any]) -> str | None:
    reason = text_in(instance, "ReasonCode"), text_in(instance, "ReasonMessage")
    return fingerprint(*reason) if any(reason) else None


def _snapshot_fingerprint(snapshot: Mapping[str, Any]) -> str:
    # Without ImageId: whether a snapshot has it from the beginning is documented nowhere.
    return fingerprint(*(text_in(snapshot, name) for name in ("GmtCreateTime", "ImageName", "ImageUrl")))
