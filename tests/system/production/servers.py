"""PostgreSQL and Redis, from Debian's packages, on ports and in directories of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import processes
from tests.support.processes import HOST, free_port
from tests.system.live.real_airflow import PATIENCE, wait_until

MOST_CONNECTIONS = 200  # each of Airflow's processes has a pool, and so has each task's API call
NAME = "airflow"  # of the database and its owner


class PostgreSQL:
    """
    A server with one empty database.

    :param directory: an empty directory, which other users may enter.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"postgresql://{NAME}@{HOST}:{self.port}/{NAME}"
        self._programs = _programs()
        # It refuses to run as root.
        self._user: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        self._process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[PostgreSQL]:
        if self._user:
            shutil.chown(self.directory, self._user["user"])
        data = self.directory / "data"
        self._run("initdb", "-D", str(data), "-U", NAME, "-A", "trust", "-E", "UTF8", "--no-sync")
        try:
            self.start()
            self._run("createdb", *self._address, NAME)
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        options = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": self.directory,
            "max_connections": MOST_CONNECTIONS,
            "fsync": "off",  # nothing outlives the machine
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self._log() as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.directory / "data", *settings],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._user,
            )
        wait_until(self._answers, PATIENCE, lambda: f"PostgreSQL does not start:\n{self._log_text()}")

    def stop(self) -> None:
        """Roll back what is open, and end, suspended or not."""
        if self._process:
            processes.end([self._process], signal.SIGQUIT)
        self._process = None

    @contextlib.contextmanager
    def restarted(self) -> Iterator[None]:
        """Break off all connections, as an upgrade does, and be there again after a `with` block."""
        assert self._process
        processes.end([self._process], signal.SIGINT)
        yield
        self.start()

    def suspended(self) -> contextlib.AbstractContextManager[None]:
        """Suspend all its processes for a `with` block: connections stay open, and nothing is answered."""
        assert self._process
        return processes.suspended(self._process.pid)

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a SELECT, as JSON has them."""
        text = f"select coalesce(json_agg(row), '[]') from ({statement}) row"
        rows: list[dict[str, Any]] = json.loads(self._run("psql", *self._address, "-d", NAME, "-At", "-c", text))
        return rows

    @property
    def _address(self) -> list[str]:
        return ["-h", HOST, "-p", str(self.port), "-U", NAME]

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, f"PostgreSQL has ended:\n{self._log_text()}"
        return not subprocess.run(
            [self._programs / "pg_isready", *self._address, "-d", "postgres"], stdout=subprocess.DEVNULL, check=False
        ).returncode

    def _run(self, program: str, *arguments: str) -> str:
        with self._log() as log:
            return subprocess.run(
                [self._programs / program, *arguments],
                cwd=self.directory,
                stdout=subprocess.PIPE,
                stderr=log,
                check=True,
                text=True,
                **self._user,
            ).stdout

    def _log(self) -> Any:
        return (self.directory / "log").open("ab")

    def _log_text(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-4000:]


class Redis:
    """
    A server that keeps nothing on disk.

    :param directory: a directory to work in.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self._program = _program("redis-server", "redis-server")

    @contextlib.contextmanager
    def running(self) -> Iterator[Redis]:
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [self._program, "--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: "Ready to accept connections" in (self.directory / "log").read_text(),
                PATIENCE,
                lambda: f"Redis does not start:\n{(self.directory / 'log').read_text()}",
            )
            yield self
        finally:
            processes.end([process])


def _programs() -> Path:
    """Return the directory with the newest PostgreSQL's server programs, which Debian keeps off the PATH."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    return Path(_program("initdb", "postgresql")).parent


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is missing, without which the production tests can't run: apt-get install -y {package}"
    return found
