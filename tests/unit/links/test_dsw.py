"""Which links a task's page gets, and when they are written."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperatorLink
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.links import dsw as links
from airflow_provider_dsw.links.dsw import DSW_LINKS, links_of
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswDeleteInstanceOperator,
    DswGetInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from airflow_provider_dsw.version_compat import TaskDeferred
from tests.support.task_runs import context, run

ID = "dsw-abc"
TI: Any = SimpleNamespace(dag_id="dag", task_id="wait", run_id="run", map_index=3)
GATEWAY = "https://gateway.example.com/dsw-1"
URLS: dict[str, Any] = {
    "InstanceUrl": "https://dsw.example.com/notebook.htm?instance=1#/",
    "JupyterlabUrl": f"{GATEWAY}/lab/",
    "WebIDEUrl": f"{GATEWAY}/ide/",
    "TerminalUrl": f"{GATEWAY}/tty/",
}
STARTING = ("Starting", dict.fromkeys(URLS, ""))


def shown(answer: dict[str, Any], region: str | None = "cn-hangzhou") -> dict[str, str]:
    """The links that a page shows, by their names."""
    found = links_of(answer, region)
    return {link.name: found[link.xcom_key] for link in DSW_LINKS if found[link.xcom_key]}


def test_each_url_of_the_answer_is_a_link_and_so_is_the_workspace():
    assert shown({**URLS, "WorkspaceId": "40823"}) == {
        "DSW instance": URLS["InstanceUrl"],
        "JupyterLab": URLS["JupyterlabUrl"],
        "Web IDE": URLS["WebIDEUrl"],
        "Terminal": URLS["TerminalUrl"],
        "PAI console": "https://pai.console.aliyun.com/?regionId=cn-hangzhou&workspaceId=40823",
    }


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        7,
        "javascript:alert(1)",
        "javascript://gateway.example.com/%0aalert(1)",
        "ftp://gateway.example.com/lab/",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "//gateway.example.com/lab/",
        "/lab/",
        "https:///lab/",
        "https://[broken/lab/",
        "https://user:password@gateway.example.com/lab/",
        "https://gateway.example.com/lab/?token=abc",
        "https://gateway.example.com/lab/?a=1&SecurityToken=abc",
        "https://gateway.example.com/lab/#/?access_token=abc",
        "https://gateway.example.com/lab/?Signature=abc",
        "https://gateway.example.com/lab/?%74oken=abc",
        "https://gateway.example.com/token/abc",
        "https://gateway.example.com/lab/?a=" + "1" * 2048,
    ],
)
def test_what_is_no_page_of_the_web_or_lets_in_whoever_has_it_is_no_link(url: Any):
    assert shown({**URLS, "JupyterlabUrl": url}).keys() == {"DSW instance", "Web IDE", "Terminal"}


@pytest.mark.parametrize(
    ("workspace_id", "region"), [(None, "cn-hangzhou"), ("", "cn-hangzhou"), ("1&x=2", "cn-hangzhou"), ("1", "")]
)
def test_without_workspace_or_region_there_is_no_link_to_the_console(workspace_id: Any, region: str):
    assert "PAI console" not in shown({"WorkspaceId": workspace_id}, region)


class Page:
    """What is written for the task's page, in its order."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str]] = []
        self.rows: list[dict[str, Any]] = []

    def set(self, key: str, value: str, **row: Any) -> None:
        self.writes.append((key, value))
        self.rows.append(row)

    async def aset(self, key: str, value: str, **row: Any) -> None:
        self.set(key, value, **row)

    def of(self, link: type[BaseOperatorLink]) -> list[str]:
        return [value for key, value in self.writes if key == link().xcom_key]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    written = Page()
    monkeypatch.setattr(BaseXCom, "set", written.set)
    monkeypatch.setattr(links, "aset_xcom", written.aset)
    return written


def sensor(**arguments: Any) -> DswInstanceSensor:
    return DswInstanceSensor(**{"task_id": "wait", "instance_id": ID, "poke_interval": 0.02, **arguments})


def poke(**arguments: Any) -> Any:
    return sensor(**arguments).execute({"ti": TI})


def defer(**arguments: Any) -> Any:
    try:
        return poke(deferrable=True, **arguments)
    except TaskDeferred as deferred:
        trigger = DswInstanceTrigger(**json.loads(json.dumps(deferred.trigger.serialize()[1])))
        trigger.task_instance = TI

        async def first_event() -> Any:
            return await anext(aiter(trigger.run()))

        event = json.loads(json.dumps(asyncio.run(first_event()).payload))
        return sensor(deferrable=True, **arguments).resume_execution(deferred.method_name, {"event": event}, {"ti": TI})


@pytest.mark.parametrize("wait", [poke, defer])
def test_links_are_written_at_the_first_answer_and_at_each_change(dsw_default: DswEmulator, page: Page, wait: Any):
    url = {"JupyterlabUrl": URLS["JupyterlabUrl"]}
    moved = {"JupyterlabUrl": f"{GATEWAY}/lab/2"}
    steps = [STARTING, STARTING, ("Starting", url), ("Starting", url), ("Starting", moved), STARTING, ("Running", url)]
    dsw_default.add_instance(ID, per_poll=steps, WorkspaceId="40823")

    wait()

    assert page.of(links.DswJupyterLabLink) == [url["JupyterlabUrl"], moved["JupyterlabUrl"], "", url["JupyterlabUrl"]]
    assert page.of(links.DswConsoleLink) == ["https://pai.console.aliyun.com/?regionId=cn-hangzhou&workspaceId=40823"]
    assert all(row == vars(TI) for row in page.rows)


@pytest.mark.parametrize("wait", [poke, defer])
def test_an_instance_that_failed_has_links_too(dsw_default: DswEmulator, page: Page, wait: Any):
    dsw_default.add_instance(ID, per_poll=[STARTING, ("Failed", URLS)])
    with pytest.raises(Exception, match="Failed"):
        wait()

    assert page.of(links.DswInstanceLink) == [URLS["InstanceUrl"]]


def test_the_details_operator_has_links(dsw_default: DswEmulator, page: Page):
    dsw_default.add_instance(ID, **URLS)

    DswGetInstanceOperator(task_id="describe", instance_id=ID, fields=["Status"]).execute({"ti": TI})

    assert page.of(links.DswTerminalLink) == [URLS["TerminalUrl"]]


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_new_instance_has_links_from_its_first_answer_on_and_until_it_is_deleted(
    dsw_default: DswEmulator, page: Page, deferrable: bool
):
    dsw_default.start_timeline = ["Creating", "Starting", "Running"]
    dsw_default.delete_timeline = ["Deleting", None]
    body = {"InstanceName": "a", "EcsSpec": "ecs.c6.large", "ImageId": "image-1"}
    how: dict[str, Any] = {"poke_interval": 0.02, "deferrable": deferrable}

    created = run(DswCreateInstanceOperator(task_id="create", body=body, **how), context())
    shown = page.of(links.DswTerminalLink)
    run(DswDeleteInstanceOperator(task_id="delete", instance_id=created["InstanceId"], **how), context())

    assert shown == [created["TerminalUrl"]]
    assert page.of(links.DswTerminalLink) == [created["TerminalUrl"]] * 2
    assert {row["task_id"] for row in page.rows} == {"t"}


@pytest.mark.parametrize("wait", [poke, defer])
def test_no_task_fails_for_its_links(
    dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wait: Any
):
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no API server")

    monkeypatch.setattr(BaseXCom, "set", fail)
    monkeypatch.setattr(links, "aset_xcom", fail)
    dsw_default.add_instance(ID, per_poll=["Starting", "Running"])

    assert wait()
    assert "links" in caplog.text


def test_airflow_writes_what_was_kept_and_nothing_where_nothing_was(monkeypatch: pytest.MonkeyPatch):
    kept = {"_link_DswTerminalLink": URLS["TerminalUrl"]}
    monkeypatch.setattr(BaseXCom, "get_value", lambda ti_key, key: kept.get(key))
    sensor = DswInstanceSensor(task_id="wait", instance_id=ID)

    found = {link.name: link.get_link(sensor, ti_key=TI) for link in sensor.operator_extra_links}

    assert found == {
        "DSW instance": "",
        "JupyterLab": "",
        "Web IDE": "",
        "Terminal": URLS["TerminalUrl"],
        "PAI console": "",
    }


def test_airflow_reads_no_link_that_the_same_worker_wrote(
    dsw_default: DswEmulator, page: Page, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(BaseXCom, "get_value")
    dsw_default.add_instance(ID, **URLS)
    sensor = DswInstanceSensor(task_id="wait", instance_id=ID)
    sensor.execute({"ti": TI})

    found = {link.name: link.get_link(sensor, ti_key=TI) for link in sensor.operator_extra_links}

    assert found["Web IDE"] == URLS["WebIDEUrl"]
