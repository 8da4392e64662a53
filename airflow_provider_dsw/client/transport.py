"""
The one transport policy: what a request looks like, how long it may take, what is read of an answer, and what each
answer or failure means. No I/O: that is the two senders', who take the steps that are yielded here.

The SDK's own transport is not used: it follows redirects with the security token, limits neither the time in all nor
the size of an answer, goes on in a thread after the call was interrupted, shares its connections with forked
processes, and makes the first call of a process cost three times as much.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_provider_dsw.client import causes
from airflow_provider_dsw.client.access import Access
from airflow_provider_dsw.client.connection import USER_AGENT
from airflow_provider_dsw.client.credentials import CredentialsError, secrets_of
from airflow_provider_dsw.client.failures import Failure, outcome_of, says_expired
from airflow_provider_dsw.client.http import AnswerError, HttpExchange
from airflow_provider_dsw.client.pool import Pool
from airflow_provider_dsw.client.request import ApiRequest
from airflow_provider_dsw.client.route import Route, RouteError
from airflow_provider_dsw.client.signature import canonical, signed
from airflow_provider_dsw.client.steps import BlockingCall, Exchange, Exclusive, Flow, Open, StartTls, blocking
from airflow_provider_dsw.client.tls import kept_context, new_context

VERSION = "2022-01-01"
LARGE_ANSWER = 2**20
"""Bytes from which an answer is parsed beside the event loop."""

MAX_VALUES = 50_000
"""Of an answer; an instance has some two hundred. Python's parser stops an event loop, whichever thread it is in."""
MAX_DIGITS = 400
"""Of an integer: to make one takes time by the square of its digits."""

Outcome = dict[str, Any] | Failure
Mask = Callable[[tuple[str, ...]], Flow[None]]


def send(request: ApiRequest, access: Access, pool: Pool, mask: Mask) -> Flow[Outcome]:
    """
    Send a request; once more with new credentials if the service calls those that were fetched before expired.

    Return the answer's body, or what went wrong.

    :param request: what to send.
    :param access: where to, and as whom.
    :param pool: the connections that are kept.
    :param mask: tells Airflow of secrets that were fetched.
    """
    credentials = access.credentials
    alone = ("credentials", id(credentials))
    try:
        credential = credentials.current or (yield Exclusive(alone, blocking(credentials.get)))
        yield from mask(secrets_of(credential))
        outcome = yield from exchange(request, access, credential, pool)
        if says_expired(outcome) and (yield Exclusive(alone, blocking(partial(credentials.renew, credential)))):
            credential = credentials.current or (yield Exclusive(alone, blocking(credentials.get)))
            yield from mask(secrets_of(credential))
            outcome = yield from exchange(request, access, credential, pool)
    except CredentialsError as error:
        return error.failure
    except TimeoutError:
        return Failure(cause=f"{causes.NO_CREDENTIALS} in time", sent=False)
    return credentials.explain(outcome)


def exchange(request: ApiRequest, access: Access, credential: Any, pool: Pool) -> Flow[Outcome]:
    """Send a request once, and return what came of it. Unless its answer was read whole, the connection is closed."""
    connection, sent, http = None, False, None
    try:
        route = access.route
        http = _http(request, access, credential)
        # One that was kept may have been closed meanwhile, which looks as if the answer to a change were lost.
        connection = None if request.changes else pool.take(route)
        if connection is None:
            turn = ("connect", route, pool.next_turn())
            connection = yield Exclusive(turn, _take_or_connect(route, access, pool, may_take=not request.changes))
        sent = True
        yield Exchange(connection, http, access.connection.read_timeout)
        body = _parse(http.content) if http.size < LARGE_ANSWER else (yield BlockingCall(partial(_parse, http.content)))
    except (AnswerError, RouteError) as error:
        return Failure(cause=error.cause, sent=sent)
    except OSError as error:
        return Failure(cause=causes.network_cause(error, sent=sent), sent=sent)
    finally:
        if connection is not None:
            pool.give(route, connection, is_reusable=http is not None and http.is_reusable)
    return outcome_of(http.status, http.headers, body)


def _http(request: ApiRequest, access: Access, credential: Any) -> HttpExchange:
    route = access.route
    query = canonical(request.query)
    content = b"" if request.body is None else json.dumps(request.body).encode()
    headers = {
        "host": route.endpoint,
        "accept": "application/json",
        "user-agent": USER_AGENT,
        "x-acs-version": VERSION,
        "x-acs-action": request.action,
    }
    if content:
        headers["content-type"] = "application/json; charset=utf-8"
    headers = signed(headers, request.method, request.path, query, content, credential)
    # Not signed: what stands between here and the service may change it.
    headers["accept-encoding"] = "identity"
    target = request.path + (f"?{query}" if query else "")
    if route.proxy and not route.tls:
        target = f"http://{route.endpoint}{target}"
        headers.update(route.proxy.headers)
    return HttpExchange(request.method, target, headers, content)


def _take_or_connect(route: Route, access: Access, pool: Pool, *, may_take: bool) -> Flow[Any]:
    """Take a connection that was given back while this waited for its turn, or open one."""
    connection = pool.take(route) if may_take else None
    return connection or (yield from _connect(route, access, pool))


def _connect(route: Route, access: Access, pool: Pool) -> Flow[Any]:
    timeout = access.connection.connect_timeout
    connection = yield from _open(*route.first_hop, timeout, pool)
    try:
        if route.tls:
            if route.proxy:
                headers = {"host": route.authority, "user-agent": USER_AGENT, **dict(route.proxy.headers)}
                tunnel = HttpExchange("CONNECT", route.authority, headers)
                yield Exchange(connection, tunnel, access.connection.read_timeout)
                if not 200 <= tunnel.status < 300:
                    raise RouteError(f"the proxy refuses the connection (HTTP {tunnel.status})")
            yield StartTls(connection, kept_context() or (yield BlockingCall(new_context)), route.host, timeout)
    except BaseException:
        connection.abort()
        raise
    return connection


def _open(host: str, port: int, timeout: float, pool: Pool) -> Flow[Any]:
    addresses = pool.addresses(host, port) or (yield Exclusive(("addresses", host, port), pool.look_up(host, port)))
    for address in addresses[:-1]:
        try:
            return (yield Open(address, timeout))
        except OSError:
            continue
    try:
        return (yield Open(addresses[-1], timeout))
    except OSError:
        pool.forget(host, port)
        raise


def _parse(content: bytes) -> Any:
    """
    Return what is JSON, None if it is none.

    :raises AnswerError: if it holds too many values.
    """
    # At least as many as there are, and found at once.
    if len(content) > MAX_VALUES and sum(map(content.count, b"{[,")) > MAX_VALUES:
        raise AnswerError(causes.TOO_MANY_VALUES)
    try:
        return json.loads(content, parse_int=_integer)
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError
    return int(digits)
