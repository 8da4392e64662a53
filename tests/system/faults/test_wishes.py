"""Operators one after the other on one instance, with faults and retries in between: one effect for each wish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.operators.dsw import (
    DswCreateSnapshotOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from tests.support import task_runs
from tests.system.faults.faults import FAULTS, LENGTHS, Meaning
from tests.system.faults.service import Bed, Server
from tests.system.faults.tasks import ANOTHERS, ID, USUAL

OPTIONS = st.sampled_from(
    (
        {},
        {"stale_reads": 2},
        {"stale_reads": [0, 2, 1, 0]},
        {"late_lists": 1},
        {"modified_time": "missing"},
        {"modified_time": "always"},
        {"saved_seconds": 0.0},
        {"concurrent_snapshots": True, "unique_names": False},
    )
)
# Of these the service's answer says nothing that is not so.
HONEST = [
    name for name, row in FAULTS.items() if row.meaning in (Meaning.ANSWERED, Meaning.TRANSIENT) and name != ANOTHERS
]
# What each try but the last one of a wish meets: which fault, from which of its requests on, and how often.
# Most are without end: after a short one the try goes on.
STRIKES = st.lists(
    st.tuples(
        st.sampled_from(HONEST),
        st.integers(0, 4),
        st.sampled_from(("without end", "without end", "without end", "for 8 s", "three times", "once")),
    ),
    min_size=1,
    max_size=2,
)


class Wishes(RuleBasedStateMachine):
    """The model is the status that the last wish has led to."""

    bed: Bed

    @initialize(options=OPTIONS)
    def begin(self, options: dict[str, Any]) -> None:
        self.service, self.clock = self.bed.new_service(**options)
        self.service.add_instance(ID, "Stopped")
        self.status = "Stopped"
        self.number = 0

    def fulfil(self, action: str, make: Callable[..., Any], deferrable: bool, strikes: Any, **arguments: Any) -> int:
        """Try until a try without faults, and return how often the service did what was asked for."""
        self.number += 1
        before = self.service.performed[action]
        for try_number, strike in enumerate([*strikes, None], 1):
            self.service.forget_faults_to_come()
            if strike is not None:
                fault, at, length = strike
                self.service.fault_from(self.service.received + at, **FAULTS[fault].given, **LENGTHS[length])
            task = make(task_id="t", instance_id=ID, deferrable=deferrable, **USUAL, **arguments)
            try:
                task_runs.run(task, task_runs.context(try_number, max_tries=9, task_id=f"t{self.number}"))
                break
            except DswError:
                assert strike is not None
        # What it does later, if it is asked for later.
        self.service.forget_faults_to_come()
        self.clock.sleep(30)
        return self.service.performed[action] - before

    @rule(deferrable=st.booleans(), strikes=STRIKES)
    def start(self, deferrable: bool, strikes: Any) -> None:
        done = self.fulfil("StartInstance", DswStartInstanceOperator, deferrable, strikes)
        assert done == (self.status != "Running")
        self.status = "Running"
        assert self.service.status(ID) == "Running"

    @rule(deferrable=st.booleans(), strikes=STRIKES, save_image=st.booleans())
    def stop(self, deferrable: bool, strikes: Any, save_image: bool) -> None:
        done = self.fulfil("StopInstance", DswStopInstanceOperator, deferrable, strikes, save_image=save_image)
        assert done == (self.status != "Stopped")
        self.status = "Stopped"
        assert self.service.status(ID) == "Stopped"

    @rule(deferrable=st.booleans(), strikes=STRIKES)
    def save(self, deferrable: bool, strikes: Any) -> None:
        if self.status != "Running":
            self.fulfil("StartInstance", DswStartInstanceOperator, deferrable, [])
            self.status = "Running"
        url = f"registry/a:{self.number}"
        done = self.fulfil("CreateInstanceSnapshot", DswCreateSnapshotOperator, deferrable, strikes, image_url=url)
        assert done == 1


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    server = Server()
    with server:
        yield Bed(monkeypatch, server)


@pytest.mark.slow
def test_no_wish_has_two_effects(bed: Bed) -> None:
    class OfBed(Wishes):
        pass

    OfBed.bed = bed
    run_state_machine_as_test(
        OfBed,
        settings=settings(
            max_examples=40,
            stateful_step_count=6,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
