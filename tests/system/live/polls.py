"""How often the emulator is asked about an instance."""

from __future__ import annotations

import time

from airflow_provider_dsw.emulator import DswEmulator
from tests.system.live.real_airflow import wait_until


def polls(emulator: DswEmulator, instance_id: str) -> int:
    return len(emulator.calls("GetInstance", instance_id))


def wait_for_polls(emulator: DswEmulator, instance_id: str, more: int = 2, timeout: float = 40) -> None:
    before = polls(emulator, instance_id)
    wait_until(
        lambda: polls(emulator, instance_id) >= before + more, timeout, lambda: f"{instance_id} is not polled any more"
    )


def polls_stop(emulator: DswEmulator, instance_id: str, seconds: float = 5) -> bool:
    before = polls(emulator, instance_id)
    time.sleep(seconds)
    return polls(emulator, instance_id) == before
