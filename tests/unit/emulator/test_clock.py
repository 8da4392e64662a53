"""The emulator's time: the test's own, or the machine's, and what the service writes."""

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_dsw.emulator import Clock, DswEmulator, ManualClock
from tests.support.emulator import Caller, refused


def written(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def test_a_manual_clock_moves_when_it_is_told_to(emulator, caller, clock):
    emulator.add_instance("dsw-abc", timeline=[("Creating", 10), ("Starting", 10), ("Running", None)])

    seen = [caller.status()]
    clock.advance(9.9)
    seen.append(caller.status())
    clock.advance(0.2)
    seen.append(caller.status())
    clock.advance(3600)
    seen.append(caller.status())

    assert seen == ["Creating", "Creating", "Starting", "Running"]


def test_a_manual_clock_does_not_go_back():
    with pytest.raises(ValueError, match="back"):
        ManualClock().advance(-1)


@pytest.mark.parametrize("offset", [-3, 0, 120])
def test_the_service_s_clock_may_be_behind_or_ahead(offset):
    with DswEmulator(clock=Clock(offset)) as emulator:
        emulator.add_instance("dsw-abc", "Stopped")
        caller = Caller(emulator)
        before = datetime.now(UTC).replace(microsecond=0)
        caller.start()

        shown = written(caller.get()["GmtModifiedTime"]) - timedelta(seconds=offset)

        assert before <= shown <= datetime.now(UTC)


def test_a_clock_that_is_too_far_off_refuses_signatures():
    with DswEmulator(clock=Clock(16 * 60)) as emulator:
        emulator.add_instance("dsw-abc")

        with refused(400, "InvalidTimeStamp.Expired"):
            Caller(emulator).get()
