"""A stop on kill whose answer is lost, or that comes before the start is shown, or before it was asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswOperationFailedError, DswTimeoutError
from airflow_provider_dsw.operators.dsw import DswStartInstanceOperator
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from tests.tries import context, run
from tests.unit.operators.conftest import ID, Make

LAST = {"try_number": 3, "max_tries": 2}
# A StopInstance without an answer that says what became of it.
UNCLEAR: list[Any] = [
    pytest.param({"status": 503}, id="503"),
    pytest.param({"drop": True}, id="dropped"),
    pytest.param({"drop": True, "performed": True}, id="performed"),
]

pytestmark = pytest.mark.filterwarnings("ignore:.*stop_on_kill:UserWarning")


def changes(emulator: DswEmulator) -> list[str]:
    return [request.action for request in emulator.requests if request.action in ("StartInstance", "StopInstance")]


@pytest.mark.parametrize("fault", UNCLEAR)
def test_a_stop_whose_answer_is_lost_is_asked_for_again_unless_it_is_seen(
    make: Make, emulator: DswEmulator, fault: dict[str, Any]
) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.start_timeline = [("Starting", 60), "Running"]
    emulator.fault("StopInstance", **fault)

    with pytest.raises(DswTimeoutError):
        run(make(DswStartInstanceOperator, stop_on_kill=True, timeout=0.2), context(**LAST))

    assert emulator.status(ID) in ("Stopping", "Stopped")
    assert changes(emulator) == ["StartInstance", "StopInstance"] + ["StopInstance"] * ("performed" not in fault)


@pytest.mark.parametrize("fault", UNCLEAR)
def test_so_it_is_by_the_trigger(
    dsw_default: DswEmulator, no_pauses: None, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    async def ended_by_person(*_: Any) -> bool:
        return True

    monkeypatch.setattr("airflow_provider_dsw.triggers.dsw.amay_stop", ended_by_person)
    dsw_default.add_instance(ID, "Starting")
    dsw_default.stop_timeline = [("Stopping", 60), ("Stopped", None)]
    dsw_default.fault("StopInstance", **fault)

    asyncio.run(DswInstanceTrigger(instance_id=ID, stop_on_kill=True).on_kill())

    assert dsw_default.status(ID) == "Stopping"
    assert changes(dsw_default) == ["StopInstance"] * (1 if "performed" in fault else 2)


def test_a_start_that_is_shown_late_is_stopped_all_the_same(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.start_timeline = [("Starting", 60), "Running"]
    emulator.stale_reads = 1000

    with pytest.raises(DswTimeoutError):
        run(make(DswStartInstanceOperator, stop_on_kill=True, timeout=0.2), context(**LAST))

    assert changes(emulator) == ["StartInstance", "StopInstance"]


@pytest.mark.parametrize("stop_on_kill", [False, True])
@pytest.mark.parametrize("statuses", [["Stopped"], ["Stopping", "Stopping", "Stopped"]], ids=["at once", "blocked"])
def test_a_task_that_was_killed_before_its_request_does_not_make_it(
    dsw_default: DswEmulator, statuses: list[str], stop_on_kill: bool
) -> None:
    dsw_default.add_instance(ID, per_poll=statuses)
    task = DswStartInstanceOperator(task_id="t", instance_id=ID, poke_interval=0.02, stop_on_kill=stop_on_kill)
    # Airflow's handler of SIGTERM calls it, and lets the task go on until SIGKILL.
    dsw_default.on_request = lambda _: task.on_kill()

    with pytest.raises(DswOperationFailedError, match="StartInstance of dsw-abc was not sent"):
        run(task)

    assert changes(dsw_default) == []
