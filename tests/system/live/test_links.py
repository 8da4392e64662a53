"""The links on the pages of tasks that wait, that have ended, and that run again."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.system.live.cases import LINKED
from tests.system.live.polls import wait_for_polls
from tests.system.live.real_airflow import ENDED, PATIENCE, Airflow, Run, wait_until

PLACE = "https://dsw-gateway.example.com/dsw-1"
CONSOLE = "https://pai.console.aliyun.com/?regionId=cn-hangzhou&workspaceId=40823"
INSTANCE = f"{PLACE}/notebook"
# As it may be while an instance starts: some URLs are there, others not yet.
STARTING: dict[str, Any] = {
    "WorkspaceId": "40823",
    "InstanceUrl": INSTANCE,
    "JupyterlabUrl": "",
    "WebIDEUrl": "",
    "TerminalUrl": "javascript:alert(1)",
}
RUNNING: dict[str, Any] = {"JupyterlabUrl": f"{PLACE}/lab", "WebIDEUrl": f"{PLACE}/ide"}
AT_FIRST = {"DSW instance": INSTANCE, "PAI console": CONSOLE}
AT_LAST = AT_FIRST | {"JupyterLab": f"{PLACE}/lab", "Web IDE": f"{PLACE}/ide"}
WAITS = [(name, -1) for name in LINKED] + [("mapped", 0)]


def start(airflow: Airflow, emulator: DswEmulator) -> Run:
    for task_id in (*LINKED, "mapped", "details"):
        emulator.add_instance(f"dsw-linked-{task_id}", "Starting", **STARTING)
    return airflow.trigger("linked")


@pytest.fixture(scope="module")
def linked(airflow: Airflow, emulator: DswEmulator) -> Run:
    return start(airflow, emulator)


def wait_for_links(run: Run, task_id: str, map_index: int, links: dict[str, str]) -> None:
    wait_until(
        lambda: run.links(task_id, map_index) == links,
        PATIENCE,
        lambda: f"{task_id}: {run.links(task_id, map_index)}\n{run.logs()}",
    )


def has_ended(run: Run, task_id: str) -> bool:
    """In reschedule mode it may also be scheduled, or queued, for the next poll."""
    return not ENDED.isdisjoint(run.states(task_id))


@pytest.mark.parametrize(("task_id", "map_index"), WAITS)
def test_links_of_a_task_that_waits_follow_the_answers(
    linked: Run, emulator: DswEmulator, task_id: str, map_index: int
) -> None:
    wait_for_links(linked, task_id, map_index, AT_FIRST)
    assert not has_ended(linked, task_id)

    emulator.set_instance(f"dsw-linked-{task_id}", **RUNNING)
    wait_for_links(linked, task_id, map_index, AT_LAST)
    assert not has_ended(linked, task_id)


def test_links_of_the_details_operator(linked: Run) -> None:
    linked.wait("success", task_id="details")

    assert linked.links("details") == AT_FIRST


@pytest.mark.parametrize(
    ("task_id", "map_index"), [("poke", -1), ("deferred", -1), ("from_trigger", -1), ("mapped", 0)]
)
def test_links_of_a_task_that_has_succeeded(linked: Run, emulator: DswEmulator, task_id: str, map_index: int) -> None:
    emulator.set_instance(f"dsw-linked-{task_id}", "Running", **RUNNING)
    linked.wait("success", task_id=task_id)

    assert linked.links(task_id, map_index) == AT_LAST


def test_links_of_a_task_that_has_failed(linked: Run, emulator: DswEmulator) -> None:
    emulator.set_instance("dsw-linked-reschedule", "Failed", **RUNNING)
    linked.wait("failed", task_id="reschedule")

    assert linked.links("reschedule") == AT_LAST


def test_links_of_a_task_that_runs_again_are_those_of_this_time(linked: Run, emulator: DswEmulator) -> None:
    linked.mark("retried", "failed")
    linked.wait("failed", task_id="retried")
    linked.wait_for_end()
    emulator.set_instance("dsw-linked-retried", "Starting", **STARTING)
    linked.clear("retried")
    linked.wait("deferred", task_id="retried")
    wait_for_links(linked, "retried", -1, AT_FIRST)

    wait_for_polls(emulator, "dsw-linked-retried")
    emulator.remove_instance("dsw-linked-retried")
    linked.wait("failed", task_id="retried")
    assert linked.links("retried") == AT_FIRST
    linked.wait_for_end()
    linked.clear("retried")
    wait_until(lambda: linked.tasks("retried")[0]["try_number"] == 3, PATIENCE, linked.logs)
    linked.wait("failed", task_id="retried")
    assert linked.links("retried") == {}
