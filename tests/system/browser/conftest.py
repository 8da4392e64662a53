"""A real Airflow, the emulator, and Chromium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from airflow_provider_dsw.emulator import DswEmulator
from tests.support.distribution import path_with_provider
from tests.system.live.real_airflow import PATIENCE, REPOSITORY, Airflow

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

HERE = Path(__file__).parent
SCREENSHOTS = REPOSITORY / ".artifacts" / "screenshots"


@pytest.fixture(scope="package")
def emulator() -> Iterator[DswEmulator]:
    with DswEmulator(tls=True) as served:
        yield served


@pytest.fixture(scope="package")
def airflow(emulator: DswEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Airflow with a connection that no page knows of, and none that one does."""
    assert emulator.ca_file
    airflow = Airflow(
        home=tmp_path_factory.mktemp("airflow"),
        dags=HERE / "dags",
        artifacts=REPOSITORY / ".artifacts" / "browser",
        env={
            "PYTHONPATH": path_with_provider(tmp_path_factory.mktemp("provider")),
            "AIRFLOW_CONN_DSW_DEFAULT": json.dumps(emulator.connection()),
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "SSL_CERT_FILE": emulator.ca_file,
        },
    )
    with airflow.running():
        yield airflow


# Not for the session: while it lives an event loop runs, and no other test may run one.
@pytest.fixture(scope="package")
def browser() -> Iterator[BrowserContext]:
    """Chromium, to which all that is not on loopback is one page."""
    from playwright.sync_api import Route, sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "Install Chromium: on Debian, apt-get install chromium."

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/html", body="<h1>Another site</h1>")

    with sync_playwright() as playwright:
        # Without a sandbox, for containers in which Chromium's own can't be made.
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = started.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
        context.set_default_timeout(PATIENCE * 1000)
        context.route(lambda url: not url.startswith("http://127.0.0.1:"), answer)
        yield context
        started.close()


@pytest.fixture
def page(browser: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty page; what it shows at the end of the test is kept as a picture."""
    page = browser.new_page()
    yield page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
    page.close()
