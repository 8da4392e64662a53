"""A server that sends what it is told to, good HTTP or not. It shares nothing with the emulator."""

import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BOUNDARY = b"\r\n\r\n"


@dataclass
class Received:
    line: str
    headers: dict[str, str]  # names in lower case
    body: bytes


# Sends what it likes; True: the connection stays open.
Answer = Callable[[socket.socket, Received], bool]


class RawServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Answer, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Handler)
        self.answer = answer
        self.received: list[Received] = []
        self.connections = 0
        self.open_connections = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.socket.close()

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.open_connections -= 1  # not sooner: whoever waits for that takes it for closed

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port


class _Handler(socketserver.BaseRequestHandler):
    server: RawServer

    def handle(self) -> None:
        self.server.connections += 1
        self.server.open_connections += 1
        try:
            while (received := self._read()) is not None:
                self.server.received.append(received)
                if not self.server.answer(self.request, received):
                    return
        except OSError:
            pass

    def _read(self) -> Received | None:
        data = b""
        while BOUNDARY not in data:
            chunk = self.request.recv(65536)
            if not chunk:
                return None
            data += chunk
            if data.startswith(b"\x16"):  # TLS says hello
                self.request.sendall(http(400, b"<html>", Connection="close"))
                return None
        head, _, body = data.partition(BOUNDARY)
        line, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        while len(body) < int(headers.get("content-length", 0)):
            body += self.request.recv(65536)
        return Received(line, headers, body)


def http(status: int = 200, body: Any = b"", **headers: str) -> bytes:
    """An answer; a body that is not bytes goes as JSON. Names of headers: `_` for `-`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + content


def sends(answer: bytes) -> Answer:
    def send(connection: socket.socket, _: Received) -> bool:
        connection.sendall(answer)
        return True

    return send


def in_turn(*answers: Answer) -> Answer:
    """One answer after the other, over all connections."""
    following = iter(answers)
    return lambda connection, received: next(following)(connection, received)


def breaks_off(answer: bytes) -> Answer:
    """Half of an answer, and the connection closes."""

    def send(connection: socket.socket, _: Received) -> bool:
        connection.sendall(answer[: len(answer) - 20])
        return False

    return send


def drips(answer: bytes, pause: float) -> Answer:
    def send(connection: socket.socket, _: Received) -> bool:
        for number in range(len(answer)):
            connection.sendall(answer[number : number + 1])
            time.sleep(pause)
        return True

    return send


def closes(_: socket.socket, __: Received) -> bool:
    return False


def resets(connection: socket.socket, _: Received) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return False


def keeps_silent(connection: socket.socket, _: Received) -> bool:
    return bool(connection.recv(1))  # until the client gives up
