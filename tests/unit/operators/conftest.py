"""Operators that wait in a worker, or deferred, on an instance of the emulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.support.arguments import arguments_of_class

ID = "dsw-abc"
Make = Callable[..., Any]


class Change(NamedTuple):
    """
    A change that an operator requests.

    :param operator: its class.
    :param arguments: of the operator.
    :param status: the instance's first.
    :param action: what requests the change.
    :param look: what shows that it was performed.
    :param takes_time: whether the instance passes through other states on its way.
    """

    operator: type
    arguments: dict[str, Any]
    status: str
    action: str
    look: str = "GetInstance"
    takes_time: bool = True


@pytest.fixture(params=[False, True], ids=["worker", "deferred"])
def make(request: pytest.FixtureRequest, dsw_default: DswEmulator, no_pauses: None) -> Make:
    """Make an operator that waits in this way."""
    dsw_default.start_timeline = ["Creating", "Starting", "Running"]
    dsw_default.stop_timeline = ["Stopping", "Stopped"]
    dsw_default.snapshot_timeline = ["Committing", "Pushing", "Saved"]
    dsw_default.delete_timeline = ["Deleting", None]

    def made(operator: type, **arguments: Any) -> Any:
        given = {"task_id": "t", "poke_interval": 0.01, "timeout": 60, "deferrable": request.param}
        if "instance_id" in arguments_of_class(operator):
            given["instance_id"] = ID
        return operator(**{**given, **arguments})

    return made
