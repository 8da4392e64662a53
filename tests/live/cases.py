"""
What each way to wait ends in, in a real Airflow: one table for the DAG file and for the tests.

Each case is a DAG with one task, ``wait``, on an emulated instance named like the case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

# Airflow itself loses the race with its heartbeat at intervals below about 10 s in reschedule mode.
RESCHEDULE = {"mode": "reschedule", "poke_interval": 12}
POKE = {"mode": "poke", "poke_interval": 2}

# Steps by poll, so that no case depends on how fast the machine is.
STARTS = ("Starting", "Running")
STARTS_SLOWLY = ("Creating", "EnvPreparing", "Starting", "Running")
NEVER_STARTS = ("Queuing",)
FAILS = ("Starting", ("Failed", {"ReasonCode": "ImagePullFailed", "ReasonMessage": "no such image"}))
ENDS_BROKEN = ("failed", "DswWaitFailedError")


@dataclass(frozen=True)
class Case:
    """
    One wait and its end.

    :param name: the DAG's and the instance's id.
    :param sensor: the sensor's arguments, less ``instance_id``.
    :param polls: what the instance answers to one poll after the other; empty for an instance that isn't there.
    :param state: the task's at the end.
    :param log: what its log holds.
    :param tries: how often it was tried.
    :param snapshot: of that instance: what it answers to one poll after the other.
    :param was: states in which the task has to be seen on the way.
    """

    name: str
    sensor: dict[str, Any] = field(hash=False)
    polls: tuple[Any, ...] = STARTS
    state: str = "success"
    log: tuple[str, ...] = ()
    tries: int = 1
    snapshot: tuple[str, ...] = ()
    was: str | None = None

    @property
    def instance_id(self) -> str:
        return f"dsw-{self.name}"


CASES = (
    Case("poke", POKE, STARTS_SLOWLY, log=("Creating", "EnvPreparing", "Starting", "Running")),
    Case("reschedule", RESCHEDULE, STARTS, was="up_for_reschedule"),
    Case("poke-snapshot", POKE | {"snapshot_image": "model:1"}, ("Saving", "Saving"), snapshot=("Pushing", "Saved")),
    Case(
        "poke-fails",
        POKE | {"retries": 2, "retry_delay": timedelta(seconds=1)},
        FAILS,
        "failed",
        ("DswWaitFailedError", "dsw-poke-fails", "ImagePullFailed", "no such image", "RequestId"),
    ),
    Case("poke-not-there", POKE | {"retries": 2}, (), "failed", ("DswWaitFailedError", "dsw-poke-not-there")),
    Case(
        "poke-wrong-key",
        POKE | {"dsw_conn_id": "dsw_wrong_key", "retries": 2},
        NEVER_STARTS,
        "failed",
        ("DswWaitFailedError", "SignatureDoesNotMatch", "dsw_wrong_key"),
    ),
    Case("poke-soft-fail", POKE | {"soft_fail": True}, FAILS, "skipped"),
    Case("poke-timeout", POKE | {"timeout": 3}, NEVER_STARTS, "failed", ("AirflowSensorTimeout",)),
    Case("poke-timeout-soft-fail", POKE | {"timeout": 3, "soft_fail": True}, NEVER_STARTS, "skipped"),
    Case("poke-timeout-never-fail", POKE | {"timeout": 3, "never_fail": True}, NEVER_STARTS, "failed"),
    Case(
        "poke-execution-timeout",
        POKE | {"execution_timeout": timedelta(seconds=4)},
        NEVER_STARTS,
        "failed",
        ("AirflowTaskTimeout",),
    ),
)
