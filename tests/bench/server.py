"""The emulator in a process of its own, so that its cost is not that of the waits."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.emulator.signature import SignedRequest


class LenientEmulator(DswEmulator):
    """Answers unsigned requests too."""

    def _authorize(self, signed_request: SignedRequest, action: str | None) -> None:
        if "authorization" in signed_request.headers:
            super()._authorize(signed_request, action)


class Server:
    """The other process's emulator."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.connection: dict[str, Any]
        self.ca_file: str
        self.connection, self.ca_file = pipe.recv()

    def _ask(self, *message: Any) -> Any:
        self._pipe.send(message)
        return self._pipe.recv()

    def prepare(self, number: int) -> None:
        """Have so many instances, dsw-0 and on, which start and start; forget the requests."""
        self._ask("prepare", number)

    def run_all(self) -> None:
        """Let all instances be Running."""
        self._ask("run_all")

    def polls(self) -> dict[str, int]:
        """How often each instance was asked for."""
        found: dict[str, int] = self._ask("polls")
        return found


@contextmanager
def serving() -> Iterator[Server]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield Server(here)
        here.send(("stop",))
        process.join(10)
    finally:
        process.kill()


def _serve(pipe: Connection) -> None:
    with LenientEmulator(tls=True, record_limit=1) as emulator:
        polls: dict[str, int] = {}

        def count(request: Any) -> None:
            polls[request.instance_id] = polls.get(request.instance_id, 0) + 1

        emulator.on_request = count
        pipe.send((emulator.connection(), emulator.ca_file))
        instances = 0
        while True:
            command, *arguments = pipe.recv()
            answer: Any = None
            if command == "stop":
                return
            if command == "prepare":
                (instances,) = arguments
                for number in range(instances):
                    emulator.add_instance(f"dsw-{number}", "Starting")
                polls.clear()
            elif command == "run_all":
                for number in range(instances):
                    emulator.set_instance(f"dsw-{number}", "Running")
            elif command == "polls":
                answer = dict(polls)
            pipe.send(answer)
