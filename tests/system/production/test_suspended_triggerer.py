"""A triggerer that stands still so long that the other takes over what it waits for, and then goes on."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.live.real_airflow import Run, wait_until
from tests.system.production.bed import Bed

pytestmark = [pytest.mark.slow, pytest.mark.production]

STANDS_STILL = 45  # seconds


@dataclass
class Waits:
    """
    Starts with ``stop_on_kill`` whose instance starts late, or in the meantime; and one that was running before.

    :param moved: the late ones that the suspended triggerer had.
    """

    late: dict[str, Run]
    meanwhile: dict[str, Run]
    moved: set[str]


@pytest.fixture(scope="module")
def waits(bed: Bed) -> Waits:
    """After one triggerer stood still, with all that came of it."""
    for instance_id in bed.watched:
        bed.emulator.set_instance(instance_id, "Stopped")
    late = {name: bed.begin("start-stops", name) for name in [f"dsw-frozen-late-{number}" for number in range(4)]}
    meanwhile = {name: bed.begin("start-stops", name) for name in [f"dsw-frozen-{number}" for number in range(2)]}
    for run in [*late.values(), *meanwhile.values()]:
        run.wait("deferred")
    bed.wait_until_polled([*late, *meanwhile, *bed.watched], more=2)
    triggerers = {name: bed.triggerer_of(run) for name, run in late.items()}
    shares = Counter(bed.triggerers_of_watchers())
    frozen = max(set(triggerers.values()), key=lambda triggerer: shares[triggerer])
    assert shares[frozen]
    began = time.monotonic()
    with bed.airflow.suspended(frozen):
        time.sleep(5)
        for instance_id in [*meanwhile, *bed.watched]:
            bed.emulator.set_instance(instance_id, "Running")
        wait_until(lambda: all(runs_of_watchers(bed)), 90, lambda: f"runs: {runs_of_watchers(bed)}")
        time.sleep(max(began + STANDS_STILL - time.monotonic(), 0))
    bed.wait_until_polled([*late, *bed.watched], more=4)
    return Waits(late, meanwhile, {name for name, triggerer in triggerers.items() if triggerer == frozen})


def test_an_event_that_the_other_triggerer_has_fired_is_not_fired_again(waits: Waits, bed: Bed) -> None:
    assert runs_of_watchers(bed) == [1] * len(bed.watched)


def runs_of_watchers(bed: Bed) -> list[int]:
    return [bed.runs_of_watcher(number) for number in range(len(bed.watched))]


def test_no_instance_is_stopped_whose_wait_has_moved(waits: Waits, bed: Bed) -> None:
    assert waits.moved
    asked = {name: bed.asked(name) for name in waits.late}
    assert asked == {name: ["StartInstance"] for name in waits.late}


def test_an_instance_that_started_meanwhile_is_left_running_and_its_task_succeeds(waits: Waits, bed: Bed) -> None:
    for name, run in waits.meanwhile.items():
        run.wait("success")
        assert run.xcoms("start")["return_value"]["Status"] == "Running"
        assert bed.asked(name) == ["StartInstance"]


def test_waits_that_have_moved_succeed(waits: Waits, bed: Bed) -> None:
    for name in waits.late:
        bed.emulator.set_instance(name, "Running")
    for run in waits.late.values():
        run.wait("success")
