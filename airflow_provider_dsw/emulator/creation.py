"""CreateInstance, UpdateInstance and the operations on labels. The caller holds the backend's lock."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_dsw.emulator.backend import Backend
from airflow_provider_dsw.emulator.calls import OperationCall, check_labels, envelope, find, json_body, require_status
from airflow_provider_dsw.emulator.errors import invalid
from airflow_provider_dsw.emulator.instance import Instance, template
from airflow_provider_dsw.emulator.instance_operations import consume_stock
from airflow_provider_dsw.emulator.statuses import CAN_UPDATE
from airflow_provider_dsw.emulator.timeline import Timeline, parse_steps

# What GetInstance shows under the name under which it was given.
SHOWN = frozenset(
    {
        *("AccessRestrictionRules", "Accessibility", "Affinity", "CloudDisks", "CredentialConfig"),
        *("Datasets", "DockerConfig", "Driver", "DynamicMount", "EcsSpec"),
        *("EnvironmentVariables", "ImageAuth", "ImageId", "ImageUrl", "InstanceName"),
        *("Labels", "MigrationOptions", "Priority", "RequestedResource", "ResourceId"),
        *("UserId", "UserVpc", "WorkspaceId", "WorkspaceSource"),
    }
)
NOT_SHOWN = frozenset({"AssignNodeSpec", "OversoldType", "SpotSpec", "Tag", "UserCommand"})
ONLY_AT_CREATION = frozenset({"AccessRestrictionRules", "DockerConfig", "Labels", "ResourceId", "Tag", "WorkspaceId"})
ABOUT_THE_UPDATE = frozenset(
    {
        *("DisassociateAssignNode", "DisassociateCredential", "DisassociateDatasets"),
        *("DisassociateDriver", "DisassociateEnvironmentVariables", "DisassociateForwardInfos"),
        *("DisassociateMigrationOptions", "DisassociateSpot", "DisassociateUserCommand"),
        *("DisassociateVpc", "StartInstance"),
    }
)
UPDATING_SECONDS = 2.0


def create_instance(backend: Backend, call: OperationCall) -> dict[str, Any]:
    body = _known(backend, json_body(call), SHOWN | NOT_SHOWN)
    _check(body)
    name = body.get("InstanceName")
    if backend.required_fields:
        wanted = {
            "InstanceName": name,
            "ImageId or ImageUrl": body.get("ImageId") or body.get("ImageUrl"),
            "EcsSpec or ResourceId": body.get("EcsSpec") or body.get("ResourceId"),
        }
        for field, value in wanted.items():
            if not value:
                raise invalid(f"{field} is required.")
    if backend.unique_instance_names and name in backend._names():
        raise invalid(f"An instance named {name} exists already.")
    fields = _fields(body, backend.clock.stamp())
    consume_stock(backend, None)
    characters = string.ascii_lowercase + string.digits
    instance_id = "dsw-" + "".join(secrets.choice(characters) for _ in range(16))
    backend.add_instance(instance_id, "Creating", old_snapshot=False)
    instance = backend._instances[instance_id]
    instance.base |= fields
    instance.follow(Timeline(backend._steps(instance, "start"), backend.clock.now()))
    instance.late_lists = backend.late_lists
    instance.appear(backend.stale_reads)
    call.shown = instance.status(backend.clock.now())
    return {**envelope(call), "InstanceId": instance_id}


def _known(backend: Backend, body: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    unknown = sorted(set(body) - set(names))
    if unknown and backend.unknown_fields == "refused":
        raise invalid(f"Unknown fields: {', '.join(unknown)}.")
    return {name: value for name, value in body.items() if name in names and value is not None}


def _check(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        example = template().get(name)
        kind = type(example) if isinstance(example, list | dict | int) else str
        if name in SHOWN and not isinstance(value, kind):
            raise invalid(f"{name} is not of the type {kind.__name__}.")
    if "InstanceName" in body and not re.fullmatch(r"[A-Za-z0-9_]{1,27}", body["InstanceName"]):
        raise invalid("InstanceName is not of up to 27 letters, digits and underscores.")
    if body.get("Accessibility", "PRIVATE") not in ("PRIVATE", "PUBLIC"):
        raise invalid("Accessibility is neither PRIVATE nor PUBLIC.")
    if not 1 <= body.get("Priority", 1) <= 9:
        raise invalid("Priority is not a number from 1 to 9.")
    check_labels(body.get("Labels", []))


def _fields(body: Mapping[str, Any], created: str) -> dict[str, Any]:
    """Return the fields that GetInstance shows of a new instance in place of the default ones."""
    fields: dict[str, Any] = {}
    for name in SHOWN - {"WorkspaceId", "UserId", "Priority", "Accessibility"}:
        example = template()[name]
        fields[name] = [] if isinstance(example, list) else {} if isinstance(example, dict) else ""
    fields |= {name: value for name, value in body.items() if name in SHOWN}
    resource = {**fields["RequestedResource"]}
    for name in ("Memory", "SharedMemory"):  # sent as "16", and shown with its unit
        if str(resource.get(name, "")).isdigit():
            resource[name] = f"{resource[name]}GB"
    has_gpu = ".gn" in fields["EcsSpec"] or str(resource.get("GPU") or "0") != "0"
    return fields | {
        "RequestedResource": resource,
        "ImageName": fields["ImageUrl"].rpartition("/")[2].rpartition(":")[2],
        "AcceleratorType": "GPU" if has_gpu else "CPU",
        "PaymentType": "Subscription" if fields["ResourceId"] else "PayAsYouGo",
        "ResourceName": fields["EcsSpec"],
        "AccumulatedRunningTimeInMs": 0,
        "ServiceConfig": {},
        "GmtCreateTime": created,
        "Tags": [{"TagKey": tag.get("Key"), "TagValue": tag.get("Value")} for tag in _tags(body)],
    }


def _tags(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    tags = body.get("Tag") or []
    if not isinstance(tags, list) or not all(isinstance(tag, dict) for tag in tags):
        raise invalid("Tag is not a list of objects.")
    return tags


def update_instance(backend: Backend, call: OperationCall) -> dict[str, Any]:
    """Refuses an unchanged value, as the real service was seen to do."""
    instance = find(backend, call)
    body = _known(backend, json_body(call), ((SHOWN | NOT_SHOWN) - ONLY_AT_CREATION) | ABOUT_THE_UPDATE)
    changes = {name: value for name, value in body.items() if name in SHOWN}
    _check(changes)
    require_status(instance, CAN_UPDATE, "updated")
    now = backend.clock.now()
    shown = {**instance.base, **instance.overrides}
    for name, value in changes.items():
        if shown.get(name) == value:
            raise invalid(f"{name} is {value!r} already.")
    steps = parse_steps([("Updating", UPDATING_SECONDS), (instance.status(now), None)], backend.speed)
    if body.get("StartInstance") is True and instance.status(now) != "Running":
        steps[1:] = backend._steps(instance, "start")
    instance.move(Timeline(steps, now), instance.option("stale_reads"))
    _override(instance, changes)
    return {**envelope(call), "InstanceId": instance.instance_id}


def update_instance_labels(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    new = json_body(call).get("Labels")
    check_labels(new)
    labels = {label["Key"]: label["Value"] for label in [*_labels(instance), *(new or [])]}
    instance.fall_behind(instance.option("stale_reads"))
    _override(instance, {"Labels": [{"Key": key, "Value": value} for key, value in labels.items()]})
    return {"RequestId": call.request_id}


def delete_instance_labels(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    keys = call.query.get("LabelKeys", "").split(",")
    instance.fall_behind(instance.option("stale_reads"))
    _override(instance, {"Labels": [label for label in _labels(instance) if label["Key"] not in keys]})
    return {"RequestId": call.request_id}


def _labels(instance: Instance) -> list[dict[str, Any]]:
    labels: list[dict[str, Any]] = {**instance.base, **instance.overrides}.get("Labels") or []
    return labels


def _override(instance: Instance, fields: Mapping[str, Any]) -> None:
    instance.overrides |= fields
    instance.touch()
