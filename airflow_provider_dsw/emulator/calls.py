"""What the operations have in common: the request, and the checks that many of them make."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_dsw.emulator.errors import invalid, not_found
from airflow_provider_dsw.emulator.instance import Instance
from airflow_provider_dsw.emulator.world import World


@dataclass
class Call:
    """A request to an operation, whoever sent it."""

    action: str | None  # what the path and the method mean; None: nothing that is served
    instance_id: str | None
    snapshot_id: str | None
    query: Mapping[str, str]
    body: bytes
    request_id: str
    shown: str | None = None  # out: the status that the answer shows


def envelope(call: Call) -> dict[str, Any]:
    return {
        "RequestId": call.request_id,
        "Success": True,
        "Code": None,
        "Message": None,
        "HttpStatusCode": None,
    }


def json_body(call: Call) -> dict[str, Any]:
    try:
        body = json.loads(call.body)
    except (ValueError, RecursionError):
        raise invalid("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise invalid("The body is not a JSON object.")
    return body


def find(world: World, call: Call) -> Instance:
    instance = world._instances.get(call.instance_id or "")
    if instance is None or instance.status(world.clock.now()) is None:
        raise not_found("instance", call.instance_id or "")
    return instance


def need_status(instance: Instance, wanted: Collection[str], what: str) -> None:
    status = instance.status(instance.clock.now())
    if status not in wanted:
        raise invalid(f"The instance {instance.instance_id} is {status} and cannot be {what}.")
