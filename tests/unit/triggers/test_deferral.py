"""What a deferred wait carries to the triggerer and back: deadlines, what is waited for, and where it starts."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.operators.dsw import DswGetInstanceOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from airflow_provider_dsw.version_compat import (
    STARTS_FROM_TRIGGER,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from tests.support.clock import Clock

ID = "dsw-abc"


def restarted(trigger: DswInstanceTrigger) -> DswInstanceTrigger:
    """The trigger as another triggerer makes it from the database."""
    return DswInstanceTrigger(**json.loads(json.dumps(trigger.serialize()[1])))


async def events_of(trigger: DswInstanceTrigger) -> list[Any]:
    return [event.payload async for event in trigger.run()]


def test_the_timeouts_count_from_the_first_poll_and_from_the_start_of_the_task(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, "Starting")
    started = datetime.now(UTC) - timedelta(seconds=40)
    sensor = DswInstanceSensor(
        task_id="wait", instance_id=ID, deferrable=True, timeout=300, execution_timeout=timedelta(seconds=100)
    )
    before = time.time()

    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({"ti": SimpleNamespace(start_date=started)})  # type: ignore[typeddict-item]

    trigger: Any = deferred.value.trigger
    assert before <= trigger.started_at <= time.time()
    assert trigger.timeout == 300
    assert trigger.started_at + trigger.execution_timeout == pytest.approx(started.timestamp() + 100)
    # For a triggerer that is down: no earlier than the trigger's own deadline.
    assert deferred.value.timeout is not None
    assert deferred.value.timeout >= timedelta(seconds=100)


@pytest.mark.parametrize("passed", [-1.0, 1.0], ids=["while the triggerer was down", "after it started again"])
def test_a_deadline_is_the_same_after_a_restart(dsw_default: DswEmulator, clock: Clock, passed: float) -> None:
    dsw_default.add_instance(ID, "Starting")
    now = clock.now
    trigger = restarted(
        DswInstanceTrigger(
            instance_id=ID,
            poke_interval=0.1,
            has_polled=True,
            started_at=now - 60,
            timeout=60 + passed,
            last_status="Starting",
        )
    )

    (event,) = asyncio.run(events_of(trigger))

    assert (event["outcome"], event["last_status"]) == ("timeout", "Starting")
    assert clock.now - now == pytest.approx(max(passed, 0), abs=0.2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"target_status": ["Stopped", "Saved"], "failure_statuses": ["Failed"]},
        {"snapshot_id": "snp-1"},
        {"snapshot_image": "model:1", "snapshot_created_after": datetime(2026, 1, 31, 12, 30, 1, tzinfo=UTC)},
        {"wait_for_snapshot": True, "region": "cn-beijing", "dsw_conn_id": "other"},
    ],
)
def test_what_is_waited_for_is_the_same_after_a_restart(arguments: dict[str, Any]) -> None:
    trigger = DswInstanceTrigger(instance_id=ID, **arguments)

    assert restarted(trigger).wait() == trigger.wait()
    assert restarted(trigger).serialize() == trigger.serialize()


def test_a_wait_fires_once_whatever_is_found_after_that(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, per_poll=["Starting", "Running", "Stopped", "Running"])

    (event,) = asyncio.run(events_of(DswInstanceTrigger(instance_id=ID, poke_interval=0.01)))

    assert (event["outcome"], event["polls"]) == ("success", 2)
    assert len(dsw_default.requests) == 2


def test_an_event_holds_no_more_than_the_task_reads(dsw_default: DswEmulator) -> None:
    """Airflow writes it to the task's log in one line."""
    dsw_default.add_instance(ID, per_poll=["Starting", "Running", "Starting", "Running"])
    arguments: dict[str, Any] = {"instance_id": ID, "poke_interval": 0.01, "has_polled": True}
    arguments["started_at"] = time.time() + 60

    (event,) = asyncio.run(events_of(DswInstanceTrigger(**arguments)))
    (after_links,) = asyncio.run(events_of(DswInstanceTrigger(**arguments, links=event["links"])))

    assert set(event) == {"outcome", "result", "began", "polls", "links"}
    assert set(after_links) == {"outcome", "result", "began", "polls"}


@pytest.mark.parametrize(
    ("arguments", "raised"),
    [
        ({"timeout": 60}, AirflowSensorTimeout),
        ({"timeout": 60, "soft_fail": True}, AirflowSkipException),
        ({"timeout": 60, "never_fail": True}, AirflowSensorTimeout),
        ({"execution_timeout": timedelta(seconds=60)}, AirflowTaskTimeout),
        ({"execution_timeout": timedelta(seconds=60), "soft_fail": True}, AirflowTaskTimeout),
    ],
)
def test_where_the_triggerer_is_silent_airflow_s_own_timeout_ends_the_wait_the_same(
    arguments: dict[str, Any], raised: type[BaseException]
) -> None:
    sensor = DswInstanceSensor(task_id="wait", instance_id=ID, deferrable=True, **arguments)

    with pytest.raises(raised):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, {})


def sensor_from_trigger(**arguments: Any) -> DswInstanceSensor:
    return DswInstanceSensor(**{"task_id": "wait", "instance_id": ID, "start_from_trigger": True, **arguments})


@pytest.mark.skipif(not STARTS_FROM_TRIGGER, reason="Airflow 3.3 starts tasks in the triggerer")
@pytest.mark.parametrize("arguments", [{}, {"instance_id": "{{ params.id }}", "snapshot_image": "a/{{params.tag}}:1"}])
def test_what_the_triggerer_can_render_starts_there(arguments: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sensor = sensor_from_trigger(**arguments)

    assert sensor.start_from_trigger is True
    assert sensor.start_trigger_args is not None
    kwargs = sensor.start_trigger_args.trigger_kwargs
    assert kwargs is not None
    assert json.loads(json.dumps(kwargs))["instance_id"] == sensor.instance_id


def output_of_a_task() -> Any:
    return DswGetInstanceOperator(task_id="describe", instance_id=ID).output


@pytest.mark.parametrize(
    "value",
    [
        "{{ ti.xcom_pull('create') }}",
        "{{ params.id }}-{{ ds }}",
        "{% if params.id %}dsw-1{% endif %}",
        output_of_a_task,
    ],
)
def test_what_only_a_worker_can_render_is_deferred_by_one(value: Any) -> None:
    with DAG("dag", schedule=None), pytest.warns(UserWarning, match="the task defers itself"):
        sensor = sensor_from_trigger(instance_id=value() if callable(value) else value)

    assert not sensor.start_from_trigger
    assert sensor.deferrable


@pytest.mark.parametrize("name", ["instance_id", "target_status", "snapshot_created_after", "dsw_conn_id", "region"])
def test_what_renders_natively_is_deferred_by_a_worker(name: str) -> None:
    """The triggerer would make a text of a list."""
    says = f"start_from_trigger has no effect, {name} can only be rendered by a worker"
    with DAG("dag", schedule=None, render_template_as_native_obj=True), pytest.warns(UserWarning, match=says):
        sensor = sensor_from_trigger(**{name: "{{ params.x }}"})

    assert not sensor.start_from_trigger
    assert sensor.deferrable


def test_a_rendered_list_of_statuses_is_waited_for(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, status="Stopped")
    with DAG("dag", schedule=None, render_template_as_native_obj=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sensor = sensor_from_trigger(target_status="{{ params.statuses }}")
    sensor.render_template_fields({"params": {"statuses": ["Running", "Stopped"]}})

    assert sensor.execute({})["Status"] == "Stopped"


@pytest.mark.skipif(not STARTS_FROM_TRIGGER, reason="Airflow 3.3 starts tasks in the triggerer")
def test_what_is_no_template_starts_there_even_if_the_dag_renders_natively() -> None:
    with DAG("dag", schedule=None, render_template_as_native_obj=True):
        assert sensor_from_trigger(target_status=["Running", "Stopped"]).start_from_trigger is True


@pytest.mark.skipif(STARTS_FROM_TRIGGER, reason="Airflow 3.3 can do it")
def test_an_airflow_that_can_t_start_tasks_in_the_triggerer_defers_them() -> None:
    with pytest.warns(UserWarning, match="needs Airflow 3.3"):
        sensor = sensor_from_trigger()

    assert not getattr(sensor, "start_from_trigger", False)
    assert sensor.deferrable
