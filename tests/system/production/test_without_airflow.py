"""Airflow is killed altogether: no more of it is needed for an instance to stop. The last test, for nothing is left."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.system.live.real_airflow import PATIENCE, wait_until
from tests.system.production.bed import COMPONENTS, Bed
from tests.system.production.pipelines import held_at, launch

pytestmark = [pytest.mark.slow, pytest.mark.production]

STOP_AFTER = timedelta(hours=8)  # of the pipelines


def test_the_service_stops_an_instance_whose_airflow_is_gone(bed: Bed) -> None:
    pipeline = launch(bed, held_at(["work"])())
    pipeline.wait_until_held("work")
    for component in COMPONENTS:
        bed.airflow.kill_component(component)
    number = len(bed.emulator.requests)
    assert bed.emulator.status(pipeline.instance_id) == "Running"

    bed.emulator.clock.ahead += STOP_AFTER.total_seconds()

    wait_until(
        lambda: bed.emulator.status(pipeline.instance_id) == "Stopped",
        PATIENCE,
        lambda: f"{bed.emulator.status(pipeline.instance_id)}",
    )
    assert "The shutdown timer is due: the instance is stopped." in [
        event.text for event in bed.emulator.history(pipeline.instance_id).events
    ]
    assert bed.emulator.requests[number:] == []
    asked = [request.action for request in bed.emulator.requests if request.instance_id == pipeline.instance_id]
    assert "CreateInstanceShutdownTimer" in asked
    assert {"StopInstance", "DeleteInstance"}.isdisjoint(asked)
