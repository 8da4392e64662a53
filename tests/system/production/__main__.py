"""Prints one table from one run: what becomes of many waits, or pipelines, in the worst that production can meet."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from tests.system.production import bed
from tests.system.production.bed import Bed
from tests.system.production.fleet import Fleet, Outcome
from tests.system.production.pipelines import CLEARED, FAILING, KILLED, WITHOUT_STOCK, kill_worker
from tests.system.production.scenarios import SCENARIOS, THE_END
from tests.system.production.wave import TASKS

HEAD = (
    "waits",
    "ended",
    "lost",
    "wrong",
    "twice",
    "unasked",
    "events",
    "lost",
    "twice",
    "polls",
    "gap s",
    "to end s",
    "window s",
    "mix-ups",
    "took s",
)
WATCHERS = 0.1  # of all waits
ENDING = 0.1  # of the waves, in each scenario


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.production", description=__doc__)
    parser.add_argument("--waits", type=int, default=200, help="tasks that wait and watchers, at the least")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--pipelines", type=int, help="runs of a pipeline through each of its troubles, and no waits")
    arguments = parser.parse_args()
    return show_pipelines(arguments.pipelines) if arguments.pipelines else show_waits(arguments)


def show_waits(arguments: argparse.Namespace) -> int:
    watchers = round(arguments.waits * WATCHERS)
    waves = -(-(arguments.waits - watchers) // len(TASKS))
    print(
        f"{waves * len(TASKS)} tasks and {watchers} watchers on two triggerers; in each scenario some of the instances "
        "start, and new tasks follow those that end."
    )
    print("lost, wrong, twice: tasks, then events; unasked: requests that nobody asked for. gap: the longest between")
    print("two polls of a wait; to end: from the start of the instances to the last end of a task; window: from the")
    print("writing of a watcher's memory to its event, in which a crash loses the event; mix-ups: Airflow's own.")
    print(f"{'':42}" + "".join(f"{name:>9}" for name in HEAD), flush=True)
    failed, started = False, time.monotonic()
    with bed.running("production-table", watchers=watchers, interval=10, takes=10, pace=1) as running:
        fleet = Fleet(running)
        for scenario in [*(SCENARIOS[name] for name in arguments.only), THE_END]:
            ending = waves if scenario is THE_END else max(round(waves * ENDING), 1)
            before, began = mix_ups(running), time.monotonic()
            outcome = scenario.play(fleet, waves, ending)
            row = [*cells(outcome), str(mix_ups(running) - before), f"{time.monotonic() - began:.0f}"]
            print(f"{scenario.title:42}" + "".join(f"{cell:>9}" for cell in row), flush=True)
            for note in outcome.notes:
                print(f"    {note}")
            failed |= bool(outcome.faults)
        for component, times in Counter(running.airflow.revived).items():
            print(f"{component} ended by itself and was started again {times} times")
    print(f"in all {time.monotonic() - started:.0f} s")
    return int(failed)


def show_pipelines(number: int) -> int:
    """Print what becomes of pipelines, each on an instance of its own, whatever happens to each of their steps."""
    failed, started = False, time.monotonic()
    with bed.running("pipelines-table", watchers=1) as running, ThreadPoolExecutor(4) as threads:
        print(f"{'':42}{'runs':>9}{'wrong':>9}{'instances':>11}", flush=True)
        rounds = []
        for _ in range(number):
            rounds.append({step: way.launch(running) for step, way in KILLED.items()})
            kill_worker(running, rounds[-1])
        begun = [(way, [held[step] for held in rounds]) for step, way in KILLED.items()]
        others = (WITHOUT_STOCK, *CLEARED, *FAILING.values())
        # Not all at once: no more tasks at a time than the worker takes.
        for way, pipelines in chain(begun, ((way, [way.launch(running) for _ in range(number)]) for way in others)):
            faults = [fault for found in threads.map(way.faults, pipelines) for fault in found]
            instances = sum(len(pipeline.plan.instances) for pipeline in pipelines)
            print(f"{way.title:42}{len(pipelines):9}{len(faults):9}{instances:11}", flush=True)
            for fault in faults:
                print(f"    {fault}")
            failed |= bool(faults)
    print(f"in all {time.monotonic() - started:.0f} s")
    return int(failed)


def mix_ups(running: Bed) -> int:
    """Return how often Airflow failed a task that was fine; of one that was killed it says that it has failed."""
    return sum("finished with state success" in line for line in running.airflow.mix_ups())


def cells(outcome: Outcome) -> list[str]:
    faults = outcome.faults
    return [
        str(outcome.waits),
        str(outcome.ended),
        str(faults.lost),
        str(faults.wrong),
        str(faults.twice),
        str(faults.unasked),
        str(outcome.events),
        str(faults.events_lost),
        str(faults.events_twice),
        str(outcome.polls),
        f"{outcome.longest_gap:.0f}",
        f"{outcome.to_the_end:.0f}",
        f"{outcome.window:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
