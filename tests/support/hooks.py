"""Ways to ask, synchronous and asynchronous, and connections to whatever server a test needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_dsw.hooks.dsw import DswHook

Ask = Callable[..., dict[str, Any]]
KEY = {"login": "key-id", "password": "the-key-secret"}


def connect(monkeypatch: pytest.MonkeyPatch, *, conn_id: str = "dsw_default", **fields: Any) -> DswHook:
    """A hook whose connection has these fields; `extra` as a dict, or as the text that it is."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "dsw", **fields}))
    return DswHook(conn_id)


def connect_to(monkeypatch: pytest.MonkeyPatch, port: int, **extra: Any) -> DswHook:
    """A hook that calls a server on this port of loopback."""
    return connect(monkeypatch, **KEY, host="127.0.0.1", port=port, extra={"protocol": "http", **extra})


def ask_sync(hook: DswHook, instance_id: str = "dsw-abc", **arguments: Any) -> dict[str, Any]:
    return hook.get_instance(instance_id, **arguments)


def ask_async(hook: DswHook, instance_id: str = "dsw-abc", **arguments: Any) -> dict[str, Any]:
    return asyncio.run(hook.aget_instance(instance_id, **arguments))
