"""Every way in which the service may be what its documentation leaves open, and each operator in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from airflow_provider_dsw.emulator.options import CHOICES
from airflow_provider_dsw.operators.create import CREATION_CONFIRM_ATTEMPTS
from airflow_provider_dsw.operators.submission import CONFIRM_ATTEMPTS
from tests.system.faults.cells import Cell, Found
from tests.system.faults.faults import FAULTS
from tests.system.faults.service import Bed
from tests.system.faults.tasks import (
    MOST_REQUESTS,
    OPERATORS,
    has_reached_goal,
    new_service,
    run_once,
    wrong_sends,
)

FAILED: Any = ("Failed", None)
FAILING: dict[str, Any] = {"next_snapshots": [[("Pushing", 5), FAILED]]}
# What an emulator is given, for each of its options.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    **{name: [{name: choice} for choice in choices[1:]] for name, choices in CHOICES.items()},
    "speed": [{"speed": 0.5}, {"speed": 20.0}],
    "start_timeline": [{"start_timeline": ["Creating", "Starting", "Running"]}],
    "stop_timeline": [{"stop_timeline": ["Stopping", "Stopped"]}],
    "snapshot_timeline": [{"snapshot_timeline": ["Committing", "Pushing", "Saved"]}],
    "delete_timeline": [{"delete_timeline": ["Deleting", None]}],
    "next_starts": [{"next_starts": [[("Queuing", 5), FAILED]]}],
    "next_stops": [{"next_stops": [[("Stopping", 5), FAILED]]}],
    "next_snapshots": [FAILING],
    "next_deletes": [{"next_deletes": [[("Deleting", 20), (None, None)]]}],
    "no_stock": [{"no_stock": 1}],
    "failure_reasons": [{"failure_reasons": False, **FAILING}],
    "failure_event": [{"failure_event": "disk full", **FAILING}],
    "events_with_times": [{"events_with_times": False, **FAILING}],
    "events_order": [{"events_order": "newest first", **FAILING}],
    "required_fields": [{"required_fields": False}],
    "unique_instance_names": [{"unique_instance_names": True}],
    "label_filter": [{"label_filter": False}],
    "timers_outlive_stops": [{"timers_outlive_stops": True}],
    "ssh_seconds": [{"ssh_seconds": 5.0}],
    "ssh_endpoint": [{"ssh_endpoint": "127.0.0.1:22"}],
    "stale_reads": [{"stale_reads": 2}, {"stale_reads": [0, 2, 1, 0]}, {"stale_reads": 2, "late_lists": 2}],
    "late_lists": [{"late_lists": number} for number in (1, 2, 5, 8)],
    "saving_status": [{"saving_status": False}],
    "saved_seconds": [{"saved_seconds": 0.0}],
    "after_failed_save": [{"after_failed_save": choice, **FAILING} for choice in CHOICES["after_failed_save"]],
    "concurrent_snapshots": [{"concurrent_snapshots": True, "unique_names": False}],
    "unique_names": [{"unique_names": False}],
    "unique_image_urls": [{"unique_image_urls": True}],
}
# What the request meets that changes something.
MEETS = ("nothing", "dropped, done", "dropped, not done", "dropped, done later", "500, done", "throttled")


def cells() -> Iterator[Cell]:
    for choices in OPTIONS.values():
        for given in choices:
            for mode in ("worker", "deferred"):
                for subject, task in OPERATORS.items():
                    for fault in MEETS if task.change else MEETS[:1]:
                        words = " ".join(f"{each}={value}" for each, value in given.items())
                        yield Cell(mode, subject, fault, words, None, partial(run_cell, given=given))


def run_cell(bed: Bed, cell: Cell, given: dict[str, Any]) -> Found:
    task, row = OPERATORS[cell.subject], FAULTS.get(cell.fault)
    service, clock = new_service(bed, task, **given)
    if row is not None:
        service.fault(task.change, **row.given)
    outcome, error = run_once(cell.mode, task, clock)
    requests, wrong = service.received, []
    may_fail = any(name.startswith("next_") or name == "no_stock" for name in given)
    right = {"success"} | ({"DswOperationFailedError"} if may_fail else set())
    if task.change == "CreateInstanceSnapshot" and given.get("late_lists", 0) > CONFIRM_ATTEMPTS:
        # It is listed later than it is looked for: the try fails, and requests nothing twice.
        right |= {"DswOperationFailedError", "DswTransientError"}
    if outcome not in right:
        wrong.append(f"{error!r}")
    if requests > MOST_REQUESTS:
        wrong.append(f"{requests} requests")
    failures = int(outcome == "DswOperationFailedError")
    if failures:
        second, error = run_once(cell.mode, task, clock, 2)
        # What has failed may have left the instance in a status in which nothing of the kind can be asked for.
        if second not in ("success", "DswOperationFailedError", "DswTimeoutError"):
            wrong.append(f"the retry: {error!r}")
        outcome = f"{outcome}, then {second}"
    if error is None and not has_reached_goal(service, task, failures):
        wrong.append("success, but the service shows nothing of it")
    wrong += wrong_sends(service, row, failures)
    is_double = service.performed["CreateInstance"] == 2 and not failures
    if _is_shown_too_late(cell, given):
        outcome, wrong = ("created twice", []) if is_double else (outcome, ["no limit"])
    elif is_double and service.performed["DeleteInstance"]:
        outcome = "created twice, one deleted"
    return Found(outcome, requests, wrong)


def _is_shown_too_late(cell: Cell, given: dict[str, Any]) -> bool:
    """
    Return whether an instance is listed later than an operator looks for it whose request has lost its answer.

    It looks six times in 25 seconds, and once the second one is Running; the service has no other way to say what a
    request has created.
    """
    is_late = cell.fault.endswith(("done", "done later")) and given.get("late_lists", 0) > CREATION_CONFIRM_ATTEMPTS + 1
    return is_late and "not done" not in cell.fault and OPERATORS[cell.subject].change == "CreateInstance"
