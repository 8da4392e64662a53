"""A triggerer that is killed, while the service is down: its waits go on in the other triggerer."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.system.live.real_airflow import PATIENCE, Run, wait_until
from tests.system.production.bed import TRIGGERERS, WORKER, Bed
from tests.system.production.fleet import Faults, Fleet, Outcome
from tests.system.production.scenarios import outage

pytestmark = [pytest.mark.slow, pytest.mark.production]

# The DAG of each wait. How often the last one polls shows its backoff: for it the service is not down.
DAGS = {
    "dsw-moved-sensor": "sensor",
    "dsw-moved-from-trigger": "sensor-from-trigger",
    "dsw-moved-start": "start-stops",
    "dsw-moved-backoff": "sensor-from-trigger-backoff",
}
*WAITS, BACKOFF = DAGS
LONGEST_PAUSE = 20  # seconds, of the wait with backoff, after as many seconds
DOWN_AFTER, DOWN = 8, 60  # seconds from the kill, and of the outage; at a pace of 1


@dataclass
class Moved:
    """
    What has moved.

    :param runs: of each wait.
    :param at: monotonic time of the kill.
    :param fleet: what became of a wave of waits, and of the watchers, whose instances started in the middle of it.
    """

    runs: dict[str, Run]
    at: float
    fleet: Outcome


@pytest.fixture(scope="module")
def moved(bed: Bed, fleet: Fleet) -> Moved:
    first, second = TRIGGERERS
    bed.airflow.stop_component(second)
    runs = {name: bed.begin(dag_id, name, "Starting") for name, dag_id in DAGS.items()}
    waves = fleet.launch()
    fleet.wait_until_deferred()
    bed.wait_until_polled(DAGS)
    assert {bed.triggerer_of(run) for run in runs.values()} == {first}
    polled = time.monotonic()
    bed.airflow.start_component(second)
    wait_until(
        lambda: second in bed.triggerers(), PATIENCE, lambda: f"only these triggerers are there: {bed.triggerers()}"
    )
    time.sleep(max(polled + LONGEST_PAUSE - time.monotonic(), 0))
    fleet.begin()
    bed.airflow.kill_component(first)
    at = time.monotonic()
    bed.sleep(DOWN_AFTER)
    outage(fleet, waves, spared=BACKOFF)
    bed.airflow.start_component(first)
    bed.wait_until_polled(["dsw-moved-sensor"])
    bed.wait_until_polled([BACKOFF], since=at)  # and then once more
    for name in DAGS:
        bed.emulator.set_instance(name, "Running")
    return Moved(runs, at, fleet.outcome(waves))


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_that_moves_while_the_service_is_down_goes_on(moved: Moved, bed: Bed, name: str) -> None:
    run = moved.runs[name]
    (task,) = run.wait("success")
    assert task["try_number"] == 1 or run.was_mixed_up(), run.logs()
    assert task["hostname"] == WORKER
    assert run.xcoms(task["task_id"])["return_value"]["Status"] == "Running"
    log = run.log(task["task_id"])
    waited = re.search(r"Waited (\d+):(\d+):(\d+) and", log)
    assert waited, log
    hours, minutes, seconds = map(int, waited.groups())
    assert hours * 3600 + minutes * 60 + seconds > LONGEST_PAUSE + (DOWN_AFTER + DOWN) * bed.pace, log
    assert bed.asked(name) == []


def test_all_that_start_meanwhile_end_right_and_every_change_is_one_event(moved: Moved) -> None:
    assert moved.fleet.faults == Faults(), moved.fleet.notes


def test_a_backoff_goes_on_where_it_was(moved: Moved, bed: Bed) -> None:
    moved.runs[BACKOFF].wait("success")
    polls = [request.time for request in bed.emulator.calls("GetInstance", BACKOFF)]
    pauses = [later - earlier for earlier, later in pairwise(at for at in polls if at > moved.at)]
    assert pauses
    assert min(pauses) > 0.8 * LONGEST_PAUSE  # less the jitter
