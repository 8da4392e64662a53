"""What GetInstance shows: the default instance, what a test overrides, and the way through the statuses."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_dsw.emulator import SAMPLE_SECRET, DswEmulator, ManualClock
from tests.support.emulator import ROOT, Caller, refused, sdk_call, wait_for

# Every top-level field that the API page documents for GetInstance's answer.
DOCUMENTED = [
    "WorkspaceId",
    "WorkspaceName",
    "InstanceId",
    "InstanceName",
    "EcsSpec",
    "Status",
    "InstanceUrl",
    "JupyterlabUrl",
    "WebIDEUrl",
    "TerminalUrl",
    "AccumulatedRunningTimeInMs",
    "ImageId",
    "ImageUrl",
    "ImageName",
    "GmtCreateTime",
    "GmtModifiedTime",
    "UserId",
    "UserName",
    "Datasets",
    "UserVpc",
    "InstanceShutdownTimer",
    "ReasonCode",
    "ReasonMessage",
    "PaymentType",
    "LatestSnapshot",
    "AcceleratorType",
    "Accessibility",
    "EnvironmentVariables",
    "ResourceId",
    "ResourceName",
    "Priority",
    "RequestedResource",
    "Labels",
    "IdleInstanceCuller",
    "InstanceSnapshotList",
    "CloudDisks",
    "WorkspaceSource",
    "RequestId",
    "Success",
    "Message",
    "Code",
    "HttpStatusCode",
    "Driver",
    "NodeErrorRecovery",
    "CredentialConfig",
    "Affinity",
    "ImageAuth",
    "Tags",
    "DynamicMount",
    "ProxyPath",
    "UserCommandId",
    "ServiceConfig",
    "PodIps",
    "MigrationOptions",
    "AccessRestrictionRules",
    "DockerConfig",
    "TenantId",
]
SECRET_FIELDS = (
    "CredentialConfig",
    "EnvironmentVariables",
    "ServiceConfig",
    ("UserVpc", "ForwardInfos"),
    ("Datasets", 0, "Options"),
)


def test_the_default_instance_has_every_documented_field_in_the_documented_order(emulator, caller):
    emulator.add_instance("dsw-abc")

    assert list(caller.get()) == DOCUMENTED


def test_the_default_instance_is_running_and_says_success(emulator, caller):
    emulator.add_instance("dsw-abc")

    fields = caller.get()

    assert fields["Status"] == "Running"
    assert (fields["ReasonCode"], fields["ReasonMessage"]) == ("", "")
    assert (fields["Success"], fields["Code"]) == (True, None)
    assert fields["UserName"] == "测试用户"
    assert (fields["InstanceShutdownTimer"], fields["IdleInstanceCuller"]) == (None, None)


def test_each_answer_has_a_request_id_of_its_own(emulator, caller):
    emulator.add_instance("dsw-abc")

    ids = {caller.get()["RequestId"] for _ in range(3)}

    assert len(ids) == 3
    assert all(re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", value) for value in ids)


@pytest.mark.parametrize("path", SECRET_FIELDS)
def test_each_secret_field_holds_a_secret_to_search_for(emulator, caller, path):
    emulator.add_instance("dsw-abc")

    found = caller.get()
    for step in (path,) if isinstance(path, str) else path:
        found = found[step]

    assert SAMPLE_SECRET in json.dumps(found)


def test_the_number_in_the_urls_is_not_the_id(emulator, caller):
    emulator.add_instance("dsw-730abc")

    fields = caller.get("dsw-730abc")

    for name in ("InstanceUrl", "JupyterlabUrl", "WebIDEUrl", "TerminalUrl"):
        assert fields[name].startswith("https://")
        assert "730abc" not in fields[name]


def test_the_latest_snapshot_is_an_old_finished_one(emulator, caller):
    emulator.add_instance("dsw-abc")

    latest = caller.get()["LatestSnapshot"]

    assert (latest["Status"], latest["GmtCreateTime"]) == ("Saved", "2021-01-12T14:36:01Z")
    assert "SnapshotId" not in latest


def test_an_instance_may_have_no_snapshot_yet(emulator, caller):
    emulator.add_instance("dsw-abc", old_snapshot=False)

    fields = caller.get()

    assert (fields["LatestSnapshot"], fields["InstanceSnapshotList"]) == (None, [])


def test_fields_override_pass_through_and_are_left_out(emulator, caller):
    emulator.add_instance("dsw-abc", InstanceName="mine", JupyterlabUrl=None, NewField={"a": [1]}, omit=["TerminalUrl"])

    fields = caller.get()

    assert (fields["InstanceName"], fields["JupyterlabUrl"], fields["NewField"]) == ("mine", None, {"a": [1]})
    assert "TerminalUrl" not in fields


def test_an_instance_may_answer_as_another_one(emulator, caller):
    emulator.add_instance("dsw-abc", InstanceId="dsw-xyz")

    assert caller.get()["InstanceId"] == "dsw-xyz"


@pytest.mark.parametrize("status", ["Failed", "SaveFailed"])
def test_a_failed_instance_has_a_reason(emulator, caller, status):
    emulator.add_instance("dsw-abc", status)

    assert caller.get()["ReasonCode"] == "InternalError"


def test_the_reason_of_a_failure_is_the_one_given(emulator, caller):
    emulator.add_instance("dsw-abc", "Failed", ReasonCode="Internal Error", ReasonMessage="ImagePullBackOff")

    fields = caller.get()

    assert (fields["ReasonCode"], fields["ReasonMessage"]) == ("Internal Error", "ImagePullBackOff")


def test_what_does_not_exist_is_404(emulator, caller):
    with refused(404, "InternalError"):
        caller.get("dsw-none")


def test_an_instance_that_is_removed_is_404(emulator, caller):
    emulator.add_instance("dsw-abc")
    emulator.remove_instance("dsw-abc")

    with refused(404, "InternalError"):
        caller.get()


@pytest.mark.parametrize("path", [f"{ROOT}/", f"{ROOT}//start", "/api/v2/instance/dsw-abc", "/"])
def test_a_path_that_is_not_served_is_no_action(emulator, caller, path):
    with refused(404, "InvalidAction.NotFound"):
        sdk_call(caller.client, "GetInstance", path)


def test_each_poll_is_one_step(emulator, caller):
    emulator.add_instance("dsw-abc", per_poll=["Starting", "Starting", ("Running", {"Driver": "new"})])

    seen = [(fields["Status"], fields["Driver"]) for fields in (caller.get() for _ in range(4))]

    assert seen == [("Starting", "535.54.03")] * 2 + [("Running", "new")] * 2


def test_only_answered_polls_count(emulator, caller):
    emulator.add_instance("dsw-abc", per_poll=["Starting", "Running"])
    emulator.fault(status=503)

    with refused(503, "ServiceUnavailable"):
        caller.get()
    caller.list()
    emulator.status("dsw-abc")

    assert [caller.status(), caller.status()] == ["Starting", "Running"]


def test_a_timeline_goes_by_the_clock(emulator, caller):
    begin = time.monotonic()
    emulator.add_instance("dsw-abc", timeline=[("Creating", 0.15), ("Starting", 0.15), ("Running", None)])

    wait_for(caller.status, "Running")
    assert time.monotonic() - begin >= 0.3


def test_each_step_of_a_timeline_lasts_as_long_as_it_says():
    clock = ManualClock()
    with DswEmulator(clock=clock) as emulator:
        emulator.add_instance("dsw-abc", timeline=[("Creating", 0.15), ("Starting", 0.15), ("Running", None)])
        caller = Caller(emulator)

        seen = []
        for seconds in (0, 0.149, 0.002, 0.148, 0.002):
            clock.advance(seconds)
            seen.append(caller.status())

    assert seen == ["Creating", "Creating", "Starting", "Starting", "Running"]


def test_speed_makes_timelines_faster():
    clock = ManualClock()
    with DswEmulator(speed=100, clock=clock) as emulator:
        emulator.add_instance("dsw-abc", timeline=[("Starting", 100), ("Running", 100)])
        caller = Caller(emulator)

        clock.advance(0.9)
        assert caller.status() == "Starting"
        clock.advance(0.1)
        assert caller.status() == "Running"


def test_a_step_of_a_timeline_shows_its_fields_while_it_lasts():
    clock = ManualClock()
    with DswEmulator(clock=clock) as emulator:
        emulator.add_instance(
            "dsw-abc",
            timeline=[("Starting", 10), ("Failed", 10, {"ReasonMessage": "no stock"}), ("Stopped", None)],
        )
        caller = Caller(emulator)

        seen = []
        for seconds in (0, 10, 10):
            clock.advance(seconds)
            seen.append(caller.get()["ReasonMessage"])

    assert seen == ["", "no stock", ""]


def test_an_instance_may_go_away_at_the_end(emulator, caller):
    emulator.add_instance("dsw-abc", per_poll=["Deleting", None])

    assert caller.status() == "Deleting"
    with refused(404, "InternalError"):
        caller.get()


def test_the_modification_time_is_that_of_the_last_change(emulator, caller):
    emulator.add_instance("dsw-abc", per_poll=["Starting", "Running"])
    caller.get()

    modified = datetime.strptime(caller.get()["GmtModifiedTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)

    assert abs(datetime.now(UTC) - modified) < timedelta(minutes=1)


def test_set_instance_ends_the_timeline_and_keeps_the_fields(emulator, caller):
    emulator.add_instance("dsw-abc", timeline=[("Starting", 0), ("Running", None)], InstanceName="mine")

    emulator.set_instance("dsw-abc", "Failed", ReasonCode="X")

    fields = caller.get()
    assert (fields["Status"], fields["ReasonCode"], fields["InstanceName"]) == ("Failed", "X", "mine")


def test_set_instance_changes_a_field_without_a_status(emulator, caller):
    emulator.add_instance("dsw-abc", "Stopped")
    caller.get()

    emulator.set_instance("dsw-abc", InstanceName="renamed")

    fields = caller.get()
    assert (fields["Status"], fields["InstanceName"]) == ("Stopped", "renamed")


def test_status_tells_the_status_without_a_request(emulator):
    emulator.add_instance("dsw-abc", "Queuing")

    assert emulator.status("dsw-abc") == "Queuing"
    assert emulator.status("dsw-none") is None
    assert emulator.requests == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeline": []},
        {"timeline": [("Starting", None), ("Running", None)]},
        {"timeline": [("Starting", -1), ("Running", None)]},
        {"timeline": [("Starting", "2"), ("Running", None)]},
        {"timeline": [("", 2)]},
        {"timeline": [("Starting", 2, 3)]},
        {"per_poll": [5]},
        {"status": "Running", "timeline": [("Running", None)]},
        {"timeline": [("Running", None)], "per_poll": ["Running"]},
    ],
)
def test_a_timeline_that_makes_no_sense_is_refused(emulator, wrong):
    with pytest.raises(ValueError, match=r"\w+"):
        emulator.add_instance("dsw-abc", **wrong)


@pytest.mark.parametrize("wrong", ["", None])
def test_an_instance_needs_an_id(emulator, wrong):
    with pytest.raises(ValueError, match="instance id"):
        emulator.add_instance(wrong)


def test_changing_an_instance_that_is_not_there_says_so(emulator):
    for change in (emulator.set_instance, emulator.remove_instance, emulator.add_snapshot):
        with pytest.raises(KeyError, match="dsw-none"):
            change("dsw-none")
