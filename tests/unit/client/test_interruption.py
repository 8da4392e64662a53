"""A synchronous call that is interrupted: nothing of it is sent any more, and no thread and no connection is left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from airflow_provider_dsw.client.tls import new_context
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswTransientError
from airflow_provider_dsw.hooks import dsw
from tests.support.hooks import KEY, ask_sync, connect, connect_to
from tests.support.raw_server import Answer, RawServer, Received, drips, http, keeps_silent, sends
from tests.support.until import wait_until

ID = "dsw-abc"
GOOD = http(200, {"InstanceId": ID, "Status": "Running", "X": "x" * 1000})


# Seconds for which a call waits that nobody interrupts, and what it would leave behind lives on.
PATIENCE = 60


class Interrupted(BaseException):
    """As Airflow's AirflowTaskTimeout, and what its handler of SIGTERM raises."""


@contextlib.contextmanager
def interrupted_by(number: int, *, once: Callable[[], object]) -> Iterator[None]:
    """
    Expect that a signal ends the block, and soon.

    :param number: the signal.
    :param once: returns, in another thread, when the call waits for what does not come. Before, Python might meet the
        signal in a callback of its own, which lets nobody know of an exception.
    """

    def interrupt(*_: object) -> None:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Interrupted

    sent = []

    def send() -> None:
        once()
        time.sleep(0.1)
        sent.append(time.monotonic())
        os.kill(os.getpid(), number)

    before = signal.signal(number, interrupt)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            yield
        assert time.monotonic() - sent[0] < PATIENCE / 2
    finally:
        sender.join()  # else the signal may come when nobody waits for it
        signal.signal(number, before)


def received_by(server: RawServer) -> Callable[[], None]:
    return lambda: wait_until(lambda: server.received)


def connections_to(port: int) -> list[Any]:
    """The connections of this process to a port, as a client."""
    return [
        each
        for each in psutil.Process().net_connections("tcp")
        if each.raddr and each.raddr.port == port and each.status != psutil.CONN_CLOSE_WAIT
    ]


def threads_since(before: set[threading.Thread]) -> set[threading.Thread]:
    """Those that began, but for a server's, which end with their connections."""
    return {thread for thread in set(threading.enumerate()) - before if "process_request" not in thread.name}


def assert_no_thread_is_left(since: set[threading.Thread]) -> None:
    # One that has done its work may take a moment to end.
    end = time.monotonic() + PATIENCE / 3
    while threads_since(since) and time.monotonic() < end:
        time.sleep(0.01)
    assert threads_since(since) == set()


def assert_nothing_is_left(server: RawServer, threads: set[threading.Thread]) -> None:
    requests = len(server.received)
    time.sleep(0.3)
    assert len(server.received) == requests
    assert connections_to(server.port) == []
    assert_no_thread_is_left(threads)


def half_a_body(connection: socket.socket, received: Received) -> bool:
    connection.sendall(GOOD[:-5])
    return keeps_silent(connection, received)


WAITING: dict[str, Answer] = {
    "for an answer": keeps_silent,
    "for the rest of it": half_a_body,
    "for a head that drips": drips(GOOD, 0.02),
    "for a retry": sends(http(503, {"Code": "ServiceUnavailable"})),
}


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("waiting", WAITING)
def test_a_signal_ends_a_call_for_good(number, waiting, monkeypatch):
    with RawServer(WAITING[waiting]) as server:
        hook = connect_to(monkeypatch, server.port, read_timeout=PATIENCE)
        monkeypatch.setattr(dsw, "_retry_wait", lambda state: PATIENCE / 2)
        threads = set(threading.enumerate())

        with interrupted_by(number, once=received_by(server)):
            hook.get_instance(ID)

        assert_nothing_is_left(server, threads)
        assert len(server.received) == 1


def test_a_change_is_not_asked_for_after_the_signal(monkeypatch):
    """The request is ready when the signal comes, but its connection is not."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)  # accepts in the kernel; TLS is never spoken
        port = listener.getsockname()[1]
        hook = connect(monkeypatch, **KEY, host="127.0.0.1", port=port, extra={"protocol": "https"})
        threads = set(threading.enumerate())
        new_context()  # which takes a while

        listener.settimeout(PATIENCE)
        connected = []

        def said_hello() -> None:
            connected.append(listener.accept()[0])
            connected[0].settimeout(PATIENCE)
            connected[0].recv(1, socket.MSG_PEEK)

        with interrupted_by(signal.SIGALRM, once=said_hello):
            hook.start_instance(ID)

        (accepted,) = connected
        with accepted:
            received = b""
            while part := accepted.recv(65536):
                received += part
        assert received.startswith(b"\x16")  # TLS's hello, and then the end
        assert_no_thread_is_left(threads)


def test_a_signal_while_credentials_are_fetched_leaves_nothing(monkeypatch, emulator):
    from alibabacloud_credentials.client import Client  # which takes a while

    assert Client
    with RawServer(keeps_silent) as credentials:
        extra = {"auth_type": "credentials_uri", "credentials_uri": f"http://127.0.0.1:{credentials.port}/"}
        hook = connect_to(monkeypatch, emulator.port, read_timeout=PATIENCE, **extra)
        threads = set(threading.enumerate())

        with interrupted_by(signal.SIGALRM, once=received_by(credentials)):
            hook.start_instance(ID)

        time.sleep(0.2)
        assert_no_thread_is_left(threads)
        assert emulator.requests == []


def test_the_next_call_after_a_signal_works(monkeypatch):
    answers = iter([keeps_silent, sends(GOOD)])
    with RawServer(lambda connection, received: next(answers)(connection, received)) as server:
        hook = connect_to(monkeypatch, server.port, read_timeout=PATIENCE)
        with interrupted_by(signal.SIGALRM, once=received_by(server)):
            hook.get_instance(ID)

        assert hook.get_instance(ID)["Status"] == "Running"


@pytest.mark.usefixtures("no_pauses")
def test_a_call_that_has_raised_leaves_nothing(ask, monkeypatch):
    monkeypatch.setattr(dsw, "TOTAL_TIME_LIMIT", 0.4)
    with RawServer(drips(GOOD, 0.02)) as server:  # for longer than anybody looks for what is left
        hook = connect_to(monkeypatch, server.port, connect_timeout=0.4, read_timeout=0.4)
        assert hook.connection  # Airflow has threads of its own
        threads = set(threading.enumerate())

        with pytest.raises(DswTransientError, match="in time"):
            ask(hook)

        assert_nothing_is_left(server, threads)


@pytest.mark.usefixtures("no_pauses")
def test_a_call_that_was_answered_without_end_reads_no_further(monkeypatch):
    def without_end(connection: socket.socket, _: Received) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)

    with RawServer(without_end) as server:
        hook = connect_to(monkeypatch, server.port, read_timeout=PATIENCE)
        assert hook.connection  # Airflow has threads of its own
        threads = set(threading.enumerate())

        with pytest.raises(DswTransientError, match="larger than 16 MiB"):
            ask_sync(hook, attempts=1)

        assert connections_to(server.port) == []
        assert_no_thread_is_left(threads)
        wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1."])
def test_a_head_that_drips_ends_at_the_deadline(head, ask, monkeypatch):
    monkeypatch.setattr(dsw, "TOTAL_TIME_LIMIT", 0.5)
    timeouts = {"connect_timeout": 0.5, "read_timeout": 0.5}  # which end the call no sooner, however busy the machine

    def drip(connection: socket.socket, _: Received) -> bool:
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    with RawServer(drip) as server:
        began = time.monotonic()
        with pytest.raises(DswTransientError, match="in time"):
            ask(connect_to(monkeypatch, server.port, **timeouts))

        assert 0.4 < time.monotonic() - began < PATIENCE  # without a deadline it has no end


# Processes and threads


def run_code(code: str, timeout: float = 300, **variables: str) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "PYTHONWARNINGS": "ignore",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


PRELUDE = """
import asyncio, atexit, os, signal, sys, threading, time
from airflow_provider_dsw.hooks.dsw import DswHook

def status(hook):
    return hook.get_instance("dsw-abc")["Status"]

def astatus(hook):
    return asyncio.run(hook.aget_instance("dsw-abc"))["Status"]

def in_child(work):
    child = os.fork()
    if child == 0:
        signal.alarm(250)
        try:
            ok = work() == "Running"
        except BaseException as error:
            print("child:", type(error), error, flush=True)
            ok = False
        os._exit(0 if ok else 1)
    return child

def ended_well(children):
    return all(os.waitpid(child, 0)[1] == 0 for child in children)
"""

WHEREVER = """
hook = DswHook()
print("first", status(hook), astatus(hook))

async def inside():
    async with hook:
        awaited = await hook.aget_instance("dsw-abc")
        print("in a running loop", hook.get_instance("dsw-abc")["Status"], awaited["Status"])
asyncio.run(inside())

stop = threading.Event()
wrong = []
def busy():
    while not stop.is_set():
        try:
            if status(hook) != "Running":
                wrong.append("?")
        except Exception as error:
            wrong.append(error)
threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()
for way in (status, astatus):
    children = []
    for _ in range(5):
        children.append(in_child(lambda: way(hook)))
        time.sleep(0.02)
    print("in children", ended_well(children))
stop.set()
for thread in threads:
    thread.join()
print("in the parent", wrong, status(hook), astatus(hook))

def later():
    threading.main_thread().join()
    print("after the main thread", status(DswHook()), flush=True)
threading.Thread(target=later).start()
atexit.register(lambda: print("at exit", status(hook)))
"""

WHILE_FETCHING = """
hook = DswHook()
thread = threading.Thread(target=status, args=[hook])
thread.start()
while not os.path.exists(os.environ["ASKED"]):  # a fork during an import is Python's own trouble
    time.sleep(0.01)
print(ended_well([in_child(lambda: status(hook)), in_child(lambda: astatus(hook))]))
thread.join()
"""

THE_LIBRARIES_OWN = """
import airflow_provider_dsw.client.credentials
from darabonba.core import DaraCore
from Tea.core import TeaCore

DaraCore._sessions["a"] = TeaCore._sessions["a"] = "a connection"
child = in_child(lambda: "in both" if DaraCore._sessions or TeaCore._sessions else "Running")
print("the child has none", ended_well([child]))
print("the parent keeps", len(DaraCore._sessions), len(TeaCore._sessions))
"""


def test_a_forked_child_has_none_of_the_connections_that_the_credentials_library_keeps():
    said = run_code(THE_LIBRARIES_OWN)

    assert "the child has none True" in said
    assert "the parent keeps 1 1" in said


def test_calls_work_wherever_a_process_is(dsw_default):
    dsw_default.add_instance(ID)

    said = run_code(WHEREVER)

    for words in (
        "first Running Running",
        "in a running loop Running Running",
        "in children True\nin children True",
        "in the parent [] Running Running",
        "after the main thread Running",
        "at exit Running",
    ):
        assert words in said


@pytest.mark.slow
def test_a_fork_while_credentials_are_fetched_harms_no_child(monkeypatch, tmp_path):
    asked = tmp_path / "asked"
    fetched = {"Code": "Success", "AccessKeyId": "k", "AccessKeySecret": "the-secret", "SecurityToken": "the-token"}

    def slowly(connection: socket.socket, _: Received) -> bool:
        asked.touch()
        time.sleep(1.5)
        connection.sendall(http(200, {**fetched, "Expiration": "2099-01-01T00:00:00Z"}))
        return True

    credential = {"k": {"secret": "the-secret", "security_token": "the-token"}}
    with RawServer(slowly) as credentials, DswEmulator(credentials=credential) as emulator:
        emulator.add_instance(ID)
        extra = {"auth_type": "credentials_uri", "credentials_uri": f"http://127.0.0.1:{credentials.port}/"}
        connect_to(monkeypatch, emulator.port, **extra)

        assert run_code(WHILE_FETCHING, ASKED=str(asked)).strip().endswith("True")


@pytest.mark.slow
def test_a_process_ends_though_a_daemon_s_call_goes_on(monkeypatch):
    code = """
threading.Thread(target=status, args=[DswHook()], daemon=True).start()
time.sleep(0.5)
"""
    with RawServer(keeps_silent) as server:
        connect_to(monkeypatch, server.port, read_timeout=600)
        run_code(code)  # which waits for five minutes at most


def test_many_threads_share_a_hook_and_keep_few_connections(monkeypatch):
    with RawServer(sends(GOOD)) as server:
        hook = connect_to(monkeypatch, server.port)
        found: list[str] = []

        def work() -> None:
            found.extend(hook.get_instance(ID)["Status"] for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert found == ["Running"] * 320
        assert server.connections <= 16


def test_a_hook_that_is_gone_leaves_no_connection(monkeypatch):
    with RawServer(sends(GOOD)) as server:
        hook = connect_to(monkeypatch, server.port)
        hook.get_instance(ID)
        assert len(connections_to(server.port)) == 1

        del hook

        assert connections_to(server.port) == []


def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used(ask, monkeypatch):
    def and_close(connection: socket.socket, _: Received) -> bool:
        connection.sendall(GOOD)  # without a word that it closes
        return False

    with RawServer(and_close) as server:
        hook = connect_to(monkeypatch, server.port)
        for _ in range(3):
            assert ask(hook, attempts=1)["Status"] == "Running"
            wait_until(lambda: connections_to(server.port) == [])  # the end of it has come


def test_a_change_goes_over_a_connection_of_its_own(monkeypatch):
    """One that was kept may be closed at this moment, which looks as if the answer were lost."""
    with RawServer(sends(GOOD)) as server:
        hook = connect_to(monkeypatch, server.port)
        hook.get_instance(ID)
        hook.start_instance(ID)
        hook.get_instance(ID)

        assert (server.connections, len(server.received)) == (2, 3)
