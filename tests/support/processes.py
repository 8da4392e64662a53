"""Processes that tests start: to suspend them, to kill them, and to leave none behind."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

import psutil  # type: ignore[import-untyped]
from psutil import Process

HOST = "127.0.0.1"
_PORTS = range(15_000, 32_000)  # below those that the kernel gives to outgoing connections


def free_port() -> int:
    """Return a port that nobody uses now, nor any outgoing connection later."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind((HOST, port))
            return port


def family(pid: int) -> list[Process]:
    """Return a process and all its descendants, the eldest first; none if it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        eldest = Process(pid)
        return [eldest, *eldest.children(recursive=True)]
    return []


def working_in(directory: Path) -> list[Process]:
    """
    Return the processes whose working directory is this one or lies in it.

    A process inherits it, so that one that has lost its parents is found too.
    """
    return [process for process in psutil.process_iter() if _works_in(process, directory)]


def _works_in(process: Process, directory: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(directory)
    except psutil.Error:
        return False  # gone, or a zombie


def left_after(seconds: float, processes: Iterable[Process]) -> list[Process]:
    """
    Return those of some processes that still run after so many seconds, or none as soon as all have ended.

    One that nobody has reaped has ended: what psutil waits for, its disappearance, never comes in a container whose
    first process reaps no orphans.
    """
    end = time.monotonic() + seconds
    running = list(processes)
    while (running := [process for process in running if not _has_ended(process)]) and time.monotonic() < end:
        time.sleep(0.05)
    return running


def _has_ended(process: Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def suspend(pid: int) -> list[Process]:
    """Suspend a process and all its descendants, those too that it makes meanwhile, and return them."""
    suspended: list[Process] = []
    while new := [process for process in family(pid) if process not in suspended]:
        send(new, signal.SIGSTOP)
        suspended += new
    return suspended


@contextlib.contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Suspend a process and all its descendants for a `with` block."""
    processes = suspend(pid)
    try:
        yield
    finally:
        send(processes, signal.SIGCONT)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all its descendants at once, as a power cut does."""
    killed = suspend(process.pid)
    send(killed, signal.SIGKILL)
    process.wait()
    left_after(10, killed)


def end(processes: Iterable[subprocess.Popen[bytes]], number: signal.Signals = signal.SIGTERM) -> None:
    """End processes with all their descendants: ask them, suspended ones too, and kill after 10 seconds."""
    started = list(processes)
    families = [member for process in started for member in family(process.pid)]
    send(families, signal.SIGCONT)
    for process in started:
        process.send_signal(number)
    send(left_after(10, families), signal.SIGKILL)
    for process in started:
        process.wait()


def sweep(directory: Path) -> None:
    """Kill what works in a directory, until nothing does."""
    while left := working_in(directory):
        send(left, signal.SIGKILL)
        left_after(10, left)


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """
    Let SIGTERM end the tests as Ctrl-C does, so that nothing is left running.

    Only the first signal counts: a second one would break off what cleans up after the first.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
