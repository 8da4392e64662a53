"""What only a real triggerer shows: no worker held, polls shared, restarts survived, events for assets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.system.live.cases import HURRY, SHARES_POLLS
from tests.system.live.polls import pauses, polls, polls_stop, wait_for_polls
from tests.system.live.real_airflow import PATIENCE, Airflow, Run, wait_until


def start_crowd(airflow: Airflow, emulator: DswEmulator) -> Run:
    emulator.add_instance("dsw-crowd", "Starting")
    body = {"name": "one_slot", "slots": 1, "include_deferred": False}
    airflow.request("POST", "/pools", json=body)
    return airflow.trigger("crowd")


@pytest.mark.begin(by=start_crowd)
def test_five_waits_hold_no_worker_and_make_the_polls_of_one(
    begun: Run, airflow: Airflow, emulator: DswEmulator
) -> None:
    begun.wait("deferred")
    assert len(begun.tasks()) == 5
    pool = airflow.get("/pools/one_slot")
    assert (pool["occupied_slots"], pool["open_slots"], pool["deferred_slots"]) == (0, 1, 5)

    if SHARES_POLLS:
        assert min(pauses(emulator, "dsw-crowd", 4)) > 2.6  # of five waits whose interval is 3 s

    emulator.set_instance("dsw-crowd", "Running")
    begun.wait("success")


def start_patient(instance_id: str, airflow: Airflow, emulator: DswEmulator) -> Run:
    emulator.add_instance(instance_id, "Starting")
    return airflow.trigger("patient", instance_id=instance_id)


@pytest.mark.begin(by=lambda *both: start_patient("dsw-marked", *both))
def test_a_wait_that_is_marked_failed_stops_polling_and_can_be_cleared(begun: Run, emulator: DswEmulator) -> None:
    begun.wait("deferred")
    wait_for_polls(emulator, "dsw-marked")

    begun.mark("wait", "failed")
    begun.wait("failed")
    wait_until(lambda: polls_stop(emulator, "dsw-marked"), PATIENCE, lambda: "it is still polled")
    assert {request.action for request in emulator.requests if request.instance_id == "dsw-marked"} == {"GetInstance"}

    begun.clear("wait")
    begun.wait("deferred")
    wait_for_polls(emulator, "dsw-marked")
    emulator.set_instance("dsw-marked", "Running")
    (task,) = begun.wait("success")
    assert task["try_number"] == 2 or begun.was_mixed_up()


def images_of_events(airflow: Airflow, asset: str) -> list[str]:
    events = airflow.get("/assets/events", limit=100, order_by="timestamp")["asset_events"]
    return [event["extra"]["payload"]["ImageName"] for event in events if event["name"] == asset]


def wait_for_runs(airflow: Airflow, dag_id: str, number: int) -> None:
    wait_until(lambda: len(airflow.runs(dag_id)) >= number, PATIENCE, lambda: f"no run {number} of {dag_id}")


def watch(airflow: Airflow, emulator: DswEmulator) -> None:
    for instance_id in ("dsw-watched", "dsw-saving"):
        emulator.add_instance(instance_id)


WATCHING = ("on-snapshot", "dsw_on_new_snapshot")


@pytest.mark.begin(by=watch)
@pytest.mark.usefixtures("begun")
def test_a_new_snapshot_starts_its_dag_once_and_an_old_one_never(airflow: Airflow, emulator: DswEmulator) -> None:
    wait_for_polls(emulator, "dsw-watched")
    wait_for_polls(emulator, "dsw-saving")
    assert [airflow.runs(dag_id) for dag_id in WATCHING] == [[], []]

    for instance_id in ("dsw-watched", "dsw-saving"):
        pushing = [("Pushing", 4), ("Saved", None)]
        emulator.add_snapshot(instance_id, timeline=pushing, image_name="model:1", image_url="registry/model:1")
    for dag_id in WATCHING:
        wait_for_runs(airflow, dag_id, 1)
    wait_for_polls(emulator, "dsw-watched")
    wait_for_polls(emulator, "dsw-saving")

    for asset in ("dsw_watched", "dsw_watched_too", "dsw_saving_snapshots"):
        assert images_of_events(airflow, asset) == ["model:1"]
    assert [len(airflow.runs(dag_id)) for dag_id in WATCHING] == [1, 1]
    (example,) = airflow.runs("dsw_on_new_snapshot")
    example.wait("success")
    assert example.xcoms("use")["return_value"] == ["registry/model:1"]


@dataclass
class Restarted:
    patient: Run
    hurried: Run
    moved: Run


@pytest.fixture(scope="module")
def restarted(airflow: Airflow, emulator: DswEmulator) -> Restarted:
    """Three waits in the middle of which the triggerer was down, and a snapshot that was pushed meanwhile."""
    names = ("patient", "hurried", "moved")
    for name in names:
        emulator.add_instance(f"dsw-{name}", "Starting")
    found = Restarted(*(airflow.trigger(name, instance_id=f"dsw-{name}") for name in names))
    for run in (found.patient, found.hurried, found.moved):
        run.wait("deferred")
    wait_for_polls(emulator, "dsw-moved", more=1 - polls(emulator, "dsw-moved"))
    wait_for_polls(emulator, "dsw-patient")
    airflow.stop_component("triggerer")
    emulator.fault(instance_id="dsw-moved", times=4, status=503, code="ServiceUnavailable")
    for instance_id in ("dsw-watched", "dsw-saving"):
        emulator.add_snapshot(instance_id, status="Saved", image_name="model:2", image_url="registry/model:2")
    assert polls_stop(emulator, "dsw-patient", 3)
    airflow.start_component("triggerer")
    return found


def test_a_restart_loses_no_wait(restarted: Restarted, emulator: DswEmulator) -> None:
    wait_for_polls(emulator, "dsw-patient")
    emulator.set_instance("dsw-patient", "Running")
    restarted.patient.wait("success")
    assert restarted.patient.xcoms("wait")["return_value"]["Status"] == "Running"


@pytest.mark.skipif(not SHARES_POLLS, reason="Airflow before 3.3 starts no task in the triggerer")
def test_after_a_restart_the_first_poll_is_not_the_first_of_the_wait(
    restarted: Restarted, emulator: DswEmulator
) -> None:
    emulator.set_instance("dsw-moved", "Running")
    restarted.moved.wait("success")
    log = restarted.moved.log("wait")
    assert "Still waiting for" in log
    assert "at least" in log
    assert "Airflow can't" not in log


@pytest.mark.skipif(not SHARES_POLLS, reason="Airflow before 3.3 keeps no state for a watcher")
@pytest.mark.usefixtures("restarted")
def test_a_restart_loses_no_snapshot_and_repeats_none(airflow: Airflow, emulator: DswEmulator) -> None:
    for dag_id in WATCHING:
        wait_for_runs(airflow, dag_id, 2)
    wait_for_polls(emulator, "dsw-watched")
    wait_for_polls(emulator, "dsw-saving")
    for asset in ("dsw_watched", "dsw_watched_too", "dsw_saving_snapshots"):
        assert images_of_events(airflow, asset) == ["model:1", "model:2"]
    assert [len(airflow.runs(dag_id)) for dag_id in WATCHING] == [2, 2]
    second = airflow.runs("dsw_on_new_snapshot")[-1]
    second.wait("success")
    assert second.xcoms("use")["return_value"] == ["registry/model:2"]


def test_a_restart_loses_no_deadline(restarted: Restarted, emulator: DswEmulator) -> None:
    (task,) = restarted.hurried.wait("failed")
    assert "AirflowSensorTimeout" in restarted.hurried.log("wait")
    began, ended = (datetime.fromisoformat(task[name]) for name in ("start_date", "end_date"))
    assert (ended - began).total_seconds() >= HURRY
    # It is looked at after a poll: the first one that comes too late, whenever that is, is the last one.
    first, *others = [request.time for request in emulator.calls("GetInstance", "dsw-hurried")]
    assert sum(poll - first > HURRY for poll in others) <= 1
