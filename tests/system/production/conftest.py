"""One production for all tests here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.system.production import bed
from tests.system.production.bed import Bed
from tests.system.production.fleet import Fleet, Outcome, Wave
from tests.system.production.pipelines import CLEARED, FAILING, KILLED, MENDED, NOT_MENDED, WITHOUT_STOCK, Pipeline
from tests.system.production.scenarios import Scenario, kill_worker_at, suspend_triggerer

WAVES = 2
# What other pipelines go through.
WAYS = {
    "no-stock": WITHOUT_STOCK,
    "cleared-early": CLEARED[0],
    "cleared-late": CLEARED[1],
    "mended": MENDED,
    "not-mended": NOT_MENDED,
    "instance-fails": FAILING["wait_for_ssh"],
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run these where they are asked for only: they need servers that a developer's machine may not have."""
    if "production" in config.option.markexpr:
        return
    asked_for: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        (others if item.get_closest_marker("production") else asked_for).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = asked_for


@pytest.fixture(scope="package", name="bed")
def running_bed() -> Iterator[Bed]:
    # Heartbeats are late after half of the time, so that a test need not wait so long until they are.
    with bed.running(pace=0.5) as running:
        yield running


@pytest.fixture(scope="package")
def fleet(bed: Bed) -> Fleet:
    return Fleet(bed)


@dataclass(frozen=True)
class KilledWorker:
    """
    What has been through a kill of the worker.

    :param fleet: what became of waits, some of whose tasks were about to ask for something, or had just done so.
    :param killed: pipelines that were held, each at another step, by that step.
    :param later: those that came after it, by the key of the way that they go.
    :param faults: what is not as it has to be with each of them at its end.
    """

    fleet: Outcome
    killed: Mapping[str, Pipeline]
    later: Mapping[str, Pipeline]
    faults: Mapping[str, Future[list[str]]]


@pytest.fixture(scope="package")
def killed_worker(bed: Bed, fleet: Fleet) -> Iterator[KilledWorker]:
    """Kill the worker once for all, and let other pipelines run while those that it had end."""
    killed = {step: way.launch(bed) for step, way in KILLED.items()}
    later: dict[str, Pipeline] = {}
    faults: dict[str, Future[list[str]]] = {}

    def release(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
        for step, pipeline in killed.items():
            pipeline.release(step)
        return suspend_triggerer(fleet, waves)

    def disturb(fleet: Fleet, waves: Sequence[Wave]) -> Sequence[Wave]:
        for step, pipeline in killed.items():
            pipeline.wait_until_held(step)
        ending = kill_worker_at(fleet, waves, ["GetInstance", "StartInstance"], release)
        # Not before: a machine that is busy with them is late with what shows whether an event is fired twice.
        for key, way in WAYS.items():
            later[key] = way.launch(bed)
            faults[key] = threads.submit(way.faults, later[key])
        return ending

    with ThreadPoolExecutor(len(WAYS)) as threads:
        outcome = Scenario("kill -9 of the worker, SIGSTOP of a triggerer", disturb).play(fleet, WAVES, ending=1)
        yield KilledWorker(outcome, killed, later, faults)
