"""The bytes of one connection in an event loop."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from typing import Any

from airflow_provider_dsw.client.deadlines import Deadlines
from airflow_provider_dsw.client.steps import Exchange, Open, StartTls

_PART = 16 * 1024


class AwaitedConnection(asyncio.Protocol):
    """A connection of an event loop. It counts against those that may be open at one time."""

    def __init__(self, free: asyncio.Semaphore, deadlines: Deadlines) -> None:
        self._free = free
        self._deadlines = deadlines
        self._transport: Any = None
        self._step: Exchange | None = None
        self._answer: asyncio.Future[None] | None = None
        self._deadline = math.inf
        self._unread = bytearray()
        self._is_open = True
        self._is_lost = False

    @classmethod
    async def open(cls, step: Open, free: asyncio.Semaphore, deadlines: Deadlines) -> AwaitedConnection:
        family, socket_type, protocol, _, address = step.address
        loop = asyncio.get_running_loop()
        await free.acquire()
        connected = socket.socket(family, socket_type, protocol)
        try:
            connected.setblocking(False)
            await loop.sock_connect(connected, address)
            made: AwaitedConnection
            _, made = await loop.create_connection(lambda: cls(free, deadlines), sock=connected)
        except BaseException:
            connected.close()
            free.release()
            raise
        return made

    async def start_tls(self, step: StartTls) -> None:
        self._transport = await asyncio.get_running_loop().start_tls(
            self._transport,
            self,
            step.context,
            server_hostname=step.server_name,
            ssl_handshake_timeout=step.timeout + 1,  # the step's own limit comes first
        )

    async def exchange(self, step: Exchange, deadline: float) -> None:
        self._step, self._deadline = step, deadline
        self._answer = answer = asyncio.get_running_loop().create_future()
        try:
            if self._is_lost:
                raise ConnectionResetError
            self._expect()
            self._transport.write(step.http.request)
            await answer
        finally:
            self._deadlines.drop(self)
            self._step = self._answer = None
            if answer.done() and not answer.cancelled():
                answer.exception()  # else asyncio complains of it where the caller was cancelled at the same time

    def is_usable(self) -> bool:
        return self._is_open and not self._is_lost and not self._unread

    def abort(self) -> None:
        if self._is_open:
            self._is_open = False
            self._free.release()
            self._transport.abort()
            self._transport.close()  # else asyncio warns of TLS that is not closed

    def expire(self) -> None:
        self._end(TimeoutError())

    def _expect(self) -> None:
        if self._step is not None:
            left = self._deadline - time.monotonic()
            self._deadlines.set(self, min(self._step.read_timeout, left))

    def _end(self, error: BaseException | None) -> None:
        if self._answer is not None and not self._answer.done():
            if error is None:
                self._answer.set_result(None)
            else:
                self._answer.set_exception(error)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._expect()
        waits = bool(self._unread)
        self._unread += data
        if not waits:
            self._feed()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        if error is not None:
            self._end(error)
        elif not self._unread:
            self._feed()

    def _feed(self) -> None:
        """Read one part: an answer of a million tiny chunks must not keep the loop."""
        part = bytes(self._unread[:_PART])
        del self._unread[:_PART]
        if self._step is None:
            self.abort()  # nobody has asked for it
            return
        http = self._step.http
        try:
            http.feed(part)
        except Exception as error:
            self._end(error)
            return
        if http.is_complete:
            self._end(None)
        elif self._unread:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._feed)
            return
        elif self._is_lost and part:
            self._feed()
        self._transport.resume_reading()
