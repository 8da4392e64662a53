"""The service's own shutdown timer, for an instance that must stop even if Airflow does not live to stop it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, ManualClock, Request
from airflow_provider_dsw.exceptions import DswOperationFailedError, DswWaitFailedError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import DswStartInstanceOperator
from tests.support.task_runs import context, run
from tests.unit.operators.conftest import ID, Make

HOUR = 3600.0
TIMERS = ("CreateInstanceShutdownTimer", "DeleteInstanceShutdownTimer")


def made(emulator: DswEmulator) -> list[tuple[str, int | None]]:
    """The requests about timers, and about the instance's way."""
    names = {"CreateInstanceShutdownTimer": "set", "DeleteInstanceShutdownTimer": "delete"}
    names |= {"StartInstance": "start", "StopInstance": "stop"}
    return [(names[r.action], r.status) for r in emulator.requests if r.action in names]


def remaining(emulator: DswEmulator) -> float | None:
    """The seconds until the service stops the instance."""
    timer = shown()
    return timer and timer["RemainingTimeInMs"] / 1000


def shown() -> Any:
    return DswHook().get_instance(ID).get("InstanceShutdownTimer")


@pytest.mark.parametrize("stop_after", [HOUR, timedelta(hours=1), 3600])
def test_a_start_sets_the_timer_right_after_its_request(make: Make, emulator: DswEmulator, stop_after: Any) -> None:
    emulator.add_instance(ID, "Stopped")

    run(make(DswStartInstanceOperator, stop_after=stop_after))

    assert made(emulator) == [("start", 200), ("set", 200)]
    assert [r.action for r in emulator.requests[:3]] == ["GetInstance", "StartInstance", TIMERS[0]]
    assert HOUR - 10 < (remaining(emulator) or 0) <= HOUR


def test_without_it_no_timer_is_set(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")

    run(make(DswStartInstanceOperator))

    assert made(emulator) == [("start", 200)]


@pytest.mark.parametrize("second", ["replaces", "refused"])
def test_an_own_request_replaces_the_timer_of_an_earlier_start(
    make: Make, emulator: DswEmulator, capsys: pytest.CaptureFixture[str], second: str
) -> None:
    emulator.second_timer = second
    emulator.add_instance(ID, "Stopped")
    emulator.set_shutdown_timer(ID, 100)
    due = shown()["DueTime"]

    run(make(DswStartInstanceOperator, stop_after=HOUR))

    assert (remaining(emulator) or 0) > HOUR - 10
    assert f"in place of the timer that was due at {due}" in capsys.readouterr().out
    assert ("delete", 200) in made(emulator) or second == "replaces"


@pytest.mark.parametrize("second", ["replaces", "refused"])
def test_a_timer_that_is_shown_late_is_there_in_the_end(make: Make, emulator: DswEmulator, second: str) -> None:
    emulator.second_timer = second
    emulator.start_timeline = [("Running", {"GmtModifiedTime": "2099-01-31T08:00:00Z"})]
    emulator.stale_reads = [0, 2, 2, 2]
    emulator.add_instance(ID, "Stopped")

    run(make(DswStartInstanceOperator, stop_after=HOUR))

    [shown() for _ in emulator.stale_reads]
    assert HOUR - 10 < (remaining(emulator) or 0) <= HOUR
    assert [what for what, _ in made(emulator)] == ["start", "set", "set"]  # it was looked for in vain


@pytest.mark.parametrize("absent", ["null", "missing", "empty"])
@pytest.mark.parametrize("status", ["Queuing", "Running"])
@pytest.mark.parametrize("try_number", [1, 2])
def test_what_others_or_an_earlier_try_have_started_gets_one_only_if_it_has_none(
    make: Make, emulator: DswEmulator, status: str, try_number: int, absent: str
) -> None:
    emulator.absent_timer = absent
    emulator.add_instance(ID, per_poll=[status, status, "Running"])
    run(make(DswStartInstanceOperator, stop_after=HOUR), context(try_number))
    assert made(emulator) == [("set", 200)]

    emulator.clear_requests()
    emulator.set_instance(ID, per_poll=[status, status, "Running"])
    emulator.set_shutdown_timer(ID, 100)
    run(make(DswStartInstanceOperator, stop_after=HOUR), context(try_number))

    assert made(emulator) == []
    assert (remaining(emulator) or HOUR) <= 100


@pytest.mark.parametrize("outlives", [False, True])
@pytest.mark.parametrize("second", ["replaces", "refused"])
def test_if_the_service_takes_it_only_from_running_it_is_set_again_then_by_what_is_left(
    make: Make, emulator: DswEmulator, second: str, outlives: bool
) -> None:
    emulator.timer_needs, emulator.second_timer = "running", second
    emulator.start_timeline = [("Starting", 0.6), ("Running", None)]
    emulator.add_instance(ID, "Stopped")
    if outlives:
        emulator.set_shutdown_timer(ID, 100)

    run(make(DswStartInstanceOperator, stop_after=60))

    assert made(emulator)[-1] == ("set", 200)
    assert ("set", 400) in made(emulator)
    last = emulator.calls(TIMERS[0])[-1]
    assert 50_000 < json.loads(last.body)["RemainingTimeInMs"] < 59_500


@pytest.mark.parametrize("fault", [{"drop": True, "performed": True}, {"drop": True}, {"status": 503}])
@pytest.mark.parametrize("second", ["replaces", "refused"])
def test_a_timer_whose_answer_is_lost_is_there_in_the_end(
    make: Make, emulator: DswEmulator, fault: dict[str, Any], second: str
) -> None:
    emulator.second_timer = second
    emulator.add_instance(ID, "Stopped")
    emulator.fault(TIMERS[0], **fault)

    run(make(DswStartInstanceOperator, stop_after=HOUR))

    assert (remaining(emulator) or 0) > HOUR - 10
    assert emulator.status(ID) == "Running"


def test_without_a_wait_it_can_t_be_set_later_and_the_error_says_so(make: Make, emulator: DswEmulator) -> None:
    emulator.timer_needs = "running"
    emulator.start_timeline = [("Starting", 60), ("Running", None)]
    emulator.add_instance(ID, "Stopped")

    with pytest.raises(DswOperationFailedError, match=r"stopped.*stop_after needs wait_for_completion"):
        run(make(DswStartInstanceOperator, stop_after=60, wait_for_completion=False))

    assert made(emulator) == [("start", 200), ("set", 400), ("stop", 200)]


def test_a_start_whose_answer_is_lost_is_its_own_request(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.set_shutdown_timer(ID, 100)
    emulator.fault("StartInstance", drop=True, performed=True)

    run(make(DswStartInstanceOperator, stop_after=HOUR))

    assert (remaining(emulator) or 0) > HOUR - 10


# If it can't be set


def refuse(emulator: DswEmulator) -> None:
    emulator.fault(TIMERS[0], times=None, status=400, message="No timers here.")


def deny(emulator: DswEmulator) -> None:
    emulator.fault(TIMERS[0], times=None, status=403, code="NoPermission")


def fail(emulator: DswEmulator) -> None:
    emulator.fault(TIMERS[0], times=None, status=503)


CANT: list[Any] = [
    pytest.param(refuse, DswOperationFailedError, id="refused"),
    pytest.param(deny, DswWaitFailedError, id="denied"),
    pytest.param(fail, DswOperationFailedError, id="unavailable"),
]


@pytest.mark.parametrize("wait_for_completion", [True, False])
@pytest.mark.parametrize(("cant", "raised"), CANT)
def test_if_it_can_t_be_set_what_the_task_has_started_is_stopped_and_the_task_fails(
    make: Make, emulator: DswEmulator, cant: Any, raised: type[Exception], wait_for_completion: bool
) -> None:
    emulator.add_instance(ID, "Stopped")
    cant(emulator)
    task = make(DswStartInstanceOperator, stop_after=HOUR, wait_for_completion=wait_for_completion)

    with pytest.raises(raised, match=r"timer of DSW instance dsw-abc could not be set.*The instance was stopped"):
        run(task)

    assert emulator.status(ID) in ("Stopping", "Stopped")
    assert [status for what, status in made(emulator) if what == "stop"] == [200]


@pytest.mark.parametrize(("cant", "raised"), CANT)
@pytest.mark.parametrize(("status", "try_number", "stopped"), [("Queuing", 1, 0), ("Queuing", 2, 1), ("Running", 2, 0)])
def test_what_others_have_started_is_left_alone(
    make: Make,
    emulator: DswEmulator,
    cant: Any,
    raised: type[Exception],
    status: str,
    try_number: int,
    stopped: int,
) -> None:
    """What a retry finds on its way was asked for by an earlier try; of what runs nobody can say."""
    emulator.add_instance(ID, per_poll=[status, status, status, "Running"])
    cant(emulator)

    with pytest.raises(raised, match="was stopped" if stopped else "is left alone"):
        run(make(DswStartInstanceOperator, stop_after=HOUR), context(try_number))

    assert len(emulator.calls("StopInstance")) == stopped


def test_a_timer_that_is_over_before_the_service_takes_it_can_t_be_set(make: Make, emulator: DswEmulator) -> None:
    emulator.timer_needs = "running"
    emulator.start_timeline = [("Starting", 0.6), ("Running", None)]
    emulator.add_instance(ID, "Stopped")

    with pytest.raises(DswOperationFailedError, match="stop_after has already passed"):
        run(make(DswStartInstanceOperator, stop_after=0.3))

    assert emulator.status(ID) in ("Stopping", "Stopped")


# If Airflow does not live


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("needs", ["any", "running"])
def test_killed_between_the_two_requests_and_tried_again(
    make: Make, emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch, needs: str
) -> None:
    emulator.timer_needs = needs
    emulator.add_instance(ID, "Stopped")
    task = make(DswStartInstanceOperator, stop_after=HOUR)

    def killed(*arguments: Any, **more: Any) -> None:
        raise Killed

    monkeypatch.setattr(task.hook, "set_shutdown_timer", killed)
    with pytest.raises(Killed):
        task.execute(context())
    assert made(emulator) == [("start", 200)]

    run(make(DswStartInstanceOperator, stop_after=HOUR), context(2))

    assert [what for what, status in made(emulator) if status == 200] == ["start", "set"]
    assert (remaining(emulator) or 0) > HOUR - 10


def test_the_service_stops_what_nobody_else_lives_to_stop(make: Make, emulator: DswEmulator) -> None:
    emulator.clock = clock = ManualClock()
    emulator.add_instance(ID, "Stopped")
    emulator.start_timeline = ["Starting", "Running"]
    emulator.stop_timeline = [("Stopping", 10), ("Stopped", None)]

    run(make(DswStartInstanceOperator, stop_after=HOUR))

    clock.advance(HOUR / 2)
    assert emulator.status(ID) == "Running"
    clock.advance(HOUR / 2)
    assert emulator.status(ID) == "Stopping"
    clock.advance(10)
    assert emulator.status(ID) == "Stopped"
    assert emulator.calls("StopInstance") == []


def test_an_undone_start_that_is_asked_for_again_gets_its_own_timer(make: Make, emulator: DswEmulator) -> None:
    """A person has cleared the task, and the old try's stop arrives late."""
    emulator.add_instance(ID, "Queuing")

    def stop(request: Request) -> None:
        if len(emulator.calls("GetInstance")) == 3:
            emulator.set_instance(ID, per_poll=["Stopping", "Stopped"])

    emulator.on_request = stop
    run(make(DswStartInstanceOperator, stop_after=HOUR), context(2, max_tries=1))

    assert made(emulator) == [("set", 200), ("start", 200), ("set", 200)]


@pytest.mark.parametrize("wrong", [0, -1, True, "60", float("nan"), float("inf"), timedelta(0)])
def test_what_is_no_number_of_seconds_is_said_where_the_dag_is_parsed(wrong: Any) -> None:
    with pytest.raises(ValueError, match="stop_after"):
        DswStartInstanceOperator(task_id="t", instance_id=ID, stop_after=wrong)
