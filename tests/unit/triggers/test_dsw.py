"""What a trigger knows of the time before it: of a wait that began in a triggerer, and of what a watcher has seen."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswTimeoutError, DswTransientError
from airflow_provider_dsw.operators.dsw import DswStartInstanceOperator
from airflow_provider_dsw.polling import LogLine
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers import watcher as watchers
from airflow_provider_dsw.triggers.base import Poll
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger, DswInstanceTrigger
from airflow_provider_dsw.version_compat import STARTS_FROM_TRIGGER, AirflowSensorTimeout, AirflowTaskTimeout
from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import ExpressionCondition
from tests.support import task_runs
from tests.support.clock import Clock
from tests.support.modes import ID, in_triggerer
from tests.support.supervisor import Supervisor

needs_airflow_3_3 = pytest.mark.skipif(not STARTS_FROM_TRIGGER, reason="Airflow 3.3 can do it")


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CLAIM_PAUSE", 0.01)
    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CANCEL_PERIOD", 0.1)
    return supervisor


# Waits that begin in a triggerer


def task_instance(try_number: int = 1) -> Any:
    return SimpleNamespace(
        dag_id="dag", task_id="wait", run_id="run", map_index=-1, try_number=try_number, start_date=None
    )


def sensor(**arguments: Any) -> DswInstanceSensor:
    usual = {"task_id": "wait", "instance_id": ID, "start_from_trigger": True, "poke_interval": 60}
    return DswInstanceSensor(**{**usual, **arguments})


async def polled_once(trigger: DswInstanceTrigger) -> None:
    """Let a triggerer poll once, and be killed."""

    is_over = asyncio.Event()

    async def a_poll() -> AsyncIterator[Any]:
        yield Poll(PollResult({"InstanceId": ID, "Status": "Starting"}))
        is_over.set()
        await asyncio.sleep(3600)

    running = asyncio.ensure_future(anext(aiter(trigger.filter_shared_stream(a_poll()))))
    await asyncio.wait_for(is_over.wait(), 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def event_of_outage(trigger: DswInstanceTrigger, then: str = "Running") -> dict[str, Any]:
    async def polls() -> AsyncIterator[Any]:
        yield Poll(DswTransientError("down", status_code=503))
        yield Poll(PollResult({"InstanceId": ID, "Status": then}))

    payload: dict[str, Any] = (await anext(aiter(trigger.filter_shared_stream(polls())))).payload
    return payload


@pytest.mark.parametrize("until", ["abs(InstanceName) > `3`", "Statsu == 'Running'"])
def test_a_watcher_warns_once_of_what_may_never_come_true(until: str) -> None:
    watcher = watchers.Watcher(ExpressionCondition(ID, until=until), None)
    answer = {"InstanceId": ID, "Status": "Running", "InstanceName": "text"}

    async def lines() -> list[LogLine]:
        return [line for _ in range(4) if (line := (await watcher.handle(PollResult(answer)))[1])]

    [line] = asyncio.run(lines())
    assert line.level == logging.WARNING
    assert "; until" in line.text


@needs_airflow_3_3
def test_a_wait_that_moved_after_its_first_poll_goes_on_through_an_outage(supervisor: Supervisor) -> None:
    of_task = sensor(poke_interval=0.2)
    asyncio.run(polled_once(in_triggerer(of_task, ti=task_instance())))

    event = asyncio.run(event_of_outage(in_triggerer(of_task, ago=0.1, ti=task_instance())))

    assert event["outcome"] == "success"
    assert (event["polls"], event["more_polls"]) == (3, True)


@needs_airflow_3_3
@pytest.mark.parametrize("before", ["nothing", "another try"])
def test_a_wait_that_was_never_polled_fails_in_an_outage(supervisor: Supervisor, before: str) -> None:
    of_task = sensor(poke_interval=0.2)
    if before == "another try":
        asyncio.run(polled_once(in_triggerer(of_task, ti=task_instance(try_number=1))))

    event = asyncio.run(event_of_outage(in_triggerer(of_task, ti=task_instance(try_number=2))))

    assert (event["outcome"], event["error"], event["polls"]) == ("failure", "DswTransientError", 1)


@needs_airflow_3_3
def test_where_airflow_has_no_answer_the_age_of_the_wait_tells(supervisor: Supervisor) -> None:
    supervisor.broken = True
    of_task = sensor(poke_interval=0.2)

    late = asyncio.run(event_of_outage(in_triggerer(of_task, ago=0.3, ti=task_instance())))
    early = asyncio.run(event_of_outage(in_triggerer(of_task, ti=task_instance())))

    assert (late["outcome"], early["outcome"]) == ("success", "failure")


@needs_airflow_3_3
@pytest.mark.parametrize("execution_timeout", [None, timedelta(hours=1), timedelta(hours=3)])
def test_the_timeout_of_a_wait_that_moved_counts_from_its_beginning(
    dsw_default: DswEmulator, supervisor: Supervisor, clock: Clock, execution_timeout: timedelta | None
) -> None:
    dsw_default.add_instance(ID, "Starting")
    of_task, now = sensor(timeout=600, execution_timeout=execution_timeout), clock.now

    event = asyncio.run(task_runs.first_event(in_triggerer(of_task, ago=590, ti=task_instance())))

    assert event["began"] == pytest.approx(now - 590, abs=1)
    assert 10 < clock.now - now < 75  # the first poll after that, and the scheduler's grace
    with pytest.raises(AirflowSensorTimeout, match="last seen: Starting"):
        of_task.resume_execution("execute_complete", {"event": event}, {})


@needs_airflow_3_3
def test_the_execution_timeout_of_a_wait_that_moved_counts_from_its_beginning(
    dsw_default: DswEmulator, supervisor: Supervisor
) -> None:
    dsw_default.add_instance(ID, "Starting")
    of_task, now = sensor(poke_interval=0.1, execution_timeout=timedelta(seconds=600)), time.monotonic()

    event = asyncio.run(task_runs.first_event(in_triggerer(of_task, ago=599.7, ti=task_instance())))

    assert 0.2 < time.monotonic() - now < 60  # from now on, it would be 600
    with pytest.raises(AirflowTaskTimeout, match="last seen: Starting"):
        of_task.resume_execution("execute_complete", {"event": event}, {})


@needs_airflow_3_3
@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ({"timeout": 60}, AirflowSensorTimeout),
        ({"timeout": 60, "execution_timeout": timedelta(seconds=600)}, AirflowSensorTimeout),
        ({"timeout": 600, "execution_timeout": timedelta(seconds=60)}, AirflowTaskTimeout),
        # The poll after the timeout would have come too late.
        ({"timeout": 60, "execution_timeout": timedelta(seconds=100)}, AirflowTaskTimeout),
        ({"timeout": 60, "execution_timeout": timedelta(seconds=100), "poke_interval": 30}, AirflowSensorTimeout),
    ],
)
def test_airflow_s_own_deadline_leaves_room_for_the_last_poll(
    arguments: dict[str, Any], first: type[BaseException]
) -> None:
    of_task = sensor(**arguments)
    assert of_task.start_trigger_args is not None
    assert of_task.start_trigger_args.timeout is not None
    # The interval, five minutes for which the service may ask, a minute for the call and one for the triggerer.
    room = of_task.poke_interval + 300 + 60 + 60
    assert of_task.start_trigger_args.timeout == timedelta(seconds=of_task.timeout + room)
    with pytest.raises(first):
        of_task.resume_execution("__fail__", {"error": "Trigger timeout"}, {})


@needs_airflow_3_3
def test_exponential_backoff_goes_on_after_a_move(
    dsw_default: DswEmulator, supervisor: Supervisor, clock: Clock
) -> None:
    """Polls are due 60, 180, 420 and 900 s after the beginning of the wait, which is 500 s ago."""
    dsw_default.add_instance(ID, "Running")
    of_task, began = sensor(exponential_backoff=True), clock.now - 500
    asyncio.run(polled_once(in_triggerer(of_task, ti=task_instance())))

    event = asyncio.run(task_runs.first_event(in_triggerer(of_task, ago=500, ti=task_instance())))

    assert (event["outcome"], event["more_polls"]) == ("success", True)
    assert clock.now - began == pytest.approx(900, abs=5)


# Watchers

Started = Callable[[], "Watcher"]


class Watcher:
    """An event trigger of one triggerer, whose polls come when the test says so."""

    log_takes = 0.0

    def __init__(self, **arguments: Any) -> None:
        contexts = pytest.importorskip("airflow.sdk.execution_time.context")
        trigger: Any = DswInstanceEventTrigger(**{"instance_id": ID, "target_status": "Running", **arguments})
        trigger.asset_state_store = contexts.AssetStateStoreAccessors(inlets=[Asset("asset")])
        self._polls: asyncio.Queue[Any] = asyncio.Queue()
        self._taken = asyncio.Event()
        self.fired: list[str] = []
        self.task = asyncio.create_task(self._collect(trigger))

    async def _stream(self) -> AsyncIterator[Any]:
        while True:
            yield await self._polls.get()
            self._taken.set()

    async def _collect(self, trigger: DswInstanceEventTrigger) -> None:
        async for event in trigger.filter_shared_stream(self._stream()):
            await asyncio.sleep(self.log_takes)  # as Airflow does, which queues the event after that
            self.fired.append(event.payload["Status"])

    def begins_to_see(self, status: str, requested_at: float | None = None) -> None:
        self._taken.clear()
        at = time.time() if requested_at is None else requested_at
        self._polls.put_nowait(Poll(PollResult({"InstanceId": ID, "Status": status}, requested_at=at)))

    async def sees(self, status: str, requested_at: float | None = None) -> None:
        self.begins_to_see(status, requested_at)
        await asyncio.wait_for(self._taken.wait(), 60)
        assert not self.task.done()

    def killed(self) -> None:
        self.task.cancel()


@needs_airflow_3_3
def test_a_watcher_whose_triggerer_stood_still_fires_nothing_that_another_has_fired(supervisor: Supervisor) -> None:
    async def story() -> tuple[list[str], list[str]]:
        one = Watcher()
        await one.sees("Starting")
        other = Watcher()  # while the first one stands still
        await other.sees("Starting")
        await other.sees("Running")
        await one.sees("Running")
        await one.sees("Running")
        await one.sees("Stopped")
        await other.sees("Stopped")
        await one.sees("Running")
        await other.sees("Running")
        return one.fired, other.fired

    assert asyncio.run(story()) == (["Running"], ["Running"])


@needs_airflow_3_3
def test_of_two_triggerers_that_see_a_change_at_one_moment_one_fires(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than a busy machine lets one of them stand still between two steps of the other.
    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CLAIM_PAUSE", 0.5)

    async def story() -> list[str]:
        one, other = Watcher(), Watcher()
        await one.sees("Starting")
        await other.sees("Starting")
        supervisor.latency = 0.05  # so that both have read before either has written
        await asyncio.gather(one.sees("Running"), other.sees("Running"))
        return one.fired + other.fired

    assert asyncio.run(story()) == ["Running"]


@needs_airflow_3_3
@pytest.mark.parametrize("after", [0.05, 0.2, 0.39, 0.43, 0.47, 0.49])
def test_a_watcher_that_moves_while_it_fires_fires_once(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, after: float
) -> None:
    """After so many seconds, in which the database is asked several times."""
    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CLAIM_PAUSE", 0.3)

    async def story() -> list[str]:
        one = Watcher()
        await one.sees("Starting")
        supervisor.latency = 0.04
        one.begins_to_see("Running")
        await asyncio.sleep(after)
        one.killed()
        other = Watcher()
        await asyncio.sleep(0.03)
        one.killed()  # as Airflow does every second, until it is gone
        await other.sees("Running")
        await asyncio.wait([one.task])
        assert one.task.cancelled()
        await other.sees("Running")
        await other.sees("Running")
        return one.fired + other.fired

    assert asyncio.run(story()) == ["Running"]


@needs_airflow_3_3
@pytest.mark.parametrize("after", [0.1, 0.15, 0.2, 0.25, 0.3])
def test_airflow_that_cancels_a_watcher_again_and_again_takes_its_event(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, after: float
) -> None:
    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CLAIM_PAUSE", 0.3)
    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CANCEL_PERIOD", 0.5)

    async def story() -> list[str]:
        one = Watcher()
        await one.sees("Starting")
        one.log_takes = 0.1
        one.begins_to_see("Running")
        await asyncio.sleep(after)
        while not one.task.done():
            one.killed()
            await asyncio.wait([one.task], timeout=0.25)
        return one.fired

    assert asyncio.run(story()) == ["Running"]


@needs_airflow_3_3
def test_a_change_that_a_triggerer_has_claimed_and_not_fired_is_fired_by_the_next(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash() -> list[str]:
        one = Watcher()
        await one.sees("Starting")
        one.begins_to_see("Running")
        await asyncio.sleep(0.1)
        return one.fired  # and asyncio.run cancels all that goes on

    async def restart() -> list[str]:
        other = Watcher()
        await other.sees("Running")
        await other.sees("Running")
        await other.sees("Running")
        return other.fired

    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CLAIM_PAUSE", 3600.0)
    assert asyncio.run(crash()) == []
    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CLAIM_PAUSE", 0.01)
    assert asyncio.run(restart()) == ["Running"]


@needs_airflow_3_3
@pytest.mark.parametrize("number", range(1, 6))
def test_an_answer_that_is_lost_between_a_change_and_its_event_costs_a_poll(
    supervisor: Supervisor, number: int
) -> None:
    async def story() -> list[str]:
        one = Watcher()
        await one.sees("Starting")
        supervisor.lost = number
        await one.sees("Running")
        assert one.fired == []
        await one.sees("Running")
        await one.sees("Running")
        return one.fired

    assert asyncio.run(story()) == ["Running"]


@needs_airflow_3_3
def test_a_watcher_that_can_t_finish_its_claim_is_gone_soon(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CANCEL_GRACE", 0.1)

    async def story() -> None:
        one = Watcher()
        await one.sees("Starting")
        supervisor.latency = 3600
        one.begins_to_see("Running")
        await asyncio.sleep(0.05)
        one.killed()
        await asyncio.wait_for(asyncio.wait([one.task]), 60)
        assert one.task.cancelled()
        assert one.fired == []

    asyncio.run(story())


@needs_airflow_3_3
def test_an_answer_from_before_a_triggerer_stood_still_does_not_undo_what_another_has_seen(
    supervisor: Supervisor,
) -> None:
    async def story() -> tuple[list[str], list[str]]:
        one, requested_at = Watcher(), time.time()
        await one.sees("Queuing")
        other = Watcher()
        await other.sees("Queuing")
        await other.sees("Running")
        await one.sees("Starting", requested_at)  # asked for before it stood still
        await one.sees("Starting", requested_at)
        await one.sees("Running")
        await other.sees("Running")
        return one.fired, other.fired

    assert asyncio.run(story()) == ([], ["Running"])


@needs_airflow_3_3
def test_what_happened_while_no_triggerer_ran_is_one_event(supervisor: Supervisor) -> None:
    async def story() -> list[str]:
        one = Watcher()
        await one.sees("Starting")
        one.killed()
        other = Watcher()
        await other.sees("Running")
        other.killed()
        third = Watcher()
        await third.sees("Running")
        return one.fired + other.fired + third.fired

    assert asyncio.run(story()) == ["Running"]


@needs_airflow_3_3
def test_a_watcher_whose_state_store_fails_fires_once_it_works(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> list[str]:
        one = Watcher()
        supervisor.broken = True
        await one.sees("Running")  # not known whether it is new
        supervisor.broken = False
        await one.sees("Stopped")
        supervisor.broken = True
        for _ in range(3):
            await one.sees("Running")
        assert one.fired == []
        supervisor.broken = False
        await one.sees("Running")
        await one.sees("Running")
        return one.fired

    assert asyncio.run(story()) == ["Running"]
    assert "".join(capsys.readouterr()).count("Airflow's asset state store failed (no database).") == 2


# Operators


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(("status", "raised"), [("Running", None), ("Starting", DswTimeoutError)])
def test_the_timeout_of_an_operator_ends_its_wait_with_a_last_poll(
    dsw_default: DswEmulator,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
    status: str,
    raised: type[BaseException] | None,
) -> None:
    monkeypatch.setattr("airflow_provider_dsw.triggers.dsw.SCHEDULER_GRACE", 0.0)
    dsw_default.add_instance(ID, per_poll=["Starting", "Starting", status])
    operator = DswStartInstanceOperator(
        task_id="start", instance_id=ID, deferrable=deferrable, timeout=3, poke_interval=600
    )
    began = time.monotonic()
    if raised is None:
        assert task_runs.run(operator)["Status"] == "Running"
    else:
        with pytest.raises(raised):
            task_runs.run(operator)
    assert len(dsw_default.calls("GetInstance")) == 3
    assert time.monotonic() - began < 120  # not the interval


# A thousand waits in a triggerer


def test_a_wait_s_own_state_is_not_in_the_trigger_s_dictionary() -> None:
    """Of more than 30 attributes, with Airflow's, Python lets no two objects share the names."""
    own = inspect.signature(DswInstanceTrigger.__init__).parameters.keys() - {"self", "kwargs"}

    assert len(own) > 10
    assert own.isdisjoint(vars(DswInstanceTrigger(instance_id=ID)))
