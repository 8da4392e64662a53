"""
The API's calls: what is sent for each, its arguments checked before, and what is checked of the answer. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_dsw.arguments import check_id, check_image_url, check_snapshot_name, nearest
from airflow_provider_dsw.hooks.wire import Request

_INSTANCES = "/api/v2/instances"
PAGE_SIZE = 100

# What is wrong with an answer, in words; None where nothing is.
Check = Callable[[dict[str, Any]], str | None]


@dataclass(frozen=True)
class Call:
    """
    One call.

    :param request: what is sent.
    :param asked: in words, what for, e.g. ``GetInstance of dsw-1``.
    :param check: of the answer.
    """

    request: Request
    asked: str
    check: Check

    def page(self, number: int) -> Call:
        """Return the call of one page of a list, from 1 on."""
        query = {**self.request.query, "PageNumber": str(number)}
        return replace(self, request=replace(self.request, query=query))


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


def get_instance(instance_id: str, token: str | None) -> Call:
    check_id("instance_id", instance_id)
    query = {"Token": token} if token else {}
    request = Request("GetInstance", "GET", f"{_INSTANCES}/{instance_id}", query)
    return Call(request, f"GetInstance of {instance_id}", _about(InstanceId=instance_id))


def get_instance_snapshot(instance_id: str, snapshot_id: str) -> Call:
    check_id("instance_id", instance_id)
    check_id("snapshot_id", snapshot_id)
    request = Request("GetInstanceSnapshot", "GET", f"{_INSTANCES}/{instance_id}/snapshots/{snapshot_id}")
    asked = f"GetInstanceSnapshot of {snapshot_id} of {instance_id}"
    return Call(request, asked, _about(InstanceId=instance_id, SnapshotId=snapshot_id))


def list_instances(filters: Mapping[str, Any]) -> Call:
    request = Request("ListInstances", "GET", _INSTANCES, {"PageSize": str(PAGE_SIZE), **_list_query(filters)})
    return Call(request, "ListInstances", _holds_list("Instances"))


def list_instance_snapshots(instance_id: str) -> Call:
    check_id("instance_id", instance_id)
    path = f"{_INSTANCES}/{instance_id}/snapshots"
    request = Request("ListInstanceSnapshot", "GET", path, {"PageSize": str(PAGE_SIZE)})
    return Call(request, f"ListInstanceSnapshot of {instance_id}", _holds_list("Snapshots", InstanceId=instance_id))


def start_instance(instance_id: str) -> Call:
    check_id("instance_id", instance_id)
    request = Request("StartInstance", "PUT", f"{_INSTANCES}/{instance_id}/start")
    return Call(request, f"StartInstance of {instance_id}", _about(InstanceId=instance_id))


def stop_instance(instance_id: str, save_image: bool) -> Call:
    check_id("instance_id", instance_id)
    query = {"SaveImage": "true" if save_image else "false"}
    request = Request("StopInstance", "PUT", f"{_INSTANCES}/{instance_id}/stop", query)
    return Call(request, f"StopInstance of {instance_id}", _about(InstanceId=instance_id))


def create_instance_snapshot(
    instance_id: str,
    snapshot_name: str,
    image_url: str,
    description: str | None,
    overwrite: bool | None,
    exclude_paths: Sequence[str] | None,
    labels: Mapping[str, str] | None,
) -> Call:
    check_id("instance_id", instance_id)
    check_snapshot_name(snapshot_name)
    check_image_url(image_url)
    body = {
        "SnapshotName": snapshot_name,
        "ImageUrl": image_url,
        "SnapshotDescription": description,
        "Overwrite": overwrite,
        "ExcludePaths": list(exclude_paths) if exclude_paths is not None else None,
        "Labels": [{"Key": k, "Value": v} for k, v in labels.items()] if labels is not None else None,
    }
    request = Request(
        "CreateInstanceSnapshot",
        "POST",
        f"{_INSTANCES}/{instance_id}/snapshots",
        body={name: value for name, value in body.items() if value is not None},
    )
    return Call(request, f"CreateInstanceSnapshot of {instance_id}", _created)


def _about(**ids: str) -> Check:
    """Return a check that an answer is about these ids: connections that are shared after a fork mix answers up."""

    def check(answer: dict[str, Any]) -> str | None:
        found = {name: answer[name] for name in ids if name in answer}
        if found and all(found[name] == ids[name] for name in found):
            return None
        about = ", ".join(f"{name} {value!r}" for name, value in found.items()) or "nothing that was asked for"
        return f"the answer is about {about}"

    return check


def _created(answer: dict[str, Any]) -> str | None:
    return None if answer.get("SnapshotId") else "the answer holds no SnapshotId"


def _holds_list(name: str, **ids: str) -> Check:
    """Return a check that an answer holds this list, and that no item of it has other ids than these."""

    def check(answer: dict[str, Any]) -> str | None:
        items = answer.get(name)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            return f"the answer holds no list of {name}, as PAI-DSW's would"
        wrong = [f"{key} {item[key]!r}" for item in items for key in ids if item.get(key, ids[key]) != ids[key]]
        return f"the answer is about {wrong[0]}" if wrong else None

    return check


def _list_query(filters: Mapping[str, Any]) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in filters.items():
        if name not in LIST_FILTERS:
            raise ValueError(f"list_instances: no filter {name!r}.{nearest(name, LIST_FILTERS)}")
        if value is None:
            continue
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, datetime):
            if value.utcoffset() is None:
                raise ValueError(f"list_instances: {name}: {value} has no time zone.")
            value = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        elif isinstance(value, Mapping) or name == "tag":
            value = json.dumps(value, separators=(",", ":"))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            value = ",".join(map(str, value))
        query[LIST_FILTERS[name]] = str(value)
    if ("SortBy" in query) != ("Order" in query):
        raise ValueError("list_instances: sort_by and order go together.")
    return query
