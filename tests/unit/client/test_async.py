"""The awaited calls: they never block the event loop, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import threading
import tracemalloc
import warnings
from pathlib import Path

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.hooks.dsw import DswHook
from tests.support.hooks import KEY, ask_async, connect, connect_to
from tests.support.raw_server import RawServer, Received, http, sends
from tests.support.until import until, wait_until

ID = "dsw-abc"
GOOD = http(200, {"InstanceId": ID, "Status": "Running"})


@pytest.mark.parametrize("way", ["one hook", "a hook each", "kept alive"])
def test_fifty_slow_calls_at_once_leave_the_loop_free(way, monkeypatch):
    all_have_asked = threading.Barrier(50)

    def slowly(connection: socket.socket, received: Received) -> bool:
        all_have_asked.wait(60)  # which one of them would prevent that holds the others up
        connection.sendall(http(200, {"InstanceId": received.line.split()[1].rpartition("/")[2]}))
        return True

    async def work() -> None:
        hook = DswHook()
        hooks = [DswHook() if way == "a hook each" else hook for _ in range(50)]
        if way == "kept alive":
            await hook.__aenter__()
        calls = (hook.aget_instance(f"dsw-{n}", attempts=1) for n, hook in enumerate(hooks))
        answers = await asyncio.gather(*calls)
        if way == "kept alive":
            await hook.__aexit__()
        assert [answer["InstanceId"] for answer in answers] == [f"dsw-{number}" for number in range(50)]

    with RawServer(slowly) as server:
        connect_to(monkeypatch, server.port, connect_timeout=60, read_timeout=60)
        asyncio.run(work())


def test_the_environment_s_proxy_is_used_and_no_proxy_obeyed(monkeypatch):
    with RawServer(sends(GOOD)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{proxy.port}")
        extra = {"protocol": "http"}
        hook = connect(monkeypatch, **KEY, host="dsw.example.invalid", extra=extra)
        assert ask_async(hook)["InstanceId"] == ID
        assert proxy.received[0].line.split()[1].startswith("http://dsw.example.invalid/api/v2/instances/")
        assert proxy.received[0].headers["proxy-authorization"].startswith("Basic ")

        with RawServer(sends(GOOD)) as server:
            monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
            assert ask_async(connect_to(monkeypatch, server.port))["InstanceId"] == ID
        assert (len(proxy.received), len(server.received)) == (1, 1)


@pytest.mark.parametrize("is_retried", [False, True])
def test_a_call_leaves_nothing_to_python_s_garbage_collector(dsw_default, no_pauses, is_retried):
    """In a triggerer a full collection stops the event loop for a tenth of a second and more."""
    dsw_default.add_instance(ID)

    async def work() -> int:
        async with DswHook() as hook:

            async def ask() -> None:
                if is_retried:
                    dsw_default.fault("GetInstance", status=503)
                await hook.aget_instance(ID)

            await ask()
            gc.collect()
            gc.disable()
            for _ in range(50):
                await ask()
            return gc.collect()

    try:
        # Now and then other threads of this process leave something, but not each time.
        assert any(asyncio.run(work()) < 50 for _ in range(3))
    finally:
        gc.enable()


def test_a_call_leaves_no_cancelled_timer(dsw_default, mocker):
    """asyncio frees those by the hundred, which Python's collector doesn't see: it looks through all the more often."""
    dsw_default.add_instance(ID)

    async def work() -> int:
        async with DswHook() as hook:
            await hook.aget_instance(ID)
            timers = mocker.spy(asyncio.get_running_loop(), "call_at")
            for _ in range(50):
                await hook.aget_instance(ID)
            return int(timers.call_count)

    assert asyncio.run(work()) < 10


COLD = """
import asyncio, sys, time
import airflow.jobs.triggerer_job_runner  # as in a triggerer
from airflow_provider_dsw.hooks.dsw import DswHook
from tests.support.stalls import longest_stall, unhindered_time
from tests.support.until import until, wait_until
assert not [name for name in sys.modules if name.startswith("alibabacloud")]
print(asyncio.run(longest_stall(DswHook().aget_instance("dsw-abc"), {clock})))
"""


# In a second of the processor's the loop's own thread would import what the call needs; other processes take none of
# it. What threads beside the loop do to it by the interpreter's lock is measured where the machine is less busy.
@pytest.mark.parametrize("clock", ["time.thread_time", pytest.param("unhindered_time", marks=pytest.mark.slow)])
def test_the_first_call_of_a_process_imports_beside_the_loop(clock, dsw_default):
    dsw_default.add_instance(ID)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}

    def stall() -> float:
        code = [sys.executable, "-c", COLD.format(clock=clock)]
        done = subprocess.run(code, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return float(done.stdout.split()[-1])

    # From where on a triggerer warns of it. The best of some: on a busy machine the same work takes more of them.
    assert any(stall() < 0.2 for _ in range(10))


def test_slow_credentials_are_fetched_beside_the_loop_and_once_for_all(monkeypatch):
    fetched = {"Code": "Success", "AccessKeyId": "k", "AccessKeySecret": "secret", "SecurityToken": "token"}
    loops: list[asyncio.AbstractEventLoop] = []
    turned = threading.Event()

    def once_the_loop_has_turned(connection: socket.socket, _: object) -> bool:
        loops[0].call_soon_threadsafe(turned.set)
        turned.wait(20)
        connection.sendall(http(200, {**fetched, "Expiration": "2099-01-01T00:00:00Z"}))
        return True

    with RawServer(once_the_loop_has_turned) as credentials, RawServer(sends(GOOD)) as server:
        uri = f"http://127.0.0.1:{credentials.port}/"
        hook = connect_to(monkeypatch, server.port, read_timeout=60, auth_type="credentials_uri", credentials_uri=uri)

        async def work() -> None:
            loops.append(asyncio.get_running_loop())
            async with hook:
                calls = asyncio.gather(*(hook.aget_instance(ID) for _ in range(20)))
                await until(lambda: turned.is_set() or calls.done())
                assert turned.is_set()
                assert not calls.done()
                await calls

        asyncio.run(work())
        assert len(credentials.received) == 1
        assert len(server.received) == 20


def test_a_hook_serves_one_loop_after_another(dsw_default):
    dsw_default.add_instance(ID)
    hook = DswHook()

    for _ in range(3):
        assert asyncio.run(hook.aget_instance(ID))["InstanceId"] == ID
    assert hook.get_instance(ID)["InstanceId"] == ID


def test_a_hook_can_be_entered_again_in_another_loop(dsw_default):
    dsw_default.add_instance(ID)
    hook = DswHook()

    async def twice() -> None:
        async with hook as entered:
            assert entered is hook
            await hook.aget_instance(ID)
            await hook.aget_instance(ID)

    asyncio.run(twice())
    asyncio.run(twice())

    assert len(dsw_default.requests) == 4


def test_loops_in_several_threads_share_a_hook(dsw_default):
    dsw_default.add_instance(ID)
    hook, found = DswHook(), []

    def run() -> None:
        found.append(asyncio.run(hook.aget_instance(ID))["InstanceId"])

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [ID] * 5


def test_connections_are_kept_alive_inside_async_with(monkeypatch):
    with RawServer(sends(GOOD)) as server:
        hook = connect_to(monkeypatch, server.port)

        async def inside() -> None:
            async with hook:
                for _ in range(10):
                    await hook.aget_instance(ID)

        asyncio.run(inside())
        assert (server.connections, len(server.received)) == (1, 10)


def test_synchronous_calls_keep_their_connection_alive(monkeypatch):
    with RawServer(sends(GOOD)) as server:
        hook = connect_to(monkeypatch, server.port)
        for _ in range(10):
            hook.get_instance(ID)

        assert (server.connections, len(server.received)) == (1, 10)


@pytest.mark.parametrize("inside", [True, False])
def test_nothing_stays_open_after_the_last_call(inside, monkeypatch, caplog):
    gc.collect()  # what other tests have left
    with RawServer(sends(GOOD)) as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        hook = connect_to(monkeypatch, server.port)

        async def work() -> None:
            if not inside:
                await hook.aget_instance(ID)
                return
            async with hook:
                await hook.aget_instance(ID)

        asyncio.run(work(), debug=True)
        gc.collect()
        wait_until(lambda: server.open_connections == 0)

    assert [str(warning.message) for warning in warned if issubclass(warning.category, ResourceWarning)] == []
    assert "Unclosed" not in caplog.text


@pytest.mark.parametrize("inside", [True, False])
def test_a_cancelled_call_leaves_nothing(inside, monkeypatch, caplog):
    gc.collect()  # what other tests have left
    caplog.clear()
    asked = threading.Event()

    def hang(connection: socket.socket, _: object) -> bool:
        asked.set()
        connection.recv(1)
        return False

    with RawServer(hang) as server:
        hook = connect_to(monkeypatch, server.port)

        async def call() -> None:
            if not inside:
                await hook.aget_instance(ID)
                return
            async with hook:
                await hook.aget_instance(ID)

        async def cancel() -> None:
            task = asyncio.create_task(call())
            assert await asyncio.to_thread(asked.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(cancel())
        gc.collect()
        wait_until(lambda: server.open_connections == 0)
        assert len(server.received) == 1
    assert "Unclosed" not in caplog.text
    assert "never retrieved" not in caplog.text


def test_a_burst_of_first_calls_opens_few_connections(monkeypatch):
    """Each costs as much as ten calls."""

    def answer(connection: socket.socket, received: Received) -> bool:
        connection.sendall(http(200, {"InstanceId": received.line.split()[1].rpartition("/")[2]}))
        return True

    async def work(hook: DswHook) -> None:
        async with hook:
            await asyncio.gather(*(hook.aget_instance(f"dsw-{number}", attempts=1) for number in range(500)))

    with RawServer(answer) as server:
        asyncio.run(work(connect_to(monkeypatch, server.port, connect_timeout=60, read_timeout=60)))

        assert len(server.received) == 500
        assert server.connections < 250


def test_what_the_server_has_closed_is_closed_here_too_while_calls_go_on(monkeypatch):
    """After a burst one connection suffices; those below it would hold a file descriptor each as long as a wait."""
    all_have_asked = threading.Barrier(10)
    is_first = threading.Lock()

    def answer(connection: socket.socket, received: Received) -> bool:
        if not burst_is_over.is_set():
            all_have_asked.wait(60)
            stays = is_first.acquire(blocking=False)
            if stays:
                wait_until(lambda: server.open_connections == 1)
            connection.sendall(GOOD)
            return stays
        connection.sendall(GOOD)
        return True

    def left_open() -> set[str]:
        """By their local addresses, those that the server's side has closed."""
        lines = map(str.split, Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:])
        return {local for _, local, remote, state, *_ in lines if (remote, state) == (address, "08")}

    async def work() -> None:
        async with DswHook() as hook:
            await asyncio.gather(*(hook.aget_instance(ID, attempts=1) for _ in range(10)))
            burst_is_over.set()
            for _ in range(20):
                await hook.aget_instance(ID)
            assert left_open() - of_others == set()

    burst_is_over = threading.Event()
    with RawServer(answer) as server:
        address = f"0100007F:{server.port:04X}"
        of_others = left_open()  # to a server that had this port before
        connect_to(monkeypatch, server.port, connect_timeout=60, read_timeout=60)
        asyncio.run(work())
        assert server.connections == 10


def test_connections_that_are_kept_hold_little_memory(monkeypatch):
    """A triggerer keeps fifty for each endpoint. By asyncio's own transports each holds a quarter of a mebibyte."""

    async def work() -> int:
        async with DswHook() as hook:
            await hook.aget_instance(ID)
            tracemalloc.start(5)
            try:
                await asyncio.gather(*(hook.aget_instance(ID) for _ in range(30)))
                found = tracemalloc.take_snapshot()
            finally:
                tracemalloc.stop()
        # Without the emulator's, which is in this process too.
        ours = found.filter_traces([tracemalloc.Filter(True, "*/client/awaited_connection.py", all_frames=True)])
        return sum(trace.size for trace in ours.traces)

    with DswEmulator(tls=True) as emulator:
        emulator.add_instance(ID)
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
        monkeypatch.setenv("SSL_CERT_FILE", str(emulator.ca_file))
        assert asyncio.run(work()) < 2**20


def test_one_cancelled_call_does_not_disturb_the_others(monkeypatch):
    cancelled = threading.Event()

    def after_that(connection: socket.socket, received: Received) -> bool:
        cancelled.wait(60)
        connection.sendall(http(200, {"InstanceId": received.line.split()[1].rpartition("/")[2]}))
        return True

    with RawServer(after_that) as server:
        hook = connect_to(monkeypatch, server.port, read_timeout=60)

        async def work() -> list[str]:
            async with hook:
                tasks = [asyncio.create_task(hook.aget_instance(f"dsw-{number}")) for number in range(5)]
                await until(lambda: len(server.received) == 5)
                tasks[2].cancel()
                await asyncio.wait([tasks[2]])
                cancelled.set()
                found = await asyncio.gather(*tasks, return_exceptions=True)
                return [type(answer).__name__ for answer in found]

        assert asyncio.run(work()) == ["dict", "dict", "CancelledError", "dict", "dict"]


def test_tls_is_verified_and_used(ask, monkeypatch):
    with DswEmulator(tls=True) as emulator:
        emulator.add_instance(ID)
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
        monkeypatch.setenv("SSL_CERT_FILE", str(emulator.ca_file))

        assert ask(DswHook())["InstanceId"] == ID
