"""A small benchmark, so that a change that costs much is seen at once."""

from __future__ import annotations

import pytest

from tests.bench.measure import Plan, deferred, minimal, provider
from tests.bench.server import serving
from tests.bench.tasks import REPOSITORY, costs

pytestmark = pytest.mark.slow
PLAN = Plan(interval=5, seconds=15)


def test_a_hundred_waits_cost_little_more_than_asking() -> None:
    with serving() as server:
        limit = deferred(minimal, 100, 100, server, PLAN)
        cost = deferred(provider, 100, 100, server, PLAN)
        together = deferred(provider, 100, 1, server, PLAN)

    assert cost.cpu < 3 * limit.cpu, (cost, limit)
    assert (cost.failed, together.failed) == (0, 0)
    assert cost.stall is not None
    assert cost.stall < 0.2, cost  # where Airflow begins to warn
    assert cost.delay is not None
    assert cost.delay < PLAN.interval, cost
    assert together.polls < 2 * 60 / PLAN.interval, together


def test_a_task_pays_a_fraction_of_the_sdk_s_own_call() -> None:
    with serving() as server:
        server.prepare(1)
        found = dict(costs(server, 1, [REPOSITORY]))

    for name in ("first GetInstance", "a reschedule poke", "first poll, deferrable"):
        sdk, ours = found[name]
        assert ours.cpu < 0.5 * sdk.cpu, (name, ours, sdk)
        assert ours.memory is not None
        assert sdk.memory is not None
        assert ours.memory < 0.5 * sdk.memory, (name, ours, sdk)
    sdk, ours = found["a call, from 8 threads"]
    assert ours.rate is not None
    assert sdk.rate is not None
    assert ours.rate > sdk.rate, (ours, sdk)
