"""Each example DAG loads without the SDK, and runs."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.emulator.cli.scenario import DEFAULT, SAVING
from tests.docs.conftest import RunDag, load

EXAMPLES = Path(__file__).parents[2] / "example_dags"
SERVED = {instance_id for instance_id, _ in DEFAULT} | {SAVING}
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def test_there_are_examples_for_all_kinds_of_waits_and_for_a_pipeline() -> None:
    waits = {"dsw_wait_for_many", "dsw_wait_for_running", "dsw_wait_for_snapshot"}
    assert waits | {"dsw_on_new_snapshot", "dsw_pipeline", "dsw_ephemeral", "dsw_ssh"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_run_by_a_test(name: str) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))

    assert re.search(rf'run(?:_dag|ner)\(EXAMPLES / "{name}\.py"', sources), "add one to this file, with run_dag"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_holds_one_dag_of_its_own_name(name: str) -> None:
    dag = load(EXAMPLES / f"{name}.py")

    assert dag.dag_id == name
    assert "dsw" in dag.tags


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_an_example_explains_it_and_its_parameters(name: str) -> None:
    dag = load(EXAMPLES / f"{name}.py")

    assert dag.description  # what Airflow's list of DAGs shows
    assert dag.doc_md
    first, _, others = dag.doc_md.strip().partition("\n\n")
    assert first.endswith(".")
    named = set(re.findall(r"`([\w-]+)`", others))
    assert named  # what it needs, and what the emulator has of it
    assert {word for word in named if word.startswith("dsw-")} <= SERVED
    if len(dag.params) == 1:
        assert {*dag.params} <= named


@pytest.mark.parametrize("name", NAMES)
def test_an_example_needs_only_instances_that_the_command_serves(name: str) -> None:
    for task in load(EXAMPLES / f"{name}.py").tasks:
        if task.is_mapped:
            assert set(task.expand_input.value["instance_id"]) <= SERVED
        elif isinstance(instance_id := getattr(task, "instance_id", None), str) and instance_id:
            assert task.dag.params.get(instance_id.strip("{} ").removeprefix("params."), instance_id) in SERVED


def test_loading_the_examples_imports_nothing_of_the_sdk() -> None:
    code = f"""
import runpy, sys
for name in {NAMES!r}:
    runpy.run_path(f"{EXAMPLES}/{{name}}.py")
print([name for name in sys.modules if name.split(".")[0] in ("Tea", "darabonba") or name.startswith("alibabacloud")])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_url_of_a_running_instance_is_handed_on(run_dag: RunDag, dsw_default: DswEmulator) -> None:
    dsw_default.add_instance("dsw-starting", per_poll=["Creating", "Starting", "Running"])

    returned = run_dag(EXAMPLES / "dsw_wait_for_running.py")

    assert returned["wait_for_running"]["Status"] == "Running"
    assert returned["use"] == returned["wait_for_running"]["JupyterlabUrl"]
    assert returned["use"].endswith("/lab/")
    assert len(dsw_default.calls("GetInstance", "dsw-starting")) == 3


def test_the_image_of_a_new_snapshot_is_handed_on(run_dag: RunDag, dsw_default: DswEmulator) -> None:
    dsw_default.add_instance("dsw-saving")  # it has a finished snapshot of 2021

    def push(request: Request) -> None:
        if len(dsw_default.calls("GetInstance")) == 2:
            dsw_default.add_snapshot("dsw-saving", image_url="registry/new:1", per_poll=["Pushing", "Saved"])

    dsw_default.on_request = push

    returned = run_dag(EXAMPLES / "dsw_wait_for_snapshot.py")

    assert returned["use"] == "registry/new:1"
    assert returned["wait_for_snapshot"]["InstanceId"] == "dsw-saving"


def test_the_urls_of_all_instances_are_handed_on(run_dag: RunDag, dsw_default: DswEmulator) -> None:
    dsw_default.add_instance("dsw-starting", per_poll=["Starting", "Running"])
    dsw_default.add_instance("dsw-running")

    returned = run_dag(EXAMPLES / "dsw_wait_for_many.py")

    assert [instance["InstanceId"] for instance in returned["wait_for_running"]] == ["dsw-starting", "dsw-running"]
    assert returned["use"] == [instance["JupyterlabUrl"] for instance in returned["wait_for_running"]]


def test_the_pipeline_starts_saves_and_stops(run_dag: RunDag, dsw_default: DswEmulator) -> None:
    dsw_default.add_instance("dsw-stopped", "Stopped")
    dsw_default.start_timeline = ["Creating", "Starting", "Running"]
    dsw_default.snapshot_timeline = ["Committing", "Pushing", "Saved"]
    dsw_default.stop_timeline = ["Stopping", "Stopped"]

    returned = run_dag(EXAMPLES / "dsw_pipeline.py")

    assert returned["start"]["Status"] == "Running"
    assert returned["use"] == returned["snapshot"]["ImageUrl"]
    assert returned["stop"]["Status"] == "Stopped"
    asked = [request.action for request in dsw_default.requests if request.method != "GET"]
    assert asked == ["StartInstance", "CreateInstanceSnapshot", "StopInstance"]


def test_an_instance_for_one_run_is_created_and_deleted(run_dag: RunDag, dsw_default: DswEmulator) -> None:
    dsw_default.start_timeline = ["Creating", "Starting", "Running"]
    dsw_default.delete_timeline = ["Deleting", None]

    returned = run_dag(EXAMPLES / "dsw_ephemeral.py")

    asked = [request.action for request in dsw_default.requests if request.method != "GET"]
    assert asked == ["CreateInstance", "CreateInstanceShutdownTimer", "DeleteInstance"]
    assert returned["work"] == returned["delete"]["InstanceId"]
    assert set(dsw_default.statuses().values()) == {None}


def test_the_watched_instance_is_one_that_the_command_saves_again_and_again() -> None:
    (watcher,) = runpy.run_path(str(EXAMPLES / "dsw_on_new_snapshot.py"))["snapshots"].watchers

    assert watcher.trigger.serialize()[1]["instance_id"] == SAVING


def test_a_run_that_no_snapshot_started_has_nothing_to_hand_on(run_dag: RunDag) -> None:
    assert run_dag(EXAMPLES / "dsw_on_new_snapshot.py") == {"use": []}
