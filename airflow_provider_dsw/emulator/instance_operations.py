"""The operations on instances. The caller holds the backend's lock."""

from __future__ import annotations

from typing import Any

from airflow_provider_dsw.emulator import listing
from airflow_provider_dsw.emulator.backend import Backend
from airflow_provider_dsw.emulator.calls import OperationCall, envelope, find, require_status
from airflow_provider_dsw.emulator.encoding import json_bytes
from airflow_provider_dsw.emulator.errors import NO_STOCK, ServiceError, invalid, not_found
from airflow_provider_dsw.emulator.instance import Instance
from airflow_provider_dsw.emulator.snapshot_operations import begin_save
from airflow_provider_dsw.emulator.statuses import CAN_SAVE, CAN_START, CAN_STOP, CANNOT_DELETE
from airflow_provider_dsw.emulator.timeline import Timeline


def get_instance(backend: Backend, call: OperationCall) -> bytes:
    instance = find(backend, call)
    fields = instance.show(backend.clock.now(), poll=True)
    if fields is None:
        raise not_found("instance", instance.instance_id)
    call.shown = fields.get("Status")
    names = call.query.get("Fields")
    if names and instance.option("fields_parameter") == "selects":
        wanted = {name.strip() for name in names.split(",")}
        return json_bytes({**{name: fields[name] for name in fields if name in wanted}, "RequestId": call.request_id})
    return instance.encoded(call.request_id)


def list_instances(backend: Backend, call: OperationCall) -> dict[str, Any]:
    now = backend.clock.now()
    listed = [instance for instance in backend._instances.values() if listing.is_in_this_list(instance)]
    shown = [fields for instance in listed if (fields := instance.show(now, poll=False)) is not None]
    query = {name: value for name, value in call.query.items() if name != "Labels" or backend.label_filter}
    items, total = listing.list_instances(shown, query)
    return {**envelope(call), "TotalCount": total, "Instances": items}


def start_instance(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    require_status(instance, CAN_START, "started")
    consume_stock(backend, instance)
    steps = backend._steps(instance, "start")
    instance.move(Timeline(steps, backend.clock.now()), instance.option("stale_reads"))
    instance.overrides.pop("ReasonCode", None)
    instance.overrides.pop("ReasonMessage", None)
    instance.touch()
    call.shown = instance.status(backend.clock.now())
    return {**envelope(call), "InstanceId": instance.instance_id}


def consume_stock(backend: Backend, instance: Instance | None) -> None:
    """Refuse a start or a creation for lack of stock, as often as the options say."""
    if instance is not None and instance.options.get("no_stock"):
        instance.options["no_stock"] -= 1
    elif backend.no_stock:
        backend.no_stock -= 1
    else:
        return
    raise ServiceError(*NO_STOCK, "The requested resource is out of stock.")


def stop_instance(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    save = call.query.get("SaveImage", "false").lower()
    if save not in ("true", "false", ""):
        raise invalid("SaveImage is neither true nor false.")
    if save == "true":
        require_status(instance, CAN_SAVE, "saved")
        name = f"{instance.instance_id.lower()}-stop-{len(instance.snapshots) + 1}"
        image_url = f"registry.{backend.region}.aliyuncs.com/emulator/images:{name}"
        begin_save(backend, instance, name=name, image_url=image_url, then_stop=True)
    else:
        require_status(instance, CAN_STOP, "stopped")
        instance.fall_behind(instance.option("stale_reads"))
        backend._stop(instance, backend.clock.now())
    call.shown = instance.status(backend.clock.now())
    return {**envelope(call), "InstanceId": instance.instance_id}


def delete_instance(backend: Backend, call: OperationCall) -> dict[str, Any]:
    instance = find(backend, call)
    status = instance.status(backend.clock.now())
    if status in CANNOT_DELETE or (instance.option("deletable") == "stopped" and status not in CAN_START):
        raise invalid(f"The instance {instance.instance_id} is {status} and cannot be deleted.")
    steps = backend._steps(instance, "delete")
    instance.move(Timeline(steps, backend.clock.now()), instance.option("stale_reads"))
    call.shown = instance.status(backend.clock.now())
    return {**envelope(call), "InstanceId": instance.instance_id}
