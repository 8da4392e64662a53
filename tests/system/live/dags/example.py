"""The example DAG that an asset's watcher starts."""

from __future__ import annotations

from importlib import import_module

# Airflow takes up what is made while this file loads.
import_module("example_dags.dsw_on_new_snapshot")
