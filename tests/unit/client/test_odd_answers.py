"""One table of answers, good, odd and hostile, for both ways of asking: each means the same for both."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_dsw.exceptions import (
    DswAccessDeniedError,
    DswError,
    DswInstanceNotFoundError,
    DswRequestError,
    DswTransientError,
)
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS
from tests.support.hooks import connect_to
from tests.support.raw_server import Answer, RawServer, Received, breaks_off, closes, http, keeps_silent, resets, sends
from tests.support.until import wait_until

ID = "dsw-abc"
KEY_SECRET, SECURITY_TOKEN, SHARING_TOKEN = "the-key-secret", "the-security-token", "the-sharing-token"
ECHO = f"{KEY_SECRET} {SECURITY_TOKEN} {SHARING_TOKEN}"
GOOD = {"InstanceId": ID, "Status": "Running", "RequestId": "R-1"}
CONTENT = json.dumps(GOOD).encode()
OK = "the answer"
DENIED, NOT_FOUND, REFUSED, TRANSIENT = (
    DswAccessDeniedError,
    DswInstanceNotFoundError,
    DswRequestError,
    DswTransientError,
)

BODIES: dict[str, Any] = {
    "an instance": GOOD,
    "an error": {"Code": "Whatever", "Message": f"No. {ECHO}", "RequestId": "R-1"},
    "a gateway's object": {"message": f"no Route matched {ECHO}"},
    "HTML": f"<html>{ECHO}</html>".encode(),
    "nothing": b"",
    "null": None,
}
STATUSES = {
    OK: [200, 201, 202, 203, 205, 206, 226, 299],
    TRANSIENT: [
        *(204, 300, 301, 302, 303, 304, 307, 308, 399, 408, 429),
        *(500, 501, 502, 503, 504, 507, 511, 599, 600, 700, 999),
    ],
    DENIED: [401, 403],
    NOT_FOUND: [404],
    REFUSED: [400, 402, 405, 406, 409, 410, 411, 413, 414, 415, 418, 422, 423, 428, 431, 451, 499],
}


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode()


def sized(content: bytes, *lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return head(f"Content-Length: {len(content)}", *lines, status=status) + content


def packed(encoding: str, content: bytes) -> bytes:
    return sized(content, f"Content-Encoding: {encoding}")


def in_chunks(*chunks: bytes, end: bytes = b"0\r\n\r\n", lines: tuple[str, ...] = ()) -> bytes:
    return head("Transfer-Encoding: chunked", *lines) + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + end


def once(data: bytes) -> Answer:
    """Send it and close."""

    def send(connection: socket.socket, _: Received) -> bool:
        connection.sendall(data)
        return False

    return send


def stops(data: bytes) -> Answer:
    """Send it and keep silent."""

    def send(connection: socket.socket, received: Received) -> bool:
        connection.sendall(data)
        return keeps_silent(connection, received)

    return send


def endless(first: bytes, part: bytes) -> Answer:
    def send(connection: socket.socket, _: Received) -> bool:
        connection.sendall(first)
        while True:
            connection.sendall(part)

    return send


def slowly(data: bytes, pause: float) -> Answer:
    def send(connection: socket.socket, _: Received) -> bool:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(pause)
        return True

    return send


def bomb(size: int, content: bytes) -> Answer:
    """Send so many spaces and this, compressed when first asked for: most processes that import this never are."""
    compressed = functools.cache(lambda: packed("gzip", gzip.compress(b" " * size + content)))
    return lambda connection, received: sends(compressed())(connection, received)


def refused(status: int, code: str | None, message: str = "No.", **more: Any) -> Answer:
    return sends(http(status, {"Code": code, "Message": message, "RequestId": "R-1", **more}))


def retry_after(value: str) -> Answer:
    return sends(http(503, {"Code": "Busy", "Message": "No."}, x_acs_retry_after=value))


BIG = 2**24
FRAMING: dict[str, tuple[Answer, Any]] = {
    "in chunks": (sends(in_chunks(CONTENT[:10], CONTENT[10:])), OK),
    "in chunks of a byte": (sends(in_chunks(*(CONTENT[n : n + 1] for n in range(len(CONTENT))))), OK),
    "chunks with a trailer": (sends(in_chunks(CONTENT, end=b"0\r\nX-Sum: 1\r\n\r\n")), OK),
    "chunks with an extension": (
        sends(head("Transfer-Encoding: chunked") + b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(CONTENT), CONTENT)),
        OK,
    ),
    "chunks that end too soon": (once(in_chunks(CONTENT, end=b"")), TRANSIENT),
    "a chunk that is cut": (once(in_chunks(CONTENT, end=b"")[:-10]), TRANSIENT),
    "chunks of no size": (sends(head("Transfer-Encoding: chunked") + b"what?\r\n" + CONTENT), TRANSIENT),
    "a size beyond all bounds": (sends(head("Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n"), TRANSIENT),
    "until it closes": (once(head() + CONTENT), OK),
    "until it closes, HTTP/1.0": (once(head(status="HTTP/1.0 200 OK") + CONTENT), OK),
    "HTTP/1.0 with a length": (once(sized(CONTENT, status="HTTP/1.0 200 OK")), OK),
    "Connection: close": (once(sized(CONTENT, "Connection: close")), OK),
    "a length that is too long": (once(head(f"Content-Length: {len(CONTENT) + 1}") + CONTENT), TRANSIENT),
    "a length that is too short": (once(head("Content-Length: 5") + CONTENT), TRANSIENT),
    "a length of no digits": (sends(head("Content-Length: many") + CONTENT), TRANSIENT),
    "a negative length": (sends(head("Content-Length: -1") + CONTENT), TRANSIENT),
    "two lengths": (sends(sized(CONTENT, "Content-Length: 3")), TRANSIENT),
    "the same length twice": (sends(sized(CONTENT, f"Content-Length: {len(CONTENT)}")), OK),
    "no reason": (sends(sized(CONTENT, status="HTTP/1.1 200")), OK),
    "a reason in UTF-8": (sends(sized(CONTENT, status="HTTP/1.1 200 好")), OK),
    "a status of two digits": (sends(sized(CONTENT, status="HTTP/1.1 20 OK")), TRANSIENT),
    "a status of four digits": (sends(sized(CONTENT, status="HTTP/1.1 2000 OK")), TRANSIENT),
    "a status that is none": (sends(sized(CONTENT, status="HTTP/1.1 OK")), TRANSIENT),
    "HTTP/2": (sends(sized(CONTENT, status="HTTP/2 200 OK")), TRANSIENT),
    "HTTP/0.9": (once(CONTENT), TRANSIENT),
    "SSH": (sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), TRANSIENT),
    "zeros": (sends(b"\0" * 100), TRANSIENT),
    "a head that is folded": (sends(sized(CONTENT, "X-Long: a", " b")), OK),
    "a header without a colon": (sends(sized(CONTENT, f"Nonsense {ECHO}")), TRANSIENT),
    "a header without a name": (sends(sized(CONTENT, ": what?")), TRANSIENT),
    "a space before the colon": (sends(sized(CONTENT, "X-A : b")), TRANSIENT),
    "a header that is not ASCII": (sends(sized(CONTENT, "X-Name: ü好")), OK),
    "a header with a NUL": (sends(sized(CONTENT, "X-A: a\0b")), TRANSIENT),
    "a thousand headers": (sends(sized(CONTENT, *(f"X-{n}: {'v' * 20}" for n in range(1000)))), OK),
    "a head without end": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536), TRANSIENT),
    "a status line without end": (endless(b"HTTP/1.1 200 ", b"x" * 65536), TRANSIENT),
    "newlines without end": (endless(b"", b"\r\n" * 30000), TRANSIENT),
    "names in upper case": (sends(sized(CONTENT).replace(b"Content-Length", b"CONTENT-LENGTH")), OK),
    "another media type": (sends(sized(CONTENT, "Content-Type: text/html; charset=gbk")), OK),
    "a cookie": (sends(sized(CONTENT, f"Set-Cookie: t={SECURITY_TOKEN}")), OK),
    "closed at once": (closes, TRANSIENT),
    "reset": (resets, TRANSIENT),
    "half of it, closed": (breaks_off(http(200, {**GOOD, "InstanceName": "x" * 100})), TRANSIENT),
    "half a head, closed": (once(b"HTTP/1.1 200 OK\r\nContent-"), TRANSIENT),
    "silence": (keeps_silent, TRANSIENT),
    "a head and silence": (stops(head("Content-Length: 5")), TRANSIENT),
    "half a head and silence": (stops(b"HTTP/1.1 2"), TRANSIENT),
    "half a body and silence": (stops(sized(CONTENT)[:-5]), TRANSIENT),
    "a byte after the other": (slowly(sized(CONTENT), 0.0002), OK),
}
INTERIM: dict[str, tuple[Answer, Any]] = {
    "100 first": (sends(b"HTTP/1.1 100 Continue\r\n\r\n" + sized(CONTENT)), OK),
    "102 and 103 first": (sends(b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: a\r\n\r\n" + sized(CONTENT)), OK),
    "100 only, closed": (once(b"HTTP/1.1 100 Continue\r\n\r\n"), TRANSIENT),
    "100 only, silence": (stops(b"HTTP/1.1 100 Continue\r\n\r\n"), TRANSIENT),
    "100 without end": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), TRANSIENT),
    "101": (sends(head("Upgrade: x", status="HTTP/1.1 101 Switching Protocols") + CONTENT), TRANSIENT),
    "199": (stops(sized(CONTENT, status="HTTP/1.1 199 What")), TRANSIENT),
}
PACKED: dict[str, tuple[Answer, Any]] = {
    "gzip": (sends(packed("gzip", gzip.compress(CONTENT))), OK),
    "x-gzip": (sends(packed("x-gzip", gzip.compress(CONTENT))), OK),
    "GZIP": (sends(packed("GZIP", gzip.compress(CONTENT))), OK),
    "deflate": (sends(packed("deflate", zlib.compress(CONTENT))), OK),
    "identity": (sends(packed("identity", CONTENT)), OK),
    "gzip in chunks": (sends(in_chunks(gzip.compress(CONTENT), lines=("Content-Encoding: gzip",))), OK),
    "an error in gzip": (
        sends(http(404, gzip.compress(json.dumps({"Code": "X", "Message": "No."}).encode()), Content_Encoding="gzip")),
        NOT_FOUND,
    ),
    "gzip that is none": (sends(packed("gzip", CONTENT)), TRANSIENT),
    "gzip that is cut": (sends(packed("gzip", gzip.compress(CONTENT)[:-9])), TRANSIENT),
    "gzip that is damaged": (sends(packed("gzip", gzip.compress(CONTENT)[:-8] + b"\0" * 8)), TRANSIENT),
    "gzip of nothing": (sends(packed("gzip", b"")), TRANSIENT),
    "br": (sends(packed("br", b"\x0b\x02\x80{}\x03")), TRANSIENT),
    "zstd": (sends(packed("zstd", CONTENT)), TRANSIENT),
    "gzip, gzip": (sends(packed("gzip, gzip", gzip.compress(gzip.compress(CONTENT)))), TRANSIENT),
    "an unknown packing": (sends(packed("what", CONTENT)), TRANSIENT),
    "a gzip bomb": (bomb(4 * BIG, b""), TRANSIENT),
    "a gzip bomb with an instance in it": (bomb(BIG, CONTENT), TRANSIENT),
}
SIZES: dict[str, tuple[Answer, Any]] = {
    "just small enough": (sends(sized(b" " * (BIG - len(CONTENT)) + CONTENT)), OK),
    "one byte too large": (sends(sized(b" " * (BIG - len(CONTENT) + 1) + CONTENT)), TRANSIENT),
    "too large by its own word": (stops(head(f"Content-Length: {BIG + 1}")), TRANSIENT),
    "too large beyond all bounds": (stops(head("Content-Length: " + "9" * 19)), TRANSIENT),
    "without end, in chunks": (
        endless(head("Transfer-Encoding: chunked"), b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        TRANSIENT,
    ),
    "without end": (endless(head(), b" " * 65536), TRANSIENT),
}
TEXTS: dict[str, tuple[Answer, Any]] = {
    "a byte order mark": (sends(sized(b"\xef\xbb\xbf" + CONTENT)), OK),
    "UTF-16": (sends(sized(json.dumps(GOOD).encode("utf-16"))), OK),
    "spaces around": (sends(sized(b"\r\n  " + CONTENT + b"\n")), OK),
    "two objects": (sends(sized(CONTENT + CONTENT)), TRANSIENT),
    "half an object": (sends(sized(CONTENT[:-3])), TRANSIENT),
    "a callback": (sends(sized(b"callback(" + CONTENT + b")")), TRANSIENT),
    "GBK": (sends(sized(json.dumps({**GOOD, "N": "好"}, ensure_ascii=False).encode("gbk"))), TRANSIENT),
    "not UTF-8": (sends(sized(b"\xff\xfe\x00")), TRANSIENT),
    "a list": (sends(http(200, [GOOD])), TRANSIENT),
    "a string": (sends(http(200, "InstanceId")), TRANSIENT),
    "a number": (sends(http(200, 7)), TRANSIENT),
    "true": (sends(http(200, True)), TRANSIENT),
    "a lone surrogate": (sends(sized(CONTENT[:-1] + b', "X": "\\ud800"}')), OK),
    "a number without end": (sends(sized(b'{"InstanceId": ' + b"9" * 5000 + b"}")), TRANSIENT),
    "a thousand levels": (sends(sized(b"[" * 100_000)), TRANSIENT),
    "a name twice": (sends(sized(b'{"InstanceId": "dsw-xyz", ' + CONTENT[1:])), OK),
    "another instance": (sends(http(200, {**GOOD, "InstanceId": "dsw-xyz"})), TRANSIENT),
    "no instance": (sends(http(200, {"Status": "Running"})), TRANSIENT),
    "an empty object": (sends(http(200, {})), TRANSIENT),
}
REFUSALS: dict[str, tuple[Answer, Any]] = {
    "Success: false": (sends(http(200, {**GOOD, "Success": False, "Code": "V", "HttpStatusCode": 400})), REFUSED),
    "Success: false, 404": (sends(http(200, {"Success": False, "Code": "I", "HttpStatusCode": 404})), NOT_FOUND),
    "Success: false, 404 of nobody": (sends(http(200, {"Success": False, "HttpStatusCode": 404})), TRANSIENT),
    "Success: false, 403": (sends(http(200, {"Success": False, "Code": "I", "HttpStatusCode": 403})), DENIED),
    "Success: false, 500": (sends(http(200, {"Success": False, "Code": "I", "HttpStatusCode": 500})), TRANSIENT),
    "Success: false, InternalError": (sends(http(200, {"Success": False, "Code": "InternalError"})), TRANSIENT),
    "Success: false, NotFound": (sends(http(200, {"Success": False, "Code": "InstanceNotFound"})), NOT_FOUND),
    "Success: false, a status that is none": (
        sends(http(200, {**GOOD, "Success": False, "HttpStatusCode": "what"})),
        REFUSED,
    ),
    "Success: false with 201": (sends(http(201, {**GOOD, "Success": False, "Code": "V"})), REFUSED),
    "Success: null": (sends(http(200, {**GOOD, "Success": None})), OK),
    "Throttling with 400": (refused(400, "Throttling.User"), TRANSIENT),
    "Throttling with 403": (refused(403, "Throttling.Api"), TRANSIENT),
    "a nonce used before": (refused(400, "SignatureNonceUsed"), TRANSIENT),
    "NoPermission with 400": (refused(400, "NoPermissionError"), DENIED),
    "100700008 with 404": (refused(404, "100700008"), DENIED),
    "RAM with 404": (refused(404, "InternalError", "denied by RAM"), DENIED),
    "an inactive key with 404": (refused(404, "InvalidAccessKeyId.Inactive"), DENIED),
    "an expired token": (refused(400, "InvalidSecurityToken.Expired"), DENIED),
    "a wrong signature": (refused(400, "SignatureDoesNotMatch", f"string to sign: {ECHO}"), DENIED),
    "InvalidAction.NotFound": (refused(404, "InvalidAction.NotFound"), REFUSED),
    "InvalidVersion": (refused(404, "InvalidVersion"), REFUSED),
    "a Code that is a number": (refused(400, 17), REFUSED),  # type: ignore[arg-type]
    "a Code that is a list": (refused(400, ["a"]), REFUSED),  # type: ignore[arg-type]
    "a Code that is null in words": (refused(404, "null"), NOT_FOUND),
    "no Code": (refused(404, None), NOT_FOUND),
    "a Message that is an object": (refused(400, "V", {"a": ECHO}), REFUSED),  # type: ignore[arg-type]
    "a Message of a megabyte": (refused(400, "V", "x" * 2**20), REFUSED),
    "a Message with newlines": (refused(400, "V", "a\r\nb\x1b[31m\0c"), REFUSED),
    "HTML with 404": (sends(http(404, b"<html>")), TRANSIENT),
    "HTML with 429 and a time": (sends(http(429, b"<html>", x_acs_retry_after="2000")), TRANSIENT),
    "a redirect to another host": (sends(http(302, GOOD, Location=f"http://127.0.0.1:1/?{ECHO}")), TRANSIENT),
    "a redirect to itself": (sends(http(307, b"", Location=f"/api/v2/instances/{ID}")), TRANSIENT),
    "a time with a refusal": (sends(http(409, {"Code": "X"}, x_acs_retry_after="10")), TRANSIENT),
    "HTTP's own Retry-After": (sends(http(503, {"Code": "Busy"}, Retry_After="3600")), TRANSIENT),
    **{
        f"x-acs-retry-after: {value!r}": (retry_after(value), TRANSIENT)
        for value in (
            "1500",
            "1.5",
            "1e3",
            " 7 ",
            "0",
            "-5",
            "soon",
            "nan",
            "inf",
            "9" * 400,
            "0x10",
            "1_000",
            "",
            "\u0661",
        )
    },
}
ROWS: dict[str, tuple[Answer, Any]] = {
    f"{status}, {name}": (
        sends(http(status, body)),
        _expected,
    )
    for expected, statuses in STATUSES.items()
    for status in statuses
    for name, body in BODIES.items()
    for _expected in [
        TRANSIENT if name not in ("an instance", "an error") or (expected == OK and name == "an error") else expected
    ]
}
ROWS |= {**FRAMING, **INTERIM, **PACKED, **SIZES, **TEXTS, **REFUSALS}


def test_the_table_is_long_enough():
    assert len(ROWS) >= 150


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.usefixtures("no_pauses")
def test_an_answer_means_the_same_for_both_ways(row, monkeypatch, caplog, capfd):
    answer, expected = ROWS[row]
    outcomes = []
    with RawServer(answer) as server, caplog.at_level("DEBUG"):
        monkeypatch.setattr("airflow_provider_dsw.hooks.dsw.TOTAL_TIME_LIMIT", 120)
        # Of those that keep silent, each try takes as long.
        patience = 0.2 if "silence" in row or row == "199" else 60
        hook = connect_to(
            monkeypatch, server.port, read_timeout=patience, auth_type="sts", security_token=SECURITY_TOKEN
        )
        for ask in (hook.get_instance, lambda *a, **k: asyncio.run(hook.aget_instance(*a, **k))):
            before = len(server.received)
            outcomes.append(outcome_of(ask))
            requests = MAX_ATTEMPTS if expected is TRANSIENT else 1
            wait_until(lambda: len(server.received) >= before + requests)  # noqa: B023
            assert len(server.received) == before + requests

    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == expected
    said = f"{outcomes} {caplog.text} {capfd.readouterr()}"
    # An instance's own fields are handed on as they came; nothing of this table has a secret in them.
    assert [secret for secret in ECHO.split() if secret in said] == []
    assert "\x1b[31m" not in str(outcomes)


def outcome_of(ask: Callable[..., dict[str, Any]]) -> tuple[Any, ...]:
    try:
        answer = ask(ID, token=SHARING_TOKEN)
    except DswError as error:
        carried = [error.code, error.status_code, error.request_id, error.message, error.__cause__, error.__context__]
        return type(error), *carried, getattr(error, "retry_after", None), str(error)
    return OK, json.dumps(answer)
