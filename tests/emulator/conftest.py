import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.emulator.helpers import Caller


@pytest.fixture
def caller(emulator: DswEmulator) -> Caller:
    return Caller(emulator)
