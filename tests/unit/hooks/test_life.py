"""The hook's calls for an instance's life: created, timed, deleted, and what happened meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_dsw.emulator import DswEmulator, ManualClock
from airflow_provider_dsw.exceptions import DswInstanceNotFoundError, DswRequestError, DswTransientError
from airflow_provider_dsw.hooks.dsw import DswHook

ID = "dsw-abc"
BODY = {"InstanceName": "train", "EcsSpec": "ecs.gn7i-c8g1.2xlarge", "ImageId": "image-1", "WorkspaceId": "1"}


def test_an_instance_is_created_and_deleted(dsw_default: DswEmulator) -> None:
    hook = DswHook()

    instance_id = hook.create_instance(BODY)["InstanceId"]
    assert hook.get_instance(instance_id)["InstanceName"] == "train"
    assert hook.delete_instance(instance_id)["InstanceId"] == instance_id


@pytest.mark.usefixtures("no_pauses")
def test_a_creation_whose_answer_is_lost_is_not_repeated(dsw_default: DswEmulator) -> None:
    dsw_default.fault("CreateInstance", drop=True, performed=True)

    with pytest.raises(DswTransientError) as raised:
        DswHook().create_instance(BODY)
    assert raised.value.may_have_been_performed
    assert [request.action for request in dsw_default.requests] == ["CreateInstance"]


def test_a_refused_creation_is_a_request_error(dsw_default: DswEmulator) -> None:
    with pytest.raises(DswRequestError):
        DswHook().create_instance({"EcsSpec": "no-such"})


@pytest.mark.parametrize("body", [{}, None, [], "name=x", {"a": object()}, {1: 2}, {"a": float("nan")}])
def test_what_is_no_body_is_refused_before_any_request(dsw_default: DswEmulator, body: object) -> None:
    with pytest.raises(ValueError, match="body: "):
        DswHook().create_instance(body)  # type: ignore[arg-type]
    assert not dsw_default.requests


@pytest.mark.parametrize("after", [90, timedelta(minutes=1, seconds=30)])
def test_a_shutdown_timer_is_set_for_a_time_from_now_and_deleted(
    dsw_default: DswEmulator, after: float | timedelta
) -> None:
    dsw_default.add_instance(ID)
    hook = DswHook()

    hook.set_shutdown_timer(ID, after=after)
    assert 80_000 < hook.get_instance(ID)["InstanceShutdownTimer"]["RemainingTimeInMs"] <= 90_000

    hook.delete_shutdown_timer(ID)
    assert not hook.get_instance(ID)["InstanceShutdownTimer"]
    with pytest.raises(DswInstanceNotFoundError):
        hook.delete_shutdown_timer(ID)


@pytest.mark.parametrize("after", [0, -1, True, None, "60", float("nan"), float("inf"), timedelta(0)])
def test_what_is_no_time_for_a_timer_is_refused_before_any_request(dsw_default: DswEmulator, after: object) -> None:
    with pytest.raises(ValueError, match="after: "):
        DswHook().set_shutdown_timer(ID, after=after)  # type: ignore[arg-type]
    assert not dsw_default.requests


@pytest.mark.parametrize("order", ["oldest first", "newest first"])
def test_the_newest_events_come_newest_last_in_whatever_order_the_service_sends_them(
    monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    clock = ManualClock()
    with DswEmulator(clock=clock, events_order=order) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
        for status in ("Starting", "Running", "Failed"):
            emulator.add_instance(ID, status) if status == "Starting" else emulator.set_instance(ID, status)
            clock.advance(2)

        everything = DswHook().get_instance_events(ID)

        assert "lack of sufficient resources" in everything[-1]
        assert "Starting" in everything[0]
        assert DswHook().get_instance_events(ID, limit=2) == everything[-2:]


def test_events_since_a_time_leave_out_what_was_before(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID)

    assert DswHook().get_instance_events(ID, since=datetime.now(UTC) - timedelta(hours=1))
    assert DswHook().get_instance_events(ID, since=datetime.now(UTC) + timedelta(hours=1)) == []


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"limit": True}, {"since": datetime(2026, 1, 1)}])  # noqa: DTZ001
def test_a_bad_limit_or_a_time_without_a_zone_is_refused(
    dsw_default: DswEmulator, arguments: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=r"limit: |since: "):
        DswHook().get_instance_events(ID, **arguments)  # type: ignore[arg-type]
    assert not dsw_default.requests
