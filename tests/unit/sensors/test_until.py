"""Waiting for what an expression says of an instance."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswWaitArgumentError, DswWaitFailedError
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger
from airflow_provider_dsw.version_compat import AirflowSensorTimeout
from tests.support.clock import Clock
from tests.support.modes import ID
from tests.unit.sensors.conftest import Run

SSH = "UserVpc.ForwardInfos[?Name=='ssh'] | [0].ConnectInfo.Phase == 'Ready'"
KEY = "ssh-rsa AAAA-never-to-be-seen"


def forwarding(phase: str) -> dict[str, Any]:
    return {"ForwardInfos": [{"Name": "ssh", "SSHPublicKey": KEY, "ConnectInfo": {"Phase": phase}}]}


def after_polls(emulator: DswEmulator, number: int, **fields: Any) -> None:
    def change(_: Any) -> None:
        if len(emulator.requests) == number:
            emulator.set_instance(ID, **fields)

    emulator.on_request = change


def test_a_wait_is_met_when_the_expression_becomes_true(
    run: Run, emulator: DswEmulator, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.add_instance(ID, "Running", UserVpc=forwarding("Creating"))
    after_polls(emulator, 2, UserVpc=forwarding("Ready"))

    found = run(until=SSH, poke_interval=60, timeout=3600)

    assert (found["InstanceId"], found["Status"]) == (ID, "Running")
    assert KEY not in json.dumps(found) + "".join(capsys.readouterr())
    assert 2 <= len(emulator.requests) <= 3


@pytest.mark.parametrize(
    ("field", "expression"),
    [
        ({"IdleInstanceCuller": {"IdleTimeInMinutes": 31}}, "IdleInstanceCuller.IdleTimeInMinutes >= `30`"),
        ({"IdleInstanceCuller": {"IdleTimeInMinutes": 0}}, "IdleInstanceCuller.IdleTimeInMinutes"),
        ({"Labels": [{"Key": "ready", "Value": "yes"}]}, "Labels[?Key=='ready']"),
    ],
)
def test_whatever_the_answer_holds_can_be_waited_for(
    run: Run, emulator: DswEmulator, clock: Clock, field: dict[str, Any], expression: str
) -> None:
    emulator.add_instance(ID, "Running", **field)

    assert run(until=expression, poke_interval=60)["Status"] == "Running"


@pytest.mark.parametrize("expression", ["abs(Progress) >= `3`", "InstanceName > `3`"])
def test_an_answer_that_can_not_be_evaluated_is_one_warning(
    run: Run, emulator: DswEmulator, clock: Clock, capsys: pytest.CaptureFixture[str], expression: str
) -> None:
    emulator.add_instance(ID, "Running", InstanceName="text", UserVpc=forwarding("Ready"))
    after_polls(emulator, 4, Progress=5, InstanceName=5)

    assert run(until=expression, poke_interval=60, timeout=3600)["Status"] == "Running"

    log = "".join(capsys.readouterr())
    assert log.count("until can't be evaluated now: ") == 1
    assert "warning" in next(line for line in log.splitlines() if "can't be evaluated" in line).lower()


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("Statuss == 'Saved'", "until: GetInstance documents no field 'Statuss'. Did you mean 'Status'?"),
        ("Status == 'Saved' || labels[?Key=='ready']", "documents no field 'labels'. Did you mean 'Labels'?"),
        ("length(CloudDisk || `[]`) > `3`", "documents no field 'CloudDisk'. Did you mean 'CloudDisks'?"),
        ("[Labels, Progress] | [1]", "until: GetInstance documents no field 'Progress'."),
        ("Status == Stopped", "documents no field 'Stopped'. A text needs single quotes: 'Stopped'."),
        ("Status == 'Runing'", "until: 'Runing' is not an instance status. Did you mean 'Running'?"),
        ('Labels && `"saved"` == Status', "until: 'saved' is not an instance status. Did you mean 'Saved'?"),
        ("contains(['Saved', 'Stoped'], Status)", "'Stoped' is not an instance status. Did you mean 'Stopped'?"),
    ],
)
def test_a_name_that_may_be_mistyped_is_one_warning(
    run: Run, emulator: DswEmulator, clock: Clock, capsys: pytest.CaptureFixture[str], expression: str, told: str
) -> None:
    emulator.add_instance(ID, "Running")
    after_polls(emulator, 3, Status="Updating")

    with pytest.raises(AirflowSensorTimeout, match=rf"{re.escape(told)} If it always"):
        run(until=expression, poke_interval=60, timeout=300)

    waiting = [line for line in "".join(capsys.readouterr()).splitlines() if "Waiting for" in line]
    assert [("warning" in line.lower(), told in line) for line in waiting] == [(True, True), (False, False)]
    assert "Updating" in waiting[1]


@pytest.mark.parametrize("expression", ["Statuss != 'Running'", "Status != 'Stoped'"])
def test_a_mistyped_name_that_ends_the_wait_at_once_is_a_warning_too(
    run: Run, emulator: DswEmulator, clock: Clock, capsys: pytest.CaptureFixture[str], expression: str
) -> None:
    emulator.add_instance(ID, "Running")

    assert run(until=expression)["Status"] == "Running"

    warning = next(line for line in "".join(capsys.readouterr()).splitlines() if "Did you mean 'St" in line)
    assert "warning" in warning.lower()


@pytest.mark.parametrize(
    "expression",
    [
        "ReasonCode",  # the service leaves it out where it has nothing to say
        "UserVpc.Statuss",
        "CloudDisks[?Size > `1`]",
        "max_by(Labels || `[]`, &length(Kye))",
        "Progress == `5`",  # not documented, but there
        "Status == 'Stopped'",
        "Status == 'Brandnew'",  # the service may have statuses that nothing here knows
        "Status == InstanceName || InstanceName == 'Runing'",
    ],
)
def test_a_field_that_is_documented_or_there_is_no_warning(
    run: Run, emulator: DswEmulator, clock: Clock, capsys: pytest.CaptureFixture[str], expression: str
) -> None:
    emulator.add_instance(ID, "Running", Progress=3)

    with pytest.raises(AirflowSensorTimeout):
        run(until=expression, poke_interval=60, timeout=60)

    assert "until: " not in "".join(capsys.readouterr())


@pytest.mark.parametrize("status", ["Failed", "Deleting"])
def test_a_status_from_which_nothing_comes_ends_the_wait(run: Run, emulator: DswEmulator, status: str) -> None:
    emulator.add_instance(ID, status)

    with pytest.raises(DswWaitFailedError, match=rf"^DSW instance {ID} is {status} and can no longer satisfy"):
        run(until="abs(Progress) > `0`")


def test_a_status_of_failure_that_is_waited_for_is_none(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Failed")

    assert run(until="Status == 'Failed'")["Status"] == "Failed"


def test_other_statuses_of_failure_can_be_named(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")

    with pytest.raises(DswWaitFailedError, match="is Stopped"):
        run(until="Missing", failure_statuses=["Stopped"])


def test_the_timeout_names_the_expression(run: Run, emulator: DswEmulator, clock: Clock) -> None:
    emulator.add_instance(ID, "Running")

    with pytest.raises(AirflowSensorTimeout, match=rf"DSW instance {ID} to satisfy 'Missing'; last seen: Running"):
        run(until="Missing", timeout=60, poke_interval=60)


@pytest.mark.parametrize("rendered", ["Labels[0", "lenght(Labels)", "", 7, None])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_rendered_expression_that_can_not_work_makes_no_request(
    dsw_default: DswEmulator, rendered: Any, deferrable: bool
) -> None:
    sensor = DswInstanceSensor(task_id="wait", instance_id=ID, until="{{ params.until }}", deferrable=deferrable)
    sensor.until = rendered

    with pytest.raises(DswWaitArgumentError, match="until: "):
        sensor.execute({})
    assert not dsw_default.requests


@pytest.mark.parametrize(
    "beside",
    [{"target_status": "Running"}, {"wait_for_snapshot": True}, {"snapshot_image": "a"}, {"snapshot_id": "snp-1"}],
)
def test_it_stands_alone(beside: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Leave one of the two out"):
        DswInstanceSensor(task_id="wait", instance_id=ID, until="Labels", **beside)


@pytest.mark.parametrize("until", ["Labels[0", "lenght(Labels)", "abs()", "", 7])
def test_a_wrong_expression_is_found_where_the_dag_is_parsed(until: Any) -> None:
    with pytest.raises(ValueError, match="Task 'wait': until: "):
        DswInstanceSensor(task_id="wait", instance_id=ID, until=until)
    with pytest.raises(ValueError, match="until: "):
        DswInstanceEventTrigger(instance_id=ID, until=until)
