"""What the hook's calls send, and what of the answer they hand on."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from alibabacloud_pai_dsw20220101.client import Client

from airflow_provider_dsw import __version__
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswRequestError, DswTransientError
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS, DswHook
from tests.support.beside import SNAPSHOT, add_instance_for
from tests.support.hooks import KEY, connect, connect_to
from tests.support.raw_server import RawServer, http, in_turn, sends
from tests.system.faults.calls import ID, OPERATIONS
from tests.unit.test_answers_generated import CALLS, NEEDED

SENT = {
    "Zeta": "first",
    "InstanceId": ID,
    "Status": "Running",
    "AccumulatedRunningTimeInMs": 2**70 + 1,
    "Price": 0.1,
    "UserName": "测试用户 😀 \u2028",
    "Nothing": None,
    "Empty": {},
    "None": [],
    "Deep": {"b": [{"z": 1, "a": None}], "a": True},
    "snake_case": "as it is",
    "Message": "null",
    "Code": "null",
    "HttpStatusCode": 0,
    "Success": True,
    "Alpha": "last",
}


@pytest.mark.parametrize("body", [json.dumps(SENT).encode(), json.dumps(SENT, ensure_ascii=False).encode()])
def test_an_answer_is_handed_on_whole_and_in_its_order(body, ask, monkeypatch):
    with RawServer(sends(http(200, body))) as server:
        answer = ask(connect_to(monkeypatch, server.port))

    assert answer == SENT
    assert json.dumps(answer) == json.dumps(SENT)  # order and types too


def test_both_ways_hand_on_the_same_for_a_whole_instance(dsw_default):
    dsw_default.add_instance(ID, Tomorrow={"New": [1]})
    hook = DswHook()

    first, second = hook.get_instance(ID), asyncio.run(hook.aget_instance(ID))

    assert list(first) == list(second)
    assert {**first, "RequestId": 0} == {**second, "RequestId": 0}
    assert first["Tomorrow"] == {"New": [1]}


def test_a_request_is_signed_and_names_what_it_is(ask, dsw_default):
    dsw_default.add_instance(ID)

    ask(DswHook(), token="the-sharing+token/=&?x")

    (request,) = dsw_default.requests
    assert (request.action, request.method, request.path) == ("GetInstance", "GET", f"/api/v2/instances/{ID}")
    assert set(request.query) == {"Token"}
    assert request.headers["x-acs-version"] == "2022-01-01"
    assert request.headers["user-agent"] == f"airflow-provider-dsw/{__version__}"


def test_a_token_arrives_as_it_was_given(ask, monkeypatch):
    from urllib.parse import parse_qs, urlsplit

    token = "a+b/c=&?d e~ü"
    with RawServer(sends(http(200, SENT))) as server:
        ask(connect_to(monkeypatch, server.port), token=token)

    assert parse_qs(urlsplit(server.received[0].line.split()[1]).query) == {"Token": [token]}


@pytest.mark.parametrize("nothing", [None, ""])
def test_without_a_token_none_is_sent(nothing, ask, dsw_default):
    dsw_default.add_instance(ID)

    ask(DswHook(), token=nothing)

    assert dsw_default.requests[0].query == {}


def test_fields_are_passed_on_and_the_answer_may_hold_no_id(ask, monkeypatch):
    with RawServer(sends(http(200, {"Status": "Running"}))) as server:
        answer = ask(connect_to(monkeypatch, server.port), fields="Status,ReasonCode")

    assert answer == {"Status": "Running"}
    assert server.received[0].line.split()[1] == f"/api/v2/instances/{ID}?Fields=Status%2CReasonCode"


@pytest.mark.usefixtures("no_pauses")
def test_an_answer_with_some_fields_is_still_about_the_instance(ask, monkeypatch):
    with (
        RawServer(sends(http(200, {"InstanceId": "dsw-xyz"}))) as server,
        pytest.raises(DswTransientError, match="the answer is about InstanceId 'dsw-xyz'"),
    ):
        ask(connect_to(monkeypatch, server.port), fields="InstanceId")


@pytest.mark.parametrize("name", ["token", "fields"])
@pytest.mark.parametrize("bad", [["a"], {"a": 1}, 7, True])
def test_what_is_no_string_is_refused_by_name(name, bad, ask, dsw_default):
    with pytest.raises(ValueError, match=f"^{name}: "):
        ask(DswHook(), **{name: bad})

    assert dsw_default.requests == []


# Any other operation


def test_any_operation_can_be_called(dsw_default):
    dsw_default.add_instance(ID, "Running")

    answer = DswHook().call("GetInstance", path=f"/api/v2/instances/{ID}")
    DswHook().call("StopInstance", method="PUT", path=f"/api/v2/instances/{ID}/stop", query={"SaveImage": True})

    assert answer["InstanceId"] == ID
    assert dsw_default.requests[1].query == {"SaveImage": "true"}


def test_an_operation_s_query_and_body_are_sent_as_given(monkeypatch):
    with RawServer(sends(http(200, {"RequestId": "R"}))) as server:
        hook = connect_to(monkeypatch, server.port)
        answer = hook.call(
            "CreateIdleInstanceCuller",
            method="POST",
            path=f"/api/v2/instances/{ID}/idleinstanceculler",
            query={"A": 1, "B": None, "C": ["x", "y"]},
            body={"MaxIdleTimeInMinutes": 30},
        )

    assert answer == {"RequestId": "R"}
    (received,) = server.received
    assert received.line.startswith(f"POST /api/v2/instances/{ID}/idleinstanceculler?A=1&C=x%2Cy ")
    assert received.headers["x-acs-action"] == "CreateIdleInstanceCuller"
    assert json.loads(received.body) == {"MaxIdleTimeInMinutes": 30}


@pytest.mark.parametrize(
    ("action", "path", "near"),
    [
        ("GetLifecycel", f"instances/{ID}/lifecycle", r" Did you mean 'GetLifecycle'\?"),
        ("listEcsSpecs", "ecsspecs", r" Did you mean 'ListEcsSpecs'\?"),
        ("GetLifecycle", f"instances/{ID}/lifecycles", ""),
        ("Brandnew", "brandnew", ""),
    ],
)
def test_an_operation_that_the_service_does_not_know_is_told_with_the_nearest(action, path, near, dsw_default):
    told = f"^{action}: the service refused .* Check action, method and path of the operation, or host of .*"

    with pytest.raises(DswRequestError, match=rf"{told}\.{near}$"):
        DswHook().call(action, path=f"/api/v2/{path}")


@pytest.mark.parametrize(("method", "requests"), [("GET", MAX_ATTEMPTS), ("POST", 1), ("PUT", 1), ("DELETE", 1)])
@pytest.mark.parametrize("answer", [http(503, {"Code": "Busy"}), http(429, {"Code": "Throttling"})])
@pytest.mark.usefixtures("no_pauses")
def test_only_a_get_operation_is_repeated(method, requests, answer, monkeypatch):
    with RawServer(sends(answer)) as server, pytest.raises(DswTransientError):
        connect_to(monkeypatch, server.port).call("Whatever", method=method, path="/api/v2/whatever")

    assert len(server.received) == requests


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        *(
            ({"path": path}, "path")
            for path in (
                "",
                "api/v2",
                "/api/v2/",
                "//x",
                "/a/../b",
                "/a/.",
                "/a?b=c",
                "/a#b",
                "/a b",
                "/ä",
                "/a%2Fb",
                None,
            )
        ),
        ({"path": "/a", "method": "get"}, "method"),
        ({"path": "/a", "method": "TRACE"}, "method"),
        ({"path": "/a", "action": ""}, "action"),
        ({"path": "/a", "action": "Get Instance"}, "action"),
        ({"path": "/a", "action": "Get\r\nX-Evil: 1"}, "action"),
        ({"path": "/a", "query": "A=1"}, "query"),
        ({"path": "/a", "query": {1: 2}}, "query"),
        ({"path": "/a", "body": '{"A": 1}'}, "body"),
        ({"path": "/a", "body": {"A": object()}}, "body"),
        ({"path": "/a", "body": {"A": float("nan")}}, "body"),
    ],
)
def test_a_malformed_operation_is_refused_by_name_before_anything_is_looked_up(arguments, named):
    with pytest.raises(ValueError, match=f"^{named}: "):
        DswHook("no_such_connection").call(**{"action": "Whatever", **arguments})


# Snapshots


@pytest.fixture(params=["sync", "async"])
def ask_snapshot(request):
    def ask(hook: DswHook, *ids: Any) -> dict[str, Any]:
        if request.param == "sync":
            return hook.get_instance_snapshot(*ids)
        return asyncio.run(hook.aget_instance_snapshot(*ids))

    return ask


def test_a_snapshot_is_asked_for_by_both_ids(ask_snapshot, dsw_default):
    dsw_default.add_instance(ID)
    dsw_default.add_snapshot(ID, "snp-1", "Pushing", image_name="model")

    answer = ask_snapshot(DswHook(), ID, "snp-1")

    assert (answer["InstanceId"], answer["SnapshotId"], answer["Status"]) == (ID, "snp-1", "Pushing")
    assert dsw_default.requests[0].path == f"/api/v2/instances/{ID}/snapshots/snp-1"


@pytest.mark.parametrize(
    "sent",
    [
        {"InstanceId": ID, "SnapshotId": "snp-2"},
        {"InstanceId": "dsw-xyz", "SnapshotId": "snp-1"},
        {"SnapshotId": "snp-2"},
        {"Status": "Saved"},
        {},
    ],
)
@pytest.mark.usefixtures("no_pauses")
def test_an_answer_about_another_snapshot_is_none(sent, ask_snapshot, monkeypatch):
    with RawServer(sends(http(200, sent))) as server, pytest.raises(DswTransientError, match="the answer is about"):
        ask_snapshot(connect_to(monkeypatch, server.port), ID, "snp-1")


@pytest.mark.usefixtures("no_pauses")
def test_an_answer_that_was_meant_for_another_is_asked_for_again(ask, monkeypatch):
    other = {"InstanceId": "dsw-xyz", "Status": "Failed"}
    with RawServer(in_turn(sends(http(200, other)), sends(http(200, SENT)))) as server:
        answer = ask(connect_to(monkeypatch, server.port))

    assert answer == SENT
    assert len(server.received) == 2


# Ids

BAD_IDS = [
    "",
    " ",
    "a/b",
    "../x",
    "dsw-1?x=1",
    "dsw-1#x",
    "dsw%2F1",
    "dsw-ü",
    "*",
    "-dsw",
]


@pytest.mark.parametrize("bad", [*BAD_IDS, "x" * 129, None, 7, 0, b"dsw-1", ["dsw-1"], True])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("instance_id", lambda hook, bad: hook.get_instance(bad)),
        ("instance_id", lambda hook, bad: asyncio.run(hook.aget_instance(bad))),
        ("instance_id", lambda hook, bad: hook.get_instance_snapshot(bad, "snp-1")),
        ("snapshot_id", lambda hook, bad: hook.get_instance_snapshot(ID, bad)),
        ("instance_id", lambda hook, bad: asyncio.run(hook.aget_instance_snapshot(bad, "snp-1"))),
        ("snapshot_id", lambda hook, bad: asyncio.run(hook.aget_instance_snapshot(ID, bad))),
        ("instance_id", lambda hook, bad: hook.start_instance(bad)),
        ("instance_id", lambda hook, bad: hook.stop_instance(bad)),
        ("instance_id", lambda hook, bad: asyncio.run(hook.astop_instance(bad))),
        ("instance_id", lambda hook, bad: hook.list_instance_snapshots(bad)),
        ("instance_id", lambda hook, bad: hook.create_instance_snapshot(bad, snapshot_name="a", image_url="b")),
    ],
    ids=[
        "get",
        "aget",
        "snapshot",
        "snapshot's own",
        "asnapshot",
        "asnapshot's own",
        "start",
        "stop",
        "astop",
        "list",
        "create",
    ],
)
def test_a_malformed_id_is_refused_before_anything_is_looked_up_or_sent(name, call, bad):
    with pytest.raises(ValueError, match=f"^{name}: .* is not a valid id. Ids are letters, digits") as raised:
        call(DswHook("no_such_connection"), bad)

    assert repr(bad) in str(raised.value)


@pytest.mark.parametrize("spaced", ["dsw-1 ", " dsw-1", "dsw-1\n"])
def test_an_id_is_sent_without_what_surrounds_it(spaced, ask, dsw_default):
    dsw_default.add_instance("dsw-1")

    assert ask(DswHook(), spaced)["InstanceId"] == "dsw-1"


@pytest.mark.parametrize("good", ["dsw-730xxxxxxxxxx", "DSW_1", "7", "x" * 128])
def test_a_well_formed_id_is_sent_as_it_is(good, ask, dsw_default):
    dsw_default.add_instance(good)

    assert ask(DswHook(), good)["InstanceId"] == good


# Calls that change something


def test_start_and_stop_send_what_the_api_wants(dsw_default):
    dsw_default.add_instance(ID, "Stopped")
    hook = DswHook()

    assert hook.start_instance(ID)["InstanceId"] == ID
    dsw_default.set_instance(ID, "Running")
    assert hook.stop_instance(ID)["InstanceId"] == ID
    dsw_default.set_instance(ID, "Running")
    assert hook.stop_instance(ID, save_image=True)["InstanceId"] == ID
    dsw_default.set_instance(ID, "Running")
    assert asyncio.run(hook.astop_instance(ID))["InstanceId"] == ID

    assert [(request.method, request.path, request.query) for request in dsw_default.requests] == [
        ("PUT", f"/api/v2/instances/{ID}/start", {}),
        ("PUT", f"/api/v2/instances/{ID}/stop", {"SaveImage": "false"}),
        ("PUT", f"/api/v2/instances/{ID}/stop", {"SaveImage": "true"}),
        ("PUT", f"/api/v2/instances/{ID}/stop", {"SaveImage": "false"}),
    ]


# Of those whose outcome can be looked up; what `call` sends is never repeated.
CHANGES = {name: each for name, each in OPERATIONS.items() if each.changes and each.tries > 1}


@pytest.fixture
def changeable(dsw_default: DswEmulator) -> Callable[[str], str]:
    def made(change: str) -> str:
        """Return the action of a change that the service would now make."""
        action = CHANGES[change].changes
        add_instance_for(dsw_default, action, ID, CHANGES[change].status)
        return action or ""

    return made


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True, "performed": True},
        {"drop": True},
        {"truncate": True},
        {"status": 500},
        {"status": 503, "code": "ServiceUnavailable", "retry_after_ms": 1},
        {"status": 400, "code": "SignatureNonceUsed"},
        {"status": 408},
        {"body": "<html>"},
        {"status": 403, "body": {"message": "Missing Authentication Token"}},
    ],
    ids=str,
)
@pytest.mark.usefixtures("no_pauses")
def test_a_change_that_may_have_been_made_is_not_asked_for_again(change, fault, dsw_default, changeable):
    dsw_default.fault(changeable(change), times=None, **fault)

    with pytest.raises(DswTransientError) as raised:
        CHANGES[change].call(DswHook())

    assert raised.value.may_have_been_performed
    assert len(dsw_default.requests) == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429},
        {"status": 400, "code": "Throttling.User"},
        {"status": 503, "code": "Throttling"},
        {"status": 409, "code": "Whatever", "retry_after_ms": 1},
    ],
    ids=str,
)
@pytest.mark.usefixtures("no_pauses")
def test_a_change_that_was_certainly_not_made_is_asked_for_again(change, fault, dsw_default, changeable):
    dsw_default.fault(changeable(change), times=MAX_ATTEMPTS - 1, **fault)

    CHANGES[change].call(DswHook())

    assert len(dsw_default.requests) == MAX_ATTEMPTS


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("where", [{"host": "127.0.0.1", "port": 1}, {"host": "dsw.invalid"}])
@pytest.mark.usefixtures("no_pauses")
def test_a_change_that_never_got_to_the_service_was_not_made(change, where, monkeypatch):
    hook = connect(monkeypatch, **KEY, **where, extra={"protocol": "http"})

    with pytest.raises(DswTransientError, match=rf"\(attempt {MAX_ATTEMPTS} of {MAX_ATTEMPTS}\)") as raised:
        CHANGES[change].call(hook)

    assert not raised.value.may_have_been_performed


@pytest.mark.usefixtures("no_pauses")
def test_a_question_never_changes_anything(ask, dsw_default):
    dsw_default.fault(times=None, drop=True)

    with pytest.raises(DswTransientError) as raised:
        ask(DswHook())

    assert not raised.value.may_have_been_performed
    assert len(dsw_default.requests) == MAX_ATTEMPTS


def test_what_the_service_does_not_allow_now_is_a_refusal(dsw_default):
    dsw_default.add_instance(ID, "Running")

    with pytest.raises(DswRequestError, match="cannot be started"):
        DswHook().start_instance(ID)

    assert len(dsw_default.requests) == 1


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {}),
        ({"description": "für morgen"}, {"SnapshotDescription": "für morgen"}),
        ({"overwrite": True}, {"Overwrite": True}),
        ({"overwrite": False}, {"Overwrite": False}),
        ({"exclude_paths": ("/mnt/a", "/b")}, {"ExcludePaths": ["/mnt/a", "/b"]}),
        ({"labels": {"team": "x", "a": "b"}}, {"Labels": [{"Key": "team", "Value": "x"}, {"Key": "a", "Value": "b"}]}),
        ({"exclude_paths": [], "labels": {}}, {"ExcludePaths": [], "Labels": []}),
    ],
)
def test_a_snapshot_is_created_with_what_is_given_and_nothing_else(given, sent, dsw_default):
    dsw_default.add_instance(ID, "Running")

    answer = DswHook().create_instance_snapshot(ID, snapshot_name="model-1", image_url="registry/team/model:1", **given)

    (request,) = dsw_default.requests
    assert (request.method, request.path) == ("POST", f"/api/v2/instances/{ID}/snapshots")
    assert json.loads(request.body) == {"SnapshotName": "model-1", "ImageUrl": "registry/team/model:1", **sent}
    assert DswHook().get_instance_snapshot(ID, answer["SnapshotId"])["SnapshotName"] == "model-1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"snapshot_name": ""}, "snapshot_name: '' is not a name of lowercase letters"),
        ({"snapshot_name": "Model"}, "snapshot_name: 'Model'"),
        ({"snapshot_name": "a b"}, "snapshot_name"),
        ({"snapshot_name": "a\n"}, "snapshot_name"),
        ({"snapshot_name": None}, "snapshot_name"),
        ({"image_url": ""}, "image_url: .* names no image"),
        ({"image_url": "  "}, "image_url: .* names no image"),
        ({"image_url": None}, "image_url: .* names no image"),
    ],
)
def test_a_snapshot_that_the_service_would_refuse_is_not_asked_for(change, words, dsw_default):
    arguments = {"snapshot_name": "model-1", "image_url": "registry/team/model:1", **change}

    with pytest.raises(ValueError, match=words):
        DswHook().create_instance_snapshot(ID, **arguments)

    assert dsw_default.requests == []


@pytest.mark.usefixtures("no_pauses")
def test_a_created_snapshot_without_an_id_is_no_answer(monkeypatch):
    with (
        RawServer(sends(http(200, {"InstanceId": ID}))) as server,
        pytest.raises(DswTransientError, match="SnapshotId"),
    ):
        connect_to(monkeypatch, server.port).create_instance_snapshot(ID, snapshot_name="a", image_url="b")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_is_what_the_sdk_sends_for_the_operation(call):
    operation = re.sub(r"(?<!^)(?=[A-Z])", "_", call.request.action).lower()
    source = inspect.getsource(getattr(Client, f"{operation}_with_options"))
    [template] = re.findall(r"\bpathname ?= ?f?'(.+)',", source)
    [method] = re.findall(r"\bmethod ?= ?'(\w+)'", source)
    names = re.findall(r"(?:query|body)\['(\w+)'\]", source)

    assert call.request.method == method
    assert re.fullmatch(re.sub(r"\{.+?\}", "[^/]+", template), call.request.path)
    assert {*call.request.query, *(call.request.body or ())} <= {*names}


# But for the test of a connection, which hands on a sentence of its own.
HANDING_ON = {name: each for name, each in OPERATIONS.items() if each.method != "test_connection"}


@pytest.mark.parametrize("wrong", ["a text", 7, True, {"a": 1}, [7], [["a"]]], ids=str)
@pytest.mark.parametrize("operation", HANDING_ON)
@pytest.mark.usefixtures("no_pauses")
def test_what_a_call_hands_on_was_checked(operation, wrong, monkeypatch):
    """Beside an answer that it hands on whole, which is the caller's to read."""
    action = CALLS[HANDING_ON[operation].api].request.action
    ids = {"InstanceId": ID, "SnapshotId": SNAPSHOT}
    said = {**ids, **{name: wrong for name in NEEDED.get(action, {}) if name not in ids}}
    with RawServer(sends(http(200, said))) as server:
        try:
            answer = HANDING_ON[operation].call(connect_to(monkeypatch, server.port))
        except DswTransientError:
            return

    assert answer == said, f"the check in client/api.py has to look at what {operation} hands on"
