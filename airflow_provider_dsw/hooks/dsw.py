"""The hook: a connection's client, its calls of the service, and the one retry layer."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

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

from airflow_provider_dsw.exceptions import DswAccessDeniedError, DswTransientError
from airflow_provider_dsw.hooks import calls, fields
from airflow_provider_dsw.hooks import connection as connections
from airflow_provider_dsw.hooks.credentials import Credentials
from airflow_provider_dsw.hooks.errors import Failure, lacks_permission
from airflow_provider_dsw.hooks.masking import Masker
from airflow_provider_dsw.hooks.wire import AsyncWire, send
from airflow_provider_dsw.version_compat import (
    AirflowException,
    aget_connection,
    connection_form_widgets,
    ui_field_behaviour,
)

TRIES = 4
TOTAL_TIME_LIMIT = 60.0
"""Seconds for one call with its retries; a longer ``connect_timeout`` plus ``read_timeout`` widens it."""
_BACKOFF = wait_exponential(multiplier=0.5, max=10) + wait_random(0, 0.5)
_IS_TRANSIENT = retry_if_exception_type(DswTransientError)


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
        """Return the connection form's own fields, where Airflow reads them here."""
        return connection_form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return what becomes of the form's standard fields, where Airflow reads it here."""
        return ui_field_behaviour()

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
        return self._call(calls.get_instance(instance_id, token), tries)

    def get_instance_snapshot(self, instance_id: str, snapshot_id: str, *, tries: int = TRIES) -> dict[str, Any]:
        """
        Return GetInstanceSnapshot's answer, unchanged.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param snapshot_id: e.g. ``snp-05cefd0be2exxxx``.
        :param tries: how often to ask at most, where the service can't answer.
        """
        return self._call(calls.get_instance_snapshot(instance_id, snapshot_id), tries)

    async def aget_instance(self, instance_id: str, *, token: str | None = None, tries: int = TRIES) -> dict[str, Any]:
        """As :meth:`get_instance`, without blocking the event loop."""
        return await self._acall(calls.get_instance(instance_id, token), tries)

    async def aget_instance_snapshot(self, instance_id: str, snapshot_id: str, *, tries: int = TRIES) -> dict[str, Any]:
        """As :meth:`get_instance_snapshot`, without blocking the event loop."""
        return await self._acall(calls.get_instance_snapshot(instance_id, snapshot_id), tries)

    def list_instances(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """
        Iterate over the instances of all pages.

        :param filters: ListInstances' parameters in snake_case, e.g. ``workspace_id="ALL"``,
            ``resource_id="ALL"``, ``status="Running"``, ``instance_id=["dsw-1", "dsw-2"]``. An absent
            ``workspace_id`` means the caller's default workspace, an absent ``resource_id`` pay-as-you-go
            only (ListInstances' page).
        :raises ValueError: on an unknown filter, or on ``sort_by`` without ``order`` or the reverse.
        """
        return self._pages(calls.list_instances(filters), "Instances")

    def list_instance_snapshots(self, instance_id: str) -> Iterator[dict[str, Any]]:
        """
        Iterate over an instance's snapshots, as ListInstanceSnapshot sends them: with ``SnapshotId`` and ``Labels``.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        """
        return self._pages(calls.list_instance_snapshots(instance_id), "Snapshots")

    def _pages(self, call: calls.Call, name: str) -> Iterator[dict[str, Any]]:
        seen, page = 0, 1
        while True:
            answer = self._call(call.page(page))
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
        return self._call(calls.start_instance(instance_id))

    def stop_instance(self, instance_id: str, *, save_image: bool = False) -> dict[str, Any]:
        """
        Ask for a stop and return the answer.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param save_image: save the image before stopping.
        """
        return self._call(calls.stop_instance(instance_id, save_image))

    async def astop_instance(self, instance_id: str, *, save_image: bool = False) -> dict[str, Any]:
        """As :meth:`stop_instance`, without blocking the event loop."""
        return await self._acall(calls.stop_instance(instance_id, save_image))

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
        return self._call(
            calls.create_instance_snapshot(
                instance_id, snapshot_name, image_url, description, overwrite, exclude_paths, labels
            )
        )

    def test_connection(self) -> tuple[bool, str]:
        """
        Return whether the connection works, and in words what is wrong where it does not.

        One ListInstances, without retries. Where that is denied but the credentials are good, they count as
        working: whether they may do GetInstance, only an instance's id would show.
        """
        try:
            answer = self._call(calls.list_instances({"page_size": 1, "workspace_id": "ALL"}), tries=1)
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

    def _call(self, call: calls.Call, tries: int = TRIES) -> dict[str, Any]:
        client, credentials = self.get_conn(), self._credentials
        self._masker.tell(call.request.secrets)
        deadline = self._deadline()

        def attempt() -> dict[str, Any]:
            outcome = send(client, credentials, self._masker, call.request, deadline - time.monotonic())
            return self._conclude(call, outcome, retrying, tries)

        def log_retry(state: RetryCallState) -> None:
            self.log.info(_retry_line(state))

        retrying = Retrying(**self._retry_policy(tries, deadline), before_sleep=log_retry)
        return retrying(attempt)

    async def _acall(self, call: calls.Call, tries: int = TRIES) -> dict[str, Any]:
        await self.aload()
        await self._masker.atell(call.request.secrets)
        deadline = self._deadline()
        async with self._open_wire() as wire:
            first: dict[str, Any] | Failure | None = await wire.send(call.request, deadline - time.monotonic())
            if isinstance(first, dict) and call.check(first) is None:
                # tenacity takes longer than the signature, which counts where a thousand waits poll.
                return first

            async def attempt() -> dict[str, Any]:
                nonlocal first
                outcome, first = first, None
                if outcome is None:
                    outcome = await wire.send(call.request, deadline - time.monotonic())
                return self._conclude(call, outcome, retrying, tries)

            async def log_retry(state: RetryCallState) -> None:
                await self.log.ainfo(_retry_line(state))

            retrying = AsyncRetrying(**self._retry_policy(tries, deadline), before_sleep=log_retry)
            try:
                return await retrying(attempt)
            finally:
                # Else a reference cycle a poll: Python's collector would stop the triggerer's loop to find them.
                retrying.iter_state.reset()

    def _deadline(self) -> float:
        connection = self.connection
        return time.monotonic() + max(TOTAL_TIME_LIMIT, connection.connect_timeout + connection.read_timeout)

    def _retry_policy(self, tries: int, deadline: float) -> dict[str, Any]:
        return {
            "stop": stop_after_attempt(tries) | stop_before_delay(deadline - time.monotonic()),
            "wait": _pause,
            "retry": _IS_TRANSIENT,
            "reraise": True,
        }

    def _conclude(
        self,
        call: calls.Call,
        outcome: dict[str, Any] | Failure,
        retrying: BaseRetrying,
        tries: int,
    ) -> dict[str, Any]:
        if isinstance(outcome, dict):
            wrong = call.check(outcome)
            if wrong is None:
                return outcome
            outcome = Failure(cause=wrong)
        connection = self.connection
        transient = outcome.kind is DswTransientError
        made = retrying.statistics["attempt_number"]
        error = outcome.without((*connection.secrets, *call.request.secrets)).error(
            asked=call.asked,
            action=call.request.action,
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
            connection = connections.parse(await aget_connection(self.dsw_conn_id), self.region)
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


def _retry_line(state: RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    return f"{error} Trying again in {state.upcoming_sleep:.1f} s."


def _pause(state: RetryCallState) -> float:
    """Exponential with jitter, but never sooner than the service asks."""
    error = state.outcome.exception() if state.outcome else None
    return max(_BACKOFF(state), getattr(error, "retry_after", None) or 0.0)
