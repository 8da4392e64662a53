"""What an error says, and in which order: Airflow's page cuts a message after its first 150 characters."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_dsw.client.failures import Failure
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.operators.dsw import (
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswGetInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

ID = "dsw-730abcdefghijk"
SHOWN = 150


def sensor(**arguments: Any) -> Any:
    return DswInstanceSensor(task_id="t", instance_id=ID, poke_interval=0, **arguments).execute({})


def operator(task_class: Callable[..., Any], **arguments: Any) -> Callable[[], Any]:
    return lambda: task_class(task_id="t", instance_id=ID, **arguments).execute({})


CALLS: dict[str, tuple[str, Callable[[], Any]]] = {
    "sensor": ("GetInstance", sensor),
    "get": ("GetInstance", operator(DswGetInstanceOperator)),
    "start": ("GetInstance", operator(DswStartInstanceOperator)),
    "stop": ("StopInstance", operator(DswStopInstanceOperator)),
    "delete": ("DeleteInstance", operator(DswDeleteInstanceOperator)),
    "snapshot": (
        "CreateInstanceSnapshot",
        operator(DswCreateSnapshotOperator, image_url="registry.example.com/a/b:1"),
    ),
}
REFUSALS: dict[str, dict[str, Any]] = {
    "access denied": {"status": 403, "code": "NoPermission"},
    "the service refused the request": {"status": 400, "code": "ValidationError"},
    "access denied, by the key": {"status": 404, "code": "InvalidAccessKeyId.NotFound"},
}


@pytest.mark.parametrize("cause", REFUSALS)
@pytest.mark.parametrize("name", CALLS)
def test_a_refusal_says_its_cause_first_then_what_was_requested_then_the_remedy(
    name: str, cause: str, dsw_default: DswEmulator, no_pauses: None
) -> None:
    action, call = CALLS[name]
    dsw_default.add_instance(ID, "Running" if action in ("StopInstance", "CreateInstanceSnapshot") else "Stopped")
    dsw_default.fault(action, times=None, message="What the service says. " * 10, **REFUSALS[cause])
    with pytest.raises(Exception, match=action) as raised:
        call()
    message = str(raised.value)
    assert message.startswith(f"{action} of {ID}: {cause.partition(',')[0]} (HTTP")
    parts = [
        message.index(part) for part in ("RequestId", "What the service says", f"Requested of {dsw_default.endpoint}")
    ]
    assert parts == sorted(parts)


@pytest.mark.parametrize("status", ["Failed", "Deleting"])
def test_a_wait_that_has_failed_says_so_first_and_what_to_do_last(status: str, dsw_default: DswEmulator) -> None:
    reason = {"ReasonCode": "ImagePull", "ReasonMessage": "ImagePullBackOff. " * 20}
    dsw_default.add_instance(ID, per_poll=[(status, reason)])
    with pytest.raises(Exception, match="ImagePull") as raised:
        sensor()
    message = str(raised.value)
    assert f"DSW instance {ID} is {status} and can no longer reach Running" in message[:SHOWN]
    assert message.endswith("Fix the instance in the PAI console; then clear the task.")


@pytest.mark.parametrize("task_class", [DswInstanceSensor, DswStartInstanceOperator])
def test_a_timeout_names_the_instance_first(task_class: Callable[..., Any], dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, "Starting")
    with pytest.raises(Exception, match="last seen: Starting") as raised:
        task_class(task_id="t", instance_id=ID, poke_interval=0.01, timeout=0.01).execute({})
    assert str(raised.value).startswith(f"Timed out after 0.01 s waiting for DSW instance {ID} to be Running")


def test_the_longest_endpoint_hides_no_cause() -> None:
    error = Failure(status=403, code="NoPermission").error(
        description=f"GetInstanceSnapshot of snp-05cefd0be2exxxx of {ID}",
        action="GetInstanceSnapshot",
        endpoint=f"{'a' * 200}.example.com (connection {json.dumps('c' * 200)})",
        attempt="",
        changes=False,
    )
    assert all(word in str(error)[:SHOWN] for word in (ID, "access denied", "NoPermission"))
