"""
What each way to wait ends in, in a real Airflow: one table for the DAG file and for the tests.

Each case is a DAG with one task, ``wait``, on an emulated instance of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_dsw.version_compat import STARTS_FROM_TRIGGER

SHARES_POLLS = STARTS_FROM_TRIGGER  # and what else came with Airflow 3.3
# What the instance answers to one poll after the other: no case depends on how fast the machine is.
STARTS = ("Starting", "Running")
STARTS_SLOWLY = ("Creating", "EnvPreparing", "Starting", "Running")
NEVER_STARTS = ("Queuing",)
FAILS = ("Starting", ("Failed", {"ReasonCode": "ImagePullFailed", "ReasonMessage": "no such image"}))
VANISHES = ("Starting", "Starting", None)
NOT_THERE = ()

POKE: dict[str, Any] = {"mode": "poke", "poke_interval": 2}
# Airflow itself loses a race at intervals below about 10 s.
RESCHEDULE: dict[str, Any] = {"mode": "reschedule", "poke_interval": 12}
# Airflow itself fails a task whose trigger fires before the scheduler knows that the worker has left (Airflow issues
# 67287 and 72716).
DEFER: dict[str, Any] = {"deferrable": True, "poke_interval": 5}
FROM_TRIGGER: dict[str, Any] = {"start_from_trigger": True, "poke_interval": 2 if STARTS_FROM_TRIGGER else 5}
LINKED = {
    "poke": POKE,
    "reschedule": RESCHEDULE,
    "deferred": DEFER,
    "from_trigger": FROM_TRIGGER,  # elsewhere than on Airflow 3.3 the same as deferred
    "retried": DEFER | {"retries": 1, "retry_delay": timedelta(seconds=1)},
}
# Airflow 3.3 can't start mapped tasks in the triggerer: a worker has to defer them. Their triggers fire later than
# others, because a run fails if Airflow fails any one of its tasks.
LATER: dict[str, Any] = {"poke_interval": 12}
MAPPED = {"mapped": POKE, "mapped-deferred": DEFER | LATER, "mapped-from-trigger": FROM_TRIGGER | LATER}
HURRY = 60  # seconds: the timeout of a wait that outlives a restart of the triggerer
RETRIES: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=1)}

RESCHEDULED = "UP_FOR_RESCHEDULE"
DEFERRED = "DEFERRED"
WHY_FAILED = ("DswWaitFailedError", "ImagePullFailed", "no such image", "RequestId")


@dataclass(frozen=True, eq=False)
class Case:
    """
    One wait and its end.

    :param name: the DAG's id.
    :param sensor: the sensor's arguments, less ``instance_id``.
    :param polls: the instance's answers.
    :param state: the task's at the end.
    :param log: what its log holds.
    :param snapshot: the status of a snapshot of that instance, at one poll after the other.
    """

    name: str
    sensor: dict[str, Any]
    polls: tuple[Any, ...] = STARTS
    state: str = "success"
    log: tuple[str, ...] = ()
    snapshot: tuple[str, ...] = ()

    @property
    def instance_id(self) -> str:
        return f"dsw-{self.name}"


def _in_each_mode(mode: str, way: dict[str, Any], sign: tuple[str, ...] = ()) -> list[Case]:
    """What ends alike, however it is waited."""
    # A deferred one must not end before it is deferred, however busy the machine is. One that pokes holds a slot.
    seconds = 20 if mode == "deferred" else 8
    short = {"timeout": seconds}
    execution = {"execution_timeout": timedelta(seconds=seconds)}
    model = {"snapshot_image": "model:1"}
    saving = ("Saving", "Saving")
    return [
        Case(f"{mode}-starts", way, STARTS_SLOWLY, log=(*sign, "Creating", "EnvPreparing", "Starting", "Running")),
        Case(f"{mode}-snapshot", way | model, saving, log=sign, snapshot=("Pushing", "Saved")),
        Case(f"{mode}-snapshot-fails", way | model | RETRIES, saving, "failed", sign, snapshot=("Pushing", "Failed")),
        Case(f"{mode}-fails", way | RETRIES, FAILS, "failed", sign + WHY_FAILED),
        Case(f"{mode}-fails-softly", way | {"soft_fail": True}, FAILS, "skipped", sign),
        Case(f"{mode}-never-fails", way | {"never_fail": True}, FAILS, "skipped", sign),
        Case(f"{mode}-vanishes", way | RETRIES, VANISHES, "failed", (*sign, "DswWaitFailedError")),
        Case(f"{mode}-times-out", way | short, NEVER_STARTS, "failed", (*sign, "AirflowSensorTimeout")),
        Case(f"{mode}-times-out-softly", way | short | {"soft_fail": True}, NEVER_STARTS, "skipped", sign),
        Case(f"{mode}-times-out-never-failing", way | short | {"never_fail": True}, NEVER_STARTS, "failed", sign),
        Case(f"{mode}-takes-too-long", way | execution, NEVER_STARTS, "failed", (*sign, "AirflowTaskTimeout")),
    ]


CASES = (
    *_in_each_mode("poke", POKE),
    *_in_each_mode("deferred", DEFER, (DEFERRED,)),
    Case("rescheduled-starts", RESCHEDULE, ("Starting", *STARTS), log=(RESCHEDULED, "Running")),
    Case("not-there", POKE | RETRIES, NOT_THERE, "failed", ("DswWaitFailedError", "dsw-not-there")),
    Case(
        "wrong-key",
        DEFER | RETRIES | {"dsw_conn_id": "dsw_wrong_key"},
        NEVER_STARTS,
        "failed",
        ("DswWaitFailedError", "SignatureDoesNotMatch", "dsw_wrong_key"),
    ),
    Case("stored-connection", DEFER | {"dsw_conn_id": "dsw_stored"}, log=(DEFERRED, "Running")),
    Case(
        "no-such-connection",
        POKE | {"dsw_conn_id": "no_such_connection"},
        NOT_THERE,
        "failed",
        ("AirflowNotFoundException", "no_such_connection"),
    ),
)
# Airflow 3.3 hands these to the triggerer before any worker has seen them.
FROM_TRIGGER_CASES = (
    Case("from-trigger-starts", FROM_TRIGGER, STARTS_SLOWLY),
    Case("from-trigger-fails", FROM_TRIGGER | RETRIES, FAILS, "failed", WHY_FAILED),
    Case("from-trigger-not-there", FROM_TRIGGER | RETRIES, NOT_THERE, "failed", ("DswWaitFailedError",)),
    Case("from-trigger-times-out", FROM_TRIGGER | {"timeout": 20}, NEVER_STARTS, "failed", ("AirflowSensorTimeout",)),
    Case(
        "from-trigger-takes-too-long",
        FROM_TRIGGER | {"execution_timeout": timedelta(seconds=20)},
        NEVER_STARTS,
        "failed",
        ("AirflowTaskTimeout",),
    ),
)
