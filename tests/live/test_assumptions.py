"""
What the provider assumes of the service, held against an account: `pytest -m live tests/live`.

The environment variables of `tests.live.variables` say which account, and what may be changed in it.
"""

from __future__ import annotations

import pytest

from airflow_provider_dsw.waits.assumptions import ASSUMPTIONS
from tests.live.checks import Answer
from tests.live.report import Report
from tests.live.runs import RUNS

pytestmark = pytest.mark.live


@pytest.mark.parametrize("run", RUNS)
def test_what_is_tried_comes_to_its_end(report: Report, run: str) -> None:
    assert run not in report.stopped_short, report.stopped_short[run]
    if run in report.left_out:
        pytest.skip(report.left_out[run])


def test_nothing_is_left_behind(report: Report) -> None:
    assert "clean-up" not in report.stopped_short, report.stopped_short["clean-up"]


@pytest.mark.parametrize("name", ASSUMPTIONS)
def test_the_assumption_holds(report: Report, name: str) -> None:
    answer, words = report.findings[name]
    if answer is Answer.NOT_SEEN:
        pytest.skip(f"not seen: {words}")
    assert answer is Answer.HOLDS, words
