"""
What a call needs of the world outside, as data.

A call is written once, as a generator that yields steps and does nothing itself. Two senders take the steps: one
blocks, the other awaits. Neither decides anything: what a step brings, or the error that it ends with, goes back into
the generator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    import ssl

    from airflow_provider_dsw.client.http import HttpExchange

T = TypeVar("T")
Flow = Generator["Step", Any, T]


class Connection(Protocol):
    """A connection of either sender."""

    def is_usable(self) -> bool:
        """Return whether it is open, and nothing has come that nobody asked for."""

    def abort(self) -> None:
        """Close it at once; nothing more is sent."""


class AirflowCall(NamedTuple):
    """Something that Airflow offers in two ways; each sender takes its own."""

    blocking: Callable[[], Any]
    awaiting: Callable[[], Awaitable[Any]]


class BlockingCall(NamedTuple):
    """Call a function that blocks."""

    function: Callable[[], Any]


class Exclusive(NamedTuple):
    """Run a flow while no other of this name runs; whoever has waited finds what the one before has left."""

    name: Hashable
    flow: Flow[Any]


class Open(NamedTuple):
    """Connect to an address as ``socket.getaddrinfo`` gives it, within so many seconds."""

    address: tuple[Any, ...]
    timeout: float


class StartTls(NamedTuple):
    """Go over to TLS on a connection, within so many seconds."""

    connection: Any
    context: ssl.SSLContext
    server_name: str
    timeout: float


class Exchange(NamedTuple):
    """Send a request and read its answer; every part of it has to come within so many seconds of the one before."""

    connection: Any
    http: HttpExchange
    read_timeout: float


Step = AirflowCall | BlockingCall | Exclusive | Open | StartTls | Exchange


def blocking(function: Callable[[], T]) -> Flow[T]:
    """Return a flow that calls a function that blocks."""
    found: T = yield BlockingCall(function)
    return found
