"""One table of meanings for the sensor, in every mode, against the emulator with the real SDK."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import UTC, datetime, timedelta
from logging import INFO, WARNING
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswTransientError, DswWaitArgumentError, DswWaitFailedError
from airflow_provider_dsw.hooks import shared
from airflow_provider_dsw.polling import PollLog
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.base import Poll
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger, DswInstanceTrigger
from airflow_provider_dsw.version_compat import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import StatusCondition, Wait
from tests.support.modes import ID, defer
from tests.unit.sensors.conftest import Run


def test_running_ends_the_wait_with_the_default_details(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, per_poll=["Creating", "Starting", "A status of tomorrow", "Running"])
    details = run()
    assert details["InstanceId"] == ID
    assert details["Status"] == "Running"
    assert details["JupyterlabUrl"].startswith("https://")
    assert "EnvironmentVariables" not in details
    assert len(emulator.calls("GetInstance")) == 4


def test_the_log_has_a_line_for_each_change_and_one_at_the_end(
    run: Run, emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.add_instance(ID, per_poll=["Creating", "Starting", "Starting", "Starting", "Failed"])
    with pytest.raises(DswWaitFailedError):
        run()
    log = "".join(capsys.readouterr())
    assert re.findall(rf"Waiting for DSW instance {ID} to be \w+: (\w+)", log) == ["Creating", "Starting"]
    # A deferred wait with so short an interval looks as if its triggerer had started again.
    assert len(re.findall(r"Waited 0:00:0\d and (?:at least )?5 polls for DSW instance", log)) == 1
    assert log.count("to be Running, without success.") == 1


def test_the_last_line_of_a_wait_that_has_succeeded_says_no_more_than_how_long_it_took(
    run: Run, emulator: DswEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.add_instance(ID, per_poll=["Starting", "Running"])
    run()
    assert re.search(
        rf"Waited \S+ and (?:at least )?2 polls for DSW instance {ID} to be Running\.", capsys.readouterr().out
    )


@pytest.mark.parametrize("status", ["Failed", "Deleting", "ArrearStopping", "Arrearge"])
def test_a_failure_status_fails_the_wait_at_once_and_says_why(run: Run, emulator: DswEmulator, status: str) -> None:
    failed = {"ReasonCode": "InternalError", "ReasonMessage": "ImagePullBackOff"}
    emulator.add_instance(ID, per_poll=["Starting", (status, failed)])
    with pytest.raises(DswWaitFailedError) as raised:
        run()
    for word in (ID, status, "InternalError", "ImagePullBackOff", "RequestId"):
        assert word in str(raised.value)
    assert raised.value.request_id


def test_stopped_is_no_failure_of_running(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, per_poll=["Stopped", "Stopped", "Starting", "Running"])
    assert run()["Status"] == "Running"


def test_an_old_snapshot_is_not_taken_for_the_new_one(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, status="Running")
    created = datetime.now(UTC).replace(microsecond=0)
    emulator.add_snapshot(
        ID,
        image_url="registry.example.com/team/model:2",
        created=created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        per_poll=["Committing", "Pushing", "Saved"],
    )
    snapshot = run(snapshot_created_after=created - timedelta(hours=1))
    assert snapshot["ImageUrl"] == "registry.example.com/team/model:2"
    assert (snapshot["Status"], snapshot["InstanceId"]) == ("Saved", ID)


def test_a_failed_push_fails_the_wait(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, status="Running")
    snapshot_id = emulator.add_snapshot(ID, status="Failed", reason_code="PushFailed")
    with pytest.raises(DswWaitFailedError, match=r"^The snapshot of DSW .* is Failed \(ReasonCode: PushFailed"):
        run(snapshot_id=snapshot_id)


def test_a_snapshot_is_waited_for_by_its_id(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, status="Running")
    snapshot_id = emulator.add_snapshot(ID, per_poll=["Pushing", "Saved"])
    assert run(snapshot_id=snapshot_id)["SnapshotId"] == snapshot_id


def test_an_instance_that_is_gone_fails_the_wait(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, status="Starting")
    with pytest.raises(DswWaitFailedError, match="knows no such instance"):
        run(instance_id="dsw-other")


def test_a_transient_error_fails_only_the_first_poll(run: Run, emulator: DswEmulator) -> None:
    emulator.add_instance(ID, per_poll=["Starting", "Running"])
    emulator.fault(times=4, status=503, code="ServiceUnavailable")
    with pytest.raises(DswTransientError) as raised:
        run()
    assert not isinstance(raised.value, DswWaitFailedError)
    assert len(emulator.requests) == 4


def test_a_later_transient_error_does_not_end_the_wait(
    run: Run, emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_instance(ID, per_poll=["Starting", "Starting", "Running"])
    answered = iter(range(1000))

    def fault_after_first(request: Any) -> None:
        if next(answered) == 0:
            emulator.fault(times=4, status=503, code="ServiceUnavailable")

    emulator.on_request = fault_after_first
    assert run()["Status"] == "Running"


@pytest.mark.parametrize(
    ("flags", "failed", "timed_out"),
    [
        ({}, DswWaitFailedError, AirflowSensorTimeout),
        ({"soft_fail": True}, AirflowSkipException, AirflowSkipException),
        ({"never_fail": True}, AirflowSkipException, AirflowSensorTimeout),
        ({"silent_fail": True}, DswWaitFailedError, AirflowSensorTimeout),
    ],
)
def test_soft_fail_never_fail_and_silent_fail_as_in_poke_mode(
    run: Run,
    emulator: DswEmulator,
    flags: dict[str, bool],
    failed: type[AirflowException],
    timed_out: type[AirflowException],
) -> None:
    emulator.add_instance(ID, per_poll=["Starting", "Failed"])
    with pytest.raises(failed):
        run(**flags)
    emulator.add_instance("dsw-slow", status="Starting")
    with pytest.raises(timed_out):
        run(instance_id="dsw-slow", timeout=0.3, **flags)


def test_execution_timeout_ends_a_deferred_wait(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, status="Starting")
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout"):
        defer(execution_timeout=timedelta(seconds=0.3))


def test_a_wait_that_is_over_never_defers(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, status="Running")
    sensor = DswInstanceSensor(task_id="wait", instance_id=ID, deferrable=True)
    assert sensor.execute({})["Status"] == "Running"
    assert len(dsw_default.requests) == 1


def test_a_template_that_renders_to_nothing_fails_before_any_request(emulator: DswEmulator) -> None:
    sensor = DswInstanceSensor(task_id="wait", instance_id="{{ params.id }}")
    sensor.instance_id = ""
    with pytest.raises(DswWaitArgumentError, match="instance_id"):
        sensor.execute({})
    assert emulator.requests == []


def test_a_trouble_is_one_line_in_the_log_until_it_is_another_or_over() -> None:
    wait, poll_log = Wait(StatusCondition(ID)), PollLog()
    down, throttled = DswTransientError("down", status_code=503), DswTransientError("slower", status_code=429)
    starting = PollResult({"InstanceId": ID, "Status": "Starting"})

    polls = (starting, down, down, throttled, throttled, starting, starting, down)
    lines = [poll_log.record(wait, found, tolerate_transient=True)[1] for found in polls]

    # A line at first, for each new error, and when the service answers again.
    levels = [line and line.level for line in lines]
    assert levels == [INFO, WARNING, None, WARNING, None, INFO, None, WARNING]
    assert all(str(found) in line.text for found, line in zip(polls, lines, strict=True) if line and found != starting)


def test_an_answer_without_a_status_is_no_line_in_the_log_between_two_that_have_one() -> None:
    wait, poll_log = Wait(StatusCondition(ID)), PollLog()
    starting, nothing, running = (
        PollResult({"InstanceId": ID, "Status": each}) for each in ("Starting", None, "Running")
    )

    lines = [
        poll_log.record(wait, found, tolerate_transient=True)[1]
        for found in (nothing, starting, nothing, starting, running)
    ]

    assert [line and line.text.rpartition(": ")[2] for line in lines] == [
        "no status",
        "Starting",
        None,
        None,
        "Running",
    ]


def test_whoever_takes_the_event_leaves_nothing_open(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, status="Running")
    errors: list[Any] = []

    async def wait() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, broken: errors.append(broken))
        # As dag.test() does: it looks at no second event, and ends the loop at once.
        return await anext(aiter(DswInstanceTrigger(instance_id=ID, has_polled=True, poke_interval=0.01).run()))

    assert asyncio.run(wait()).payload["outcome"] == "success"
    assert errors == []


def test_a_wait_that_joins_others_polls_lets_its_worker_leave_first() -> None:
    trigger = DswInstanceTrigger(instance_id=ID, has_polled=True, poke_interval=0.3, started_at=time.time())

    async def others_polls() -> Any:
        yield Poll(PollResult({"InstanceId": ID, "Status": "Running"}))

    async def wait() -> float:
        began = time.monotonic()
        event = await anext(aiter(trigger.filter_shared_stream(others_polls())))
        assert event.payload["outcome"] == "success"
        return time.monotonic() - began

    assert asyncio.run(wait()) > 0.25


def test_waits_in_one_loop_share_one_client(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, status="Running")

    async def two() -> bool:
        async with shared.shared_hook("dsw_default") as one, shared.shared_hook("dsw_default") as other:
            return one is other

    assert asyncio.run(two())


def test_the_event_trigger_fires_on_each_change_only(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, per_poll=["Running", "Running", "Stopping", "Stopped", "Starting", "Running"])
    trigger = DswInstanceEventTrigger(instance_id=ID, poke_interval=0.02)

    async def events() -> list[Any]:
        found: list[Any] = []

        async def collect() -> None:
            async for event in trigger.run():
                found.append(event.payload["Status"])  # noqa: PERF401

        task = asyncio.create_task(collect())
        deadline = time.monotonic() + 60
        while len(dsw_default.requests) < 9 and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        task.cancel()
        return found

    assert asyncio.run(events()) == ["Running"]


class Supervisor:
    """Keeps the state of assets, as Airflow 3.3 does behind the triggerer's supervisor."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Any] = {}

    async def asend(self, message: Any) -> Any:
        if hasattr(message, "value"):
            self.kept[message.name, message.key] = message.value
            return None
        from airflow.sdk.execution_time.comms import AssetStateStoreResult

        found = self.kept.get((message.name, message.key))
        return None if found is None else AssetStateStoreResult(value=found)


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_an_event_trigger_remembers_for_each_asset_that_it_watches_for(
    dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    contexts = pytest.importorskip("airflow.sdk.execution_time.context")
    if not hasattr(contexts, "AssetStateStoreAccessors"):
        pytest.skip("Airflow 3.3 keeps state for assets")
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", Supervisor(), raising=False)
    monkeypatch.setattr("airflow_provider_dsw.triggers.watcher.CLAIM_PAUSE", 0.01)
    dsw_default.add_instance(ID, "Starting")

    async def look(names: list[str], polls: int = 2) -> list[Any]:
        """What a triggerer's life of a few polls brings."""
        trigger = DswInstanceEventTrigger(instance_id=ID, poke_interval=0.01)
        trigger.asset_state_store = contexts.AssetStateStoreAccessors(inlets=[Asset(name) for name in names])
        before, found = len(dsw_default.requests), []

        async def collect() -> None:
            async for event in trigger.run():
                found.append(event.payload["Status"])  # noqa: PERF401

        task = asyncio.create_task(collect())
        while len(dsw_default.requests) <= before + polls:
            assert not task.done(), task.result()
            await asyncio.sleep(0.01)
        task.cancel()
        return found

    assert asyncio.run(look(names)) == []
    dsw_default.set_instance(ID, "Running")
    assert asyncio.run(look(names)) == ["Running"]
    assert asyncio.run(look(names)) == []
    # An asset whose watcher was taken away while something happened is no witness of it.
    dsw_default.set_instance(ID, "Stopped")
    asyncio.run(look(names[:1]))
    dsw_default.set_instance(ID, "Running")
    assert asyncio.run(look(names[:1])) == ["Running"]
    assert asyncio.run(look(names)) == []


@pytest.mark.parametrize("arguments", [{"target_status": ["Running", "Stopped"]}, {"wait_for_snapshot": True}])
def test_an_event_trigger_survives_its_way_through_the_database(arguments: dict[str, Any]) -> None:
    trigger = DswInstanceEventTrigger(instance_id=ID, **arguments)
    kwargs = json.loads(json.dumps(trigger.serialize()[1]))
    again = DswInstanceEventTrigger(**kwargs)
    assert again.serialize() == trigger.serialize()
    assert again.condition() == trigger.condition()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"instance_id": ""}, "instance_id"),
        ({"instance_id": None}, "instance_id"),
        ({"instance_id": "a/../b"}, "instance_id"),
        ({"target_status": "running"}, "Did you mean 'Running'"),
        ({"target_status": []}, "empty"),
        ({"failure_statuses": ["Faild"]}, "Did you mean 'Failed'"),
        ({"target_status": "Running", "wait_for_snapshot": True}, "target_status"),
        ({"snapshot_created_after": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001
        ({"snapshot_created_after": "yesterday"}, "ISO 8601"),
        ({"snapshot_id": "snp 1"}, "snapshot_id"),
    ],
)
def test_bad_input_is_refused_where_the_dag_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DswInstanceSensor(**{"task_id": "wait", "instance_id": ID, **arguments})


def test_a_reschedule_interval_that_airflow_cannot_keep_gets_a_warning() -> None:
    with pytest.warns(UserWarning, match="deferrable=True"):
        DswInstanceSensor(task_id="wait", instance_id=ID, mode="reschedule", poke_interval=5)
