"""Prints one table of ratios from one run."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

# Before anything imports airflow.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _HOME.name

from tests.bench.measure import Cost, Plan, deferred, minimal, provider, sdk, workers  # noqa: E402
from tests.bench.server import Server, serving  # noqa: E402
from tests.support.processes import ending_on_signals  # noqa: E402

HEAD = (
    "waits",
    "on",
    "polls/min",
    "failed",
    "CPU s/min",
    "x limit",
    "CPU ms/poll",
    "MB/wait",
    "x limit",
    "stall s",
    "to event s",
)
WAYS = {"limit": "minimal trigger (limit)", "provider": "this provider", "sdk": "the SDK's async call"}
MODES = ("poke", "reschedule")
WORKERS = 4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--waits", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between two polls of a wait")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each row is measured")
    parser.add_argument("--only", nargs="+", choices=(*WAYS, *MODES), default=(*WAYS, *MODES), help="beside the limit")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    plan = Plan(arguments.interval, arguments.seconds)
    print(f"Every {plan.interval:g} s a poll, over TLS; each row measured for {plan.seconds:g} s.")
    print("CPU time and memory are what the waits add to a triggerer, or a scheduler, that has none.")
    print(f"{'':28}" + "".join(f"{name:>12}" for name in HEAD))
    with ending_on_signals(), serving() as server:
        for name, cells in rows(arguments.waits, arguments.only, server, plan):
            print(f"{name:28}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    return 0


def rows(waits: list[int], only: Sequence[str], server: Server, plan: Plan) -> Iterator[tuple[str, list[str]]]:
    empty = deferred(minimal, 0, 0, server, plan)
    yield "a triggerer without waits", ["0", "0", "0", "0", f"{empty.cpu:.2f}", "", "", f"{empty.memory / 1e6:.1f}"]
    limits: dict[int, Cost] = {}

    def row(way: str, maker: Any, number: int, instances: int) -> tuple[str, list[str]]:
        try:
            found = deferred(maker, number, instances, server, plan)
        except AssertionError as error:
            return WAYS[way], [str(number), str(instances), f"  {error}"]
        cost = replace(found, cpu=found.cpu - empty.cpu, memory=found.memory - empty.memory)
        if way == "limit":
            limits[number] = cost
        return WAYS[way], cells(number, instances, cost, limits.get(number))

    for number in waits:
        yield row("limit", minimal, number, number)
    if "provider" in only:
        for number in waits:
            yield row("provider", provider, number, number)
        for number in waits:
            yield row("provider", provider, number, 1)
    if "sdk" in only:
        for number in waits:
            yield row("sdk", sdk, number, number)
    for mode in MODES:
        if mode not in only:
            continue
        cost = workers(mode, WORKERS, server, plan)
        for number in waits:
            # Not measured with a thousand: no machine has the memory.
            scale = number / WORKERS
            scaled = Cost(cost.polls * scale, cost.cpu * scale, cost.memory * scale)
            yield f"{mode} (from {WORKERS} workers)", cells(number, number, scaled, limits.get(number))


def cells(waits: int, instances: int, cost: Cost, limit: Cost | None) -> list[str]:
    return [
        str(waits),
        str(instances),
        f"{cost.polls:.0f}",
        _shown(cost.failed, "d"),
        f"{cost.cpu:.2f}",
        _times(cost.cpu, limit.cpu if limit else None),
        f"{cost.cpu / cost.polls * 1000:.2f}" if cost.polls else "-",
        f"{cost.memory / waits / 1e6:.3f}",
        _times(cost.memory, limit.memory if limit else None),
        _shown(cost.stall, ".3f"),
        _shown(cost.delay, ".2f"),
    ]


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _times(value: float, limit: float | None) -> str:
    return f"{value / limit:.2f}" if limit and limit > 0 else "-"


if __name__ == "__main__":
    sys.exit(main())
