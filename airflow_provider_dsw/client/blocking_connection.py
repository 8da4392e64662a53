"""The bytes of one connection in the caller's thread."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress

from airflow_provider_dsw.client.steps import Exchange, Open, StartTls

_PART = 64 * 1024


def seconds_left(deadline: float | None, most: float | None = None) -> float:
    """Return the seconds that a step may take."""
    left = threading.TIMEOUT_MAX if deadline is None else deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left if most is None else min(left, most)


class BlockingConnection:
    """A connection that the thread waits for which uses it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    @classmethod
    def open(cls, step: Open, deadline: float | None) -> BlockingConnection:
        family, socket_type, protocol, _, address = step.address
        made = cls(socket.socket(family, socket_type, protocol))
        try:
            made._socket.settimeout(seconds_left(deadline, step.timeout))
            made._socket.connect(address)
            made._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            made.abort()
            raise
        return made

    def start_tls(self, step: StartTls, deadline: float | None) -> None:
        self._socket.settimeout(seconds_left(deadline, step.timeout))
        tls = step.context.wrap_socket(self._socket, server_hostname=step.server_name, do_handshake_on_connect=False)
        self._socket = tls
        tls.do_handshake()

    def exchange(self, step: Exchange, deadline: float | None) -> None:
        self._socket.settimeout(seconds_left(deadline, step.read_timeout))
        self._socket.sendall(step.http.request)
        while not step.http.is_complete:
            self._socket.settimeout(seconds_left(deadline, step.read_timeout))
            step.http.feed(self._socket.recv(_PART))

    def is_usable(self) -> bool:
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return not waiting.poll(0)

    def abort(self) -> None:
        with suppress(OSError):
            # Whoever else holds it, a forked child, can't keep it open.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __del__(self) -> None:
        self._socket.close()
