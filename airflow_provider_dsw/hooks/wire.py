"""
One request to the service, and its answer: synchronous through the SDK, asynchronous through aiohttp.

The SDK's own asynchronous calls build a session and a TLS context each time and stall the event loop, so
in async code one keep-alive session carries the requests. Neither way retries, except once with new credentials
where the service calls those that were fetched before expired.
"""

from __future__ import annotations

import asyncio
import functools
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_dsw.hooks.connection import USER_AGENT, DswConnection
from airflow_provider_dsw.hooks.credentials import Credentials, CredentialsError, secrets_of
from airflow_provider_dsw.hooks.deadlines import Deadline, Deadlines
from airflow_provider_dsw.hooks.errors import (
    Failure,
    from_body,
    from_exception,
    parse_body,
    retry_after_of,
    says_expired,
)
from airflow_provider_dsw.hooks.signature import canonical, signed

if TYPE_CHECKING:
    import aiohttp

    from airflow_provider_dsw.hooks.masking import Masker

VERSION = "2022-01-01"
MOST_CONNECTIONS = 300
"""In one event loop, to one endpoint: so many slow answers hold no other wait up, and leave file descriptors."""

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """
    One call of the API.

    :param action: its name, e.g. ``GetInstance``.
    :param method: the HTTP method.
    :param path: below the endpoint; ids in it are checked before.
    :param query: without absent values.
    :param body: a JSON object, or None.
    """

    action: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, Any] | None = None

    @property
    def changes(self) -> bool:
        """Whether it changes something, so that it must not be repeated unless it is known to have failed."""
        return self.method != "GET"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What in it must never leave: a sharing token."""
        return (self.query["Token"],) if "Token" in self.query else ()


def send(
    client: Any, credentials: Credentials, masker: Masker, request: Request, limit: float
) -> dict[str, Any] | Failure:
    """
    Send a request through the SDK's generic call, which keeps the answer whole.

    Returns the answer's body, or what went wrong; nothing is raised, because the SDK's exceptions hold
    headers and tokens and would stay attached to what is raised from them.

    :param client: the SDK's client.
    :param credentials: what it signs with. Where the service calls them expired they are renewed, once.
    :param masker: is told of secrets that were fetched.
    :param limit: seconds after which no answer counts any more; the SDK itself has no total time limit.
    """
    deadline = time.monotonic() + limit

    def within(function: Callable[[], T]) -> T:
        return _within(deadline - time.monotonic(), function)

    def once() -> tuple[dict[str, Any] | Failure, Any]:
        credential = credentials.current or within(credentials.get)
        masker.tell(secrets_of(credential))
        return within(lambda: _call_sdk(client, request)), credential

    try:
        outcome, credential = once()
        if says_expired(outcome) and within(lambda: credentials.renew(credential)):
            outcome, credential = once()
    except CredentialsError as error:
        return error.failure
    except TimeoutError:
        return Failure(cause=f"no complete answer in {limit:.0f} s")
    return credentials.explain(outcome, credential)


def _call_sdk(client: Any, request: Request) -> dict[str, Any] | Failure:
    from alibabacloud_tea_openapi.models import OpenApiRequest, Params
    from darabonba.runtime import RuntimeOptions

    params = Params(
        action=request.action,
        version=VERSION,
        protocol="HTTPS",
        pathname=request.path,
        method=request.method,
        auth_type="AK",
        style="ROA",
        req_body_type="json",
        body_type="json",
    )
    sdk_request = OpenApiRequest(headers={}, query=dict(request.query))
    if request.body is not None:
        sdk_request.body = dict(request.body)
    try:
        return _usable(200, client.call_api(params, sdk_request, RuntimeOptions())["body"], None)
    except Exception as error:
        return from_exception(error)


def _within(seconds: float, function: Callable[[], T]) -> T:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    # A daemon, so that an answer that drips in for hours can't hold the process at its end.
    threading.Thread(target=run, name="dsw-call", daemon=True).start()
    return future.result(seconds)


def _usable(status: int, body: Any, retry_after: float | None) -> dict[str, Any] | Failure:
    if status >= 300 or not isinstance(body, dict) or body.get("Success") is False:
        return from_body(status, body, retry_after)
    return body


class AsyncWire:
    """
    Sends requests from one event loop, over connections that are kept alive.

    :param connection: where to.
    :param credentials: what is signed with, as in :func:`send`.
    :param masker: is told of secrets that were fetched.
    """

    def __init__(self, connection: DswConnection, credentials: Credentials, masker: Masker) -> None:
        self._connection = connection
        self._credentials = credentials
        self._masker = masker
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None
        self._opening = asyncio.Lock()
        self._fetching = asyncio.Lock()
        self._deadlines = Deadlines()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                context = await in_thread(_prepare)
                self._proxy = await in_thread(_proxy_of, self._connection)
                self._session = self._new_session(context)
            return self._session

    def _new_session(self, context: ssl.SSLContext) -> aiohttp.ClientSession:
        import aiohttp

        async def expect_answer(_: aiohttp.ClientSession, call: Any, __: Any) -> None:
            # For the answer's head as a whole: aiohttp says nothing of its parts.
            call.trace_request_ctx.within(self._connection.read_timeout)

        asked = aiohttp.TraceConfig()
        asked.on_request_headers_sent.append(expect_answer)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=context, limit=MOST_CONNECTIONS, ttl_dns_cache=300, keepalive_timeout=75
            ),
            timeout=aiohttp.ClientTimeout(sock_connect=self._connection.connect_timeout),
            trace_configs=[asked],
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp would replay a request whose connection closed, with a nonce that the service refuses.
        session._retry_connection = False
        return session

    async def send(self, request: Request, limit: float) -> dict[str, Any] | Failure:
        """As :func:`send`, without blocking the event loop."""
        try:
            async with Deadline(self._deadlines, limit) as deadline:
                outcome, credential = await self._send_once(request, deadline)
                if says_expired(outcome) and await self._renewed(credential):
                    outcome, credential = await self._send_once(request, deadline)
        except CredentialsError as error:
            return error.failure
        except Exception as error:
            return from_exception(error)
        return self._credentials.explain(outcome, credential)

    async def _send_once(self, request: Request, deadline: Deadline) -> tuple[dict[str, Any] | Failure, Any]:
        session = self._session or await self._open()
        credential = self._credentials.current or await self._fetched()
        await self._masker.atell(secrets_of(credential))
        status, headers, content = await self._exchange(session, request, credential, deadline)
        deadline.only_in_all()
        return _usable(status, parse_body(content), retry_after_of(headers)), credential

    async def _fetched(self) -> Any:
        # One thread fetches for all who wait here.
        async with self._fetching:
            return self._credentials.current or await in_thread(self._credentials.get)

    async def _renewed(self, refused: Any) -> bool:
        async with self._fetching:
            return await in_thread(self._credentials.renew, refused)

    async def _exchange(
        self, session: aiohttp.ClientSession, request: Request, credential: Any, deadline: Deadline
    ) -> tuple[int, Mapping[str, str], bytes]:
        from yarl import URL

        connection, query = self._connection, canonical(request.query)
        url = f"{connection.protocol}://{connection.endpoint}{request.path}" + (f"?{query}" if query else "")
        content = b"" if request.body is None else json.dumps(request.body).encode()
        headers = {
            "host": connection.endpoint,
            "accept": "application/json",
            "user-agent": USER_AGENT,
            "x-acs-version": VERSION,
            "x-acs-action": request.action,
        }
        if content:
            headers["content-type"] = "application/json; charset=utf-8"
        async with session.request(
            request.method,
            URL(url, encoded=True),
            headers=signed(headers, request.method, request.path, query, content, credential),
            data=content or None,
            proxy=self._proxy,
            # A redirect would carry the token to another host.
            allow_redirects=False,
            trace_request_ctx=deadline,
        ) as response:
            found = b""
            async for part in response.content.iter_any():
                deadline.within(connection.read_timeout)
                found += part
            return response.status, response.headers, found


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Await what would block the event loop, in threads of our own: asyncio's few serve name look-ups too."""
    return await asyncio.get_running_loop().run_in_executor(_executor(), function, *args)


@functools.cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="dsw-blocking")


def _proxy_of(connection: DswConnection) -> str | None:
    """Return the proxy that the environment names; aiohttp itself would look it up in a thread for each request."""
    from urllib.request import getproxies, proxy_bypass

    return None if proxy_bypass(connection.endpoint) else getproxies().get(connection.protocol)


@functools.cache
def _prepare() -> ssl.SSLContext:
    """Import what takes a while, and make the one TLS context, as the SDK makes its own for each call."""
    import aiohttp  # noqa: F401
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
