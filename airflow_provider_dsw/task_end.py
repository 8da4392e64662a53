"""
How a task ended: by a person, on its last try, or only until Airflow retries it.

Airflow tells a task and its trigger that they are killed, but neither why nor what comes next: this module asks.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_dsw.links.dsw import ti_fields
from airflow_provider_dsw.version_compat import AirflowFailException, AirflowSensorTimeout, aget_xcom, aset_xcom

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

NOTE_KEY = "dsw_stop_on_kill"
"""
The XCom by which a try tells the triggers of its waits whether they may have to stop the instance.

``wait``: what names the wait that is deferred. ``is_cleared``: whether a person ended the try before this one, and this
one has asked for nothing yet. ``began``: POSIX time at which it began. ``stopped_by``: what has claimed the stop.
"""
STATE_TIMEOUT = 2.0
"""Seconds for a question to Airflow while it kills the task: it sends SIGKILL five seconds after SIGTERM."""
CLAIM_PAUSE = 0.5
"""Seconds in which another triggerer may claim the same stop; the later claim counts."""
STOP_WINDOW = 60.0
"""Seconds after the beginning of a try until which the one before it may have the instance stopped."""
STATE_RETRY_PAUSE = 3.0
"""Seconds until a triggerer repeats a question that Airflow did not answer."""
_ATTEMPTS = 3
# The states of a task that nobody has ended: the last one is that of a try whose heartbeats the scheduler missed.
_NOT_ENDED_BY_PERSON = ("running", "deferred", "up_for_retry")

log = logging.getLogger(__name__)


class TaskTry(NamedTuple):
    """
    One try of a task, as far as its end depends on it.

    :param row: what names the task instance: ``dag_id``, ``task_id``, ``run_id`` and ``map_index``.
    :param number: ``try_number``, from 1 on.
    :param max_tries: the number of the last try, less one.
    """

    row: Mapping[str, Any]
    number: int
    max_tries: int

    @classmethod
    def of(cls, context: Context) -> TaskTry:
        """Return the try that a context is of."""
        ti: Any = context.get("ti")
        row = {name: getattr(ti, name, None) for name in ("dag_id", "task_id", "run_id", "map_index")}
        return cls(row, getattr(ti, "try_number", 1), getattr(ti, "max_tries", 0))

    @property
    def may_be_repeated(self) -> bool:
        """Whether Airflow retries the task if this try fails with an error that a retry may fix."""
        return 0 < self.number <= self.max_tries

    def is_retry(self, retries: int) -> bool:
        """
        Return whether an earlier try has failed, since the task was cleared last.

        :param retries: the task's.
        """
        # To clear a task lets it have all its retries again, from the next try on.
        return self.number > 1 and not self.is_cleared(retries)

    def is_cleared(self, retries: int) -> bool:
        """
        Return whether a person has cleared the task, and this is the first try since.

        :param retries: the task's.
        """
        return self.number > 1 and self.number == self.max_tries - retries + 1

    def is_last(self, error: BaseException, task: BaseOperator, context: Context) -> bool:
        """
        Return whether Airflow does not repeat the task after this error.

        :param error: what the try ends with.
        :param task: the task, which may have a ``retry_policy`` (Airflow 3.3+).
        :param context: the task's.
        """
        if not self.may_be_repeated or isinstance(error, (AirflowFailException, AirflowSensorTimeout)):
            return True
        policy = getattr(task, "retry_policy", None)
        if policy is None:
            return False
        try:
            decision = policy.evaluate(
                exception=error, try_number=self.number, max_tries=self.max_tries, context=context
            )
        except Exception:
            return False  # as Airflow does: it falls back to the number of tries
        return bool(decision.action.value == "fail")

    def was_ended_by_person(self) -> bool | None:
        """
        Return whether a person has ended this try, which runs in this process; None if Airflow does not say.

        It may be called from a signal handler, in the middle of another question to Airflow: so it asks in a thread.
        """
        if not _has_supervisor():
            # Nobody but a person can end a task that runs outside of Airflow.
            return True
        answers: list[str | None] = []

        def ask() -> None:
            try:
                answers.append(_state(self.row))
            except Exception as error:
                log.warning("Could not ask Airflow who ended the task (%s).", type(error).__name__)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(STATE_TIMEOUT)
        return answers[0] not in _NOT_ENDED_BY_PERSON if answers else None


def write_note(attempt: TaskTry, **facts: Any) -> None:
    """
    Tell the triggers of this task's waits what :data:`NOTE_KEY` is about.

    :param attempt: the try.
    :param facts: what holds from now on; without any, a trigger has nothing to stop.
    """
    if not _has_supervisor():
        return
    try:
        BaseXCom.set(NOTE_KEY, {"try": attempt.number, **facts}, **attempt.row)
    except Exception as error:
        log.warning(
            "Nothing will be stopped if the task is ended while it is deferred: its note could not be saved (%s).",
            type(error).__name__,
        )


def has_noted_wait(attempt: TaskTry) -> bool:
    """Return whether a wait of this try was deferred during which the instance might have to be stopped."""
    if not _has_supervisor():
        return False
    try:
        found = BaseXCom.get_value(ti_key=SimpleNamespace(**attempt.row), key=NOTE_KEY)
    except Exception as error:
        log.warning("Could not ask Airflow what the task was waiting for (%s).", type(error).__name__)
        return False
    return isinstance(found, dict) and "wait" in found


def new_wait_id() -> str | None:
    """Return what names a wait; None outside of Airflow, where nobody keeps it."""
    return uuid.uuid4().hex if _has_supervisor() else None


async def awrite_end_note(ti: Any, trigger_log: Any) -> None:
    """
    Note, from a trigger that is about to fire, that the task resumes: a later on_kill is not about this wait.

    :param ti: the trigger's ``task_instance``.
    :param trigger_log: the trigger's log.
    """
    if ti is None or not _has_supervisor():
        return
    try:
        await aset_xcom(NOTE_KEY, {"try": ti.try_number}, **ti_fields(ti))
    except Exception as error:
        # The worker that resumes the task notes it too.
        await trigger_log.awarning("Could not save that the wait has ended (%s).", type(error).__name__)


async def amay_stop_instance(ti: Any, wait_id: str | None, trigger_log: Any) -> bool:
    """
    Return whether a person has certainly ended the deferred task, and no other process handles the stop.

    Airflow calls ``on_kill`` also on a triggerer that was thought dead for a while, and whose trigger another one has
    taken over: by then the task may be deferred still, or may have resumed, failed and be in its next try.

    :param ti: the trigger's ``task_instance``.
    :param wait_id: what :func:`new_wait_id` returned.
    :param trigger_log: the trigger's log.
    """
    if ti is None:
        return False
    for number in range(_ATTEMPTS):
        if number:
            await asyncio.sleep(STATE_RETRY_PAUSE)
        try:
            is_deferred = await asyncio.to_thread(_state, ti_fields(ti)) == "deferred"
            if wait_id is None:
                return not is_deferred
            noted = await aget_xcom(NOTE_KEY, **ti_fields(ti))
        except Exception as error:
            await trigger_log.awarning("Could not ask Airflow who ended the task (%s).", type(error).__name__)
            continue
        # Airflow clears a task's XComs when a try begins: the new one has not noted anything yet.
        if not isinstance(noted, dict):
            continue
        if not _may_claim(noted, ti, wait_id, is_deferred):
            return False
        claim_stands = await _aclaim(ti, noted)
        if claim_stands is not None:
            return claim_stands
    return False


def _may_claim(noted: Mapping[str, Any], ti: Any, wait_id: str, is_deferred: bool) -> bool:
    if "stopped_by" in noted:
        return False
    if noted.get("wait") == wait_id:
        return not is_deferred
    is_next = noted.get("try") == ti.try_number + 1
    return is_next and bool(noted.get("is_cleared")) and time.time() - noted.get("began", 0.0) < STOP_WINDOW


async def _aclaim(ti: Any, noted: Mapping[str, Any]) -> bool | None:
    """Return whether no other triggerer has claimed the stop later; None if the next try has written over the claim."""
    claim = {**noted, "stopped_by": uuid.uuid4().hex}
    await aset_xcom(NOTE_KEY, claim, **ti_fields(ti))
    await asyncio.sleep(CLAIM_PAUSE)
    found = await aget_xcom(NOTE_KEY, **ti_fields(ti))
    if isinstance(found, dict) and "stopped_by" in found:
        return bool(found == claim)
    return None


def _state(row: Mapping[str, Any]) -> str | None:
    """Return the task instance's state; None also if it is gone."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=row["dag_id"], map_index=row["map_index"], task_ids=[row["task_id"]], run_ids=[row["run_id"]]
    )
    key = row["task_id"] if row["map_index"] < 0 else f"{row['task_id']}_{row['map_index']}"
    state = states.get(row["run_id"], {}).get(key)
    return None if state is None else str(getattr(state, "value", state))


def _has_supervisor() -> bool:
    # It takes long to import, and is there wherever there is a supervisor.
    task_runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    return getattr(task_runner, "SUPERVISOR_COMMS", None) is not None
