"""Whatever the service does, wherever and however often: what comes of it is what the documentation says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Options
from airflow_provider_dsw.hooks.dsw import DswHook
from tests.system.faults import matrix
from tests.system.faults.calls import ANOTHERS, EMPTY, OPERATIONS, new_service, run
from tests.system.faults.cells import Cell
from tests.system.faults.faults import FAULTS, LENGTHS
from tests.system.faults.options import OPTIONS
from tests.system.faults.service import Bed, Server


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    server = Server()
    with server:
        yield Bed(monkeypatch, server)


def words(name: str) -> str:
    """What -k of pytest takes: no brackets, commas or spaces."""
    return re.sub(r"\W+", "-", name).strip("-")


each_operation = pytest.mark.parametrize("name", OPERATIONS, ids=words)


@pytest.mark.parametrize("every", [311, pytest.param(23, marks=pytest.mark.slow)])
def test_every_cell_ends_as_it_should(bed: Bed, every: int) -> None:
    report = matrix.run(bed, every)

    assert report.wrong == []
    assert report.cells > 20_000 / every


@each_operation
def test_each_call_that_changes_something_says_so(bed: Bed, name: str) -> None:
    operation = OPERATIONS[name]
    service = new_service(bed, operation)

    operation.call(DswHook())

    sent = {request.action for request in service.requests if request.method != "GET"}
    assert sent == ({operation.changes} if operation.changes else set()), f"changes of {name} in calls.py"


@each_operation
@pytest.mark.parametrize("fault", [EMPTY, ANOTHERS], ids=words)
def test_each_call_is_held_to_answers_that_are_not_its_own(bed: Bed, name: str, fault: str) -> None:
    found = run(bed, Cell("hook", name, fault, "once", 0, run))

    assert found.wrong == [], f"takes of {name} in calls.py names {fault!r} if the check can't tell"


def test_every_part_of_a_fault_is_in_a_row() -> None:
    parts = {name for each in (*(row.given for row in FAULTS.values()), *LENGTHS.values()) for name in each}
    assert parts == set(inspect.signature(DswEmulator.fault).parameters) - {"self", "action", "instance_id"}


def test_every_option_of_the_emulator_has_a_row() -> None:
    assert set(OPTIONS) == set(Options.__dataclass_fields__)
