"""Takes a call's steps in the caller's thread. It decides nothing, and leaves no thread and nothing half done."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any, TypeVar
from weakref import finalize

from airflow_provider_dsw.client.blocking_connection import BlockingConnection
from airflow_provider_dsw.client.locks import reset_in_child
from airflow_provider_dsw.client.pool import Pool
from airflow_provider_dsw.client.socket_connection import seconds_left
from airflow_provider_dsw.client.steps import AirflowCall, BlockingCall, Exchange, Exclusive, Flow, Open, StartTls, Step

T = TypeVar("T")


class BlockingSender:
    """Runs flows for any number of threads. A forked child begins with no connection of its parent's."""

    def __init__(self) -> None:
        self._closing: finalize[Any, BlockingSender] | None = None
        self._begin()
        reset_in_child(self, BlockingSender._begin)

    def _begin(self) -> None:
        if self._closing:
            self._closing.detach()  # to close what the parent still uses is not the child's
        self.pool = Pool()
        self._locks: dict[Hashable, threading.RLock] = {}
        self._closing = finalize(self, self.pool.close)
        self._closing.atexit = False

    def run(self, flow: Flow[T], deadline: float | None = None) -> T:
        """
        Take all steps of a flow, and return its result.

        :param flow: the flow.
        :param deadline: when it has to be over, by the monotonic clock.
        """
        try:
            step = next(flow)
            while True:
                try:
                    found = self._perform(step, deadline)
                except BaseException as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(found)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def _perform(self, step: Step, deadline: float | None) -> Any:
        match step:
            case Exchange():
                return step.connection.exchange(step, deadline)
            case Open():
                return BlockingConnection.open(step, deadline)
            case StartTls():
                return step.connection.start_tls(step, deadline)
            case Exclusive():
                lock = self._locks.setdefault(step.name, threading.RLock())
                try:
                    if not lock.acquire(timeout=-1 if deadline is None else seconds_left(deadline)):
                        raise TimeoutError
                    return self.run(step.flow, deadline)
                finally:
                    # An RLock knows whose it is: a signal may come right after it was acquired, or before.
                    try:  # noqa: SIM105
                        lock.release()
                    except RuntimeError:
                        pass
            case BlockingCall():
                return step.function()
            case AirflowCall():
                return step.blocking()
