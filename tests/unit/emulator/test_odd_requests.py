"""Whatever is sent, the emulator answers as a service does, and goes on."""

import json
import socket

import pytest

from airflow_provider_dsw.emulator.cli.console import changes, request_line
from tests.support.emulator import ABC, ROOT, refused, sdk_call, send, sign

WITH_BODY = [
    ("CreateInstance", ROOT, "POST"),
    ("UpdateInstance", ABC, "PUT"),
    ("UpdateInstanceLabels", f"{ABC}/labels", "PUT"),
    ("CreateInstanceSnapshot", f"{ABC}/snapshots", "POST"),
    ("CreateInstanceShutdownTimer", f"{ABC}/shutdowntimer", "POST"),
    ("CreateIdleInstanceCuller", f"{ABC}/idleinstanceculler", "POST"),
]


def nested(levels):
    return b'{"Labels":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


@pytest.fixture(autouse=True)
def instance(emulator):
    emulator.add_instance("dsw-abc")


@pytest.mark.parametrize(("action", "path", "method"), WITH_BODY)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        nested(5000),
        nested(300),
        b'{"MaxIdleTimeInMinutes":' + b"9" * 5000 + b"}",
        b'{"MaxIdleTimeInMinutes":NaN,"RemainingTimeInMs":Infinity,"Priority":-1e400}',
        b'{"InstanceName":"\\ud800","SnapshotName":"\\ud800","Labels":"\\ud800","DueTime":"\\u0000"}',
        b'{"InstanceName":[],"SnapshotName":{},"Labels":[null],"DueTime":[],"MaxIdleTimeInMinutes":[]}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_makes_no_sense_is_refused(emulator, caller, action, path, method, body):
    headers = sign(emulator, action, path, method, body=body)

    answer = send(emulator, headers, path, method, body=body)

    assert (answer.status, answer.code) == (400, "ValidationError")
    assert caller.status() == "Running"


def test_text_that_is_no_unicode_is_shown_again(emulator, caller):
    body = b'{"Labels":[{"Key":"\\ud800","Value":"\\u0000\\u001b"}],"SnapshotName":"b","ImageUrl":"\\udfff"}'
    path = f"{ABC}/snapshots"

    answer = send(emulator, sign(emulator, "CreateInstanceSnapshot", path, "POST", body=body), path, "POST", body=body)

    assert answer.status == 200
    assert caller.get()["LatestSnapshot"]["ImageUrl"] == "\udfff"
    assert caller.get_snapshot(answer.json["SnapshotId"])["Labels"] == json.loads(body)["Labels"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"Labels": '{"a":"\\ud800"}'}, 200),
        ({"Labels": "[" * 2000}, 400),
        ({"PageSize": "9" * 5000}, 400),
        ({"PageNumber": "²"}, 400),
        ({"InstanceName": "\x00\x1b"}, 200),
        ({"InstanceId": ",,"}, 200),
    ],
)
def test_a_query_may_be_odd(emulator, query, status):
    answer = send(emulator, sign(emulator, "ListInstances", ROOT, query=query), ROOT, query=query)

    assert answer.status == status


@pytest.mark.parametrize("name", ["%00", "%1B%5B31m", "%ED%A0%80", "%FF", "..%2F..", "%0A", "a" * 4000])
def test_an_id_may_be_odd_and_is_harmless_to_a_terminal(emulator, name):
    path = f"{ROOT}/{name}"

    answer = send(emulator, sign(emulator, path=path), path)

    assert (answer.status, answer.code) == (404, "InternalError")
    assert request_line(emulator.requests[-1]).isprintable()


def test_a_status_is_harmless_to_a_terminal():
    ((_, line),) = changes({"dsw": "a"}, {"dsw": "\x1b[31m"})

    assert line == "dsw: a -> \\x1b[31m"


@pytest.mark.parametrize(
    "header",
    [b"Host: \xff\xfe", b"x-acs-odd: \xff", b"Authorization: \xff", b"x-acs-action: \xff", b"x-acs-date: \xff"],
)
def test_a_header_may_be_of_any_bytes(emulator, caller, header):
    name = header.partition(b":")[0].decode().lower()
    headers = {**sign(emulator), "connection": "close"}
    lines = [f"{key}: {value}".encode() for key, value in headers.items() if key != name]
    with socket.create_connection((emulator.host, emulator.port), timeout=60) as connection:
        connection.sendall(b"\r\n".join([f"GET {ABC} HTTP/1.1".encode(), header, *lines]) + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.split(b"\r\n")[0].split(b" ")[1] in (b"400", b"404")
    assert b'"RequestId"' in answer
    assert caller.status() == "Running"


@pytest.mark.parametrize("headers", [{}, {"x-acs-version": "2022-01-01"}])
def test_an_operation_in_the_rpc_style_is_no_action(emulator, headers):
    query = {"Action": "GetInstance", "Version": "2022-01-01", "InstanceId": "dsw-abc"}

    answer = send(emulator, headers, "/", query=query)

    assert (answer.status, answer.code) == (404, "InvalidAction.NotFound")


@pytest.mark.parametrize("path", ["/api/v2/ecsspecs/x", "/api/v2/", "/api/v1/instances/dsw-abc", f"{ABC}/labels/x"])
def test_a_wrong_path_is_no_action(caller, path):
    with refused(404, "InvalidAction.NotFound"):
        sdk_call(caller.client, "GetInstance", path)
