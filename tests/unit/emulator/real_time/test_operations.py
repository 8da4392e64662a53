"""Start, stop and snapshots, as the documentation describes them."""

import re

import pytest

from airflow_provider_dsw.emulator import ManualClock
from tests.support.emulator import ABC, refused, sdk_call, send, sign, wait_for


def statuses(caller, count):
    return [caller.status() for _ in range(count)]


@pytest.mark.parametrize("status", ["Stopped", "Failed"])
def test_a_start_runs_its_timeline(emulator, caller, status):
    emulator.start_timeline = ["Creating", "Starting", "Running"]
    emulator.add_instance("dsw-abc", status)

    answer = caller.start()

    assert (answer["InstanceId"], answer["Success"]) == ("dsw-abc", True)
    assert statuses(caller, 4) == ["Creating", "Starting", "Running", "Running"]


@pytest.mark.parametrize("status", ["Running", "Starting", "Stopping", "Saving"])
def test_a_start_from_another_status_is_refused_and_changes_nothing(emulator, caller, status):
    emulator.add_instance("dsw-abc", status)

    with refused(400, "ValidationError") as raised:
        caller.start()

    assert status in raised.value.message
    assert caller.status() == status


def test_a_start_forgets_why_the_last_one_failed(emulator, caller):
    emulator.add_instance("dsw-abc", "Failed", ReasonCode="Internal Error")

    caller.start()

    assert caller.get()["ReasonCode"] == ""


def test_a_second_start_is_refused(emulator, caller):
    emulator.add_instance("dsw-abc", "Stopped")
    caller.start()

    with refused(400, "ValidationError"):
        caller.start()


def test_the_default_start_ends_running(emulator, caller):
    emulator.speed = 1000
    emulator.add_instance("dsw-abc", "Stopped")

    caller.start()

    wait_for(caller.status, "Running")


def test_after_a_start_the_old_status_may_still_be_read(emulator, caller):
    emulator.start_timeline = ["Starting", "Running"]
    emulator.stale_reads = 2
    emulator.add_instance("dsw-abc", "Failed", ReasonCode="X")

    caller.start()

    assert statuses(caller, 4) == ["Failed", "Failed", "Starting", "Running"]


@pytest.mark.parametrize("query", [{}, {"SaveImage": "false"}])
def test_a_stop_runs_its_timeline_and_saves_nothing(emulator, caller, query):
    emulator.stop_timeline = ["Stopping", "Stopped"]
    emulator.add_instance("dsw-abc")

    caller.stop(**query)

    assert statuses(caller, 3) == ["Stopping", "Stopped", "Stopped"]
    assert len(caller.get()["InstanceSnapshotList"]) == 1


def test_a_stop_that_saves_pushes_a_snapshot_before_it_stops(emulator, caller):
    emulator.snapshot_timeline = ["Committing", "Pushing", "Saved"]
    emulator.stop_timeline = ["Stopping", "Stopped"]
    emulator.add_instance("dsw-abc")

    caller.stop(SaveImage="true")
    seen = [(fields["Status"], fields["LatestSnapshot"]["Status"]) for fields in (caller.get() for _ in range(5))]

    assert seen == [
        ("Saving", "Committing"),
        ("Saving", "Pushing"),
        ("Saved", "Saved"),
        ("Stopping", "Saved"),
        ("Stopped", "Saved"),
    ]


@pytest.mark.parametrize(
    ("status", "query"),
    [
        ("Stopped", {}),
        ("Stopping", {}),
        ("Starting", {"SaveImage": "true"}),
        ("Running", {"SaveImage": "maybe"}),
    ],
)
def test_a_stop_that_is_not_allowed_is_refused(emulator, caller, status, query):
    emulator.add_instance("dsw-abc", status)

    with refused(400, "ValidationError"):
        caller.stop(**query)


def test_a_snapshot_is_committed_pushed_and_saved(emulator, caller):
    emulator.snapshot_timeline = ["Committing", "Pushing", "Saved"]
    emulator.add_instance("dsw-abc")

    created = caller.create_snapshot(Labels=[{"Key": "a", "Value": "b"}], ExcludePaths=["/tmp"])
    seen = [(fields["Status"], fields["LatestSnapshot"]["Status"]) for fields in (caller.get() for _ in range(4))]

    assert re.fullmatch(r"snp-\w+", created["SnapshotId"])
    assert seen == [("Saving", "Committing"), ("Saving", "Pushing"), ("Saved", "Saved"), ("Running", "Saved")]
    fields = caller.get()
    assert [item["Status"] for item in fields["InstanceSnapshotList"]] == ["Saved", "Saved"]
    latest = fields["LatestSnapshot"]
    assert (latest["ImageName"], latest["ImageUrl"]) == ("model-1", "registry.example.com/team/model:1")
    assert latest["GmtCreateTime"] > "2026"
    detail = caller.get_snapshot(created["SnapshotId"])
    assert {
        "SnapshotId": created["SnapshotId"],
        "SnapshotName": "model-1",
        "InstanceId": "dsw-abc",
        "ImageId": latest["ImageId"],
        "ImageUrl": latest["ImageUrl"],
        "Status": "Saved",
        "Labels": [{"Key": "a", "Value": "b"}],
        "ExcludePaths": ["/tmp"],
        "ReasonCode": "",
    }.items() <= detail.items()


def test_a_snapshot_by_the_clock_ends_saved_and_the_instance_running(emulator, caller):
    emulator.clock = clock = ManualClock()
    emulator.add_instance("dsw-abc")

    snapshot_id = caller.create_snapshot()["SnapshotId"]

    assert caller.status() == "Saving"
    clock.advance(3600)
    assert caller.get_snapshot(snapshot_id)["Status"] == "Saved"
    assert caller.status() == "Running"


def test_a_snapshot_that_fails_shows_it_on_the_instance_too(emulator, caller):
    emulator.snapshot_timeline = ["Pushing", "Failed"]
    emulator.add_instance("dsw-abc")

    snapshot_id = caller.create_snapshot()["SnapshotId"]
    seen = [(fields["Status"], fields["LatestSnapshot"]["Status"]) for fields in (caller.get() for _ in range(3))]

    assert seen == [("Saving", "Pushing"), ("SaveFailed", "Failed"), ("Running", "Failed")]
    assert caller.get_snapshot(snapshot_id)["ReasonCode"] == "InternalError"


@pytest.mark.parametrize(
    "body",
    [
        {"SnapshotName": "With_Capitals"},
        {"SnapshotName": None},
        {"ImageUrl": ""},
        {"ImageUrl": None},
        {"Overwrite": "yes"},
        {"Labels": {"a": "b"}},
        {"ExcludePaths": "/tmp"},
    ],
)
def test_a_snapshot_with_a_wrong_parameter_is_refused(emulator, caller, body):
    emulator.add_instance("dsw-abc")

    with refused(400, "ValidationError"):
        caller.create_snapshot(**body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(emulator, body):
    emulator.add_instance("dsw-abc")
    request = {"path": f"{ABC}/snapshots", "method": "POST", "body": body}

    answer = send(emulator, sign(emulator, "CreateInstanceSnapshot", **request), **request)

    assert (answer.status, answer.code) == (400, "ValidationError")


@pytest.mark.parametrize("status", ["Stopped", "Starting", "Saving"])
def test_a_snapshot_needs_a_running_instance(emulator, caller, status):
    emulator.add_instance("dsw-abc", status)

    with refused(400, "ValidationError"):
        caller.create_snapshot()


def test_a_snapshot_name_is_taken_unless_it_may_be_overwritten(emulator, caller):
    emulator.snapshot_timeline = ["Saved"]
    emulator.add_instance("dsw-abc")
    first = caller.create_snapshot()["SnapshotId"]
    assert statuses(caller, 2) == ["Saved", "Running"]

    with refused(400, "ValidationError"):
        caller.create_snapshot()
    second = caller.create_snapshot(Overwrite=True)["SnapshotId"]

    assert caller.get_snapshot(second)["SnapshotName"] == "model-1"
    with refused(404, "InternalError"):
        caller.get_snapshot(first)


def test_an_added_snapshot_is_pushing_and_the_latest(emulator, caller):
    emulator.add_instance("dsw-abc")

    snapshot_id = emulator.add_snapshot("dsw-abc", image_id="image-1", created="2026-01-01T00:00:00Z")

    latest = caller.get()["LatestSnapshot"]
    assert (latest["Status"], latest["ImageId"]) == ("Pushing", "image-1")
    assert (latest["GmtCreateTime"], latest["GmtModifiedTime"]) == ("2026-01-01T00:00:00Z",) * 2
    assert caller.get_snapshot(snapshot_id)["Status"] == "Pushing"


def test_an_added_snapshot_need_not_be_the_latest(emulator, caller):
    emulator.add_instance("dsw-abc")

    emulator.add_snapshot("dsw-abc", "snp-1", image_name="other", latest=False)

    fields = caller.get()
    assert fields["LatestSnapshot"]["ImageName"] != "other"
    assert [item["ImageName"] for item in fields["InstanceSnapshotList"]][1:] == ["other"]


def test_an_added_snapshot_moves_by_poll_of_either_operation(emulator, caller):
    emulator.add_instance("dsw-abc")
    emulator.add_snapshot("dsw-abc", "snp-1", per_poll=["Committing", "Pushing", "Saved"])

    assert caller.get()["LatestSnapshot"]["Status"] == "Committing"
    assert caller.get_snapshot("snp-1")["Status"] == "Pushing"
    assert caller.get()["LatestSnapshot"]["Status"] == "Saved"


def test_a_snapshot_may_be_changed_and_fail_with_a_reason(emulator, caller):
    emulator.add_instance("dsw-abc")
    emulator.add_snapshot("dsw-abc", "snp-1", reason_code="DiskFull", reason_message="no space")
    assert caller.get()["LatestSnapshot"]["ReasonCode"] == ""

    emulator.set_snapshot("dsw-abc", "snp-1", "Failed")

    for shown in (caller.get()["LatestSnapshot"], caller.get_snapshot("snp-1")):
        assert (shown["Status"], shown["ReasonCode"], shown["ReasonMessage"]) == (
            "Failed",
            "DiskFull",
            "no space",
        )


def test_changing_a_snapshot_that_is_not_there_says_so(emulator):
    emulator.add_instance("dsw-abc")

    with pytest.raises(KeyError, match="snp-none"):
        emulator.set_snapshot("dsw-abc", "snp-none", "Saved")


def test_a_snapshot_that_does_not_exist_is_404(emulator, caller):
    emulator.add_instance("dsw-abc")

    with refused(404, "InternalError"):
        caller.get_snapshot("snp-none")


def test_snapshots_are_listed_with_their_ids(emulator, caller):
    emulator.add_instance("dsw-abc", old_snapshot=False)
    emulator.add_snapshot("dsw-abc", "snp-1", created="2026-01-01T00:00:00Z")
    emulator.add_snapshot("dsw-abc", "snp-2", created="2026-01-02T00:00:00Z")

    answer = caller.list_snapshots(SortBy="GmtCreateTime", Order="DESC", PageSize="1")

    assert answer["TotalCount"] == 2
    assert [item["SnapshotId"] for item in answer["Snapshots"]] == ["snp-2"]


@pytest.mark.parametrize(
    ("action", "path", "method"),
    [
        ("StartInstance", "start", "PUT"),
        ("StopInstance", "stop", "PUT"),
        ("CreateInstanceSnapshot", "snapshots", "POST"),
        ("ListInstanceSnapshot", "snapshots", "GET"),
        ("GetInstanceSnapshot", "snapshots/snp-1", "GET"),
    ],
)
def test_each_operation_on_a_missing_instance_is_404(caller, action, path, method):
    with refused(404, "InternalError"):
        sdk_call(caller.client, action, f"{ABC}/{path}", method, body={} if method == "POST" else None)
