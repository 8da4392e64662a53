"""How long the hook waits between its tries, and when it gives up."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_dsw.exceptions import DswInstanceNotFoundError, DswTransientError
from airflow_provider_dsw.hooks import dsw
from airflow_provider_dsw.hooks.dsw import DswHook
from tests.support.hooks import Ask, ask_async, connect, connect_to
from tests.support.raw_server import RawServer, Received, breaks_off, drips, http, in_turn, keeps_silent, sends
from tests.support.until import until

ID = "dsw-abc"
GOOD = http(200, {"InstanceId": ID, "Status": "Running"})
DOWN = {"status": 503, "code": "ServiceUnavailable"}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the hook makes, which take no time here."""
    made: list[float] = []

    async def sleep(seconds: float, result: Any = None) -> Any:
        if not sys._getframe(1).f_globals["__name__"].startswith("tenacity"):  # the emulator's, or a slow answer's
            return await real_sleep(seconds, result)
        made.append(seconds)
        return await real_sleep(0, result)

    real_sleep = asyncio.sleep
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=made.append))
    monkeypatch.setattr("asyncio.sleep", sleep)
    return made


def fails(ask: Ask, hook: DswHook) -> DswTransientError:
    with pytest.raises(DswTransientError) as raised:
        ask(hook)
    return raised.value


def test_pauses_grow_and_no_two_calls_make_the_same(ask, dsw_default, pauses):
    dsw_default.fault(times=None, **DOWN)
    hook = DswHook()

    calls = []
    for _ in range(10):
        pauses.clear()
        fails(ask, hook)
        calls.append(tuple(pauses))

    assert {len(call) for call in calls} == {dsw.MAX_ATTEMPTS - 1}
    for number, least in enumerate((0.5, 1.0, 2.0)):
        tried = [call[number] for call in calls]
        assert all(least <= pause <= least + 0.5 for pause in tried)
        assert len(set(tried)) > 5


@pytest.mark.parametrize("attempts", [1, 2, dsw.MAX_ATTEMPTS + 3])
def test_as_many_requests_are_sent_as_the_caller_allows(ask, dsw_default, pauses, attempts):
    dsw_default.fault(times=None, **DOWN)

    with pytest.raises(DswTransientError):
        ask(DswHook(), attempts=attempts)
    assert len(dsw_default.requests) == attempts


def test_the_service_s_own_retry_after_is_kept(ask, dsw_default, pauses):
    dsw_default.add_instance(ID)
    dsw_default.fault(status=429, retry_after_ms=7000)

    assert ask(DswHook())["InstanceId"] == ID
    assert 7.0 <= pauses[0] <= 8.0
    assert len(pauses) == 1


def test_a_short_retry_after_does_not_shorten_the_pauses(ask, dsw_default, pauses):
    dsw_default.fault(times=None, status=503, retry_after_ms=1)

    error = fails(ask, DswHook())

    assert error.retry_after == 0.001
    assert pauses[2] >= 2.0


@pytest.mark.parametrize("status", [400, 409])
def test_a_refusal_with_a_retry_after_is_tried_again(status, dsw_default, pauses):
    # By awaited calls: older SDKs keep the header to themselves.
    dsw_default.fault(times=None, status=status, code="Whatever", retry_after_ms=3000)

    error = fails(ask_async, DswHook())

    assert len(pauses) == dsw.MAX_ATTEMPTS - 1
    assert "The service asks to wait 3 s." in str(error)


def test_http_s_own_retry_after_changes_nothing(ask, monkeypatch, pauses):
    body = {"Code": "ServiceUnavailable", "Message": "No."}
    with RawServer(sends(http(503, body, Retry_After="3600"))) as server:
        error = fails(ask, connect_to(monkeypatch, server.port))

    assert error.retry_after is None
    assert max(pauses) < 3


@pytest.mark.parametrize("value", ["soon", "-5", "0", "", "nan", "inf"])
def test_a_retry_after_that_is_no_time_is_not_kept(value, ask, monkeypatch, pauses):
    body = {"Code": "ServiceUnavailable", "Message": "No."}
    with RawServer(sends(http(503, body, x_acs_retry_after=value))) as server:
        error = fails(ask, connect_to(monkeypatch, server.port))

    assert not error.retry_after
    assert max(pauses) < 3


@pytest.mark.parametrize(("sent", "kept"), [("61000", 61), ("300001", 300), ("9" * 20, 300)])
def test_a_retry_after_beyond_the_time_limit_ends_the_call_at_once(sent, kept, ask, monkeypatch, pauses):
    body = {"Code": "Throttling", "Message": "No."}
    with RawServer(sends(http(429, body, x_acs_retry_after=sent))) as server:
        error = fails(ask, connect_to(monkeypatch, server.port))

        assert error.retry_after == kept  # five minutes at most: a wait sleeps for as long
        assert pauses == []
        assert len(server.received) == 1


def test_every_pause_is_said_in_the_log(ask, dsw_default, pauses, caplog, hook_log):
    dsw_default.add_instance(ID)
    dsw_default.fault(times=2, **DOWN)

    ask(DswHook())

    said = [record.getMessage() for record in caplog.records if "Trying again in" in record.getMessage()]
    assert len(said) == 2
    assert "(attempt 1 of 4)" in said[0]
    assert "ServiceUnavailable" in said[0]


def test_what_a_retry_would_not_change_is_not_tried_again(ask, dsw_default, pauses):
    with pytest.raises(DswInstanceNotFoundError) as raised:
        ask(DswHook())

    assert "attempt" not in str(raised.value)
    assert pauses == []


# The time limit


def test_an_answer_that_drips_in_ends_within_the_time_limit(ask, monkeypatch, no_pauses):
    monkeypatch.setattr(dsw, "TOTAL_TIME_LIMIT", 0.6)
    began = time.monotonic()
    long = http(200, {"InstanceId": ID, "X": "x" * 1000})
    with RawServer(drips(long, 0.05)) as server:  # a minute in all, each byte well within the read timeout
        error = fails(ask, connect_to(monkeypatch, server.port, connect_timeout=0.6, read_timeout=0.6))

        assert time.monotonic() - began < 20
    assert "in time" in str(error) or "no complete answer" in str(error)


def test_the_time_limit_holds_for_all_tries_together(ask, monkeypatch, no_pauses):
    monkeypatch.setattr(dsw, "TOTAL_TIME_LIMIT", 0.5)
    with RawServer(keeps_silent) as server:
        fails(ask, connect_to(monkeypatch, server.port, connect_timeout=0.5, read_timeout=0.3))

        time.sleep(0.1)  # in which the server takes what was sent
        assert len(server.received) < dsw.MAX_ATTEMPTS


def test_a_timeout_longer_than_the_time_limit_widens_it(ask, monkeypatch, no_pauses):
    monkeypatch.setattr(dsw, "TOTAL_TIME_LIMIT", 0.1)

    def slow(connection: socket.socket, _: object) -> bool:
        time.sleep(0.4)
        connection.sendall(GOOD)
        return True

    with RawServer(slow) as server:
        hook = connect_to(monkeypatch, server.port, connect_timeout=0.5, read_timeout=30)

        assert ask(hook)["InstanceId"] == ID


# The connection's timeouts


def stops_halfway(connection: socket.socket, received: Received) -> bool:
    connection.sendall(GOOD[:-5])
    return keeps_silent(connection, received)


@pytest.mark.parametrize("answer", [keeps_silent, stops_halfway])
def test_the_read_timeout_is_kept(answer, ask, monkeypatch, no_pauses):
    with RawServer(answer) as server:
        began = time.monotonic()
        error = fails(ask, connect_to(monkeypatch, server.port, read_timeout=0.1))
        took = time.monotonic() - began

    assert 0.4 <= took < 20  # with the default one, 40 s
    assert "no answer in time" in str(error)


def test_each_of_several_calls_keeps_its_own_read_timeout(monkeypatch):
    async def seconds(hook: DswHook, after: float) -> float:
        await asyncio.sleep(after)
        began = time.monotonic()
        with pytest.raises(DswTransientError):
            await hook.aget_instance(ID, attempts=1)
        return time.monotonic() - began

    async def work() -> list[float]:
        async with connect_to(monkeypatch, server.port, read_timeout=0.5) as hook:
            return await asyncio.gather(*(seconds(hook, after) for after in (0.0, 0.2, 0.4)))

    with RawServer(keeps_silent) as server:
        taken = asyncio.run(asyncio.wait_for(work(), 60))

    assert all(0.5 <= took < 30 for took in taken)


def test_an_answer_that_came_in_time_is_read_although_the_loop_stood_still_since(monkeypatch):
    """Whatever else a triggerer runs may block its loop; a thousand answers wait in their sockets then."""
    stands_still, has_answered = threading.Event(), threading.Event()

    def answer(connection: socket.socket, _: object) -> bool:
        stands_still.wait(60)
        connection.sendall(GOOD)
        has_answered.set()
        return True

    async def work() -> Any:
        async with connect_to(monkeypatch, server.port, read_timeout=3) as hook:
            call = asyncio.create_task(hook.aget_instance(ID, attempts=1))
            await until(lambda: server.received)
            stands_still.set()
            has_answered.wait(60)
            time.sleep(3)  # noqa: ASYNC251 - the fault
            return await call

    with RawServer(answer) as server:
        assert asyncio.run(work())["InstanceId"] == ID


def test_an_answer_may_take_longer_than_the_read_timeout_if_it_goes_on(ask, monkeypatch, no_pauses):
    head, body = GOOD.split(b"\r\n\r\n", 1)

    def in_parts(connection: socket.socket, _: object) -> bool:
        connection.sendall(head + b"\r\n\r\n")
        for start in range(0, len(body), 4):
            time.sleep(0.1)
            connection.sendall(body[start : start + 4])
        return True

    with RawServer(in_parts) as server:
        assert ask(connect_to(monkeypatch, server.port, read_timeout=0.8))["InstanceId"] == ID


def test_the_connect_timeout_is_kept(ask, monkeypatch, no_pauses):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]  # nobody accepts: there is no place for one more
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        began = time.monotonic()
        try:
            error = fails(ask, connect_to(monkeypatch, listener.getsockname()[1], connect_timeout=0.1))
        finally:
            for filler in fillers:
                filler.close()

    assert time.monotonic() - began < 10  # with the default one, 20 s
    assert "no connection in time" in str(error)


def test_a_call_that_broke_off_leaves_the_next_one_whole(ask, monkeypatch, no_pauses):
    with RawServer(in_turn(breaks_off(GOOD), sends(GOOD))) as server:
        assert ask(connect_to(monkeypatch, server.port))["Status"] == "Running"
        assert len(server.received) == 2


def test_the_connection_test_tries_once(monkeypatch, pauses):
    hook = connect(monkeypatch, login="a", password="bbbbbbbb", host="127.0.0.1:1", extra={"protocol": "http"})

    assert hook.test_connection()[0] is False
    assert pauses == []
