"""What a user sees of the provider, in a real browser: the connection's form, and the links of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_dsw.client.connection_fields import HOOK_NAME, form_fields
from airflow_provider_dsw.emulator import DswEmulator
from tests.system.live.real_airflow import Airflow, Run

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

WAITS: dict[str, Any] = {"WorkspaceId": "40823", "JupyterlabUrl": "", "WebIDEUrl": "javascript:alert(1)"}
LAB = "https://dsw-gateway.example.com/dsw-1/lab/"
FORM_ID = "from_the_form"


def open_form(page: Page, airflow: Airflow) -> Locator:
    """The form for a new connection of the provider's type, with all its parts open."""
    page.goto(f"{airflow.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    choose(form, "Connection Type", HOOK_NAME)
    form.get_by_label("AccessKey id", exact=True).wait_for()
    return form


def choose(form: Locator, label: str, choice: str) -> None:
    field = form.get_by_label(label)
    field.fill(choice)
    form.page.get_by_role("option", name=choice, exact=True).click()  # once the page has got what there is to choose


def labels(form: Locator) -> list[str]:
    """The labels of the part that is open."""
    return [label.replace("*", "").strip() for label in form.locator("label:visible").all_inner_texts()]


def open_extra(form: Locator) -> None:
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    extra(form, "region").wait_for()


def extra(form: Locator, name: str) -> Locator:
    """A field of extra: its label is not bound to it."""
    return form.locator(f'[name="element_{name}"]')


def test_the_form_has_the_fields_of_the_type_and_no_others(page: Page, airflow: Airflow) -> None:
    form = open_form(page, airflow)
    standard = {"Connection ID", "Connection Type", "Description", "Host", "Port", "AccessKey id", "AccessKey secret"}
    assert set(labels(form)) == standard
    assert form.get_by_label("AccessKey secret", exact=True).get_attribute("type") == "password"

    open_extra(form)
    assert [label for label in labels(form) if label not in standard] == [
        field["label"] for field in form_fields().values()
    ]
    assert extra(form, "security_token").get_attribute("type") == "password"
    for field in form_fields().values():
        assert form.get_by_text(field["description"], exact=True).count() == 1 or field["description"] == "Seconds."
    form.get_by_label("Authentication", exact=True).press("ArrowDown")
    page.get_by_role("option").first.wait_for()
    assert page.get_by_role("option").all_inner_texts() == form_fields()["auth_type"]["schema"]["enum"]


def test_a_connection_saved_by_the_form_serves_a_dag_run(page: Page, airflow: Airflow, emulator: DswEmulator) -> None:
    connection = emulator.connection()
    emulator.add_instance("dsw-form")
    form = open_form(page, airflow)
    form.get_by_label("Connection ID").fill(FORM_ID)
    form.get_by_label("Host", exact=True).fill(connection["host"])
    form.get_by_label("Port", exact=True).fill(str(connection["port"]))
    form.get_by_label("AccessKey id", exact=True).fill(connection["login"])
    form.get_by_label("AccessKey secret", exact=True).fill(connection["password"])
    open_extra(form)
    extra(form, "region").fill("cn-shanghai")
    form.get_by_role("button", name="Save").click()
    form.wait_for(state="detached")
    page.get_by_role("row").filter(has_text=FORM_ID).wait_for()
    assert connection["password"] not in page.content()

    run = airflow.trigger("by_the_form")
    run.wait("success")

    assert run.xcoms("details")["return_value"] == {"InstanceId": "dsw-form"}
    (request,) = emulator.calls("GetInstance", "dsw-form")
    assert (request.access_key_id, request.status) == (connection["login"], 200)
    assert "regionId=cn-shanghai" in run.links("details")["PAI console"]


@pytest.fixture(scope="module")
def waiting(airflow: Airflow, emulator: DswEmulator) -> Run:
    """A task that is deferred."""
    emulator.add_instance("dsw-linked", "Starting", **WAITS)
    run = airflow.trigger("linked")
    run.wait("deferred")
    return run


def links(page: Page, run: Run) -> dict[str, str]:
    """Open the task's page; the links on it that lead out of Airflow."""
    page.goto(f"{run.airflow.url}/dags/{run.dag_id}/runs/{run.run_id}/tasks/wait/details")
    page.get_by_role("link", name="DSW instance").wait_for()
    # In one go: the page refreshes itself.
    found = page.locator("a[href]:not([href^='/'])").evaluate_all(
        "links => links.map(link => [link.innerText, link.getAttribute('href')])"
    )
    return dict(found)


def follow(page: Page, name: str) -> str:
    """Click on a link; the address of the page that opens."""
    with page.expect_popup() as opened:
        page.get_by_role("link", name=name).click()
    there = opened.value
    there.get_by_role("heading", name="Another site").wait_for()
    url: str = there.url
    there.close()
    return url


def test_a_deferred_task_has_the_links_that_the_service_gave(page: Page, waiting: Run, emulator: DswEmulator) -> None:
    shown = links(page, waiting)

    assert waiting.states() == ["deferred"]
    assert shown.keys() == {"DSW instance", "Terminal", "PAI console"}
    assert follow(page, "DSW instance") == shown["DSW instance"]
    assert follow(page, "PAI console") == "https://pai.console.aliyun.com/?regionId=cn-hangzhou&workspaceId=40823"


def test_a_page_that_stays_open_shows_a_link_once_it_is_there(page: Page, waiting: Run, emulator: DswEmulator) -> None:
    assert "JupyterLab" not in links(page, waiting)

    emulator.set_instance("dsw-linked", JupyterlabUrl=LAB)

    page.get_by_role("link", name="JupyterLab").wait_for()
    assert waiting.states() == ["deferred"]
    assert follow(page, "JupyterLab") == LAB


def test_a_finished_task_keeps_its_links(page: Page, waiting: Run, emulator: DswEmulator) -> None:
    emulator.set_instance("dsw-linked", "Running", JupyterlabUrl=LAB)
    waiting.wait("success")

    shown = links(page, waiting)

    assert shown.keys() == {"DSW instance", "JupyterLab", "Terminal", "PAI console"}
    assert follow(page, "JupyterLab") == LAB
