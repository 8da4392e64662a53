"""The scenarios of the table, at a small size: nothing is lost, wrong, twice or unasked for."""

from __future__ import annotations

import pytest

from tests.system.production.fleet import Faults, Fleet
from tests.system.production.scenarios import SCENARIOS, Scenario, kill_worker_and_suspend_triggerer

pytestmark = [pytest.mark.slow, pytest.mark.production]

WAVES = 2
# The kill of a triggerer and an outage have tests of their own.
CASES = {
    "worker-killed": Scenario("kill -9 of the worker, SIGSTOP of a triggerer", kill_worker_and_suspend_triggerer),
    "database-suspended": SCENARIOS["database-suspended"],
}


@pytest.mark.parametrize("scenario", CASES.values(), ids=CASES)
def test_every_wait_ends_right_once_and_every_change_is_one_event(fleet: Fleet, scenario: Scenario) -> None:
    outcome = scenario.play(fleet, WAVES, ending=1)
    assert outcome.faults == Faults(), outcome.notes


def test_all_end_right_also_if_the_database_is_restarted_meanwhile(fleet: Fleet) -> None:
    outcome = SCENARIOS["database-restarted"].play(fleet, WAVES, ending=WAVES)
    assert outcome.faults == Faults(), outcome.notes
