"""What a connection is for either sender: a socket, with TLS or not."""

from __future__ import annotations

import select
import socket
from contextlib import suppress


class SocketConnection:
    """
    A connection that is open.

    :param connected: its socket.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def is_usable(self) -> bool:
        """Return whether it is open, and nothing has come that nobody asked for."""
        descriptor = self._socket.fileno()
        if descriptor < 0:  # closed
            return False
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return not waiting.poll(0)

    def abort(self) -> None:
        """Close it at once; nothing more is sent."""
        with suppress(OSError):
            # Whoever else holds it, a forked child, can't keep it open.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __del__(self) -> None:
        self._socket.close()
