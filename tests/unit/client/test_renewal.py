"""Access denied: the connection is looked up anew, once for all who share it; a key that was rotated ends nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_dsw.client import access
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import (
    DswAccessDeniedError,
    DswConnectionError,
    DswTransientError,
)
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS, DswHook
from airflow_provider_dsw.hooks.shared import shared_hook
from airflow_provider_dsw.version_compat import AirflowException

ID = "dsw-abc"
OLD, NEW = "old-key", "new-key"


class LookUps:
    """Airflow's connection, and how often it is looked up."""

    def __init__(self, emulator: DswEmulator) -> None:
        self.emulator = emulator
        self.key = OLD
        self.count = 0
        self.error: Exception | None = None
        self.change: dict[str, Any] = {}
        emulator.add_credential(OLD, "the-old-secret")
        emulator.add_instance(ID, "Running")

    def get(self, conn_id: str) -> Connection:
        self.count += 1
        if self.error:
            raise self.error
        fields = {**self.emulator.connection(), "login": self.key, "password": f"the-{self.key[:3]}-secret"}
        fields |= self.change
        return Connection(conn_id=conn_id, **{**fields, "extra": json.dumps(fields["extra"])})

    async def aget(self, conn_id: str) -> Connection:
        return self.get(conn_id)

    def rotate(self) -> None:
        """The old key is disabled, and the connection has the new one."""
        self.disable()
        self.emulator.add_credential(NEW, "the-new-secret")
        self.key = NEW

    def disable(self) -> None:
        self.emulator.add_credential(OLD, "the-old-secret", inactive=True)


@pytest.fixture
def look_ups(emulator: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> LookUps:
    made = LookUps(emulator)
    monkeypatch.setattr(DswHook, "get_connection", lambda self, conn_id: made.get(conn_id))
    monkeypatch.setattr(DswHook, "aget_connection", staticmethod(made.aget))
    return made


Several = Callable[[DswHook, int], list[Any]]


def in_threads(hook: DswHook, number: int) -> list[Any]:
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(hook.get_instance(ID)["Status"])
        except Exception as error:
            found.append(type(error))

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def in_a_loop(hook: DswHook, number: int) -> list[Any]:
    async def run() -> list[Any]:
        async with hook:
            calls = (hook.aget_instance(ID) for _ in range(number))
            return await asyncio.gather(*calls, return_exceptions=True)

    return [each["Status"] if isinstance(each, dict) else type(each) for each in asyncio.run(run())]


@pytest.fixture(params=[in_threads, in_a_loop], ids=["threads", "loop"])
def several(request: pytest.FixtureRequest) -> Several:
    """Several calls of one hook at a time."""
    way: Several = request.param
    return way


def test_a_rotated_key_ends_nothing(ask, look_ups):
    hook = DswHook()
    ask(hook)
    look_ups.rotate()

    assert ask(hook)["Status"] == "Running"
    assert ask(hook)["Status"] == "Running"
    assert look_ups.count == 2
    keys = [request.access_key_id for request in look_ups.emulator.requests]
    assert keys == [OLD, OLD, NEW, NEW]


def replace_password(look_ups: LookUps) -> None:
    look_ups.emulator.add_credential(OLD, "the-second-secret")
    look_ups.change = {"password": "the-second-secret"}


def replace_security_token(look_ups: LookUps) -> None:
    look_ups.emulator.add_credential(OLD, "the-old-secret", security_token="the-token")
    extra = look_ups.emulator.connection()["extra"]
    look_ups.change = {"extra": {**extra, "auth_type": "sts", "security_token": "the-token"}}


# Each secret of a connection, and how it is replaced: the old value is refused from then on.
REPLACED = {"password": replace_password, "security_token": replace_security_token}


@pytest.mark.parametrize("name", REPLACED)
def test_a_secret_that_was_replaced_ends_nothing(name, ask, look_ups):
    hook = DswHook()
    ask(hook)
    REPLACED[name](look_ups)

    assert ask(hook)["Status"] == "Running"
    assert look_ups.count == 2


def test_a_change_that_was_denied_is_asked_for_with_the_new_key(look_ups):
    hook = DswHook()
    hook.get_instance(ID)
    look_ups.rotate()

    assert hook.stop_instance(ID)["InstanceId"] == ID
    assert [request.status for request in look_ups.emulator.calls("StopInstance")] == [403, 200]


def test_the_connection_is_looked_up_once_for_all_who_were_denied(several, look_ups):
    hook = DswHook()
    several(hook, 1)
    look_ups.rotate()

    assert several(hook, 20) == ["Running"] * 20
    assert look_ups.count == 2


def test_who_is_denied_again_is_told_so(ask, look_ups):
    hook = DswHook()
    ask(hook)
    look_ups.disable()

    with pytest.raises(DswAccessDeniedError, match=r"InvalidAccessKeyId\.Inactive"):
        ask(hook)
    assert look_ups.count == 2


def test_a_new_key_that_is_denied_too_is_a_denial(ask, look_ups):
    hook = DswHook()
    ask(hook)
    look_ups.rotate()
    look_ups.emulator.add_credential(NEW, "the-new-secret", inactive=True)

    with pytest.raises(DswAccessDeniedError):
        ask(hook)
    assert look_ups.count == 2


def test_many_who_are_denied_again_and_again_look_up_once_in_a_while(several, look_ups, monkeypatch):
    hook = DswHook()
    several(hook, 1)
    look_ups.disable()

    for _ in range(3):
        assert several(hook, 10) == [DswAccessDeniedError] * 10
    assert look_ups.count == 2

    monkeypatch.setattr(access.time, "monotonic", after(access.RENEWAL_PAUSE))
    several(hook, 10)
    assert look_ups.count == 3


def test_a_call_that_looked_the_connection_up_itself_does_so_once(ask, look_ups):
    look_ups.disable()

    with pytest.raises(DswAccessDeniedError):
        ask(DswHook())

    assert look_ups.count == 1
    assert len(look_ups.emulator.requests) == 1


def test_two_rotations_soon_after_each_other_end_nothing(ask, look_ups):
    hook = DswHook()
    ask(hook)
    look_ups.rotate()
    ask(hook)
    look_ups.emulator.add_credential(NEW, "the-new-secret", inactive=True)
    look_ups.emulator.add_credential("old-key-2", "the-old-secret")
    look_ups.key = "old-key-2"

    assert ask(hook)["Status"] == "Running"


def test_one_permission_that_is_missing_is_not_looked_up_for_at_each_poll(ask, look_ups):
    """Other calls work with the same key in between."""
    hook = DswHook()
    look_ups.emulator.add_instance("dsw-denied")
    look_ups.emulator.fault(instance_id="dsw-denied", times=None, status=403, code="NoPermission")

    for _ in range(5):
        ask(hook)
        with pytest.raises(DswAccessDeniedError):
            ask(hook, "dsw-denied")

    assert look_ups.count == 2


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("error", [AirflowException("The conn_id isn't defined"), OSError("the-old-secret")])
def test_a_connection_that_can_t_be_looked_up_anew_now_is_no_denial(error, ask, look_ups, monkeypatch):
    """Airflow calls a connection undefined if its secrets backend is down."""
    hook = DswHook()
    ask(hook)
    look_ups.rotate()
    look_ups.error = error

    for _ in range(2):
        with pytest.raises(DswTransientError, match="access denied, and Airflow can't look up") as raised:
            ask(hook)
        assert "the-old-secret" not in str(raised.value)
    assert look_ups.count == 2
    assert len(look_ups.emulator.requests) == 1 + 2 * MAX_ATTEMPTS

    look_ups.error = None
    monkeypatch.setattr(access.time, "monotonic", after(access.RENEWAL_PAUSE))
    assert ask(hook)["Status"] == "Running"


def test_a_connection_that_is_malformed_by_now_says_so(ask, look_ups):
    hook = DswHook()
    ask(hook)
    look_ups.rotate()
    look_ups.change = {"password": ""}

    with pytest.raises(DswConnectionError, match="password"):
        ask(hook)


def test_the_sdk_s_client_is_another_after_the_connection_has_changed(look_ups):
    hook = DswHook()
    hook.get_instance(ID)
    client = hook.get_conn()
    look_ups.rotate()
    assert hook.get_conn() is client
    hook.get_instance(ID)

    assert hook.get_conn() is not client
    assert hook.get_conn()._credential.get_credential().access_key_id == NEW


def test_another_endpoint_is_gone_over_to(ask, look_ups):
    hook = DswHook()
    ask(hook)
    look_ups.rotate()
    with DswEmulator(credentials={NEW: "the-new-secret"}) as other:
        other.add_instance(ID, "Stopped")
        look_ups.change = {"host": other.host, "port": other.port}

        assert ask(hook)["Status"] == "Stopped"


def test_the_connection_test_asks_once(look_ups):
    look_ups.disable()

    works, words = DswHook().test_connection()

    assert not works
    assert "InvalidAccessKeyId.Inactive" in words
    assert (look_ups.count, len(look_ups.emulator.requests)) == (1, 1)


def test_the_hook_that_a_triggerer_s_waits_share_goes_over_to_the_new_key(look_ups):
    async def work() -> None:
        async with shared_hook("dsw_default") as first, shared_hook("dsw_default") as second:
            assert first is second
            await first.aget_instance(ID)
            look_ups.rotate()
            calls = (hook.aget_instance(ID) for hook in [first, second] * 10)
            assert {answer["Status"] for answer in await asyncio.gather(*calls)} == {"Running"}
            async with shared_hook("dsw_default") as third:
                assert third is first

    asyncio.run(work())
    assert look_ups.count == 2


def test_who_joins_after_a_rotation_shares_the_hook_with_those_before(look_ups, monkeypatch):
    async def work() -> None:
        async with shared_hook("dsw_default") as first:
            monkeypatch.setattr("airflow_provider_dsw.hooks.shared.LOOK_UP_REUSE", 0.0)
            async with shared_hook("dsw_default") as second:  # another look-up, the same connection
                assert second is first
            monkeypatch.setattr("airflow_provider_dsw.hooks.shared.LOOK_UP_REUSE", 30.0)
            look_ups.rotate()
            await first.aget_instance(ID)
            async with shared_hook("dsw_default") as third:
                assert third is first

    asyncio.run(work())


@pytest.fixture
def watching(look_ups: LookUps) -> None:
    look_ups.emulator.set_instance(ID, "Starting")
    return


@pytest.mark.usefixtures("watching", "no_pauses")
def test_a_watcher_and_a_deferred_wait_see_what_happens_after_a_rotation(look_ups):
    from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger, DswInstanceTrigger

    async def first_event(trigger: Any) -> Any:
        async with aclosing(trigger.run()) as events:
            return (await anext(events)).payload

    async def work() -> list[Any]:
        return await asyncio.wait_for(rotation(), 60)

    async def rotation() -> list[Any]:
        wait = DswInstanceTrigger(instance_id=ID, poke_interval=0.05, has_polled=True)
        watcher = DswInstanceEventTrigger(instance_id=ID, poke_interval=0.05)
        events = [asyncio.create_task(first_event(trigger)) for trigger in (wait, watcher)]
        while len(look_ups.emulator.requests) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        look_ups.rotate()
        before = len(look_ups.emulator.requests)
        while len(look_ups.emulator.requests) < before + 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        look_ups.emulator.set_instance(ID, "Running")
        return await asyncio.gather(*events)

    wait, watcher = asyncio.run(work())

    assert wait["outcome"] == "success"
    assert watcher["Status"] == "Running"


def after(seconds: float) -> Callable[[], float]:
    began = access.time.monotonic

    return lambda: began() + seconds


def test_a_wait_in_a_worker_outlives_a_rotation(look_ups, monkeypatch):
    from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

    look_ups.emulator.set_instance(ID, "Starting")
    sensor = DswInstanceSensor(task_id="wait", instance_id=ID, poke_interval=0.02, timeout=60)

    def rotate(_: Any) -> None:
        look_ups.rotate()
        look_ups.emulator.set_instance(ID, "Running")

    monkeypatch.setattr("airflow.sdk.bases.sensor.time.sleep", rotate)

    assert sensor.execute({})["Status"] == "Running"
