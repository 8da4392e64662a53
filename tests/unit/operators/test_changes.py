"""Start, stop and snapshot, in the worker and deferred: one table, against the emulator with the real SDK."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.definitions.asset import AssetRef
from airflow.sdk.execution_time import comms

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import (
    DswOperationFailedError,
    DswTimeoutError,
    DswTransientError,
    DswWaitArgumentError,
    DswWaitFailedError,
)
from airflow_provider_dsw.operators.dsw import (
    DswCreateSnapshotOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.version_compat import AirflowFailException
from tests.support.task_runs import context, run
from tests.unit.operators.conftest import ID, Make

IMAGE = "registry.example.com/team/model:2"
SAVED = {"snapshot_name": "model-2", "image_url": IMAGE}


@pytest.fixture
def make(make: Make) -> Make:
    """As elsewhere; what a snapshot needs is given."""

    def made(operator: type, **arguments: Any) -> Any:
        return make(operator, **({**SAVED, **arguments} if operator is DswCreateSnapshotOperator else arguments))

    return made


# What is done


@pytest.mark.parametrize("status", ["Stopped", "Failed"])
@pytest.mark.parametrize("stale_reads", [0, 3])
def test_an_instance_is_started(make: Make, emulator: DswEmulator, status: str, stale_reads: int) -> None:
    emulator.add_instance(ID, status)
    emulator.stale_reads = stale_reads

    details = run(make(DswStartInstanceOperator))

    assert (details["InstanceId"], details["Status"]) == (ID, "Running")
    assert "EnvironmentVariables" not in details
    assert len(emulator.calls("StartInstance")) == 1


@pytest.mark.parametrize("stale_reads", [0, 3])
def test_an_instance_is_stopped(make: Make, emulator: DswEmulator, stale_reads: int) -> None:
    emulator.add_instance(ID)
    emulator.stale_reads = stale_reads

    assert run(make(DswStopInstanceOperator))["Status"] == "Stopped"
    assert [request.query["SaveImage"] for request in emulator.calls("StopInstance")] == ["false"]


def test_an_instance_is_saved_and_then_stopped(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)

    assert run(make(DswStopInstanceOperator, save_image=True))["Status"] == "Stopped"
    assert [request.query["SaveImage"] for request in emulator.calls("StopInstance")] == ["true"]
    assert {"Saving", "Saved", "Stopping"} <= {request.shown for request in emulator.calls("GetInstance")}


def test_an_image_is_saved_and_an_older_one_is_not_taken_for_it(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)  # it has a finished snapshot of 2021
    old = emulator.add_snapshot(ID, status="Saved", snapshot_name="model-1", image_url=IMAGE)
    operator = make(DswCreateSnapshotOperator, labels={"team": "a"}, exclude_paths=["/tmp"], description="nightly")

    snapshot = run(operator)

    assert (snapshot["Status"], snapshot["ImageUrl"], snapshot["InstanceId"]) == ("Saved", IMAGE, ID)
    assert snapshot["SnapshotId"] != old
    assert snapshot["ImageId"].startswith("image-")
    (request,) = emulator.calls("CreateInstanceSnapshot")
    body = json.loads(request.body)
    assert (body["SnapshotDescription"], body["ExcludePaths"]) == ("nightly", ["/tmp"])
    assert {"Key": "team", "Value": "a"} in body["Labels"]


# What was so already


@pytest.mark.parametrize(
    ("operator", "status", "at_the_end"),
    [
        (DswStartInstanceOperator, "Running", "Running"),
        (DswStopInstanceOperator, "Stopped", "Stopped"),
        *((DswStartInstanceOperator, status, "Running") for status in ("Creating", "Queuing", "EnvPreparing")),
        (DswStopInstanceOperator, "Stopping", "Stopped"),
    ],
)
def test_what_is_so_or_on_its_way_is_not_asked_for(
    make: Make, emulator: DswEmulator, operator: type, status: str, at_the_end: str
) -> None:
    emulator.add_instance(ID, per_poll=[status, status, at_the_end])

    assert run(make(operator))["Status"] == at_the_end
    assert {request.action for request in emulator.requests} == {"GetInstance"}


@pytest.mark.parametrize("save_image", [False, True])
def test_an_instance_that_is_being_saved_is_stopped_after_that(
    make: Make, emulator: DswEmulator, save_image: bool
) -> None:
    emulator.add_instance(ID, per_poll=["Saving", "Saving", "Saved", "Running"])

    assert run(make(DswStopInstanceOperator, save_image=save_image))["Status"] == "Stopped"
    assert [request.status for request in emulator.calls("StopInstance")] == [200]


# What fails


@pytest.mark.parametrize("stale_reads", [0, 2])
def test_a_start_that_fails_says_why(make: Make, emulator: DswEmulator, stale_reads: int) -> None:
    # As if all of it happened within a second: the times tell nothing.
    emulator.add_instance(ID, "Failed", GmtModifiedTime="2026-01-31T08:00:00Z")
    emulator.stale_reads = stale_reads
    emulator.start_timeline = ["Queuing", ("Failed", {"ReasonCode": "NoStock", "ReasonMessage": "No GPU is left"})]

    with pytest.raises(DswOperationFailedError, match="No GPU is left") as raised:
        run(make(DswStartInstanceOperator))

    assert not isinstance(raised.value, AirflowFailException)  # which would not be retried
    assert raised.value.code == "NoStock"


def test_a_failure_between_two_polls_is_told_from_the_old_one_by_its_time(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Failed", GmtModifiedTime="2026-01-31T08:00:00Z")
    emulator.stale_reads = 2
    failed = {"ReasonMessage": "ImagePullBackOff", "GmtModifiedTime": "2026-01-31T08:10:00Z"}
    emulator.start_timeline = [("Failed", failed)]

    with pytest.raises(DswOperationFailedError, match="ImagePullBackOff"):
        run(make(DswStartInstanceOperator))


@pytest.mark.parametrize(
    ("operator", "status", "action"),
    [
        (DswStartInstanceOperator, "Stopped", "StartInstance"),
        (DswStopInstanceOperator, "Running", "StopInstance"),
        (DswCreateSnapshotOperator, "Running", "CreateInstanceSnapshot"),
    ],
)
def test_a_refusal_fails_at_once_in_the_service_s_own_words(
    make: Make, emulator: DswEmulator, operator: type, status: str, action: str
) -> None:
    emulator.add_instance(ID, status)
    emulator.fault(action, status=400, code="QuotaExceeded", message="No more than 4 GPUs")

    with pytest.raises(DswOperationFailedError, match="No more than 4 GPUs") as raised:
        run(make(operator, poke_interval=60))

    assert (raised.value.code, raised.value.message) == ("QuotaExceeded", "No more than 4 GPUs")
    assert raised.value.request_id
    assert len(emulator.calls(action)) == 1


@pytest.mark.parametrize(
    ("operator", "status"),
    [
        (DswStopInstanceOperator, "Failed"),
        (DswCreateSnapshotOperator, "Saving"),
    ],
)
def test_a_wrong_status_is_a_refusal(make: Make, emulator: DswEmulator, operator: type, status: str) -> None:
    emulator.add_instance(ID, status)

    with pytest.raises(DswOperationFailedError, match=f"is {status} and cannot be"):
        run(make(operator))


def test_a_save_before_a_stop_may_fail(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.snapshot_timeline = ["Pushing", "Failed"]

    with pytest.raises(DswOperationFailedError, match="SaveFailed"):
        run(make(DswStopInstanceOperator, save_image=True))


def test_a_push_that_fails_fails_the_task(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.snapshot_timeline = ["Pushing", ("Failed", {"ReasonMessage": "disk full"})]

    with pytest.raises(DswOperationFailedError, match="disk full"):
        run(make(DswCreateSnapshotOperator))


@pytest.mark.parametrize("operator", [DswStartInstanceOperator, DswStopInstanceOperator, DswCreateSnapshotOperator])
def test_without_an_answer_nothing_is_asked_for_and_retries_apply(
    make: Make, emulator: DswEmulator, operator: type
) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.fault("GetInstance", times=4, status=503)

    with pytest.raises(DswTransientError):
        run(make(operator))

    assert {request.action for request in emulator.requests} == {"GetInstance"}


def test_a_later_transient_error_does_not_end_the_wait(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")

    def fault_after_request(request: Any) -> None:
        if request.action == "StartInstance":
            emulator.fault("GetInstance", times=6, status=503)

    emulator.on_request = fault_after_request

    assert run(make(DswStartInstanceOperator))["Status"] == "Running"


@pytest.mark.parametrize(
    ("operator", "status"), [(DswStartInstanceOperator, "Stopped"), (DswStopInstanceOperator, "Running")]
)
def test_the_timeout_counts_from_the_request(make: Make, emulator: DswEmulator, operator: type, status: str) -> None:
    emulator.add_instance(ID, status)
    emulator.start_timeline = emulator.stop_timeline = ["Queuing"]
    began = time.monotonic()

    with pytest.raises(DswTimeoutError, match="Queuing"):
        run(make(operator, timeout=timedelta(seconds=0.3)))

    assert 0.3 <= time.monotonic() - began < 60


# What is lost on the way


@pytest.mark.parametrize("stale_reads", [0, 2])
@pytest.mark.parametrize(
    ("operator", "status", "action"),
    [
        (DswStartInstanceOperator, "Stopped", "StartInstance"),
        (DswStopInstanceOperator, "Running", "StopInstance"),
        (DswCreateSnapshotOperator, "Running", "CreateInstanceSnapshot"),
    ],
)
def test_a_lost_answer_is_found_in_the_state(
    make: Make, emulator: DswEmulator, operator: type, status: str, action: str, stale_reads: int
) -> None:
    emulator.add_instance(ID, status)
    emulator.stale_reads = stale_reads
    emulator.fault(action, drop=True, performed=True)

    assert run(make(operator))["InstanceId"] == ID
    assert [request.status for request in emulator.calls(action)] == [None]  # the service is asked before a repetition


def test_all_answers_lost_are_found_in_the_state(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.fault("StartInstance", times=4, drop=True, performed=True)

    assert run(make(DswStartInstanceOperator))["Status"] == "Running"


# What is not waited for


def test_without_waiting_start_and_stop_return_the_details_after_the_request(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")

    assert run(make(DswStartInstanceOperator, wait_for_completion=False))["Status"] == "Creating"
    emulator.set_instance(ID, "Running")
    assert run(make(DswStopInstanceOperator, wait_for_completion=False))["Status"] == "Stopping"


def test_without_waiting_a_snapshot_returns_what_is_known(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)

    found = run(make(DswCreateSnapshotOperator, wait_for_completion=False))

    assert f"{ID}/{found.pop('SnapshotId')}" in emulator.statuses()
    assert found == {"InstanceId": ID, "SnapshotName": "model-2", "ImageUrl": IMAGE}


# Whose snapshot it is


def test_a_retry_finds_its_own_snapshot_and_nobody_else_s(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)

    def save(of_task: Any) -> str:
        snapshot_id: str = run(make(DswCreateSnapshotOperator, overwrite=True), of_task)["SnapshotId"]
        return snapshot_id

    first = save(context())
    others = [
        context(try_number=2, max_tries=3),  # cleared after its first try
        context(map_index=1),
        context(task_id="other"),
        context(run_id="another"),
        context(dag_id="other"),
        {**context(), "dag_run": None},  # a run that had this id once, and was deleted
    ]

    assert save(context(try_number=2)) == first
    assert len(emulator.calls("CreateInstanceSnapshot")) == 1
    made = []
    for of_task in others:
        emulator.set_instance(ID, "Running")
        made.append(save(of_task))
    assert len({first, *made}) == 7


def test_a_retry_that_does_not_wait_tells_the_url_of_the_snapshot_that_it_finds(
    make: Make, emulator: DswEmulator
) -> None:
    emulator.add_instance(ID)
    first = run(make(DswCreateSnapshotOperator, image_url="registry/a:try-1", wait_for_completion=False))

    again = make(DswCreateSnapshotOperator, image_url="registry/a:try-2", wait_for_completion=False)

    assert run(again, context(try_number=2)) == first


def test_only_a_retry_has_to_be_allowed_to_list_snapshots(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.fault("ListInstanceSnapshot", times=2, status=403, code="NoPermission")

    assert run(make(DswCreateSnapshotOperator), context(try_number=1))["Status"] == "Saved"
    with pytest.raises(DswWaitFailedError, match="paidsw:ListInstanceSnapshot"):
        run(make(DswCreateSnapshotOperator), context(try_number=2))
    assert len(emulator.calls("CreateInstanceSnapshot")) == 1


@pytest.mark.parametrize(("snapshot_name", "overwrite"), [(None, None), ("model-2", True)])
def test_a_retry_of_a_failed_push_asks_for_a_new_one(
    make: Make, emulator: DswEmulator, snapshot_name: str | None, overwrite: bool | None
) -> None:
    emulator.add_instance(ID)
    emulator.snapshot_timeline = ["Pushing", "Failed"]
    given = {"snapshot_name": snapshot_name, "overwrite": overwrite}
    with pytest.raises(DswOperationFailedError):
        run(make(DswCreateSnapshotOperator, **given))
    emulator.set_instance(ID, "Running")
    emulator.snapshot_timeline = ["Pushing", "Saved"]

    assert run(make(DswCreateSnapshotOperator, **given), context(try_number=2))["Status"] == "Saved"

    assert [request.status for request in emulator.calls("CreateInstanceSnapshot")] == [200, 200]


@pytest.mark.parametrize(
    "outlet",
    [Asset("model-image"), Asset.ref(name="model-image"), Asset.ref(uri="model-image"), AssetAlias("model-image")],
    ids=lambda outlet: type(outlet).__name__,
)
def test_an_asset_learns_its_image(
    make: Make, emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch, outlet: Asset | AssetAlias | AssetRef
) -> None:
    def looked_up(message: Any) -> Any:
        given: dict[str, Any] = {"name": "model-image", "uri": "model-image", "group": "asset"}
        return comms.AssetResult(**given) if type(message).__name__ in ("GetAssetByName", "GetAssetByUri") else None

    supervisor = SimpleNamespace(send=looked_up)
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
    emulator.add_instance(ID)
    of_task = context()

    snapshot = run(make(DswCreateSnapshotOperator, outlets=[outlet]), of_task)

    names = ("InstanceId", "SnapshotId", "ImageId", "ImageUrl")
    accessors = of_task["outlet_events"]
    assert len(accessors) == 1
    assert accessors[outlet].extra == {name: snapshot[name] for name in names}


# What is given


@pytest.mark.parametrize(
    ("operator", "arguments", "says"),
    [
        (DswStartInstanceOperator, {"instance_id": ""}, "instance_id"),
        (DswStopInstanceOperator, {"instance_id": "a/../b"}, "instance_id"),
        (DswStartInstanceOperator, {"poke_interval": 0}, "poke_interval"),
        (DswStartInstanceOperator, {"timeout": "1h"}, "timeout"),
        (DswCreateSnapshotOperator, {"snapshot_name": "Model_2"}, "snapshot_name"),
        (DswCreateSnapshotOperator, {"image_url": " "}, "image_url"),
    ],
)
def test_bad_input_is_refused_where_the_dag_is_parsed(operator: type, arguments: dict[str, Any], says: str) -> None:
    given = SAVED if operator is DswCreateSnapshotOperator else {}
    with pytest.raises(ValueError, match=says):
        operator(**{"task_id": "t", "instance_id": ID, **given, **arguments})


@pytest.mark.parametrize(
    ("operator", "name"), [(DswStopInstanceOperator, "instance_id"), (DswCreateSnapshotOperator, "snapshot_name")]
)
def test_what_renders_to_nothing_fails_before_any_request(
    make: Make, emulator: DswEmulator, operator: type, name: str
) -> None:
    task = make(operator, **{name: "{{ params.given }}"})
    assert name in task.template_fields
    setattr(task, name, "")

    with pytest.raises(DswWaitArgumentError, match=name):
        task.execute(context())

    assert emulator.requests == []


def test_deferrable_follows_airflow_s_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not DswStartInstanceOperator(task_id="t", instance_id=ID).deferrable
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert DswStopInstanceOperator(task_id="t", instance_id=ID).deferrable
