"""A service whose time is the test's, that counts what it does, and fails from whichever request on one wishes."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Fault, ManualClock, Request
from airflow_provider_dsw.emulator import service as emulated
from airflow_provider_dsw.emulator.faults import Answer
from airflow_provider_dsw.emulator.service import Service
from airflow_provider_dsw.emulator.signature import SignedRequest
from tests.support.clock import Clock


class TaskClock(Clock):
    """The time of tasks and triggers, with which that of the service goes."""

    def __init__(self) -> None:
        super().__init__()
        self.of_service = ManualClock()
        self._timeouts: list[tuple[float, asyncio.Timeout]] = []

    def sleep(self, seconds: float) -> None:
        before = self.now
        super().sleep(seconds)
        self.of_service.advance(self.now - before)

    async def asleep(self, seconds: float) -> None:
        due, timeout = min(self._timeouts, key=lambda entry: entry[0], default=(math.inf, None))
        self.sleep(min(seconds, due - self.now))
        if timeout is not None and due <= self.now:
            timeout.reschedule(0.0)
        for _ in range(3):  # until a timeout has taken effect
            await asyncio.sleep(0)

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(None) as timeout:
            entry = (math.inf if seconds is None else self.now + seconds, timeout)
            self._timeouts.append(entry)
            try:
                yield timeout
            finally:
                self._timeouts.remove(entry)

    def event_loop(self) -> SimpleNamespace:
        in_loop = super().event_loop()
        in_loop.timeout = self.timeout
        return in_loop


class CountingService(Service):
    """Counts what it has performed, whoever got the answer."""

    def __init__(self, clock: ManualClock, **options: Any) -> None:
        super().__init__(clock=clock, **options)
        self.performed: Counter[str] = Counter()
        self.received = 0
        self._fault_at: dict[int, dict[str, Any]] = {}

    def fault_from(self, number: int, **fault: Any) -> None:
        """
        Have a fault from a certain request on, whatever that asks for.

        :param number: of the request, from 0 on.
        :param fault: as for ``fault``.
        """
        self._fault_at[number] = fault

    def forget_faults_to_come(self) -> None:
        """Have no fault from a request on that was not made."""
        self._fault_at.clear()
        self.clear_faults()

    def answer(self, received: SignedRequest) -> tuple[Answer, Fault | None, Request]:
        if self.received in self._fault_at:
            self.fault(**self._fault_at[self.received])
        self.received += 1
        return super().answer(received)


class Server(DswEmulator):
    """Serves one service after the other, which is quicker than to start one server after the other."""

    service: CountingService

    def answer(self, received: SignedRequest) -> tuple[Answer, Fault | None, Request]:
        answer, fault, entry = self.service.answer(received)
        if fault is not None and fault.hold and fault.headers.get("X-Held") == "for a moment":
            asyncio.get_running_loop().call_soon(fault.release)
        return answer, fault, entry


class Bed:
    """Everything around a task: the service, the connection to it, and a time that costs none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
        self._monkeypatch = monkeypatch
        self._server = server
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(server.connection()))
        monkeypatch.setattr("airflow_provider_dsw.hooks.dsw._retry_wait", lambda state: 0.0)
        monkeypatch.setattr("airflow_provider_dsw.triggers.base.MIN_INTERVAL", 0.0)
        perform = emulated.perform

        def counted(service: Any, call: Any) -> bytes:
            answer = perform(service, call)
            if isinstance(service, CountingService):
                service.performed[call.action] += 1
            return answer

        monkeypatch.setattr(emulated, "perform", counted)

    def new_service(self, **options: Any) -> tuple[CountingService, TaskClock]:
        """Begin anew, with a service that has no instance yet."""
        clock = TaskClock()
        clock.install(self._monkeypatch)
        for module in ("airflow_provider_dsw.polling", "airflow_provider_dsw.triggers.base"):
            self._monkeypatch.setattr(f"{module}.random", random.Random(1))
        service = self._server.service = CountingService(clock.of_service, **options)
        return service, clock
