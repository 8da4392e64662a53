"""What a connection is for either sender: a socket, with TLS or not, and the time that a step on it may take."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress


def seconds_left(deadline: float | None, most: float | None = None) -> float:
    """
    Return the seconds that a step may take.

    :param deadline: when the call has to be over, by the monotonic clock; None for a call without one.
    :param most: seconds that this step may take in any case.
    :raises TimeoutError: if the deadline is over.
    """
    left = threading.TIMEOUT_MAX if deadline is None else deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left if most is None else min(left, most)


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
