"""The command itself, as a user gives it: `pytest -m live`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_dsw.waits.assumptions import ASSUMPTIONS
from tests.docs.readme import ROOT
from tests.live.test_report import ACCOUNT
from tests.support.leaks import leaks
from tests.support.live_service import KEY, KEY_ID, SIGNED, TOKEN, live_service
from tests.support.processes import end
from tests.support.until import wait_until

pytestmark = pytest.mark.slow
LINE = re.compile(r"^(holds|does not hold|not seen) +([a-z-]+) +\S", re.MULTILINE)


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "pytest", "-m", "live", "-p", "no:cacheprovider", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DSW_LIVE", "PYTEST_"))}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end([process])


def test_without_the_variables_it_says_what_to_set() -> None:
    with running("tests/live") as process:
        output = process.communicate()[0].decode()

    assert process.returncode == 0, output
    assert "Set DSW_LIVE_CONNECTION" in output
    assert f"{len(ASSUMPTIONS) + 4} skipped" in output


def test_on_the_emulator_all_hold(tmp_path: Path) -> None:
    path = tmp_path / "reports/live.txt"
    with (
        live_service() as (service, variables),
        running("tests/live", **variables, DSW_LIVE_REPORT=str(path)) as process,
    ):
        output = process.communicate()[0].decode()
        left = service.left

    report = path.read_text(encoding="utf-8")
    assert process.returncode == 0, output
    assert LINE.findall(output) == LINE.findall(report) == [("holds", name) for name in ASSUMPTIONS]
    assert left == set()
    known = {"key": KEY, "token": TOKEN, "key id": KEY_ID, "account": ACCOUNT, "signature": SIGNED}
    assert leaks(known, [("report", report), ("output", output)]) == set()


def test_what_was_started_is_stopped_after_somebody_ended_it(tmp_path: Path) -> None:
    path = tmp_path / "live.txt"
    with (
        live_service() as (service, variables),
        running("tests/live", **variables, DSW_LIVE_REPORT=str(path)) as process,
    ):
        wait_until(lambda: service.calls("StartInstance") or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        output = process.communicate()[0].decode()

        assert process.returncode == 2, output
        assert service.left == set(), output
        assert path.exists()
