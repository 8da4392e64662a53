"""What is seen of an instance that is started, saved and stopped. It is stopped in any case, by the service at last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from airflow_provider_dsw.details import redact
from airflow_provider_dsw.exceptions import DswError, DswInstanceNotFoundError, DswTransientError
from airflow_provider_dsw.operators.submission import CONFIRM_ATTEMPTS, CONFIRM_PAUSE
from airflow_provider_dsw.waits.answers import shutdown_timer, snapshots_in
from airflow_provider_dsw.waits.labels import with_label
from airflow_provider_dsw.waits.progress import (
    has_failed,
    is_being_pushed,
    is_deletable,
    is_starting,
    is_stopping,
)
from airflow_provider_dsw.waits.statuses import RUNNING, STOPPED
from tests.live.observations import Attempt, Look, Operation, Push, Timers
from tests.live.session import NotTried, Session, request

LABEL = "dsw-live"


@dataclass
class Started:
    """
    An instance that was started or created here.

    :param snapshots: the ids of those that were made here, and not deleted.
    :param is_left: whether it was read to be stopped after the last request.
    """

    instance_id: str
    timers: Timers
    snapshots: list[str] = field(default_factory=list)
    is_left: bool = False


def change(session: Session) -> None:
    """Start and stop the instance; if there is a repository, also save it, and then once more as it stops."""
    instance_id = session.variables.instance_id or ""
    with started(session, instance_id) as first:
        try_timers(session, first)
        if session.variables.repository:
            save(session, first)
        stop(session, first)
    if session.variables.repository:
        with started(session, instance_id) as second:
            stop(session, second, save_image=True)


@contextlib.contextmanager
def started(session: Session, instance_id: str) -> Iterator[Started]:
    """Start an instance for a `with` block: what runs already is not stopped, and so not used either."""
    before = session.look_before(instance_id)
    if not is_deletable(before[-1].answer):
        raise NotTried(
            f"DSW instance {instance_id} is {before[-1].status}. Stop it: what was not started here is not touched."
        )
    operation = Operation("StartInstance", instance_id, before)
    try:
        accepted = request(session.hook.start_instance, instance_id)
    except BaseException as error:
        # Also if somebody ends the run: its answer may be on the way.
        if not isinstance(error, DswError) or getattr(error, "may_have_been_performed", False):
            leave_stopped(session, instance_id)
        raise
    if not accepted.accepted:
        raise NotTried(f"StartInstance was {accepted}.")
    instance: Started | None = None
    try:
        session.seen.operations.append(operation)
        instance = Started(instance_id, Timers(set_timer(session, instance_id)))
        session.seen.timers.append(instance.timers)
        wait_for_running(session, operation, instance.timers)
        yield instance
    finally:
        if instance is None or not instance.is_left:
            leave_stopped(session, instance_id)
        if instance is not None:
            _delete_snapshots(session, instance)
            if instance.snapshots:
                left = ", ".join(instance.snapshots)
                session.seen.stopped_short["clean-up"] = f"Could not delete the snapshots {left} of {instance_id}."


def wait_for_running(session: Session, operation: Operation, timers: Timers) -> None:
    """Wait until an instance runs, and has a timer."""

    def start_again(look: Look) -> None:
        if operation.repeated is None and operation.before and is_starting(look.answer):
            operation.repeated = request(session.hook.start_instance, operation.instance_id)

    session.follow(operation, RUNNING, session.limits.start, start_again)
    if not operation.is_complete:
        raise NotTried(f"{operation.action} did not lead to Running: {' → '.join(operation.statuses())}.")
    if not timers.on_the_way.accepted:
        timers.running = set_timer(session, operation.instance_id)
        if not timers.running.accepted:
            raise NotTried("Nothing was tried on an instance that the service will not stop by itself.")


def set_timer(session: Session, instance_id: str, seconds_more: float = 0) -> Attempt:
    """Let the service stop an instance by itself, if all else fails."""
    return request(session.hook.set_shutdown_timer, instance_id, after=session.limits.stop_after + seconds_more)


def try_timers(session: Session, instance: Started) -> None:
    """Set a second timer beside the first, and again once the first is deleted."""
    timers, instance_id = instance.timers, instance.instance_id
    first = shutdown_timer(session.look(instance_id).answer)
    timers.second = set_timer(session, instance_id, 600)
    if timers.second.accepted:
        for _ in range(CONFIRM_ATTEMPTS):
            shown = shutdown_timer(session.look(instance_id).answer)
            if first and shown:
                timers.replaced = shown.get("DueTime") != first.get("DueTime")
            if timers.replaced:
                return
            session.sleep(min(session.limits.poll, CONFIRM_PAUSE))
    else:
        request(session.hook.delete_shutdown_timer, instance_id)
        timers.after_deletion = set_timer(session, instance_id, 600)


def stop(session: Session, instance: Started, *, save_image: bool = False) -> None:
    """Stop what was started here."""
    instance_id, seen = instance.instance_id, session.seen
    before = session.look_before(instance_id)
    operation = Operation(f"StopInstance{' with SaveImage' if save_image else ''}", instance_id, before)
    push = Push([*snapshots_in(before[-1].answer)])
    accepted = request(session.hook.stop_instance, instance_id, save_image=save_image)
    if not accepted.accepted:
        raise NotTried(f"StopInstance was {accepted}.")
    seen.operations.append(operation)

    def ask_again(look: Look) -> None:
        if operation.repeated is None and not save_image and is_stopping(look.answer):
            operation.repeated = request(session.hook.stop_instance, instance_id)
            operation.start_in_between = request(session.hook.start_instance, instance_id)

    session.follow(operation, STOPPED, session.limits.snapshot if save_image else session.limits.stop, ask_again)
    if not operation.is_complete:
        raise NotTried(f"{operation.action} did not lead to Stopped: {' → '.join(operation.statuses())}.")
    instance.is_left = operation.looks[-1].status == STOPPED
    if save_image:
        push.after = [*snapshots_in(operation.looks[-1].answer)]
        seen.saves_on_stop.append(push)
    instance.timers.outlives_stop = shutdown_timer(operation.looks[-1].answer) is not None
    if instance.timers.outlives_stop:
        request(session.hook.delete_shutdown_timer, instance_id)


def leave_stopped(session: Session, instance_id: str) -> None:
    """Stop what was started here, whatever has become of it: a save has to end before, and an old state may be read."""
    began, limit, stopped = session.now(), session.limits.snapshot + session.limits.stop, 0
    while session.now() - began < limit:
        try:
            refused = not request(session.hook.stop_instance, instance_id).accepted
            look = session.look(instance_id)
            stopped = stopped + 1 if refused and (not look.answer or is_deletable(look.answer)) else 0
            if stopped == CONFIRM_ATTEMPTS:
                if shutdown_timer(look.answer) is not None:
                    request(session.hook.delete_shutdown_timer, instance_id)
                return
        except DswTransientError:
            pass  # it may answer later
        except DswError:
            break
        session.sleep(session.limits.poll)
    session.seen.stopped_short["clean-up"] = f"DSW instance {instance_id} could not be stopped. Stop it."


def save(session: Session, instance: Started) -> None:
    """Push a snapshot, look at it until it is finished, and ask for another one of its name. Both are deleted."""
    instance_id, made = instance.instance_id, instance.snapshots
    name = f"{LABEL}-{uuid4().hex[:12]}"
    before = session.look_before(instance_id)
    operation = Operation("CreateInstanceSnapshot", instance_id, before)
    push = Push([*snapshots_in(before[-1].answer)])

    def ask() -> None:
        answer = session.hook.create_instance_snapshot(
            instance_id,
            snapshot_name=name,
            image_url=f"{session.variables.repository}:{name}",
            labels={LABEL: name},
        )
        made.append(answer["SnapshotId"])

    try:
        accepted = request(ask)
        if not accepted.accepted:
            raise NotTried(f"CreateInstanceSnapshot was {accepted}.")
        session.seen.operations.append(operation)
        session.seen.pushes.append(push)
        _find_listed(session, operation, name)
        _follow_push(session, operation, push, made[0])
        session.sleep(session.limits.poll)
        push.looks.append(_look_at_snapshot(session, instance_id, made[0]))
        if operation.is_complete:
            push.again = request(ask)
            if push.again.accepted:
                _follow_push(session, Operation("(another one)", instance_id), Push([]), made[-1])
    finally:
        made += [snapshot_id for snapshot_id in _labelled(session, instance_id, name) if snapshot_id not in made]
        _delete_snapshots(session, instance)


def _find_listed(session: Session, operation: Operation, name: str) -> None:
    """Look for a snapshot as often as an operator does."""
    operation.listed_after = 0
    for number in range(1, CONFIRM_ATTEMPTS + 1):
        if _labelled(session, operation.instance_id, name):
            operation.listed_after = number
            return
        session.sleep(min(session.limits.poll, CONFIRM_PAUSE))


def _labelled(session: Session, instance_id: str, name: str) -> list[str]:
    try:
        listed = with_label(session.hook.list_instance_snapshots(instance_id), LABEL, name)
    except DswError:
        return []
    return [snapshot["SnapshotId"] for snapshot in listed if "SnapshotId" in snapshot]


def _follow_push(session: Session, operation: Operation, push: Push, snapshot_id: str) -> None:
    """Look at the instance and at the snapshot until the instance runs again and the push has ended."""
    began = session.now()
    while session.now() - began < session.limits.snapshot:
        operation.looks.append(session.look(operation.instance_id))
        push.after = [*snapshots_in(operation.looks[-1].answer)] or push.after
        push.looks.append(_look_at_snapshot(session, operation.instance_id, snapshot_id))
        # The old state may be read for a while.
        last = {look.status for look in operation.looks[-CONFIRM_ATTEMPTS:]}
        is_free = len(operation.looks) >= CONFIRM_ATTEMPTS and last in ({RUNNING}, {STOPPED})
        if is_free and not is_being_pushed(push.looks[-1].answer):
            operation.is_complete = not has_failed(push.looks[-1].answer)
            return
        session.sleep(session.limits.poll)


def _look_at_snapshot(session: Session, instance_id: str, snapshot_id: str) -> Look:
    at = session.now()
    try:
        return Look(at, redact(session.hook.get_instance_snapshot(instance_id, snapshot_id)))
    except DswInstanceNotFoundError:
        return Look(at, {})


def _delete_snapshots(session: Session, instance: Started) -> None:
    """Delete what can be deleted now: perhaps not what is being pushed."""
    for snapshot_id in [*instance.snapshots]:
        path = f"/api/v2/instances/{instance.instance_id}/snapshots/{snapshot_id}"
        with contextlib.suppress(DswError):
            deleted = request(session.hook.call, "DeleteInstanceSnapshot", method="DELETE", path=path)
            if deleted.accepted or isinstance(deleted.error, DswInstanceNotFoundError):
                instance.snapshots.remove(snapshot_id)
