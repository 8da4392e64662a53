"""The operations on shutdown timers and idle cullers. The caller holds the backend's lock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_dsw.emulator.backend import Backend
from airflow_provider_dsw.emulator.calls import OperationCall, envelope, find, json_body, require_status
from airflow_provider_dsw.emulator.errors import invalid, not_found
from airflow_provider_dsw.emulator.timers import IdleCuller, ShutdownTimer


def create_shutdown_timer(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    body = json_body(call)
    now = backend.clock.now()
    remaining, due_time = body.get("RemainingTimeInMs"), body.get("DueTime")
    if remaining is not None:
        due = now + _positive(remaining, "RemainingTimeInMs") / 1000 / backend.speed
    elif due_time is not None:
        due = now + (_time(due_time) - backend.clock.utc()).total_seconds()
    else:
        raise invalid("DueTime or RemainingTimeInMs is required.")
    if due <= now:
        raise invalid("DueTime is over.")
    try:
        backend.clock.stamp(due)
    except (OverflowError, ValueError, OSError):
        raise invalid("DueTime is after the year 9999.") from None
    if instance.option("timer_needs") == "running":
        require_status(instance, {"Running"}, "given a shutdown timer")
    if instance.timer is not None and instance.option("second_timer") == "refused":
        raise invalid(f"The instance {instance.instance_id} has a shutdown timer already.")
    instance.fall_behind(instance.option("stale_reads"))
    backend._set_timer(instance, ShutdownTimer(now, due, backend.speed))
    return {**envelope(call), "InstanceId": instance.instance_id}


def get_shutdown_timer(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    if instance.timer is None:
        raise not_found("shutdown timer of", instance.instance_id)
    return {**envelope(call), **instance.timer.shown(instance.instance_id, backend.clock)}


def delete_shutdown_timer(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    if instance.timer is None:
        raise not_found("shutdown timer of", instance.instance_id)
    instance.fall_behind(instance.option("stale_reads"))
    backend._set_timer(instance, None)
    return {**envelope(call), "InstanceId": instance.instance_id}


def create_idle_culler(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    body = json_body(call)
    percents = [body.get(name) for name in ("CpuPercentThreshold", "GpuPercentThreshold")]
    for percent in percents:
        if percent is not None and _positive(percent, "A threshold") > 100:
            raise invalid("A threshold is a percentage, from 1 to 100.")
    minutes = _positive(body.get("MaxIdleTimeInMinutes"), "MaxIdleTimeInMinutes")
    instance.fall_behind(instance.option("stale_reads"))
    backend._set_culler(instance, IdleCuller(backend.clock.now(), backend.speed, minutes, *percents))
    return {**envelope(call), "InstanceId": instance.instance_id}


def get_idle_culler(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    if instance.culler is None:
        raise not_found("idle culler of", instance.instance_id)
    idle_since = instance.idle_since(backend.clock.now())
    return {**envelope(call), **instance.culler.shown(instance.instance_id, backend.clock, idle_since)}


def delete_idle_culler(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    if instance.culler is None:
        raise not_found("idle culler of", instance.instance_id)
    instance.fall_behind(instance.option("stale_reads"))
    backend._set_culler(instance, None)
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
