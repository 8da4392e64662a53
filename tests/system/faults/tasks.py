"""Every task and trigger: what a fault at any of its requests makes of it, and of the retry after it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from airflow_provider_dsw.exceptions import DswWaitFailedError
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswGetInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger
from airflow_provider_dsw.version_compat import STARTS_FROM_TRIGGER
from airflow_provider_dsw.wait_arguments import ARGUMENTS
from tests.support import modes, task_runs
from tests.support.arguments import arguments_of_class
from tests.support.beside import HARMLESS, SNAPSHOT, add_instance_for
from tests.system.faults.cells import Cell, Found
from tests.system.faults.faults import FAULTS, LENGTHS, Meaning, Row, strikes
from tests.system.faults.service import Bed, CountingService, TaskClock

ID = "dsw-abc"
BODY = {"InstanceName": "a", "EcsSpec": "ecs.g6.xlarge", "ImageUrl": "registry/a:1"}
USUAL: dict[str, Any] = {"poke_interval": 5.0, "timeout": 60.0}
# Each poll with all its attempts, and what is asked before the wait and after it.
MOST_REQUESTS = MAX_ATTEMPTS * (round(USUAL["timeout"] / USUAL["poke_interval"]) + 3)


@dataclass(frozen=True)
class Task:
    """
    What is run.

    :param make: makes the operator; None for a sensor or a trigger, which its mode makes.
    :param arguments: of it.
    :param status: the instance's before; None: there is none.
    :param change: what it asks for, under the API's name.
    :param goal: says whether the service is as the task wants it.
    :param shows: fields of an instance that was ``Starting``, once it is ``Running``: no other status has them.
    """

    make: type[Any] | None
    arguments: dict[str, Any] = field(default_factory=dict)
    status: str | None = "Running"
    change: str | None = None
    goal: Callable[[CountingService], bool] = lambda service: True
    shows: dict[str, Any] = field(default_factory=dict)


def has_status(status: str | None) -> Callable[[CountingService], bool]:
    return lambda service: service.status(ID) == status


def is_created(service: CountingService) -> bool:
    return list(service.statuses().values()).count("Running") == 1


def is_saved(service: CountingService) -> bool:
    # One of long ago, and the new one.
    return [status for name, status in service.statuses().items() if "/" in name] == ["Saved", "Saved"]


OPERATORS: dict[str, Task] = {
    "get": Task(DswGetInstanceOperator),
    "start": Task(DswStartInstanceOperator, {}, "Stopped", "StartInstance", has_status("Running")),
    "timed start": Task(
        DswStartInstanceOperator, {"stop_after": 3600}, "Stopped", "StartInstance", has_status("Running")
    ),
    "start, no wait": Task(DswStartInstanceOperator, {"wait_for_completion": False}, "Stopped", "StartInstance"),
    "stop": Task(DswStopInstanceOperator, {}, "Running", "StopInstance", has_status("Stopped")),
    "save and stop": Task(
        DswStopInstanceOperator, {"save_image": True}, "Running", "StopInstance", has_status("Stopped")
    ),
    "snapshot": Task(
        DswCreateSnapshotOperator,
        {"image_url": "registry/a:1"},
        "Running",
        "CreateInstanceSnapshot",
        is_saved,
    ),
    "create": Task(DswCreateInstanceOperator, {"body": BODY}, None, "CreateInstance", is_created),
    "timed create": Task(
        DswCreateInstanceOperator, {"body": BODY, "stop_after": 3600}, None, "CreateInstance", is_created
    ),
    "delete": Task(DswDeleteInstanceOperator, {}, "Running", "DeleteInstance", has_status(None)),
}
WAITS: dict[str, Task] = {
    "Running": Task(None, {"target_status": "Running"}, "Starting"),
    "a snapshot by its id": Task(None, {"snapshot_id": SNAPSHOT}),
    "the latest snapshot": Task(None, {"wait_for_snapshot": True}),
    "an expression": Task(None, {"until": "Priority == `7`"}, "Starting", shows={"Priority": 7}),
}
_WATCHABLE = {argument.name for argument in ARGUMENTS if argument.watchable}
WATCHES = {name: task for name, task in WAITS.items() if {*task.arguments} <= _WATCHABLE}
# What would do harm if it were done twice.
CHANGES = {task.change for task in OPERATORS.values() if task.change} - {*HARMLESS}

Outcome = tuple[str, BaseException | None]


def as_operator(deferrable: bool) -> Callable[..., Any]:
    def run(task: Task, try_number: int) -> Any:
        assert task.make is not None
        usual = {**USUAL, "deferrable": deferrable, "instance_id": ID}
        given = {name: value for name, value in usual.items() if name in arguments_of_class(task.make)}
        of_task = task_runs.context(try_number, max_tries=5)
        return task_runs.run(task.make(task_id="t", **given, **task.arguments), of_task)

    return run


def as_sensor(mode: Callable[..., Any]) -> Callable[..., Any]:
    def run(task: Task, try_number: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return mode(**USUAL, **task.arguments)

    return run


def watch(task: Task, try_number: int, clock: TaskClock) -> Any:
    """The first event; a watcher never ends by itself, so this does, after as long as a sensor would wait."""

    async def first_event() -> Any:
        trigger = DswInstanceEventTrigger(instance_id=ID, poke_interval=USUAL["poke_interval"], **task.arguments)
        events: AsyncIterator[Any] = trigger.run()
        async with clock.timeout(USUAL["timeout"]), aclosing(events):  # type: ignore[type-var]
            return (await anext(events)).payload

    return asyncio.run(first_event())


MODES: dict[str, tuple[dict[str, Task], Callable[..., Any]]] = {
    "worker": (OPERATORS, as_operator(False)),
    "deferred": (OPERATORS, as_operator(True)),
    **{f"sensor, {mode.__name__}": (WAITS, as_sensor(mode)) for mode in modes.ALL},
    "watcher": (WATCHES, watch),
}
if not STARTS_FROM_TRIGGER:
    del MODES["sensor, from_trigger"]


def new_service(bed: Bed, task: Task, **options: Any) -> tuple[CountingService, TaskClock]:
    service, clock = bed.new_service(**options)
    assert task.status == "Starting" or not task.shows, f"{task}: shows is for the status 'Starting' only"
    timeline = [("Starting", 12), ("Running", None, task.shows)]
    if task.status == "Starting":
        service.add_instance(ID, timeline=timeline)
    elif task.status is not None:
        add_instance_for(service, task.change, ID, task.status)
    if task.make is None and task.status != "Starting":
        service.add_snapshot(ID, SNAPSHOT, timeline=[("Pushing", 12), ("Saved", None)])
    return service, clock


def run_once(mode: str, task: Task, clock: TaskClock, try_number: int = 1) -> Outcome:
    run = MODES[mode][1]
    if run is watch:
        run = partial(watch, clock=clock)
    try:
        run(task, try_number)
    except Exception as error:
        return type(error).__name__, error
    return "success", None


@cache
def usual(bed: Bed, mode: str, subject: str) -> tuple[str | None, ...]:
    """Return the actions of a run without any fault."""
    task = MODES[mode][0][subject]
    service, clock = new_service(bed, task)
    outcome, error = run_once(mode, task, clock)
    where = f"{subject!r} in tests/system/faults/tasks.py, {mode}"
    assert outcome == "success", f"{where}: {error!r} without any fault; has the instance what ends it, and not before?"
    assert task.goal(service), f"{where}: the goal is not reached, but {service.statuses()}"
    times = service.performed[task.change or ""]
    assert times == bool(task.change), f"{subject}, {mode}: {task.change} was done {times} times; see new_service"
    return tuple(request.action for request in service.requests)


def cells(bed: Bed) -> Iterator[Cell]:
    """Each fault, at the first request of each kind, at one in the middle, and at the last."""
    for mode, (subjects, _) in MODES.items():
        for subject in subjects:
            actions = usual(bed, mode, subject)
            for at in sorted({actions.index(action) for action in actions} | {len(actions) // 2, len(actions) - 1}):
                for fault, length in strikes():
                    yield Cell(mode, subject, fault, length, at, run_cell)


def run_cell(bed: Bed, cell: Cell) -> Found:
    task, row = MODES[cell.mode][0][cell.subject], FAULTS[cell.fault]
    service, clock = new_service(bed, task)
    assert cell.at is not None
    service.fault_from(cell.at, **row.given, **LENGTHS[cell.length])
    outcome, error = run_once(cell.mode, task, clock)
    requests = service.received
    wrong = wrong_sends(service, row)
    if outcome not in (expected := _expected(cell, task, row, service)):
        wrong.append(f"{outcome}, not {' or '.join(sorted(expected))}")
    if requests > MOST_REQUESTS:
        wrong.append(f"{requests} requests")
    # What the service has denied to know nobody can see.
    is_true = row.meaning is not Meaning.NOT_FOUND and cell.fault != ANOTHERS
    if outcome == "success" and is_true and not has_reached_goal(service, task):
        wrong.append("success, but the service shows nothing of it")
    if error is not None and task.make is not None and not isinstance(error, DswWaitFailedError):
        service.clear_faults()
        _, error = run_once(cell.mode, task, clock, 2)
        if error is not None:
            wrong.append(f"the retry: {error!r}")
        elif not has_reached_goal(service, task):
            wrong.append("the retry is a success, but the service shows nothing of it")
        wrong += wrong_sends(service, row)
    return Found(outcome, requests, wrong)


ANOTHERS = "another's answer, done"


def _expected(cell: Cell, task: Task, row: Row, service: CountingService) -> set[str]:
    """Return the outcomes that are right."""
    if row.meaning is Meaning.ANSWERED:
        return {"success"}
    if cell.mode == "watcher":
        # What changes before a watcher's first look, it can't have seen.
        is_blind = cell.length == "three times" and cell.at == 0 and row.meaning is not Meaning.TRANSIENT
        return {"TimeoutError"} if is_blind or cell.length == "without end" else {"success"}
    if task.make is None:
        return _expected_of_wait(cell, row)
    return _expected_of_operator(cell, task, row, service)


def _expected_of_wait(cell: Cell, row: Row) -> set[str]:
    if row.meaning is not Meaning.TRANSIENT:
        return {"DswWaitFailedError"}
    assert cell.at is not None
    is_first_poll = cell.at < (2 if cell.subject == "a snapshot by its id" else 1)
    if cell.length in ("once", "three times") or (cell.length == "for 8 s" and not is_first_poll):
        return {"success"}
    return {"DswTransientError" if is_first_poll else "AirflowSensorTimeout"}


def _expected_of_operator(cell: Cell, task: Task, row: Row, service: CountingService) -> set[str]:
    actions = [request.action for request in service.requests]
    assert cell.at is not None
    action = actions[cell.at]
    is_asked = task.change in actions[: cell.at]
    if action == task.change and cell.fault == ANOTHERS and action in ("CreateInstance", "CreateInstanceSnapshot"):
        # It is believed: what it names is then waited for.
        return {"success", "DswTimeoutError", "DswOperationFailedError", "DswTransientError"}
    if row.meaning is Meaning.TRANSIENT:
        if cell.length in ("once", "three times"):
            return {"success"}
        if not is_asked:
            return {"DswTransientError"} | ({"success"} if cell.length == "for 8 s" else set())
        # At the last request there may be nothing more to wait for.
        is_known = "no wait" in cell.subject or ("timed" in cell.subject and cell.at > len(actions) // 4 + 3)
        return {"success"} if cell.length == "for 8 s" else {"DswTimeoutError"} | ({"success"} if is_known else set())
    ends = {
        Meaning.REFUSED: {"DswRequestError" if task.make is DswGetInstanceOperator else "DswOperationFailedError"},
        Meaning.DENIED: {"DswWaitFailedError"},
        # Which may be what is wished for, or not shown yet.
        Meaning.NOT_FOUND: {"success", "DswWaitFailedError", "DswOperationFailedError", "DswTimeoutError"},
    }[row.meaning]
    if cell.length == "without end":
        return ends
    if action == "CreateInstanceShutdownTimer" != task.change and row.meaning is Meaning.REFUSED:
        return {"success"} if cell.length == "once" else {"success", *ends}  # it is set again later
    is_refused_deletion = action == "DeleteInstance" and row.meaning is Meaning.REFUSED  # to be asked for after a stop
    is_first_search = action == "ListInstanceSnapshot"  # for what no try before can have made
    is_first_look = task.change == "CreateInstance" and action not in actions[: cell.at]  # it may be shown late
    if (is_first_look and action == "GetInstance") or (
        cell.length == "once" and (is_refused_deletion or is_first_search)
    ):
        return {"success"}
    return ends


def has_reached_goal(service: CountingService, task: Task, failures: int = 0) -> bool:
    """Return whether the service is as the task wants it; what has failed before may still be there."""
    return task.goal(service) or (bool(failures) and "Saved" in service.statuses().values())


def wrong_sends(service: CountingService, row: Row | None, failures: int = 0) -> list[str]:
    """
    Say what was done twice, or was sent again without a look though it may have been done.

    :param failures: how many tries have ended with a failure of what was asked for, after which a retry asks again.
    """
    done = service.performed
    undone = {"StartInstance": done["StopInstance"], "CreateInstance": done["DeleteInstance"]}
    wrong = [
        f"{action} was done {done[action]} times"
        for action in CHANGES
        if done[action] > 1 + failures + undone.get(action, 0)
    ]
    before: dict[str | None, int] = {}
    requests = service.requests
    for number, request in enumerate(requests):
        if request.action not in CHANGES:
            continue
        earlier = before.get(request.action)
        before[request.action] = number
        if earlier is None:
            continue
        has_looked = any(each.method == "GET" and each.status == 200 for each in requests[earlier + 1 : number])
        code, status = requests[earlier].code or "", requests[earlier].status or 0
        was_refused = 400 <= status < 500 and not (row is not None and row.lost)
        if not (has_looked or was_refused or code.startswith("Throttling")):
            wrong.append(f"{request.action} was sent again without a look")
    return wrong
