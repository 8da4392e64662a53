"""
What a task pays for the service, beside the SDK's own call: `python -m tests.bench.tasks`.

Each figure is the median of some fresh processes that have imported `airflow.sdk` and looked their connection up, over
TLS, in one run. `--against DIRECTORY` measures another checkout of the provider too, in turn with this one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.server import Server, serving

REPOSITORY = Path(__file__).parents[2]
THREADS, CALLS = 8, 200

PRELUDE = f"""
import json, os, threading, time, warnings
from types import SimpleNamespace
warnings.simplefilter("ignore")
from airflow.sdk import BaseHook, BaseSensorOperator
connection = BaseHook.get_connection("dsw_default")

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

def measure(work):
    before, cpu = memory(), time.process_time()
    work()
    cpu = time.process_time() - cpu
    print(json.dumps({{"cpu": cpu, "memory": memory() - before}}))

def measure_threads(work):
    work()
    threads = [threading.Thread(target=lambda: [work() for _ in range({CALLS})]) for _ in range({THREADS})]
    began, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    cpu = time.process_time() - cpu
    print(json.dumps({{"cpu": cpu / {CALLS * THREADS}, "rate": {CALLS * THREADS} / seconds}}))

def until(error, work):
    try:
        work()
    except error:
        return
    raise SystemExit("it was to raise " + error.__name__)
"""
SDK = """
def sdk_client():
    from alibabacloud_pai_dsw20220101.client import Client
    from alibabacloud_tea_openapi.models import Config
    return Client(Config(
        access_key_id=connection.login, access_key_secret=connection.password, region_id="cn-hangzhou",
        endpoint=f"{connection.host}:{connection.port}", protocol="https",
    ))

def call(client):
    from alibabacloud_pai_dsw20220101.models import GetInstanceRequest
    return client.get_instance("dsw-0", GetInstanceRequest())
"""
SENSOR = """
from airflow.sdk.exceptions import TaskDeferred
try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:
    from airflow.exceptions import AirflowRescheduleException
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
"""
CODE = {
    "import of the sensor": "measure(lambda: __import__('airflow_provider_dsw.sensors.dsw'))",
    "first GetInstance": """
from airflow_provider_dsw.hooks.dsw import DswHook
hook = DswHook()
measure(lambda: hook.get_instance("dsw-0"))
""",
    "a reschedule poke": SENSOR
    + """
sensor = DswInstanceSensor(task_id="wait", instance_id="dsw-0", mode="reschedule", poke_interval=60)
context = {"ti": SimpleNamespace(get_first_reschedule_date=lambda _: None), "task_reschedule_count": 0}
measure(lambda: until(AirflowRescheduleException, lambda: sensor.execute(context)))
""",
    "first poll, deferrable": SENSOR
    + """
sensor = DswInstanceSensor(task_id="wait", instance_id="dsw-0", deferrable=True, poke_interval=60)
measure(lambda: until(TaskDeferred, lambda: sensor.execute({})))
""",
    "a call, from 8 threads": """
from airflow_provider_dsw.hooks.dsw import DswHook
hook = DswHook()
measure_threads(lambda: hook.get_instance("dsw-0"))
""",
}
OF_THE_SDK = {
    **dict.fromkeys(CODE, SDK + "measure(lambda: call(sdk_client()))"),
    "import of the sensor": SDK + "measure(sdk_client)",
    "a call, from 8 threads": SDK + "client = sdk_client()\nmeasure_threads(lambda: call(client))",
}


@dataclass(frozen=True)
class Cost:
    """
    What one thing costs.

    :param cpu: seconds, of all threads.
    :param memory: megabytes, of the process as a whole.
    :param rate: calls a second.
    """

    cpu: float
    memory: float | None = None
    rate: float | None = None


def run(code: str, server: Server, checkout: Path) -> Cost:
    """Run it in a fresh process, with the provider of a checkout."""
    environment = {
        **os.environ,
        "AIRFLOW_CONN_DSW_DEFAULT": json.dumps(server.connection),
        "SSL_CERT_FILE": server.ca_file,
        "PYTHONPATH": str(checkout),
    }
    command = [sys.executable, "-c", PRELUDE + code]
    done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def costs(
    server: Server, runs: int, checkouts: list[Path], names: Iterable[str] = CODE
) -> Iterator[tuple[str, list[Cost]]]:
    """Each thing with its costs: first the SDK's, then each checkout's. They take turns, so that all meet the same."""
    for name in names:
        code = CODE[name]
        ways: list[tuple[str, Path]] = [(OF_THE_SDK[name], REPOSITORY), *((code, checkout) for checkout in checkouts)]
        found: list[list[Cost]] = [[] for _ in ways]
        for _ in range(runs):
            for costs_of_way, way in zip(found, ways, strict=True):
                costs_of_way.append(run(way[0], server, way[1]))
        yield name, [_median(costs_of_way) for costs_of_way in found]


def _median(found: list[Cost]) -> Cost:
    def of(name: str) -> Any:
        values = [getattr(cost, name) for cost in found]
        return None if None in values else statistics.median(values)

    return Cost(of("cpu"), of("memory"), of("rate"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tasks", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="fresh processes for each figure")
    parser.add_argument("--against", type=Path, action="append", default=[], help="another checkout")
    arguments = parser.parse_args()
    checkouts = [REPOSITORY, *(path.resolve() for path in arguments.against)]
    print(f"Median of {arguments.runs} fresh processes; in brackets, how many times the SDK's own call.")
    print(f"{'':24}{'by':12}{'CPU ms':>16}{'MB':>16}{'calls/s':>16}")
    with tempfile.TemporaryDirectory(prefix="airflow-home-") as home, serving() as server:
        os.environ["AIRFLOW_HOME"] = home
        server.prepare(1)
        for name, found in costs(server, arguments.runs, checkouts):
            for who, cost in zip(("SDK", "this", *map(str, arguments.against)), found, strict=True):
                cells = (
                    _cell(cost.cpu * 1000, found[0].cpu * 1000),
                    _cell(cost.memory, found[0].memory),
                    _cell(cost.rate, found[0].rate),
                )
                print(f"{name:24}{who[-11:]:12}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
    return 0


def _cell(value: float | None, limit: float | None) -> str:
    if value is None or not limit:
        return "-"
    return f"{value:.1f}" if value == limit else f"{value:.1f} ({value / limit:.2f})"


if __name__ == "__main__":
    sys.exit(main())
