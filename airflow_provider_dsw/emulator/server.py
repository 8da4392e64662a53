"""The emulator itself: the service over HTTP on loopback, in its own thread."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from airflow_provider_dsw.emulator.clock import Clock
from airflow_provider_dsw.emulator.errors import invalid, too_large
from airflow_provider_dsw.emulator.faults import Answer, Fault
from airflow_provider_dsw.emulator.record import Request
from airflow_provider_dsw.emulator.service import CredentialLike, Service
from airflow_provider_dsw.emulator.signature import SignedRequest

HOST = "127.0.0.1"
BACKLOG = 1024


class _WithoutClientErrors(logging.Filter):
    """Drops the traceback of what a client did wrong: it is not HTTP, or it went away."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, (HttpProcessingError, web.RequestPayloadError, OSError))


_log = logging.getLogger(__name__)
_log.addFilter(_WithoutClientErrors())


class DswEmulator(Service):
    """Serves the DSW API on loopback, for a `with` block or between `start()` and `stop()`.

    port: 0 takes a free one. speed: how many times faster than real time the timelines run. credentials:
    AccessKey ids and secrets. record_limit: how many of the last requests `requests` remembers.
    clock: another than the machine's, such as a ManualClock. options: see `Options`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tls: bool = False,
        speed: float = 1.0,
        credentials: Mapping[str, CredentialLike] | None = None,
        region: str = "cn-hangzhou",
        record_limit: int = 50_000,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            speed=speed, region=region, credentials=credentials, record_limit=record_limit, clock=clock, **options
        )
        self.host = HOST
        self.port = port
        self.tls = tls
        self.ca_file: str | None = None
        self.on_request: Callable[[Request], None] | None = None  # called in the server's thread
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._server: web.Server
        self._listener: socket.socket
        self._context: ssl.SSLContext | None = None
        self._listening: asyncio.Server | None = None
        self._reopening: asyncio.TimerHandle | None = None

    # Start and stop

    def start(self) -> DswEmulator:
        """Listen and serve. An OSError says that the port is taken."""
        if self._thread is not None:
            return self
        self._listener = _bound_socket(self.port)
        try:
            self._listener.listen(BACKLOG)
            self._context = self._server_context() if self.tls else None
        except BaseException:
            self._listener.close()
            raise
        self.port = self._listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)),
            name="dsw-emulator",
            daemon=True,
        )
        self._thread.start()
        ready.wait()
        return self

    def stop(self) -> None:
        """Close every connection and end the thread. Nothing happens when it does not run."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join()
        if self._directory is not None:
            self._directory.cleanup()
        self._directory, self.ca_file = None, None

    def outage(self, seconds: float) -> None:
        """Be unreachable for so many seconds: every connection is cut, and none is accepted. Returns at once.

        For a service that answers, but with an error, there is `fault(status=503, times=None, seconds=...)`.
        """
        loop, closed = self._loop, threading.Event()
        if self._thread is None or loop is None:
            raise RuntimeError("the emulator does not run")

        def begin() -> None:
            self._close()
            self._listener = _bound_socket(self.port)  # not listening yet, so that nobody else takes the port
            self._reopening = loop.call_later(seconds, self._reopen)
            closed.set()

        if threading.current_thread() is self._thread:  # called by `on_request`
            begin()
        else:
            loop.call_soon_threadsafe(begin)
            closed.wait()

    def __enter__(self) -> DswEmulator:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # How to reach it

    @property
    def protocol(self) -> str:
        return "https" if self.tls else "http"

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.port}"

    def connection(self) -> dict[str, Any]:
        """The Airflow connection to it: `json.dumps` of this is a value for AIRFLOW_CONN_DSW_DEFAULT."""
        key_id, credential = next(((key, self._credential(key)) for key in self.credentials), ("", None))
        extra = {"protocol": self.protocol, "region": self.region}
        if credential and credential.security_token:
            extra |= {"auth_type": "sts", "security_token": credential.security_token}
        return {
            "conn_type": "dsw",
            "login": key_id,
            "password": credential.secret if credential else "",
            "host": self.host,
            "port": self.port,
            "extra": extra,
        }

    # Serving

    def _server_context(self) -> ssl.SSLContext:
        from airflow_provider_dsw.emulator.tls import server_context

        self._directory = tempfile.TemporaryDirectory(prefix="dsw-emulator-")
        context, certificate = server_context(Path(self._directory.name))
        self.ca_file = str(certificate)
        return context

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._server = web.Server(self._handle, access_log=None, logger=_log)
        await self._listen()
        ready.set()
        await self._stopping.wait()
        self._close()
        await self._server.shutdown(timeout=0.01)
        # What closes itself takes a moment after a TLS handshake that failed.
        await asyncio.sleep(0 if self._context is None else 0.01)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            self._server, sock=self._listener, ssl=self._context, backlog=BACKLOG
        )

    def _reopen(self) -> None:
        self._opening = asyncio.ensure_future(self._listen())

    def _close(self) -> None:
        """Stop listening, and cut every connection. Called in the server's thread."""
        if self._reopening is not None:
            self._reopening.cancel()
        if self._listening is not None:
            self._listening.close()
        self._listener.close()
        for connection in self._server.connections:  # a client that is gone would not answer TLS's farewell
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        body, refusal = b"", None
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            refusal = too_large()
        except web.RequestPayloadError:
            refusal = invalid("The body can't be read: it is not encoded as its headers say.")
        answer, fault, entry = self.answer(SignedRequest(request.method, path, query, headers, body, refusal))
        if fault is not None and fault.delay:
            await asyncio.sleep(fault.delay)
        if fault is not None and fault.hold:
            await asyncio.shield(asyncio.wrap_future(fault.released))
        if self.on_request is not None:
            self.on_request(entry)
        if fault is None:
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return await _deliver(request, answer, fault)


def _bound_socket(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except BaseException:
        listener.close()
        raise
    return listener


async def _deliver(request: web.BaseRequest, answer: Answer, fault: Fault) -> web.StreamResponse:
    """Send an answer as a fault says."""
    headers = {**answer.headers, **fault.headers}
    transport = request.transport
    if fault.drop and transport is not None:
        transport.abort()
    if not fault.truncate and fault.drip is None:
        return web.Response(status=answer.status, body=answer.body, headers=headers)
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    if fault.truncate:
        await response.write(answer.body[: len(answer.body) // 2])
        if transport is not None:
            transport.close()
        return response
    for number in range(len(answer.body)):
        await response.write(answer.body[number : number + 1])
        await asyncio.sleep(fault.drip or 0)
    return response
