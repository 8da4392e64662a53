"""A database that stands still, or is restarted, while tasks wait."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.live.real_airflow import Run
from tests.system.production.bed import Bed

pytestmark = [pytest.mark.slow, pytest.mark.production]

STANDS_STILL = 40  # seconds: longer than a triggerer's heartbeat may be late


@dataclass
class Waits:
    """Starts with ``stop_on_kill`` whose instance starts late, or in the meantime; and a sensor."""

    late: dict[str, Run]
    meanwhile: dict[str, Run]
    sensor: Run

    @property
    def all(self) -> dict[str, Run]:
        return {**self.late, **self.meanwhile, "dsw-stall-sensor": self.sensor}


@pytest.fixture(scope="module")
def waits(bed: Bed) -> Waits:
    """After the database stood still, with all that came of it."""
    late = {name: bed.begin("start-stops", name) for name in [f"dsw-stall-late-{number}" for number in range(5)]}
    meanwhile = {name: bed.begin("start-stops", name) for name in [f"dsw-stall-{number}" for number in range(2)]}
    waits = Waits(late, meanwhile, bed.begin("sensor", "dsw-stall-sensor", "Starting"))
    for run in waits.all.values():
        run.wait("deferred")
    bed.wait_until_polled(waits.all)
    with bed.database.suspended():
        time.sleep(STANDS_STILL / 4)
        for instance_id in meanwhile:
            bed.emulator.set_instance(instance_id, "Running")
        time.sleep(STANDS_STILL * 3 / 4)
    bed.wait_until_polled([*late, "dsw-stall-sensor"], more=4)
    return waits


def test_no_instance_is_stopped_that_nobody_ended_the_task_of(waits: Waits, bed: Bed) -> None:
    asked = {name: bed.asked(name) for name in waits.late}
    assert asked == {name: ["StartInstance"] for name in waits.late}


def test_an_instance_that_started_meanwhile_is_left_running_and_its_task_succeeds(waits: Waits, bed: Bed) -> None:
    for name, run in waits.meanwhile.items():
        run.wait("success")
        assert run.xcoms("start")["return_value"]["Status"] == "Running"
        assert bed.asked(name) == ["StartInstance"]


def test_waits_go_on_also_through_a_restart(waits: Waits, bed: Bed) -> None:
    bed.database.restart()
    for name in [*waits.late, "dsw-stall-sensor"]:
        bed.emulator.set_instance(name, "Running")
    for run in [*waits.late.values(), waits.sensor]:
        run.wait("success")
    asked = {name: bed.asked(name) for name in waits.late}
    assert asked == {name: ["StartInstance"] for name in waits.late}
    assert bed.asked("dsw-stall-sensor") == []
