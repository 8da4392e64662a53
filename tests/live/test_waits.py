"""What each way to wait ends in. All waits run at the same time, so the slowest one sets the time of them all."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.live.cases import CASES, Case
from tests.live.real_airflow import Airflow, Run


@pytest.fixture(scope="session")
def runs(airflow: Airflow, emulator: DswEmulator, request: pytest.FixtureRequest) -> dict[str, Run]:
    """The runs of those cases whose tests were chosen."""
    started = {}
    for item in request.session.items:
        callspec = getattr(item, "callspec", None)
        case = callspec.params.get("case") if callspec else None
        if case and case.name not in started:
            if case.polls:
                emulator.add_instance(case.instance_id, per_poll=case.polls)
            if case.snapshot:
                emulator.add_snapshot(case.instance_id, per_poll=case.snapshot, image_name="model:1")
            started[case.name] = airflow.trigger(case.name, instance_id=case.instance_id)
    return started


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_end_of_a_wait(case: Case, runs: dict[str, Run]) -> None:
    run = runs[case.name]
    (task,) = run.wait()
    log = run.log("wait", try_number=task["try_number"])

    assert (task["state"], task["try_number"]) == (case.state, case.tries), run.logs()
    for text in case.log:
        assert text in log, run.logs()
    xcoms = {key: value for key, value in run.xcoms("wait").items() if not key.startswith("_link")}
    if case.state != "success":
        assert "return_value" not in xcoms
    elif case.snapshot:
        check_snapshot(case, xcoms["return_value"])
    else:
        check_details(case, xcoms["return_value"])


def check_details(case: Case, details: dict[str, Any]) -> None:
    assert details["InstanceId"] == case.instance_id
    assert details["Status"] == "Running"
    assert {"RequestId", "JupyterlabUrl", "LatestSnapshot"} <= set(details)
    assert "EnvironmentVariables" not in details


def check_snapshot(case: Case, snapshot: dict[str, Any]) -> None:
    assert (snapshot["InstanceId"], snapshot["Status"]) == (case.instance_id, "Saved")
    assert snapshot["ImageName"] == "model:1"


def test_mapped_wait_gives_each_instance_its_details(airflow: Airflow, emulator: DswEmulator) -> None:
    for number in range(3):
        emulator.add_instance(f"dsw-mapped-{number}", per_poll=["Starting", "Running"])
    run = airflow.trigger("mapped", third="dsw-mapped-2")

    run.wait("success")

    found = [run.xcoms("wait", index)["return_value"]["InstanceId"] for index in range(3)]
    assert found == ["dsw-mapped-0", "dsw-mapped-1", "dsw-mapped-2"]
