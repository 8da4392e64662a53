"""What the button that tests a connection asks of Airflow's API, and gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.system.live.real_airflow import Airflow


@pytest.mark.parametrize(
    ("change", "works", "words"),
    [
        ({}, True, "answers. Instances listed: "),
        ({"password": "the-wrong-secret"}, False, "Check password (the AccessKey secret)"),
    ],
)
def test_the_button_says_whether_and_why(
    change: dict[str, Any], works: bool, words: str, airflow: Airflow, emulator: DswEmulator
) -> None:
    fields = {**emulator.connection(), **change}
    extra = json.dumps(fields.pop("extra"))

    answer = airflow.request("POST", "/connections/test", json={"connection_id": "pressed", **fields, "extra": extra})

    assert answer["status"] is works
    assert words in answer["message"]
    assert fields["password"] not in str(answer)
