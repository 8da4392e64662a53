"""
What production goes through: disturbances, each in the middle of which some instances start.

The seconds are those of a bed whose pace is 1, where a triggerer's heartbeat is late after 30.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from tests.system.live.real_airflow import PATIENCE, wait_until
from tests.system.production.bed import WORKER, Bed
from tests.system.production.fleet import Fleet, Outcome, Wave

Disturbance = Callable[[Fleet, Sequence[Wave]], Sequence[Wave]]


@dataclass(frozen=True)
class Scenario:
    """
    One disturbance.

    :param title: what it is, for people.
    :param disturb: does it with the fleet, and with waves whose instances start in its middle; returns the waves that
        end by that.
    """

    title: str
    disturb: Disturbance

    def play(self, fleet: Fleet, size: int, ending: int) -> Outcome:
        """
        Let so many waves go through it.

        :param fleet: is topped up to `size` before.
        :param size: how many waves.
        :param ending: how many of them end.
        """
        fleet.launch(size - len(fleet.waves))
        fleet.wait_until_deferred()
        fleet.begin()
        return fleet.outcome(self.disturb(fleet, fleet.waves[:ending]))


def kill_triggerer(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
    bed, killed = fleet.bed, fleet.watching_triggerer()
    bed.airflow.kill_component(killed)
    bed.sleep(5)
    fleet.arrive(waves)
    bed.sleep(40)
    bed.airflow.start_component(killed)
    return waves


def kill_worker_before_request(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
    """While starts look at their instances, before they ask for anything."""
    return kill_worker_at(fleet, waves, ["GetInstance"])


def kill_worker_after_request(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
    """When StartInstance is carried out and not yet answered."""
    return kill_worker_at(fleet, waves, ["StartInstance"])


def kill_worker_and_suspend_triggerer(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
    """The worker before and after a request; the triggerer until Airflow misses the worker's heartbeats."""
    return kill_worker_at(fleet, waves, ["GetInstance", "StartInstance"], suspend_triggerer)


def kill_worker_at(
    fleet: Fleet, waves: Sequence[Wave], actions: Sequence[str], meanwhile: Disturbance | None = None
) -> Sequence[Wave]:
    """Kill it while it starts instances of new waves, and has asked for these actions; then let `meanwhile` happen."""
    bed = fleet.bed
    new = fleet.launch(2)
    # Those of one kind after each other, so that each kind meets each action.
    starts = [instance_id for same in zip(*(wave.starts for wave in new), strict=True) for instance_id in same]
    faults = [
        bed.emulator.fault(action, instance_id, times=None, delay=60)
        for instance_id, action in zip(starts, cycle(actions), strict=False)
    ]
    wait_until(lambda: all(fault.hits for fault in faults), PATIENCE, lambda: f"not all starts are at {actions}")
    bed.airflow.kill_component(WORKER)
    bed.emulator.clear_faults()
    bed.airflow.start_component(WORKER)
    (meanwhile or leave_alone)(fleet, waves)
    with suppress(AssertionError):  # who never asks is counted
        wait_until(lambda: all(map(bed.asked, starts)), PATIENCE, lambda: "")
        bed.wait_until_polled(starts)
    fleet.arrive(new)
    return [*waves, *new]


def suspend_database(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
    with fleet.bed.database.suspended():
        fleet.bed.sleep(10)
        fleet.arrive(waves)
        fleet.bed.sleep(30)
    return waves


def restart_database(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
    """
    Not while events are on their way: that is the window in which a watcher has written what it saw, and its event is
    not in the database yet.
    """
    with fleet.bed.database.restarted():
        fleet.arrive(waves)
        fleet.bed.sleep(5)
    return waves


def suspend_triggerer(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
    with fleet.bed.airflow.suspended(fleet.watching_triggerer()):
        fleet.bed.sleep(5)
        fleet.arrive(waves)
        fleet.bed.sleep(40)
    return waves


def outage(fleet: Fleet, waves: Sequence[Wave], spared: str | None = None) -> Sequence[Wave]:
    """The service refuses to answer, then it is not there at all, but for one instance if `spared` names it."""
    bed = fleet.bed
    _break_service(bed, spared, status=503)
    bed.sleep(15)
    fleet.arrive(waves)
    bed.sleep(15)
    _break_service(bed, spared, drop=True)
    bed.sleep(30)
    bed.emulator.clear_faults()
    return waves


def _break_service(bed: Bed, spared: str | None, **trouble: Any) -> None:
    bed.emulator.clear_faults()
    if spared:
        bed.emulator.fault(None, spared, times=None, delay=0, before_auth=True)  # the first one that fits is taken
    bed.emulator.fault(times=None, before_auth=True, **trouble)


def leave_alone(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
    fleet.arrive(waves)
    return waves


SCENARIOS = {
    "triggerer-killed": Scenario("kill -9 of a triggerer", kill_triggerer),
    "worker-killed-before": Scenario("kill -9 of the worker, before a request", kill_worker_before_request),
    "worker-killed-after": Scenario("kill -9 of the worker, after a request", kill_worker_after_request),
    "database-suspended": Scenario("SIGSTOP of the database for 40 s", suspend_database),
    "database-restarted": Scenario("restart of the database", restart_database),
    "triggerer-suspended": Scenario("SIGSTOP of a triggerer for 45 s", suspend_triggerer),
    "outage": Scenario("outage of the service for 60 s", outage),
}
THE_END = Scenario("all that is left, at once", leave_alone)
