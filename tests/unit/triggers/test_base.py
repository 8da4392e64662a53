"""One poll for all who share it: each sees the whole answer, and nobody keeps it."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswTransientError
from airflow_provider_dsw.triggers import base
from airflow_provider_dsw.triggers.base import Poll, RegisteredReader
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger, DswInstanceTrigger
from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.operations import Baseline, Operation
from tests.support import task_runs
from tests.support.clock import Clock
from tests.support.modes import ID
from tests.support.until import until

SECRET = {"EnvironmentVariables": {"TOKEN": "s3cret"}}


class Answer(dict[str, Any]):
    """One whose end can be seen."""


@pytest.fixture
def answers(dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Answer]]:
    """Each answer of GetInstance, as long as anybody holds it."""
    found: list[weakref.ref[Answer]] = []

    async def afetch(*_: Any, **__: Any) -> PollResult:
        answer = Answer({"InstanceId": ID, "Status": "Starting", **SECRET})
        found.append(weakref.ref(answer))
        return PollResult(answer)

    monkeypatch.setattr(base, "afetch", afetch)
    return found


def held(answers: list[weakref.ref[Answer]]) -> int:
    gc.collect()
    return sum(answer() is not None for answer in answers)


def wait(**arguments: Any) -> DswInstanceTrigger:
    return DswInstanceTrigger(**{"instance_id": ID, "poke_interval": 0.2, "last_status": "Starting", **arguments})


@pytest.mark.parametrize("alone", [{}, {"exponential_backoff": True}])
def test_a_wait_that_polls_alone_holds_no_answer_until_the_next_poll(
    answers: list[weakref.ref[Answer]], alone: dict[str, Any]
) -> None:
    async def story() -> None:
        # As on Airflow before 3.3, where several poll the same instance, each alone.
        tasks = [asyncio.ensure_future(anext(aiter(wait(**alone).run()))) for _ in range(3)]
        await until(lambda: len(answers) >= 6 and held(answers) == 0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())


def test_all_who_share_a_poll_see_the_whole_answer_and_none_holds_it_after_that(
    answers: list[weakref.ref[Answer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = pytest.importorskip("airflow.triggers.shared_stream").SharedStreamManager()
    seen = []
    read = Poll.read

    def reads(poll: Poll, reader: object) -> Any:
        found: Any = read(poll, reader)
        seen.append(found.instance["EnvironmentVariables"]["TOKEN"])
        return found

    monkeypatch.setattr(Poll, "read", reads)

    async def story() -> None:
        watcher = DswInstanceEventTrigger(instance_id=ID, poke_interval=0.2)
        triggers = [wait(), wait(target_status="Stopped"), watcher]
        key = triggers[0].shared_stream_key()
        tasks = []
        for number, trigger in enumerate(triggers):
            assert trigger.shared_stream_key() == key
            stream = streams.subscribe(trigger_id=number, trigger=trigger, key=key)
            tasks.append(asyncio.ensure_future(anext(aiter(trigger.filter_shared_stream(stream)))))
        await until(lambda: len(seen) >= 9 and held(answers) == 0)
        assert set(seen) == {"s3cret"}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await streams.stop_all()

    asyncio.run(story())


def test_whoever_joins_while_the_service_wants_a_pause_is_not_held_up(dsw_default: DswEmulator) -> None:
    streams = pytest.importorskip("airflow.triggers.shared_stream").SharedStreamManager()
    dsw_default.add_instance(ID, "Starting")
    dsw_default.fault(times=1, status=503, code="ServiceUnavailable", retry_after_ms=99999999999999)

    async def join(number: int) -> asyncio.Future[Any]:
        trigger = wait(has_polled=True, poke_interval=0.05)
        stream = streams.subscribe(trigger_id=number, trigger=trigger, key=trigger.shared_stream_key())
        return asyncio.ensure_future(anext(aiter(trigger.filter_shared_stream(stream))))

    async def story() -> tuple[Any, Any]:
        first = await join(1)
        await until(lambda: dsw_default.requests)
        dsw_default.set_instance(ID, "Running")
        await asyncio.sleep(0.4)
        assert len(dsw_default.requests) == 1
        try:
            events: tuple[Any, Any] = await asyncio.wait_for(asyncio.gather(first, await join(2)), 60)
            return events
        finally:
            await streams.stop_all()

    assert [event.payload["outcome"] for event in asyncio.run(story())] == ["success", "success"]


def test_a_poll_is_held_until_the_slowest_has_read_it() -> None:
    one, other, late = object(), object(), object()
    with RegisteredReader("key", one), RegisteredReader("key", other):
        poll = Poll(PollResult({"InstanceId": ID}), base._readers["key"])
    assert poll.read(one) is not None
    assert poll.read(one) is not None
    assert poll.read(other) is not None
    assert poll.read(late) is None
    assert "key" not in base._readers


def test_one_who_joins_too_late_for_a_poll_waits_for_the_next() -> None:
    gone = Poll(PollResult({"InstanceId": ID, "Status": "Failed"}))
    gone.read(object())

    async def polls() -> AsyncIterator[Poll]:
        yield gone
        yield Poll(DswTransientError("down"))
        yield Poll(PollResult({"InstanceId": ID, "Status": "Running"}))

    async def story() -> Any:
        return (await anext(aiter(wait(poke_interval=0.01, has_polled=True).filter_shared_stream(polls())))).payload

    event = asyncio.run(story())
    assert (event["outcome"], event["polls"]) == ("success", 3)
    assert "EnvironmentVariables" not in event["result"]


@pytest.mark.parametrize("exponential_backoff", [False, True])
def test_a_deferred_wait_polls_once_a_second_at_most(
    exponential_backoff: bool, dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the short pauses of all other tests
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(dsw_default.connection()))
    dsw_default.add_instance(ID, per_poll=["Starting"] * 4 + ["Running"])
    clock = Clock()
    clock.install(monkeypatch)
    trigger, began = wait(poke_interval=0.0, exponential_backoff=exponential_backoff), clock.now

    assert asyncio.run(task_runs.first_event(trigger))["outcome"] == "success"

    assert len(dsw_default.requests) == 5
    assert clock.now - began >= 4


def test_a_sensor_does_not_share_the_polls_of_an_operation_that_has_made_the_snapshot() -> None:
    # To the one a snapshot that is not found is none; to the other it is one that is shown late.
    operation = Operation(Baseline()).as_json()
    sensors, operations = ({"operation": None}, {"operation": operation})

    assert (
        wait(snapshot_id="s-1", **sensors).shared_stream_key()
        != wait(snapshot_id="s-1", **operations).shared_stream_key()
    )
    assert wait(**sensors).shared_stream_key() == wait(**operations).shared_stream_key()
