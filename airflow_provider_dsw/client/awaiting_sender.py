"""Takes a call's steps in an event loop. It decides nothing, and never blocks the loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Hashable
from typing import Any, TypeVar

from airflow_provider_dsw.client.awaited_connection import AwaitedConnection
from airflow_provider_dsw.client.deadlines import Deadlines
from airflow_provider_dsw.client.pool import Pool
from airflow_provider_dsw.client.steps import AirflowCall, BlockingCall, Exchange, Flow, Open, StartTls, Step
from airflow_provider_dsw.client.threads import in_thread

T = TypeVar("T")
MAX_CONNECTIONS = 300
"""So many slow answers hold no other wait up, and leave file descriptors."""


class AwaitingSender:
    """Runs flows in one event loop."""

    def __init__(self) -> None:
        self.pool = Pool()
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)
        self._deadlines = Deadlines()
        self._locks: dict[Hashable, asyncio.Lock] = {}

    async def run(self, flow: Flow[T], deadline: float = math.inf) -> T:
        """
        Take all steps of a flow, and return its result.

        :param flow: the flow.
        :param deadline: when it has to be over, by the monotonic clock.
        """
        try:
            step = next(flow)
            while True:
                try:
                    found = await self._perform(step, deadline)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(found)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    async def _perform(self, step: Step, deadline: float) -> Any:
        if isinstance(step, Exchange):
            return await step.connection.exchange(step, deadline)
        left = deadline - time.monotonic()
        if isinstance(step, Open | StartTls):
            left = min(left, step.timeout)
        async with asyncio.timeout(None if left == math.inf else left):
            match step:
                case Open():
                    return await AwaitedConnection.open(step, self._free, self._deadlines)
                case StartTls():
                    return await step.connection.start_tls(step)
                case BlockingCall():
                    return await in_thread(step.function)
                case AirflowCall():
                    return await step.awaiting()
            lock = self._locks.setdefault(step.name, asyncio.Lock())
            await lock.acquire()
        try:
            return await self.run(step.flow, deadline)
        finally:
            lock.release()
