"""What a DAG file pays, at every parse, for importing the provider on top of Airflow itself."""

from __future__ import annotations

import json
import os
import statistics
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


def imported(*modules: str) -> dict[str, Any]:
    """Import in a process of its own; how many seconds Airflow took, how many these modules, and what is there."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "ignore"}
    code = CODE.format(modules=modules)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_importing_the_provider_imports_nothing_of_the_sdk():
    found = imported(*MODULES)["modules"]

    assert set(MODULES) <= set(found)
    assert [name for name in found if name.split(".")[0].startswith(LEFT_OUT)] == []


@pytest.mark.slow
def test_importing_the_provider_costs_little_beside_airflow(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {}
    for modules in [*([module] for module in (*MODULES, *OTHERS)), MODULES]:
        runs = [imported(*modules) for _ in range(5)]
        took, airflow = (statistics.median(run[name] for run in runs) for name in ("took", "airflow"))
        figures[", ".join(modules) if len(modules) == 1 else "all of the provider"] = took, airflow
    with capsys.disabled():
        print("\nImport, in ms on top of airflow.sdk; median of 5 fresh processes")
        for name, (took, airflow) in figures.items():
            print(f"{took * 1000:8.1f}  {took / airflow:6.1%} of airflow.sdk's {airflow * 1000:.0f}  {name}")

    took, airflow = figures["all of the provider"]
    assert took < 0.1 * airflow
