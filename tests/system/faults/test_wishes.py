"""Operators one after the other, with faults and retries in between: one effect for each wish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_provider_dsw.exceptions import DswError, DswOperationFailedError
from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.waits.labels import TASK_LABEL
from tests.support import task_runs
from tests.system.faults.faults import FAULTS, LENGTHS, Meaning
from tests.system.faults.service import Bed, Server
from tests.system.faults.tasks import ANOTHERS, BODY, ID, USUAL

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


class Tries(RuleBasedStateMachine):
    """How a wish is fulfilled: by one try after the other, until one meets no fault."""

    bed: Bed

    def begin_with(self, **options: Any) -> None:
        self.service, self.clock = self.bed.new_service(**options)
        self.number = 0
        self.tries: Counter[int] = Counter()

    def fulfil(
        self, action: str, make: Callable[..., Any], deferrable: bool, strikes: Any, wish: int = 0, **arguments: Any
    ) -> int:
        """
        Try until a try without faults, and return how often the service did what was asked for.

        :param wish: the number of an earlier one, whose task is cleared.
        """
        if not wish:
            self.number += 1
        before = self.service.performed[action]
        wish = wish or self.number
        max_tries = self.tries[wish] + 9
        for strike in [*strikes, None]:
            self.meet(strike)
            try:
                self.run_try(make, deferrable, wish, max_tries, **arguments)
                break
            except DswError:
                assert strike is not None
        self.let_time_pass()
        return self.service.performed[action] - before

    def meet(self, strike: Any) -> None:
        """Have this fault and no other one."""
        self.service.forget_faults_to_come()
        if strike is not None:
            fault, at, length = strike
            self.service.fault_from(self.service.received + at, **FAULTS[fault].given, **LENGTHS[length])

    def run_try(self, make: Callable[..., Any], deferrable: bool, wish: int, max_tries: int, **arguments: Any) -> None:
        self.tries[wish] += 1
        task = make(task_id="t", deferrable=deferrable, **USUAL, **arguments)
        task_runs.run(task, task_runs.context(self.tries[wish], max_tries=max_tries, task_id=f"t{wish}"))

    def let_time_pass(self) -> None:
        """Have the service do what it does later."""
        self.service.forget_faults_to_come()
        self.clock.sleep(30)


class Wishes(Tries):
    """The model is the status that the last wish has led to."""

    @initialize(options=OPTIONS)
    def begin(self, options: dict[str, Any]) -> None:
        self.begin_with(**options)
        self.service.add_instance(ID, "Stopped")
        self.status = "Stopped"

    def change(self, action: str, make: Callable[..., Any], deferrable: bool, strikes: Any, **arguments: Any) -> int:
        return self.fulfil(action, make, deferrable, strikes, instance_id=ID, **arguments)

    @rule(deferrable=st.booleans(), strikes=STRIKES)
    def start(self, deferrable: bool, strikes: Any) -> None:
        done = self.change("StartInstance", DswStartInstanceOperator, deferrable, strikes)
        assert done == (self.status != "Running")
        self.status = "Running"
        assert self.service.status(ID) == "Running"

    @rule(deferrable=st.booleans(), strikes=STRIKES, save_image=st.booleans())
    def stop(self, deferrable: bool, strikes: Any, save_image: bool) -> None:
        done = self.change("StopInstance", DswStopInstanceOperator, deferrable, strikes, save_image=save_image)
        assert done == (self.status != "Stopped")
        self.status = "Stopped"
        assert self.service.status(ID) == "Stopped"

    @rule(deferrable=st.booleans(), strikes=STRIKES)
    def save(self, deferrable: bool, strikes: Any) -> None:
        if self.status != "Running":
            self.change("StartInstance", DswStartInstanceOperator, deferrable, [])
            self.status = "Running"
        url = f"registry/a:{self.number}"
        done = self.change("CreateInstanceSnapshot", DswCreateSnapshotOperator, deferrable, strikes, image_url=url)
        assert done == 1


OPTIONS_OF_LIFE = st.sampled_from(
    (
        {},
        {"stale_reads": 2},
        {"stale_reads": [0, 2, 1, 0]},
        {"late_lists": 1},
        {"late_lists": 3},
        {"stale_reads": 2, "late_lists": 2},
        {"label_filter": False},
        {"modified_time": "missing"},
        {"deletable": "stopped"},
    )
)


class Lives(Tries):
    """
    Instances that tasks create and delete, among those of others.

    The model is the status of each that should be there, and which of them each wish has created.
    """

    @initialize(options=OPTIONS_OF_LIFE)
    def begin(self, options: dict[str, Any]) -> None:
        self.begin_with(**options)
        self.living: dict[str, str] = {}
        self.made: dict[int, str] = {}

    @invariant()
    def there_is_what_was_wished_for_and_nothing_else(self) -> None:
        there = {name: status for name, status in self.service.statuses().items() if "/" not in name}
        assert {name: status for name, status in there.items() if status is not None} == self.living

    @rule(status=st.sampled_from(("Running", "Stopped", "Failed")), is_of_task=st.booleans())
    def somebody_else_creates(self, status: str, is_of_task: bool) -> None:
        """One of the same name, or of another task."""
        self.number += 1
        labels = [{"Key": TASK_LABEL, "Value": f"{self.number:032}"}] if is_of_task else []
        name = f"dsw-other-{self.number}"
        self.service.add_instance(name, status, InstanceName=BODY["InstanceName"], Labels=labels)
        self.living[name] = status

    @rule(deferrable=st.booleans(), strikes=STRIKES, is_copy=st.booleans())
    def create(self, deferrable: bool, strikes: Any, is_copy: bool) -> None:
        labels = [{"Key": TASK_LABEL, "Value": f"{self.number:032}"}] if is_copy else []
        before = self.service.performed["DeleteInstance"]
        done = self.fulfil(
            "CreateInstance", DswCreateInstanceOperator, deferrable, strikes, body={**BODY, "Labels": labels}
        )
        assert done - (self.service.performed["DeleteInstance"] - before) == 1
        self.note_new(self.number)

    def note_new(self, wish: int) -> None:
        """Note the one instance that nobody knew of before."""
        (new,) = {name for name, status in self.service.statuses().items() if status and "/" not in name} - {
            *self.living
        }
        self.made[wish], self.living[new] = new, "Running"

    @precondition(lambda self: self.made)
    @rule(which=st.integers(0), deferrable=st.booleans(), strikes=STRIKES)
    def clear(self, which: int, deferrable: bool, strikes: Any) -> None:
        """Run a task again, whatever has become of its instance."""
        wish = [*self.made][which % len(self.made)]
        made = self.made[wish]
        done = self.fulfil("CreateInstance", DswCreateInstanceOperator, deferrable, strikes, wish, body=BODY)
        if made in self.living:
            assert done == 0
            self.living[made] = "Running"
        else:
            self.note_new(wish)

    @precondition(lambda self: self.living)
    @rule(which=st.integers(0), status=st.sampled_from(("Stopped", "Failed")))
    def it_ends(self, which: int, status: str) -> None:
        name = [*self.living][which % len(self.living)]
        self.service.set_instance(name, status)
        self.living[name] = status

    @rule(deferrable=st.booleans(), strikes=STRIKES)
    def fail(self, deferrable: bool, strikes: Any) -> None:
        """Create what never runs, until the last try has failed."""
        self.number += 1
        usual = self.service.start_timeline
        self.service.start_timeline = [("Creating", 6), ("Failed", None)]
        for strike in [*strikes, None]:
            self.meet(strike)
            with pytest.raises(DswError) as raised:
                self.run_try(DswCreateInstanceOperator, deferrable, self.number, len(strikes), body=BODY)
        assert isinstance(raised.value, DswOperationFailedError)
        self.let_time_pass()
        self.service.start_timeline = usual

    @precondition(lambda self: self.made)
    @rule(which=st.integers(0), deferrable=st.booleans(), strikes=STRIKES)
    def delete(self, which: int, deferrable: bool, strikes: Any) -> None:
        """One that is there, or is gone already."""
        made = [*self.made.values()][which % len(self.made)]
        done = self.fulfil("DeleteInstance", DswDeleteInstanceOperator, deferrable, strikes, instance_id=made)
        assert done == (made in self.living)
        self.living.pop(made, None)


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    server = Server()
    with server:
        yield Bed(monkeypatch, server)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [Wishes, Lives])
def test_no_wish_has_two_effects(machine: type[Tries], bed: Bed) -> None:
    run_state_machine_as_test(
        type("OfBed", (machine,), {"bed": bed}),
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
