"""The hook: a connection's client, every call of the service, and the one retry layer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import BaseHook
from tenacity import (
    AsyncRetrying,
    BaseRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
    wait_random,
)

from airflow_provider_dsw.arguments import check_id, check_image_url, check_snapshot_name, nearest
from airflow_provider_dsw.exceptions import DswAccessDeniedError, DswTransientError
from airflow_provider_dsw.hooks import connection as connections
from airflow_provider_dsw.hooks import fields
from airflow_provider_dsw.hooks.credentials import Credentials
from airflow_provider_dsw.hooks.errors import Failure, lacks_permission
from airflow_provider_dsw.hooks.masking import Masker
from airflow_provider_dsw.hooks.wire import AsyncWire, Request, send

_INSTANCES = "/api/v2/instances"

TRIES = 4
TOTAL_TIME_LIMIT = 60.0
"""Seconds for one call with its retries; a longer ``connect_timeout`` plus ``read_timeout`` widens it."""
PAGE_SIZE = 100
_BACKOFF = wait_exponential(multiplier=0.5, max=10) + wait_random(0, 0.5)

_IS_TRANSIENT = retry_if_exception_type(DswTransientError)

# What is wrong with an answer, in words; None where nothing is.
Check = Callable[[dict[str, Any]], str | None]

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


class DswHook(BaseHook):
    """
    Calls PAI-DSW (``pai-dsw/2022-01-01``) through a connection of type ``dsw``.

    Every method checks its ids before any request (``ValueError``), checks that the answer is about the id
    asked for, retries transient errors with exponential backoff and jitter within a total time limit, and
    raises what derives from :class:`~airflow_provider_dsw.exceptions.DswError`.

    :param dsw_conn_id: the connection's id.
    :param region: region id, e.g. ``cn-hangzhou``, in place of the connection's own.
    """

    conn_name_attr = "dsw_conn_id"
    default_conn_name = "dsw_default"
    conn_type = fields.CONN_TYPE
    hook_name = fields.HOOK_NAME

    def __init__(self, dsw_conn_id: str = default_conn_name, *, region: str | None = None) -> None:
        super().__init__()
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        self._lock = threading.RLock()
        self._masker = Masker()
        self._connection: connections.DswConnection | None = None
        self._fetched: Credentials | None = None
        self._client: Any = None
        self._wire: AsyncWire | None = None

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the connection form's own fields for Airflow 3.1; newer ones read the provider's metadata."""
        return fields.widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return what becomes of the form's standard fields, for Airflow 3.1."""
        return {name.replace("-", "_"): value for name, value in fields.field_behaviour().items()}

    # The connection and its clients

    @property
    def connection(self) -> connections.DswConnection:
        """The checked connection, looked up at the first use."""
        with self._lock:
            if self._connection is None:
                connection = connections.parse(self.get_connection(self.dsw_conn_id), self.region)
                self._masker.tell(connection.secrets)
                self._connection = connection
            return self._connection

    @property
    def _credentials(self) -> Credentials:
        with self._lock:
            if self._fetched is None:
                self._fetched = Credentials(self.connection)
            return self._fetched

    def get_conn(self) -> Any:
        """
        Return the SDK's client, ``alibabacloud_pai_dsw20220101.client.Client``: one for the hook's life.

        :raises DswConnectionError: where the connection lacks a field; the message names it.
        """
        with self._lock:
            if self._client is None:
                self._client = self.connection.sdk_client(self._credentials.for_sdk())
            return self._client

    # Calls

    def get_instance(self, instance_id: str, *, token: str | None = None, tries: int = TRIES) -> dict[str, Any]:
        """
        Return GetInstance's answer: every field that the service sent, unchanged and in its order.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param token: a sharing token.
        :param tries: how often to ask at most, where the service can't answer.
        """
        return self._call(*_get_instance(instance_id, token), tries)

    def get_instance_snapshot(self, instance_id: str, snapshot_id: str, *, tries: int = TRIES) -> dict[str, Any]:
        """
        Return GetInstanceSnapshot's answer, unchanged.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param snapshot_id: e.g. ``snp-05cefd0be2exxxx``.
        :param tries: how often to ask at most, where the service can't answer.
        """
        return self._call(*_get_instance_snapshot(instance_id, snapshot_id), tries)

    async def aget_instance(self, instance_id: str, *, token: str | None = None, tries: int = TRIES) -> dict[str, Any]:
        """As :meth:`get_instance`, without blocking the event loop."""
        return await self._acall(*_get_instance(instance_id, token), tries)

    async def aget_instance_snapshot(self, instance_id: str, snapshot_id: str, *, tries: int = TRIES) -> dict[str, Any]:
        """As :meth:`get_instance_snapshot`, without blocking the event loop."""
        return await self._acall(*_get_instance_snapshot(instance_id, snapshot_id), tries)

    def list_instances(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """
        Iterate over the instances of all pages.

        :param filters: ListInstances' parameters in snake_case, e.g. ``workspace_id="ALL"``,
            ``resource_id="ALL"``, ``status="Running"``, ``instance_id=["dsw-1", "dsw-2"]``. An absent
            ``workspace_id`` means the caller's default workspace, an absent ``resource_id`` pay-as-you-go
            only (ListInstances' page).
        :raises ValueError: on an unknown filter, or on ``sort_by`` without ``order`` or the reverse.
        """
        query = _list_query(filters)
        return self._pages(Request("ListInstances", "GET", _INSTANCES, query), "ListInstances", "Instances")

    def list_instance_snapshots(self, instance_id: str) -> Iterator[dict[str, Any]]:
        """
        Iterate over an instance's snapshots, as ListInstanceSnapshot sends them: with ``SnapshotId`` and ``Labels``.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        """
        check_id("instance_id", instance_id)
        path = f"{_INSTANCES}/{instance_id}/snapshots"
        request = Request("ListInstanceSnapshot", "GET", path, {"PageSize": str(PAGE_SIZE)})
        return self._pages(request, f"ListInstanceSnapshot of {instance_id}", "Snapshots", InstanceId=instance_id)

    def _pages(self, request: Request, asked: str, name: str, **ids: str) -> Iterator[dict[str, Any]]:
        seen, page = 0, 1
        while True:
            of_page = replace(request, query={**request.query, "PageNumber": str(page)})
            answer = self._call(of_page, asked, _holds_list(name, **ids))
            yield from answer[name]
            seen += len(answer[name])
            total = answer.get("TotalCount")
            if not answer[name] or (isinstance(total, int) and seen >= total):
                return
            page += 1

    def start_instance(self, instance_id: str) -> dict[str, Any]:
        """
        Ask for a start and return the answer; the start itself takes minutes.

        :param instance_id: of an instance that is ``Stopped`` or ``Failed`` (StartInstance's page).
        """
        check_id("instance_id", instance_id)
        request = Request("StartInstance", "PUT", f"{_INSTANCES}/{instance_id}/start")
        return self._call(request, f"StartInstance of {instance_id}", _about(InstanceId=instance_id))

    def stop_instance(self, instance_id: str, *, save_image: bool = False) -> dict[str, Any]:
        """
        Ask for a stop and return the answer.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param save_image: save the image before stopping.
        """
        return self._call(*_stop_instance(instance_id, save_image))

    async def astop_instance(self, instance_id: str, *, save_image: bool = False) -> dict[str, Any]:
        """As :meth:`stop_instance`, without blocking the event loop."""
        return await self._acall(*_stop_instance(instance_id, save_image))

    def create_instance_snapshot(
        self,
        instance_id: str,
        *,
        snapshot_name: str,
        image_url: str,
        description: str | None = None,
        overwrite: bool | None = None,
        exclude_paths: Sequence[str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """
        Ask for a snapshot of the instance's image and return the answer, with ``SnapshotId``.

        :param instance_id: of a running instance.
        :param snapshot_name: lowercase letters, digits and hyphens (CreateInstanceSnapshot's page).
        :param image_url: where to push the image, e.g. ``registry.cn-hangzhou.aliyuncs.com/ns/repo:tag``.
        :param description: ``SnapshotDescription``.
        :param overwrite: overwrite an image of that URL.
        :param exclude_paths: paths that stay out of the image.
        :param labels: name → value.
        """
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
        return self._call(request, f"CreateInstanceSnapshot of {instance_id}", _check_created)

    def test_connection(self) -> tuple[bool, str]:
        """
        Return whether the connection works, and in words what is wrong where it does not.

        One ListInstances, without retries. Where that is denied but the credentials are good, they count as
        working: whether they may do GetInstance, only an instance's id would show.
        """
        request = Request("ListInstances", "GET", _INSTANCES, {"PageSize": "1", "WorkspaceId": "ALL"})
        try:
            answer = self._call(request, "ListInstances", _holds_list("Instances"), tries=1)
        except DswAccessDeniedError as error:
            if lacks_permission(error):
                return True, f"The credentials are valid. They may not list instances, which waits do not need. {error}"
            return False, str(error)
        except AirflowException as error:
            return False, str(error)
        return (
            True,
            f"PAI-DSW at {self.connection.endpoint} answers. Instances that it lists: {answer.get('TotalCount', 0)}.",
        )

    # The one retry layer

    def _call(self, request: Request, asked: str, check: Check, tries: int = TRIES) -> dict[str, Any]:
        client, credentials = self.get_conn(), self._credentials
        self._masker.tell(request.secrets)
        policy, deadline = self._retry_policy(tries)

        def attempt() -> dict[str, Any]:
            outcome = send(client, credentials, self._masker, request, deadline - time.monotonic())
            return self._conclude(request, asked, check, outcome, retrying, tries)

        retrying = Retrying(**policy)
        return retrying(attempt)

    async def _acall(self, request: Request, asked: str, check: Check, tries: int = TRIES) -> dict[str, Any]:
        await self.aload()
        await self._masker.atell(request.secrets)
        policy, deadline = self._retry_policy(tries)
        async with self._open_wire() as wire:

            async def attempt() -> dict[str, Any]:
                outcome = await wire.send(request, deadline - time.monotonic())
                return self._conclude(request, asked, check, outcome, retrying, tries)

            retrying = AsyncRetrying(**policy)
            try:
                return await retrying(attempt)
            finally:
                # Else a reference cycle a poll: Python's collector would stop the triggerer's loop to find them.
                retrying.iter_state.reset()

    def _retry_policy(self, tries: int) -> tuple[dict[str, Any], float]:
        connection = self.connection
        limit = max(TOTAL_TIME_LIMIT, connection.connect_timeout + connection.read_timeout)
        policy = {
            "stop": stop_after_attempt(tries) | stop_before_delay(limit),
            "wait": _pause,
            "retry": _IS_TRANSIENT,
            "before_sleep": self._log_retry,
            "reraise": True,
        }
        return policy, time.monotonic() + limit

    def _log_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self.log.info("%s Trying again in %.1f s.", error, state.upcoming_sleep)

    def _conclude(
        self,
        request: Request,
        asked: str,
        check: Check,
        outcome: dict[str, Any] | Failure,
        retrying: BaseRetrying,
        tries: int,
    ) -> dict[str, Any]:
        if isinstance(outcome, dict):
            wrong = check(outcome)
            if wrong is None:
                return outcome
            outcome = Failure(cause=wrong)
        connection = self.connection
        transient = outcome.kind is DswTransientError
        made = retrying.statistics["attempt_number"]
        error = outcome.without((*connection.secrets, *request.secrets)).error(
            asked=asked,
            action=request.action,
            endpoint=f"{connection.endpoint} (connection {connection.conn_id!r})",
            attempt=f"(try {made} of {tries})" if transient and tries > 1 else "",
        )
        error.tries = made
        raise error

    # The asynchronous side

    async def aload(self) -> DswHook:
        """
        Look the connection up without blocking the event loop, and return the hook.

        :raises DswConnectionError: where the connection lacks a field.
        """
        if self._connection is None:
            from airflow.providers.common.compat.connection import get_async_connection

            connection = connections.parse(await get_async_connection(self.dsw_conn_id), self.region)
            await self._masker.atell(connection.secrets)
            self._connection = connection
        return self

    async def __aenter__(self) -> DswHook:
        """Keep connections alive between all ``aget_…`` calls until the end of the ``async with`` block."""
        await self.aload()
        self._wire = self._new_wire()
        return self

    async def __aexit__(self, *_: object) -> None:
        wire, self._wire = self._wire, None
        if wire:
            await wire.aclose()

    def _new_wire(self) -> AsyncWire:
        return AsyncWire(self.connection, self._credentials, self._masker)

    @asynccontextmanager
    async def _open_wire(self) -> AsyncIterator[AsyncWire]:
        if self._wire:
            yield self._wire
            return
        async with aclosing(self._new_wire()) as wire:
            yield wire


def _get_instance(instance_id: str, token: str | None) -> tuple[Request, str, Check]:
    check_id("instance_id", instance_id)
    query = {"Token": token} if token else {}
    request = Request("GetInstance", "GET", f"{_INSTANCES}/{instance_id}", query)
    return request, f"GetInstance of {instance_id}", _about(InstanceId=instance_id)


def _get_instance_snapshot(instance_id: str, snapshot_id: str) -> tuple[Request, str, Check]:
    check_id("instance_id", instance_id)
    check_id("snapshot_id", snapshot_id)
    request = Request("GetInstanceSnapshot", "GET", f"{_INSTANCES}/{instance_id}/snapshots/{snapshot_id}")
    asked = f"GetInstanceSnapshot of {snapshot_id} of {instance_id}"
    return request, asked, _about(InstanceId=instance_id, SnapshotId=snapshot_id)


def _stop_instance(instance_id: str, save_image: bool) -> tuple[Request, str, Check]:
    check_id("instance_id", instance_id)
    query = {"SaveImage": "true" if save_image else "false"}
    request = Request("StopInstance", "PUT", f"{_INSTANCES}/{instance_id}/stop", query)
    return request, f"StopInstance of {instance_id}", _about(InstanceId=instance_id)


def _about(**ids: str) -> Check:
    """Return a check that an answer is about these ids: connections that are shared after a fork mix answers up."""

    def check(answer: dict[str, Any]) -> str | None:
        found = {name: answer[name] for name in ids if name in answer}
        if found and all(found[name] == ids[name] for name in found):
            return None
        about = ", ".join(f"{name} {value!r}" for name, value in found.items()) or "nothing that was asked for"
        return f"the answer is about {about}"

    return check


def _check_created(answer: dict[str, Any]) -> str | None:
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
    query = {"PageSize": str(PAGE_SIZE)}
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


def _pause(state: RetryCallState) -> float:
    """Exponential with jitter, but never sooner than the service asks."""
    error = state.outcome.exception() if state.outcome else None
    return max(_BACKOFF(state), getattr(error, "retry_after", None) or 0.0)
