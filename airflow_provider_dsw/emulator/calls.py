"""The request, and the checks that many operations share."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_dsw.emulator.backend import Backend
from airflow_provider_dsw.emulator.errors import invalid, not_found
from airflow_provider_dsw.emulator.instance import Instance

MAX_DEPTH = 100


@dataclass
class OperationCall:
    """A request for an operation, without its sender."""

    action: str | None  # what the path and the method mean; None: nothing that is served
    instance_id: str | None
    snapshot_id: str | None
    query: Mapping[str, str]
    body: bytes
    request_id: str
    shown: str | None = None  # out: the status that the answer shows


def envelope(call: OperationCall) -> dict[str, Any]:
    return {
        "RequestId": call.request_id,
        "Success": True,
        "Code": None,
        "Message": None,
        "HttpStatusCode": None,
    }


def json_body(call: OperationCall) -> dict[str, Any]:
    try:
        body = json.loads(call.body, parse_constant=_number, parse_float=_number)
    except (ValueError, RecursionError):
        raise invalid("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise invalid("The body is not a JSON object.")
    if _is_deep(body):
        raise invalid(f"The body is nested more than {MAX_DEPTH} levels deep.")
    return body


def _number(digits: str) -> float:
    """Return a number that can be shown again: JSON has none that is infinite."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


def _is_deep(body: Any) -> bool:
    """Whether it can't be shown again without a recursion that is too deep."""
    level = [body]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for value in level
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, dict | list)
        ]
    return bool(level)


def check_labels(labels: Any) -> None:
    """Refuse anything but a list of labels, as the documentation describes them."""
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise invalid("Labels is not a list of objects.")
    for label in labels:
        key, value = label.get("Key"), label.get("Value")
        if not isinstance(key, str) or not 1 <= len(key) <= 128 or key.startswith(("aliyun", "acs:")):
            raise invalid("The Key of a label is not of 1 to 128 characters, or begins with aliyun or acs:.")
        if not isinstance(value, str) or len(value) > 128:
            raise invalid("The Value of a label is not a string of up to 128 characters.")


def find(backend: Backend, call: OperationCall) -> Instance:
    instance = backend._instances.get(call.instance_id or "")
    if instance is None or instance.status(backend.clock.now()) is None:
        raise not_found("instance", call.instance_id or "")
    return instance


def require_status(instance: Instance, wanted: Collection[str], what: str) -> None:
    status = instance.status(instance.clock.now())
    if status not in wanted:
        raise invalid(f"The instance {instance.instance_id} is {status} and cannot be {what}.")
