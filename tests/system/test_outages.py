"""Many waits in one event loop, over TLS, while the service is down, throttles or is slow."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from tests.support.stalls import longest_stall

Run = Callable[[DswInstanceTrigger], Awaitable[dict[str, Any]]]


class Emulator(DswEmulator):
    """Keeps its certificate, so that it can go and come again."""

    _kept: ssl.SSLContext | None = None

    def _server_context(self) -> ssl.SSLContext:
        self._kept = self._kept or super()._server_context()
        return self._kept


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    served = Emulator(tls=True)
    with served:
        assert served.ca_file
        monkeypatch.setenv("SSL_CERT_FILE", served.ca_file)
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(served.connection()))
        yield served


async def alone(trigger: DswInstanceTrigger) -> dict[str, Any]:
    """As on Airflow before 3.3."""
    return (await anext(aiter(trigger.run()))).payload


@asynccontextmanager
async def sharing() -> AsyncIterator[Run]:
    """As the triggerer runs it from Airflow 3.3 on."""
    streams = pytest.importorskip("airflow.triggers.shared_stream").SharedStreamManager()

    async def run(trigger: DswInstanceTrigger) -> dict[str, Any]:
        key, number = trigger.shared_stream_key(), id(trigger)
        stream = streams.subscribe(trigger_id=number, trigger=trigger, key=key)
        try:
            return (await anext(aiter(trigger.filter_shared_stream(stream)))).payload
        finally:
            await streams.unsubscribe(number, key)

    yield run


@asynccontextmanager
async def each_alone() -> AsyncIterator[Run]:
    yield alone


def wait_for(instance_id: str, interval: float, timeout: float = 3600) -> DswInstanceTrigger:
    now = time.time()
    return DswInstanceTrigger(
        instance_id=instance_id,
        poke_interval=interval,
        started_at=now,
        timeout=timeout,
        has_polled=True,
        last_status="Starting",
    )


async def until(what: Callable[[], bool]) -> None:
    while not what():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("running", "waits", "interval"),
    [
        (each_alone, 10, 0.15),
        pytest.param(each_alone, 100, 2.0, marks=pytest.mark.slow),
        pytest.param(sharing, 100, 2.0, marks=pytest.mark.slow),
    ],
)
def test_no_wait_fails_or_is_late_because_the_service_was_down_for_ten_intervals(
    running: Any, waits: int, interval: float, service: Emulator, request: pytest.FixtureRequest
) -> None:
    if interval < 1:  # less than the hook pauses before it tries again
        request.getfixturevalue("no_pauses")
    instances = [f"dsw-{number}" for number in range(waits // 2)]
    for instance_id in instances:
        service.add_instance(instance_id, "Starting")

    async def waiting(run: Run, trigger: DswInstanceTrigger) -> tuple[str, float]:
        event = await run(trigger)
        return event["outcome"], time.monotonic()

    async def story() -> None:
        async with running() as run, asyncio.TaskGroup() as group:
            tasks = [group.create_task(waiting(run, wait_for(each, interval))) for each in 2 * instances]
            await until(lambda: {each.instance_id for each in service.requests} == set(instances))
            service.stop()
            began = time.monotonic()
            hurried = group.create_task(waiting(run, wait_for("dsw-hurried", interval, timeout=5 * interval)))
            await asyncio.sleep(10 * interval)
            assert not any(task.done() for task in tasks)
            for instance_id in instances:
                service.set_instance(instance_id, "Running")
            service.start()
            back = time.monotonic()
        assert {task.result()[0] for task in tasks} == {"met"}
        assert max(task.result()[1] for task in tasks) - back < interval + 0.5
        outcome, at = hurried.result()
        assert outcome == "timeout"
        # As in poke mode, the first poll after the timeout ends the wait.
        assert 5 * interval - 0.5 < at - began < 6 * interval + 0.5

    asyncio.run(story())


@pytest.mark.slow
def test_throttled_waits_slow_down_to_what_the_service_asks_and_recover(service: Emulator, no_pauses: None) -> None:
    interval, asked = 0.06, 0.4
    for number in range(10):
        service.add_instance(f"dsw-{number}", "Starting")

    async def pace(seconds: float) -> float:
        """Requests a second."""
        before = len(service.requests)
        await asyncio.sleep(seconds)
        return (len(service.requests) - before) / seconds

    async def story() -> None:
        tasks = [asyncio.create_task(alone(wait_for(f"dsw-{number}", interval))) for number in range(10)]
        await until(lambda: len(service.requests) > 20)
        usual = await pace(0.4)
        service.fault(times=None, status=429, code="Throttling.User", retry_after_ms=int(asked * 1000))
        await asyncio.sleep(asked)
        throttled = await pace(2 * asked)
        service.clear_faults()
        await asyncio.sleep(asked)
        recovered = await pace(0.4)
        for number in range(10):
            service.set_instance(f"dsw-{number}", "Running")
        assert {event["outcome"] for event in await asyncio.gather(*tasks)} == {"met"}
        assert throttled <= 10 / asked * 1.2
        assert usual > 3 * throttled
        assert recovered > 0.7 * usual

    asyncio.run(story())


def test_a_service_that_throttles_is_not_asked_more_often_than_usual(service: Emulator, no_pauses: None) -> None:
    service.add_instance("dsw-0", "Starting")
    service.fault(times=None, status=429, code="Throttling.User", retry_after_ms=50)

    async def story() -> None:
        task = asyncio.create_task(alone(wait_for("dsw-0", 0.5)))
        await until(lambda: len(service.requests) >= MAX_ATTEMPTS)  # of the first poll
        before = len(service.requests)
        await asyncio.sleep(1.2)
        task.cancel()
        assert len(service.requests) - before <= 3

    asyncio.run(story())


@pytest.mark.slow
def test_slow_instances_do_not_delay_the_waits_on_others(service: Emulator) -> None:
    slow = [f"dsw-slow-{number}" for number in range(130)]  # each holds a connection
    for instance_id in slow:
        service.add_instance(instance_id, "Starting")
        service.fault(instance_id=instance_id, times=None, delay=5)
    service.add_instance("dsw-quick", "Running")

    async def story() -> None:
        tasks = [asyncio.create_task(alone(wait_for(each, 0.01))) for each in slow]
        await until(lambda: len(service.requests) >= 100)
        began = time.monotonic()
        event = await alone(wait_for("dsw-quick", 0.01))
        took = time.monotonic() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert event["outcome"] == "met"
        assert took < 1

    asyncio.run(story())


def test_a_restart_breaks_no_pause_of_exponential_backoff(service: Emulator) -> None:
    """Polls are due 0.4, 1.2 and 2.8 s after the start of the wait; here it is 0.9 s old."""
    service.add_instance("dsw-0", "Running")
    trigger = wait_for("dsw-0", 0.4)
    trigger.exponential_backoff, trigger.started_at = True, time.time() - 0.9
    began = time.monotonic()

    assert asyncio.run(alone(trigger))["outcome"] == "met"
    assert 0.25 < time.monotonic() - began < 0.8


def test_a_log_that_is_read_slowly_holds_up_no_other_wait(service: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's supervisor reads a trigger's log from a pipe, and is slow while it takes in many events."""
    service.add_instance("dsw-0", "Running")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"-" * (1 << 20))  # as much as there is room for
    os.set_blocking(writer, True)
    with open(reader, "rb", buffering=0) as supervisor, open(writer, "wb", buffering=0) as pipe:
        log = structlog.wrap_logger(
            structlog.BytesLogger(pipe),
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            processors=[lambda _, __, event: event["event"].encode()],
        )
        monkeypatch.setattr(DswInstanceTrigger, "log", log)
        reads = threading.Timer(1.5, supervisor.read, [1 << 20])
        reads.start()
        stall = asyncio.run(longest_stall(alone(wait_for("dsw-0", 0.1))))
        reads.join()

    assert stall < 0.75
