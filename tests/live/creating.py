"""What is seen of an instance that is created and deleted. It is deleted in any case."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import uuid4

from airflow_provider_dsw.exceptions import DswError, DswRequestError
from airflow_provider_dsw.operators.create import CREATION_CONFIRM_ATTEMPTS
from airflow_provider_dsw.operators.submission import CONFIRM_ATTEMPTS, CONFIRM_PAUSE
from airflow_provider_dsw.waits.labels import with_label
from tests.live.changing import LABEL, Started, set_timer, stop, wait_for_running
from tests.live.checks import OWN_LABEL
from tests.live.observations import Deletion, Operation, Timers
from tests.live.session import NotTried, Session, request


def create(session: Session) -> None:
    """Create an instance, list it, and delete it: at once if the service allows that, or else once it is stopped."""
    body, value = session.variables.create or {}, uuid4().hex
    labels = [*(body.get("Labels") or []), {"Key": LABEL, "Value": value}]
    made: list[str] = []
    is_refused = False

    def ask() -> None:
        made.append(session.hook.create_instance({**body, "Labels": labels})["InstanceId"])

    deletion = session.seen.deletion = Deletion()
    try:
        accepted = request(ask)
        is_refused = not accepted.accepted
        if is_refused:
            raise NotTried(f"CreateInstance was {accepted}.")
        instance = Started(made[0], Timers(set_timer(session, made[0])))
        operation = Operation("CreateInstance", made[0])
        session.seen.operations.append(operation)
        session.seen.timers.append(instance.timers)
        operation.listed_after = _lists_until_shown(session, value, CREATION_CONFIRM_ATTEMPTS)
        wait_for_running(session, operation, instance.timers)
        _list(session, made[0], value)
        if not _delete(session, deletion, instance.instance_id):
            stop(session, instance)
            _delete(session, deletion, instance.instance_id)
        if deletion.operation:
            session.follow(deletion.operation, None, session.limits.delete)
            deletion.is_listed = _is_listed_for_ever(session, value)
    finally:
        if not is_refused and not (deletion.operation and deletion.operation.is_complete):
            leave_nothing(session, made, value)


def _lists_until_shown(session: Session, value: str, most: int) -> int:
    """Return which list is the first that shows what was created by its label; 0 if none does."""
    for number in range(1, most + 1):
        if with_label(_listed(session, value), LABEL, value):
            return number
        session.sleep(min(session.limits.poll, CONFIRM_PAUSE))
    return 0


def _list(session: Session, instance_id: str, value: str) -> None:
    """List what was created by its label, as often as an operator does, and among all."""
    labels = session.seen.labels
    _lists_until_shown(session, value, CONFIRM_ATTEMPTS)
    found = _listed(session, value)
    having = with_label(found, LABEL, value)
    labels.by_label.append((OWN_LABEL, len(having), len(found) - len(having)))
    if having:
        ids = [item.get("InstanceId") for item in session.hook.list_instances(workspace_id="ALL", resource_id="ALL")]
        (labels.listed if instance_id in ids else labels.not_listed).append(instance_id)


def _listed(session: Session, value: str) -> list[dict[str, Any]]:
    return list(session.hook.list_instances(workspace_id="ALL", resource_id="ALL", labels={LABEL: value}))


def _delete(session: Session, deletion: Deletion, instance_id: str) -> bool:
    before = session.look_before(instance_id)
    attempt = request(session.hook.delete_instance, instance_id)
    deletion.attempts.append((before[-1].status, attempt))
    if attempt.accepted:
        deletion.operation = Operation("DeleteInstance", instance_id, before)
    return attempt.accepted


def _is_listed_for_ever(session: Session, value: str) -> bool:
    """Return whether an instance that is not found any more is listed until the time is over."""
    began = session.now()
    while session.now() - began < session.limits.delete:
        if not with_label(_listed(session, value), LABEL, value):
            return False
        session.sleep(session.limits.poll)
    return True


def leave_nothing(session: Session, made: list[str], value: str) -> None:
    """Delete what was created here: by its label if no answer has named it. It may be shown and listed late."""
    known, left, looks = {*made}, {*made}, 0
    began, limit = session.now(), session.limits.stop + session.limits.delete
    while left or looks < CONFIRM_ATTEMPTS:
        if session.now() - began >= limit:
            what = ", ".join(sorted(left)) or f"with the label {LABEL}={value}"
            session.seen.stopped_short["clean-up"] = f"Could not delete all DSW instances {what}. Delete them."
            return
        with contextlib.suppress(DswError):
            listed = {item["InstanceId"] for item in with_label(_listed(session, value), LABEL, value)}
            known |= listed
            left = {instance_id for instance_id in known if not _is_gone(session, instance_id, instance_id in listed)}
            looks += 1
        session.sleep(session.limits.poll)


def _is_gone(session: Session, instance_id: str, is_listed: bool) -> bool:
    """Have an instance deleted, or stopped before, and return whether there is none any more."""
    if request(session.hook.delete_instance, instance_id).accepted:
        return False
    try:
        is_found = bool(session.look(instance_id).answer)
    except DswRequestError:  # in other words than those for what is not found
        is_found = False
    if is_found:
        request(session.hook.stop_instance, instance_id)
    return not (is_found or is_listed)
