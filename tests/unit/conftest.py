"""Fixtures for all that asks the service by a hook, or waits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.bases.xcom import BaseXCom
from darabonba.core import DaraCore
from requests.adapters import HTTPAdapter
from Tea.core import TeaCore

from airflow_provider_dsw.hooks.dsw import DswHook
from tests.support.clock import Clock
from tests.support.hooks import Ask, ask_async, ask_sync


@pytest.fixture(scope="session", autouse=True)
def no_certificates_for_plain_http() -> Iterator[None]:
    """
    Let the SDK read the system's certificates only where it uses TLS.

    It reads them for each server that it has not asked before, which is one for each test: 20 ms, and half a megabyte
    that is kept.
    """

    def spare(get_adapter: Any) -> Any:
        return staticmethod(
            lambda prefix, *args, **kwargs: (
                get_adapter(prefix, *args, **kwargs) if prefix.upper() == "HTTPS" else HTTPAdapter()
            )
        )

    with pytest.MonkeyPatch.context() as patch:
        for core in (DaraCore, TeaCore):
            patch.setattr(core, "get_adapter", spare(core.get_adapter))
        yield


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """GetInstance, by either of the two ways, which must not differ in what they mean."""
    way: Ask = request.param
    return way


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of a wait, which passes only where somebody sleeps."""
    clock = Clock()
    clock.install(monkeypatch)
    return clock


@pytest.fixture
def links_written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of the links that tasks keep in Airflow's database, which is not there."""
    written: list[str] = []
    monkeypatch.setattr(BaseXCom, "set", lambda key, url, **row: written.append(url))
    return written


@pytest.fixture
def hook_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Let `caplog` see what the hook logs: Airflow's own loggers pass it by."""
    log: Any = logging.getLogger("dsw-hook")

    async def ainfo(text: str) -> None:
        log.info(text)

    monkeypatch.setattr(log, "ainfo", ainfo, raising=False)
    monkeypatch.setattr(DswHook, "log", log)
    caplog.set_level("INFO")
