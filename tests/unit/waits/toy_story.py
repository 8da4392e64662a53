"""
A wait for a toy, in a copy of the package to which somebody has added it: each way to wait has to know it.

The toy is a field of GetInstance that no wait returns: conditions see the whole answer.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from typing import Any

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger, DswInstanceTrigger
from airflow_provider_dsw.version_compat import STARTS_FROM_TRIGGER
from tests.support import modes
from tests.support.modes import ID

POLLS = [("Running", {"Toy": "a train"}), ("Running", {"Toy": "a train"}), ("Running", {"Toy": "a ball"})]


def waits(emulator: DswEmulator) -> None:
    """In every mode the third poll ends it; a wait for anything else would end at the first."""
    for wait in modes.ALL if STARTS_FROM_TRIGGER else modes.ALL[:3]:
        emulator.add_instance(ID, per_poll=POLLS)
        before = len(emulator.requests)
        details: Any = wait(toy="a ball")
        assert (details["Status"], len(emulator.requests) - before) == ("Running", 3), wait.__name__
        assert "Toy" not in details


def is_rendered() -> None:
    task: Any = DswInstanceSensor(task_id="wait", instance_id=ID, toy="{{ params.toy }}")
    task.render_template_fields({"params": {"toy": "a ball"}})
    kwargs = json.loads(json.dumps(task._trigger().serialize()[1]))
    assert DswInstanceTrigger(**kwargs).condition() == task.condition()
    assert task.condition().toy == "a ball"


def is_refused() -> None:
    wrongs: tuple[dict[str, Any], ...] = ({"toy": ""}, {"toy": "a ball", "target_status": "Running"})
    for wrong in wrongs:
        try:
            DswInstanceSensor(task_id="wait", instance_id=ID, **wrong)
        except ValueError:
            continue
        raise AssertionError(f"{wrong} is not refused")


def is_watched_for(emulator: DswEmulator) -> None:
    emulator.add_instance(ID, per_poll=[*POLLS, *POLLS, ("Running", {"Toy": "a train"})])
    trigger: Any = DswInstanceEventTrigger(instance_id=ID, toy="a ball", poke_interval=0.02)  # type: ignore[call-arg]
    trigger = DswInstanceEventTrigger(**json.loads(json.dumps(trigger.serialize()[1])))
    before, events = len(emulator.requests), []

    async def watch() -> None:
        async for event in trigger.run():
            events.append(event.payload["Status"])  # noqa: PERF401

    async def story() -> None:
        watching = asyncio.create_task(watch())
        while len(emulator.requests) < before + 8:
            assert not watching.done(), watching.result()
            await asyncio.sleep(0.01)
        watching.cancel()

    asyncio.run(story())
    assert events == ["Running", "Running"], events


if __name__ == "__main__":
    print(inspect.getfile(DswInstanceSensor))
    with DswEmulator() as emulator:
        os.environ["AIRFLOW_CONN_DSW_DEFAULT"] = json.dumps(emulator.connection())
        is_rendered()
        is_refused()
        waits(emulator)
        is_watched_for(emulator)
