"""Events and lifecycle: what an instance went through, and why it failed."""

import pytest
from alibabacloud_pai_dsw20220101 import models

from tests.support.emulator import refused


def events(sdk, **arguments):
    return sdk.get_instance_events("dsw-abc", models.GetInstanceEventsRequest(**arguments)).body.events


def lifecycle(sdk, **arguments):
    return sdk.get_lifecycle("dsw-abc", models.GetLifecycleRequest(**arguments)).body


def statuses(body):
    return [[entry.status for entry in session] for session in body.lifecycle]


@pytest.fixture
def failed(emulator, caller, clock):
    """An instance that failed at its first start, without a reason, and then came up."""
    emulator.failure_reasons, emulator.events_with_times = False, False
    emulator.start_timeline = [("Starting", 10), ("Running", None)]
    emulator.add_instance("dsw-abc", "Stopped", options={"next_starts": [[("Queuing", 20), ("Failed", None)]]})
    clock.advance(5)
    caller.start()
    clock.advance(25)
    assert (caller.get()["ReasonCode"], caller.get()["ReasonMessage"]) == ("", "")
    caller.start()
    clock.advance(60)


def test_the_cause_of_a_failure_stands_in_the_events(emulator, sdk, failed):
    assert events(sdk) == [
        "The instance is Stopped.",
        "The instance is Queuing.",
        "The instance is Failed.",
        "Resource queue timeout, lack of sufficient resources",
        "The instance is Starting.",
        "The instance is Running.",
    ]
    assert events(sdk, event_level="warning") == [
        "The instance is Failed.",
        "Resource queue timeout, lack of sufficient resources",
    ]
    assert events(sdk, max_events_num=1) == ["The instance is Running."]


def test_events_are_asked_for_by_time(emulator, sdk, clock, failed):
    now = clock.now()
    since, until = (emulator.clock.stamp(now - seconds) for seconds in (66, 60))

    assert events(sdk, start_time=since, end_time=until) == ["The instance is Failed.", *events(sdk)[3:5]]


@pytest.mark.parametrize("order", ["oldest first", "newest first"])
def test_events_have_their_times_and_either_order(emulator, sdk, clock, order):
    emulator.events_order = order
    failure = ("Failed", None, {"ReasonMessage": "ImagePullBackOff"})
    emulator.add_instance("dsw-abc", timeline=[("Starting", 10), failure])
    begin = clock.now()
    clock.advance(20)

    lines = events(sdk)

    wanted = [
        f"{emulator.clock.stamp(begin)} Normal: The instance is Starting.",
        f"{emulator.clock.stamp(begin + 10)} Warning: The instance is Failed.",
        f"{emulator.clock.stamp(begin + 10)} Warning: ImagePullBackOff",
    ]
    assert lines == (wanted if order == "oldest first" else wanted[::-1])


def test_an_event_may_be_added(emulator, sdk):
    emulator.add_instance("dsw-abc", options={"events_with_times": False})

    emulator.add_event("dsw-abc", "no node has 8 GPUs", "Warning")

    assert events(sdk)[-1] == "no node has 8 GPUs"


def test_the_lifecycle_tells_the_times_of_each_status_by_session(emulator, sdk, clock, failed):
    now = clock.now()

    body = lifecycle(sdk)

    assert body.total_count == 3
    assert statuses(body) == [["Stopped"], ["Queuing", "Failed"], ["Starting", "Running"]]
    queuing = body.lifecycle[1][0]
    assert (queuing.gmt_create_time, queuing.gmt_end_time) == (
        emulator.clock.stamp(now - 85),
        emulator.clock.stamp(now - 65),
    )
    assert body.lifecycle[2][1].gmt_end_time == ""
    assert len({entry.lifecycle_id for session in body.lifecycle for entry in session}) == 5


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"order": "DESC"}, [["Running", "Starting"], ["Failed", "Queuing"], ["Stopped"]]),
        ({"order": "DESC", "limit": 1}, [["Running", "Starting"]]),
        ({"session_number": 2}, [["Queuing", "Failed"], ["Starting", "Running"]]),
        ({"session_number": 2, "limit": 1}, [["Queuing", "Failed"]]),
        ({"end_time": "2021-01-01T00:00:00Z"}, []),
    ],
)
def test_which_part_of_the_lifecycle_is_asked_for(sdk, failed, arguments, wanted):
    assert statuses(lifecycle(sdk, **arguments)) == wanted


def test_the_lifecycle_has_the_reason_of_a_failure(emulator, sdk):
    emulator.add_instance("dsw-abc", "Failed", ReasonCode="Internal Error", ReasonMessage="ImagePullBackOff")

    ((entry,),) = lifecycle(sdk).lifecycle

    assert (entry.reason_code, entry.reason_message) == ("Internal Error", "ImagePullBackOff")


def test_a_save_is_one_phase_however_its_snapshot_goes(emulator, caller, sdk, clock):
    emulator.add_instance("dsw-abc")
    caller.create_snapshot()
    clock.advance(60)

    assert statuses(lifecycle(sdk)) == [["Running", "Saving", "Saved", "Running"]]


def test_what_a_deleted_instance_went_through_is_known_to_the_test(emulator, sdk, clock):
    emulator.add_instance("dsw-abc")
    sdk.delete_instance("dsw-abc")
    clock.advance(60)

    assert [phase.status for phase in emulator.history("dsw-abc").phases] == ["Running", "Deleting"]
    with refused(404, "InternalError"):
        events(sdk)
    with refused(404, "InternalError"):
        lifecycle(sdk)


@pytest.mark.parametrize("wrong", [{"order": "UP"}, {"limit": 0}, {"session_number": -1}])
def test_a_lifecycle_that_makes_no_sense_is_refused(emulator, sdk, wrong):
    emulator.add_instance("dsw-abc")

    with refused(400, "ValidationError"):
        lifecycle(sdk, **wrong)
