"""A deferred operator that is resumed by a worker whose clock differs from the triggerer's."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswOperationFailedError, DswTimeoutError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import DswStartInstanceOperator
from airflow_provider_dsw.polling import next_interval
from tests.support.clock import wrong_clock
from tests.support.task_runs import run

ID = "dsw-abc"


def start(**arguments: Any) -> DswStartInstanceOperator:
    given = {"task_id": "t", "instance_id": ID, "poke_interval": 0.01, "timeout": 60, "deferrable": True}
    return DswStartInstanceOperator(**{**given, **arguments})


@pytest.fixture(params=[-3600.0, 30.0], ids=["behind", "ahead"])
def clock_error(request: pytest.FixtureRequest) -> Any:
    return partial(wrong_clock, request.param)


def test_a_timeout_is_one_on_whichever_worker_it_is_told(dsw_default: DswEmulator, clock_error: Any) -> None:
    """A wait that went on would look afresh, without the state from before the request."""
    dsw_default.add_instance(ID, "Stopped")
    resumptions = iter(range(10))

    def resumed_in() -> Any:
        if next(resumptions):
            dsw_default.set_instance(ID, "Running")
        return clock_error()

    with pytest.raises(DswTimeoutError):
        run(start(timeout=0.1), resumed_in=resumed_in)
    assert len(dsw_default.calls("StartInstance")) == 1


def test_a_status_that_stays_is_given_up_on_whichever_worker_that_is_told(
    dsw_default: DswEmulator, clock_error: Any
) -> None:
    dsw_default.add_instance(ID, "Saved")

    with pytest.raises(DswOperationFailedError, match="is Saved and cannot be started"):
        run(start(), resumed_in=clock_error)
    assert [request.status for request in dsw_default.calls("StartInstance")] == [400]


def test_a_timeout_is_one_while_the_end_of_a_status_is_waited_for(dsw_default: DswEmulator, clock_error: Any) -> None:
    dsw_default.add_instance(ID, "Saved")

    with pytest.raises(DswTimeoutError):
        run(start(poke_interval=0.05, timeout=0.2), resumed_in=clock_error)
    assert dsw_default.calls("StartInstance") == []


def test_the_shutdown_timer_is_never_set_to_more_than_stop_after(
    dsw_default: DswEmulator, clock_error: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    dsw_default.timer_needs = "running"
    dsw_default.add_instance(ID, "Stopped")
    dsw_default.start_timeline = [("Starting", 0.2), "Running"]

    run(start(stop_after=1000), resumed_in=clock_error)

    timer = DswHook().get_instance(ID)["InstanceShutdownTimer"]
    assert 900 < timer["RemainingTimeInMs"] / 1000 <= 1000
    assert "Waited -" not in capsys.readouterr().out


def test_a_backoff_that_began_by_a_clock_ahead_of_this_one_pauses_all_the_same() -> None:
    assert next_interval(10, elapsed=-3600, exponential_backoff=True) >= 9
