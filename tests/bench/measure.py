"""Runs waits in a real Airflow and measures them."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from tests.bench.contenders import LoopProbe, MinimalTrigger, SdkTrigger
from tests.bench.server import Server
from tests.system.live.real_airflow import PATIENCE, REPOSITORY, Airflow, wait_until

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Plan:
    """
    How it is measured.

    :param interval: seconds between two polls of a wait.
    :param seconds: how long, once all wait.
    """

    interval: float = 10.0
    seconds: float = 30.0


@dataclass(frozen=True)
class Cost:
    """
    What a number of waits cost.

    :param polls: a minute.
    :param cpu: seconds a minute.
    :param memory: bytes, of the process as a whole.
    :param stall: seconds, the longest in which the event loop did nothing else, though it could have run.
    :param delay: seconds from the change to its event, the median.
    :param failed: polls that failed, as far as the triggerer's logs tell.
    """

    polls: float
    cpu: float
    memory: float
    stall: float | None = None
    delay: float | None = None
    failed: int | None = None


def provider(instance_id: str, plan: Plan, server: Server) -> Any:
    now = time.time()
    return DswInstanceTrigger(
        instance_id=instance_id,
        poke_interval=plan.interval,
        started_at=now,
        timeout=86400,
        has_polled=True,
        last_status="Starting",
    )


def minimal(instance_id: str, plan: Plan, server: Server) -> Any:
    return MinimalTrigger(instance_id, plan.interval, server.connection)


def sdk(instance_id: str, plan: Plan, server: Server) -> Any:
    return SdkTrigger(instance_id, plan.interval, server.connection)


@contextmanager
def _airflow(server: Server, plan: Plan, name: str, **env: str) -> Iterator[Airflow]:
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        airflow = Airflow(
            home=Path(home),
            dags=HERE / "dags",
            artifacts=REPOSITORY / ".artifacts" / "bench" / name,
            env={
                "AIRFLOW_CONN_DSW_DEFAULT": json.dumps(server.connection),
                "SSL_CERT_FILE": server.ca_file,
                "BENCH_INTERVAL": str(plan.interval),
                **env,
            },
        )
        try:
            yield airflow
        finally:
            airflow.stop()


def deferred(maker: Any, waits: int, instances: int, server: Server, plan: Plan) -> Cost:
    """Let one triggerer hold so many waits, evenly on the instances."""
    name = f"{maker.__name__}-{waits}-on-{instances}"
    with _airflow(server, plan, name, AIRFLOW__TRIGGERER__CAPACITY="2000") as airflow:
        server.prepare(instances)
        airflow.migrate()
        probe_file = airflow.home / "longest-stall"
        triggers = [maker(f"dsw-{number % instances}", plan, server) for number in range(waits)]
        rows = [trigger.serialize() for trigger in [*triggers, LoopProbe(str(probe_file))]]
        subprocess.run(
            [sys.executable, "-m", "tests.bench.rows"],
            input=json.dumps(rows),
            text=True,
            env=airflow.env,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        server.prepare(instances)
        airflow.start_component("triggerer")
        wait_until(
            lambda: _started(airflow) > waits and len(server.polls()) == instances,
            PATIENCE,
            lambda: f"{name}: {_started(airflow)} triggers, {len(server.polls())} instances polled",
        )
        time.sleep(plan.interval)
        runner = max(airflow.process("triggerer").children(), key=lambda child: child.memory_info().rss)
        began, polls, cpu = time.monotonic(), _total(server), _cpu(runner)
        time.sleep(plan.seconds)
        polls, cpu, memory = _total(server) - polls, _cpu(runner) - cpu, runner.memory_info().rss
        ended = time.monotonic()
        minutes = (ended - began) / 60
        stalls = [stall for at, stall in _stalls(probe_file) if began < at < ended]
        changed = datetime.now(UTC)
        server.run_all()
        patience = time.monotonic() + 4 * plan.interval
        while len(fired := _fired(airflow)) < waits and time.monotonic() < patience:
            time.sleep(1)
        missed = [float("inf")] * (waits - len(fired))
        delays = [(at - changed).total_seconds() for at in fired] + missed
        delay = statistics.median(delays) if delays else None
        return Cost(polls / minutes, cpu / minutes, memory, max(stalls, default=None), delay, _failed(airflow))


def workers(mode: str, waits: int, server: Server, plan: Plan) -> Cost:
    """Let real workers wait, a few: what one costs, the others cost too. Less what Airflow costs without them."""
    with _airflow(server, plan, mode, AIRFLOW__CORE__PARALLELISM=str(waits), BENCH_WORKERS=str(waits)) as airflow:
        server.prepare(waits)
        airflow.start()
        scheduler = airflow.process("scheduler")
        idle, began = _cpu_of_family(scheduler), time.monotonic()
        time.sleep(plan.seconds)
        idle = (_cpu_of_family(scheduler) - idle) / (time.monotonic() - began) * 60
        before = {child.pid for child in scheduler.children(recursive=True)}
        airflow.trigger(mode)
        wait_until(lambda: len(server.polls()) == waits, PATIENCE, lambda: f"{mode}: not all wait")
        time.sleep(plan.interval)
        polls, cpu, began = _total(server), _cpu_of_family(scheduler), time.monotonic()
        memory: list[int] = []
        while time.monotonic() < began + plan.seconds:
            new = [child for child in scheduler.children(recursive=True) if child.pid not in before]
            memory.append(sum(_own_memory(child) for child in new))
            time.sleep(1)
        minutes = (time.monotonic() - began) / 60
        cpu = (_cpu_of_family(scheduler) - cpu) / minutes - idle
        return Cost((_total(server) - polls) / minutes, cpu, statistics.mean(memory))


def _stalls(probe_file: Path) -> Iterator[tuple[float, float]]:
    """When the probe has written, and the longest stall before that."""
    *lines, _ = probe_file.read_text().split("\n")  # the last one may not be complete
    for line in lines:
        at, stall = line.split()
        yield float(at), float(stall)


def _total(server: Server) -> int:
    return sum(server.polls().values())


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _cpu_of_family(process: psutil.Process) -> float:
    """With all children, ended ones too."""
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _own_memory(process: psutil.Process) -> int:
    """What the process alone uses: it shares much with the one that it was forked from."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.NoSuchProcess:
        return 0


def _started(airflow: Airflow) -> int:
    return len(list(_trigger_logs(airflow)))


def _fired(airflow: Airflow) -> list[datetime]:
    lines = (_FIRED.search(log.read_text()) for log in _trigger_logs(airflow))
    return [datetime.fromisoformat(json.loads(line[0])["timestamp"]) for line in lines if line]


def _failed(airflow: Airflow) -> int:
    """What the provider's hook and the contender that uses the SDK say of a poll that failed."""
    logs = [*_trigger_logs(airflow), airflow.artifacts / "triggerer.log"]
    return sum(len(_FAILED.findall(log.read_text(errors="replace"))) for log in logs)


def _trigger_logs(airflow: Airflow) -> Iterator[Path]:
    return (airflow.home / "logs").glob("dag_id=deferred/**/*.trigger.*.log")


_FAILED = re.compile(r"Trying again in|Still waiting for|A poll failed")
_FIRED = re.compile(r'^.*"Trigger fired event".*}$', re.MULTILINE)
