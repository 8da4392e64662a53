"""The bed itself: what it is made of works, and nothing of it is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.real_airflow import REPOSITORY, wait_until
from tests.support import processes
from tests.system.production.bed import Bed

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
        wait_until(lambda: len(triggerers(directory)) >= 4, 90, lambda: f"{processes.working_in(directory)}")
        (postgres,) = [p for p in processes.working_in(directory) if p.ppid() == running.pid and p.name() == "postgres"]
        for process in (postgres, triggerers(directory)[0]):
            processes.suspend(process.pid)

        running.send_signal(signal.SIGTERM)
        running.wait(60)

    assert processes.working_in(directory) == []
    assert list(directory.iterdir()) == []


def triggerers(directory: Path) -> list[processes.Process]:
    """Each of them, and the child that runs its triggers."""
    return [process for process in processes.working_in(directory) if "triggerer" in process.cmdline()]


def test_a_wait_is_deferred_by_the_worker_and_ends_as_its_triggerer_says(bed: Bed) -> None:
    bed.emulator.add_instance("dsw-smoke", "Starting")
    run = bed.airflow.trigger("sensor", instance_id="dsw-smoke")
    (task,) = run.wait("deferred")
    assert task["hostname"] == "worker"
    bed.wait_until_polled(["dsw-smoke"], more=2)
    assert run.tasks()[0]["triggerer_job"]["hostname"] in ("triggerer-1", "triggerer-2")

    bed.emulator.set_instance("dsw-smoke", "Running")
    run.wait("success")
    assert run.xcoms("wait")["return_value"]["Status"] == "Running"
