"""
Each message that a DAG author can meet: what is wrong with what stands where Airflow's page does not cut it off, then
what was asked of whom, then what to do, in a sentence of its own.

Airflow's grid shows the first 150 characters of an error. Each text that the package gives to an error is produced
here: one that no case produces fails a test.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from unittest import mock

import pytest
from airflow.sdk import Connection

import airflow_provider_dsw
from airflow_provider_dsw import validation
from airflow_provider_dsw.client import api, causes, credentials, failures
from airflow_provider_dsw.client.connection import parse
from airflow_provider_dsw.client.connection_fields import REQUIRED_FIELDS
from airflow_provider_dsw.client.failures import Failure, from_look_up_exception
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.expressions import compile_expression
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.hooks.shared import shared_hook
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswGetInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger
from airflow_provider_dsw.version_compat import AirflowException, AirflowSensorTimeout, AirflowTaskTimeout
from airflow_provider_dsw.waits.conditions import KINDS, WaitCondition
from tests.support.task_runs import context, run
from tests.unit.client.test_connection import FIELDS
from tests.unit.test_wait_arguments import SAMPLES

ID = "dsw-730abcdefghijklmno"  # as long as the service's own
SHOWN = 150

pytestmark = pytest.mark.usefixtures("no_pauses")


def make(task: type, **arguments: Any) -> Any:
    return task(**{"task_id": "t", "poke_interval": 0.02, "timeout": 5, **arguments})


def wait(**arguments: Any) -> Any:
    return make(DswInstanceSensor, instance_id=ID, **arguments)


def start(**arguments: Any) -> Any:
    return make(DswStartInstanceOperator, instance_id=ID, **arguments)


def stop(**arguments: Any) -> Any:
    return make(DswStopInstanceOperator, instance_id=ID, **arguments)


def save(**arguments: Any) -> Any:
    return make(DswCreateSnapshotOperator, instance_id=ID, image_url="registry/a:1", snapshot_name="a", **arguments)


def delete(**arguments: Any) -> Any:
    return make(DswDeleteInstanceOperator, instance_id=ID, **arguments)


def create(**arguments: Any) -> Any:
    body = {"InstanceName": "a", "EcsSpec": "ecs.c6.large", "ImageId": "image-1", "WorkspaceId": "1"}
    return make(DswCreateInstanceOperator, body=body, **arguments)


def details(**arguments: Any) -> Any:
    return DswGetInstanceOperator(task_id="t", instance_id=ID, **arguments)


def is_in(status: str, **fields: Any) -> Callable[[DswEmulator], None]:
    def prepare(emulator: DswEmulator) -> None:
        emulator.add_instance(ID, status, **fields)

    return prepare


def answers(action: str, *, instance: str = "Running", **fault: Any) -> Callable[[DswEmulator], None]:
    def prepare(emulator: DswEmulator) -> None:
        emulator.add_instance(ID, instance)
        emulator.fault(action, times=None, **fault)

    return prepare


DENIED: dict[str, Any] = {"status": 403, "code": "NoPermission"}
REFUSED: dict[str, Any] = {"status": 400, "code": "NoStock", "message": "No GPU is left"}
TAKEN: dict[str, Any] = {"status": 400, "code": "ValidationError", "message": "a exists already"}
DOWN: dict[str, Any] = {"status": 503, "code": "ServiceUnavailable"}
WORKERS_AND_TRIGGERERS: list[Any] = [pytest.param(False, id="worker"), pytest.param(True, id="deferred")]
# What the service does, the task, what stands where the page shows it, and what the end says.
MESSAGES: list[Any] = [
    pytest.param(is_in("Failed", ReasonCode="NoStock"), wait, ["Failed", "NoStock"], "console", id="failed"),
    pytest.param(lambda emulator: None, wait, ["no such instance"], "region", id="no-such-instance"),
    pytest.param(answers("GetInstance", **DENIED), wait, ["denied"], "paidsw:GetInstance", id="denied"),
    pytest.param(answers("GetInstance", **DOWN), wait, ["can't answer"], "A later attempt may succeed", id="down"),
    pytest.param(answers("GetInstance", **REFUSED), wait, ["NoStock"], "change what it names", id="refused"),
    pytest.param(
        is_in("Starting"), lambda **a: wait(**a, **LATE), ["Timed out", "Starting"], "longer timeout", id="late"
    ),
    pytest.param(
        is_in("Starting"), lambda **a: start(**a, **LATE), ["Timed out", "Starting"], "longer timeout", id="start-late"
    ),
    pytest.param(
        answers("StartInstance", instance="Stopped", **REFUSED), start, ["NoStock"], "retry", id="start-refused"
    ),
    pytest.param(
        answers("StartInstance", instance="Stopped", **DENIED),
        start,
        ["denied"],
        "paidsw:StartInstance",
        id="start-denied",
    ),
    pytest.param(answers("StopInstance", **REFUSED), stop, ["NoStock"], "retry", id="stop-refused"),
    pytest.param(answers("CreateInstanceSnapshot", **REFUSED), save, ["NoStock"], "retry", id="save-refused"),
    pytest.param(answers("CreateInstanceSnapshot", **TAKEN), save, ["ValidationError"], "overwrite=True", id="taken"),
    pytest.param(
        answers("CreateInstanceSnapshot", **TAKEN), save, ["ValidationError"], "snapshot_name", id="taken-name"
    ),
    pytest.param(answers("CreateInstanceSnapshot", **TAKEN), save, ["ValidationError"], "image_url", id="taken-image"),
    pytest.param(answers("CreateInstance", **TAKEN), create, ["ValidationError"], "InstanceName", id="taken-instance"),
    pytest.param(answers("DeleteInstance", **REFUSED), delete, ["NoStock"], "retry", id="delete-refused"),
    pytest.param(answers("CreateInstance", **REFUSED), create, ["NoStock"], "retry", id="create-refused"),
    pytest.param(
        answers("CreateInstance", **REFUSED), create, ["NoStock"], "refuses it again, change", id="create-refused-again"
    ),
    pytest.param(lambda emulator: None, details, ["no such instance"], "region", id="details-of-none"),
    pytest.param(answers("GetInstance", **DENIED), details, ["denied"], "paidsw:GetInstance", id="details-denied"),
]
LATE: dict[str, Any] = {"timeout": 0.05}
ENDS = [param.values for param in MESSAGES]


@pytest.mark.parametrize("deferrable", WORKERS_AND_TRIGGERERS)
@pytest.mark.parametrize(("prepare", "task", "causes", "remedy"), MESSAGES)
def test_what_ends_a_task_begins_with_cause_and_instance_and_has_a_remedy(
    prepare: Callable[[DswEmulator], None],
    task: Callable[..., Any],
    causes: list[str],
    remedy: str,
    deferrable: bool,
    dsw_default: DswEmulator,
) -> None:
    prepare(dsw_default)
    arguments = {} if task is details else {"deferrable": deferrable}

    with pytest.raises((DswError, AirflowSensorTimeout)) as raised:
        run(task(**arguments))

    text = str(raised.value)
    named = "CreateInstance" if task is create else ID
    assert [part for part in [named, *causes] if part not in text[:SHOWN]] == []
    assert [sentence for sentence in text.split(". ")[1:] if remedy in sentence]


@pytest.mark.parametrize("kind", KINDS)
def test_so_does_the_failure_of_a_wait_of_each_kind(kind: type[WaitCondition], dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, "Failed", ReasonCode="OfThisTestAlone")  # so that no sample can be met by it
    dsw_default.add_snapshot(ID, SAMPLES["snapshot_id"], "Failed")

    with pytest.raises(DswError) as raised:
        run(wait(deferrable=False, **{name: SAMPLES[name] for name in kind.chosen_by[:1]}))

    text = str(raised.value)
    assert [part for part in (ID, "Failed") if part not in text[:SHOWN]] == []
    assert [sentence for sentence in text.split(". ")[1:] if "console" in sentence], text


@pytest.mark.parametrize("action", ["StopInstance", "DeleteInstance"])
def test_a_refusal_says_its_cause_then_what_the_service_says_then_who_was_asked(
    action: str, dsw_default: DswEmulator
) -> None:
    answers(action, **{**REFUSED, "message": "What the service says. " * 10})(dsw_default)

    with pytest.raises(DswError) as raised:
        run({"StopInstance": stop, "DeleteInstance": delete}[action](deferrable=False))

    text = str(raised.value)
    assert text.startswith(f"{action} of {ID}: the service refused the request (HTTP 400, Code NoStock")
    parts = ["RequestId", "What the service says", f"Requested of {dsw_default.endpoint}", "A retry of the task"]
    assert sorted(parts, key=text.index) == parts


def test_the_longest_endpoint_hides_no_cause() -> None:
    error = Failure(status=403, code="NoPermission").error(
        description=f"GetInstanceSnapshot of snp-05cefd0be2exxxx of {ID}",
        action="GetInstanceSnapshot",
        endpoint=f"{'a' * 200}.example.com (connection '{'c' * 200}')",
        attempt="",
        changes=False,
    )

    assert [part for part in (ID, "access denied", "NoPermission") if part not in str(error)[:SHOWN]] == []


# All the others


@dataclass(frozen=True)
class Case:
    """
    What raises one message, and its parts.

    :param do: raises it, on an emulator.
    :param subject: what it is about: an argument, a connection, an instance.
    :param cause: what is wrong with it.
    :param remedy: what to do, in a sentence of its own.
    """

    do: Callable[[DswEmulator], object]
    subject: str
    cause: str
    remedy: str


def check(name: str, *arguments: Any, **more: Any) -> Callable[[DswEmulator], object]:
    return lambda _: getattr(validation, name)("it", *arguments, **more)


def connect(region: str | None = None, **fields: Any) -> Callable[[DswEmulator], object]:
    usual = {"conn_id": "c", "conn_type": "dsw", "login": "id", "password": "key", "host": "127.0.0.1"}
    extra = fields.pop("extra", None)
    given = {**usual, **fields, "extra": extra if isinstance(extra, str) else json.dumps(extra or {})}
    return lambda _: parse(Connection(**given), region)


def details_of(*fields: Any) -> Callable[[DswEmulator], object]:
    def do(emulator: DswEmulator) -> None:
        emulator.add_instance(ID)
        details(fields=fields[0]).execute({})

    return do


def waits(*prepare: Callable[[DswEmulator], None], task: Callable[..., Any] = wait, **more: Any) -> Any:
    def do(emulator: DswEmulator) -> None:
        for each in prepare:
            each(emulator)
        run(task(**more))

    return do


def can_not_look_up(ask: Callable[[], object]) -> Callable[[DswEmulator], object]:
    def do(_: DswEmulator) -> None:
        looks_up = [f"airflow_provider_dsw.hooks.dsw.{name}" for name in ("get_connection", "aget_connection")]
        with ExitStack() as patched:
            for name in looks_up:
                patched.enter_context(mock.patch(name, side_effect=ConnectionResetError))
            ask()

    return do


def through_the_proxy(url: str) -> Callable[[DswEmulator], object]:
    def do(_: DswEmulator) -> None:
        with mock.patch.dict(os.environ, {"http_proxy": url}):
            run(wait())

    return do


async def enter_shared_hook() -> None:
    async with shared_hook("dsw_default"):
        pass


def is_rendered_to_false(_: DswEmulator) -> None:
    task = wait(wait_for_snapshot=True)
    task.wait_for_snapshot = False
    task.condition()


def is_ended_before_it_asks(emulator: DswEmulator) -> None:
    emulator.add_instance(ID, "Stopped")
    task = start(deferrable=False)
    emulator.on_request = lambda _: task.on_kill()
    task.execute(context())


def goes_away_on_its_way(emulator: DswEmulator) -> None:
    emulator.next_starts = [["Creating", "Creating", "Creating", None]]


def takes_timers_late(emulator: DswEmulator) -> None:
    emulator.timer_needs = "running"
    emulator.start_timeline = [("Starting", 0.6), ("Running", None)]
    emulator.add_instance(ID, "Stopped")


def has_a_failed_snapshot(emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    emulator.snapshot_timeline = ["Committing", "Failed"]


PASS_ONE = "Pass one"
CORRECT = "Correct it in the connection"
DAY: Any = datetime(9999, 12, 31, 23, 59, tzinfo=UTC).isoformat().replace("+00:00", "-14:00")
CASES: dict[str, Case] = {
    # Arguments, where the DAG is parsed
    "the task": Case(lambda _: wait(until="abs("), "Task 't': until", "not valid JMESPath", "https://jmespath.org"),
    "boolean": Case(check("boolean", "yes"), "it", "neither True nor False", "choose between two tasks"),
    "seconds": Case(check("seconds", -1), "it", "not a number of seconds above 0", "Pass one of these"),
    "century": Case(check("seconds", 1e12), "it", "longer than a hundred years", "Pass less"),
    "whole number": Case(check("whole_number", 0.5), "it", "not a whole number", "Pass an int"),
    "id": Case(check("identifier", "a/b"), "it", "not a valid id", "Ids are letters"),
    "snapshot name": Case(check("snapshot_name", "A"), "it", "not a name of lowercase", "Choose one"),
    "image url": Case(check("image_url", " "), "it", "names no image", "Name the repository"),
    "image": Case(check("image", ""), "it", "not an ImageId", "Pass one as a string"),
    "moment": Case(check("moment", "soon"), "it", "neither a datetime nor ISO 8601", "Write it like"),
    "time zone": Case(check("moment", "2026-01-31"), "it", "has no time zone", "Add one"),
    "years": Case(check("moment", DAY), "it", "not between the years", "Choose a time"),
    "expression": Case(check("expression", 7), "it", "not a JMESPath expression", "Write one as a string"),
    "no expression": Case(
        lambda _: compile_expression("it", ""), "it", "not a JMESPath expression", "Write one as a string"
    ),
    "deep": Case(check("expression", "(" * 5000), "it", "nested too deeply", "Choose a simpler one"),
    "function": Case(check("expression", "f(@)"), "it", "no function f()", "https://jmespath.org"),
    "arguments": Case(check("expression", "abs(@, @)"), "it", "abs() takes 1 arguments", "https://jmespath.org"),
    "no status": Case(check("target_statuses", []), "it", "empty", "Name at least one status"),
    "status": Case(check("statuses", ["Runing"]), "it", "not an instance status", "Did you mean 'Running'?"),
    "single status": Case(check("statuses", "Failed"), "it", "a single status", "Write a list of them"),
    "texts": Case(check("texts", "/mnt"), "it", "not a list of strings", "Write one as"),
    "labels": Case(check("labels", 7), "it", "neither a dict of name", "Pass one of these"),
    "label": Case(check("labels", {"a": None}), "it['a']", "None is not a string", "Leave the label out"),
    "body": Case(check("body", "x"), "it", "not a dict of the API's names", PASS_ONE),
    "empty body": Case(check("body", {}), "it", "empty", "The API page of the operation lists its fields"),
    "JSON": Case(check("json_value", object()), "it", "JSON can't express", "Convert it first"),
    "query": Case(check("query", 7), "it", "not a dict of the API's names", PASS_ONE),
    "scalar": Case(check("parameter", object()), "it", "neither a string, a finite number", "Convert it first"),
    "text": Case(check("text", 7), "it", "not a string", PASS_ONE),
    "empty text": Case(check("text", ""), "it", "empty", "Pass a string with more than white space"),
    "surrogate": Case(check("text", "\ud800"), "it", "a lone surrogate", "Remove it"),
    "fields": Case(details_of(7), "fields", "neither a list of field names", "Write e.g."),
    "no fields": Case(details_of([]), "fields", "empty", "Leave it out"),
    "field": Case(details_of([7]), "fields", "not a name", "Write each as a string"),
    "return_value": Case(details_of({"return_value": "a"}), "fields", "the key under which", "Use another name"),
    "unknown field": Case(details_of(["Statu"]), "fields", "documents no field 'Statu'", "Did you mean 'Status'?"),
    "contradiction": Case(
        lambda _: wait(until="a", target_status="Running"), "target_status", "takes no target_status", "Leave one"
    ),
    "watcher": Case(
        lambda _: DswInstanceEventTrigger(instance_id="{{ x }}"), "instance_id", "does not render", "Pass the value"
    ),
    "create's labels": Case(
        lambda _: DswCreateInstanceOperator(task_id="t", body={"Labels": "a"}),
        "body",
        "Labels is not a list",
        "Write it as",
    ),
    "filter": Case(lambda _: DswHook().list_instances(statu=1), "list_instances", "no filter 'statu'", "Did you mean"),
    "order": Case(lambda _: DswHook().list_instances(order="ASC"), "list_instances", "go together", "Pass both"),
    "any call": Case(lambda _: DswHook().call("", path="/a"), "action", "not valid", "Write it like"),
    # Arguments, where they are rendered or used
    "rendered": Case(is_rendered_to_false, "wait_for_snapshot", "rendered to False", "Check what the template refers"),
    "fields of an answer": Case(
        details_of({"n": "abs(Missing)"}), "fields['n']", "abs() takes number, not null", "Choose an"
    ),
    "fields of two types": Case(
        details_of({"n": "Status > `1`"}), "fields['n']", "compares values of different types", "Choose an expression"
    ),
    # The connection
    "no lookup": Case(
        can_not_look_up(lambda: run(wait())), "'dsw_default'", "can't look up connection", "check Airflow's API server"
    ),
    "no lookup in a triggerer": Case(
        can_not_look_up(lambda: asyncio.run(enter_shared_hook())),
        "'dsw_default'",
        "can't look up connection",
        "check Airflow's API server",
    ),
    "choice": Case(connect(extra={"network": "vpn"}), "'c'", "extra 'network' is 'vpn'", "Did you mean 'vpc'?"),
    "timeout": Case(connect(extra={"read_timeout": 0}), "'c'", "must be a number of seconds", CORRECT),
    "region": Case(connect("a b"), "'c'", "not a region id", "Correct it, or the argument region"),
    "extra": Case(connect(extra="{"), "'c'", "extra is not a JSON object", CORRECT),
    "extra's value": Case(connect(extra={"region": []}), "'c'", "must be a string or a number", CORRECT),
    "no endpoint": Case(connect(host=None), "'c'", "nor host is set", "Set one of them in the connection"),
    "host": Case(connect(host="http://a"), "'c'", "host must be a host name", "Choose https or http"),
    "no login": Case(connect(login=None), "'c'", "login (the AccessKey id) is not set", "Set it in the connection"),
    "key": Case(connect(password="a b"), "'c'", "a character that no Alibaba Cloud key has", "Copy the key"),
    "credentials' URI": Case(
        connect(extra={"auth_type": "credentials_uri", "credentials_uri": "localhost"}), "'c'", "not a URL", CORRECT
    ),
    "STS": Case(
        connect(extra={"auth_type": "ram_role_arn", "role_arn": "a", "sts_endpoint": "https://a"}),
        "'c'",
        "'sts_endpoint' must be a host name",
        CORRECT,
    ),
    "policy": Case(
        connect(extra={"auth_type": "ram_role_arn", "role_arn": "a", "role_session_name": "a", "policy": "x"}),
        "'c'",
        "not a RAM policy",
        CORRECT,
    ),
    "role session": Case(
        connect(
            extra={"auth_type": "ram_role_arn", "role_arn": "a", "role_session_name": "a", "role_session_expiration": 1}
        ),
        "'c'",
        "must be a number of seconds, 900 or more",
        CORRECT,
    ),
    "proxy": Case(
        through_the_proxy("socks5://a"), ID, "a proxy that is not an http:// URL", "Check host, region, protocol"
    ),
    "malformed proxy": Case(
        through_the_proxy("http://[a"), ID, "a proxy that is not an http:// URL", "Check host, region, protocol"
    ),
    # The end of a wait
    "execution_timeout": Case(
        waits(is_in("Starting"), deferrable=True, execution_timeout=timedelta(seconds=0.01)),
        ID,
        "Timed out after the execution_timeout",
        "set a longer execution_timeout",
    ),
    "expression's failure": Case(
        waits(is_in("Failed"), until="Gpu"), ID, "is Failed and can no longer satisfy", "Fix the instance"
    ),
    "snapshot's instance": Case(
        waits(is_in("Failed"), snapshot_image="a"),
        ID,
        "is Failed and its snapshot can no longer",
        "Fix the instance",
    ),
    "snapshot": Case(
        waits(has_a_failed_snapshot, task=save), ID, "The snapshot of DSW instance", "a retry of the task"
    ),
    "killed": Case(is_ended_before_it_asks, ID, "was not sent: the task was ended", "Clear the task"),
    "deleted": Case(
        waits(goes_away_on_its_way, task=create), "DSW instance dsw-", "was deleted before", "creates another one"
    ),
    "timer": Case(
        waits(takes_timers_late, task=start, stop_after=0.3),
        ID,
        "could not be set (stop_after=0.3 s)",
        "Set a longer stop_after",
    ),
    "timer refused": Case(
        waits(answers("CreateInstanceShutdownTimer", instance="Stopped", **DENIED), task=start, stop_after=60),
        ID,
        "shutdown timer of",
        "paidsw:CreateInstanceShutdownTimer",
    ),
}


def message(do: Callable[[DswEmulator], object], emulator: DswEmulator) -> str:
    with pytest.raises((ValueError, AirflowException, AirflowTaskTimeout)) as raised:
        do(emulator)
    return str(raised.value)


def assert_form(text: str, subject: str, cause: str, remedy: str) -> None:
    first, *others = re.split(r"(?<=[.?!]) ", text)
    late = [part for part in (subject, cause) if part not in text[:SHOWN]]
    assert late == [], f"not in the first {SHOWN} characters of: {text}"
    assert [sentence for sentence in others if remedy in sentence], text
    assert remedy not in first


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_message_begins_with_cause_and_subject_and_ends_with_a_remedy(case: Case, dsw_default: DswEmulator) -> None:
    assert_form(message(case.do, dsw_default), case.subject, case.cause, case.remedy)


def text_of(failure: Failure) -> str:
    """The message of a failed call, as the hook makes it."""
    return str(
        failure.error(
            description=f"GetInstance of {ID}",
            action="GetInstance",
            endpoint="dsw.example.com (connection 'c')",
            attempt="(attempt 4 of 4)",
            changes=False,
        )
    )


def assert_form_of_failure(failure: Failure, cause: str) -> None:
    text = text_of(failure)
    assert [part for part in (ID, cause) if part not in text[:SHOWN]] == [], text
    answer, _, after = text.partition(" Requested of dsw.example.com (connection 'c'). ")
    assert cause in answer
    assert re.match(r"[A-Z].+[.?] \(attempt 4 of 4\)$|[a-z_]+ .+\. \(attempt 4 of 4\)$", after), text


CAUSES = [value for name, value in vars(causes).items() if name.isupper()]


@pytest.mark.parametrize("cause", CAUSES)
def test_what_goes_wrong_on_the_way_comes_first_too(cause: str) -> None:
    assert_form_of_failure(Failure(cause=cause), cause)


@pytest.mark.parametrize("code", ["Other", *failures._ADVICE])
@pytest.mark.parametrize("status", [400, 403, 404, 429, 503])
def test_so_does_what_the_service_says(status: int, code: str) -> None:
    failure = Failure(status, code, "What it says", "request-1")

    assert_form_of_failure(failure, failures._MEANING[failure.error_class])


@pytest.mark.parametrize("auth_type", REQUIRED_FIELDS)
def test_so_does_what_keeps_the_credentials_from_being_fetched(auth_type: str) -> None:
    needed = {name: FIELDS.get(name, "a") for name in REQUIRED_FIELDS[auth_type]}
    extra = {"auth_type": auth_type, **needed}
    advice = credentials._advice(parse(Connection(conn_id="c", conn_type="dsw", host="a", extra=json.dumps(extra))))

    assert_form_of_failure(Failure(cause=causes.NO_CREDENTIALS, advice=advice), causes.NO_CREDENTIALS)


def test_so_does_a_look_up_after_access_was_denied() -> None:
    assert_form_of_failure(from_look_up_exception("c", OSError()), "can't look up connection 'c'")


CALLS = [
    api.get_instance(ID, None, None),
    api.get_instance_snapshot(ID, "snp-1"),
    api.list_instances({}),
    api.create_instance({"a": 1}),
    api.create_instance_snapshot(ID, "a", "registry/a:1", None, None, None, None),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.request.action)
def test_so_does_what_an_answer_lacks(call: api.ApiCall) -> None:
    wrong = call.check({})
    assert wrong

    assert_form_of_failure(Failure(cause=wrong), wrong)


# That these are all

PACKAGE = Path(airflow_provider_dsw.__file__).parent
# What no DAG author meets as the end of a task, or what is not the package's own text.
NO_MESSAGES = {
    "unreachable": "a mistake in the package itself",
    "The service's answer has no status": "only makes an operator look again",
    " is creating a snapshot that is not listed yet": "only makes an operator look again",
    "Skipping due to ": "Airflow's own text",
    "Skipping due to soft_fail is set to True": "Airflow's own text",
    "Skipping due to never_fail is set to True": "Airflow's own text",
    "` isn't defined": "Airflow's own text",
    " has no attribute ": "Python's own text, where a module lacks a name",
    "the proxy refuses the connection (HTTP ": "a cause of a failed call, as those of client/causes.py",
}


ERROR = re.compile(r"ValueError|(Dsw|Airflow)\w+(Error|Timeout)")


class Site(NamedTuple):
    """Where an error is given its text, and the longest fixed part of that."""

    path: Path
    lines: range
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(PACKAGE)}:{self.lines.start}: {self.text!r}"


def texts_of_errors() -> Iterator[Site]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if "emulator" in path.relative_to(PACKAGE).parts:
            continue
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        raised = [node.exc for node in nodes if isinstance(node, ast.Raise)]
        for node in nodes:
            # What is raised may be made by any name, what is returned to be raised is known by its own.
            if isinstance(node, ast.Call) and (node in raised or ERROR.fullmatch(getattr(node.func, "id", ""))):
                parts = [
                    part.value
                    for argument in node.args[:1]
                    for part in (argument.values if isinstance(argument, ast.JoinedStr) else [argument])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                ]
                if longest := max(parts, key=len, default="").strip("."):
                    yield Site(path, range(node.lineno, (node.end_lineno or node.lineno) + 1), longest)


@contextmanager
def noting(found: set[tuple[str, int]], paths: set[str]) -> Iterator[None]:
    """Note which lines of these files are run in this thread."""

    def note_line(frame: FrameType, event: str, argument: object) -> Any:
        found.add((frame.f_code.co_filename, frame.f_lineno))
        return note_line

    def on_call(frame: FrameType, event: str, argument: object) -> Any:
        return note_line if frame.f_code.co_filename in paths else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(before)


def test_each_text_that_an_error_is_given_is_in_one_of_these_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    produced, sites = [], list(texts_of_errors())
    # That a text is in a message is not enough: it may be another error's, too.
    files: set[str] = {str(site.path) for site in sites}
    lines: set[tuple[str, int]] = set()
    for do in [*(waits(prepare, task=task) for prepare, task, *_ in ENDS), *(case.do for case in CASES.values())]:
        with DswEmulator() as emulator, noting(lines, files):
            monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
            produced.append(message(do, emulator))
            is_lost = sys.gettrace() is None
        if is_lost:  # by a RecursionError in it
            lines |= {(str(site.path), site.lines.start) for site in sites if site.text in produced[-1]}
    all_of_them = "\n".join(produced)

    missing = [
        site
        for site in sites
        if site.text not in all_of_them or not any((str(site.path), line) in lines for line in site.lines)
    ]
    unproduced = [str(site) for site in missing if site.text not in NO_MESSAGES]
    assert not unproduced, (
        f"CASES in tests/unit/test_messages.py lacks a case that produces each of these: {unproduced}. A case says "
        "what raises it, and its parts. A text that no DAG author meets is named in NO_MESSAGES, with the reason."
    )
    assert set(NO_MESSAGES) - {site.text for site in missing} == set(), "NO_MESSAGES names what a case produces"
