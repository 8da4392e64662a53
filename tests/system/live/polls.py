"""How often the emulator is asked about an instance."""

from __future__ import annotations

import time
from itertools import pairwise

from airflow_provider_dsw.emulator import DswEmulator
from tests.system.live.real_airflow import PATIENCE, wait_until


def polls(emulator: DswEmulator, instance_id: str) -> int:
    return len(emulator.calls("GetInstance", instance_id))


def wait_for_polls(emulator: DswEmulator, instance_id: str, more: int = 2) -> None:
    before = polls(emulator, instance_id)
    wait_until(
        lambda: polls(emulator, instance_id) >= before + more, PATIENCE, lambda: f"{instance_id} is not polled any more"
    )


def pauses(emulator: DswEmulator, instance_id: str, number: int) -> list[float]:
    """The seconds between one poll and the next; busy as the machine is, they are longer than meant, and no shorter."""
    wait_for_polls(emulator, instance_id, number + 1)
    times = [request.time for request in emulator.calls("GetInstance", instance_id)[-number - 1 :]]
    return [later - earlier for earlier, later in pairwise(times)]


def polls_stop(emulator: DswEmulator, instance_id: str, seconds: float = 5) -> bool:
    before = polls(emulator, instance_id)
    time.sleep(seconds)
    return polls(emulator, instance_id) == before
