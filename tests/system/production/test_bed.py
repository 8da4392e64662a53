"""The bed itself: what it is made of works, and nothing of it is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.polls import wait_for_polls
from tests.live.real_airflow import REPOSITORY
from tests.support import processes
from tests.system.production.bed import Bed

pytestmark = [pytest.mark.slow, pytest.mark.production]

SUSPENDED = """
from tests.system.production import bed

with bed.running("interrupted") as running:
    with running.database.suspended(), running.airflow.suspended("triggerer-1"):
        print(running.airflow.home.parent, flush=True)
        input()
"""


def test_nothing_is_left_of_a_bed_that_is_interrupted_while_parts_of_it_are_suspended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUSPENDED], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        directory = Path(running.stdout.readline().strip())
        assert len(processes.working_in(directory)) > 12
        running.send_signal(signal.SIGTERM)
        running.wait(60)

    assert processes.working_in(directory) == []
    assert not directory.exists()


def test_a_wait_is_deferred_by_the_worker_and_ends_as_its_triggerer_says(bed: Bed) -> None:
    bed.emulator.add_instance("dsw-smoke", "Starting")
    run = bed.airflow.trigger("sensor", instance_id="dsw-smoke")
    (task,) = run.wait("deferred")
    assert task["hostname"] == "worker"
    wait_for_polls(bed.emulator, "dsw-smoke")
    assert run.tasks()[0]["triggerer_job"]["hostname"] in ("triggerer-1", "triggerer-2")

    bed.emulator.set_instance("dsw-smoke", "Running")
    run.wait("success")
    assert run.xcoms("wait")["return_value"]["Status"] == "Running"
