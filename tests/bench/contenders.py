"""What the provider's trigger is measured against, and a probe of the event loop that they run in."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from airflow.triggers.base import BaseTrigger, TriggerEvent

from tests.support.stalls import unhindered_time

_kept: dict[str, Any] = {}


class _Contender(BaseTrigger):
    """Asks at the pace of the provider's trigger; `target` is the connection as a dict."""

    def __init__(self, instance_id: str, interval: float, target: dict[str, Any]) -> None:
        super().__init__()
        self.instance_id = instance_id
        self.interval = interval
        self.target = target

    def serialize(self) -> tuple[str, dict[str, Any]]:
        kwargs = {"instance_id": self.instance_id, "interval": self.interval, "target": self.target}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    async def ask(self) -> str:
        raise NotImplementedError

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(self.interval * random.uniform(0.5, 1.0))
        while await self.ask() != "Running":  # noqa: ASYNC110 - it polls, that is the point
            await asyncio.sleep(self.interval * random.uniform(0.9, 1.0))
        yield TriggerEvent({"outcome": "success"})


class MinimalTrigger(_Contender):
    """The limit: no signature, no checks, one session for all."""

    async def ask(self) -> str:
        if "session" not in _kept:
            connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
            _kept["session"] = aiohttp.ClientSession(connector=connector)
        url = f"https://{self.target['host']}:{self.target['port']}/api/v2/instances/{self.instance_id}"
        headers = {"x-acs-action": "GetInstance", "x-acs-version": "2022-01-01"}
        async with _kept["session"].get(url, headers=headers) as answer:
            status: str = (await answer.json())["Status"]
            return status


class SdkTrigger(_Contender):
    """What one would write first: the SDK's own asynchronous call, with one client for all."""

    async def ask(self) -> str:
        from alibabacloud_pai_dsw20220101.client import Client
        from alibabacloud_pai_dsw20220101.models import GetInstanceRequest
        from alibabacloud_tea_openapi.models import Config

        if "client" not in _kept:
            _kept["client"] = Client(
                Config(
                    access_key_id=self.target["login"],
                    access_key_secret=self.target["password"],
                    endpoint=f"{self.target['host']}:{self.target['port']}",
                    protocol="https",
                    region_id="cn-hangzhou",
                )
            )
        try:
            answer = await _kept["client"].get_instance_async(self.instance_id, GetInstanceRequest())
        except Exception as error:  # under load it times out
            self.log.warning("A poll failed: %s", type(error).__name__)
            return "unknown"
        return str(answer.body.status)


class LoopProbe(BaseTrigger):
    """
    Writes down, twice a second, how long the event loop was away at most since it did so last, and when it writes.

    Without the time in which the loop's thread could have run, and others had the processor.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        path, longest, written = Path(self.path), 0.0, 0.0
        while True:
            before = unhindered_time()
            await asyncio.sleep(0.02)
            longest = max(longest, unhindered_time() - before - 0.02)
            now = time.monotonic()
            if now - written > 0.5:
                with path.open("a") as file:  # noqa: ASYNC230 - a local file, twice a second
                    file.write(f"{now} {longest}\n")
                longest, written = 0.0, now
        yield TriggerEvent(None)
