"""A creation: one instance for each task instance, and never somebody else's."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.exceptions import (
    DswOperationFailedError,
    DswTimeoutError,
    DswTransientError,
    DswWaitFailedError,
)
from airflow_provider_dsw.operators.create import BODY_FIELDS
from airflow_provider_dsw.operators.dsw import DswCreateInstanceOperator
from airflow_provider_dsw.version_compat import TaskDeferred
from tests.support.task_runs import carried_over, context, run
from tests.unit.operators.conftest import Make

BODY = {"InstanceName": "nightly", "EcsSpec": "ecs.g6.xlarge", "ImageUrl": "registry/a:1", "WorkspaceId": "40823"}
LAST = {"try_number": 3, "max_tries": 2}
CHANGES = {
    "CreateInstance": "create",
    "StartInstance": "start",
    "StopInstance": "stop",
    "DeleteInstance": "delete",
    "CreateInstanceShutdownTimer": "set",
}


@pytest.fixture
def create(make: Make, dsw_default: DswEmulator) -> Make:
    """Make an operator that creates an instance."""
    dsw_default.delete_timeline = ["Deleting", None]

    def made(**arguments: Any) -> Any:
        return make(DswCreateInstanceOperator, **{"body": BODY, **arguments})

    return made


def made(emulator: DswEmulator) -> list[tuple[str, int | None]]:
    return [(CHANGES[r.action], r.status) for r in emulator.requests if r.action in CHANGES]


def living(emulator: DswEmulator) -> dict[str, str | None]:
    return {name: status for name, status in emulator.statuses().items() if status is not None and "/" not in name}


def test_it_creates_one_and_returns_its_details(create: Make, emulator: DswEmulator) -> None:
    found = run(create())

    assert made(emulator) == [("create", 200)]
    assert living(emulator) == {found["InstanceId"]: "Running"}
    assert (found["Status"], found["InstanceName"]) == ("Running", "nightly")


def test_the_body_is_sent_as_it_is_with_one_label_more(create: Make, emulator: DswEmulator) -> None:
    own, others = {"Key": "team", "Value": "a"}, {"Key": "airflow-task", "Value": "another task's"}
    run(create(body={**BODY, "Labels": [others, own], "Priority": 3}))

    (request,) = emulator.calls("CreateInstance")
    sent = json.loads(request.body)
    assert sent["Labels"][0] == own
    assert [label["Key"] for label in sent["Labels"]] == ["team", "airflow-task"]
    assert sent["Labels"][1] != others
    assert {**sent, "Labels": [own]} == {**BODY, "Labels": [own], "Priority": 3}


@pytest.mark.parametrize("late_lists", [0, 2])
@pytest.mark.parametrize(
    ("status", "requests"),
    [
        (["Creating", "Creating", "Starting", "Running"], []),
        (["Queuing", "Queuing", "Running"], []),
        (["Running"], []),
        (["Stopped"], [("start", 200)]),
        (["Failed"], [("start", 200)]),
        (["Stopping", "Stopping", "Stopped"], [("start", 200)]),
        (["Saving", "Saving", "Running"], []),
        (["Deleting", "Deleting", "Deleting", "Deleting", "Deleting", "Deleting", None], [("create", 200)]),
        ([None], [("create", 200)]),
    ],
)
@pytest.mark.parametrize("of_task", [{"try_number": 2}, {"try_number": 2, "max_tries": 3}], ids=["retried", "cleared"])
def test_a_later_try_finds_what_an_earlier_one_has_created(
    create: Make,
    emulator: DswEmulator,
    status: list[Any],
    requests: list[Any],
    of_task: dict[str, Any],
    late_lists: int,
) -> None:
    first = run(create())["InstanceId"]
    emulator.set_instance(first, per_poll=status)
    emulator._instances[first].late_lists = late_lists
    emulator.clear_requests()

    found = run(create(), context(**of_task))

    assert made(emulator) == requests
    assert found["Status"] == "Running"
    assert (found["InstanceId"] == first) == (("create", 200) not in requests)


@pytest.mark.parametrize(
    "other", [{"dag_id": "other"}, {"run_id": "other"}, {"task_id": "other"}, {"map_index": 7}], ids=str
)
def test_each_task_instance_has_its_own(create: Make, emulator: DswEmulator, other: dict[str, Any]) -> None:
    first = run(create())["InstanceId"]

    second = run(create(), context(2, **other))["InstanceId"]

    assert first != second
    assert len(emulator.calls("CreateInstance")) == 2


@pytest.mark.parametrize("label_filter", [True, False])
def test_nobody_else_s_is_taken_over_from_full_pages_of_the_like(
    create: Make, emulator: DswEmulator, label_filter: bool
) -> None:
    emulator.label_filter = label_filter
    for number in range(210):
        labels = [{"Key": "airflow-task", "Value": f"{number:032}"}, {"Key": "team", "Value": "a"}]
        emulator.add_instance(f"dsw-{number}", "Running", InstanceName="nightly", Labels=labels if number % 2 else [])

    first = run(create())["InstanceId"]
    second = run(create(), context(2))["InstanceId"]

    assert first == second
    assert made(emulator) == [("create", 200)]


# A request without an answer


@pytest.mark.parametrize("late_lists", [0, 5])
@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        ({"drop": True, "performed": True}, 1),
        ({"status": 500, "performed": True}, 1),
        ({"drop": True}, 2),
        ({"status": 503}, 2),
    ],
)
def test_a_lost_answer_is_looked_up_by_the_label_first(
    create: Make, emulator: DswEmulator, fault: dict[str, Any], requests: int, late_lists: int
) -> None:
    emulator.late_lists = late_lists
    emulator.fault("CreateInstance", **fault)

    found = run(create())

    assert len(emulator.calls("CreateInstance")) == requests
    assert living(emulator) == {found["InstanceId"]: "Running"}


@pytest.mark.parametrize("wait_for_completion", [True, False])
@pytest.mark.parametrize("is_retried", [True, False])
def test_a_second_one_that_a_lost_request_has_created_is_deleted(
    create: Make, emulator: DswEmulator, wait_for_completion: bool, is_retried: bool
) -> None:
    """It is listed too late, so that the request is sent again: by the try that has sent it, or by the next one."""
    emulator.delete_timeline = ["Deleting"]
    if is_retried:
        first = run(create(wait_for_completion=False))["InstanceId"]
        emulator._instances[first].late_lists = 4
    else:
        emulator.late_lists = 6
        emulator.fault("CreateInstance", drop=True, performed=True)

    found = run(create(wait_for_completion=wait_for_completion), context(2 if is_retried else 1))

    first, second = living(emulator)
    assert found["InstanceId"] == second
    assert living(emulator)[first] == "Deleting"
    assert made(emulator)[-1] == ("delete", 200)


def test_what_a_person_has_copied_meanwhile_is_not_deleted(create: Make, emulator: DswEmulator) -> None:
    emulator.late_lists = 6

    def copy(request: Request) -> None:
        if request.action == "CreateInstance" and len(emulator.calls("CreateInstance")) == 2:
            labels = json.loads(request.body)["Labels"]
            emulator.add_instance("dsw-copy", Labels=labels, GmtCreateTime="2099-01-31T08:00:00Z")
            emulator.add_instance("dsw-odd", Labels=labels, GmtCreateTime="yesterday")

    emulator.on_request = copy
    emulator.fault("CreateInstance", drop=True)

    found = run(create())

    assert living(emulator) == {found["InstanceId"]: "Running", "dsw-copy": "Running", "dsw-odd": "Running"}


def test_if_nobody_can_look_for_a_second_one_the_task_succeeds(
    create: Make, emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(request: Request) -> None:
        if request.action == "CreateInstance" and len(emulator.calls("CreateInstance")) == 2:
            emulator.fault("ListInstances", times=None, status=503)

    emulator.on_request = fail
    emulator.fault("CreateInstance", drop=True)

    assert run(create())["Status"] == "Running"
    assert "Could not check whether a lost request has created a second instance" in capsys.readouterr().out


def test_where_the_answer_came_no_second_one_is_looked_for(create: Make, emulator: DswEmulator) -> None:
    run(create())

    assert len(emulator.calls("ListInstances")) == 1


def test_a_retry_that_finds_two_names_the_other(
    create: Make, emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(create())["InstanceId"]
    (request,) = emulator.calls("CreateInstance")
    labels = json.loads(request.body)["Labels"]
    emulator.add_instance("dsw-other", Labels=labels, GmtCreateTime="2001-01-31T08:00:00Z")

    assert run(create(), context(2))["InstanceId"] == first
    assert "created dsw-other too. Delete" in capsys.readouterr().out
    assert "dsw-other" in living(emulator)


def test_where_nobody_can_look_nothing_is_created_twice(create: Make, emulator: DswEmulator) -> None:
    emulator.fault("CreateInstance", drop=True, performed=True)

    outage: list[Any] = []

    def fail(request: Request) -> None:
        if request.action == "CreateInstance":
            outage.append(emulator.fault("ListInstances", times=None, status=503))

    emulator.on_request = fail
    with pytest.raises(DswTransientError, match="CreateInstance"):
        run(create())
    outage[0].times = 1
    found = run(create(), context(2))

    assert len(emulator.calls("CreateInstance")) == 1
    assert living(emulator) == {found["InstanceId"]: "Running"}


# A replica that is behind: GetInstance does not find what was created


@pytest.mark.parametrize("stale_reads", [2, 12])
def test_one_that_is_shown_late_is_waited_for(create: Make, emulator: DswEmulator, stale_reads: int) -> None:
    emulator.stale_reads = stale_reads

    assert run(create())["Status"] == "Running"
    assert made(emulator) == [("create", 200)]


@pytest.mark.parametrize("wait_for_completion", [True, False])
@pytest.mark.parametrize("stale_reads", [2, 12])
def test_what_is_listed_is_not_created_again_though_it_is_shown_late(
    create: Make, emulator: DswEmulator, stale_reads: int, wait_for_completion: bool
) -> None:
    """The earlier try was killed right after its request."""
    emulator.start_timeline = ["Creating", "Creating", "Starting", "Running"]
    first = run(create(wait_for_completion=False))["InstanceId"]
    emulator._instances[first].appear(stale_reads)

    found = run(create(stop_after=60, wait_for_completion=wait_for_completion), context(2))

    assert found["InstanceId"] == first
    assert made(emulator) == [("create", 200), ("set", 200)]


@pytest.mark.parametrize(("stale_reads", "list_is"), [(9, "there"), (9, "unavailable"), (2, "late")])
def test_one_that_was_shown_before_is_not_gone_while_it_is_listed_or_shown(
    create: Make, emulator: DswEmulator, stale_reads: int, list_is: str
) -> None:
    emulator.start_timeline = ["Creating", "Creating", "Creating", "Starting", "Running"]

    def hide(request: Request) -> None:
        if len(emulator.calls("GetInstance")) == 2:
            (instance_id,) = emulator.statuses()
            emulator._instances[instance_id].appear(stale_reads)
            emulator.on_request = None
            if list_is == "unavailable":
                emulator.fault("ListInstances", times=None, status=503)
            emulator._instances[instance_id].late_lists = 9 if list_is == "late" else 0

    emulator.on_request = hide

    assert run(create())["Status"] == "Running"
    assert made(emulator) == [("create", 200)]


@pytest.mark.parametrize(
    ("arguments", "of_task", "requests"),
    [
        ({"timeout": 0.3, "stop_on_kill": True, "delete_on_failure": False}, LAST, ["create", "stop"]),
        ({"timeout": 0.3}, LAST, ["create", "delete"]),
    ],
)
@pytest.mark.filterwarnings("ignore:.*stop_on_kill:UserWarning")
def test_one_that_is_never_shown_is_not_left_running(
    create: Make, emulator: DswEmulator, arguments: dict[str, Any], of_task: Any, requests: list[str]
) -> None:
    emulator.stale_reads = 1000

    with pytest.raises(DswTimeoutError, match="last seen: not shown yet"):
        run(create(**arguments), context(**of_task))

    assert [what for what, status in made(emulator) if status == 200] == requests


# How it fails


def test_retries_ask_again_until_there_is_stock(create: Make, emulator: DswEmulator) -> None:
    emulator.no_stock = 3
    for number in (1, 2, 3):
        with pytest.raises(DswOperationFailedError, match="NoStock"):
            run(create(), context(number, max_tries=5))

    assert run(create(), context(4, max_tries=5))["Status"] == "Running"
    assert [status for _, status in made(emulator)] == [400, 400, 400, 200]


def test_a_retry_starts_what_has_failed(create: Make, emulator: DswEmulator) -> None:
    emulator.next_starts = [["Queuing", "Failed"]]
    with pytest.raises(DswOperationFailedError, match="Failed"):
        run(create())

    assert run(create(), context(2))["Status"] == "Running"
    assert made(emulator) == [("create", 200), ("start", 200)]


@pytest.mark.parametrize("deletable", ["any", "stopped"])
@pytest.mark.parametrize(
    ("timeline", "arguments", "raised"),
    [
        (["Queuing", "Queuing", "Failed"], {}, DswOperationFailedError),
        (["Queuing"], {"timeout": 0.2}, DswTimeoutError),
        (["Queuing", "Stopping", "Stopped"], {}, DswOperationFailedError),
    ],
)
def test_the_last_try_has_it_deleted_after_its_events_were_logged(
    create: Make,
    emulator: DswEmulator,
    capsys: pytest.CaptureFixture[str],
    timeline: list[str],
    arguments: dict[str, Any],
    raised: type[Exception],
    deletable: str,
) -> None:
    emulator.deletable = deletable
    emulator.start_timeline = timeline
    emulator.stop_timeline = [("Stopping", 0.1), ("Stopped", None)]

    with pytest.raises(raised):
        run(create(**arguments), context(**LAST))

    actions = [request.action for request in emulator.requests]
    assert actions.index("GetInstanceEvents") < actions.index("DeleteInstance")
    assert "Last events of DSW instance dsw-" in capsys.readouterr().out
    assert set(living(emulator).values()) <= {"Deleting"}


@pytest.mark.parametrize(
    ("arguments", "of_task", "deleted", "stopped"),
    [
        ({}, {"try_number": 2, "max_tries": 2}, 0, 0),
        ({"delete_on_failure": False}, LAST, 0, 0),
        ({"delete_on_failure": False, "stop_on_kill": True}, LAST, 0, 1),
        ({"stop_on_kill": True}, LAST, 1, 0),
    ],
)
@pytest.mark.filterwarnings("ignore:.*stop_on_kill:UserWarning")
def test_what_becomes_of_it_when_a_try_fails(
    create: Make, emulator: DswEmulator, arguments: dict[str, Any], of_task: Any, deleted: int, stopped: int
) -> None:
    emulator.start_timeline = ["Queuing"]

    with pytest.raises(DswTimeoutError):
        run(create(timeout=0.2, **arguments), context(**of_task))

    assert (len(emulator.calls("DeleteInstance")), len(emulator.calls("StopInstance"))) == (deleted, stopped)


def test_what_is_to_be_deleted_is_gone_only_if_the_deletion_says_so(create: Make, emulator: DswEmulator) -> None:
    emulator.start_timeline = ["Queuing", "Failed"]
    emulator.fault("DeleteInstance", status=503)

    def hide(request: Request) -> None:
        if request.action == "DeleteInstance" and request.status == 503:
            emulator.fault("GetInstance", status=404)

    emulator.on_request = hide
    with pytest.raises(DswOperationFailedError):
        run(create(), context(**LAST))

    assert made(emulator) == [("create", 200), ("delete", 503), ("delete", 200)]


def test_a_last_try_that_is_refused_deletes_what_an_earlier_one_left(create: Make, emulator: DswEmulator) -> None:
    """Its list came late, so that this try has asked for another one."""
    first = run(create())["InstanceId"]
    emulator._instances[first].late_lists = 10  # four before the request, six after it
    emulator.no_stock = 1
    emulator.add_instance("dsw-other", "Running", InstanceName="nightly")

    with pytest.raises(DswOperationFailedError, match="NoStock"):
        run(create(), context(**LAST))

    assert {name for name, status in living(emulator).items() if status == "Running"} == {"dsw-other"}


def test_a_deferred_creation_that_airflow_itself_times_out_for_good_is_found_and_deleted(
    dsw_default: DswEmulator,
) -> None:
    """No event says which instance it was about."""
    dsw_default.start_timeline = ["Queuing"]

    def task() -> DswCreateInstanceOperator:
        return DswCreateInstanceOperator(task_id="t", body=BODY, poke_interval=0.02, deferrable=True)

    with pytest.raises(TaskDeferred):
        task().execute(context(**LAST))
    with pytest.raises(DswTimeoutError):
        task().resume_execution("__fail__", {"error": "Trigger timeout"}, context(**LAST))

    assert made(dsw_default) == [("create", 200), ("delete", 200)]


def test_one_that_somebody_deletes_on_its_way_has_failed_and_a_retry_creates_another(
    create: Make, emulator: DswEmulator
) -> None:
    emulator.next_starts = [["Creating", "Creating", "Creating", None]]

    with pytest.raises(DswOperationFailedError, match="was deleted before"):
        run(create())
    assert run(create(), context(2))["Status"] == "Running"


def test_without_permission_to_list_nothing_is_created(create: Make, emulator: DswEmulator) -> None:
    emulator.fault("ListInstances", times=None, status=403, code="NoPermission")

    with pytest.raises(DswWaitFailedError, match="NoPermission"):
        run(create())

    assert made(emulator) == []


# With the timer


def test_it_sets_the_timer_right_after_the_request(create: Make, emulator: DswEmulator) -> None:
    emulator.timer_needs = "running"

    run(create(stop_after=timedelta(hours=1)))

    assert made(emulator) == [("create", 200), ("set", 400), ("set", 200)]


def test_if_the_timer_can_t_be_set_it_is_stopped_and_in_the_last_try_deleted(
    create: Make, emulator: DswEmulator
) -> None:
    emulator.fault("CreateInstanceShutdownTimer", times=None, status=403, code="NoPermission")

    with pytest.raises(DswWaitFailedError, match="shutdown timer"):
        run(create(stop_after=60))

    assert [what for what, _ in made(emulator)] == ["create", "set", "stop", "delete"]
    assert set(living(emulator).values()) <= {"Deleting"}


# Killed


class Killed(BaseException):
    """The process is gone."""


def test_killed_right_after_the_request(create: Make, emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = create()

    def killed(*arguments: Any, **more: Any) -> None:
        raise Killed

    monkeypatch.setattr(task, "_after_request", killed)
    monkeypatch.setattr(task, "_clean_up", killed)
    with pytest.raises(Killed):
        task.execute(context())

    found = run(create(), context(2))

    assert made(emulator) == [("create", 200)]
    assert living(emulator) == {found["InstanceId"]: "Running"}


def test_a_task_that_is_ended_while_it_asks_stops_what_it_has_created(
    dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = DswCreateInstanceOperator(task_id="t", body=BODY, stop_on_kill=True, poke_interval=0.02)
    asks = task.hook.create_instance

    def ended(body: Any) -> Any:
        task.on_kill()
        return asks(body)

    def gone(*arguments: Any, **more: Any) -> None:
        raise Killed

    monkeypatch.setattr(task.hook, "create_instance", ended)
    monkeypatch.setattr(task, "_wait_for", gone)
    with pytest.raises(Killed):
        task.execute(context())

    assert list(living(dsw_default).values()) in (["Stopping"], ["Stopped"])


def test_a_trigger_knows_which_instance_it_is_about(dsw_default: DswEmulator) -> None:
    task = DswCreateInstanceOperator(task_id="t", body=BODY, poke_interval=1, deferrable=True)

    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())

    assert carried_over(deferred.value.trigger).instance_id == task.instance_id
    assert task.instance_id in dsw_default.statuses()


# Arguments


@pytest.mark.parametrize("wrong", [None, {}, "", "InstanceName", [], 7, True, {**BODY, "Labels": {"team": "a"}}])
def test_a_body_that_is_none_is_said_where_the_dag_is_parsed(wrong: Any) -> None:
    with pytest.raises(ValueError, match="body"):
        DswCreateInstanceOperator(task_id="t", body=wrong)


def test_an_unknown_name_is_a_warning_and_is_sent(
    create: Make, emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    run(create(body={**BODY, "InstanceNam": "a", "Brandnew": 1}))

    log = capsys.readouterr().out
    assert "documents no field 'InstanceNam'. Did you mean 'InstanceName'? It is sent as it is." in log
    assert "documents no field 'Brandnew'. It is sent as it is." in log
    assert {"InstanceNam", "Brandnew"} <= set(json.loads(emulator.calls("CreateInstance")[0].body))


def test_the_known_names_are_the_sdk_s() -> None:
    from alibabacloud_pai_dsw20220101.models import CreateInstanceRequest

    model = CreateInstanceRequest()
    of_model = {name.replace("_", "") for name in vars(model) if not name.startswith("_")}
    known = {name.lower() for name in BODY_FIELDS}
    assert of_model <= known
    # The oldest SDK that is supported lacks these.
    assert known - of_model <= {"accessrestrictionrules", "dockerconfig", "migrationoptions"}


def test_without_a_wait_it_ends_when_it_has_asked(create: Make, emulator: DswEmulator) -> None:
    emulator.start_timeline = [("Creating", 60), ("Running", None)]

    found = run(create(wait_for_completion=False))

    assert found["Status"] == "Creating"
    assert found["InstanceId"] in emulator.statuses()


def test_outside_of_airflow_it_works_too(create: Make, emulator: DswEmulator) -> None:
    emulator.fault("CreateInstance", drop=True, performed=True)

    assert run(create(), {"ti": SimpleNamespace()})["Status"] == "Running"
    assert len(emulator.calls("CreateInstance")) == 1
