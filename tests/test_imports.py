"""What importing the provider costs where a DAG is parsed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["airflow_provider_dsw.sensors.dsw", "airflow_provider_dsw.operators.dsw", "airflow_provider_dsw.hooks.dsw"],
)
def test_importing_costs_nothing_of_the_sdk(module: str) -> None:
    code = (
        f"import sys, airflow.sdk, {module};"
        "print([m for m in sys.modules if m.startswith(('alibabacloud', 'darabonba', 'Tea.', 'aiohttp'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
