"""
The bytes of one connection in an event loop.

Not by asyncio's own transports: for TLS they hold a quarter of a mebibyte a connection.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from airflow_provider_dsw.client.deadlines import Deadlines
from airflow_provider_dsw.client.socket_connection import SocketConnection, seconds_left
from airflow_provider_dsw.client.steps import Exchange, Open, StartTls

T = TypeVar("T")
_PART = 16 * 1024


class AwaitedConnection(SocketConnection):
    """
    A connection of an event loop.

    :param connected: its socket.
    :param free: how many more may be open at one time; it is one of them until it is aborted.
    :param deadlines: of the event loop.
    """

    def __init__(self, connected: socket.socket, free: asyncio.Semaphore, deadlines: Deadlines) -> None:
        super().__init__(connected)
        self._free = free
        self._deadlines = deadlines
        self._is_open = True
        self._is_expired: asyncio.Future[bool] | None = None

    @classmethod
    async def open(cls, step: Open, free: asyncio.Semaphore, deadlines: Deadlines) -> AwaitedConnection:
        family, socket_type, protocol, _, address = step.address
        await free.acquire()
        try:
            made = cls(socket.socket(family, socket_type, protocol), free, deadlines)
        except BaseException:
            free.release()
            raise
        try:
            made._socket.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made._socket, address)
            made._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            made.abort()
            raise
        return made

    async def start_tls(self, step: StartTls) -> None:
        tls = step.context.wrap_socket(self._socket, server_hostname=step.server_name, do_handshake_on_connect=False)
        self._socket = tls
        await self._unblocked(math.inf, tls.do_handshake)

    async def exchange(self, step: Exchange, deadline: float) -> None:
        left = partial(seconds_left, deadline, step.read_timeout)
        unsent = memoryview(step.http.request)
        try:
            while unsent:
                unsent = unsent[await self._unblocked(left(), self._socket.send, unsent, sends=True) :]
            while True:
                part = await self._unblocked(left(), self._socket.recv, _PART)
                began = time.monotonic()
                step.http.feed(part)
                if step.http.is_complete:
                    return
                # An answer of a million tiny chunks leaves half of the loop's time to others.
                took = time.monotonic() - began
                await asyncio.sleep(took if took > 0.001 else 0)
        finally:
            self._deadlines.drop(self)

    def abort(self) -> None:
        super().abort()
        if self._is_open:
            self._is_open = False
            self._free.release()

    def expire(self) -> None:
        self._wake(is_expired=True)

    async def _unblocked(self, seconds: float, function: Callable[..., T], *arguments: Any, sends: bool = False) -> T:
        """Call a function of the socket as soon as it does not block, but for so many seconds at most."""
        # Set once: a record of TLS may come byte by byte.
        due = time.monotonic() + seconds
        while True:
            try:
                # Also if it is late by now: what came in time counts, although the loop stood still since.
                return function(*arguments)
            except ssl.SSLWantReadError:
                to_write = False
            except ssl.SSLWantWriteError:
                to_write = True
            except BlockingIOError:
                to_write = sends
            if time.monotonic() >= due:
                raise TimeoutError
            await self._until_ready(due, to_write=to_write)

    async def _until_ready(self, due: float, *, to_write: bool) -> None:
        loop = asyncio.get_running_loop()
        add, remove = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
        self._is_expired = is_expired = loop.create_future()
        if due < math.inf:
            self._deadlines.set(self, due - time.monotonic())
        add(self._socket.fileno(), self._wake)
        try:
            if await is_expired:
                raise TimeoutError
        finally:
            remove(self._socket.fileno())

    def _wake(self, *, is_expired: bool = False) -> None:
        if self._is_expired is not None and not self._is_expired.done():
            self._is_expired.set_result(is_expired)
