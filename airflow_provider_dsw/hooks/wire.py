"""
One request to the service, and its answer: synchronous through the SDK, asynchronous with its signature.

The SDK's own asynchronous calls build a session and a TLS context each time and stall the event loop, so
in async code one keep-alive session carries requests that the SDK has signed. Neither way retries, except once
with new credentials where the service calls those that were fetched before expired.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_dsw.hooks.credentials import Credentials, CredentialsError, secrets_of
from airflow_provider_dsw.hooks.errors import (
    Failure,
    from_body,
    from_exception,
    parse_body,
    retry_after_of,
    says_expired,
)

if TYPE_CHECKING:
    import aiohttp

    from airflow_provider_dsw.hooks.connection import DswConnection
    from airflow_provider_dsw.hooks.masking import Masker

VERSION = "2022-01-01"
MOST_CONNECTIONS = 300
"""In one event loop, to one endpoint: so many slow answers hold no other wait up, and leave file descriptors."""
_ALGORITHM = "ACS3-HMAC-SHA256"

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

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=context, limit=MOST_CONNECTIONS, ttl_dns_cache=300, keepalive_timeout=75
            ),
            timeout=aiohttp.ClientTimeout(
                sock_connect=self._connection.connect_timeout, sock_read=self._connection.read_timeout
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp would replay a request whose connection closed, with a nonce that the service refuses.
        session._retry_connection = False
        return session

    async def send(self, request: Request, limit: float) -> dict[str, Any] | Failure:
        """As :func:`send`, without blocking the event loop."""
        try:
            async with asyncio.timeout(limit):
                outcome, credential = await self._send_once(request)
                if says_expired(outcome) and await self._renewed(credential):
                    outcome, credential = await self._send_once(request)
        except CredentialsError as error:
            return error.failure
        except Exception as error:
            return from_exception(error)
        return self._credentials.explain(outcome, credential)

    async def _send_once(self, request: Request) -> tuple[dict[str, Any] | Failure, Any]:
        session = self._session or await self._open()
        credential = self._credentials.current or await self._fetched()
        await self._masker.atell(secrets_of(credential))
        status, headers, content = await self._exchange(session, request, credential)
        return _usable(status, parse_body(content), retry_after_of(headers)), credential

    async def _fetched(self) -> Any:
        # One thread fetches for all who wait here.
        async with self._fetching:
            return self._credentials.current or await in_thread(self._credentials.get)

    async def _renewed(self, refused: Any) -> bool:
        async with self._fetching:
            return await in_thread(self._credentials.renew, refused)

    async def _exchange(
        self, session: aiohttp.ClientSession, request: Request, credential: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        from yarl import URL

        content = b"" if request.body is None else _json(request.body)
        url = f"{self._connection.protocol}://{self._connection.endpoint}{request.path}"
        if request.query:
            url += f"?{urlencode(request.query, quote_via=quote, safe='~')}"
        async with session.request(
            request.method,
            URL(url, encoded=True),
            headers=_signed_headers(request, content, self._connection.endpoint, credential),
            data=content or None,
            proxy=self._proxy,
            # A redirect would carry the token to another host.
            allow_redirects=False,
        ) as response:
            return response.status, response.headers, await response.read()


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
    """Import what takes half a second, and make the one TLS context, as the SDK makes its own for each call."""
    import aiohttp  # noqa: F401
    import alibabacloud_tea_openapi.utils  # noqa: F401
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _json(body: Mapping[str, Any]) -> bytes:
    from darabonba.core import DaraCore

    return DaraCore.to_json_string(body).encode()


def _signed_headers(request: Request, content: bytes, endpoint: str, credential: Any) -> dict[str, str]:
    from alibabacloud_tea_openapi.utils import Utils
    from darabonba.request import DaraRequest

    digest = hashlib.sha256(content).hexdigest()
    headers = {
        "host": endpoint,
        "accept": "application/json",
        "user-agent": Utils.get_user_agent("airflow-provider-dsw"),
        "x-acs-version": VERSION,
        "x-acs-action": request.action,
        "x-acs-date": Utils.get_timestamp(),
        "x-acs-signature-nonce": Utils.get_nonce(),
        "x-acs-content-sha256": digest,
    }
    if content:
        headers["content-type"] = "application/json; charset=utf-8"
    if credential.provider_name:
        headers["x-acs-credentials-provider"] = credential.provider_name
    if credential.security_token:
        headers["x-acs-accesskey-id"] = credential.access_key_id
        headers["x-acs-security-token"] = credential.security_token
    to_sign = DaraRequest()
    to_sign.method, to_sign.pathname = request.method, request.path
    to_sign.query, to_sign.headers = dict(request.query), headers
    headers["Authorization"] = Utils.get_authorization(
        to_sign, _ALGORITHM, digest, credential.access_key_id, credential.access_key_secret
    )
    return headers
