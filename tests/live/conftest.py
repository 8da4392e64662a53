"""One look at the account for all tests of the service, and its report; and a service that is known, to test those."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from airflow_provider_dsw.emulator import ManualClock
from tests.live.recorder import RecordingHook
from tests.live.report import Report
from tests.live.runs import report_of, try_all
from tests.live.session import Session
from tests.live.variables import HOW_TO, Variables
from tests.support.live_service import LiveService, live_service
from tests.support.processes import ending_on_signals

SUMMARY = pytest.StashKey[list[str]]()
CONN_ID = "dsw_live"

Try = Callable[..., tuple[Report, LiveService]]


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """What the account has shown. It is written even if somebody ends the run, once what was made is deleted."""
    variables = Variables.read(os.environ)
    if variables is None:
        request.config.stash[SUMMARY] = [HOW_TO]
        pytest.skip(HOW_TO)
    if hasattr(request.config, "workerinput"):
        pytest.fail("Several processes would start and stop one instance at a time. Leave out -n.")
    with pytest.MonkeyPatch.context() as patch, ending_on_signals():
        patch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", variables.connection)
        session = Session(variables, RecordingHook(CONN_ID, []))
        try:
            try_all(session)
        finally:
            found = report_of(session)
            path = Path(variables.report)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found.text(), encoding="utf-8")
            request.config.stash[SUMMARY] = [*found.summary(), f"With the recorded answers: {path}"]
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(SUMMARY, []):
        terminalreporter.section("the service")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def try_service(monkeypatch: pytest.MonkeyPatch, no_pauses: None) -> Try:
    """Try a service that is known, whose time passes only as the runs sleep."""

    def run(
        contradicts: str | None = None,
        *,
        prepare: Callable[[LiveService], object] = lambda service: None,
        ends_after: int = -1,
        options: Mapping[str, Any] = MappingProxyType({}),
        **more: str,
    ) -> tuple[Report, LiveService]:
        clock = ManualClock()
        with live_service(contradicts, clock=clock, **options) as (service, environment):
            prepare(service)
            limits = '{"poll": 2, "start": 60, "stop": 60, "snapshot": 60, "delete": 60}'
            variables = Variables.read({**environment, "DSW_LIVE_LIMITS": limits, **more})
            assert variables is not None
            monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", variables.connection)
            pauses = count(1)

            def sleep(seconds: float) -> None:
                clock.advance(seconds)
                if next(pauses) == ends_after:
                    raise KeyboardInterrupt

            session = Session(variables, RecordingHook(CONN_ID, []), now=clock.now, sleep=sleep)
            try_all(session)
            return report_of(session), service

    return run
