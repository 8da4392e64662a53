"""An emulator whose time is the test's, and the SDK as its client."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alibabacloud_pai_dsw20220101.client import Client
from alibabacloud_tea_openapi.utils_models import Config

from airflow_provider_dsw.emulator import DswEmulator, ManualClock
from tests.support.emulator import KEY_ID, SECRET, Caller, wait_for


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def emulator(clock: ManualClock) -> Iterator[DswEmulator]:
    with DswEmulator(clock=clock) as served:
        yield served


@pytest.fixture
def caller(emulator: DswEmulator) -> Caller:
    return Caller(emulator)


class Background:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.found: Any = None
        self._thread = threading.Thread(target=lambda: setattr(self, "found", call()))
        self._thread.start()

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(60)
        assert self.is_done
        return self.found


@pytest.fixture
def in_background() -> Callable[..., Background]:
    """Start a call; return when `until` holds."""

    def start(call: Callable[[], Any], until: Callable[[], Any]) -> Background:
        background = Background(call)
        wait_for(lambda: bool(until()), True)
        return background

    return start


@pytest.fixture
def sdk(emulator: DswEmulator) -> Client:
    """The SDK's typed client, with the operations of the API as its methods."""
    return Client(
        Config(
            endpoint=emulator.endpoint,
            protocol="http",
            region_id="cn-hangzhou",
            access_key_id=KEY_ID,
            access_key_secret=SECRET,
        )
    )
