"""Every call of the hook, alone: which fault ends it with which error, after how many requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dsw.exceptions import (
    DswAccessDeniedError,
    DswError,
    DswInstanceNotFoundError,
    DswRequestError,
    DswTransientError,
)
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS, DswHook
from tests.support.beside import BESIDE, SNAPSHOT
from tests.system.faults.cells import Cell, Found
from tests.system.faults.faults import FAULTS, LENGTHS, Meaning, Row, strikes
from tests.system.faults.service import Bed, CountingService

ID = "dsw-abc"
BODY = {"InstanceName": "a", "EcsSpec": "ecs.g6.xlarge", "ImageUrl": "registry/a:1"}
LABELS = f"/api/v2/instances/{ID}/labels"


@dataclass(frozen=True)
class Operation:
    """
    A call of the hook.

    :param api: the function of ``client.api`` that it goes by.
    :param method: the hook's.
    :param call: calls it.
    :param changes: the API's name of the request, if it changes something.
    :param status: the instance's before.
    :param requests: how many are made if nothing is wrong.
    :param takes: which faults' answers it takes for its own: they say nothing that it could check.
    :param tries: how often it is sent if the service has certainly not performed it.
    :param smaller_pages: how many it asks for, one smaller than the other, if each answer is too large.
    """

    api: str
    method: str
    call: Callable[[DswHook], Any]
    changes: str | None = None
    status: str = "Running"
    requests: int = 1
    takes: tuple[str, ...] = ()
    tries: int = MAX_ATTEMPTS
    smaller_pages: int = 0
    kinds: Mapping[Meaning, type[DswError]] = field(default_factory=dict)


EMPTY, ANOTHERS, TOO_LARGE = "an empty object, done", "another's answer, done", "deep JSON, done"
NAMES_NOTHING = {Meaning.NOT_FOUND: DswRequestError}
OPERATIONS: dict[str, Operation] = {
    "get_instance": Operation("get_instance", "get_instance", lambda hook: hook.get_instance(ID)),
    "aget_instance": Operation("get_instance", "aget_instance", lambda hook: asyncio.run(hook.aget_instance(ID))),
    "get_instance(fields)": Operation(
        "get_instance", "get_instance", lambda hook: hook.get_instance(ID, fields="Status"), takes=(EMPTY,)
    ),
    "get_instance_snapshot": Operation(
        "get_instance_snapshot", "get_instance_snapshot", lambda hook: hook.get_instance_snapshot(ID, SNAPSHOT)
    ),
    "aget_instance_snapshot": Operation(
        "get_instance_snapshot",
        "aget_instance_snapshot",
        lambda hook: asyncio.run(hook.aget_instance_snapshot(ID, SNAPSHOT)),
    ),
    "list_instances": Operation(
        "list_instances",
        "list_instances",
        lambda hook: list(hook.list_instances(workspace_id="ALL", resource_id="ALL", page_size=1)),
        requests=3,
        kinds=NAMES_NOTHING,
    ),
    "list_instance_snapshots": Operation(
        "list_instance_snapshots",
        "list_instance_snapshots",
        lambda hook: list(hook.list_instance_snapshots(ID)),
        smaller_pages=4,  # of 50, 25, 5 and 1
    ),
    "get_instance_events": Operation(
        "get_instance_events",
        "get_instance_events",
        lambda hook: hook.get_instance_events(ID),
        takes=(EMPTY, ANOTHERS),
    ),
    "get_lifecycle": Operation(
        "get_lifecycle", "get_lifecycle", lambda hook: hook.get_lifecycle(ID), takes=(EMPTY, ANOTHERS)
    ),
    "call": Operation(
        "any_operation",
        "call",
        lambda hook: hook.call("GetLifecycle", path=f"/api/v2/instances/{ID}/lifecycle"),
        takes=(EMPTY, ANOTHERS),
    ),
    "start_instance": Operation(
        "start_instance",
        "start_instance",
        lambda hook: hook.start_instance(ID),
        changes="StartInstance",
        status="Stopped",
    ),
    "stop_instance": Operation(
        "stop_instance", "stop_instance", lambda hook: hook.stop_instance(ID), changes="StopInstance"
    ),
    "astop_instance": Operation(
        "stop_instance", "astop_instance", lambda hook: asyncio.run(hook.astop_instance(ID)), changes="StopInstance"
    ),
    "create_instance_snapshot": Operation(
        "create_instance_snapshot",
        "create_instance_snapshot",
        lambda hook: hook.create_instance_snapshot(ID, snapshot_name="a", image_url="registry/a:1"),
        changes="CreateInstanceSnapshot",
        takes=(ANOTHERS,),
    ),
    "create_instance": Operation(
        "create_instance",
        "create_instance",
        lambda hook: hook.create_instance(BODY),
        changes="CreateInstance",
        takes=(ANOTHERS,),
    ),
    "delete_instance": Operation(
        "delete_instance", "delete_instance", lambda hook: hook.delete_instance(ID), changes="DeleteInstance"
    ),
    "set_shutdown_timer": Operation(
        "create_shutdown_timer",
        "set_shutdown_timer",
        lambda hook: hook.set_shutdown_timer(ID, after=3600),
        changes="CreateInstanceShutdownTimer",
    ),
    "delete_shutdown_timer": Operation(
        "delete_shutdown_timer",
        "delete_shutdown_timer",
        lambda hook: hook.delete_shutdown_timer(ID),
        changes="DeleteInstanceShutdownTimer",
    ),
    "call(PUT)": Operation(
        "any_operation",
        "call",
        lambda hook: hook.call(
            "UpdateInstanceLabels", method="PUT", path=LABELS, body={"Labels": [{"Key": "a", "Value": "b"}]}
        ),
        changes="UpdateInstanceLabels",
        takes=(EMPTY, ANOTHERS),
        tries=1,
    ),
    "test_connection": Operation("list_instances", "test_connection", lambda hook: hook.test_connection(), tries=1),
}
KINDS: dict[Meaning, type[DswError]] = {
    Meaning.TRANSIENT: DswTransientError,
    Meaning.REFUSED: DswRequestError,
    Meaning.DENIED: DswAccessDeniedError,
    Meaning.NOT_FOUND: DswInstanceNotFoundError,
}


def cells() -> Iterator[Cell]:
    """Each fault at each call: of a hook that has just been made, of one in use, and at each page of a list."""
    for name, operation in OPERATIONS.items():
        for fault, length in strikes():
            # No time passes: what lasts for 8 s goes on without end.
            if length != "for 8 s":
                for at in range(1 + operation.requests):
                    yield Cell("hook", name, fault, length, at, run)


def new_service(bed: Bed, operation: Operation) -> CountingService:
    service, _ = bed.new_service()
    for instance_id in ("dsw-0", ID, "dsw-z"):
        service.add_instance(instance_id, operation.status)
    for add in BESIDE.values():
        add(service, ID)
    return service


def run(bed: Bed, cell: Cell) -> Found:
    operation, row = OPERATIONS[cell.subject], FAULTS[cell.fault]
    service, hook = new_service(bed, operation), DswHook()
    assert cell.at is not None
    before = int(cell.at >= operation.requests)
    if before:
        hook.get_instance(ID)
    hit = 1 if before else cell.at
    service.fault_from(hit, **row.given, **LENGTHS[cell.length])
    raised: Exception | None = None
    try:
        answer = operation.call(hook)
    except Exception as error:
        outcome, raised = type(error).__name__, error
    else:
        outcome = "success"
        if operation.method == "test_connection" and not answer[0]:
            outcome = "does not work"
    requests, done = service.received - before, service.performed[operation.changes or "none"]
    expected, number = _expected(operation, cell, row)
    wrong = []
    if outcome != expected:
        wrong.append(f"{outcome}, not {expected}")
    if requests != number:
        wrong.append(f"{requests} requests, not {number}")
    if done > 1:
        wrong.append(f"done {done} times")
    if isinstance(raised, DswTransientError) and raised.may_have_been_performed != bool(operation.changes and row.lost):
        wrong.append(f"may_have_been_performed is {raised.may_have_been_performed}")
    if outcome == "success" and operation.changes and done != 1:
        wrong.append("it was not done")
    return Found(outcome, requests, wrong)


def _expected(operation: Operation, cell: Cell, row: Row) -> tuple[str, int]:
    """Return what a call comes to, and after how many requests."""
    clean = operation.requests
    hit = 0 if cell.at is None or cell.at >= clean else cell.at
    if row.meaning is Meaning.ANSWERED or cell.fault in operation.takes:
        return "success", clean
    error = {**KINDS, **operation.kinds}[row.meaning].__name__
    if operation.method == "test_connection":
        # The key is good, and what it may do is another matter.
        return "success" if "denied" in cell.fault and cell.fault != "denied before all" else "does not work", 1
    if row.meaning is not Meaning.TRANSIENT or (operation.changes and row.lost) or operation.tries == 1:
        return error, hit + 1
    times = LENGTHS[cell.length]["times"]
    if times is None or times >= operation.tries:
        smaller_pages = operation.smaller_pages if cell.fault == TOO_LARGE else 0
        return error, hit + smaller_pages + operation.tries
    return "success", clean + times
