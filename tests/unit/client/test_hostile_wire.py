"""Redirects, answers without end, broken heads, proxies, and connections whose credentials hang: who else feels it."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import math
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswAccessDeniedError, DswConnectionError, DswTransientError
from airflow_provider_dsw.hooks import dsw
from airflow_provider_dsw.hooks.dsw import DswHook
from tests.support.hooks import KEY, connect, connect_to
from tests.support.raw_server import Answer, RawServer, Received, http, in_turn, sends
from tests.support.stalls import longest_stall, unhindered_time
from tests.support.until import until

ID = "dsw-abc"
GOOD = http(200, {"InstanceId": ID, "Status": "Running"})
STS = {"auth_type": "sts", "security_token": "the-security-token"}
MEBIBYTE = 2**20


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.usefixtures("no_pauses")
def test_no_redirect_is_followed(status, ask, monkeypatch):
    with RawServer(sends(GOOD)) as other:
        location = f"http://127.0.0.1:{other.port}/api/v2/instances/{ID}"
        with (
            RawServer(sends(http(status, {"InstanceId": ID}, Location=location))) as server,
            pytest.raises(DswTransientError, match="redirect, which is not followed") as raised,
        ):
            ask(connect_to(monkeypatch, server.port, **STS), token="the-sharing-token")

        assert raised.value.status_code == status
        assert other.connections == 0


@pytest.mark.usefixtures("no_pauses")
def test_a_change_that_is_redirected_is_no_success(monkeypatch):
    with (
        RawServer(sends(GOOD)) as other,
        RawServer(sends(http(302, b"", Location=f"http://127.0.0.1:{other.port}/"))) as server,
    ):
        with pytest.raises(DswTransientError):
            connect_to(monkeypatch, server.port, **STS).start_instance(ID)

        assert other.connections == 0
        assert len(server.received) == 1


# What may reach a log


@pytest.mark.usefixtures("no_pauses")
def test_a_broken_head_shows_no_token_in_any_log(ask, monkeypatch, caplog, capfd):
    echo = b"HTTP/1.1 200 OK\r\nnonsense the-sharing-token the-security-token\r\nContent-Length: 2\r\n\r\n{}"
    with (
        RawServer(sends(echo)) as server,
        caplog.at_level(logging.DEBUG),
        pytest.raises(DswTransientError, match="is not HTTP"),
    ):
        ask(connect_to(monkeypatch, server.port, **STS), token="the-sharing-token")

    assert "the-s" not in f"{caplog.text} {capfd.readouterr()}"


# Sizes


def without_end(connection: socket.socket, _: Received) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def tiny_chunks(connection: socket.socket, _: Received) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\n \r\n" * 10000)


def drip(connection: socket.socket, _: Received) -> bool:
    while True:
        connection.sendall(b"H")
        time.sleep(0.02)


HOSTILE: dict[str, Answer] = {
    "without end": without_end,
    "huge": sends(http(200, b"[" + b"{}," * (15 * MEBIBYTE // 3) + b"1]")),
    "huge, an object": sends(http(200, b'{"a": [' + b'{"b": [1, 2]},' * (15 * MEBIBYTE // 14) + b"1]}")),
    "as many values as are parsed": sends(http(200, b'{"a": [' + b'{"b": [1, 2]},' * 12_400 + b"1]}")),
    "more values, in less than a MiB": sends(http(200, b'{"a": [' + b"[]," * 340_000 + b"1]}")),
    "long integers": sends(http(200, b'{"a": [' + (b"1" * 4300 + b",") * 3600 + b"1]}")),
    "one text of 15 MiB": sends(http(200, b'{"a": "' + b"x" * (15 * MEBIBYTE) + b'"}')),
    "packed": sends(http(200, gzip.compress(b" " * (64 * MEBIBYTE)), Content_Encoding="gzip")),
    "tiny chunks": tiny_chunks,
    "a head that drips": drip,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.usefixtures("no_pauses")
def test_one_hostile_answer_of_a_hundred_holds_up_nobody(name, monkeypatch):
    def answer(connection: socket.socket, received: Received) -> bool:
        if "dsw-hostile" in received.line:
            return HOSTILE[name](connection, received)
        connection.sendall(http(200, {"InstanceId": received.line.split()[1].rpartition("/")[2]}))
        return True

    async def calm(hook: DswHook, number: int, took: list[float]) -> None:
        for _ in range(10):
            began = unhindered_time()
            try:
                await hook.aget_instance(f"dsw-{number}")
            except DswTransientError:  # not in time
                took.append(math.inf)
            took.append(unhindered_time() - began)
            await asyncio.sleep(0.1)

    async def hostile(hook: DswHook) -> None:
        with pytest.raises(DswTransientError):
            await hook.aget_instance("dsw-hostile", attempts=1)

    async def work(hook: DswHook, took: list[float]) -> None:
        async with hook:
            await asyncio.gather(hostile(hook), *(calm(hook, number, took) for number in range(99)))

    def holds_up_nobody() -> bool:
        took: list[float] = []
        stall = asyncio.run(longest_stall(work(hook, took)))
        print(f"{name}: longest stall {stall:.3f} s, slowest other call {max(took):.3f} s")
        # On a busy machine; 0.1 s on a quiet one.
        return stall < 0.7 and max(took) < 2

    monkeypatch.setattr("airflow_provider_dsw.hooks.dsw.TOTAL_TIME_LIMIT", 4)
    with RawServer(answer) as server:
        hook = connect_to(monkeypatch, server.port, connect_timeout=1, read_timeout=1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # What a busy machine holds up once it does not hold up each time.
        assert any(holds_up_nobody() for _ in range(8))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    print(f"{name}: memory +{grown:.0f} MB")
    assert grown < 600


def test_a_large_answer_leaves_its_connection_usable(ask, monkeypatch):
    large = http(200, {"InstanceId": ID, "X": "x" * 300_000})
    with RawServer(sends(large)) as server:
        hook = connect_to(monkeypatch, server.port, read_timeout=60)

        async def twice() -> None:
            async with hook:
                for _ in range(3):
                    await hook.aget_instance(ID, attempts=1)

        asyncio.run(twice())
        assert server.connections == 1


def test_an_answer_of_several_mebibytes_is_handed_on_whole(ask, monkeypatch):
    sent = {
        "InstanceId": ID,
        "List": [{"n": number, "s": "é\\n" * 100} for number in range(12_000)],
        "End": [1.5, None, True],
    }
    with RawServer(sends(http(200, sent))) as server:
        assert ask(connect_to(monkeypatch, server.port)) == sent


# Lists


def pages_of(number: int, largest: int) -> Answer:
    """A list of so many instances, of which a page beyond the largest is more than is read."""

    def answer(connection: socket.socket, received: Received) -> bool:
        query = dict(part.split("=") for part in received.line.split()[1].partition("?")[2].split("&"))
        size, page = int(query["PageSize"]), int(query["PageNumber"])
        found = [{"InstanceId": f"dsw-{n}"} for n in range(number)][(page - 1) * size : page * size]
        padding = "x" * (17 * MEBIBYTE) if len(found) > largest else ""
        connection.sendall(http(200, {"Instances": found, "TotalCount": number, "X": padding}))
        return True

    return answer


@pytest.mark.parametrize("size", [100, 7])
def test_a_list_that_is_too_large_is_asked_for_in_smaller_pages(size, monkeypatch):
    with RawServer(pages_of(23, 5)) as server:
        hook = connect_to(monkeypatch, server.port)
        found = [instance["InstanceId"] for instance in hook.list_instances(page_size=size)]

    assert found == [f"dsw-{number}" for number in range(23)]


@pytest.mark.usefixtures("no_pauses")
def test_a_list_whose_smallest_page_is_too_large_is_a_transient_error(monkeypatch):
    with (
        RawServer(pages_of(3, 0)) as server,
        pytest.raises(DswTransientError, match="the answer is larger than 16 MiB"),
    ):
        list(connect_to(monkeypatch, server.port).list_instances(page_size=2))


@pytest.mark.parametrize("values", [50_001, 300_000, 1_000_000])
@pytest.mark.usefixtures("no_pauses")
def test_an_answer_of_more_values_than_are_parsed_is_a_transient_error(values, ask, monkeypatch):
    many = http(200, b'{"InstanceId": "dsw-abc", "List": [' + b"1," * values + b"1]}")
    with RawServer(sends(many)) as server, pytest.raises(DswTransientError, match="more than 50,000 values"):
        ask(connect_to(monkeypatch, server.port), attempts=1)


@pytest.mark.usefixtures("no_pauses")
def test_an_integer_that_takes_long_to_read_is_a_transient_error(ask, monkeypatch):
    long = http(200, b'{"InstanceId": "dsw-abc", "Size": ' + b"1" * 4000 + b"}")
    with RawServer(sends(long)) as server, pytest.raises(DswTransientError, match="not the JSON object"):
        ask(connect_to(monkeypatch, server.port), attempts=1)


@pytest.mark.parametrize("size", [0, -1, "many", 1.5, True])
def test_a_page_size_that_is_none_is_refused(size, dsw_default):
    with pytest.raises(ValueError, match="page_size"):
        DswHook().list_instances(page_size=size)


# Proxies


@pytest.fixture(params=["http://{}", "{}", "http://user:p%40ss@{}", "user:p%40ss@{}"])
def proxy_url(request: pytest.FixtureRequest) -> str:
    """How a proxy is named in the environment."""
    named: str = request.param
    return named


def test_a_proxy_is_gone_through(proxy_url, ask, monkeypatch):
    with RawServer(sends(GOOD)) as proxy:
        monkeypatch.setenv("http_proxy", proxy_url.format(f"127.0.0.1:{proxy.port}"))
        hook = connect(monkeypatch, **KEY, host="dsw.example.invalid", extra={"protocol": "http"})

        assert ask(hook)["InstanceId"] == ID
        (received,) = proxy.received
        assert received.line.startswith(f"GET http://dsw.example.invalid/api/v2/instances/{ID} ")
        assert ("proxy-authorization" in received.headers) == ("user" in proxy_url)
        assert received.headers.get("proxy-authorization", "Basic dXNlcjpwQHNz") == "Basic dXNlcjpwQHNz"


class Tunnel(RawServer):
    """A proxy that opens tunnels."""

    def __init__(self, port: int, status: int = 200, *, drips_from: Callable[[], bool] = lambda: False) -> None:
        def answer(connection: socket.socket, received: Received) -> bool:
            if status != 200:
                connection.sendall(http(status, b"<html>"))
                return False
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", port)) as target:
                back = threading.Thread(target=pump, args=[target, connection, drips_from])
                back.start()
                pump(connection, target)
                back.join()
            return False

        super().__init__(answer)


def pump(source: socket.socket, target: socket.socket, drips_from: Callable[[], bool] = lambda: False) -> None:
    try:
        while data := source.recv(65536):
            parts = [data[at : at + 1] for at in range(len(data))] if drips_from() else [data]
            for part in parts:
                target.sendall(part)
                time.sleep(0.05 if len(parts) > 1 else 0)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def tls_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[DswEmulator]:
    with DswEmulator(tls=True) as emulator:
        emulator.add_instance(ID)
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
        monkeypatch.setenv("SSL_CERT_FILE", str(emulator.ca_file))
        yield emulator


def test_https_goes_through_a_tunnel_of_the_proxy(proxy_url, ask, tls_service, monkeypatch):
    with Tunnel(tls_service.port) as proxy:
        monkeypatch.setenv("https_proxy", proxy_url.format(f"127.0.0.1:{proxy.port}"))

        assert ask(DswHook())["InstanceId"] == ID
        (received,) = proxy.received
        assert received.line == f"CONNECT {tls_service.endpoint} HTTP/1.1"
        assert ("proxy-authorization" in received.headers) == ("user" in proxy_url)
        # What the service is asked is not the proxy's to see.
        assert "x-acs-action" not in received.headers


@pytest.mark.usefixtures("no_pauses")
def test_a_proxy_that_opens_no_tunnel_is_named_as_the_cause(ask, tls_service, monkeypatch):
    with Tunnel(tls_service.port, status=407) as proxy:
        monkeypatch.setenv("https_proxy", f"user:the-word@127.0.0.1:{proxy.port}")
        with pytest.raises(DswTransientError, match=r"the proxy refuses the connection \(HTTP 407\)") as raised:
            ask(DswHook())

    assert "the-word" not in str(raised.value)
    assert tls_service.requests == []


@pytest.mark.usefixtures("no_pauses")
def test_an_encrypted_answer_that_drips_ends_at_the_deadline(ask, tls_service, monkeypatch):
    """Less than a record comes of it, which TLS hands on as a whole."""
    monkeypatch.setattr(dsw, "TOTAL_TIME_LIMIT", 2.0)
    tls_service.fault("GetInstance", times=None, delay=0.2)
    connection = tls_service.connection()
    connection["extra"] |= {"connect_timeout": 1.0, "read_timeout": 1.0}
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(connection))
    with Tunnel(tls_service.port, drips_from=lambda: bool(tls_service.requests)) as proxy:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
        began = time.monotonic()
        with pytest.raises(DswTransientError, match="in time"):
            ask(DswHook(), attempts=1)

    assert time.monotonic() - began < 30  # the whole answer would take minutes


@pytest.mark.usefixtures("no_pauses")
def test_no_redirect_leads_out_of_tls(ask, tls_service):
    with RawServer(sends(GOOD)) as other:
        location = f"http://127.0.0.1:{other.port}/api/v2/instances/{ID}"
        tls_service.fault(times=None, status=302, headers={"Location": location})
        with pytest.raises(DswTransientError, match="redirect, which is not followed"):
            ask(DswHook(), token="the-sharing-token", attempts=1)

        assert other.connections == 0
    assert len(tls_service.requests) == 1


def test_no_proxy_is_obeyed(ask, tls_service, monkeypatch):
    with Tunnel(tls_service.port, status=500) as proxy:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "example.com,127.0.0.1")

        assert ask(DswHook())["InstanceId"] == ID
        assert proxy.connections == 0


@pytest.mark.parametrize(
    "url", ["socks5://user:the-word@127.0.0.1:1", "http://user:the-word@:1", "http://a:the-word@b:c"]
)
@pytest.mark.usefixtures("no_pauses")
def test_a_proxy_that_can_t_be_used_is_said_so_without_its_password(url, ask, monkeypatch):
    monkeypatch.setenv("http_proxy", url)
    hook = connect(monkeypatch, **KEY, host="dsw.example.invalid", extra={"protocol": "http"})

    with pytest.raises(DswTransientError, match="a proxy that is not an http:// URL") as raised:
        ask(hook)

    assert "the-word" not in str(raised.value)
    assert not raised.value.may_have_been_performed


# Connections beside each other


def test_connections_whose_credentials_hang_hold_up_no_other(monkeypatch):
    released = threading.Event()

    def hang(_: socket.socket, __: Received) -> bool:
        released.wait(60)
        return False

    with RawServer(hang) as hanging, RawServer(sends(GOOD)) as server:
        extra = {"auth_type": "credentials_uri", "credentials_uri": f"http://127.0.0.1:{hanging.port}/"}
        hooks = [connect_to(monkeypatch, server.port, **extra) for _ in range(12)]
        for number, hook in enumerate(hooks):
            monkeypatch.setenv(
                f"AIRFLOW_CONN_HANGS_{number}",
                json.dumps(
                    {
                        "conn_type": "dsw",
                        "host": f"127.0.0.1:{server.port}",
                        "extra": {"protocol": "http", "read_timeout": 60, **extra},
                    }
                ),
            )
            hook.dsw_conn_id = f"hangs_{number}"
        well = connect_to(monkeypatch, server.port)

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(fails(hook)) for hook in hooks]
                await until(lambda: len(hanging.received) == 12)
                await well.aget_instance(ID)
                assert not any(task.done() for task in tasks)
                released.set()

        async def fails(hook: DswHook) -> None:
            with pytest.raises(DswTransientError, match="credentials could not be fetched"):
                await hook.aget_instance(ID, attempts=1)

        asyncio.run(work())


# The connection's own fields


@pytest.mark.parametrize("field", ["read_timeout", "connect_timeout"])
@pytest.mark.parametrize("value", [1e10, "1e300", 86401])
def test_a_timeout_beyond_a_day_is_refused_by_name(field, value, ask, monkeypatch):
    hook = connect_to(monkeypatch, 1, **{field: value})

    with pytest.raises(DswConnectionError, match=f"extra '{field}' must be a number of seconds"):
        ask(hook)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"login": "key\nid"}, "login"),
        ({"login": "ключ"}, "login"),
        ({"extra": {"auth_type": "sts", "security_token": "the-secu\r\nrity"}}, "security_token"),
    ],
)
def test_what_no_header_can_hold_is_refused_by_name(fields: dict[str, Any], named, ask, monkeypatch):
    extra = {"protocol": "http", **fields.get("extra", {})}
    hook = connect(monkeypatch, **{**KEY, "host": "127.0.0.1:1", **fields, "extra": extra})

    with pytest.raises(DswConnectionError, match=named) as raised:
        ask(hook)

    assert "the-secu" not in str(raised.value)


@pytest.mark.parametrize(
    "token", ["the-security\r\ntoken: x", "the-securitÿ", "the-security\ud83d", ["the-security"], {"a": "the-security"}]
)
@pytest.mark.usefixtures("no_pauses")
def test_credentials_that_no_header_can_hold_are_quoted_nowhere(token, ask, monkeypatch, caplog, capfd):
    fetched = {"Code": "Success", "AccessKeyId": "k", "AccessKeySecret": "the-secret-key", "SecurityToken": token}
    with RawServer(sends(http(200, {**fetched, "Expiration": "2099-01-01T00:00:00Z"}))) as credentials:
        extra = {"auth_type": "credentials_uri", "credentials_uri": f"http://127.0.0.1:{credentials.port}/"}
        with (
            caplog.at_level(logging.DEBUG),
            pytest.raises(DswAccessDeniedError, match="what was fetched is not an Alibaba Cloud key") as raised,
        ):
            ask(connect_to(monkeypatch, 1, **extra))

    assert "the-sec" not in f"{raised.value!r} {raised.value.__context__!r} {caplog.text} {capfd.readouterr()}"


def test_an_ipv6_address_can_be_a_host(ask, monkeypatch):
    class OverIpv6(RawServer):
        address_family = socket.AF_INET6

        def __init__(self) -> None:
            super().__init__(sends(GOOD), host="::1")

    with OverIpv6() as server:
        for host in ("[::1]", "::1"):
            assert ask(connect(monkeypatch, **KEY, host=host, port=server.port, extra={"protocol": "http"}))[
                "InstanceId"
            ]
        assert server.received[0].headers["host"] == f"[::1]:{server.port}"


def test_a_name_with_several_addresses_is_tried_at_each(ask, monkeypatch):
    def addresses(host: Any, port: Any, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    with RawServer(sends(GOOD)) as server:
        hook = connect(monkeypatch, **KEY, host="dsw.example.invalid", port=server.port, extra={"protocol": "http"})
        monkeypatch.setattr("airflow_provider_dsw.client.pool.getaddrinfo", addresses)

        assert ask(hook)["InstanceId"] == ID


@pytest.mark.usefixtures("no_pauses")
def test_both_ways_say_the_same_in_turn(ask, monkeypatch):
    """A kept connection serves whatever comes next, as long as answers are whole."""
    answers = in_turn(sends(http(503, {"Code": "Busy"})), sends(http(429, {"Code": "Throttling"})), sends(GOOD))
    with RawServer(answers) as server:
        assert ask(connect_to(monkeypatch, server.port))["InstanceId"] == ID
        assert len(server.received) == 3
