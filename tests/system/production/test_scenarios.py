"""The scenarios of the table, at a small size: nothing is lost, wrong, twice or unasked for."""

from __future__ import annotations

import pytest

from tests.system.production.conftest import WAVES, KilledWorker
from tests.system.production.fleet import Faults, Fleet
from tests.system.production.scenarios import SCENARIOS

pytestmark = [pytest.mark.slow, pytest.mark.production]


# The kill of a triggerer and an outage have tests of their own.
def test_every_wait_ends_right_once_and_every_change_is_one_event_though_the_worker_is_killed(
    killed_worker: KilledWorker,
) -> None:
    assert killed_worker.fleet.faults == Faults(), killed_worker.fleet.notes


def test_every_wait_ends_right_once_and_every_change_is_one_event_though_the_database_stands_still(
    fleet: Fleet,
) -> None:
    outcome = SCENARIOS["database-suspended"].play(fleet, WAVES, ending=1)
    assert outcome.faults == Faults(), outcome.notes


def test_all_end_right_also_if_the_database_is_restarted_meanwhile(fleet: Fleet) -> None:
    outcome = SCENARIOS["database-restarted"].play(fleet, WAVES, ending=WAVES)
    assert outcome.faults == Faults(), outcome.notes
