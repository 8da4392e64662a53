"""A task that is killed between any two steps, and tried again: nothing is asked for twice."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.triggers import base
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from airflow_provider_dsw.version_compat import TaskDeferred
from tests.support.beside import HARMLESS, add_instance_for
from tests.support.task_runs import context, first_event

ID = "dsw-abc"
BODY = {"InstanceName": "a", "EcsSpec": "ecs.g6.xlarge", "ImageUrl": "registry/a:1"}
NEVER = 1000
# The operator, the instance's first status (None: there is none), further arguments, and the status at the end.
CASES: dict[str, tuple[Any, str | None, dict[str, Any], str | None]] = {
    "start": (DswStartInstanceOperator, "Stopped", {}, "Running"),
    "stop": (DswStopInstanceOperator, "Running", {}, "Stopped"),
    "save and stop": (DswStopInstanceOperator, "Running", {"save_image": True}, "Stopped"),
    "snapshot": (DswCreateSnapshotOperator, "Running", {"snapshot_name": "a", "image_url": "registry/a:1"}, "Saved"),
    "timed start": (DswStartInstanceOperator, "Stopped", {"stop_after": 3600}, "Running"),
    "create": (DswCreateInstanceOperator, None, {"body": BODY, "stop_after": 3600}, "Running"),
    "delete": (DswDeleteInstanceOperator, "Running", {}, None),
}
# Processes without the threads of this one, and with what takes long to import.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "alibabacloud_pai_dsw20220101.client", __name__])


class Killed(Exception):
    pass


def work(case: str, deferrable: bool, try_number: int, deferred: tuple[str, Any] | None = None) -> tuple[str, Any]:
    """What a worker does: begin a try, or resume it with what a trigger found."""
    operator, status, arguments, _ = CASES[case]
    given = arguments if status is None else {"instance_id": ID, **arguments}
    task = operator(task_id="t", poke_interval=0.02, deferrable=deferrable, **given)
    of_task = context(try_number)
    try:
        if deferred is None:
            return "returned", task.execute(of_task)
        method_name, event = deferred
        return "returned", task.resume_execution(method_name, {"event": event}, of_task)
    except TaskDeferred as again:
        return "deferred", (again.method_name, again.trigger.serialize()[1])


def trigger(kwargs: dict[str, Any]) -> Any:
    """What a triggerer does."""
    return asyncio.run(first_event(DswInstanceTrigger(**kwargs)))


def _in_process(pipe: Any, connection: str, part: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ["AIRFLOW_CONN_DSW_DEFAULT"] = connection
    base.MIN_INTERVAL = 0.0  # as in the process of the tests
    pipe.send(part(*arguments))


class Airflow:
    """Runs a task's parts, each in a process of its own, and kills the one that makes a certain request."""

    def __init__(self, emulator: DswEmulator, kill_at: int = NEVER) -> None:
        self._kill_at = kill_at
        self._requests = 0
        self._process: Any = None
        self._is_there = threading.Event()
        emulator.on_request = self._count

    def _count(self, request: Request) -> None:
        """After the service has performed it, before it answers."""
        self._requests += 1
        if self._requests == self._kill_at:
            self._is_there.wait(60)
            self._process.kill()

    def _run(self, part: Callable[..., Any], *arguments: Any) -> Any:
        receiving, sending = PROCESSES.Pipe(duplex=False)
        connection = os.environ["AIRFLOW_CONN_DSW_DEFAULT"]
        self._is_there.clear()
        self._process = PROCESSES.Process(target=_in_process, args=(sending, connection, part, arguments))
        self._process.start()
        self._is_there.set()
        sending.close()
        self._process.join()
        if self._process.exitcode:
            raise Killed
        return receiving.recv()

    def steps(self, case: str, deferrable: bool, try_number: int) -> Iterator[tuple[str, Any]]:
        """One try, by way of as many workers and triggerers as it needs; what each comes to."""
        state, found = self._run(work, case, deferrable, try_number)
        while state == "deferred":
            yield state, found
            method_name, kwargs = found
            event = self._run(trigger, kwargs)
            yield "event", event
            state, found = self._run(work, case, deferrable, try_number, (method_name, event))
        yield state, found

    def a_try(self, case: str, deferrable: bool, try_number: int) -> Any:
        """What a try returns."""
        *_, (_, found) = self.steps(case, deferrable, try_number)
        return found


def begin(emulator: DswEmulator, case: str) -> None:
    """Let there be the case's instance, and no other."""
    for name, status in emulator.statuses().items():
        if status is not None and "/" not in name:
            emulator.remove_instance(name)
    operator, status, *_ = CASES[case]
    if status is not None:
        add_instance_for(emulator, operator.action, ID, status)


def timers(emulator: DswEmulator) -> list[bool]:
    """Of each instance, whether it has a shutdown timer."""
    listed = DswHook().list_instances(workspace_id="ALL", resource_id="ALL")
    return [bool(instance["InstanceShutdownTimer"]) for instance in listed]


def is_change(request: Request, case: str) -> bool:
    return request.method != "GET" and (request.action not in HARMLESS or request.action == CASES[case][0].action)


def asked(emulator: DswEmulator, case: str) -> list[int | None]:
    """The answers to its requests; of those that do no harm, one, whether or not another found nothing left to do."""
    statuses = [request.status for request in emulator.requests if is_change(request, case)]
    is_harmless = CASES[case][0].action in HARMLESS and {200} <= {*statuses} <= {200, 404}
    return [200] if is_harmless else statuses


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, dsw_default: DswEmulator) -> str:
    dsw_default.start_timeline = ["Starting", "Starting", "Running"]
    dsw_default.stop_timeline = ["Stopping", "Stopping", "Stopped"]
    dsw_default.snapshot_timeline = ["Pushing", "Pushing", "Saved"]
    name: str = request.param
    dsw_default.delete_timeline = ["Deleting", "Deleting", None]
    begin(dsw_default, name)
    return name


@pytest.mark.slow
@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
def test_killed_at_any_request_and_tried_again(case: str, emulator: DswEmulator, deferrable: bool) -> None:
    _, _, arguments, target = CASES[case]
    kill_at, killed = 0, True
    while killed:
        kill_at += 1
        begin(emulator, case)
        emulator.clear_requests()
        try:
            found = Airflow(emulator, kill_at).a_try(case, deferrable, 1)
        except Killed:
            found = Airflow(emulator).a_try(case, deferrable, 2)
        else:
            killed = False
        assert (found.get("Status"), asked(emulator, case)) == (target, [200]), f"killed at request {kill_at}"
        if "stop_after" in arguments:
            emulator.on_request = None
            assert timers(emulator) == [True], f"killed at request {kill_at}"
    # Where it looked, asked, and polled.
    assert kill_at > 3


@pytest.mark.parametrize("killed_at", ["deferred", "event"])
def test_killed_between_worker_and_triggerer_and_tried_again(case: str, emulator: DswEmulator, killed_at: str) -> None:
    emulator.stale_reads = 1  # or a change that takes no time would not be waited for
    steps = Airflow(emulator).steps(case, True, 1)
    assert killed_at in [step for step, _ in steps], (
        "it has to wait, by _await_completion(); if it does, stale_reads does not hide the change from what is asked: "
        "see its handlers in emulator/"
    )

    found = Airflow(emulator).a_try(case, True, 2)

    assert (found.get("Status"), asked(emulator, case)) == (CASES[case][3], [200])


@pytest.mark.usefixtures("no_pauses")
def test_killed_after_the_request_and_tried_again_while_the_old_status_is_read(
    case: str, emulator: DswEmulator
) -> None:
    emulator.stale_reads = 2
    with pytest.raises(Killed):
        Airflow(emulator, kill_at=3 if case == "snapshot" else 2).a_try(case, False, 1)
    assert is_change(emulator.requests[-1], case)

    found = Airflow(emulator).a_try(case, False, 2)

    assert found.get("Status") == CASES[case][3]
    assert asked(emulator, case).count(200) == 1  # another may have been refused
