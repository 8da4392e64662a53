"""`dsw-emulator run`: one DAG, run by real Airflow against the emulator, in a home that is gone afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from airflow_provider_dsw.arguments import did_you_mean
from airflow_provider_dsw.emulator.cli.airflow_home import (
    airflow_problem,
    airflow_version,
    collected_signals,
    dag_file_problem,
    environment,
    temporary_home,
)
from airflow_provider_dsw.emulator.cli.console import RequestLines, changes, fail, say, say_now, tail
from airflow_provider_dsw.emulator.cli.loaded_dags import needed
from airflow_provider_dsw.emulator.cli.scenario import ScenarioEmulator
from airflow_provider_dsw.emulator.record import Request

GRACE = 3.0  # seconds that Airflow has to end by itself
WIDTH = 100  # characters of a value that are shown
QUIET = 20.0  # seconds without a change after which it is said what is waited for
EMPTY: tuple[Any, ...] = (None, "", [], {})
UNDEFINED = re.compile(r"conn_id `([^`]+)` isn't defined")  # what Airflow says of a connection that there is not


class DagRun:
    """
    A DAG's run against an emulator.

    :param emulator: where the connections lead to.
    :param dag_file: the Python file.
    :param dag_id: which of its DAGs; None where it holds only one.
    :param conn_ids: the connections that the DAG uses.
    :param verbose: show Airflow's log too.
    """

    def __init__(
        self,
        emulator: ScenarioEmulator,
        dag_file: Path,
        *,
        dag_id: str | None = None,
        conn_ids: Sequence[str] = ("dsw_default",),
        verbose: bool = False,
    ) -> None:
        self.emulator = emulator
        self.dag_file = dag_file
        self.dag_id = dag_id
        self.conn_ids = conn_ids
        self.verbose = verbose
        self._requested: set[str] = set()
        self._unknown: set[str] = set()
        self._undefined: set[str] = set()
        self._lines = RequestLines()
        self._requests: Counter[str] = Counter()
        self._started: set[str] = set()
        self._waiting: dict[str, str] = {}
        self._changed_at: float | None = None
        self._problem: str | None = None
        self._state: str | None = None

    def problem(self) -> str | None:
        """What is wrong that can be known without Airflow; None where nothing is."""
        return dag_file_problem(self.dag_file) or airflow_problem()

    def run(self) -> int:
        """Run it and show what happens; return the exit status of the command."""
        with collected_signals() as received, temporary_home("run") as home:
            shutil.copy(self.dag_file, home / "dags")
            self._events = _Events(home / "events", self._show_event)
            self.emulator.on_request = self._show_request
            say(f"DSW emulator at {self.emulator.protocol}://{self.emulator.endpoint}, Ctrl-C stops everything.")
            say(f"Airflow {airflow_version()} is starting in a temporary home: about 10 seconds.")
            say("Tasks run one after the other here; `dsw-emulator standalone` runs them as in production.\n")
            with self._airflow(home) as process:
                self._follow(process, received)
            if received:
                say(f"\nStopped by {received[0].name}.{self._what_waits()}")
                return 128 + received[0]
            return self._report_outcome(home / "log")

    @contextmanager
    def _airflow(self, home: Path) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "airflow_provider_dsw.emulator.cli.in_airflow", str(self.dag_file.resolve())]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                [*command, *([self.dag_id] if self.dag_id else [])],
                cwd=home,
                env=self._environment(home),
                stdin=subprocess.PIPE,  # its end tells Airflow that this process is gone
                stdout=None if self.verbose else log,
                stderr=subprocess.STDOUT if not self.verbose else None,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                _end(process)

    def _environment(self, home: Path) -> dict[str, str]:
        connection = json.dumps(self.emulator.connection())
        return {
            **environment(home, self.emulator),
            **{f"AIRFLOW_CONN_{conn_id.upper()}": connection for conn_id in self.conn_ids},
            "DSW_EMULATOR_EVENTS": str(home / "events"),
        }

    def _follow(self, process: subprocess.Popen[bytes], received: Sequence[int]) -> None:
        """Show what happens until Airflow has ended or a signal came."""
        before = self.emulator.statuses()
        ended = False
        while not ended and not received and self._state is None:
            time.sleep(0.1)
            ended = process.poll() is not None
            self.emulator.advance()
            now = self.emulator.statuses()
            for name, line in changes(before, now):
                self._changed_at = time.monotonic()
                if name.partition("/")[0] in self._requested:
                    say_now(line)
            before = now
            self._events.show()
            if self._waiting and self._changed_at and time.monotonic() - self._changed_at > QUIET:
                self._changed_at = None  # once, until something changes again
                say_now(f"Nothing has changed for {QUIET:.0f} seconds.{self._what_waits()} Ctrl-C ends this.")

    def _show_request(self, request: Request) -> None:
        self._events.show()  # the task that makes the request has begun before it
        if request.instance_id and request.status == 404:
            self._unknown.add(request.instance_id)
        if request.instance_id:
            self._requested.add(request.instance_id)
        else:
            self._requested.update(name for name in self.emulator.statuses() if "/" not in name)
        self._requests[request.action or request.method] += 1
        self._lines.show(request)

    def _show_event(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "problem":
            self._problem = event["text"]
        elif event["event"] == "warning":
            say(f"          warning: {event['text']}")
        elif event["event"] == "task":
            self._changed_at = time.monotonic()
            self._waiting.pop(event["task"], None)
            if event["state"] in ("running", "deferred"):
                self._waiting[event["task"]] = event["state"]
            again = event["state"] == "running" and event["task"] in self._started
            self._started.add(event["task"])
            held = ", no worker is held" if event["state"] == "deferred" else ""
            say_now(f"task {event['task']}: {event['state']}{' again' if again else ''}{held}")
            if event.get("error"):
                say(f"          {event['error']}")
                self._undefined.update(UNDEFINED.findall(event["error"]))
        elif event["event"] == "end":
            self._state = event["state"]
            say("")
            for task in event["tasks"]:
                say(f"{task['task']}: {task['state'] or 'not run'}")
                for line in _lines(task.get("returned")):
                    say(f"    {line}".rstrip())
            say("")

    def _what_waits(self) -> str:
        """Which tasks are not over, and what their instances are."""
        tasks = [f"{task} is {state}" for task, state in self._waiting.items()]
        if not tasks:
            return ""
        statuses = self.emulator.statuses()
        found = [f"{name} is {statuses.get(name) or 'not there'}" for name in sorted(self._requested)]
        return f" Task {', '.join(tasks)}; {', '.join(found) or 'nothing was requested'}."

    def _report_outcome(self, log: Path) -> int:
        if self._problem is not None:
            return fail(f"{self.dag_file}: {self._problem}{needed(self.dag_file, self._problem)}")
        if self._state is None:
            last_lines = "" if self.verbose else tail(log)
            return fail(f"Airflow ended before the DAG run did. Its last lines:\n{last_lines}".strip())
        requests = ", ".join(f"{count} {action}" for action, count in self._requests.items())
        say(f"The DAG run is over: {self._state}. Requests: {requests or 'none'}.")
        served = [name for name, status in self.emulator.statuses().items() if status and "/" not in name]
        for instance_id in sorted(self._unknown.difference(served)):
            say(
                f"The emulator has no instance {instance_id}.{did_you_mean(instance_id, served)} To add it: "
                f"--instance {instance_id}=Creating:5,Starting:20,Running"
            )
        if self._undefined:
            options = " ".join(f"--conn-id {conn_id}" for conn_id in sorted({*self.conn_ids, *self._undefined}))
            say(f"The DAG uses a connection that does not lead to the emulator yet. Add: {options}")
        if self._state != "success" and not self.verbose:
            say("Airflow's own log: the same command with --verbose.")
        return 0 if self._state == "success" else 1


class _Events:
    """
    What Airflow tells of its tasks, each told once, to whichever thread comes first.

    :param path: the file that Airflow appends to.
    :param show: shows one event.
    """

    def __init__(self, path: Path, show: Callable[[Mapping[str, Any]], None]) -> None:
        path.touch()
        self._path = path
        self._shown = 0
        self._show_event = show
        self._lock = threading.Lock()

    def show(self) -> None:
        """Show what is new."""
        with self._lock, self._path.open(encoding="utf-8") as lines:
            lines.seek(self._shown)
            while line := lines.readline():
                self._show_event(json.loads(line))
            self._shown = lines.tell()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End Airflow and all its child processes: a wait in one of them may ignore the first signal."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                continue
    with suppress(ProcessLookupError, PermissionError):  # nothing left of it
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin:
        process.stdin.close()


def _lines(value: Any) -> Iterator[str]:
    """A returned value: a dict one line for each item that is not empty, each cut to a width."""
    if value is None:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            if item not in EMPTY:
                yield f"{name}: {_cut(item)}"
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for item in value:
            yield f"- {_cut(item)}"
    else:
        yield _cut(value)


def _cut(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
