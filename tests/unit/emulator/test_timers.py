"""What stops an instance by itself, and when its endpoint for SSH is there."""

import pytest
from alibabacloud_pai_dsw20220101 import models

from airflow_provider_dsw.emulator import DswEmulator, ManualClock
from tests.support.emulator import Caller, refused

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def instance(emulator):
    emulator.add_instance("dsw-abc")


def set_timer(sdk, **arguments):
    return sdk.create_instance_shutdown_timer("dsw-abc", models.CreateInstanceShutdownTimerRequest(**arguments)).body


def set_culler(sdk, minutes, **arguments):
    request = models.CreateIdleInstanceCullerRequest(max_idle_time_in_minutes=minutes, **arguments)
    return sdk.create_idle_instance_culler("dsw-abc", request).body


def texts(emulator):
    return [event.text for event in emulator.history("dsw-abc").events]


def test_a_timer_is_shown_with_the_time_that_remains(emulator, caller, sdk, clock):
    assert set_timer(sdk, remaining_time_in_ms=HOUR_MS).instance_id == "dsw-abc"
    clock.advance(600)

    timer = sdk.get_instance_shutdown_timer("dsw-abc").body
    shown = caller.get()["InstanceShutdownTimer"]

    assert (timer.instance_id, timer.remaining_time_in_ms) == ("dsw-abc", HOUR_MS - 600_000)
    assert (timer.due_time, timer.gmt_create_time) == (shown["DueTime"], shown["GmtCreateTime"])
    assert shown["RemainingTimeInMs"] == HOUR_MS - 600_000
    assert shown["DueTime"] > shown["GmtCreateTime"]


def test_a_replica_that_is_behind_shows_neither_a_new_timer_nor_that_one_is_gone(emulator, caller, sdk):
    emulator.stale_reads = 1

    def shown(name):
        return [caller.get()[name] is not None for _ in range(2)]

    set_timer(sdk, remaining_time_in_ms=HOUR_MS)
    assert shown("InstanceShutdownTimer") == [False, True]
    sdk.delete_instance_shutdown_timer("dsw-abc")
    assert shown("InstanceShutdownTimer") == [True, False]
    set_culler(sdk, 5)
    assert shown("IdleInstanceCuller") == [False, True]
    sdk.delete_idle_instance_culler("dsw-abc")
    assert shown("IdleInstanceCuller") == [True, False]


def test_a_timer_does_not_let_a_replica_that_is_behind_know_of_the_start_before_it(emulator, caller, sdk):
    emulator.set_instance("dsw-abc", "Stopped")
    emulator.start_timeline = ["Starting"]
    emulator.stale_reads = 2

    caller.start()
    set_timer(sdk, remaining_time_in_ms=HOUR_MS)

    assert [caller.get()["Status"] for _ in range(3)] == ["Stopped", "Stopped", "Starting"]


def test_a_timer_stops_the_instance_at_its_time_whoever_looks_and_when(emulator, caller, sdk, clock):
    emulator.stop_timeline = [("Stopping", 60), ("Stopped", None)]
    set_timer(sdk, remaining_time_in_ms=HOUR_MS)

    clock.advance(3599)
    assert emulator.status("dsw-abc") == "Running"
    clock.advance(31)
    assert emulator.statuses()["dsw-abc"] == "Stopping"
    clock.advance(30)

    fields = caller.get()
    assert (fields["Status"], fields["InstanceShutdownTimer"]) == ("Stopped", None)
    assert "The shutdown timer is due: the instance is stopped." in texts(emulator)
    stopping = emulator.history("dsw-abc").phases[1]
    assert stopping.ended - stopping.began == pytest.approx(60)


def test_a_timer_may_be_due_at_a_time_of_the_service_s_clock(emulator, sdk, clock):
    due = emulator.clock.stamp(clock.now() + 90)
    set_timer(sdk, due_time=due)

    assert sdk.get_instance_shutdown_timer("dsw-abc").body.due_time == due
    clock.advance(91)

    assert emulator.status("dsw-abc") == "Stopping"


def test_speed_lets_a_timer_run_faster():
    clock = ManualClock()
    with DswEmulator(clock=clock, speed=100) as emulator:
        emulator.add_instance("dsw-abc")
        emulator.set_shutdown_timer("dsw-abc", 3600)
        clock.advance(18)
        remaining = Caller(emulator).get()["InstanceShutdownTimer"]["RemainingTimeInMs"]
        clock.advance(18.01)

        assert (remaining, emulator.status("dsw-abc")) == (HOUR_MS / 2, "Stopping")


def test_a_timer_is_deleted(emulator, sdk, clock):
    set_timer(sdk, remaining_time_in_ms=1000)
    sdk.delete_instance_shutdown_timer("dsw-abc")
    clock.advance(10)

    assert emulator.status("dsw-abc") == "Running"
    with refused(404, "InternalError"):
        sdk.get_instance_shutdown_timer("dsw-abc")
    with refused(404, "InternalError"):
        sdk.delete_instance_shutdown_timer("dsw-abc")


def test_a_timer_waits_for_the_end_of_a_save(emulator, caller, sdk, clock):
    emulator.snapshot_timeline, emulator.saved_seconds = [("Pushing", 60), ("Saved", None)], 0
    caller.create_snapshot()
    set_timer(sdk, remaining_time_in_ms=1000)

    clock.advance(30)
    during = emulator.status("dsw-abc")
    clock.advance(31)

    assert (during, emulator.status("dsw-abc")) == ("Saving", "Stopping")


@pytest.mark.parametrize("status", ["Stopped", "Failed"])
def test_a_timer_that_is_due_while_nothing_runs_is_gone(emulator, caller, clock, status):
    emulator.set_shutdown_timer("dsw-abc", 10)
    emulator.set_instance("dsw-abc", status)

    clock.advance(11)

    fields = caller.get()
    assert (fields["Status"], fields["InstanceShutdownTimer"]) == (status, None)


@pytest.mark.parametrize("query", [{}, {"SaveImage": "true"}], ids=["stop", "save and stop"])
@pytest.mark.parametrize("outlives", [False, True])
def test_whether_a_timer_outlives_a_stop(emulator, caller, clock, outlives, query):
    emulator.timers_outlive_stops = outlives
    emulator.set_shutdown_timer("dsw-abc", 3600)
    caller.stop(**query)
    clock.advance(600)
    caller.start()

    assert (caller.get()["InstanceShutdownTimer"] is not None) == outlives


@pytest.mark.parametrize("needs", ["any", "running"])
def test_in_which_status_a_timer_is_taken(emulator, sdk, needs):
    emulator.timer_needs = needs
    emulator.set_instance("dsw-abc", "Starting")

    if needs == "running":
        with refused(400, "ValidationError"):
            set_timer(sdk, remaining_time_in_ms=1)
        emulator.set_instance("dsw-abc", "Running")
    set_timer(sdk, remaining_time_in_ms=1)


@pytest.mark.parametrize("second", ["replaces", "refused"])
def test_what_a_second_timer_does(emulator, sdk, second):
    emulator.second_timer = second
    set_timer(sdk, remaining_time_in_ms=HOUR_MS)

    if second == "refused":
        with refused(400, "ValidationError"):
            set_timer(sdk, remaining_time_in_ms=2 * HOUR_MS)
    else:
        set_timer(sdk, remaining_time_in_ms=2 * HOUR_MS)

    remaining = sdk.get_instance_shutdown_timer("dsw-abc").body.remaining_time_in_ms
    assert remaining == HOUR_MS if second == "refused" else 2 * HOUR_MS


@pytest.mark.parametrize(("absent", "shown"), [("null", None), ("empty", {}), ("missing", "missing")])
def test_how_a_timer_that_is_not_there_is_shown(emulator, caller, absent, shown):
    emulator.absent_timer = absent

    fields = caller.get()

    for name in ("InstanceShutdownTimer", "IdleInstanceCuller"):
        assert fields.get(name, "missing") == shown


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"remaining_time_in_ms": 0},
        {"remaining_time_in_ms": "3600000"},
        {"due_time": "2021-01-12T14:36:01Z"},
        {"due_time": "tomorrow"},
    ],
)
def test_a_timer_that_makes_no_sense_is_refused(sdk, wrong):
    with refused(400, "ValidationError"):
        set_timer(sdk, **wrong)


# Idle


def test_idle_minutes_count_while_the_instance_runs(emulator, caller, sdk, clock):
    set_culler(sdk, 60, cpu_percent_threshold=20)
    seen = []
    for seconds in (0, 59, 1, 1800):
        clock.advance(seconds)
        seen.append(caller.get()["IdleInstanceCuller"]["IdleTimeInMinutes"])

    culler = sdk.get_idle_instance_culler("dsw-abc").body
    assert seen == [0, 0, 1, 31]
    assert (culler.idle_time_in_minutes, culler.max_idle_time_in_minutes, culler.cpu_percent_threshold) == (31, 60, 20)


def test_an_instance_that_is_idle_for_too_long_is_stopped(emulator, sdk, clock):
    set_culler(sdk, 60)
    clock.advance(3599)
    assert emulator.status("dsw-abc") == "Running"

    clock.advance(2)

    assert emulator.status("dsw-abc") == "Stopping"
    assert "The instance has been idle for too long: the instance is stopped." in texts(emulator)


def test_how_long_it_has_been_idle_may_be_set(emulator, caller, sdk, clock):
    set_culler(sdk, 60)
    emulator.set_idle("dsw-abc", 45)
    minutes = caller.get()["IdleInstanceCuller"]["IdleTimeInMinutes"]
    emulator.set_idle("dsw-abc", None)
    clock.advance(36_000)

    assert (minutes, caller.get()["IdleInstanceCuller"]["IdleTimeInMinutes"]) == (45, 0)
    assert emulator.status("dsw-abc") == "Running"
    emulator.set_idle("dsw-abc", 0)
    clock.advance(3600)
    assert emulator.status("dsw-abc") == "Stopping"


def test_a_culler_is_deleted(emulator, caller, sdk, clock):
    set_culler(sdk, 1)
    sdk.delete_idle_instance_culler("dsw-abc")
    clock.advance(3600)

    assert caller.get()["IdleInstanceCuller"] is None
    for call in (sdk.get_idle_instance_culler, sdk.delete_idle_instance_culler):
        with refused(404, "InternalError"):
            call("dsw-abc")
    assert emulator.status("dsw-abc") == "Running"


@pytest.mark.parametrize("wrong", [{"minutes": None}, {"minutes": 0}, {"minutes": 5, "gpu_percent_threshold": 101}])
def test_a_culler_that_makes_no_sense_is_refused(sdk, wrong):
    with refused(400, "ValidationError"):
        set_culler(sdk, **wrong)


# SSH


def connect_info(caller):
    infos = {info["Name"]: info for info in caller.get()["UserVpc"]["ForwardInfos"]}
    return infos["ssh"]["ConnectInfo"]


def test_the_endpoint_for_ssh_is_ready_some_time_after_the_instance_runs(emulator, caller, clock):
    emulator.ssh_seconds = 30
    emulator.start_timeline = [("Starting", 10), ("Running", None)]
    emulator.set_instance("dsw-abc", "Stopped")
    caller.start()

    seen = []
    for seconds in (0, 10, 29, 1):
        clock.advance(seconds)
        seen.append((emulator.status("dsw-abc"), connect_info(caller)["Phase"]))

    assert seen == [("Starting", "Pending"), ("Running", "Pending"), ("Running", "Pending"), ("Running", "Ready")]
    caller.create_snapshot()
    assert connect_info(caller)["Phase"] == "Ready"
    emulator.set_instance("dsw-abc", "Stopping")
    assert connect_info(caller)["Phase"] == "Pending"


def test_where_ssh_answers_may_be_given(emulator, caller):
    emulator.ssh_endpoint = "127.0.0.1:2222"

    info = connect_info(caller)

    assert info["Intranet"] == info["Internet"] == {"Endpoint": "127.0.0.1", "Port": "2222"}


@pytest.mark.parametrize(
    ("access", "shown"),
    [(None, ["Intranet"]), (["internet"], ["Internet"]), (["intranet", "internet"], ["Intranet", "Internet"])],
)
def test_a_created_instance_has_the_endpoints_that_were_asked_for(emulator, sdk, access, shown):
    forward = {"Name": "ssh", "ForwardPort": "22", "SSHPublicKey": "ssh-rsa x", "AccessType": access}
    vpc = {"VpcId": "vpc-1", "ForwardInfos": [forward]}
    body = {"InstanceName": "a", "EcsSpec": "ecs.c6.large", "ImageId": "image-1", "UserVpc": vpc}
    emulator.start_timeline = ["Running"]

    instance_id = sdk.create_instance(models.CreateInstanceRequest().from_map(body)).body.instance_id

    (info,) = sdk.get_instance(instance_id, models.GetInstanceRequest()).body.user_vpc.forward_infos
    assert (info.name, info.connect_info.phase) == ("ssh", "Ready")
    addresses = {name: value for name, value in info.connect_info.to_map().items() if name.startswith("Int")}
    assert sorted(addresses) == sorted(shown)
    assert all(address["Endpoint"] and address["Port"] == "22" for address in addresses.values())
