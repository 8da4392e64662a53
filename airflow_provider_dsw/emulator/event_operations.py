"""The operations that show an instance's history. The caller holds the backend's lock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_dsw.emulator.backend import Backend
from airflow_provider_dsw.emulator.calls import OperationCall, envelope, find
from airflow_provider_dsw.emulator.clock import Clock
from airflow_provider_dsw.emulator.errors import invalid
from airflow_provider_dsw.emulator.history import LIMIT, Event, Phase
from airflow_provider_dsw.emulator.listing import positive_number


def get_instance_events(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    level = call.query.get("EventLevel", "").lower()
    instance.record(backend.clock.now())
    events = [
        event
        for event in instance.history.events
        if level in ("", event.level.lower()) and _is_within(event.time, backend.clock, call.query)
    ][-positive_number(call.query, "MaxEventsNum", LIMIT) :]
    if instance.option("events_order") == "newest first":
        events.reverse()
    lines = [event_line(event, backend.clock, with_time=instance.option("events_with_times")) for event in events]
    return {**envelope(call), "HttpStatusCode": 200, "InstanceId": instance.instance_id, "Events": lines}


def event_line(event: Event, clock: Clock, *, with_time: bool) -> str:
    return f"{clock.stamp(event.time)} {event.level}: {event.text}" if with_time else event.text


def get_lifecycle(backend: Backend, call: OperationCall) -> dict[str, Any]:
    """Return the sessions, and the statuses within each, in the given Order; SessionNumber 1 is the first in it."""
    instance = find(backend, call)
    order = call.query.get("Order", "").upper() or "ASC"
    if order not in ("ASC", "DESC"):
        raise invalid("Order is neither ASC nor DESC.")
    instance.record(backend.clock.now())
    kept = [
        [phase for phase in session if _is_within(phase.began, backend.clock, call.query)]
        for session in instance.history.sessions()
    ]
    sessions = [session for session in kept if session]
    total = len(sessions)
    if order == "DESC":
        sessions = [session[::-1] for session in reversed(sessions)]
    first = positive_number(call.query, "SessionNumber", 1) - 1
    last = first + positive_number(call.query, "Limit", LIMIT)
    shown = [[_shown(phase, backend.clock) for phase in session] for session in sessions[first:last]]
    return {**envelope(call), "TotalCount": total, "Lifecycle": shown}


def _shown(phase: Phase, clock: Clock) -> dict[str, Any]:
    return {
        "LifecycleId": str(phase.number),
        "Status": phase.status,
        "ReasonCode": phase.reason_code,
        "ReasonMessage": phase.reason_message,
        "GmtCreateTime": clock.stamp(phase.began),
        "GmtEndTime": "" if phase.ended is None else clock.stamp(phase.ended),
    }


def _is_within(moment: float, clock: Clock, query: Mapping[str, str]) -> bool:
    """Return whether a moment is between StartTime and EndTime, both inclusive and of whole seconds."""
    start, end = query.get("StartTime"), query.get("EndTime")
    stamp = clock.stamp(moment)
    return not ((start and stamp < start) or (end and stamp > end))
