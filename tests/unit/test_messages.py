"""
Each message that ends a task: cause and instance stand where Airflow's page does not cut them off, the remedy after.

Airflow's grid shows the first 150 characters of an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_dsw.client.failures import Failure
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswGetInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.version_compat import AirflowSensorTimeout
from tests.support.task_runs import run

ID = "dsw-730abcdefghijklmno"  # as long as the service's own
SHOWN = 150

pytestmark = pytest.mark.usefixtures("no_pauses")


def make(task: type, **arguments: Any) -> Any:
    return task(**{"task_id": "t", "poke_interval": 0.02, "timeout": 5, **arguments})


def wait(**arguments: Any) -> Any:
    return make(DswInstanceSensor, instance_id=ID, **arguments)


def start(**arguments: Any) -> Any:
    return make(DswStartInstanceOperator, instance_id=ID, **arguments)


def stop(**arguments: Any) -> Any:
    return make(DswStopInstanceOperator, instance_id=ID, **arguments)


def save(**arguments: Any) -> Any:
    return make(DswCreateSnapshotOperator, instance_id=ID, image_url="registry/a:1", snapshot_name="a", **arguments)


def delete(**arguments: Any) -> Any:
    return make(DswDeleteInstanceOperator, instance_id=ID, **arguments)


def create(**arguments: Any) -> Any:
    body = {"InstanceName": "a", "EcsSpec": "ecs.c6.large", "ImageId": "image-1", "WorkspaceId": "1"}
    return make(DswCreateInstanceOperator, body=body, **arguments)


def details(**arguments: Any) -> Any:
    return DswGetInstanceOperator(task_id="t", instance_id=ID, **arguments)


def is_in(status: str, **fields: Any) -> Callable[[DswEmulator], None]:
    def prepare(emulator: DswEmulator) -> None:
        emulator.add_instance(ID, status, **fields)

    return prepare


def answers(action: str, *, instance: str = "Running", **fault: Any) -> Callable[[DswEmulator], None]:
    def prepare(emulator: DswEmulator) -> None:
        emulator.add_instance(ID, instance)
        emulator.fault(action, times=None, **fault)

    return prepare


DENIED: dict[str, Any] = {"status": 403, "code": "NoPermission"}
REFUSED: dict[str, Any] = {"status": 400, "code": "NoStock", "message": "No GPU is left"}
DOWN: dict[str, Any] = {"status": 503, "code": "ServiceUnavailable"}
WORKERS_AND_TRIGGERERS: list[Any] = [pytest.param(False, id="worker"), pytest.param(True, id="deferred")]
# What the service does, the task, what stands where the page shows it, and what the end says.
MESSAGES: list[Any] = [
    pytest.param(is_in("Failed", ReasonCode="NoStock"), wait, ["Failed", "NoStock"], "console", id="failed"),
    pytest.param(lambda emulator: None, wait, ["no such instance"], "region", id="no-such-instance"),
    pytest.param(answers("GetInstance", **DENIED), wait, ["denied"], "paidsw:GetInstance", id="denied"),
    pytest.param(answers("GetInstance", **DOWN), wait, ["can't answer"], "attempt 4 of 4", id="down"),
    pytest.param(
        is_in("Starting"), lambda **a: wait(**a, **LATE), ["Timed out", "Starting"], "longer timeout", id="late"
    ),
    pytest.param(
        is_in("Starting"), lambda **a: start(**a, **LATE), ["Timed out", "Starting"], "longer timeout", id="start-late"
    ),
    pytest.param(
        answers("StartInstance", instance="Stopped", **REFUSED), start, ["NoStock"], "retry", id="start-refused"
    ),
    pytest.param(
        answers("StartInstance", instance="Stopped", **DENIED),
        start,
        ["denied"],
        "paidsw:StartInstance",
        id="start-denied",
    ),
    pytest.param(answers("StopInstance", **REFUSED), stop, ["NoStock"], "retry", id="stop-refused"),
    pytest.param(answers("CreateInstanceSnapshot", **REFUSED), save, ["NoStock"], "retry", id="save-refused"),
    pytest.param(answers("DeleteInstance", **REFUSED), delete, ["NoStock"], "retry", id="delete-refused"),
    pytest.param(answers("CreateInstance", **REFUSED), create, ["NoStock"], "retry", id="create-refused"),
    pytest.param(lambda emulator: None, details, ["no such instance"], "region", id="details-of-none"),
    pytest.param(answers("GetInstance", **DENIED), details, ["denied"], "paidsw:GetInstance", id="details-denied"),
]
LATE: dict[str, Any] = {"timeout": 0.05}


@pytest.mark.parametrize("deferrable", WORKERS_AND_TRIGGERERS)
@pytest.mark.parametrize(("prepare", "task", "causes", "remedy"), MESSAGES)
def test_what_ends_a_task_begins_with_cause_and_instance_and_has_a_remedy(
    prepare: Callable[[DswEmulator], None],
    task: Callable[..., Any],
    causes: list[str],
    remedy: str,
    deferrable: bool,
    dsw_default: DswEmulator,
) -> None:
    prepare(dsw_default)
    arguments = {} if task is details else {"deferrable": deferrable}

    with pytest.raises((DswError, AirflowSensorTimeout)) as raised:
        run(task(**arguments))

    text = str(raised.value)
    named = "CreateInstance" if task is create else ID
    assert [part for part in [named, *causes] if part not in text[:SHOWN]] == []
    assert [sentence for sentence in text.split(". ")[1:] if remedy in sentence]


@pytest.mark.parametrize("action", ["StopInstance", "DeleteInstance"])
def test_a_refusal_says_its_cause_then_what_the_service_says_then_who_was_asked(
    action: str, dsw_default: DswEmulator
) -> None:
    answers(action, **{**REFUSED, "message": "What the service says. " * 10})(dsw_default)

    with pytest.raises(DswError) as raised:
        run({"StopInstance": stop, "DeleteInstance": delete}[action](deferrable=False))

    text = str(raised.value)
    assert text.startswith(f"{action} of {ID}: the service refused the request (HTTP 400, Code NoStock")
    parts = ["RequestId", "What the service says", f"Requested of {dsw_default.endpoint}", "A retry of the task"]
    assert sorted(parts, key=text.index) == parts


def test_the_longest_endpoint_hides_no_cause() -> None:
    error = Failure(status=403, code="NoPermission").error(
        description=f"GetInstanceSnapshot of snp-05cefd0be2exxxx of {ID}",
        action="GetInstanceSnapshot",
        endpoint=f"{'a' * 200}.example.com (connection '{'c' * 200}')",
        attempt="",
        changes=False,
    )

    assert [part for part in (ID, "access denied", "NoPermission") if part not in str(error)[:SHOWN]] == []
