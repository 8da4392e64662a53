"""A pipeline on an instance that lives as long as the work: whatever happens, it is one, and nothing is left of it."""

from __future__ import annotations

import pytest

from tests.system.production.conftest import WAYS, KilledWorker
from tests.system.production.pipelines import KILLED, NO_STOCK

pytestmark = [pytest.mark.slow, pytest.mark.production]


@pytest.mark.parametrize("step", KILLED)
def test_a_pipeline_whose_worker_is_killed_in_a_step_ends_green_on_the_same_instance(
    killed_worker: KilledWorker, step: str
) -> None:
    pipeline = killed_worker.killed[step]

    assert KILLED[step].faults(pipeline) == [], pipeline.run.logs()
    (task,) = pipeline.run.tasks(step)
    assert task["try_number"] > 1


@pytest.mark.parametrize("way", WAYS)
def test_what_is_cleared_or_fails_is_mended_by_a_retry_or_ends_the_run_without_its_instance_and_says_why(
    killed_worker: KilledWorker, way: str
) -> None:
    assert killed_worker.faults[way].result() == [], killed_worker.later[way].run.logs()


def test_a_creation_asks_again_until_there_is_stock_and_says_each_time_that_there_is_none(
    killed_worker: KilledWorker,
) -> None:
    pipeline = killed_worker.later["no-stock"]
    pipeline.end()

    assert pipeline.logs("create").count("OperationDenied.NoStock") >= 3
    refused = [call.code for call in pipeline.bed.emulator.calls("CreateInstance") if call.code]
    assert refused == ["OperationDenied.NoStock"] * 3
    assert NO_STOCK in pipeline.run.log("create")
