"""The instances that the command `dsw-emulator` serves, and how they change over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_dsw.emulator.faults import Answer, Fault
from airflow_provider_dsw.emulator.operations import route
from airflow_provider_dsw.emulator.record import Request
from airflow_provider_dsw.emulator.server import DswEmulator
from airflow_provider_dsw.emulator.signature import SignedRequest
from airflow_provider_dsw.emulator.timeline import FAILED_STATUSES

Steps = Sequence[tuple[Any, ...]]

# Long enough to open the page of a task that waits for it, and to look around there.
STARTS = "dsw-starting"
STARTING: Steps = [
    ("Creating", 10),
    ("ResourceAllocating", 30),
    ("EnvPreparing", 30),
    ("Starting", 20),
    ("Running", None),
]
# Real seconds without a request for it after which it starts anew, if nobody has changed it: each DAG run waits.
REST = 60.0
FAILING: Steps = [
    ("Creating", 5),
    ("Starting", 15),
    ("Failed", None, {"ReasonCode": "Internal Error", "ReasonMessage": "ImagePullBackOff"}),
]
DEFAULT: list[tuple[str, Steps]] = [
    ("dsw-running", [("Running", None)]),
    ("dsw-stopped", [("Stopped", None)]),
    (STARTS, STARTING),
    ("dsw-failing", FAILING),
]

# One more, which is saved again and again: so a DAG may wait for a snapshot newer than its own start.
SAVING = "dsw-saving"
SNAPSHOT = "snp-saving"
PUSHING: Steps = [("Committing", 15), ("Pushing", 30), ("Saved", None)]
WHILE_PUSHING: Steps = [("Saving", 45), ("Saved", 5), ("Running", None)]
EVERY = 90.0  # seconds from one snapshot to the next
COMMITTING = 1 / 3  # of the time that a save takes


class ScenarioEmulator(DswEmulator):
    """An emulator with instances that keep their first status until `begin()`.

    instances: ids and timelines, in place of the default ones; each Saving in them makes a snapshot, which fails where
    the instance's next status is a failure. starts_on_request: each instance begins with the first request for it, and
    the one that starts does so anew after a while without a request; a list is a request for none.
    """

    def __init__(
        self,
        instances: Sequence[tuple[str, Steps]] | None = None,
        *,
        starts_on_request: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._starts_on_request = starts_on_request
        self._still: dict[str, Steps] = dict(instances or DEFAULT)  # those that have not begun
        self._saved_again = None if instances else SAVING
        if self._saved_again:
            self._still[self._saved_again] = [("Running", None)]
        self._starts_anew = starts_on_request and not instances
        self._last_read = 0.0
        self._pushes = 0
        self._next_push = float("inf")
        self._saves_to_come: list[tuple[float, str, Steps]] = []
        for instance_id, steps in self._still.items():
            status, _, *fields = steps[0]
            self.add_instance(instance_id, timeline=[(status, None, *fields)])

    def begin(self, instance_id: str | None = None) -> None:
        """From now on time passes for an instance; None: for all."""
        with self._lock:
            for begun in [instance_id] if instance_id else list(self._still):
                if begun in self._still:
                    self._begin(begun, self._still.pop(begun))
        self.advance()

    def _begin(self, instance_id: str, steps: Steps) -> None:
        if len(steps) > 1:
            self.set_instance(instance_id, timeline=steps)
        self._saves_to_come += [
            (self.clock.now() + after / self.speed, instance_id, pushing) for after, pushing in _saves_in(steps)
        ]
        if instance_id == self._saved_again:
            self._next_push = self.clock.now()

    def advance(self) -> None:
        """Take the snapshots that are due, of instances that are Saving."""
        with self._lock:  # the first request and the command may both come here
            self._take_snapshots()

    def _take_snapshots(self) -> None:
        for save in [save for save in self._saves_to_come if save[0] <= self.clock.now()]:
            self._saves_to_come.remove(save)
            _, instance_id, pushing = save
            if self.status(instance_id) == "Saving":
                self.add_snapshot(instance_id, timeline=pushing)
        if self.clock.now() < self._next_push or self.status(SAVING) != "Running":
            return
        self._next_push = self.clock.now() + EVERY / self.speed
        self._pushes += 1
        number = "" if self._pushes == 1 else f"-{self._pushes}"
        self.add_snapshot(SAVING, f"{SNAPSHOT}{number}", timeline=PUSHING)
        self.set_instance(SAVING, timeline=WHILE_PUSHING)

    def answer(self, signed_request: SignedRequest) -> tuple[Answer, Fault | None, Request]:
        if self._starts_on_request:
            _, instance_id, _ = route(signed_request.method, signed_request.path)
            if instance_id == STARTS and self._starts_anew:
                self._start_anew(signed_request.method)
            if instance_id:
                self.begin(instance_id)
        return super().answer(signed_request)

    def _start_anew(self, method: str) -> None:
        """Let the instance that starts do so again, where it has long been left alone; a change of it ends that."""
        with self._lock:
            now = self.clock.now()
            rested, self._last_read = now - self._last_read > REST, now
            self._starts_anew = method == "GET"
            if self._starts_anew and rested and STARTS not in self._still and self.status(STARTS) == "Running":
                self._still[STARTS] = STARTING


def _saves_in(steps: Steps) -> Iterator[tuple[float, Steps]]:
    """Return each Saving of a timeline: after how many seconds it begins, and its snapshot's timeline."""
    after = 0.0
    for step, following in zip(steps, [*steps[1:], ("",)], strict=True):
        status, seconds = step[:2]
        if status == "Saving" and seconds is None:
            yield after, [("Pushing", None)]
        elif status == "Saving":
            end = "Failed" if following[0] in FAILED_STATUSES else "Saved"
            yield after, [("Committing", seconds * COMMITTING), ("Pushing", seconds * (1 - COMMITTING)), (end, None)]
        after += seconds or 0.0
