"""Whatever the service does, wherever and however often: what comes of it is what the documentation says."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from airflow_provider_dsw.client import api
from airflow_provider_dsw.emulator import DswEmulator, Options
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators import dsw as operators
from tests.system.faults import matrix
from tests.system.faults.calls import OPERATIONS
from tests.system.faults.faults import FAULTS, LENGTHS
from tests.system.faults.options import OPTIONS
from tests.system.faults.service import Bed, Server
from tests.system.faults.tasks import OPERATORS


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    server = Server()
    with server:
        yield Bed(monkeypatch, server)


@pytest.mark.parametrize("every", [311, pytest.param(23, marks=pytest.mark.slow)])
def test_every_cell_ends_as_it_should(bed: Bed, every: int) -> None:
    report = matrix.run(bed, every)

    assert report.wrong == []
    assert report.cells > 20_000 / every


def test_every_call_of_the_client_has_a_row() -> None:
    calls = {
        name for name, each in vars(api).items() if getattr(each, "__annotations__", {}).get("return") == "ApiCall"
    }
    assert "get_instance" in calls
    assert {operation.api for operation in OPERATIONS.values()} == calls


def test_every_way_of_the_hook_to_call_has_a_row() -> None:
    source = {name: inspect.getsource(each) for name, each in vars(DswHook).items() if inspect.isfunction(each)}
    ways = {name for name, text in source.items() if "api." in text and not name.startswith("_")}
    assert "aget_instance" in ways
    assert ways <= {operation.method for operation in OPERATIONS.values()}


def test_every_part_of_a_fault_is_in_a_row() -> None:
    parts = {name for each in (*(row.given for row in FAULTS.values()), *LENGTHS.values()) for name in each}
    assert parts == set(inspect.signature(DswEmulator.fault).parameters) - {"self", "action", "instance_id"}


def test_every_option_of_the_emulator_has_a_row() -> None:
    assert set(OPTIONS) == set(Options.__dataclass_fields__)


def test_every_operator_has_a_row() -> None:
    assert {task.make.__name__ for task in OPERATORS.values() if task.make} == set(operators.__all__)
