"""A start that is waited for in one triggerer and then in another, which goes on as if nothing had been."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.operators.dsw import DswStartInstanceOperator
from airflow_provider_dsw.triggers.base import Poll
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from airflow_provider_dsw.version_compat import TaskDeferred
from airflow_provider_dsw.waits.answers import PollResult
from tests.support.modes import ID
from tests.support.supervisor import Supervisor
from tests.support.task_runs import carried_over, context

T0, T1, T2 = ({"GmtModifiedTime": f"2026-01-31T08:0{minute}:00Z"} for minute in range(3))
Answers = list[tuple[str, dict[str, str]]]
UNTIMED: dict[str, str] = {}
RUNNING = ("Running", T2)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


def deferred_start(emulator: DswEmulator, status: str, time: dict[str, str]) -> DswInstanceTrigger:
    """A start whose worker has read the old state only."""
    emulator.add_instance(ID, timeline=[(status, None, time)])
    emulator.modified_time = "status" if time else "missing"
    emulator.stale_reads = 1
    task = DswStartInstanceOperator(task_id="t", instance_id=ID, deferrable=True, poke_interval=0.02)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())
    trigger: Any = deferred.value.trigger
    return trigger


def run_polls(trigger: DswInstanceTrigger, answers: Answers, try_number: int = 1) -> dict[str, Any] | None:
    """Let a triggerer poll, and be killed if that does not end the wait."""
    moved = carried_over(trigger)
    moved.task_instance = context(try_number)["ti"]

    async def polls() -> AsyncIterator[Poll]:
        for status, time in answers:
            yield Poll(PollResult({"InstanceId": ID, "Status": status, **time}))

    async def event() -> dict[str, Any] | None:
        try:
            payload: dict[str, Any] = (await anext(aiter(moved.filter_shared_stream(polls())))).payload
        except RuntimeError:  # no more polls
            return None
        return payload

    return asyncio.run(event())


@pytest.mark.parametrize(
    ("status", "time", "before", "after"),
    [
        pytest.param("Stopped", T0, [("Starting", T1)], [("Stopped", T2)], id="somebody stops it"),
        pytest.param("Failed", UNTIMED, [("Queuing", UNTIMED)], [("Failed", UNTIMED)], id="it fails without a time"),
        pytest.param("Failed", T0, [("Failed", T2)], [("Failed", T2)], id="it fails before the first poll"),
    ],
)
@pytest.mark.parametrize("moves", [False, True])
def test_what_one_triggerer_has_seen_the_next_one_knows(
    dsw_default: DswEmulator,
    supervisor: Supervisor,
    status: str,
    time: dict[str, str],
    before: Answers,
    after: Answers,
    moves: bool,
) -> None:
    trigger = deferred_start(dsw_default, status, time)
    if moves:
        assert run_polls(trigger, before) is None

    event = run_polls(trigger, after if moves else [*before, *after])

    assert event is not None
    assert (event["outcome"], event["error"]) == ("failure", "DswOperationFailedError")


def test_another_try_does_not_take_it_for_its_own(dsw_default: DswEmulator, supervisor: Supervisor) -> None:
    trigger = deferred_start(dsw_default, "Failed", UNTIMED)
    run_polls(trigger, [("Queuing", UNTIMED)])

    event = run_polls(trigger, [("Failed", UNTIMED), RUNNING], try_number=2)

    assert event is not None
    assert event["outcome"] == "success"


def test_another_request_of_the_same_try_does_not_either(dsw_default: DswEmulator, supervisor: Supervisor) -> None:
    run_polls(deferred_start(dsw_default, "Failed", UNTIMED), [("Queuing", UNTIMED)])

    event = run_polls(deferred_start(dsw_default, "Failed", UNTIMED), [("Failed", UNTIMED), RUNNING])

    assert event is not None
    assert event["outcome"] == "success"


def test_where_airflow_has_no_answer_the_wait_goes_on(dsw_default: DswEmulator, supervisor: Supervisor) -> None:
    trigger = deferred_start(dsw_default, "Stopped", T0)
    supervisor.broken = True

    event = run_polls(trigger, [("Stopped", T0), ("Starting", T1), RUNNING])

    assert event is not None
    assert event["outcome"] == "success"


def test_nothing_is_kept_before_anything_has_changed(dsw_default: DswEmulator, supervisor: Supervisor) -> None:
    trigger = deferred_start(dsw_default, "Stopped", T0)
    run_polls(trigger, [("Stopped", T0), ("Stopped", T0)])
    assert "dsw_seen" not in supervisor.xcoms

    run_polls(trigger, [("Starting", T1)])
    assert "dsw_seen" in supervisor.xcoms
