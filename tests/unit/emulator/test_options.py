"""Both sides of what the documentation leaves open."""

import inspect
import re

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.support.emulator import ABC, refused, sdk_call

STARTING = [("Starting", 10), ("Running", None)]
CREATED = "2021-01-12T14:36:01Z"  # when the default instance was created


def statuses(caller, count):
    return [caller.status() for _ in range(count)]


def test_an_option_is_an_argument_an_attribute_and_an_instance_s_own(caller, emulator):
    emulator.add_instance("dsw-abc")
    emulator.add_instance("dsw-own", options={"modified_time": "missing"})
    assert "GmtModifiedTime" in caller.get("dsw-abc")
    assert "GmtModifiedTime" not in caller.get("dsw-own")

    emulator.modified_time = "missing"
    emulator.set_instance("dsw-own", options={"modified_time": "status"})

    assert "GmtModifiedTime" not in caller.get("dsw-abc")
    assert "GmtModifiedTime" in caller.get("dsw-own")
    assert DswEmulator(modified_time="missing").modified_time == "missing"


@pytest.mark.parametrize("wrong", [{"modified_time": "Status"}, {"latest_snapshot": None}])
def test_a_value_that_is_none_of_an_option_s_is_refused(emulator, wrong):
    for attempt in (
        lambda: DswEmulator(**wrong),
        lambda: emulator.add_instance("dsw-abc", options=wrong),
        lambda: setattr(emulator, *next(iter(wrong.items()))),
    ):
        with pytest.raises(ValueError, match="is one of"):
            attempt()


def test_an_option_that_does_not_exist_is_refused(emulator):
    for attempt in (lambda: DswEmulator(odd=1), lambda: emulator.add_instance("dsw-abc", options={"odd": 1})):
        with pytest.raises(TypeError, match="odd"):
            attempt()


@pytest.mark.parametrize("meaning", ["status", "always", "frozen", "missing"])
def test_what_the_modification_time_means(emulator, caller, clock, meaning):
    emulator.modified_time = meaning
    emulator.start_timeline = STARTING
    emulator.add_instance("dsw-abc", "Stopped")
    caller.start()
    clock.advance(5)
    starting = [caller.get().get("GmtModifiedTime")]
    clock.advance(3)
    starting.append(caller.get().get("GmtModifiedTime"))
    clock.advance(5)
    fields = caller.get()
    running = fields.get("GmtModifiedTime")

    assert fields["Status"] == "Running"
    if meaning == "status":
        assert starting[0] == starting[1] != running
    elif meaning == "always":
        assert len({*starting, running}) == 3
    else:
        assert {*starting, running} == ({None} if meaning == "missing" else {CREATED})


def test_a_failure_may_have_no_reason(emulator, caller):
    emulator.add_instance("dsw-abc", "Failed", options={"failure_reasons": False})

    fields = caller.get()

    assert (fields["ReasonCode"], fields["ReasonMessage"]) == ("", "")


# Replicas


def test_reads_go_back_and_forth_between_the_present_and_the_state_before_a_start(emulator, caller):
    emulator.start_timeline = ["Creating", "Starting", "Running"]
    emulator.stale_reads = [0, 99, 0, 99, 0, 99]
    emulator.add_instance("dsw-abc", "Failed", ReasonMessage="before")

    caller.start()
    seen = [(fields["Status"], fields["ReasonMessage"]) for fields in (caller.get() for _ in range(7))]

    before = ("Failed", "before")
    assert seen == [("Creating", ""), before, ("Starting", ""), before, ("Running", ""), before, ("Running", "")]


def test_a_replica_may_be_a_state_or_two_behind(emulator, caller):
    emulator.add_instance("dsw-abc", "Stopped")

    emulator.set_instance("dsw-abc", per_poll=["Creating", "Starting", "Running"], stale_reads=[0, 0, 1, 0, 1, 2, 0])

    assert statuses(caller, 8) == [
        "Creating",
        "Starting",
        "Creating",
        "Running",
        "Starting",
        "Creating",
        "Running",
        "Running",
    ]


def test_an_old_state_is_as_it_was_also_in_its_times_and_snapshots(emulator, caller, clock):
    emulator.stale_reads = 1
    emulator.add_instance("dsw-abc")
    before = caller.get()
    clock.advance(60)

    caller.create_snapshot()
    stale, present = caller.get(), caller.get()

    for fields in (before, stale, present):
        del fields["RequestId"]
    assert stale == before
    assert len(present["InstanceSnapshotList"]) == 2


def test_a_replica_that_is_behind_still_shows_a_snapshot_that_was_deleted(emulator, caller):
    emulator.add_instance("dsw-abc", old_snapshot=False)
    snapshot_id = emulator.add_snapshot("dsw-abc", status="Saved")
    emulator.stale_reads = 1

    sdk_call(caller.client, "DeleteInstanceSnapshot", f"{ABC}/snapshots/{snapshot_id}", "DELETE")

    assert [len(caller.get()["InstanceSnapshotList"]) for _ in range(2)] == [1, 0]


def test_an_answer_may_be_computed_long_before_it_is_sent(emulator, caller, in_background):
    emulator.add_instance("dsw-abc", "Failed")
    fault = emulator.fault("GetInstance", hold=True)
    late = in_background(caller.status, until=lambda: emulator.requests)
    caller.start()

    present = caller.status()
    fault.release()

    assert (present, late.result()) == ("Creating", "Failed")


def test_a_new_snapshot_may_appear_late_in_lists(emulator, caller):
    emulator.late_lists = 2
    emulator.add_instance("dsw-abc", old_snapshot=False)
    snapshot_id = caller.create_snapshot()["SnapshotId"]

    seen = [caller.list_snapshots()["TotalCount"] for _ in range(3)]

    assert seen == [0, 0, 1]
    assert caller.get_snapshot(snapshot_id)["SnapshotName"] == "model-1"


# Starts and stops


def test_a_start_may_fail_once(emulator, caller):
    emulator.start_timeline = ["Running"]
    fails = [["Queuing", "Failed"]]
    emulator.add_instance("dsw-abc", "Stopped", options={"next_starts": fails})

    caller.start()
    first = statuses(caller, 2)
    caller.start()

    assert [*first, caller.status()] == ["Queuing", "Failed", "Running"]
    assert fails == [["Queuing", "Failed"]]


@pytest.mark.parametrize("own", [True, False])
def test_there_may_be_no_stock_for_the_first_starts(emulator, caller, own):
    emulator.add_instance("dsw-abc", "Stopped", options={"no_stock": 2} if own else None)
    if not own:
        emulator.no_stock = 2
    for _ in range(2):
        with refused(400, "OperationDenied.NoStock"):
            caller.start()
        assert caller.status() == "Stopped"

    caller.start()

    assert caller.status() == "Creating"


def test_a_stop_takes_its_time(emulator, caller, clock):
    emulator.stop_timeline = [("Stopping", 60), ("Stopped", None)]
    emulator.add_instance("dsw-abc")
    caller.stop()
    clock.advance(59)

    with refused(400, "ValidationError"):
        caller.start()
    clock.advance(1)
    caller.start()


# Snapshots


@pytest.mark.parametrize(
    ("options", "body", "accepted"),
    [
        ({}, {"ImageUrl": "other"}, False),
        ({"unique_names": False}, {"ImageUrl": "other"}, True),
        ({}, {"SnapshotName": "other"}, True),
        ({"unique_image_urls": True}, {"SnapshotName": "other"}, False),
        ({"unique_names": False}, {}, True),
    ],
)
def test_whether_a_name_or_an_image_url_may_be_taken_twice(emulator, caller, options, body, accepted):
    emulator.snapshot_timeline, emulator.saved_seconds = ["Saved"], 0
    emulator.add_instance("dsw-abc", old_snapshot=False, options=options)
    caller.create_snapshot()

    if not accepted:
        with refused(400, "ValidationError") as raised:
            caller.create_snapshot(**body)
        assert "exists already" in raised.value.message
        caller.create_snapshot(**body, Overwrite=True)
        assert caller.list_snapshots()["TotalCount"] == 1
    else:
        caller.create_snapshot(**body)
        assert caller.list_snapshots()["TotalCount"] == 2


@pytest.mark.parametrize("accepted", [False, True])
def test_whether_a_second_snapshot_may_be_created_while_one_is_in_progress(emulator, caller, accepted):
    emulator.concurrent_snapshots = accepted
    emulator.add_instance("dsw-abc", old_snapshot=False)
    caller.create_snapshot(SnapshotName="first")

    if not accepted:
        with refused(400, "ValidationError"):
            caller.create_snapshot(SnapshotName="second")
    else:
        caller.create_snapshot(SnapshotName="second")
    assert len(caller.get()["InstanceSnapshotList"]) == 1 + accepted


@pytest.mark.parametrize("meaning", ["created", "modified"])
def test_an_older_snapshot_may_be_finished_after_a_newer_one(emulator, caller, clock, meaning):
    emulator.concurrent_snapshots, emulator.latest_snapshot = True, meaning
    emulator.next_snapshots = [[("Pushing", 30), ("Saved", None)], [("Pushing", 10), ("Failed", None)]]
    emulator.add_instance("dsw-abc")
    older = caller.create_snapshot(SnapshotName="older")["SnapshotId"]
    newer = caller.create_snapshot(SnapshotName="newer")["SnapshotId"]
    assert caller.get_snapshot(older)["GmtCreateTime"] == caller.get_snapshot(newer)["GmtCreateTime"]

    seen = []
    for seconds in (9, 2, 18, 2):
        clock.advance(seconds)
        both = [caller.get_snapshot(snapshot_id)["Status"] for snapshot_id in (older, newer)]
        seen.append((*both, caller.get()["LatestSnapshot"]["ImageName"]))

    last = "older" if meaning == "modified" else "newer"
    assert seen[1:] == [("Pushing", "Failed", "newer"), ("Pushing", "Failed", "newer"), ("Saved", "Failed", last)]
    assert caller.status() == "Saved"


def test_two_snapshots_of_one_second_are_two(emulator, caller):
    emulator.add_instance("dsw-abc", old_snapshot=False)
    for snapshot_id, path in (("snp-1", ["Pushing", "Pushing", "Saved"]), ("snp-2", ["Pushing", "Saved"])):
        emulator.add_snapshot("dsw-abc", snapshot_id, per_poll=path, created="2026-11-25T10:00:00Z")

    seen = [[item["Status"] for item in caller.get()["InstanceSnapshotList"]] for _ in range(3)]

    assert seen == [["Pushing", "Pushing"], ["Pushing", "Saved"], ["Saved", "Saved"]]


@pytest.mark.parametrize(
    ("after", "saved_seconds", "path"),
    [
        ("running", 2, ["Saving", "SaveFailed", "Running"]),
        ("stop", 2, ["Saving", "SaveFailed", "Stopping", "Stopped"]),
        ("stop", 0, ["Saving", "Stopping", "Stopped"]),
        ("stay", 2, ["Saving", "SaveFailed", "SaveFailed"]),
    ],
)
def test_what_follows_a_stop_whose_save_fails(emulator, caller, after, saved_seconds, path):
    emulator.snapshot_timeline, emulator.stop_timeline = ["Pushing", "Failed"], ["Stopping", "Stopped"]
    emulator.after_failed_save, emulator.saved_seconds = after, saved_seconds
    emulator.add_instance("dsw-abc")

    caller.stop(SaveImage="true")

    assert statuses(caller, len(path)) == path
    assert caller.get()["LatestSnapshot"]["Status"] == "Failed"


def test_an_instance_may_keep_running_while_it_is_saved(emulator, caller, clock):
    emulator.saving_status = False
    emulator.add_instance("dsw-abc")
    caller.create_snapshot()

    seen = set()
    for _ in range(15):
        clock.advance(1)
        seen.add(caller.status())

    assert seen == {"Running"}
    assert caller.get()["LatestSnapshot"]["Status"] == "Saved"


def test_every_option_is_documented():
    from airflow_provider_dsw.emulator.options import OPTION_NAMES, Options

    # From Python 3.13 on a docstring is not indented.
    documented = set(re.findall(r"^([a-z_]+)(?= |$)", inspect.getdoc(Options) or "", re.MULTILINE))

    assert documented >= OPTION_NAMES


@pytest.mark.parametrize("method", ["add_instance", "set_instance"])
def test_an_option_is_not_taken_for_a_field(emulator, method):
    emulator.add_instance("dsw-abc")

    with pytest.raises(TypeError, match=r"start_timeline is no field but an option: pass options=\{'start_timeline': "):
        getattr(emulator, method)("dsw-abc", start_timeline=["Starting", "Failed"])
