"""Many waits in one event loop, over TLS, while the service is down, throttles or is slow."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any

import pytest
import structlog

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from tests.support.clock import Clock, LoopClock
from tests.support.until import until

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


INTERVAL = 60.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    clock = LoopClock()
    clock.install(monkeypatch)
    return clock


def wait_for(instance_id: str, clock: Clock, interval: float = INTERVAL, timeout: float = 36000) -> DswInstanceTrigger:
    return DswInstanceTrigger(
        instance_id=instance_id,
        poke_interval=interval,
        started_at=clock.now,
        timeout=timeout,
        has_polled=True,
        last_status="Starting",
    )


class Waits:
    """Waits in one event loop, and their time."""

    def __init__(self, clock: LoopClock, run: Run, key: Callable[[DswInstanceTrigger], object] = id) -> None:
        self._clock = clock
        self._run = run
        self._key = key  # those of one key share their pauses
        self._tasks: dict[asyncio.Task[tuple[str, float]], object] = {}

    def begin(self, trigger: DswInstanceTrigger) -> asyncio.Task[tuple[str, float]]:
        """Begin one; its result is its outcome, and when that came."""

        async def wait() -> tuple[str, float]:
            event = await self._run(trigger)
            return event["outcome"], self._clock.now

        task = asyncio.create_task(wait())
        self._tasks[task] = self._key(trigger)
        return task

    async def go_on_for(self, seconds: float) -> None:
        """Let the time pass, in steps of a tenth of an interval; each begins when all of them pause."""
        await until(self._all_pause)
        for _ in range(round(seconds / INTERVAL * 10)):
            self._clock.advance(INTERVAL / 10)
            await until(self._all_pause)

    def _all_pause(self) -> bool:
        return self._clock.sleeping == len({key for task, key in self._tasks.items() if not task.done()})


@pytest.mark.parametrize(
    ("running", "waits"),
    [
        (each_alone, 10),
        pytest.param(each_alone, 100, marks=pytest.mark.slow),
        pytest.param(sharing, 100, marks=pytest.mark.slow),
    ],
)
def test_no_wait_fails_or_is_late_because_the_service_was_down_for_ten_intervals(
    running: Any, waits: int, service: Emulator, clock: LoopClock, no_pauses: None
) -> None:
    instances = [f"dsw-{number}" for number in range(waits // 2)]
    for instance_id in instances:
        service.add_instance(instance_id, "Starting")

    async def story() -> None:
        async with running() as run:
            group = Waits(clock, run, key=id if running is each_alone else attrgetter("instance_id"))
            tasks = [group.begin(wait_for(each, clock)) for each in 2 * instances]
            await group.go_on_for(INTERVAL)
            assert {each.instance_id for each in service.requests} == set(instances)
            service.stop()
            began = clock.now
            hurried = group.begin(wait_for("dsw-hurried", clock, timeout=5 * INTERVAL))
            await group.go_on_for(10 * INTERVAL)
            assert not any(task.done() for task in tasks)
            for instance_id in instances:
                service.set_instance(instance_id, "Running")
            service.start()
            await group.go_on_for(1.1 * INTERVAL)
            await until(lambda: all(task.done() for task in tasks))  # those that share polls read them a moment later
            assert {task.result()[0] for task in tasks} == {"success"}
            outcome, at = hurried.result()
            assert outcome == "timeout"
            # As in poke mode, the first poll after the timeout ends the wait.
            assert 5 * INTERVAL <= at - began <= 6.1 * INTERVAL

    asyncio.run(story())


@pytest.mark.slow
def test_throttled_waits_slow_down_to_what_the_service_asks_and_recover(
    service: Emulator, clock: LoopClock, no_pauses: None
) -> None:
    asked = 4 * INTERVAL
    for number in range(10):
        service.add_instance(f"dsw-{number}", "Starting")

    async def story() -> None:
        waits = Waits(clock, alone)
        tasks = [waits.begin(wait_for(f"dsw-{number}", clock)) for number in range(10)]

        async def pace() -> float:
            """Requests an interval."""
            before = len(service.requests)
            await waits.go_on_for(2 * asked)
            return (len(service.requests) - before) * INTERVAL / (2 * asked)

        await waits.go_on_for(INTERVAL)
        usual = await pace()
        service.fault(times=None, status=429, code="Throttling.User", retry_after_ms=int(asked * 1000))
        await waits.go_on_for(asked)
        throttled = await pace()
        service.clear_faults()
        await waits.go_on_for(asked)
        recovered = await pace()
        for number in range(10):
            service.set_instance(f"dsw-{number}", "Running")
        await waits.go_on_for(2 * INTERVAL)
        assert {task.result()[0] for task in tasks} == {"success"}
        assert throttled <= 10 * INTERVAL / asked * 1.2
        assert usual > 3 * throttled
        assert recovered > 0.7 * usual

    asyncio.run(story())


def test_a_service_that_throttles_is_not_asked_more_often_than_usual(
    service: Emulator, clock: LoopClock, no_pauses: None
) -> None:
    service.add_instance("dsw-0", "Starting")
    service.fault(times=None, status=429, code="Throttling.User", retry_after_ms=50)

    async def story() -> None:
        waits = Waits(clock, alone)
        task = waits.begin(wait_for("dsw-0", clock))
        await waits.go_on_for(INTERVAL)
        assert len(service.requests) == MAX_ATTEMPTS  # of the first poll
        await waits.go_on_for(2 * INTERVAL)
        task.cancel()
        assert 1 <= len(service.requests) - MAX_ATTEMPTS <= 3

    asyncio.run(story())


@pytest.mark.slow
def test_slow_instances_do_not_delay_the_waits_on_others(service: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = service.connection()
    connection["extra"]["read_timeout"] = 3600  # until which the others do not give up
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(connection))
    slow = [f"dsw-slow-{number}" for number in range(130)]  # each holds a connection
    for instance_id in slow:
        service.add_instance(instance_id, "Starting")
        service.fault(instance_id=instance_id, times=None, delay=3600)
    service.add_instance("dsw-quick", "Running")

    async def story() -> None:
        tasks = [asyncio.create_task(alone(wait_for(each, Clock(), 0.01))) for each in slow]
        await until(lambda: len(service.requests) >= 100)
        quick = asyncio.create_task(alone(wait_for("dsw-quick", Clock(), 0.01)))
        await until(quick.done)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert quick.result()["outcome"] == "success"

    asyncio.run(story())


def test_a_restart_breaks_no_pause_of_exponential_backoff(service: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls are due 40, 120 and 280 s after the start of the wait; here it is 90 s old."""
    clock = Clock()
    clock.install(monkeypatch)
    service.add_instance("dsw-0", "Running")
    trigger = wait_for("dsw-0", clock, 40)
    trigger.exponential_backoff, trigger.started_at = True, clock.now - 90
    began = clock.now

    assert asyncio.run(alone(trigger))["outcome"] == "success"
    assert 25 < clock.now - began < 80


def test_a_log_that_is_read_slowly_holds_up_no_other_wait(service: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's supervisor reads a trigger's log from a pipe, and is slow while it takes in many events."""
    service.add_instance("dsw-0", "Running")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"-" * (1 << 20))  # as much as there is room for
    os.set_blocking(writer, True)
    logs, turned = threading.Event(), threading.Event()
    was_free: list[bool] = []

    def rendered(_: Any, __: Any, event: Any) -> bytes:
        logs.set()
        text: str = event["event"]
        return text.encode()

    async def wait() -> dict[str, Any]:
        loop = asyncio.get_running_loop()

        def read_once_the_loop_has_turned() -> None:
            logs.wait(60)
            loop.call_soon_threadsafe(turned.set)
            was_free.append(turned.wait(10))
            supervisor.read(1 << 20)

        reads = threading.Thread(target=read_once_the_loop_has_turned)
        reads.start()
        event = await alone(wait_for("dsw-0", Clock(), 0.1))
        await asyncio.to_thread(reads.join)
        return event

    with open(reader, "rb", buffering=0) as supervisor, open(writer, "wb", buffering=0) as pipe:
        log = structlog.wrap_logger(
            structlog.BytesLogger(pipe),
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            processors=[rendered],
        )
        monkeypatch.setattr(DswInstanceTrigger, "log", log)
        assert asyncio.run(wait())["outcome"] == "success"

    assert logs.is_set()
    assert was_free == [True]
