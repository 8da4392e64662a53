"""A task that is killed between any two steps, and tried again: nothing is asked for twice."""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.operators.dsw import (
    DswCreateSnapshotOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from tests.tries import context, first_event

ID = "dsw-abc"
ASKS = ("StartInstance", "StopInstance", "CreateInstanceSnapshot")
NEVER = 1000
CASES: dict[str, tuple[Any, str, dict[str, Any], str]] = {
    "start": (DswStartInstanceOperator, "Stopped", {}, "Running"),
    "stop": (DswStopInstanceOperator, "Running", {}, "Stopped"),
    "save and stop": (DswStopInstanceOperator, "Running", {"save_image": True}, "Stopped"),
    "snapshot": (DswCreateSnapshotOperator, "Running", {"snapshot_name": "a", "image_url": "registry/a:1"}, "Saved"),
}


class Killed(Exception):
    pass


class Process:
    """Runs parts of a task, each in a process of its own, and kills the one that makes a certain request."""

    def __init__(self, emulator: DswEmulator, kill_at: int) -> None:
        importlib.import_module("alibabacloud_pai_dsw20220101.client")  # here, not in each process
        self.kill_at = kill_at
        self.requests = 0
        self._child = 0
        self._ready = threading.Event()
        emulator.on_request = self._count

    def _count(self, request: Request) -> None:
        """After the service has performed it, before it answers."""
        self.requests += 1
        if self.requests == self.kill_at:
            self._ready.wait(10)
            os.kill(self._child, signal.SIGKILL)

    def run(self, part: Callable[[], Any]) -> Any:
        """Return what a part returns, or raise Killed."""
        reading, writing = os.pipe()
        self._ready.clear()
        self._child = os.fork()
        if not self._child:
            os.write(writing, pickle.dumps(part()))
            os._exit(0)
        self._ready.set()
        os.close(writing)
        with open(reading, "rb") as pipe:
            returned = pipe.read()
        _, status = os.waitpid(self._child, 0)
        if os.WIFSIGNALED(status):
            raise Killed
        return pickle.loads(returned)


def a_try(process: Process, make: Callable[[], Any], try_number: int, *, resumes: bool = True) -> Any:
    """What the task returns, by way of as many workers and triggerers as it needs."""
    of_task = context(try_number)

    def execute() -> Any:
        return until_it_defers(lambda: make().execute(of_task))

    def until_it_defers(part: Callable[[], Any]) -> Any:
        try:
            return "returned", part()
        except TaskDeferred as deferred:
            return "deferred", (deferred.trigger.serialize()[1], deferred.method_name)

    state, found = process.run(execute)
    while state == "deferred":
        kwargs, method_name = found
        event = process.run(lambda: asyncio.run(first_event(DswInstanceTrigger(**kwargs))))  # noqa: B023
        if not resumes:
            raise Killed
        state, found = process.run(
            lambda: until_it_defers(
                lambda: make().resume_execution(method_name, {"event": event}, of_task)  # noqa: B023
            )
        )
    return found


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, dsw_default: DswEmulator) -> str:
    dsw_default.start_timeline = ["Starting", "Starting", "Running"]
    dsw_default.stop_timeline = ["Stopping", "Stopping", "Stopped"]
    dsw_default.snapshot_timeline = ["Pushing", "Pushing", "Saved"]
    name: str = request.param
    return name


@pytest.mark.parametrize("deferrable", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["worker", "deferred"])
def test_killed_at_any_request_and_tried_again(case: str, emulator: DswEmulator, deferrable: bool) -> None:
    operator, status, arguments, target = CASES[case]

    def make() -> Any:
        given = {"task_id": "t", "instance_id": ID, "poke_interval": 0.02, "deferrable": deferrable, **arguments}
        return operator(**given)

    kill_at, killed = 0, True
    while killed:
        kill_at += 1
        emulator.add_instance(ID, status)
        emulator.clear_requests()
        try:
            found = a_try(Process(emulator, kill_at), make, 1)
        except Killed:
            found = a_try(Process(emulator, NEVER), make, 2)
        else:
            killed = False
        asked = [request.status for request in emulator.requests if request.action in ASKS]
        assert (found["Status"], asked) == (target, [200]), f"killed at request {kill_at}"
    # Before it looked, while it looked, asked, and at each poll.
    assert kill_at > 4


def test_killed_after_the_event_and_tried_again(case: str, emulator: DswEmulator) -> None:
    operator, status, arguments, target = CASES[case]
    emulator.add_instance(ID, status)

    def make() -> Any:
        return operator(task_id="t", instance_id=ID, poke_interval=0.02, deferrable=True, **arguments)

    with pytest.raises(Killed):
        a_try(Process(emulator, NEVER), make, 1, resumes=False)
    found = a_try(Process(emulator, NEVER), make, 2)

    assert found["Status"] == target
    assert [request.status for request in emulator.requests if request.action in ASKS] == [200]


@pytest.mark.usefixtures("no_pauses")
def test_killed_after_the_request_and_tried_again_while_the_old_status_is_read(
    case: str, emulator: DswEmulator
) -> None:
    operator, status, arguments, target = CASES[case]
    emulator.add_instance(ID, status)
    emulator.stale_reads = 2

    def make() -> Any:
        return operator(task_id="t", instance_id=ID, poke_interval=0.02, **arguments)

    number = 3 if operator is DswCreateSnapshotOperator else 2
    with pytest.raises(Killed):
        a_try(Process(emulator, number), make, 1)
    assert emulator.requests[-1].action in ASKS
    found = a_try(Process(emulator, NEVER), make, 2)

    assert found["Status"] == target
    assert [request.status for request in emulator.requests if request.action in ASKS].count(200) == 1
