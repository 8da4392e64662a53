"""Airflow accepts what the provider says of itself, and finds what it names."""

from __future__ import annotations

import importlib
import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

import airflow_provider_dsw
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.links.dsw import DSW_LINKS
from airflow_provider_dsw.provider_info import get_provider_info

AIRFLOW = Path(airflow.__file__).parent
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
LISTS_OF_MODULES = ("hooks", "sensors", "operators", "triggers")


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((AIRFLOW / name).read_text())
    return found


def named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_airflow_accepts_the_whole():
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


@pytest.mark.parametrize(
    "part", ["connection-types", "integrations", "triggers", "hooks", "sensors", "operators", "extra-links", "config"]
)
def test_airflow_accepts_each_part_as_its_own_providers_write_it(part):
    whole = schema("provider.yaml.schema.json")
    if part in get_provider_info():
        jsonschema.validate(
            get_provider_info()[part], {**whole["properties"][part], "definitions": whole.get("definitions", {})}
        )


def test_it_is_json():
    assert json.loads(json.dumps(get_provider_info())) == get_provider_info()


def test_it_goes_by_the_name_and_version_of_the_distribution():
    info = get_provider_info()

    assert info["package-name"] == PROJECT["name"]  # with another, `import airflow` itself fails
    assert info["versions"] == [PROJECT["version"]] == [airflow_provider_dsw.__version__]


def test_the_entry_point_leads_to_it():
    groups = PROJECT["entry-points"]["apache_airflow_provider"]
    points = [EntryPoint(name, value, "apache_airflow_provider") for name, value in groups.items()]

    assert [point.load() for point in points] == [get_provider_info]


@pytest.mark.parametrize("command", PROJECT["scripts"])
def test_each_command_leads_to_a_function(command):
    assert callable(EntryPoint(command, PROJECT["scripts"][command], "console_scripts").load())


@pytest.mark.parametrize(
    "module",
    [name for kind in LISTS_OF_MODULES for group in get_provider_info()[kind] for name in group["python-modules"]],
)
def test_each_module_that_is_listed_can_be_imported(module):
    assert importlib.import_module(module)


def test_each_module_of_the_public_interface_is_listed():
    info = get_provider_info()

    listed = {name for kind in LISTS_OF_MODULES for group in info[kind] for name in group["python-modules"]}

    assert listed == {f"airflow_provider_dsw.{kind}.dsw" for kind in LISTS_OF_MODULES}


def test_the_connection_type_is_the_hook_s():
    (connection,) = get_provider_info()["connection-types"]

    assert named(connection["hook-class-name"]) is DswHook
    assert connection["connection-type"] == DswHook.conn_type
    assert connection.get("hook-name", DswHook.hook_name) == DswHook.hook_name


def test_each_link_of_a_task_s_page_is_listed():
    assert [named(path) for path in get_provider_info()["extra-links"]] == list(map(type, DSW_LINKS))


def test_every_integration_that_is_named_is_described():
    info = get_provider_info()

    described = {integration["integration-name"] for integration in info["integrations"]}

    assert {group["integration-name"] for kind in LISTS_OF_MODULES for group in info[kind]} == described


def test_type_checkers_read_the_package_s_own_annotations():
    assert (Path(airflow_provider_dsw.__file__).parent / "py.typed").is_file()
