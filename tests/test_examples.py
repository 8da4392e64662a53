"""The example DAGs, run through real Airflow against the emulator."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator

EXAMPLES = sorted((Path(__file__).parent.parent / "example_dags").glob("*.py"))


@pytest.fixture(scope="module")
def airflow_db() -> None:
    from airflow.utils.db import initdb

    initdb()


def run_example(dag_id: str) -> dict[str, Any]:
    """Run a DAG to its end and return each task's return value."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]

    bag = DagBag(str(EXAMPLES[0].parent))
    assert bag.import_errors == {}
    dag_run = bag.dags[dag_id].test()
    assert dag_run.state == "success"
    return {
        ti.task_id: ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index) for ti in dag_run.get_task_instances()
    }


@pytest.mark.usefixtures("airflow_db")
def test_waits_for_running_and_hands_the_jupyterlab_url_on(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance("dsw-starting", per_poll=["Starting", "Running"])
    values = run_example("dsw_wait_for_running")
    assert values["use"] == values["wait_for_running"]["JupyterlabUrl"]


@pytest.mark.usefixtures("airflow_db")
def test_waits_for_the_snapshot_of_this_run_and_hands_its_image_url_on(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance("dsw-saving", status="Running")
    dsw_default.add_snapshot(
        "dsw-saving",
        image_url="registry.example.com/team/model:new",
        created=datetime.now(UTC) + timedelta(minutes=1),
        per_poll=["Pushing", "Saved"],
    )
    assert run_example("dsw_wait_for_snapshot")["use"] == "registry.example.com/team/model:new"


@pytest.mark.usefixtures("airflow_db")
def test_waits_for_several_instances_with_mapped_tasks(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance("dsw-starting", per_poll=["Starting", "Running"])
    dsw_default.add_instance("dsw-running", status="Running")
    assert len(run_example("dsw_wait_for_many")["use"]) == 2


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
