"""The pipelines of the README and of the examples can be cleared, retried, and run twice in a second."""

from __future__ import annotations

import copy
import itertools
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswOperationFailedError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import DswCreateInstanceOperator, DswCreateSnapshotOperator
from tests.docs.conftest import POKE_INTERVAL, load
from tests.docs.readme import block
from tests.docs.test_examples import EXAMPLES
from tests.support.task_runs import context, run

INSTANCE = "dsw-730abc"
RUN_AFTER = datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.fixture(params=["README", "dsw_pipeline", "dsw_ssh"])
def snapshot(request: pytest.FixtureRequest, tmp_path: Path) -> DswCreateSnapshotOperator:
    """The task of a pipeline that saves the image."""
    path = EXAMPLES / f"{request.param}.py"
    if request.param == "README":
        path = tmp_path / "dag_of_the_readme.py"
        path.write_text(block("python", "def nightly()"))
    task = load(path).get_task("snapshot")
    assert isinstance(task, DswCreateSnapshotOperator)
    task.instance_id, task.poke_interval, task.deferrable = INSTANCE, POKE_INTERVAL, False
    return task


@pytest.fixture(params=["page", "dsw_ephemeral", "dsw_ssh"])
def create(request: pytest.FixtureRequest, tmp_path: Path) -> DswCreateInstanceOperator:
    """The task of a pipeline that creates its instance."""
    path = EXAMPLES / f"{request.param}.py"
    if request.param == "page":
        path = tmp_path / "dag_of_the_page.py"
        path.write_text(block("python", "def ephemeral()").replace("conn.my_service.password", "'a password'"))
    task = load(path).get_task("create")
    assert isinstance(task, DswCreateInstanceOperator)
    task.poke_interval, task.deferrable = POKE_INTERVAL, False
    return task


def run_try(operator: Any, run_id: str, try_number: int, max_tries: int) -> dict[str, Any]:
    """Run one try of the task, as Airflow does."""
    task = copy.deepcopy(operator)
    of_task = context(try_number, max_tries, dag_id=task.dag_id, task_id=task.task_id, run_id=run_id)
    of_task["ti"].id = uuid.uuid4()  # which Airflow makes anew for each try
    of_task["dag_run"].run_after = RUN_AFTER
    of_task["params"] = task.dag.params.dump()
    task.render_template_fields(of_task)
    found: dict[str, Any] = run(task, of_task)
    return found


@pytest.mark.parametrize(
    ("unique_names", "unique_image_urls"), [*itertools.product([False, True], repeat=2)], ids=lambda unique: str(unique)
)
def test_a_pipeline_can_be_cleared_retried_and_run_twice_in_a_second(
    snapshot: DswCreateSnapshotOperator, dsw_default: DswEmulator, unique_names: bool, unique_image_urls: bool
) -> None:
    dsw_default.unique_names, dsw_default.unique_image_urls = unique_names, unique_image_urls
    dsw_default.saved_seconds = 0
    dsw_default.add_instance(INSTANCE)
    pushes, fails = ["Pushing", "Saved"], ["Pushing", "Failed"]
    dsw_default.snapshot_timeline = pushes
    dsw_default.next_snapshots = [fails]

    with pytest.raises(DswOperationFailedError):
        run_try(snapshot, "first", 1, 1)
    saved = [
        run_try(snapshot, "first", 2, 1),
        run_try(snapshot, "first", 3, 3),  # cleared
        run_try(snapshot, "second", 1, 1),  # as late as the first one
    ]

    assert [found["Status"] for found in saved] == ["Saved"] * 3
    assert [call.status for call in dsw_default.calls("CreateInstanceSnapshot")] == [200] * 4
    names = {found["SnapshotName"] for found in saved}
    assert len(names) == 3
    assert all(re.fullmatch(r"[a-z0-9-]{1,64}", name) for name in names)
    assert len({found["ImageUrl"] for found in saved}) == 3
    assert all(re.search(r":[\w][\w.-]{0,127}$", found["ImageUrl"]) for found in saved)


@pytest.mark.parametrize("unique_instance_names", [False, True])
def test_so_can_one_that_creates_its_instance(
    create: DswCreateInstanceOperator, dsw_default: DswEmulator, unique_instance_names: bool
) -> None:
    dsw_default.unique_instance_names = unique_instance_names
    dsw_default.start_timeline = ["Creating", "Running"]
    dsw_default.delete_timeline = [("Deleting", 3600), (None, None)]
    dsw_default.no_stock = 1

    with pytest.raises(DswOperationFailedError, match="NoStock"):
        run_try(create, "first", 1, 1)
    created = [run_try(create, "first", 2, 1)]
    DswHook().delete_instance(created[0]["InstanceId"])
    created += [
        run_try(create, "first", 3, 3),  # cleared, while the instance of before is deleted
        run_try(create, "second", 1, 1),  # as late as the first one
    ]

    assert [found["Status"] for found in created] == ["Running"] * 3
    assert len({found["InstanceId"] for found in created}) == 3
    assert len({found["InstanceName"] for found in created}) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_]{1,27}", found["InstanceName"]) for found in created)
