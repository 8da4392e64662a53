"""What a DAG file pays, at every parse, for importing the provider on top of Airflow itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULES = [f"airflow_provider_dsw.{kind}.dsw" for kind in ("hooks", "sensors", "operators", "triggers")]
# Half a second to import, which only the first call of the service pays.
LEFT_OUT = ("alibabacloud", "darabonba", "Tea", "aiohttp")
# To compare with: a sensor of Airflow's own, and what is left out.
OTHERS = ["airflow.providers.standard.sensors.filesystem", "alibabacloud_pai_dsw20220101.client"]

# What a DAG file loads with its tasks, and pays for at every parse. What only a running task needs, above all the hook
# and all that lies between it and the service, is imported where it is used.
OF_EVERY_TASK = {
    "arguments",
    "exceptions",
    "expressions",
    "links",
    "links.dsw",
    "mixins",
    "polling",
    "secrets",
    "urls",
    "validation",
    "version_compat",
    "waits",
    "waits.answers",
    "waits.conditions",
    "waits.statuses",
}
LOADED_BY_A_DAG_FILE = {
    "sensors": (
        OF_EVERY_TASK | {"sensors", "sensors.dsw", "wait_arguments"},
        "DswInstanceSensor(task_id='wait', instance_id='dsw-1')",
    ),
    "operators": (
        OF_EVERY_TASK
        | {"operators", "operators.base", "operators.body", "operators.create", "operators.delete", "operators.dsw"}
        | {"operators.running", "operators.snapshot", "operators.status", "operators.stop_on_kill"}
        | {"operators.submission", "details", "task_end", "waits.documented_fields", "waits.labels"}
        | {"waits.operation_waits", "waits.operations", "waits.progress"},
        """
for operator in (DswGetInstanceOperator, DswStartInstanceOperator, DswStopInstanceOperator, DswDeleteInstanceOperator):
    operator(task_id=operator.__name__, instance_id="dsw-1")
DswCreateSnapshotOperator(task_id="save", instance_id="dsw-1", image_url="registry.example/ns/repo:tag")
DswCreateInstanceOperator(task_id="create", body={"InstanceName": "one"})
""",
    ),
}
LOADED_IF_USED = {"operators.create", "operators.delete"}
# Which Airflow itself loads, to read what the provider is.
OF_THE_METADATA = {"", "provider_info", "client", "client.connection_fields"}
# Of Python's own and of others: each takes a millisecond or more, and is needed for a mistake or an expression alone.
RARELY_NEEDED = {"difflib", "jmespath"}

DAG_FILE = """
import json, sys
import airflow.sdk
airflow.sdk.BaseHook, airflow.sdk.BaseOperator, airflow.sdk.BaseSensorOperator
before = set(sys.modules)
import airflow_provider_dsw.{kind}.dsw
unused = sorted(set(sys.modules) - before)
from airflow_provider_dsw.{kind}.dsw import *
{tasks}
print(json.dumps(dict(modules=sorted(set(sys.modules) - before), unused=unused)))
"""
CODE = """
import json, sys, time
began = time.process_time()
import airflow.sdk
airflow.sdk.BaseHook, airflow.sdk.BaseOperator, airflow.sdk.BaseSensorOperator
airflow_took = time.process_time() - began
began = time.process_time()
for module in {modules!r}:
    __import__(module)
took = time.process_time() - began
print(json.dumps(dict(airflow=airflow_took, took=took, modules=sorted(sys.modules))))
"""


def in_fresh_process(code: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def imported(*modules: str) -> dict[str, Any]:
    """Import in a process of its own; how many seconds Airflow took, how many these modules, and what is there."""
    return in_fresh_process(CODE.format(modules=modules))


def test_importing_the_provider_imports_nothing_of_the_sdk():
    found = imported(*MODULES)["modules"]

    assert set(MODULES) <= set(found)
    assert [name for name in found if name.split(".")[0].startswith(LEFT_OUT)] == []


@pytest.mark.parametrize("kind", LOADED_BY_A_DAG_FILE)
def test_a_dag_file_loads_nothing_that_only_a_running_task_needs(kind: str) -> None:
    needed, tasks = LOADED_BY_A_DAG_FILE[kind]

    loaded = in_fresh_process(DAG_FILE.format(kind=kind, tasks=tasks))
    found = loaded["modules"]

    assert {f"airflow_provider_dsw.{name}" for name in LOADED_IF_USED} & set(loaded["unused"]) == set()
    own = {name.partition(".")[2] for name in found if name.split(".")[0] == "airflow_provider_dsw"}
    assert f"{kind}.dsw" in own
    more = own - OF_THE_METADATA - needed
    assert not more, (
        f"{more}: import these in the function that uses them; or LOADED_BY_A_DAG_FILE[{kind!r}] in "
        "tests/bench/test_import_cost.py names them, if it is the DAG file that needs them"
    )
    assert RARELY_NEEDED & set(found) == set()


@pytest.mark.slow
def test_importing_the_provider_costs_little_beside_airflow(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {}
    for modules in [["airflow_provider_dsw.sensors.dsw"], *([module] for module in OTHERS), MODULES]:
        runs = [imported(*modules) for _ in range(3)]
        # Both of one process, so that both have met the same: the least is what it costs where nothing else runs.
        figures[modules[0] if len(modules) == 1 else "all of the provider"] = min(
            (run["took"] / run["airflow"], run["took"]) for run in runs
        )
    with capsys.disabled():
        print("\nImport on top of airflow.sdk; the least of 3 fresh processes")
        for name, (share, took) in figures.items():
            print(f"{took * 1000:8.1f} ms  {share:6.1%} of what airflow.sdk takes  {name}")

    assert figures["all of the provider"][0] < 0.1
