"""What each way to wait ends in."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.system.live.cases import CASES, DEFERRED, FROM_TRIGGER_CASES, MAPPED, SHARES_POLLS, STARTS, Case
from tests.system.live.real_airflow import Airflow, Run


def start(case: Case, airflow: Airflow, emulator: DswEmulator) -> Run:
    if case.polls:
        emulator.add_instance(case.instance_id, per_poll=case.polls)
    if case.snapshot:
        emulator.add_snapshot(case.instance_id, per_poll=case.snapshot, image_name="model:1")
    return airflow.trigger(case.name)


def settled(run: Run, start_again: Callable[[], Run]) -> Run:
    """The run at its end; where Airflow itself failed a task of it, another, at most three times."""
    for _ in range(3):
        run.wait()
        if not run.was_mixed_up():
            break
        run.wait_for_end()
        run = start_again()
    run.wait()
    return run


def table(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    rows = [pytest.param(case, id=case.name, marks=pytest.mark.begin(by=partial(start, case))) for case in cases]
    return pytest.mark.parametrize("case", rows)


@table(CASES)
def test_end_of_a_wait(case: Case, begun: Run, emulator: DswEmulator) -> None:
    check_end(case, settled(begun, partial(start, case, begun.airflow, emulator)))


@pytest.mark.skipif(not SHARES_POLLS, reason="Airflow 3.3 starts tasks in the triggerer")
@table(FROM_TRIGGER_CASES)
def test_end_of_a_wait_that_starts_in_the_triggerer(case: Case, begun: Run) -> None:
    check_end(case, begun)
    assert DEFERRED not in begun.log("wait")  # which is what a worker says


def check_end(case: Case, run: Run) -> None:
    (task,) = run.wait()
    assert (task["state"], task["try_number"]) == (case.state, 1), run.logs()
    log = run.log("wait")
    for text in case.log:
        assert text in log, run.logs()
    # In reschedule mode only Airflow 3.3 can tell one try what the try before has logged.
    if SHARES_POLLS or "reschedule" not in case.sensor.values():
        assert log.count(f"DSW instance {case.instance_id}: Starting") <= 1, run.logs()
    assert task["state"] != "success" or re.search(r"Waited \S+ and .*polls? for ", log), run.logs()
    xcoms = run.xcoms("wait")
    if case.state != "success":
        assert "return_value" not in xcoms
        return
    found = xcoms["return_value"]
    if case.snapshot:
        assert (found["InstanceId"], found["Status"], found["ImageName"]) == (case.instance_id, "Saved", "model:1")
    else:
        assert (found["InstanceId"], found["Status"]) == (case.instance_id, "Running")
        assert {"RequestId", "JupyterlabUrl", "LatestSnapshot"} <= set(found)
        assert "EnvironmentVariables" not in found


def start_in_each_mode(airflow: Airflow, emulator: DswEmulator) -> list[Run]:
    emulator.add_instance("dsw-same", per_poll=["Starting"] * 4 + ["Running"])
    modes = ["poke-starts", "deferred-starts", "rescheduled-starts"] + ["from-trigger-starts"] * SHARES_POLLS
    return [airflow.trigger(mode, instance_id="dsw-same") for mode in modes]


@pytest.mark.begin(by=start_in_each_mode)
def test_each_mode_gives_the_same_xcom(begun: list[Run]) -> None:
    found: list[dict[str, Any]] = []
    for first in begun:
        run = settled(first, partial(first.airflow.trigger, first.dag_id, instance_id="dsw-same"))
        run.wait("success")
        details = run.xcoms("wait")["return_value"]
        assert details.pop("RequestId")
        found.append(details)

    assert all(list(details.items()) == list(found[0].items()) for details in found), found


def start_mapped(dag_id: str, airflow: Airflow, emulator: DswEmulator) -> Run:
    for number in range(3):
        emulator.add_instance(f"dsw-{dag_id}-{number}", per_poll=STARTS)
    return airflow.trigger(dag_id, third=f"dsw-{dag_id}-2")


@pytest.mark.parametrize(
    "dag_id", [pytest.param(dag_id, marks=pytest.mark.begin(by=partial(start_mapped, dag_id))) for dag_id in MAPPED]
)
def test_mapped_wait_gives_each_instance_its_details(dag_id: str, begun: Run, emulator: DswEmulator) -> None:
    run = settled(begun, partial(start_mapped, dag_id, begun.airflow, emulator))
    run.wait("success")

    found = [run.xcoms("wait", index)["return_value"]["InstanceId"] for index in range(3)]
    assert found == [f"dsw-{dag_id}-{number}" for number in range(3)]
