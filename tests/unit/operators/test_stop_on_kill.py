"""When a start that is given up stops the instance, and when not."""

from __future__ import annotations

import asyncio
import copy
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.exceptions import (
    DswOperationFailedError,
    DswTimeoutError,
    DswTransientError,
    DswWaitArgumentError,
)
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswStartInstanceOperator,
)
from airflow_provider_dsw.task_end import NOTE_KEY
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from airflow_provider_dsw.version_compat import CALLS_ON_KILL, AirflowTaskTimeout, TaskDeferred
from tests.support.supervisor import Supervisor
from tests.support.task_runs import carried_over, context, first_event, run
from tests.support.until import until
from tests.unit.operators.conftest import ID, Make

told = pytest.mark.skipif(not CALLS_ON_KILL, reason="Airflow 3.3 tells a trigger that its task was ended")
LAST, NOT_LAST = {"try_number": 3, "max_tries": 2}, {"try_number": 2, "max_tries": 2}


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_dsw.task_end.CLAIM_PAUSE", 0.02)
    monkeypatch.setattr("airflow_provider_dsw.task_end.STATE_RETRY_PAUSE", 0.2)
    monkeypatch.setattr("airflow_provider_dsw.task_end.STATE_TIMEOUT", 60.0)  # which no busy machine exceeds


def stops(emulator: DswEmulator) -> int:
    return len(emulator.calls("StopInstance"))


def start(**arguments: Any) -> DswStartInstanceOperator:
    given = {"task_id": "t", "instance_id": ID, "poke_interval": 0.02, "timeout": 60, "stop_on_kill": True}
    return DswStartInstanceOperator(**{**given, **arguments})


class Ended(BaseException):
    """The process is gone."""


# In a worker


def killed_while_waiting(task: Any, emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch, of_task: Any) -> None:
    """Airflow calls on_kill in the middle of whatever the task does, and ends the process soon after."""

    def killed(seconds: float) -> None:
        task.on_kill()
        raise Ended

    with monkeypatch.context() as patched:
        patched.setattr("airflow_provider_dsw.operators.base.time.sleep", killed)
        with pytest.raises(Ended):
            task.execute(of_task)


@pytest.mark.parametrize(
    ("of_task", "state", "stopped"),
    [
        *((NOT_LAST, state, 1) for state in ("failed", "success", "skipped", "removed", "restarting", None)),
        (NOT_LAST, "running", 0),  # the worker is shut down: Airflow will try again
        (NOT_LAST, "up_for_retry", 0),  # the scheduler has missed its heartbeats
        (LAST, "running", 1),
        (LAST, "failed", 1),
    ],
)
def test_a_task_in_a_worker_is_ended_by_a_person_or_for_good(
    dsw_default: DswEmulator,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    of_task: dict[str, Any],
    state: str | None,
    stopped: int,
) -> None:
    dsw_default.add_instance(ID, "Stopped")
    supervisor.states["t"] = state

    killed_while_waiting(start(), dsw_default, monkeypatch, context(**of_task))

    assert stops(dsw_default) == stopped


def test_where_airflow_does_not_answer_a_try_that_may_be_repeated_stops_nothing(
    dsw_default: DswEmulator, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsw_default.add_instance(ID, "Stopped")
    supervisor.broken = True

    killed_while_waiting(start(), dsw_default, monkeypatch, context(**NOT_LAST))
    assert stops(dsw_default) == 0
    killed_while_waiting(start(), dsw_default, monkeypatch, context(**LAST))
    assert stops(dsw_default) == 1


def test_a_later_try_with_an_argument_that_can_not_work_says_so(dsw_default: DswEmulator) -> None:
    task = start(instance_id="{{ params.x }}")
    task.instance_id = ""

    with pytest.raises(DswWaitArgumentError, match="instance_id"):
        task.execute(context(**NOT_LAST))
    assert dsw_default.requests == []


def test_without_stop_on_kill_nothing_is_stopped(dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    dsw_default.add_instance(ID, "Stopped")

    killed_while_waiting(start(stop_on_kill=False), dsw_default, monkeypatch, context(**LAST))

    assert stops(dsw_default) == 0


def test_what_stops_already_is_not_stopped_again(dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    dsw_default.add_instance(ID, per_poll=["Starting", "Starting", "Stopping"])

    killed_while_waiting(start(), dsw_default, monkeypatch, context(**LAST))

    assert stops(dsw_default) == 0


def test_a_task_that_is_ended_while_it_asks_stops_what_it_has_started(
    dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsw_default.add_instance(ID, "Stopped")
    task = start()
    asks = task.hook.start_instance

    def killed(instance_id: str) -> dict[str, Any]:
        task.on_kill()
        return asks(instance_id)

    def gone(*arguments: Any, **more: Any) -> None:
        raise Ended

    monkeypatch.setattr(task.hook, "start_instance", killed)
    monkeypatch.setattr(task, "_wait_for", gone)
    with pytest.raises(Ended):
        task.execute(context(**NOT_LAST))

    assert dsw_default.status(ID) in ("Stopping", "Stopped")


@pytest.mark.parametrize("polls", [["Running"], ["Saving", "Saving", "Running"], ["Updating", "Updating", "Running"]])
def test_an_instance_that_was_running_is_never_stopped(
    dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch, polls: list[str]
) -> None:
    dsw_default.add_instance(ID, per_poll=polls)
    task = start()
    if len(polls) > 1:
        killed_while_waiting(task, dsw_default, monkeypatch, context(**LAST))
    else:
        task.execute(context(**LAST))
        task.on_kill()

    assert stops(dsw_default) == 0


def test_a_task_that_has_not_looked_yet_stops_nothing(dsw_default: DswEmulator) -> None:
    start().on_kill()

    assert dsw_default.requests == []


# The end of a try


def fails_in_the_queue(emulator: DswEmulator) -> None:
    emulator.start_timeline = ["Queuing", "Queuing", "Failed"]


def is_denied(emulator: DswEmulator) -> None:
    def deny(request: Request) -> None:
        if len(emulator.calls("GetInstance")) == 3:
            emulator.fault("GetInstance", status=403, code="NoPermission", times=2)

    emulator.on_request = deny


def goes_on(emulator: DswEmulator) -> None:
    emulator.start_timeline = ["Queuing"]


ENDS: list[Any] = [
    pytest.param(fails_in_the_queue, {}, DswOperationFailedError, id="failure status"),
    pytest.param(goes_on, {"timeout": 0.15}, DswTimeoutError, id="timeout"),
    pytest.param(goes_on, {"execution_timeout": timedelta(seconds=0.3)}, AirflowTaskTimeout, id="execution_timeout"),
]


@pytest.mark.parametrize(("of_task", "stopped"), [(LAST, 1), (NOT_LAST, 0), ({"max_tries": 0}, 1)])
@pytest.mark.parametrize(("ends", "arguments", "raised"), ENDS)
def test_the_last_try_stops_the_instance_if_it_fails_and_one_that_is_repeated_does_not(
    make: Make,
    emulator: DswEmulator,
    ends: Callable[[DswEmulator], None],
    arguments: dict[str, Any],
    raised: type[BaseException],
    of_task: dict[str, Any],
    stopped: int,
) -> None:
    emulator.add_instance(ID, "Stopped")
    ends(emulator)
    task = make(DswStartInstanceOperator, stop_on_kill=True, **arguments)
    if raised is AirflowTaskTimeout and not task.deferrable:
        end_by_alarm(task)

    with pytest.raises(raised):
        run(task, context(**of_task))
    if not task.deferrable:
        task.on_kill()  # which Airflow calls after an execution_timeout

    assert stops(emulator) == stopped


@pytest.mark.filterwarnings("ignore:.*stop_on_kill:UserWarning")
def test_a_failed_instance_that_the_service_does_not_stop_is_no_error(
    make: Make, emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.add_instance(ID, "Stopped")
    fails_in_the_queue(emulator)

    with pytest.raises(DswOperationFailedError):
        run(make(DswStartInstanceOperator, stop_on_kill=True), context(**LAST))

    log = capsys.readouterr().out
    assert [request.status for request in emulator.calls("StopInstance")] == [400]
    assert "is Failed and the service refuses to stop it" in log
    assert "could not be stopped" not in log


def end_by_alarm(task: Any) -> None:
    """Let the task's wait end as Airflow's own timer ends it."""
    poll = task._poll

    def interrupted(*arguments: Any, **more: Any) -> Any:
        if task._poll_count > 3:
            raise AirflowTaskTimeout
        return poll(*arguments, **more)

    task._poll = interrupted


def test_what_retries_can_t_mend_is_the_last_try(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.start_timeline = ["Queuing"]
    is_denied(emulator)

    with pytest.raises(Exception, match="NoPermission"):
        run(make(DswStartInstanceOperator, stop_on_kill=True), context(**NOT_LAST))

    assert stops(emulator) == 1


def test_a_refused_start_has_nothing_to_stop(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.no_stock = 1

    with pytest.raises(DswOperationFailedError):
        run(make(DswStartInstanceOperator, stop_on_kill=True), context(**LAST))

    assert stops(emulator) == 0


@pytest.mark.parametrize(
    ("status", "of_task", "stopped"),
    [("Queuing", LAST, 1), ("Running", LAST, 0), ("Queuing", NOT_LAST, 0), ("Queuing", {"max_tries": 0}, 0)],
)
def test_a_last_try_that_could_not_even_look_stops_what_an_earlier_one_began(
    make: Make, emulator: DswEmulator, status: str, of_task: dict[str, Any], stopped: int
) -> None:
    emulator.add_instance(ID, status)
    emulator.fault("GetInstance", times=4, status=503)

    with pytest.raises(DswTransientError):
        run(make(DswStartInstanceOperator, stop_on_kill=True), context(**of_task))

    assert stops(emulator) == stopped


def test_a_start_that_somebody_has_undone_has_nothing_to_stop(make: Make, emulator: DswEmulator) -> None:
    emulator.modified_time = "missing"
    emulator.start_timeline = ["Starting", "Starting", "Stopped"]
    emulator.add_instance(ID, "Stopped")

    with pytest.raises((DswOperationFailedError, DswTimeoutError)):
        run(make(DswStartInstanceOperator, stop_on_kill=True, timeout=1), context(**LAST))
    assert stops(emulator) == 0


@pytest.mark.parametrize(("action", "stopped"), [("fail", 1), ("default", 0)])
def test_a_retry_policy_that_gives_up_makes_it_the_last_try(
    make: Make, emulator: DswEmulator, action: str, stopped: int
) -> None:
    policies = pytest.importorskip("airflow.sdk.definitions.retry_policy")

    class Policy(policies.RetryPolicy):  # type: ignore[name-defined]
        def evaluate(self, *arguments: Any, **more: Any) -> Any:
            return policies.RetryDecision(action=policies.RetryAction(action))

    emulator.add_instance(ID, "Stopped")
    goes_on(emulator)

    with pytest.raises(DswTimeoutError):
        run(make(DswStartInstanceOperator, stop_on_kill=True, timeout=0.15, retry_policy=Policy()), context(**NOT_LAST))

    assert stops(emulator) == stopped


# While it is deferred


def deferred(supervisor: Supervisor, of_task: Any = None) -> DswInstanceTrigger:
    """A start in a triggerer, and its task instance."""
    of_task = of_task or context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        task = start(deferrable=True)
    with pytest.raises(TaskDeferred) as raised:
        task.execute(of_task)
    supervisor.states["t"] = "deferred"
    trigger = carried_over(raised.value.trigger)
    trigger.task_instance = of_task["ti"]
    return trigger


@pytest.fixture
def trigger(dsw_default: DswEmulator, supervisor: Supervisor) -> DswInstanceTrigger:
    dsw_default.add_instance(ID, "Stopped")
    dsw_default.start_timeline = ["Queuing"]
    return deferred(supervisor)


@told
@pytest.mark.parametrize(
    "state",
    ["failed", "success", "skipped", "removed", None, "scheduled", "queued", "running", "restarting", "up_for_retry"],
)
def test_a_person_ends_a_deferred_task(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor, state: str | None
) -> None:
    supervisor.states["t"] = state

    asyncio.run(trigger.on_kill())

    assert stops(emulator) == 1


@told
@pytest.mark.parametrize("stale_reads", [0, 1000], ids=["shown", "not shown yet"])
@pytest.mark.parametrize(("state", "stopped"), [("failed", 1), ("deferred", 0)])
def test_a_person_ends_a_deferred_creation(
    dsw_default: DswEmulator, supervisor: Supervisor, state: str, stopped: int, stale_reads: int
) -> None:
    dsw_default.start_timeline = ["Queuing"]
    dsw_default.stale_reads = stale_reads
    body = {"InstanceName": "a", "EcsSpec": "ecs.g6.xlarge", "ImageUrl": "registry/a:1"}
    of_task = context()
    task = DswCreateInstanceOperator(task_id="t", body=body, stop_on_kill=True, deferrable=True, poke_interval=0.02)
    with pytest.raises(TaskDeferred) as raised:
        task.execute(of_task)
    supervisor.states["t"] = state
    trigger = carried_over(raised.value.trigger)
    trigger.task_instance = of_task["ti"]

    asyncio.run(trigger.on_kill())

    assert len(dsw_default.calls("StopInstance", task.instance_id)) == stopped


@told
def test_airflow_cancels_on_kill_after_a_second_which_may_be_too_early(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor
) -> None:
    supervisor.states["t"] = "failed"
    emulator.fault("GetInstance", delay=0.3)
    polls = len(emulator.calls("GetInstance"))

    async def cancelled() -> None:
        killed = asyncio.create_task(trigger.on_kill())
        await until(lambda: len(emulator.calls("GetInstance")) > polls)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        await until(lambda: stops(emulator))  # while the triggerer goes on

    asyncio.run(cancelled())

    assert stops(emulator) == 1


@told
def test_a_wait_that_moves_to_another_triggerer_stops_nothing(
    trigger: DswInstanceTrigger, emulator: DswEmulator
) -> None:
    asyncio.run(trigger.on_kill())

    assert stops(emulator) == 0


@told
@pytest.mark.parametrize("state", ["scheduled", "queued", "running", "success", "failed", "up_for_retry"])
def test_nor_does_one_that_another_triggerer_has_brought_to_its_end(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor, state: str
) -> None:
    """A triggerer that stood still is told of its trigger's end when the task has resumed already."""
    other = copy.deepcopy(trigger)
    emulator.set_instance(ID, "Running")
    assert asyncio.run(first_event(other))["outcome"] == "success"
    supervisor.states["t"] = state

    asyncio.run(trigger.on_kill())

    assert stops(emulator) == 0


@told
@pytest.mark.parametrize("state", ["running", "success", "failed", "deferred", "up_for_retry"])
@pytest.mark.parametrize("has_begun", [False, True])
def test_nor_does_one_whose_task_is_tried_again(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor, has_begun: bool, state: str
) -> None:
    supervisor.xcoms.clear()  # as Airflow does when a try begins
    if has_begun:
        deferred(supervisor, context(2))
    supervisor.states["t"] = state

    asyncio.run(trigger.on_kill())

    assert stops(emulator) == 0


CLEARED = {"try_number": 2, "max_tries": 1}


@told
@pytest.mark.parametrize("state", ["running", "deferred"])
def test_a_person_has_cleared_the_task_and_its_next_try_has_looked_already(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor, state: str
) -> None:
    """It will see that the instance stops, and start it again."""
    supervisor.xcoms.clear()
    next_one = deferred(supervisor, context(**CLEARED))
    supervisor.states["t"] = state

    asyncio.run(trigger.on_kill())

    assert stops(emulator) == 1
    assert asyncio.run(first_event(next_one))["result"]["Status"] in ("Stopping", "Stopped")
    supervisor.states["t"] = "running"
    asyncio.run(copy.deepcopy(trigger).on_kill())
    assert stops(emulator) == 1


@told
def test_its_next_try_may_have_begun_and_not_come_so_far_as_to_say_so(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.xcoms.clear()
    supervisor.states["t"] = "running"
    monkeypatch.setattr("airflow_provider_dsw.task_end.STATE_RETRY_PAUSE", 1.0)

    async def story() -> None:
        killed = asyncio.create_task(trigger.on_kill())
        await asyncio.sleep(0.005)
        await asyncio.to_thread(deferred, supervisor, context(**CLEARED))
        await killed

    asyncio.run(story())

    assert stops(emulator) == 1


@told
def test_its_next_try_may_say_so_while_the_stop_is_claimed(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_dsw.task_end.CLAIM_PAUSE", 0.5)
    supervisor.xcoms.clear()
    deferred(supervisor, context(**CLEARED))
    supervisor.states["t"] = "running"

    async def story() -> None:
        killed = asyncio.create_task(trigger.on_kill())
        await until(lambda: "stopped_by" in supervisor.xcoms[NOTE_KEY])
        await asyncio.to_thread(deferred, supervisor, context(**CLEARED))
        await killed

    asyncio.run(story())

    assert stops(emulator) == 1


@told
@pytest.mark.parametrize("then", ["asks itself", "ends", "began long ago"])
def test_what_the_try_after_a_clear_has_brought_about_is_its_own(
    trigger: DswInstanceTrigger,
    emulator: DswEmulator,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    then: str,
) -> None:
    supervisor.xcoms.clear()
    if then == "asks itself":
        emulator.set_instance(ID, "Failed")
    elif then == "ends":
        emulator.set_instance(ID, "Running")
    if then == "ends":
        start(deferrable=True).execute(context(**CLEARED))
    else:
        deferred(supervisor, context(**CLEARED))
    if then == "began long ago":
        monkeypatch.setattr("airflow_provider_dsw.task_end.STOP_WINDOW", -1.0)
    supervisor.states["t"] = "success" if then == "ends" else "running"

    asyncio.run(trigger.on_kill())

    assert stops(emulator) == 0


@told
def test_nor_does_one_that_a_worker_has_resumed_whose_trigger_could_not_note_it(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor
) -> None:
    event = {"outcome": "failure", "error": "DswOperationFailedError", "text": "Failed", "polls": 0, "links": {}}
    carried = dict.fromkeys(("code", "status_code", "request_id", "message")) | {"pushed_links": {}}
    with pytest.raises(DswOperationFailedError):
        start(deferrable=True).resume_execution("execute_complete", {"event": {**event, **carried}}, context())
    supervisor.states["t"] = "up_for_retry"

    asyncio.run(trigger.on_kill())

    assert stops(emulator) == 0


@told
def test_where_airflow_does_not_say_what_became_of_the_task_nothing_is_stopped(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor
) -> None:
    supervisor.broken = True

    asyncio.run(trigger.on_kill())

    assert stops(emulator) == 0


@told
def test_of_two_triggerers_that_are_told_one_stops_it(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asend(message: Any) -> Any:
        found = supervisor.send(message)
        await asyncio.sleep(0.02)  # in which the other one reads the same
        return found

    monkeypatch.setattr(supervisor, "asend", asend)
    monkeypatch.setattr("airflow_provider_dsw.task_end.CLAIM_PAUSE", 0.5)
    supervisor.states["t"] = "failed"
    emulator.stop_timeline = ["Stopping"]
    emulator.stale_reads = 9  # which hides the other's stop
    others = [copy.deepcopy(trigger) for _ in range(2)]

    async def both() -> None:
        await asyncio.gather(*(each.on_kill() for each in others))
        await trigger.on_kill()

    asyncio.run(both())

    assert stops(emulator) == 1


@told
@pytest.mark.parametrize("status", ["Stopping", "Stopped", "Deleting", None])
def test_a_deferred_task_has_nothing_to_stop_either(
    trigger: DswInstanceTrigger, emulator: DswEmulator, supervisor: Supervisor, status: str | None
) -> None:
    supervisor.states["t"] = "failed"
    emulator.set_instance(ID, timeline=[(status, None, {"GmtModifiedTime": "2099-01-31T08:00:00Z"})])

    asyncio.run(trigger.on_kill())

    assert stops(emulator) == 0


@told
def test_a_mapped_task_asks_for_its_own_state(dsw_default: DswEmulator, supervisor: Supervisor) -> None:
    dsw_default.add_instance(ID, "Stopped")
    trigger = deferred(supervisor, context(map_index=3))
    supervisor.states.update({"t": "deferred", "t_2": "deferred", "t_3": "failed"})

    asyncio.run(trigger.on_kill())

    assert stops(dsw_default) == 1


@told
@pytest.mark.parametrize("polls", [["Saving", "Saving", "Running"], ["Stopping", "Stopping", "Stopped"]])
def test_a_deferred_wait_for_something_else_stops_nothing(
    dsw_default: DswEmulator, supervisor: Supervisor, polls: list[str]
) -> None:
    dsw_default.add_instance(ID, per_poll=polls)
    trigger = deferred(supervisor)
    supervisor.states["t"] = "failed"

    asyncio.run(trigger.on_kill())

    assert stops(dsw_default) == 0


def test_a_deferred_task_that_airflow_itself_times_out_for_good_stops_the_instance(
    trigger: DswInstanceTrigger, emulator: DswEmulator
) -> None:
    with pytest.raises(DswTimeoutError):
        start(deferrable=True).resume_execution("__fail__", {"error": "Trigger timeout"}, context(**LAST))

    assert stops(emulator) == 1


# Where it can be said


@pytest.fixture
def warned() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@pytest.mark.parametrize(
    "arguments", [{"deferrable": True}, {"deferrable": False}, {"deferrable": True, "stop_on_kill": False}]
)
def test_an_airflow_that_does_not_tell_triggers_is_a_warning_where_the_dag_is_parsed(
    warned: list[warnings.WarningMessage], arguments: dict[str, Any]
) -> None:
    start(**arguments)

    found = [str(warning.message) for warning in warned if warning.category is UserWarning]
    if CALLS_ON_KILL or arguments != {"deferrable": True}:
        assert found == []
    else:
        assert len(found) == 1
        assert "stop_after" in found[0]


def test_only_what_was_not_running_before_can_be_stopped_so_a_snapshot_can_t_ask_for_it() -> None:
    with pytest.raises(TypeError, match="stop_on_kill"):
        DswCreateSnapshotOperator(task_id="t", instance_id=ID, image_url="registry/a:1", stop_on_kill=True)


def test_a_task_can_be_copied_after_it_ran(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    task = make(DswStartInstanceOperator)
    run(task, context())

    copy.deepcopy(task)


# What is asked for, and when


# A StopInstance without an answer that says what became of it, and how many are sent.
UNCLEAR: list[Any] = [
    pytest.param({"status": 503}, 2, id="503"),
    pytest.param({"drop": True}, 2, id="dropped"),
    pytest.param({"drop": True, "performed": True}, 1, id="performed"),
]


@pytest.mark.filterwarnings("ignore:.*stop_on_kill:UserWarning")
@pytest.mark.parametrize(("fault", "sent"), UNCLEAR)
def test_a_stop_whose_answer_is_lost_is_asked_for_again_unless_it_is_seen(
    make: Make, emulator: DswEmulator, fault: dict[str, Any], sent: int
) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.start_timeline = [("Starting", 60), ("Running", None)]
    emulator.fault("StopInstance", **fault)

    with pytest.raises(DswTimeoutError):
        run(make(DswStartInstanceOperator, stop_on_kill=True, timeout=0.2), context(**LAST))

    assert emulator.status(ID) in ("Stopping", "Stopped")
    assert stops(emulator) == sent


@pytest.mark.parametrize(("fault", "sent"), UNCLEAR)
def test_so_it_is_by_the_trigger(
    dsw_default: DswEmulator, no_pauses: None, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], sent: int
) -> None:
    async def ended_by_person(*_: Any) -> bool:
        return True

    monkeypatch.setattr("airflow_provider_dsw.triggers.stop_on_kill.amay_stop_instance", ended_by_person)
    dsw_default.add_instance(ID, "Starting")
    dsw_default.stop_timeline = [("Stopping", 60), ("Stopped", None)]
    dsw_default.fault("StopInstance", **fault)

    asyncio.run(DswInstanceTrigger(instance_id=ID, stop_on_kill=True).on_kill())

    assert dsw_default.status(ID) == "Stopping"
    assert stops(dsw_default) == sent


@pytest.mark.filterwarnings("ignore:.*stop_on_kill:UserWarning")
def test_a_start_that_is_shown_late_is_stopped_all_the_same(make: Make, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    emulator.start_timeline = [("Starting", 60), ("Running", None)]
    emulator.stale_reads = 1000

    with pytest.raises(DswTimeoutError):
        run(make(DswStartInstanceOperator, stop_on_kill=True, timeout=0.2), context(**LAST))

    assert stops(emulator) == 1


@pytest.mark.parametrize("stop_on_kill", [False, True])
@pytest.mark.parametrize("statuses", [["Stopped"], ["Stopping", "Stopping", "Stopped"]], ids=["at once", "blocked"])
def test_a_task_that_was_ended_before_its_request_does_not_make_it(
    dsw_default: DswEmulator, statuses: list[str], stop_on_kill: bool
) -> None:
    dsw_default.add_instance(ID, per_poll=statuses)
    dsw_default.start_timeline = ["Running"]
    task = start(stop_on_kill=stop_on_kill)
    # Airflow's handler of SIGTERM calls it, and lets the task go on until SIGKILL.
    dsw_default.on_request = lambda _: task.on_kill()

    with pytest.raises(DswOperationFailedError, match="StartInstance of dsw-abc was not sent"):
        run(task)

    assert dsw_default.calls("StartInstance") == []
