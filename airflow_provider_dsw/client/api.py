"""
The API's calls: what is sent for each, its arguments checked before, and what is checked of the answer. Pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from airflow_provider_dsw import validation
from airflow_provider_dsw.arguments import did_you_mean
from airflow_provider_dsw.client.request import ApiRequest

_INSTANCES = "/api/v2/instances"
PAGE_SIZE = 100

# What is wrong with an answer, in words; None where nothing is.
Check = Callable[[dict[str, Any]], str | None]


class ApiCall(NamedTuple):
    """
    One call.

    :param request: what is sent.
    :param description: for messages, e.g. ``GetInstance of dsw-1``.
    :param check: of the answer.
    """

    request: ApiRequest
    description: str
    check: Check

    @property
    def page_size(self) -> int:
        """How many items of a list a page holds."""
        return int(self.request.query["PageSize"])

    def page(self, number: int, size: int) -> ApiCall:
        """Return the call of one page of a list, from 1 on."""
        query = {**self.request.query, "PageSize": str(size), "PageNumber": str(number)}
        return self._replace(request=replace(self.request, query=query))


def smaller_page(size: int) -> int:
    """Return the next smaller size of a page that begins where a page of this size does."""
    return size // next(factor for factor in range(2, size + 1) if size % factor == 0)


# ListInstances' query parameters, under the snake_case in which they are passed.
LIST_FILTERS = {
    "accelerator_type": "AcceleratorType",
    "accessibility": "Accessibility",
    "create_time_after": "CreateTimeAfter",
    "create_time_before": "CreateTimeBefore",
    "create_user_id": "CreateUserId",
    "gpu_type": "GpuType",
    "image_name": "ImageName",
    "instance_id": "InstanceId",
    "instance_name": "InstanceName",
    "labels": "Labels",
    "max_cpu": "MaxCpu",
    "max_gpu": "MaxGpu",
    "max_gpu_memory": "MaxGpuMemory",
    "max_memory": "MaxMemory",
    "min_cpu": "MinCpu",
    "min_gpu": "MinGpu",
    "min_gpu_memory": "MinGpuMemory",
    "min_memory": "MinMemory",
    "order": "Order",
    "oversold_info": "OversoldInfo",
    "oversold_type": "OversoldType",
    "page_size": "PageSize",
    "payment_type": "PaymentType",
    "resource_id": "ResourceId",
    "sort_by": "SortBy",
    "status": "Status",
    "tag": "Tag",
    "workspace_id": "WorkspaceId",
}


def get_instance(instance_id: str, token: str | None, fields: str | None) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    # None, or empty: not given.
    token = validation.optional_text(validation.secret_text)("token", token)
    fields = validation.optional_text(validation.text)("fields", fields)
    query = {name: value for name, value in (("Token", token), ("Fields", fields)) if value}
    request = ApiRequest("GetInstance", "GET", f"{_INSTANCES}/{instance_id}", query)
    check = _expect_ids(InstanceId=instance_id, optional=bool(fields))
    return ApiCall(request, f"GetInstance of {instance_id}", check)


def get_instance_snapshot(instance_id: str, snapshot_id: str) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    snapshot_id = validation.identifier("snapshot_id", snapshot_id)
    request = ApiRequest("GetInstanceSnapshot", "GET", f"{_INSTANCES}/{instance_id}/snapshots/{snapshot_id}")
    description = f"GetInstanceSnapshot of {snapshot_id} of {instance_id}"
    return ApiCall(request, description, _expect_ids(InstanceId=instance_id, SnapshotId=snapshot_id))


def list_instances(filters: Mapping[str, Any]) -> ApiCall:
    if (size := filters.get("page_size")) is not None:
        validation.whole_number("list_instances: page_size", size)
    request = ApiRequest("ListInstances", "GET", _INSTANCES, {"PageSize": str(PAGE_SIZE), **_list_query(filters)})
    return ApiCall(request, "ListInstances", _holds_list("Instances"))


def list_instance_snapshots(instance_id: str) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    path = f"{_INSTANCES}/{instance_id}/snapshots"
    request = ApiRequest("ListInstanceSnapshot", "GET", path, {"PageSize": str(PAGE_SIZE)})
    return ApiCall(request, f"ListInstanceSnapshot of {instance_id}", _holds_list("Snapshots", InstanceId=instance_id))


def start_instance(instance_id: str) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    request = ApiRequest("StartInstance", "PUT", f"{_INSTANCES}/{instance_id}/start")
    return ApiCall(request, f"StartInstance of {instance_id}", _expect_ids(InstanceId=instance_id))


def stop_instance(instance_id: str, save_image: bool) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    query = {"SaveImage": "true" if validation.boolean("save_image", save_image) else "false"}
    request = ApiRequest("StopInstance", "PUT", f"{_INSTANCES}/{instance_id}/stop", query)
    return ApiCall(request, f"StopInstance of {instance_id}", _expect_ids(InstanceId=instance_id))


def create_instance_snapshot(
    instance_id: str,
    snapshot_name: str,
    image_url: str,
    description: str | None,
    overwrite: bool | None,
    exclude_paths: Sequence[str] | None,
    labels: Mapping[str, str] | Sequence[Mapping[str, str]] | None,
) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    pairs = validation.optional(validation.labels)("labels", labels)
    body = {
        "SnapshotName": validation.snapshot_name("snapshot_name", snapshot_name),
        "ImageUrl": validation.image_url("image_url", image_url),
        "SnapshotDescription": validation.optional(validation.description)("description", description),
        "Overwrite": validation.optional(validation.boolean)("overwrite", overwrite),
        "ExcludePaths": validation.optional(validation.texts)("exclude_paths", exclude_paths),
        "Labels": None if pairs is None else [{"Key": key, "Value": value} for key, value in pairs.items()],
    }
    request = ApiRequest(
        "CreateInstanceSnapshot",
        "POST",
        f"{_INSTANCES}/{instance_id}/snapshots",
        body={name: value for name, value in body.items() if value is not None},
    )
    return ApiCall(request, f"CreateInstanceSnapshot of {instance_id}", _holds_id("SnapshotId"))


def create_instance(body: Mapping[str, Any]) -> ApiCall:
    call = any_operation("CreateInstance", "POST", _INSTANCES, None, validation.body("body", body))
    return call._replace(check=_holds_id("InstanceId"))


def delete_instance(instance_id: str) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    request = ApiRequest("DeleteInstance", "DELETE", f"{_INSTANCES}/{instance_id}")
    return ApiCall(request, f"DeleteInstance of {instance_id}", _expect_ids(InstanceId=instance_id))


def get_instance_events(instance_id: str, since: datetime | None) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    query = {} if since is None else {"StartTime": _query_value("since", validation.moment("since", since))}
    request = ApiRequest("GetInstanceEvents", "GET", f"{_INSTANCES}/{instance_id}/events", query)
    return ApiCall(request, f"GetInstanceEvents of {instance_id}", _holds_events)


def get_lifecycle(instance_id: str, sessions: int) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    query = {"Order": "DESC", "Limit": str(validation.whole_number("sessions", sessions))}
    request = ApiRequest("GetLifecycle", "GET", f"{_INSTANCES}/{instance_id}/lifecycle", query)
    return ApiCall(request, f"GetLifecycle of {instance_id}", _holds_lifecycle)


def oldest_first(lines: list[str]) -> list[str]:
    """Turn event lines round if the times that they begin with say that the newest is the first."""
    times = [re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line) for line in lines]
    if lines and (first := times[0]) and (last := times[-1]) and first[0] > last[0]:
        return lines[::-1]
    return lines


def create_shutdown_timer(instance_id: str, after: float | timedelta) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    request = ApiRequest(
        "CreateInstanceShutdownTimer",
        "POST",
        f"{_INSTANCES}/{instance_id}/shutdowntimer",
        body={"RemainingTimeInMs": math.ceil(validation.seconds("after", after) * 1000)},
    )
    return ApiCall(request, f"CreateInstanceShutdownTimer of {instance_id}", _expect_ids(InstanceId=instance_id))


def delete_shutdown_timer(instance_id: str) -> ApiCall:
    instance_id = validation.identifier("instance_id", instance_id)
    request = ApiRequest("DeleteInstanceShutdownTimer", "DELETE", f"{_INSTANCES}/{instance_id}/shutdowntimer")
    return ApiCall(request, f"DeleteInstanceShutdownTimer of {instance_id}", _expect_ids(InstanceId=instance_id))


def any_operation(
    action: str, method: str, path: str, query: Mapping[str, Any] | None, body: Mapping[str, Any] | None
) -> ApiCall:
    for name, value, pattern, example in (
        ("action", action, r"[A-Za-z][A-Za-z0-9]*", "'GetLifecycle'"),
        ("method", method, "GET|POST|PUT|PATCH|DELETE", "'GET'"),
        ("path", path, r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~-]+)+", "'/api/v2/instances/dsw-730abc/lifecycle'"),
    ):
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"{name}: {validation.shown(value)} is not valid. Write it like {example}.")
    if body is not None:
        body = validation.json_object("body", body)
    given = {} if query is None else validation.query("query", query)
    sent = {name: _query_value(name, value) for name, value in given.items()}
    return ApiCall(ApiRequest(action, method, path, sent, body), action, lambda answer: None)


def _expect_ids(*, optional: bool = False, **ids: str) -> Check:
    """
    Return a check that an answer is about these ids: connections that are shared after a fork mix answers up.

    :param optional: whether it need not say what it is about.
    """

    def check(answer: dict[str, Any]) -> str | None:
        found = {name: answer[name] for name in ids if name in answer}
        if (found or optional) and all(found[name] == ids[name] for name in found):
            return None
        about = ", ".join(f"{name} {_shown(value)}" for name, value in found.items()) or "none of the requested ids"
        return f"the answer is about {about}"

    return check


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else type(value).__name__


def _holds_id(name: str) -> Check:
    """Return a check that an answer holds this id of what was created."""
    return lambda answer: None if validation.is_identifier(answer.get(name)) else f"the answer holds no {name}"


def _holds_events(answer: dict[str, Any]) -> str | None:
    events = answer.get("Events", [])
    if events is None or (isinstance(events, list) and all(isinstance(line, str) for line in events)):
        return None
    return "the answer holds no list of Events, as PAI-DSW's would"


def _holds_lifecycle(answer: dict[str, Any]) -> str | None:
    sessions = answer.get("Lifecycle") or []
    if isinstance(sessions, list) and all(
        isinstance(session, list) and all(isinstance(phase, dict) for phase in session) for session in sessions
    ):
        return None
    return "the answer holds no Lifecycle by sessions, as PAI-DSW's would"


def _holds_list(name: str, **ids: str) -> Check:
    """Return a check that an answer holds this list, and that no item of it has other ids than these."""

    def check(answer: dict[str, Any]) -> str | None:
        items = answer.get(name)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            return f"the answer holds no list of {name}, as PAI-DSW's would"
        wrong = [f"{key} {_shown(item[key])}" for item in items for key in ids if item.get(key, ids[key]) != ids[key]]
        return f"the answer is about {wrong[0]}" if wrong else None

    return check


def _list_query(filters: Mapping[str, Any]) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in filters.items():
        if name not in LIST_FILTERS:
            raise ValueError(f"list_instances: no filter {name!r}.{did_you_mean(name, LIST_FILTERS)}")
        if value is None:
            continue
        query[LIST_FILTERS[name]] = _query_value(name, _LIST_CHECKS.get(name, validation.parameter)(name, value))
    if ("SortBy" in query) != ("Order" in query):
        raise ValueError("list_instances: sort_by and order go together. Pass both or neither.")
    return query


def _status(name: str, value: object) -> tuple[str, ...]:
    return validation.statuses(name, value if validation.is_collection(value) else (value,))


_LIST_CHECKS: Mapping[str, validation.Check] = {"status": _status, "tag": validation.json_value}


def _query_value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Mapping) or name == "tag":
        return json.dumps(value, separators=(",", ":"))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)
