"""Airflow accepts what the provider says of itself."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points
from pathlib import Path

import airflow
import jsonschema

from airflow_provider_dsw.provider_info import get_provider_info


def test_the_provider_info_fits_airflows_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_what_it_lists_is_there() -> None:
    info = get_provider_info()
    for kind in ("hooks", "sensors", "operators", "triggers"):
        for group in info[kind]:
            for module in group["python-modules"]:
                importlib.import_module(module)


def test_airflow_finds_it_by_its_entry_point() -> None:
    found = [point for point in entry_points(group="apache_airflow_provider") if "dsw" in point.value]
    assert found == [] or found[0].load() is get_provider_info
