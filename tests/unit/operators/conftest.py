"""Operators that wait in a worker, or deferred, on an instance of the emulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.emulator.clock import Clock as EmulatorClock
from tests.support.clock import Clock

ID = "dsw-abc"
Make = Callable[..., Any]


class Change(NamedTuple):
    """
    A change that an operator requests.

    :param operator: its class.
    :param arguments: of the operator.
    :param status: the instance's first.
    :param action: what requests the change.
    :param look: what shows that it was performed.
    :param takes_time: whether the instance passes through other states on its way.
    """

    operator: type
    arguments: dict[str, Any]
    status: str
    action: str
    look: str = "GetInstance"
    takes_time: bool = True


class ServiceClock(EmulatorClock):
    """The service's time, which passes only while the operator waits."""

    def __init__(self, of_test: Clock) -> None:
        super().__init__()
        self._of_test = of_test

    def now(self) -> float:
        return self._of_test.now - self._epoch


@pytest.fixture
def emulator(clock: Clock) -> Iterator[DswEmulator]:
    with DswEmulator(clock=ServiceClock(clock)) as served:
        yield served


@pytest.fixture(params=[False, True], ids=["worker", "deferred"])
def make(request: pytest.FixtureRequest, dsw_default: DswEmulator, no_pauses: None) -> Make:
    """Make an operator that waits in this way."""
    dsw_default.start_timeline = ["Creating", "Starting", "Running"]
    dsw_default.stop_timeline = ["Stopping", "Stopped"]
    dsw_default.snapshot_timeline = ["Committing", "Pushing", "Saved"]
    dsw_default.delete_timeline = ["Deleting", None]

    def made(operator: type, **arguments: Any) -> Any:
        given = {"task_id": "t", "instance_id": ID, "poke_interval": 0.02, "timeout": 60, "deferrable": request.param}
        return operator(**{**given, **arguments})

    return made
