"""The tables of arguments are those of the signatures: every argument, and its default."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest

from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators import dsw as operators
from airflow_provider_dsw.operators.base import DswBaseOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger
from tests.docs.readme import TEXT, codes, rows, section
from tests.support.arguments import NOT_TAKEN, parameters_of_class

REQUIRED = inspect.Parameter.empty
CLASSES = {
    cls.__name__: cls
    for cls in (
        DswInstanceSensor,
        DswInstanceEventTrigger,
        DswHook,
        *(getattr(operators, name) for name in operators.__all__),
    )
}


def signature(cls: type) -> dict[str, Any]:
    """Each argument with its default."""
    return {name: parameter.default for name, parameter in parameters_of_class(cls).items()}


def tables() -> dict[str, dict[str, Any]]:
    """Each table's arguments with their defaults, by the first cell of its head."""
    found: dict[str, dict[str, Any]] = {}
    for text in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        (title, *others), _, *body = rows(text)
        if others == ["default", ""]:
            found[title.strip("`")] = dict(pair for cells in body for pair in pairs(*cells))
    return found


def pairs(names: str, defaults: str, _: str) -> list[tuple[str, Any]]:
    """One default for each argument of the row, or one for all."""
    parsed = [default(cell) for cell in defaults.split(", ")]
    named = codes(names)
    return list(zip(named, parsed if len(parsed) > 1 else parsed * len(named), strict=True))


def default(cell: str) -> Any:
    return REQUIRED if cell == "required" else ast.literal_eval(cell.strip("`"))


def test_each_class_has_one_table() -> None:
    # A deletion takes what every operator takes.
    assert tables().keys() == CLASSES.keys() - {"DswDeleteInstanceOperator"} | {"every operator below"}
    told = " ".join(section("Pipelines").split())
    assert "`DswDeleteInstanceOperator` takes only what this table has" in told


def test_the_table_of_every_operator_is_that_of_its_base() -> None:
    assert tables()["every operator below"] == signature(DswBaseOperator)


@pytest.mark.parametrize("name", CLASSES)
def test_a_table_has_the_arguments_and_defaults_of_the_class(name: str) -> None:
    table, cls = tables().get(name, {}), CLASSES[name]
    if issubclass(cls, DswBaseOperator):
        table = tables()["every operator below"] | table
    for argument in NOT_TAKEN.get(name, ()):
        del table[argument]

    assert table == signature(cls), f"the table of {name}, in README.md or on a page in .github/docs"


def test_the_page_of_the_hook_has_each_method() -> None:
    methods = {name for name, value in vars(DswHook).items() if inspect.isfunction(value) and not name.startswith("_")}
    for_airflow = {"get_connection_form_widgets", "get_ui_field_behaviour"}
    for_a_trigger = {"aget_instance", "aget_instance_snapshot", "astop_instance", "aload"}
    page = TEXT.partition("\n# The hook\n")[2].partition("\n## ")[0]
    table = {codes(cells[0])[0].partition("(")[0] for cells in rows(page) if codes(cells[0])} & methods

    assert table == methods - for_airflow - for_a_trigger
    assert all(re.search(rf"\b{name}\b", page) for name in for_a_trigger)
