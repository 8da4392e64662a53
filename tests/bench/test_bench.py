"""A small benchmark, so that a change that costs much is seen at once."""

from __future__ import annotations

import pytest

from tests.bench.measure import Plan, deferred, minimal, provider
from tests.bench.server import serving
from tests.bench.tasks import REPOSITORY, costs

pytestmark = pytest.mark.slow
PLAN = Plan(interval=5, seconds=10)
# What a busy machine does to one measurement it does not do to each.
MEASUREMENTS = 4


def test_a_hundred_waits_cost_little_more_than_asking() -> None:
    def holds() -> bool:
        limit = deferred(minimal, 100, 100, server, PLAN)
        cost = deferred(provider, 100, 100, server, PLAN)
        print(limit, cost, sep="\n")
        assert cost.stall is not None
        assert cost.delay is not None
        return (
            cost.cpu < 3 * limit.cpu
            and cost.failed == 0
            and cost.stall < 0.2  # where Airflow begins to warn
            and cost.delay < PLAN.interval
        )

    with serving() as server:
        assert any(holds() for _ in range(MEASUREMENTS))


def test_a_hundred_waits_on_one_instance_make_the_polls_of_one() -> None:
    with serving() as server:
        cost = deferred(provider, 100, 1, server, PLAN)

    assert cost.failed == 0
    # Busy as the machine is, there are fewer, and no more; one more may fall into the time in which they are counted.
    assert cost.polls <= (PLAN.seconds / (0.9 * PLAN.interval) + 1) * 60 / PLAN.seconds, cost


def test_a_task_pays_a_fraction_of_the_sdk_s_own_call() -> None:
    by_threads, *others = "a call, from 8 threads", "first GetInstance", "a reschedule poke", "first poll, deferrable"

    def holds() -> bool:
        found = dict(costs(server, 1, [REPOSITORY], (by_threads, *others)))
        print(found)
        sdk, ours = found[by_threads]
        assert ours.rate is not None
        assert sdk.rate is not None
        faster = ours.rate > sdk.rate
        for name in others:
            sdk, ours = found[name]
            assert ours.memory is not None
            assert sdk.memory is not None
            faster &= ours.cpu < 0.5 * sdk.cpu and ours.memory < 0.5 * sdk.memory
        return faster

    with serving() as server:
        server.prepare(1)
        assert any(holds() for _ in range(MEASUREMENTS))
