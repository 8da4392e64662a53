"""Filters, order and pages of the list operations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_dsw.emulator.errors import invalid
from airflow_provider_dsw.emulator.instance import ENVELOPE, Instance, template
from airflow_provider_dsw.emulator.snapshot import Snapshot

MAX_LABELS = 4  # in a filter
MAX_PAGE_SIZE = 100  # Not documented; 100 is what public code asks for. More is read as 100.
# What an item of ListInstances lacks, compared with GetInstance.
NOT_IN_LIST = frozenset(
    {
        *ENVELOPE,
        "AccessRestrictionRules",
        "DockerConfig",
        "MigrationOptions",
        "NodeErrorRecovery",
        "PodIps",
        "ProxyPath",
        "UserCommandId",
    }
)
# Documented filters that the emulator refuses, so that nobody takes an unfiltered list for a filtered one.
NOT_SERVED = (
    *("Tag", "OversoldInfo", "OversoldType"),
    *("MinCpu", "MaxCpu", "MinGpu", "MaxGpu", "MinGpuMemory", "MaxGpuMemory", "MinMemory", "MaxMemory"),
)
_EQUAL = {
    "AcceleratorType": "AcceleratorType",
    "Accessibility": "Accessibility",
    "CreateUserId": "UserId",
    "ImageName": "ImageName",
    "PaymentType": "PaymentType",
    "Status": "Status",
}


def is_in_this_list(item: Instance | Snapshot) -> bool:
    """Return whether a list that is requested now shows it: a new one may be listed late."""
    if item.late_lists:
        item.late_lists -= 1
        return False
    return True


def list_instances(
    instances: Sequence[Mapping[str, Any]], query: Mapping[str, str]
) -> tuple[list[dict[str, Any]], int]:
    """Return the items of the requested page, and how many there are on all pages."""
    for name in NOT_SERVED:
        if any(query[given] for given in query if given == name or given.startswith(f"{name}.")):
            raise invalid(f"The emulator does not filter by {name}.")
    filters = _filters(query)
    found = [fields for fields in instances if all(keep(fields) for keep in filters)]
    found = _sorted(found, query, ("Priority", "GmtCreateTime", "GmtModifiedTime"))
    items = [
        {name: value for name, value in fields.items() if name not in NOT_IN_LIST} for fields in page(found, query)
    ]
    return items, len(found)


def list_snapshots(
    snapshots: Sequence[Mapping[str, Any]], query: Mapping[str, str]
) -> tuple[list[dict[str, Any]], int]:
    found = _sorted(snapshots, query, ("GmtCreateTime", "GmtModifiedTime"))
    return [dict(item) for item in page(found, query)], len(snapshots)


def _filters(query: Mapping[str, str]) -> list[Callable[[Mapping[str, Any]], bool]]:
    given = {name: value for name, value in query.items() if value}
    filters: list[Callable[[Mapping[str, Any]], bool]] = []

    def equal(field: str, value: str) -> Callable[[Mapping[str, Any]], bool]:
        return lambda fields: fields.get(field) == value

    filters += [equal(field, given[name]) for name, field in _EQUAL.items() if name in given]
    if "InstanceId" in given:
        ids = set(given["InstanceId"].split(","))
        filters.append(lambda fields: fields.get("InstanceId") in ids)
    if "InstanceName" in given:
        filters.append(lambda fields: given["InstanceName"] in (fields.get("InstanceName") or ""))
    if "Labels" in given:
        labels = _labels(given["Labels"])
        filters.append(lambda fields: labels.items() <= _labels_of(fields).items())
    if "GpuType" in given:
        filters.append(lambda f: (f.get("RequestedResource") or {}).get("GPUType") == given["GpuType"])
    if "CreateTimeAfter" in given:
        filters.append(lambda fields: (fields.get("GmtCreateTime") or "") >= given["CreateTimeAfter"])
    if "CreateTimeBefore" in given:
        filters.append(lambda fields: (fields.get("GmtCreateTime") or "") <= given["CreateTimeBefore"])
    # Documented traps: without a workspace, the caller's default one; without a resource, pay-as-you-go only.
    workspace = given.get("WorkspaceId", template()["WorkspaceId"])
    if workspace != "ALL":
        filters.append(equal("WorkspaceId", workspace))
    resource = given.get("ResourceId")
    if resource is None:
        filters.append(equal("PaymentType", "PayAsYouGo"))
    elif resource != "ALL":
        filters.append(equal("ResourceId", resource))
    return filters


def _labels(text: str) -> dict[str, Any]:
    """The filter by labels: an object of keys and values as JSON, as the SDK sends it."""
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError):
        labels = None
    if not isinstance(labels, dict) or len(labels) > MAX_LABELS or not all(isinstance(v, str) for v in labels.values()):
        raise invalid(f"Labels is not a JSON object of up to {MAX_LABELS} strings.")
    return labels


def _labels_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    labels = fields.get("Labels")
    pairs = [label for label in labels if isinstance(label, dict)] if isinstance(labels, list) else []
    return {str(label.get("Key")): str(label.get("Value")) for label in pairs}


def _sorted(
    items: Sequence[Mapping[str, Any]], query: Mapping[str, str], allowed: Sequence[str]
) -> list[Mapping[str, Any]]:
    sort_by, order = query.get("SortBy") or "", query.get("Order") or ""
    if not sort_by and not order:
        return list(items)
    if sort_by not in allowed or order.upper() not in ("ASC", "DESC"):
        raise invalid(f"SortBy ({', '.join(allowed)}) and Order (ASC, DESC) go together.")

    def key(item: Mapping[str, Any]) -> tuple[bool, Any]:
        value = item.get(sort_by)
        return value is not None, value if value is not None else 0

    return sorted(items, key=key, reverse=order.upper() == "DESC")


def page(items: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    size = min(positive_number(query, "PageSize", 10), MAX_PAGE_SIZE)
    first = (positive_number(query, "PageNumber", 1) - 1) * size
    return items[first : first + size]


def positive_number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or len(value) > 9 or int(value) < 1:
        raise invalid(f"{name} is not a number from 1 on.")
    return int(value)
