"""Every secret reaches Airflow's masker, once, by a way that Airflow bears."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from airflow.sdk import log

from airflow_provider_dsw.hooks.dsw import DswHook
from tests.support.hooks import KEY, connect

ID = "dsw-abc"


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, threading.Thread]]:
    """What Airflow was told to mask, and the threads that told it."""
    found: list[tuple[Any, threading.Thread]] = []

    def mask_secret(secret: Any, name: str | None = None) -> None:
        found.append((secret, threading.current_thread()))

    async def amask_secret(secret: Any, name: str | None = None) -> None:
        mask_secret(secret)

    monkeypatch.setattr(log, "mask_secret", mask_secret)
    if hasattr(log, "amask_secret"):
        monkeypatch.setattr(log, "amask_secret", amask_secret)
    return found


def of_ours(masked: list[tuple[Any, threading.Thread]]) -> list[Any]:
    """Without what Airflow masks by itself where it looks a connection up."""
    return [secret for secret, _ in masked if str(secret).startswith("the-")]


def sts_hook(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> DswHook:
    emulator.add_credential("key-id", "the-key-secret", security_token="the-security-token")
    emulator.add_instance(ID)
    extra = {"protocol": "http", "auth_type": "sts", "security_token": "the-security-token"}
    return connect(monkeypatch, **KEY, host=emulator.endpoint, extra=extra)


def test_secrets_of_the_connection_and_a_sharing_token_are_masked(ask, emulator, monkeypatch, masked):
    hook = sts_hook(emulator, monkeypatch)

    ask(hook, token="the-sharing-token")

    assert {"the-key-secret", "the-security-token", "the-sharing-token"} <= set(of_ours(masked))


def test_each_is_masked_once_not_at_each_poll(ask, emulator, monkeypatch, masked):
    hook = sts_hook(emulator, monkeypatch)
    ask(hook, token="the-sharing-token")
    before = len(masked)

    for _ in range(3):
        ask(hook, token="the-sharing-token")

    assert len(masked) == before


def test_airflow_is_told_in_the_thread_that_talks_to_its_supervisor(ask, emulator, monkeypatch, masked):
    """From another thread, a message to the supervisor kills the triggerer of Airflow 3.1."""
    ask(sts_hook(emulator, monkeypatch), token="the-sharing-token")

    assert masked
    assert {thread for _, thread in masked} == {threading.current_thread()}
