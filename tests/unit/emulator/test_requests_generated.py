"""Whatever is sent, the emulator answers as a service does, and goes on: requests that are generated."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import socket
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.emulator import signature as signatures
from airflow_provider_dsw.emulator.cli.console import request_line
from airflow_provider_dsw.emulator.operations import ROUTES
from tests.support.emulator import KEY_ID, SECRET

ID = "dsw-abc"
quickly = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

ODD: tuple[str, ...] = (
    "",
    "\0",
    "\x1b[31m",
    "\ud800",
    "é",
    "²",
    "a" * 3000,
    "null",
    "0",
    "-1",
    "1",
    "9" * 4500,
    "1e400",
    "NaN",
    "true",
)
ODD += ("ASC", "desc", "Running", ID, "2026-01-31T08:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "[]", "{")
ODD += ('{"a":"b"}', '{"a":{}}', "Priority", "GmtCreateTime", "Status,InstanceId", "aliyun", "registry/a:1")
TEXTS = st.sampled_from(ODD)
NUMBERS = st.sampled_from(
    (0, 1, -1, 9, 10**14, 10**15 - 1, 10**400, 0.5, 1e308, float("nan"), float("inf"), True, None)
)
NAMES = st.sampled_from(
    (
        *(
            "InstanceName",
            "EcsSpec",
            "ImageId",
            "ImageUrl",
            "Labels",
            "Tag",
            "Priority",
            "RequestedResource",
            "UserVpc",
        ),
        *(
            "Datasets",
            "EnvironmentVariables",
            "Accessibility",
            "CloudDisks",
            "UserCommand",
            "WorkspaceId",
            "ResourceId",
        ),
        *("SnapshotName", "SnapshotDescription", "ExcludePaths", "Overwrite", "DueTime", "RemainingTimeInMs"),
        *("MaxIdleTimeInMinutes", "CpuPercentThreshold", "GpuPercentThreshold", "StartInstance", "Whatever", "\ud800"),
        *("Memory", "SharedMemory", "GPU", "Key", "Value", "TagKey", "ImageAuth", "Affinity", "DynamicMount", "Driver"),
    )
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(TEXTS, NUMBERS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
# What operations take, so that some of them get past the first check.
CREATED = {"InstanceName": "a", "EcsSpec": "ecs.g6.large", "ImageUrl": "registry/a:1"}
GOOD = st.sampled_from(
    (
        CREATED,
        {"SnapshotName": "a", "ImageUrl": "registry/a:1"},
        {"RemainingTimeInMs": 10**15 - 1},
        {"RemainingTimeInMs": 60_000},
        {"MaxIdleTimeInMinutes": 10**14},
        {"Labels": [{"Key": "a", "Value": "b"}]},
        {},
    )
)
KEPT = VALUES.map(lambda value: {**CREATED, "Datasets": [value], "UserVpc": {"VpcId": value}})
OBJECTS = st.builds(lambda good, odd: good | odd, GOOD, st.dictionaries(NAMES, VALUES, max_size=3))
BODIES = st.one_of(
    OBJECTS.map(lambda body: json.dumps(body).encode()),
    VALUES.map(lambda body: json.dumps(body).encode()),
    st.sampled_from((b"", b"\xff\xfe", b'{"a":' * 2000, b"[" * 100_000, b'{"Labels":' + b"9" * 5000 + b"}", b"\0")),
)
TIMERS = st.sampled_from(({"RemainingTimeInMs": 10**15 - 1}, {"DueTime": "9999-12-31T23:59:59Z"}))
USUAL = {
    "CreateInstance": KEPT.map(lambda body: json.dumps(body).encode()),
    "CreateInstanceShutdownTimer": TIMERS.map(lambda body: json.dumps(body).encode()),
}
READS = [each for each in ROUTES.items() if each[0][0] == "GET"]
CHANGES = [each for each in ROUTES.items() if each[0][0] != "GET"]
PARAMETERS = st.sampled_from(
    (
        *("PageSize", "PageNumber", "SortBy", "Order", "Labels", "InstanceName", "InstanceId", "Status", "Fields"),
        *("StartTime", "EndTime", "Limit", "SessionNumber", "MaxEventsNum", "EventLevel", "SaveImage", "LabelKeys"),
        *("CreateTimeAfter", "GpuType", "Tag", "Token", "MinCpu", "Whatever", "", "\x1b"),
    )
)
# Repeated ones too.
QUERIES = st.lists(st.tuples(PARAMETERS, TEXTS.map(lambda text: text[:900])), max_size=4)
# Reads that need a parameter, or what the instance may not have.
NEEDS_MORE = ("ListEcsSpecs", "GetInstanceSnapshot", "GetInstanceShutdownTimer", "GetIdleInstanceCuller", "GetInstance")
IDS = st.sampled_from((ID, "dsw-def", "snp-1", "", "a" * 900, "%00", "%1B%5B31m", "%ED%A0%80", "%FF", "..", "%2F", "%"))


@dataclass(frozen=True, repr=False)
class Sent:
    """A request, signed well."""

    action: str
    method: str
    path: str
    query: str
    body: bytes

    def __repr__(self) -> str:
        return f"{self.method} {self.path[:60]}?{self.query[:200]} ({self.action}) {self.body[:200]!r}"


def encoded(text: str) -> str:
    return quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe="")


# hypothesis prefers what comes first.
SELDOM = st.sampled_from((False,) * 9 + (True,))


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    (method, parts), (action, _) = draw(st.sampled_from(CHANGES if draw(st.booleans()) else READS))
    some = [draw(IDS) if part == "*" and draw(SELDOM) else part for part in parts]
    path = "/api/v2/" + "/".join(ID if part == "*" else part for part in some)
    query = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in draw(QUERIES))
    body = b""
    if method in ("POST", "PUT"):
        body = draw(USUAL.get(action, BODIES) if draw(st.booleans()) else BODIES)
    if draw(SELDOM):
        action = draw(st.sampled_from(("Whatever", "GetInstance", "a b", "é")))
    if draw(SELDOM):
        method = draw(st.sampled_from(("PATCH", "HEAD", "OPTIONS", "GET")))
    return Sent(action, method, path, query, body if method != "HEAD" else b"")


def exchange(emulator: DswEmulator, sent: Sent) -> tuple[int, bytes]:
    """Send a request, and return the answer's status and body."""
    headers = {
        "host": emulator.endpoint,
        "x-acs-action": sent.action,
        "x-acs-version": signatures.VERSION,
        "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": uuid.uuid4().hex,
        "x-acs-content-sha256": hashlib.sha256(sent.body).hexdigest(),
    }
    names = ";".join(sorted(headers))
    request = signatures.SignedRequest(sent.method, sent.path, sent.query, headers, sent.body)
    canonical = signatures._canonical_request(request, names)
    to_sign = f"{signatures.ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(SECRET.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = f"{signatures.ALGORITHM} Credential={KEY_ID},SignedHeaders={names},Signature={signature}"
    target = sent.path + (f"?{sent.query}" if sent.query else "")
    head = [f"{sent.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head += [f"content-length: {len(sent.body)}", "connection: close", "", ""]
    return raw(emulator, "\r\n".join(head).encode() + sent.body)


def raw(emulator: DswEmulator, data: bytes) -> tuple[int, bytes]:
    with socket.create_connection((emulator.host, emulator.port), timeout=60) as connection:
        with contextlib.suppress(OSError):  # it has read enough
            connection.sendall(data)
        answer = b"".join(iter(lambda: connection.recv(2**20), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def parse(body: bytes) -> Any:
    return json.loads(body, parse_constant=refuse_constant)


def instance_ids(emulator: DswEmulator) -> list[str]:
    return [name for name in emulator.statuses() if "/" not in name]  # which is a snapshot


def show_all(emulator: DswEmulator) -> None:
    """All that can be shown is shown, as JSON."""
    for (method, parts), (action, _) in ROUTES.items():
        if method != "GET":
            continue
        for instance_id in instance_ids(emulator):
            snapshots = emulator._instances[instance_id].snapshots if "snapshots" in parts[:-1] else ["none"]
            for snapshot_id in snapshots:
                ids = iter((instance_id, quote(snapshot_id)))
                path = "/api/v2/" + "/".join(next(ids) if part == "*" else part for part in parts)
                status, body = exchange(emulator, Sent(action, "GET", path, "", b""))
                assert status in (200, 400, 404)
                assert parse(body)["RequestId"]


@pytest.mark.parametrize("number", [100, pytest.param(800, marks=pytest.mark.slow)])
def test_any_request_is_answered_as_the_service_would(
    number: int, emulator: DswEmulator, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING)

    @settings(quickly, max_examples=number)
    @given(sent=st.lists(requests(), min_size=1, max_size=6))
    def check(sent: list[Sent]) -> None:
        for instance_id in instance_ids(emulator):
            emulator.remove_instance(instance_id)
        emulator.add_instance(ID)
        emulator.clear_requests()
        for number, each in enumerate(sent, 1):
            status, body = exchange(emulator, each)
            assert 200 <= status < 300 or 400 <= status < 500, (status, body)
            if each.method != "HEAD":
                said = parse(body)
                assert said["RequestId"]
                assert status < 300 or (said["Code"] and said["Message"])
            entry = emulator.requests[-1]
            assert len(emulator.requests) == number
            assert (entry.method, entry.path, entry.status) == (each.method, each.path, status)
            assert request_line(entry).isprintable()
        show_all(emulator)

    check()
    assert caplog.text == ""
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "line",
    [
        b"GET /api/v2/instances?%FF=%ED%A0%80&;&=&& HTTP/1.1",
        b"GET //api/v2/instances HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET http://a/api/v2/instances HTTP/1.1",
        b"GET /api/v2/instances/" + b"a" * 7000 + b" HTTP/1.1",
        b"GET / HTTP/1.0",
    ],
    ids=lambda line: repr(line[:40]),
)
def test_a_request_line_may_be_odd(emulator: DswEmulator, line: bytes) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {
        **{"host": "a", "x-acs-action": "ListInstances", "x-acs-version": signatures.VERSION, "x-acs-date": now},
        **{"x-acs-signature-nonce": "a", "x-acs-content-sha256": hashlib.sha256(b"").hexdigest()},
        "authorization": f"{signatures.ALGORITHM} Credential={KEY_ID},SignedHeaders=host;x-acs-action;x-acs-version;"
        "x-acs-date;x-acs-signature-nonce;x-acs-content-sha256,Signature=00",
        "connection": "close",
    }
    head = b"\r\n".join([line, *(f"{name}: {value}".encode() for name, value in headers.items()), b"", b""])

    status, body = raw(emulator, head)

    assert 400 <= status < 500
    assert parse(body)["Code"]
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("size", [2**20 + 1, 2**24])
def test_a_body_that_is_too_large_is_refused_and_recorded(emulator: DswEmulator, size: int) -> None:
    sent = Sent("CreateInstance", "POST", "/api/v2/instances", "", b'{"InstanceName": "' + b"a" * size + b'"}')

    status, body = exchange(emulator, sent)

    assert status == 413
    assert parse(body)["Code"] == "RequestEntityTooLarge"
    assert [(entry.status, entry.action) for entry in emulator.requests] == [(413, "CreateInstance")]
    assert emulator.statuses() == {}


def test_a_timer_that_is_due_after_all_time_is_refused(emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    path = f"/api/v2/instances/{ID}/shutdowntimer"

    status, body = exchange(
        emulator, Sent("CreateInstanceShutdownTimer", "POST", path, "", b'{"RemainingTimeInMs": 999999999999999}')
    )

    assert (status, parse(body)["Code"]) == (400, "ValidationError")
    assert exchange(emulator, Sent("GetInstance", "GET", f"/api/v2/instances/{ID}", "", b""))[0] == 200


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_that_json_has_not_is_refused(emulator: DswEmulator, number: str) -> None:
    emulator.add_instance(ID)
    body = f'{{"Datasets": [{{"Size": {number}}}]}}'.encode()

    status, answer = exchange(emulator, Sent("UpdateInstance", "PUT", f"/api/v2/instances/{ID}", "", body))

    assert (status, parse(answer)["Code"]) == (400, "ValidationError")


@pytest.mark.parametrize(
    "data",
    [
        b"FOO /api/v2/instances HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01 hello, TLS\r\n\r\n",
        b"GET /api/v2/instances?a=\xff HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /api/v2/instances/\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /api/v2/instances HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        b"POST /api/v2/instances HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/v2/instances HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-encoding: gzip\r\n"
        b"content-length: 3\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 10_000 + b"\r\n\r\n",
    ],
    ids=lambda data: repr(data[:70]),
)
def test_what_is_no_request_is_refused_without_a_word(
    emulator: DswEmulator, data: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    emulator.add_instance(ID)
    with socket.create_connection((emulator.host, emulator.port), timeout=60) as connection:
        connection.sendall(data)
        answer = b"".join(iter(lambda: connection.recv(2**20), b""))

    assert answer.split(b" ")[1] == b"400"
    assert exchange(emulator, Sent("GetInstance", "GET", f"/api/v2/instances/{ID}", "", b""))[0] == 200
    assert (caplog.text, capfd.readouterr().err) == ("", "")


@pytest.mark.parametrize("kept", [0, 30, 200])
def test_a_client_that_is_gone_in_the_middle_leaves_no_trace(
    emulator: DswEmulator, kept: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    emulator.add_instance(ID)
    data = b"POST /api/v2/instances HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n" + b"a" * 500
    with socket.create_connection((emulator.host, emulator.port), timeout=60) as connection:
        connection.sendall(data[:kept])

    assert exchange(emulator, Sent("GetInstance", "GET", f"/api/v2/instances/{ID}", "", b""))[0] == 200
    assert [entry.action for entry in emulator.requests] == ["GetInstance"]
    assert (caplog.text, capfd.readouterr().err) == ("", "")
