"""The connections that a sender keeps, and the addresses that it has looked up."""

from __future__ import annotations

import time
from functools import partial
from itertools import cycle
from socket import SOCK_STREAM, getaddrinfo
from typing import Any

from airflow_provider_dsw.client.route import Route
from airflow_provider_dsw.client.steps import BlockingCall, Connection, Flow

MAX_IDLE_CONNECTIONS = 50
"""To one endpoint: a burst may open hundreds."""
MAX_OPENED_AT_ONCE = 8
"""To one endpoint. Who waits for a turn mostly finds a connection that was given back: after a burst there are tens."""
IDLE_SECONDS = 75.0
"""How long an idle connection is kept."""
ADDRESS_SECONDS = 30.0
"""For how long an address is not looked up again."""

Address = tuple[Any, ...]


class Pool:
    """Connections and addresses. It needs no lock: what it does to a list is one step for Python."""

    def __init__(self) -> None:
        self._idle: dict[Route, list[tuple[Connection, float]]] = {}
        self._turns = cycle(range(MAX_OPENED_AT_ONCE))
        self._addresses: dict[tuple[str, int], tuple[list[Address], float]] = {}

    def take(self, route: Route) -> Connection | None:
        """Return a connection that is open, None if none is kept."""
        idle = self._idle.get(route)
        while idle:
            try:
                connection, since = idle.pop()
            except IndexError:  # another thread was first
                return None
            if _is_usable(connection, since):
                return connection
            connection.abort()
        return None

    def give(self, route: Route, connection: Connection, *, is_reusable: bool) -> None:
        """Keep a connection, or close it."""
        idle = self._idle.setdefault(route, [])
        self._drop_oldest(idle)
        if is_reusable and len(idle) < MAX_IDLE_CONNECTIONS:
            idle.append((connection, time.monotonic()))
        else:
            connection.abort()

    def _drop_oldest(self, idle: list[tuple[Connection, float]]) -> None:
        """Close the oldest if it is of no use any more: below those that suffice it would never be taken."""
        # It stays in its place meanwhile: another thread that takes it needs no new one.
        oldest = next(iter(idle), None)
        if oldest is None or _is_usable(*oldest):
            return
        try:
            idle.remove(oldest)
        except ValueError:  # another thread was first
            return
        oldest[0].abort()

    def next_turn(self) -> int:
        """Return which of the turns to wait for where a connection has to be opened."""
        return next(self._turns)

    def close(self) -> None:
        """Close all connections that are kept."""
        for idle in self._idle.values():
            while idle:
                idle.pop()[0].abort()

    def addresses(self, host: str, port: int) -> list[Address]:
        """Return what was looked up, nothing if that was too long ago."""
        found, since = self._addresses.get((host, port), ([], 0.0))
        return found if time.monotonic() - since < ADDRESS_SECONDS else []

    def look_up(self, host: str, port: int) -> Flow[list[Address]]:
        """Look addresses up, unless another call just has."""
        found = self.addresses(host, port)
        if not found:
            found = yield BlockingCall(partial(getaddrinfo, host, port, type=SOCK_STREAM))
            self._addresses[host, port] = found, time.monotonic()
        return found

    def forget(self, host: str, port: int) -> None:
        """Look the addresses up again next time: none could be connected to."""
        self._addresses.pop((host, port), None)


def _is_usable(connection: Connection, since: float) -> bool:
    return time.monotonic() - since < IDLE_SECONDS and connection.is_usable()
