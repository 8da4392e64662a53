"""A person who ends a deferred start: the instance is stopped once, and a start that is cleared starts it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.system.live.real_airflow import PATIENCE, Run, wait_until
from tests.system.production.bed import WORKER, Bed

pytestmark = [pytest.mark.slow, pytest.mark.production]

NAMES = ("marked-failed", "marked-success", "cleared", "stops-before", "stops-after")


@pytest.fixture(scope="module", name="runs")
def deferred_starts(bed: Bed) -> Iterator[Mapping[str, Run]]:
    """Each start of an instance of its own, which stops for as long as a test wants."""
    before = bed.emulator.stop_timeline
    bed.emulator.stop_timeline = [("Stopping", None)]
    runs = {name: bed.begin("start-stops", f"dsw-{name}") for name in NAMES}
    for run in runs.values():
        run.wait("deferred")
    bed.wait_until_polled([f"dsw-{name}" for name in NAMES])
    yield runs
    bed.emulator.stop_timeline = before


def wait_for(bed: Bed, action: str, instance_id: str, number: int = 1) -> None:
    """Wait until so many such requests were carried out."""
    wait_until(
        lambda: [call.status for call in bed.emulator.calls(action, instance_id)].count(200) >= number,
        PATIENCE,
        lambda: f"{instance_id} was asked for {bed.asked(instance_id)}, not for {action}",
    )


def test_each_instance_whose_task_is_marked_or_cleared_is_stopped_once(bed: Bed, runs: Mapping[str, Run]) -> None:
    runs["marked-failed"].mark("start", "failed")
    runs["marked-success"].mark("start", "success")
    runs["cleared"].clear("start")
    for name in ("marked-failed", "marked-success", "cleared"):
        wait_for(bed, "StopInstance", f"dsw-{name}")
    check_started_again(bed, runs["cleared"], "dsw-cleared")

    assert bed.asked("dsw-marked-failed") == ["StartInstance", "StopInstance"]
    assert bed.asked("dsw-marked-success") == ["StartInstance", "StopInstance"]


def test_a_cleared_start_that_finds_its_instance_stopping_waits_and_starts_it_again(
    bed: Bed, runs: Mapping[str, Run]
) -> None:
    run = runs["stops-before"]
    with bed.airflow.suspended(WORKER):
        run.clear("start")
        wait_for(bed, "StopInstance", "dsw-stops-before")
    check_started_again(bed, run, "dsw-stops-before")


def test_a_cleared_start_whose_instance_stops_after_it_has_looked_starts_it_again(
    bed: Bed, runs: Mapping[str, Run]
) -> None:
    run = runs["stops-after"]
    triggerer = bed.triggerer_of(run)
    with bed.airflow.suspended(triggerer):
        # What the new try sees, it sees before the stop, and knows after it.
        look = bed.emulator.fault("GetInstance", "dsw-stops-after", hold=True)
        run.clear("start")
        wait_until(lambda: look.hits, PATIENCE, lambda: "the new try does not look")
    wait_for(bed, "StopInstance", "dsw-stops-after")
    look.release()
    check_started_again(bed, run, "dsw-stops-after")


def check_started_again(bed: Bed, run: Run, instance_id: str) -> None:
    bed.wait_until_polled([instance_id])  # while it stops, which refuses a start
    assert bed.asked(instance_id) == ["StartInstance", "StopInstance"]
    bed.emulator.set_instance(instance_id, "Stopped")
    wait_for(bed, "StartInstance", instance_id, 2)
    bed.emulator.set_instance(instance_id, "Running")
    (task,) = run.wait("success")
    assert bed.asked(instance_id) == ["StartInstance", "StopInstance", "StartInstance"]
    assert task["try_number"] == 2 or run.was_mixed_up()
