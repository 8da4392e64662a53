"""
One request to the service, and its answer: synchronous through the SDK, asynchronous with its signature.

The SDK's own asynchronous calls build a session and a TLS context each time and stall the event loop, so
in async code one keep-alive session carries requests that the SDK has signed. Neither way retries.
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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_dsw.hooks.errors import Failure, from_body, from_exception, parse_body, retry_after_of

if TYPE_CHECKING:
    import aiohttp

    from airflow_provider_dsw.hooks.connection import DswConnection

VERSION = "2022-01-01"
_ALGORITHM = "ACS3-HMAC-SHA256"
_CREDENTIAL_REUSE = 20.0

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


class _CredentialsError(Exception):
    """The credentials could not be fetched or renewed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


def send(client: Any, credential: Any, request: Request, limit: float) -> dict[str, Any] | Failure:
    """
    Send a request through the SDK's generic call, which keeps the answer whole.

    Returns the answer's body, or what went wrong; nothing is raised, because the SDK's exceptions hold
    headers and tokens and would stay attached to what is raised from them.

    :param client: the SDK's client.
    :param credential: its credential client.
    :param limit: seconds after which no answer counts any more; the SDK itself has no total time limit.
    """
    try:
        return _within(limit, lambda: _call_sdk(client, credential, request))
    except _CredentialsError as error:
        return error.failure
    except TimeoutError:
        return Failure(cause=f"no complete answer in {limit:.0f} s")


def _call_sdk(client: Any, credential: Any, request: Request) -> dict[str, Any] | Failure:
    from alibabacloud_tea_openapi.models import OpenApiRequest, Params
    from darabonba.runtime import RuntimeOptions

    fetched = _fetch(credential)
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
        body = client.call_api(params, sdk_request, RuntimeOptions())["body"]
    except Exception as error:
        return _without_secrets_of(fetched, from_exception(error))
    return _without_secrets_of(fetched, _usable(200, body, None))


def _fetch(credential: Any) -> Any:
    """Fetch or renew credentials apart from the call, so that an error says which of the two failed."""
    try:
        return credential.get_credential()
    except Exception as error:
        failure = from_exception(error)
    if failure.cause:
        failure = replace(failure, cause=f"the credentials could not be fetched: {failure.cause}")
    raise _CredentialsError(failure)


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


def _without_secrets_of(credential: Any, outcome: dict[str, Any] | Failure) -> dict[str, Any] | Failure:
    """Take out of the service's words what it may echo of fetched credentials, which no connection holds."""
    if not isinstance(outcome, Failure):
        return outcome
    return outcome.without(filter(None, (credential.access_key_secret, credential.security_token)))


class AsyncWire:
    """
    Sends requests from one event loop, over connections that are kept alive.

    :param connection: where to, and with which credentials.
    :param credential_client: makes the connection's credential client.
    """

    def __init__(self, connection: DswConnection, credential_client: Callable[[], Any]) -> None:
        self._connection = connection
        self._credential_client = credential_client
        self._credential: Any = None
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._fetched: Any = None
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                context = await in_thread(_prepare)
                self._credential = await in_thread(self._credential_client)
                self._session = self._new_session(context)
            return self._session

    def _new_session(self, context: ssl.SSLContext) -> aiohttp.ClientSession:
        import aiohttp

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, ttl_dns_cache=300, keepalive_timeout=75),
            timeout=aiohttp.ClientTimeout(
                sock_connect=self._connection.connect_timeout, sock_read=self._connection.read_timeout
            ),
            trust_env=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp would replay a request whose connection closed, with a nonce that the service refuses.
        session._retry_connection = False
        return session

    async def send(self, request: Request, limit: float) -> dict[str, Any] | Failure:
        """As :func:`send`, without blocking the event loop."""
        try:
            async with asyncio.timeout(limit):
                session = self._session or await self._open()
                credential = await self._current_credential()
                status, headers, content = await self._exchange(session, request, credential)
        except _CredentialsError as error:
            return error.failure
        except Exception as error:
            return from_exception(error)
        return _without_secrets_of(credential, _usable(status, parse_body(content), retry_after_of(headers)))

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
            # A redirect would carry the token to another host.
            allow_redirects=False,
        ) as response:
            return response.status, response.headers, await response.read()

    async def _current_credential(self) -> Any:
        """
        Return the credentials, renewed in a thread where they are of a kind that expires.

        The SDK's asynchronous renewal holds a thread's lock across an await and stalls the loop. One caller
        renews for all.
        """
        if self._connection.is_static:
            return _fetch(self._credential)
        async with self._fetching:
            if time.monotonic() - self._fetched_at > _CREDENTIAL_REUSE:
                self._fetched = await in_thread(_fetch, self._credential)
                self._fetched_at = time.monotonic()
            return self._fetched


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Await what would block the event loop, in threads of our own: asyncio's few serve name look-ups too."""
    return await asyncio.get_running_loop().run_in_executor(_executor(), function, *args)


@functools.cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="dsw-blocking")


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
