"""
A Celery worker and a triggerer that are killed with all that they run, and a service that is down meanwhile.

One fixture does it all, because each of them takes Airflow a minute to get over.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.live.real_airflow import Run, wait_until
from tests.system.production.bed import TASK_HEARTBEAT_TIMEOUT, TRIGGERERS, WORKER, Bed

pytestmark = [pytest.mark.slow, pytest.mark.production]

# The DAG of each wait, the triggerer of which is killed.
WAITS = {
    "dsw-moved-sensor": "sensor",
    "dsw-moved-from-trigger": "sensor-from-trigger",
    "dsw-moved-backoff": "sensor-from-trigger-backoff",
}
# For these the service is down; how long the other one polls, shows how often.
DOWN_FOR = ("dsw-moved-sensor", "dsw-moved-from-trigger")
LONGEST_PAUSE = 30  # seconds, of the wait with backoff, and when it has waited so long
DOWN_AFTER, DOWN = 8, 60  # seconds from the kill, and from then
# The request that each start is in the middle of when its worker is killed.
STARTS = {"dsw-killed-before": "GetInstance", "dsw-killed-after": "StartInstance"}


@dataclass
class Killed:
    """
    What was killed.

    :param runs: of each wait and start.
    :param at: monotonic time at which the triggerer was killed.
    """

    runs: dict[str, Run]
    at: float


@pytest.fixture(scope="module")
def killed(bed: Bed) -> Killed:
    first, second = TRIGGERERS
    bed.airflow.stop_component(second)
    runs = {name: bed.begin(dag_id, name, "Starting") for name, dag_id in WAITS.items()}
    runs |= begin_starts(bed)
    bed.airflow.kill_component(WORKER)
    bed.airflow.start_component(WORKER)
    bed.wait_until_polled(WAITS, more=2)
    bed.airflow.start_component(second)
    time.sleep(LONGEST_PAUSE)
    for name in WAITS:
        assert bed.triggerer_of(runs[name]) == first
    bed.airflow.kill_component(first)
    at = time.monotonic()
    time.sleep(DOWN_AFTER)
    for name in DOWN_FOR:
        bed.emulator.fault(None, name, times=None, status=503)
    time.sleep(DOWN)
    bed.emulator.clear_faults()
    bed.airflow.start_component(first)
    bed.wait_until_polled(["dsw-moved-sensor"], more=2)
    for name in WAITS:
        bed.emulator.set_instance(name, "Running")
    return Killed(runs, at)


def begin_starts(bed: Bed) -> dict[str, Run]:
    """Starts in the middle of a request: one that the service gets, and does not answer before the worker is dead."""
    for name, action in STARTS.items():
        bed.emulator.fault(action, name, delay=60)
    runs = {name: bed.begin("start", name) for name in STARTS}
    wait_until(
        lambda: all(bed.emulator.calls(action, name) for name, action in STARTS.items()),
        60,
        lambda: f"not all are asked for: {[run.states() for run in runs.values()]}",
    )
    return runs


@pytest.mark.parametrize("name", DOWN_FOR)
def test_a_wait_that_moves_while_the_service_is_down_goes_on(killed: Killed, name: str) -> None:
    run = killed.runs[name]
    (task,) = run.wait("success")
    assert task["try_number"] == 1 or run.was_mixed_up(), run.logs()
    log = run.log("wait")
    waited = re.search(r"Waited (\d+):(\d+):(\d+) and", log)
    assert waited, log
    hours, minutes, seconds = map(int, waited.groups())
    assert hours * 3600 + minutes * 60 + seconds > LONGEST_PAUSE + DOWN_AFTER + DOWN, log


def test_a_backoff_goes_on_where_it_was(killed: Killed, bed: Bed) -> None:
    killed.runs["dsw-moved-backoff"].wait("success")
    polls = [request.time for request in bed.emulator.calls("GetInstance", "dsw-moved-backoff")]
    pauses = [later - earlier for earlier, later in pairwise(at for at in polls if at > killed.at)]
    assert pauses
    assert min(pauses) > 0.8 * LONGEST_PAUSE  # less the jitter


@pytest.mark.parametrize("name", STARTS)
def test_a_start_whose_worker_was_killed_is_asked_for_once(killed: Killed, bed: Bed, name: str) -> None:
    run = killed.runs[name]
    wait_until(
        lambda: run.tasks()[0]["try_number"] == 2 and run.states() == ["deferred"],
        TASK_HEARTBEAT_TIMEOUT + 120,
        lambda: f"it is not tried again: {run.tasks()}",
    )
    bed.emulator.set_instance(name, "Running")
    run.wait("success")

    assert bed.asked(name) == ["StartInstance"]
    assert run.xcoms("start")["return_value"]["Status"] == "Running"
