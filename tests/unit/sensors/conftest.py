"""A sensor in each way to wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.support import modes

Run = Callable[..., Any]


@pytest.fixture(params=modes.ALL)
def run(request: pytest.FixtureRequest, dsw_default: DswEmulator, no_pauses: None) -> Run:
    """Run a sensor with these arguments, in this way, to the end of its wait."""
    function: Run = request.param
    return function
