"""What the instances do that the command serves by default."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_dsw.emulator.cli import scenario
from airflow_provider_dsw.emulator.cli.scenario import SAVING, ScenarioEmulator
from airflow_provider_dsw.emulator.clock import ManualClock
from airflow_provider_dsw.hooks.dsw import DswHook


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time of the emulator, to be set."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_nothing_moves_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    with ScenarioEmulator(starts_on_request=True, speed=20, clock=clock) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
        clock.advance(10)
        hook = DswHook()

        assert hook.get_instance("dsw-starting")["Status"] == "Creating"
        assert hook.get_instance(SAVING)["LatestSnapshot"]["Status"] == "Committing"
        assert hook.get_instance("dsw-failing")["Status"] == "Creating"

        clock.advance(2.5)
        assert hook.get_instance("dsw-failing")["ReasonMessage"] == "ImagePullBackOff"
        assert hook.get_instance(SAVING)["LatestSnapshot"]["Status"] == "Saved"

        clock.advance(2.5)
        assert hook.get_instance("dsw-starting")["Status"] == "Running"


def test_each_instance_begins_with_the_first_request_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    emulator = ScenarioEmulator(starts_on_request=True, clock=clock)
    with emulator:
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
        DswHook().get_instance("dsw-failing")
        clock.advance(1000)
        emulator.advance()
        statuses = emulator.statuses()
        assert (statuses["dsw-failing"], statuses["dsw-starting"], statuses[SAVING]) == (
            "Failed",
            "Creating",
            "Running",
        )

        list(DswHook().list_instances())
        clock.advance(1000)
        emulator.advance()
        assert emulator.status("dsw-starting") == "Creating"

        for instance_id in ("dsw-starting", SAVING):
            DswHook().get_instance(instance_id)
        clock.advance(95)  # seconds: the second time that the one is saved
        emulator.advance()
        assert (emulator.status("dsw-starting"), emulator.status(SAVING)) == ("Running", "Saving")


def test_each_dag_run_has_to_wait_for_the_instance_that_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    with ScenarioEmulator(starts_on_request=True, clock=clock) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
        hook = DswHook()

        def statuses(seconds: int) -> list[str]:
            found = []
            for _ in range(seconds // 10):
                found.append(hook.get_instance("dsw-starting")["Status"])
                clock.advance(10)
            return list(dict.fromkeys(found))

        every = ["Creating", "ResourceAllocating", "EnvPreparing", "Starting", "Running"]
        assert statuses(200) == every  # however long it is asked for
        clock.advance(60)  # seconds in which nobody does
        assert statuses(100) == every

        hook.stop_instance("dsw-starting")
        clock.advance(600)
        assert hook.get_instance("dsw-starting")["Status"] == "Stopped"
        hook.start_instance("dsw-starting")
        clock.advance(600)
        assert hook.get_instance("dsw-starting")["Status"] == "Running"  # what a DAG has started stays as it is


def test_one_instance_is_saved_again_and_again(clock: list[float]) -> None:
    emulator = ScenarioEmulator(speed=2)
    emulator.begin()
    seen: list[Any] = []
    for _ in range(100):
        emulator.advance()
        seen.append(emulator.status(SAVING))
        clock[0] += 1

    saved = [name for name in emulator.statuses() if name.startswith(f"{SAVING}/{scenario.SNAPSHOT}")]
    assert saved == [f"{SAVING}/snp-saving", f"{SAVING}/snp-saving-2", f"{SAVING}/snp-saving-3"]
    assert {"Saving", "Saved", "Running"} == set(seen)


def test_an_instance_that_somebody_stopped_is_not_saved(clock: list[float]) -> None:
    emulator = ScenarioEmulator()
    emulator.begin()
    emulator.set_instance(SAVING, "Stopped")

    clock[0] += 1000
    emulator.advance()

    assert emulator.status(SAVING) == "Stopped"
    assert f"{SAVING}/snp-saving-2" not in emulator.statuses()


def test_named_instances_take_the_place_of_the_default_ones() -> None:
    emulator = ScenarioEmulator([("dsw-abc", [("Starting", 1.0), ("Running", None)])])
    emulator.begin()
    emulator.advance()

    assert {name.partition("/")[0] for name in emulator.statuses()} == {"dsw-abc"}


@pytest.mark.parametrize(("then", "end"), [("Running", "Saved"), ("Failed", "Failed")])
def test_an_instance_that_is_told_to_be_saving_makes_a_snapshot(clock: list[float], then: str, end: str) -> None:
    emulator = ScenarioEmulator([("dsw-abc", [("Running", 4.0), ("Saving", 9.0), (then, None)])], speed=2)
    before = set(emulator.statuses())
    emulator.begin()
    seen: list[str | None] = []
    for _ in range(10):
        emulator.advance()
        seen += [status for name, status in emulator.statuses().items() if name not in before]
        clock[0] += 1

    assert list(dict.fromkeys(seen)) == ["Committing", "Pushing", end]
    assert len(seen) == 8  # one snapshot, from the third second on


def test_an_instance_that_was_stopped_before_its_saving_makes_no_snapshot(clock: list[float]) -> None:
    emulator = ScenarioEmulator([("dsw-abc", [("Running", 4.0), ("Saving", 9.0), ("Running", None)])])
    before = set(emulator.statuses())
    emulator.begin()
    emulator.set_instance("dsw-abc", "Stopped")

    clock[0] += 5
    emulator.advance()

    assert set(emulator.statuses()) == before
