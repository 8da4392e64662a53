"""The bed itself: nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.support import processes
from tests.system.live.real_airflow import PATIENCE, REPOSITORY, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.production]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory for temporary ones, which PostgreSQL's user may enter."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o711)
    yield directory
    processes.sweep(directory)
    shutil.rmtree(directory)


def test_nothing_is_left_of_a_bed_that_is_interrupted_while_parts_of_it_are_suspended(directory: Path) -> None:
    bed = "from tests.system.production.bed import running\nwith running('interrupted'): input()"
    env = {**os.environ, "TMPDIR": str(directory)}
    with subprocess.Popen([sys.executable, "-c", bed], cwd=REPOSITORY, env=env, stdin=subprocess.PIPE) as running:
        wait_until(lambda: len(triggerers(directory)) >= 4, PATIENCE, lambda: f"{processes.working_in(directory)}")
        started = psutil.Process(running.pid).children()
        processes.suspend(next(process.pid for process in started if process.name() == "postgres"))
        triggerer = next(process for process in started if "triggerer" in process.cmdline())
        processes.suspend(triggerer.pid)
        triggerer.kill()  # and so its child, which is suspended too, is nobody's any more

        running.send_signal(signal.SIGTERM)
        running.wait(PATIENCE)

    assert processes.working_in(directory) == []
    assert list(directory.iterdir()) == []


def triggerers(directory: Path) -> list[processes.Process]:
    """Each of them, and the child that runs its triggers."""
    found = []
    for process in processes.working_in(directory):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "triggerer" in process.cmdline():
                found.append(process)
    return found
