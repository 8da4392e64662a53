"""What an operation of the API needs beside the instance itself, and whether a second one does harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_dsw.emulator.backend import Backend

SNAPSHOT = "snp-abc"
# Asked for again, they do no harm, and no look tells whether they were performed: which is an assumption.
HARMLESS = ("CreateInstanceShutdownTimer", "DeleteInstanceShutdownTimer")
BESIDE: dict[str, Callable[[Backend, str], object]] = {
    "DeleteInstanceShutdownTimer": lambda service, instance_id: service.set_shutdown_timer(instance_id, 600),
    "GetInstanceSnapshot": lambda service, instance_id: service.add_snapshot(instance_id, SNAPSHOT, "Saved"),
}


def add_instance_for(
    service: Backend, action: str | None, instance_id: str, status: str | None = None, **given: Any
) -> None:
    """
    Add an instance of which an operation can be requested.

    :param action: the operation; None: one that needs nothing more.
    :param status: the instance's.
    :param given: as for ``add_instance``.
    """
    service.add_instance(instance_id, status, **given)
    if action in BESIDE:
        BESIDE[action](service, instance_id)
