"""A triggerer that is killed, while the service is down for some of its waits: they go on in the other triggerer."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.live.real_airflow import Run, wait_until
from tests.system.production.bed import TRIGGERERS, Bed

pytestmark = [pytest.mark.slow, pytest.mark.production]

# The DAG of each wait. How often the last one polls shows its backoff; for the others the service is down.
DAGS = {
    "dsw-moved-sensor": "sensor",
    "dsw-moved-from-trigger": "sensor-from-trigger",
    "dsw-moved-start": "start-stops",
    "dsw-moved-backoff": "sensor-from-trigger-backoff",
}
*DOWN_FOR, BACKOFF = DAGS
LONGEST_PAUSE = 30  # seconds, of the wait with backoff, after as many seconds
DOWN_AFTER, DOWN = 8, 60  # seconds from the kill, and from then; at a pace of 1


@dataclass
class Moved:
    """
    What has moved.

    :param runs: of each wait.
    :param at: monotonic time of the kill.
    """

    runs: dict[str, Run]
    at: float


@pytest.fixture(scope="module")
def moved(bed: Bed) -> Moved:
    first, second = TRIGGERERS
    bed.airflow.stop_component(second)
    runs = {name: bed.begin(dag_id, name, "Starting") for name, dag_id in DAGS.items()}
    bed.wait_until_polled(DAGS, more=2)
    time.sleep(LONGEST_PAUSE)
    bed.airflow.start_component(second)
    wait_until(lambda: second in bed.triggerers(), 60, lambda: f"only these triggerers are there: {bed.triggerers()}")
    bed.airflow.kill_component(first)
    at = time.monotonic()
    bed.sleep(DOWN_AFTER)
    for name in DOWN_FOR:
        bed.emulator.fault(None, name, times=None, status=503)
    bed.sleep(DOWN)
    bed.emulator.clear_faults()
    bed.airflow.start_component(first)
    bed.wait_until_polled(["dsw-moved-sensor"], more=2)
    for name in DAGS:
        bed.emulator.set_instance(name, "Running")
    return Moved(runs, at)


@pytest.mark.parametrize("name", DOWN_FOR)
def test_a_wait_that_moves_while_the_service_is_down_goes_on(moved: Moved, bed: Bed, name: str) -> None:
    run = moved.runs[name]
    (task,) = run.wait("success")
    assert task["try_number"] == 1 or run.was_mixed_up(), run.logs()
    log = run.log(task["task_id"])
    waited = re.search(r"Waited (\d+):(\d+):(\d+) and", log)
    assert waited, log
    hours, minutes, seconds = map(int, waited.groups())
    assert hours * 3600 + minutes * 60 + seconds > LONGEST_PAUSE + (DOWN_AFTER + DOWN) * bed.pace, log
    assert bed.asked(name) == []


def test_a_backoff_goes_on_where_it_was(moved: Moved, bed: Bed) -> None:
    moved.runs[BACKOFF].wait("success")
    polls = [request.time for request in bed.emulator.calls("GetInstance", BACKOFF)]
    pauses = [later - earlier for earlier, later in pairwise(at for at in polls if at > moved.at)]
    assert pauses
    assert min(pauses) > 0.8 * LONGEST_PAUSE  # less the jitter
