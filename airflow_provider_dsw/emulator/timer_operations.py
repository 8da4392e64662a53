"""What the operations on shutdown timers and idle cullers do and answer. The caller holds the world's lock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_dsw.emulator.calls import Call, envelope, find, json_body, need_status
from airflow_provider_dsw.emulator.errors import invalid, not_found
from airflow_provider_dsw.emulator.timers import IdleCuller, ShutdownTimer
from airflow_provider_dsw.emulator.world import World


def create_shutdown_timer(world: World, call: Call) -> dict[str, Any]:
    instance = find(world, call)
    body = json_body(call)
    now = world.clock.now()
    remaining, due_time = body.get("RemainingTimeInMs"), body.get("DueTime")
    if remaining is not None:
        due = now + _positive(remaining, "RemainingTimeInMs") / 1000 / world.speed
    elif due_time is not None:
        due = now + (_time(due_time) - world.clock.utc()).total_seconds()
    else:
        raise invalid("DueTime or RemainingTimeInMs is required.")
    if due <= now:
        raise invalid("DueTime is over.")
    if instance.option("timer_needs") == "running":
        need_status(instance, {"Running"}, "given a shutdown timer")
    if instance.timer is not None and instance.option("second_timer") == "refused":
        raise invalid(f"The instance {instance.instance_id} has a shutdown timer already.")
    world._time(instance, ShutdownTimer(now, due, world.speed))
    return {**envelope(call), "InstanceId": instance.instance_id}


def get_shutdown_timer(world: World, call: Call) -> dict[str, Any]:
    instance = find(world, call)
    if instance.timer is None:
        raise not_found("shutdown timer of", instance.instance_id)
    return {**envelope(call), **instance.timer.shown(instance.instance_id, world.clock)}


def delete_shutdown_timer(world: World, call: Call) -> dict[str, Any]:
    instance = find(world, call)
    if instance.timer is None:
        raise not_found("shutdown timer of", instance.instance_id)
    world._time(instance, None)
    return {**envelope(call), "InstanceId": instance.instance_id}


def create_idle_culler(world: World, call: Call) -> dict[str, Any]:
    instance = find(world, call)
    body = json_body(call)
    percents = [body.get(name) for name in ("CpuPercentThreshold", "GpuPercentThreshold")]
    for percent in percents:
        if percent is not None and _positive(percent, "A threshold") > 100:
            raise invalid("A threshold is a percentage, from 1 to 100.")
    minutes = _positive(body.get("MaxIdleTimeInMinutes"), "MaxIdleTimeInMinutes")
    world._cull(instance, IdleCuller(world.clock.now(), world.speed, minutes, *percents))
    return {**envelope(call), "InstanceId": instance.instance_id}


def get_idle_culler(world: World, call: Call) -> dict[str, Any]:
    instance = find(world, call)
    if instance.culler is None:
        raise not_found("idle culler of", instance.instance_id)
    idle_since = instance.idle_since(world.clock.now())
    return {**envelope(call), **instance.culler.shown(instance.instance_id, world.clock, idle_since)}


def delete_idle_culler(world: World, call: Call) -> dict[str, Any]:
    instance = find(world, call)
    if instance.culler is None:
        raise not_found("idle culler of", instance.instance_id)
    world._cull(instance, None)
    return {**envelope(call), "InstanceId": instance.instance_id}


def _positive(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**15:
        raise invalid(f"{name} is not a number above 0.")
    return value


def _time(value: Any) -> datetime:
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (TypeError, ValueError):
        raise invalid("DueTime is not a time like 2021-01-12T14:36:01Z.") from None
