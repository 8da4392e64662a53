"""What Airflow keeps and knows of tasks, behind the supervisor of a worker or a triggerer, without a database."""

from __future__ import annotations

import asyncio
from typing import Any


class Supervisor:
    """
    Keeps XComs and the state of assets, and knows the states of task instances.

    :ivar xcoms: by their key.
    :ivar assets: what watchers keep, by the asset's name and the key.
    :ivar states: by task id, with the map index of mapped ones: ``wait_3``.
    :ivar broken: whether its database does not answer.
    :ivar lost: the number, from now on, of the request that is carried out and not answered.
    :ivar latency: seconds that each of its answers takes; in the middle of them it does what it is asked for.
    """

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}
        self.assets: dict[tuple[str, str], Any] = {}
        self.states: dict[str, str | None] = {}
        self.broken = False
        self.lost = 0
        self.latency = 0.0

    async def asend(self, message: Any) -> Any:
        await asyncio.sleep(self.latency / 2)
        found = self.send(message)
        self.lost -= 1
        if self.lost == 0:
            raise ConnectionResetError("no answer")
        await asyncio.sleep(self.latency / 2)
        return found

    def send(self, message: Any) -> Any:
        from airflow.sdk.execution_time import comms

        if self.broken:
            raise ConnectionResetError("no database")
        match type(message).__name__:
            case "SetXCom":
                self.xcoms[message.key] = message.value
            case "GetXCom":
                return comms.XComResult(key=message.key, value=self.xcoms.get(message.key))
            case "GetTaskStates":
                return comms.TaskStatesResult(task_states={message.run_ids[0]: self.states})
            case "SetAssetStateStoreByName":
                self.assets[message.name, message.key] = message.value
            case "GetAssetStateStoreByName":
                found = self.assets.get((message.name, message.key))
                return None if found is None else comms.AssetStateStoreResult(value=found)
        return None
