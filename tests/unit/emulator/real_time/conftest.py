"""An emulator that goes by the real clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_dsw.emulator import DswEmulator


@pytest.fixture
def emulator() -> Iterator[DswEmulator]:
    with DswEmulator() as served:
        yield served
