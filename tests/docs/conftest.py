"""DAGs of documents, run by real Airflow in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.bundles import manager

from airflow_provider_dsw.version_compat import dag_bag_class, serialize_dags

POKE_INTERVAL = 0.05

# Both run the only DAG of a file, with these parameters. The one returns the run, however it ends; the other what its
# tasks returned, by task id, mapped ones as a list: it has to succeed.
DagRunner = Callable[..., Any]
RunDag = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def airflow_db() -> None:
    from airflow.utils.db import initdb

    initdb()


def load(path: Path) -> Any:
    """The only DAG of a file, as Airflow's DagBag finds it."""
    bag = dag_bag_class()(str(path))
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    return dag


@pytest.fixture
def dag_runner(airflow_db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DagRunner:
    def run(path: Path, **params: Any) -> Any:
        # Alone: Airflow reads all that lies beside it, for each run.
        (tmp_path / "bundle").mkdir(exist_ok=True)
        path = Path(shutil.copy(path, tmp_path / "bundle"))
        bundle = {
            "name": "docs",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(path.parent)},
        }
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
        # From Airflow 3.4 on a process reads it once.
        if read_once := getattr(manager, "_load_bundle_config_snapshot", None):
            read_once.cache_clear()
        dag = load(path)
        for task in dag.tasks:
            if task.is_mapped:
                task.partial_kwargs["poke_interval"] = POKE_INTERVAL
            elif hasattr(task, "poke_interval"):
                task.poke_interval = POKE_INTERVAL
        serialize_dags()
        return dag.test(run_conf=params)

    return run


@pytest.fixture
def run_dag(dag_runner: DagRunner) -> RunDag:
    def run(path: Path, **params: Any) -> dict[str, Any]:
        dag_run = dag_runner(path, **params)
        instances = dag_run.get_task_instances()
        assert (dag_run.state, {str(ti.state) for ti in instances}) == ("success", {"success"})
        returned: dict[str, Any] = {}
        for ti in sorted(instances, key=lambda ti: ti.map_index):
            value = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
            if ti.map_index >= 0:
                returned.setdefault(ti.task_id, []).append(value)
            else:
                returned[ti.task_id] = value
        return returned

    return run
