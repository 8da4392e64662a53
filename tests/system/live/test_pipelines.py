"""Start, work, snapshot, stop: what a scheduler, a triggerer, a person and a kill make of it."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.version_compat import CALLS_ON_KILL
from tests.system.live.polls import wait_for_polls
from tests.system.live.real_airflow import PATIENCE, Airflow, Run, wait_until

HELD: set[str] = set()


def keep_starting(emulator: DswEmulator, request: Request) -> None:
    if request.action == "StartInstance" and request.instance_id in HELD:
        emulator.set_instance(request.instance_id, "Starting")


def begin(dag_id: str, instance_id: str, *, hold: bool = False, **conf: Any) -> pytest.MarkDecorator:
    """Start a DAG with a stopped instance; `hold`: its start goes on for as long as the test wants."""

    def start(airflow: Airflow, emulator: DswEmulator) -> Run:
        emulator.add_instance(instance_id, "Stopped")
        if hold:
            HELD.add(instance_id)
            emulator.on_request = partial(keep_starting, emulator)
        return airflow.trigger(dag_id, instance_id=instance_id, **conf)

    return pytest.mark.begin(by=start)


def asked(emulator: DswEmulator, instance_id: str) -> list[str | None]:
    """What an instance was asked for, and not only looked at."""
    requests = [request for request in emulator.requests if request.instance_id == instance_id]
    return [request.action for request in requests if request.method != "GET"]


def wait_for_request(emulator: DswEmulator, action: str, instance_id: str) -> None:
    wait_until(lambda: emulator.calls(action, instance_id), PATIENCE, lambda: f"no {action} of {instance_id}")


@begin("pipeline", "dsw-pipeline")
def test_the_pipeline_is_green_and_stops_what_it_started(begun: Run, airflow: Airflow, emulator: DswEmulator) -> None:
    begun.wait("success")

    assert asked(emulator, "dsw-pipeline") == ["StartInstance", "CreateInstanceSnapshot", "StopInstance"]
    assert emulator.status("dsw-pipeline") == "Stopped"
    assert begun.xcoms("start")["return_value"]["Status"] == "Running"
    assert begun.xcoms("stop")["return_value"]["Status"] == "Stopped"
    snapshot = begun.xcoms("snapshot")["return_value"]
    assert (snapshot["Status"], snapshot["ImageUrl"]) == ("Saved", "registry/dsw-pipeline:1")
    events = airflow.get("/assets/events", limit=100, source_dag_id="pipeline")["asset_events"]
    names = ("InstanceId", "SnapshotId", "ImageId", "ImageUrl")
    assert {name: snapshot[name] for name in names} in [event["extra"] for event in events]


@begin("pipeline", "dsw-fails", fails=True)
def test_the_instance_is_stopped_though_the_work_fails(begun: Run, emulator: DswEmulator) -> None:
    begun.wait("success", task_id="stop")

    assert begun.states("work") == ["failed"]
    assert asked(emulator, "dsw-fails") == ["StartInstance", "StopInstance"]
    assert emulator.status("dsw-fails") == "Stopped"
    wait_until(lambda: begun.airflow.get(begun.path)["state"] == "failed", PATIENCE, lambda: "the run has not failed")


@begin("start-worker", "dsw-killed", hold=True)
def test_a_start_whose_process_is_killed_is_tried_again_and_asked_for_once(begun: Run, emulator: DswEmulator) -> None:
    wait_for_request(emulator, "StartInstance", "dsw-killed")
    (task,) = begun.tasks()
    psutil.Process(task["pid"]).kill()
    wait_until(lambda: begun.tasks()[0]["try_number"] == 2, PATIENCE, lambda: "it is not tried again")
    emulator.set_instance("dsw-killed", "Running")

    (task,) = begun.wait("success")

    assert task["try_number"] == 2
    assert asked(emulator, "dsw-killed") == ["StartInstance"]
    assert begun.xcoms("start")["return_value"]["Status"] == "Running"


@begin("start-deferred", "dsw-cleared", hold=True)
def test_a_deferred_start_that_is_cleared_goes_on(begun: Run, emulator: DswEmulator) -> None:
    wait_for_request(emulator, "StartInstance", "dsw-cleared")
    begun.wait("deferred")
    begun.clear("start")
    wait_until(lambda: begun.tasks()[0]["try_number"] == 2, PATIENCE, lambda: "it is not tried again")
    emulator.set_instance("dsw-cleared", "Running")

    (task,) = begun.wait("success")

    assert task["try_number"] == 2 or begun.was_mixed_up()
    assert asked(emulator, "dsw-cleared") == ["StartInstance"]


def start_to_save_many(airflow: Airflow, emulator: DswEmulator) -> Run:
    for number in range(2):
        emulator.add_instance(f"dsw-many-{number}")
    return airflow.trigger("save-many", second="dsw-many-1")


@pytest.mark.begin(by=start_to_save_many)
def test_mapped_tasks_save_an_image_each_and_do_it_anew_when_cleared(begun: Run, emulator: DswEmulator) -> None:
    tries = {task["map_index"]: task["try_number"] for task in begun.wait("success")}
    first = [begun.xcoms("save", index)["return_value"] for index in range(2)]
    wait_until(lambda: emulator.status("dsw-many-1") == "Running", PATIENCE, lambda: "it is still being saved")

    begun.clear("save")
    wait_until(
        lambda: all(task["try_number"] > tries[task["map_index"]] for task in begun.tasks()),
        PATIENCE,
        lambda: "they are not run again",
    )
    begun.wait("success")

    again = [begun.xcoms("save", index)["return_value"] for index in range(2)]
    assert [snapshot["InstanceId"] for snapshot in first] == ["dsw-many-0", "dsw-many-1"]
    assert [snapshot["InstanceId"] for snapshot in again] == ["dsw-many-0", "dsw-many-1"]
    assert len({snapshot["SnapshotId"] for snapshot in (*first, *again)}) == 4


def start_without_stock(airflow: Airflow, emulator: DswEmulator) -> Run:
    emulator.add_instance("dsw-no-stock", "Stopped")
    emulator.fault("StartInstance", "dsw-no-stock", times=None, status=400, code="NoStock", message="No GPU is left")
    return airflow.trigger("start-deferred", instance_id="dsw-no-stock")


@pytest.mark.begin(by=start_without_stock)
def test_without_stock_each_try_of_a_start_asks_once_and_says_why(begun: Run, emulator: DswEmulator) -> None:
    (task,) = begun.wait("failed")

    assert task["try_number"] == 3
    assert asked(emulator, "dsw-no-stock") == ["StartInstance"] * 3
    log = begun.log("start")
    assert "DswOperationFailedError" in log
    for word in ("NoStock", "No GPU is left", "RequestId"):
        assert word in log


KILLS_TRIGGERS = pytest.mark.skipif(not CALLS_ON_KILL, reason="Airflow 3.3 tells a trigger that its task was killed")


@pytest.mark.parametrize(
    "stops",
    [
        pytest.param([], id="worker", marks=begin("start-worker", "dsw-left", hold=True)),
        pytest.param(["StopInstance"], id="worker-stops", marks=begin("start-worker-stops", "dsw-ended", hold=True)),
        pytest.param([], id="deferred", marks=begin("start-deferred", "dsw-left-deferred", hold=True)),
        pytest.param(
            ["StopInstance"],
            id="deferred-stops",
            marks=[begin("start-deferred-stops", "dsw-ended-deferred", hold=True), KILLS_TRIGGERS],
        ),
    ],
)
def test_a_start_that_is_marked_failed_leaves_the_instance_alone_unless_told(
    begun: Run, emulator: DswEmulator, stops: list[str]
) -> None:
    instance_id = begun.airflow.get(begun.path)["conf"]["instance_id"]
    wait_for_request(emulator, "StartInstance", instance_id)
    if "-worker" in begun.dag_id:
        begun.wait("running")
    else:
        begun.wait("deferred")
        wait_for_polls(emulator, instance_id, more=1)  # by its trigger, which nobody stops before it runs
    begun.mark("start", "failed")

    if stops:
        wait_for_request(emulator, "StopInstance", instance_id)
    else:
        time.sleep(5)
    assert asked(emulator, instance_id) == ["StartInstance", *stops]
