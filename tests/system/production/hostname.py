"""The name that each component gives itself in Airflow's database: two triggerers share one machine here."""

from __future__ import annotations

import os


def of_component() -> str:
    return os.environ["AIRFLOW_COMPONENT"]
