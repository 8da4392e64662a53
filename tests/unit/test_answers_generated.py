"""What the service says is text from a stranger, wherever it goes: answers that are generated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_dsw import secrets
from airflow_provider_dsw.client import api
from airflow_provider_dsw.client.failures import Failure, outcome_of
from airflow_provider_dsw.details import select
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.links.dsw import links_of
from airflow_provider_dsw.mixins import DswTaskMixin
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswGetInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.polling import PollLog, event_from_error, xcom_value
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.base import DswBaseTrigger
from airflow_provider_dsw.version_compat import AirflowException, TaskDeferred
from airflow_provider_dsw.waits.answers import PollResult, shutdown_timer
from airflow_provider_dsw.waits.conditions import (
    ExpressionCondition,
    Outcome,
    SnapshotByIdCondition,
    SnapshotCondition,
    StatusCondition,
    Wait,
)
from airflow_provider_dsw.waits.documented_fields import DOCUMENTED_FIELDS
from airflow_provider_dsw.waits.operations import Baseline, Operation
from airflow_provider_dsw.waits.progress import progress
from airflow_provider_dsw.waits.transitions import detect_transitions
from tests.support import task_runs
from tests.support.arguments import arguments_of_class
from tests.support.strangers import LONGEST_WORD, Stranger, parsed

ID, SNAPSHOT = "dsw-abc", "snp-abc"
KEY, TOKEN = "the-key-secret/of+all", 'a"sharing=token&for<one>'
stranger = Stranger(KEY, TOKEN)
quickly = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


def examples(few: int, many: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("number", [few, pytest.param(many, marks=pytest.mark.slow)])


TIMES = st.sampled_from(("2026-01-31T08:00:00Z", "2026-01-31T09:00:00Z", "9999-12-31T23:59:59-14:00"))
NAMES = (*DOCUMENTED_FIELDS, "SnapshotId")
SNAPSHOTS = st.builds(
    lambda said, usual: usual | said,
    stranger.objects("Status", "SnapshotId", "ImageId", "ImageUrl", "ImageName", "GmtCreateTime", "ReasonCode"),
    st.fixed_dictionaries({"GmtCreateTime": TIMES, "Status": st.sampled_from(("Saved", "Failed", "Pushing"))}),
)
USUAL = st.fixed_dictionaries(
    {
        "InstanceId": st.just(ID),
        "Status": st.sampled_from(("Running", "Stopped", "Starting", "Failed", "Saving")),
        "GmtModifiedTime": TIMES,
        "LatestSnapshot": SNAPSHOTS,
        "InstanceSnapshotList": st.lists(SNAPSHOTS, max_size=2),
    }
)
INSTANCES = st.builds(lambda usual, said: usual | said, USUAL, stranger.objects(*NAMES))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know these secrets and no others."""
    monkeypatch.setattr(secrets, "_known", {})
    monkeypatch.setattr(secrets, "_known_forms", ())
    secrets.register_secrets([KEY, TOKEN])


# Without HTTP


CONDITIONS = (
    StatusCondition(ID),
    StatusCondition(ID, failure_statuses=("Failed",)),
    SnapshotCondition(ID, snapshot_image="registry/a:1"),
    SnapshotCondition(ID, snapshot_created_after=datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
    SnapshotCondition(ID),
    SnapshotByIdCondition(ID, snapshot_id=SNAPSHOT),
    ExpressionCondition(ID, until="Labels[?Key=='a'] || contains(ReasonMessage, 'a') || max_by(Tags, &a) > `1`"),
    ExpressionCondition(ID, until="sort(keys(@)) && join('', Labels) && sum(Datasets) && to_number(Status)"),
)


@examples(40, 300)
def test_a_poll_means_something_whatever_the_answer(number: int) -> None:
    @settings(quickly, max_examples=number)
    @given(before=INSTANCES, after=INSTANCES, snapshot=SNAPSHOTS, saves=st.booleans())
    def check(before: dict[str, Any], after: dict[str, Any], snapshot: dict[str, Any], saves: bool) -> None:
        before, after, snapshot = parsed(before), parsed(after), parsed(snapshot)
        operation = Operation(Baseline.of(before), reversible=True, saves_image=saves).after(after)
        stranger.assert_stored(operation.as_json())
        assert Operation.from_json(json.loads(json.dumps(operation.as_json()))) == operation
        for target in ("Running", "Stopped"):
            progress(target, after)
        shutdown_timer(after)
        for condition in CONDITIONS:
            seen = None
            for found in (PollResult(before, snapshot), PollResult(after, snapshot)):
                seen, entered = detect_transitions(condition, found, seen)
                stranger.assert_stored([seen, *(xcom_value(condition, verdict) for verdict in entered)])
            for wait in (Wait(condition), Wait(condition, operation)):
                log = PollLog()
                try:
                    verdict, line = log.record(wait, PollResult(after, snapshot), tolerate_transient=True)
                except DswError as error:
                    stranger.assert_error(error)
                    stranger.assert_stored(event_from_error(error))
                    continue
                stranger.assert_line(line.text if line else "")
                stranger.assert_stored(log.as_json())
                if verdict.outcome is Outcome.SUCCESS:
                    stranger.assert_stored(xcom_value(condition, verdict))

    check()


@examples(25, 200)
def test_details_and_links_can_be_stored_whatever_the_answer(number: int) -> None:
    urls = st.one_of(
        stranger.values,
        st.tuples(st.sampled_from(("https://dsw.example/", "javascript:", "http://", "")), stranger.texts).map("".join),
        st.sampled_from(("https://dsw.example/\n", "https://dsw.example/\u202egnp", "https://dsw.example/\ud800")),
    )
    pages = dict.fromkeys(("InstanceUrl", "JupyterlabUrl", "WebIDEUrl", "TerminalUrl", "WorkspaceId"), urls)

    @settings(quickly, max_examples=number)
    @given(answer=INSTANCES, links=st.fixed_dictionaries(pages))
    def check(answer: dict[str, Any], links: dict[str, Any]) -> None:
        answer, links = parsed(answer), parsed(links)
        for fields in (None, ["Labels", "Datasets", "UserVpc", "ReasonMessage"], {"all": "@", "keys": "keys(@)"}):
            stranger.assert_stored(select(answer, fields))
        for shown in (links_of({**answer, **links}, "cn-hangzhou"), links_of(answer, None)):
            stranger.assert_stored(shown)
            for url in shown.values():
                assert url == "" or url.startswith(("http://", "https://"))
                stranger.assert_line(url)
                assert " " not in url

    check()


def test_what_is_secret_of_an_instance_is_shown_on_request_in_a_form_that_can_be_stored() -> None:
    answer = {"EnvironmentVariables": {"A": f"{KEY}\0\ud800\u202e"}, "Datasets": [[float("inf")]]}

    details = select(answer, ["EnvironmentVariables", "Datasets"], include_sensitive=True)

    assert KEY in details["EnvironmentVariables"]["A"]
    json.dumps(details, ensure_ascii=False, allow_nan=False).encode()
    assert "\0" not in str(details["EnvironmentVariables"]["A"])


# By the function of client/api.py.
CALLS = {
    "get_instance": api.get_instance(ID, None, None),
    "get_instance_snapshot": api.get_instance_snapshot(ID, SNAPSHOT),
    "list_instances": api.list_instances({}),
    "list_instance_snapshots": api.list_instance_snapshots(ID),
    "start_instance": api.start_instance(ID),
    "stop_instance": api.stop_instance(ID, False),
    "create_instance": api.create_instance({"InstanceName": "a"}),
    "create_instance_snapshot": api.create_instance_snapshot(ID, "a", "registry/a:1", None, None, None, None),
    "delete_instance": api.delete_instance(ID),
    "get_instance_events": api.get_instance_events(ID, None),
    "get_lifecycle": api.get_lifecycle(ID, 1),
    "create_shutdown_timer": api.create_shutdown_timer(ID, 600),
    "delete_shutdown_timer": api.delete_shutdown_timer(ID),
    "any_operation": api.any_operation("GetLifecycle", "GET", f"/api/v2/instances/{ID}/lifecycle", None, None),
}


@examples(40, 300)
def test_an_error_is_one_line_whatever_the_answer(number: int) -> None:
    refusal = ("Code", "Message", "RequestId", "code", "message", "requestId", "Success", "HttpStatusCode")
    lists = ("InstanceId", "SnapshotId", "Instances", "Snapshots", "Events", "Lifecycle")

    @settings(quickly, max_examples=number)
    @given(
        call=st.sampled_from([*CALLS.values()]),
        status=st.sampled_from((200, 400, 403, 404, 409, 429, 500, 503)),
        body=st.one_of(stranger.objects(*refusal), stranger.objects(*lists), stranger.values),
    )
    def check(call: api.ApiCall, status: int, body: Any) -> None:
        outcome = outcome_of(status, {}, parsed(body))
        if not isinstance(outcome, Failure):
            wrong = call.check(outcome)
            if wrong is None:
                return
            outcome = Failure(cause=wrong)
        error = outcome.error(
            description=call.description, action=call.request.action, endpoint="a", attempt="", changes=False
        )
        stranger.assert_error(error)
        for value in (error.code, error.request_id):
            assert value is None or len(value) <= LONGEST_WORD
        assert error.status_code is None or 100 <= error.status_code < 600

    check()


# Through real HTTP


class Log:
    """What a task, a hook or a trigger writes to its log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, level: int, text: object, *values: object) -> None:
        self.lines.append(str(text) % values if values else str(text))

    async def alog(self, level: int, text: object, *values: object) -> None:
        self.log(level, text, *values)

    def __getattr__(self, name: str) -> Any:
        if name not in ("debug", "info", "warning", "error", "ainfo", "awarning", "aerror"):
            raise AttributeError(name)
        write = self.alog if name.startswith("a") else self.log
        return lambda text, *values: write(0, text, *values)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    for owner in (DswTaskMixin, DswBaseTrigger, DswHook):
        monkeypatch.setattr(owner, "log", log, raising=False)
    return log


BODY = {"InstanceName": "a", "EcsSpec": "ecs.g6.large", "ImageUrl": "registry/a:1"}
IMAGE = "registry.cn-hangzhou.aliyuncs.com/ns/repo:tag"
USUAL_ARGUMENTS: dict[str, Any] = {"instance_id": ID, "poke_interval": 0.01, "timeout": 0.2}
TASKS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "sensor": (DswInstanceSensor, {}),
    "snapshot": (DswInstanceSensor, {"wait_for_snapshot": True}),
    "one snapshot": (DswInstanceSensor, {"snapshot_id": SNAPSHOT}),
    "until": (DswInstanceSensor, {"until": "length(keys(Labels[0])) > `1`"}),
    "get": (DswGetInstanceOperator, {"fields": {"all": "@"}}),
    "start": (DswStartInstanceOperator, {"stop_after": 600, "stop_on_kill": True}),
    "start, at once": (DswStartInstanceOperator, {"wait_for_completion": False}),
    "stop": (DswStopInstanceOperator, {"save_image": True}),
    "save": (DswCreateSnapshotOperator, {"image_url": IMAGE}),
    "save, at once": (DswCreateSnapshotOperator, {"image_url": IMAGE, "wait_for_completion": False}),
    "create": (DswCreateInstanceOperator, {"body": BODY}),
    "delete": (DswDeleteInstanceOperator, {}),
}
# What each answer has to hold for the task to go on; the rest is the stranger's.
NEEDED: dict[str, dict[str, Any]] = {
    "StartInstance": {"InstanceId": ID},
    "StopInstance": {"InstanceId": ID},
    "DeleteInstance": {"InstanceId": ID},
    "CreateInstance": {"InstanceId": ID},
    "CreateInstanceShutdownTimer": {"InstanceId": ID},
    "DeleteInstanceShutdownTimer": {"InstanceId": ID},
    "CreateInstanceSnapshot": {"InstanceId": ID, "SnapshotId": SNAPSHOT},
    "GetInstanceSnapshot": {"InstanceId": ID, "SnapshotId": SNAPSHOT, "Status": "Saved"},
    "ListInstances": {"Instances": []},
    "ListInstanceSnapshot": {"InstanceId": ID, "Snapshots": []},
    "GetInstanceEvents": {"InstanceId": ID, "Events": ["2026-01-31T08:00:00Z Pulled"]},
    "GetLifecycle": {"InstanceId": ID, "Lifecycle": [[{"Status": "Running", "GmtCreateTime": "2026-01-31T08:00:00Z"}]]},
}
EVENTS = st.fixed_dictionaries({"Events": st.lists(stranger.texts, min_size=1, max_size=2)})
LIFECYCLE = st.fixed_dictionaries({"Status": stranger.values, "GmtCreateTime": TIMES}).map(
    lambda phase: {"Lifecycle": [[phase]]}
)
SAID = st.fixed_dictionaries(
    {
        action: st.one_of(
            stranger.objects("RequestId"),
            stranger.objects("RequestId", "InstanceId", "SnapshotId", "TotalCount"),
            *([EVENTS] if action == "GetInstanceEvents" else [LIFECYCLE] if action == "GetLifecycle" else []),
            *([stranger.objects("Status", "ImageId")] if action == "GetInstanceSnapshot" else []),
        )
        for action in NEEDED
    }
)
BEFORE = {"start": ("Stopped", "Starting"), "start, at once": ("Stopped", "Starting"), "stop": ("Running", "Stopping")}
FIELDS = tuple(name for name in DOCUMENTED_FIELDS if name not in ("InstanceId", "Status", "GmtModifiedTime"))
STATUSES = st.one_of(st.sampled_from(("Running", "Stopped", "Failed")), stranger.texts)
TIMERS = st.dictionaries(st.sampled_from(("DueTime", "RemainingTimeInMs", "GmtCreateTime")), stranger.values)


def json_of(said: Mapping[str, Any]) -> bytes:
    return json.dumps(parsed(said)).encode()


def run(task: Any, of_task: Any) -> Iterator[tuple[str, Any]]:
    """Run a task, deferred or not, and return all that Airflow would keep of it."""
    try:
        yield "stored", task.execute(of_task)
        for extra in (of_task["outlet_events"][outlet].extra for outlet in task.outlets):
            yield "stored", extra
        return
    except TaskDeferred as deferred:
        waits: Any = deferred
    except AirflowException as error:
        yield "error", error
        return
    for _ in range(9):
        yield "stored", waits.trigger.serialize()[1]
        event = asyncio.run(task_runs.first_event(task_runs.carried_over(waits.trigger)))
        yield "stored", event
        try:
            yield "stored", task.resume_execution(waits.method_name, {"event": event}, of_task)
            return
        except TaskDeferred as again:
            waits = again
        except AirflowException as error:
            yield "error", error
            return


@examples(2, 5)
@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.usefixtures("no_pauses")
def test_a_task_shows_and_stores_nothing_of_a_stranger_as_it_came(
    name: str,
    deferrable: bool,
    number: int,
    dsw_default: DswEmulator,
    links_written: list[str],
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("airflow_provider_dsw.operators.submission.CONFIRM_PAUSE", 0.0)

    @settings(quickly, max_examples=number)
    @given(fields=stranger.objects(*FIELDS), said=SAID, status=STATUSES, snapshot=SNAPSHOTS, timer=TIMERS)
    def check(
        fields: dict[str, Any], said: dict[str, Any], status: str, snapshot: dict[str, Any], timer: dict[str, Any]
    ) -> None:
        secrets.register_secrets([KEY, TOKEN])
        log.lines.clear()
        dsw_default.clear_faults()
        usual = {"LatestSnapshot": snapshot, "InstanceSnapshotList": [snapshot], "InstanceShutdownTimer": timer}
        for step in [*BEFORE.get(name, ()), status, "Running"]:
            answer = {"InstanceId": ID, **usual, "Status": step, **fields}
            last = step == "Running"
            dsw_default.fault("GetInstance", times=None if last else 1, body=json_of(answer))
        for action, usual in NEEDED.items():
            dsw_default.fault(action, times=None, body=json_of({**usual, **said[action]}))
        made, arguments = TASKS[name]
        dsw_default.clear_requests()
        given = {**USUAL_ARGUMENTS, "deferrable": deferrable}
        taken = {key: value for key, value in given.items() if key in arguments_of_class(made)}
        task = made(task_id="a", do_xcom_push=True, **taken, **arguments)
        for kind, found in run(task, task_runs.context()):
            if kind == "error":
                assert isinstance(found, AirflowException)
                stranger.assert_error(found)
            else:
                stranger.assert_stored(found)
        stranger.assert_stored(links_written)
        for line in log.lines:
            stranger.assert_line(line)
        unknown = {request.action for request in dsw_default.requests} - {"GetInstance", *NEEDED}
        assert not unknown, f"NEEDED in tests/unit/test_answers_generated.py lacks what {unknown} answers at least"

    check()


@examples(5, 100)
@pytest.mark.usefixtures("no_pauses")
def test_the_connection_test_says_nothing_of_a_stranger_as_it_came(number: int, dsw_default: DswEmulator) -> None:
    @settings(quickly, max_examples=number)
    @given(
        said=stranger.objects("Instances", "TotalCount", "RequestId", "Code", "Message", "HttpStatusCode", "Success")
    )
    def check(said: dict[str, Any]) -> None:
        dsw_default.clear_faults()
        dsw_default.fault("ListInstances", times=None, body=json_of({"Instances": [], **said}))
        _, words = DswHook().test_connection()
        stranger.assert_line(words)

    check()


@examples(2, 5)
def test_the_details_that_a_task_gets_can_be_stored(number: int, dsw_default: DswEmulator, log: Log) -> None:
    @settings(quickly, max_examples=number)
    @given(fields=stranger.objects(*DOCUMENTED_FIELDS))
    def check(fields: dict[str, Any]) -> None:
        dsw_default.clear_faults()
        dsw_default.fault("GetInstance", times=None, body=json_of({**fields, "InstanceId": ID}))
        for wanted in (None, ["Labels", "Tags"], {"all": "@"}):
            task = DswGetInstanceOperator(task_id="a", instance_id=ID, fields=wanted)
            stranger.assert_stored(task.execute(task_runs.context()))
        for line in log.lines:
            stranger.assert_line(line)

    check()
