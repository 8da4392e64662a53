"""A traceback with the local variables of each frame, as pytest's --showlocals prints it, shows no secret either."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from airflow_provider_dsw import secrets
from airflow_provider_dsw.client.connection_fields import secret_fields
from airflow_provider_dsw.client.http import HttpExchange
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.emulator.operations import ACTIONS
from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswGetInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.version_compat import AirflowException
from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import StatusCondition, Wait, evaluate
from tests.support import task_runs
from tests.support.strangers import Stranger, chain
from tests.system.faults.calls import ID, OPERATIONS

KEY, TOKEN, GIVEN = "the-key-secret-of-all", "the-security-token", "the-secret-that-a-call-was-given"
OF_INSTANCE = "the-secret-of-the-instance"
OF_CONNECTION = {name: f"the-secret-{name}-of-the-connection" for name in secret_fields()} | {"security_token": TOKEN}
stranger = Stranger(KEY, *OF_CONNECTION.values(), GIVEN, OF_INSTANCE)


class Interrupted(BaseException):
    """As a task's timeout, from a signal."""


@pytest.fixture
def service(emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch, no_pauses: None) -> DswEmulator:
    # Those of other tests.
    monkeypatch.setattr(secrets, "_known", {})
    monkeypatch.setattr(secrets, "_known_forms", ())
    emulator.set_credentials({"key-id": {"secret": KEY, "security_token": TOKEN}})
    connection = emulator.connection()
    connection["extra"] |= OF_CONNECTION
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(connection))
    return emulator


def shown_with_locals(call: Callable[[], object]) -> str:
    """Return what is shown of the error that a call ends with; nothing of one that takes the answer for its own."""
    try:
        call()
    except (AirflowException, ValueError, Interrupted) as error:
        frames = [frame for link in chain(error) for frame, _ in traceback.walk_tb(link.__traceback__)]
        return "\n".join([*traceback.format_exception(error), *(repr(frame.f_locals) for frame in frames)])
    return ""


def echo(**more: Any) -> dict[str, Any]:
    return {"times": None, "code": "Bad", "message": f"Key {KEY}, {OF_CONNECTION}.", **more}


FAILURES: dict[str, dict[str, Any]] = {
    "refused": echo(status=400),
    "denied": echo(status=403),
    "down": echo(status=503),
    "not about it": {"times": None, "body": json.dumps({"InstanceId": TOKEN, "Env": KEY})},
    "no JSON": {"times": None, "body": f"<html>{KEY}"},
    "gone": {"times": None, "drop": True},
}
SECRET_BODY = {"EnvironmentVariables": {"A": GIVEN}}
LABELS = f"/api/v2/instances/{ID}/labels"
# Each argument of a call that may hold a secret, with one in it.
SECRET_ARGUMENTS: dict[str, Callable[[DswHook], Any]] = {
    "get_instance(token)": lambda hook: hook.get_instance(ID, token=GIVEN),
    "aget_instance(token)": lambda hook: asyncio.run(hook.aget_instance(ID, token=GIVEN)),
    "create_instance(body)": lambda hook: hook.create_instance(SECRET_BODY),
    "call(query)": lambda hook: hook.call("ListLabels", path=LABELS, query={"Token": GIVEN}),
    "call(body)": lambda hook: hook.call("UpdateInstanceLabels", method="PUT", path=LABELS, body=SECRET_BODY),
}
# Those that hold none.
NO_SECRETS = {"list_instances(filters)"}
CALLS = {**{name: operation.call for name, operation in OPERATIONS.items()}, **SECRET_ARGUMENTS}


def test_a_call_works_with_the_secrets_of_the_connection(service: DswEmulator) -> None:
    service.add_instance(ID)
    try:
        found = DswHook().get_instance(ID)
    except DswError as error:
        pytest.fail(f"a value in OF_CONNECTION has to be one that works, with a secret in it: {error}")

    assert found["InstanceId"] == ID


@pytest.mark.parametrize("failure", FAILURES)
def test_no_frame_of_a_call_that_failed_shows_a_secret(service: DswEmulator, failure: str) -> None:
    service.fault(**FAILURES[failure])
    for name, call in CALLS.items():
        shown = shown_with_locals(partial(call, DswHook()))
        assert stranger.leaked(shown) == [], name


def test_pytest_itself_shows_none(service: DswEmulator) -> None:
    service.fault(**FAILURES["refused"])
    with pytest.raises(DswError) as raised:
        CALLS["get_instance(token)"](DswHook())

    shown = str(raised.getrepr(showlocals=True, style="long", truncate_locals=False))

    assert "call       = ApiCall" in shown
    assert "HTTP 400" in shown
    assert stranger.leaked(shown.partition("airflow_provider_dsw")[2]) == []


@pytest.mark.parametrize("name", SECRET_ARGUMENTS)
def test_no_frame_of_a_call_shows_what_it_was_given(service: DswEmulator, name: str) -> None:
    service.fault(times=None, status=400, code="Bad", message=f"{GIVEN} is bad.")

    shown = shown_with_locals(partial(CALLS[name], DswHook()))

    assert "DswRequestError" in shown
    assert stranger.leaked(shown) == []


@pytest.mark.parametrize("call", CALLS)
def test_no_frame_of_a_call_that_was_interrupted_shows_a_secret(
    service: DswEmulator, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def feed(self: HttpExchange, data: bytes) -> None:
        raise Interrupted

    monkeypatch.setattr(HttpExchange, "feed", feed)
    hook = DswHook()

    shown = shown_with_locals(lambda: CALLS[call](hook))

    assert "Interrupted" in shown
    assert stranger.leaked(shown) == []


SECRET: dict[str, Any] = {"EnvironmentVariables": {"A": OF_INSTANCE}, "CredentialConfig": {"B": OF_INSTANCE}}
BODY = {"InstanceName": "a", "EcsSpec": "ecs.g6.large", "ImageUrl": "registry/a:1", **SECRET}
TASKS: dict[str, Callable[[], Any]] = {
    "sensor": lambda: DswInstanceSensor(task_id="a", instance_id=ID),
    "sensor, deferrable": lambda: DswInstanceSensor(task_id="a", instance_id=ID, deferrable=True),
    "get": lambda: DswGetInstanceOperator(task_id="a", instance_id=ID, fields={"a": "sum(InstanceId)"}),
    "start": lambda: DswStartInstanceOperator(task_id="a", instance_id=ID, poke_interval=0.01),
    "stop": lambda: DswStopInstanceOperator(task_id="a", instance_id=ID, poke_interval=0.01),
    "delete": lambda: DswDeleteInstanceOperator(task_id="a", instance_id=ID, poke_interval=0.01),
    "save": lambda: DswCreateSnapshotOperator(
        task_id="a", instance_id=ID, image_url="registry/a:1", poke_interval=0.01
    ),
    "create": lambda: DswCreateInstanceOperator(task_id="a", body=BODY, poke_interval=0.01),
}


@pytest.mark.parametrize("name", TASKS)
def test_no_frame_of_a_task_that_failed_shows_what_is_secret_of_the_instance(service: DswEmulator, name: str) -> None:
    service.start_timeline = ["Creating", "Failed"]
    service.add_instance(ID, "Failed", **SECRET)
    for action in ACTIONS:
        if not action.startswith(("Get", "List")) and action != "CreateInstance":  # one that is created fails later
            service.fault(action, times=None, status=400, code="Bad", message="No.")
    task = TASKS[name]()

    shown = shown_with_locals(lambda: task.execute(task_runs.context()))

    assert "Error" in shown
    assert stranger.leaked(shown) == []


def test_what_a_poll_finds_is_shown_without_the_answer() -> None:
    found = PollResult({"Status": "Running", **SECRET}, {"Status": OF_INSTANCE})

    assert stranger.leaked(repr(found), repr(evaluate(Wait(StatusCondition(ID)), found))) == []


def test_asyncio_shows_no_secret_when_it_debugs(
    service: DswEmulator, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    service.add_instance(ID)
    caplog.set_level(logging.DEBUG)

    async def call() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.0  # each is logged
        hook = DswHook()
        await hook.aget_instance(ID, token=GIVEN)
        service.fault(**echo(status=400))
        with pytest.raises(DswError):
            await hook.aget_instance(ID, token=GIVEN)

    asyncio.run(call(), debug=True)

    assert "took" in caplog.text
    assert stranger.leaked(caplog.text, capfd.readouterr()) == []


@pytest.mark.parametrize("name", ["Token", "AccessToken", "securityToken", "Password", "ClientSecret"])
def test_a_parameter_that_is_secret_by_its_name_is_not_shown(
    service: DswEmulator, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.fault(times=None, status=400, code="Bad", message=f"{name} {GIVEN} is bad.")

    with pytest.raises(DswError) as raised:
        DswHook().call("GetLifecycle", path=f"/api/v2/instances/{ID}/lifecycle", query={name: GIVEN})

    assert stranger.leaked(raised.value, raised.value.message, caplog.text) == []


def test_the_token_of_a_next_page_is_no_secret(service: DswEmulator) -> None:
    service.fault(times=None, status=400, code="Bad", message="NextToken page-2-of-list is bad.")

    with pytest.raises(DswError, match="page-2-of-list"):
        DswHook().call("GetLifecycle", path=f"/api/v2/instances/{ID}/lifecycle", query={"NextToken": "page-2-of-list"})
