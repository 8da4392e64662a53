"""The bytes of one connection in the caller's thread."""

from __future__ import annotations

import socket

from airflow_provider_dsw.client.socket_connection import SocketConnection, seconds_left
from airflow_provider_dsw.client.steps import Exchange, Open, StartTls

_PART = 64 * 1024


class BlockingConnection(SocketConnection):
    """A connection that the thread waits for which uses it."""

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
