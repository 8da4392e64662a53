"""Prints one table of ratios from one run."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Iterator

# Before anything imports airflow.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _HOME.name

from tests.bench.measure import Cost, Plan, deferred, minimal, provider, sdk, workers  # noqa: E402
from tests.bench.server import Server, serving  # noqa: E402

HEAD = ("waits", "on", "polls/min", "CPU s/min", "x limit", "CPU ms/poll", "MB/wait", "stall s", "to event s")
WORKERS = 4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--waits", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between two polls of a wait")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each row is measured")
    parser.add_argument("--deferred-only", action="store_true", help="leave out the modes that hold workers")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    plan = Plan(arguments.interval, arguments.seconds)
    print(f"Every {plan.interval:g} s a poll, over TLS; each row measured for {plan.seconds:g} s.")
    print(f"{'':28}" + "".join(f"{name:>12}" for name in HEAD))
    with serving() as server:
        for name, cells in rows(arguments.waits, not arguments.deferred_only, server, plan):
            print(f"{name:28}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    return 0


def rows(waits: list[int], with_workers: bool, server: Server, plan: Plan) -> Iterator[tuple[str, list[str]]]:
    empty = deferred(minimal, 0, 0, server, plan)
    yield "no wait", ["0", "0", "0", f"{empty.cpu:.2f}"]
    limits: dict[int, Cost] = {}
    for number in waits:
        limits[number] = deferred(minimal, number, number, server, plan)
        yield "minimal trigger (limit)", cells(number, number, limits[number], limits[number], empty)
    for number in waits:
        cost = deferred(provider, number, number, server, plan)
        yield "this provider", cells(number, number, cost, limits[number], empty)
    for number in waits:
        cost = deferred(provider, number, 1, server, plan)
        yield "this provider", cells(number, 1, cost, limits[number], empty)
    for number in waits:
        cost = deferred(sdk, number, number, server, plan)
        yield "the SDK's async call", cells(number, number, cost, limits[number], empty)
    if not with_workers:
        return
    for mode in ("poke", "reschedule"):
        cost = workers(mode, WORKERS, server, plan)
        for number in waits:
            # Not measured with a thousand: no machine has the memory.
            scale = number / WORKERS
            scaled = Cost(cost.polls * scale, cost.cpu * scale, cost.memory * scale)
            yield f"{mode} (from {WORKERS} workers)", cells(number, number, scaled, limits[number], None)


def cells(waits: int, instances: int, cost: Cost, limit: Cost, empty: Cost | None) -> list[str]:
    memory = cost.memory - (empty.memory if empty else 0)
    return [
        str(waits),
        str(instances),
        f"{cost.polls:.0f}",
        f"{cost.cpu:.2f}",
        f"{cost.cpu / limit.cpu:.2f}" if limit.cpu else "-",
        f"{cost.cpu / cost.polls * 1000:.2f}" if cost.polls else "-",
        f"{memory / waits / 1e6:.3f}",
        "-" if cost.stall is None else f"{cost.stall:.3f}",
        "-" if cost.delay is None else f"{cost.delay:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
