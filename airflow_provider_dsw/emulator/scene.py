"""The instances that the command `dsw-emulator` serves, and what happens to them by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from airflow_provider_dsw.emulator.faults import Answer, Fault
from airflow_provider_dsw.emulator.record import Request
from airflow_provider_dsw.emulator.server import DswEmulator
from airflow_provider_dsw.emulator.signature import Received

Steps = Sequence[tuple[Any, ...]]

STARTING: Steps = [
    ("Creating", 5),
    ("ResourceAllocating", 10),
    ("EnvPreparing", 10),
    ("Starting", 10),
    ("Running", None),
]
FAILING: Steps = [
    ("Creating", 5),
    ("Starting", 15),
    ("Failed", None, {"ReasonCode": "Internal Error", "ReasonMessage": "ImagePullBackOff"}),
]
DEFAULT: list[tuple[str, Steps]] = [
    ("dsw-running", [("Running", None)]),
    ("dsw-stopped", [("Stopped", None)]),
    ("dsw-starting", STARTING),
    ("dsw-failing", FAILING),
]

# One more, which is saved again and again: so a DAG may wait for a snapshot newer than its own start.
SAVING = "dsw-saving"
SNAPSHOT = "snp-saving"
PUSHING: Steps = [("Committing", 15), ("Pushing", 30), ("Saved", None)]
WHILE_PUSHING: Steps = [("Saving", 45), ("Saved", 5), ("Running", None)]
EVERY = 90.0  # seconds from one snapshot to the next


class SceneEmulator(DswEmulator):
    """An emulator with instances that keep their first status until `begin()`.

    instances: ids and timelines, in place of the default ones. begins_when_asked: with the first request.
    """

    def __init__(
        self,
        instances: Sequence[tuple[str, Steps]] | None = None,
        *,
        begins_when_asked: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._begins_when_asked = begins_when_asked
        self._scene = list(instances or DEFAULT)
        self._saves = not instances
        self._pushes = 0
        self._next_push = float("inf")
        for instance_id, steps in self._scene:
            status, _, *fields = steps[0]
            self.add_instance(instance_id, timeline=[(status, None, *fields)])
        if self._saves:
            self.add_instance(SAVING)

    def begin(self) -> None:
        """From now on time passes."""
        self._begins_when_asked = False
        for instance_id, steps in self._scene:
            if len(steps) > 1:
                self.set_instance(instance_id, timeline=steps)
        if self._saves:
            self._next_push = time.monotonic()
            self.go_on()

    def go_on(self) -> None:
        """Take the next snapshot if it is time, and nobody stopped the instance."""
        if time.monotonic() < self._next_push or self.status(SAVING) != "Running":
            return
        self._next_push = time.monotonic() + EVERY / self.speed
        self._pushes += 1
        number = "" if self._pushes == 1 else f"-{self._pushes}"
        self.add_snapshot(SAVING, f"{SNAPSHOT}{number}", timeline=PUSHING)
        self.set_instance(SAVING, timeline=WHILE_PUSHING)

    def answer(self, received: Received) -> tuple[Answer, Fault | None, Request]:
        if self._begins_when_asked:
            self.begin()
        return super().answer(received)
