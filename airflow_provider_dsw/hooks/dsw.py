"""The hook: a connection's client, its calls of the service, and the one retry layer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.sdk import BaseHook
from tenacity import (
    AsyncRetrying,
    BaseRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
    wait_random,
)

from airflow_provider_dsw import validation
from airflow_provider_dsw.client import api, connection_fields
from airflow_provider_dsw.client.failures import Failure, is_denial, lacks_permission, near_operation, shows_acceptance
from airflow_provider_dsw.client.masker import Masker
from airflow_provider_dsw.exceptions import DswAccessDeniedError, DswRequestError, DswTransientError
from airflow_provider_dsw.secrets import forget_locals, word_in
from airflow_provider_dsw.version_compat import (
    AirflowException,
    aget_connection,
    connection_form_widgets,
    get_connection,
    ui_field_behaviour,
)

if TYPE_CHECKING:
    from airflow_provider_dsw.client.access import Access
    from airflow_provider_dsw.client.awaiting_sender import AwaitingSender
    from airflow_provider_dsw.client.connection import DswConnection
    from airflow_provider_dsw.client.pool import Pool
    from airflow_provider_dsw.client.steps import AirflowCall, Flow
    from airflow_provider_dsw.client.transport import Outcome

MAX_ATTEMPTS = 4
TOTAL_TIME_LIMIT = 60.0
"""Seconds for one call with its retries; a longer ``connect_timeout`` plus ``read_timeout`` widens it."""
_BACKOFF = wait_exponential(multiplier=0.5, max=10) + wait_random(0, 0.5)


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
    conn_type = connection_fields.CONN_TYPE
    hook_name = connection_fields.HOOK_NAME

    def __init__(self, dsw_conn_id: str = default_conn_name, *, region: str | None = None) -> None:
        # The way to the service is loaded with the first hook. A DAG file imports this, and makes none.
        from airflow_provider_dsw.client.access import CurrentAccess
        from airflow_provider_dsw.client.blocking_sender import BlockingSender

        super().__init__()
        self.dsw_conn_id = validation.text("dsw_conn_id", dsw_conn_id)
        self.region = validation.region("region", region)
        self._masker = Masker()
        self._access = CurrentAccess(self.dsw_conn_id, self.region, self._masker)
        self._sender = BlockingSender()
        self._senders: WeakKeyDictionary[asyncio.AbstractEventLoop, _SharedSender] = WeakKeyDictionary()

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
    def connection(self) -> DswConnection:
        """The checked connection, looked up at the first use."""
        return self._load().connection

    def get_conn(self) -> Any:
        """
        Return the SDK's client, ``alibabacloud_pai_dsw20220101.client.Client``.

        One for the hook's life, until access is denied and the connection, looked up again, has changed.

        :raises DswConnectionError: if the connection lacks a field; the message names it.
        """
        return self._sender.run(self._load().sdk_client())

    # Calls

    def get_instance(
        self, instance_id: str, *, token: str | None = None, fields: str | None = None, attempts: int | None = None
    ) -> dict[str, Any]:
        """
        Return GetInstance's answer: every field that the service sent, unchanged and in its order.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param token: a sharing token.
        :param fields: the request's ``Fields``, passed on as it is; the API documents no more than its name. The
            answer then need not hold an InstanceId.
        :param attempts: how many requests to send at most while the service can't answer; None: as usual.
        """
        call = api.get_instance(instance_id, token, fields)
        del token  # A traceback may be printed with all local variables.
        return self._call(call, attempts)

    def get_instance_snapshot(
        self, instance_id: str, snapshot_id: str, *, attempts: int | None = None
    ) -> dict[str, Any]:
        """
        Return GetInstanceSnapshot's answer, unchanged.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param snapshot_id: e.g. ``snp-05cefd0be2exxxx``.
        :param attempts: how many requests to send at most while the service can't answer; None: as usual.
        """
        return self._call(api.get_instance_snapshot(instance_id, snapshot_id), attempts)

    async def aget_instance(
        self, instance_id: str, *, token: str | None = None, fields: str | None = None, attempts: int | None = None
    ) -> dict[str, Any]:
        """As :meth:`get_instance`, without blocking the event loop."""
        call = api.get_instance(instance_id, token, fields)
        del token
        return await self._acall(call, attempts)

    async def aget_instance_snapshot(
        self, instance_id: str, snapshot_id: str, *, attempts: int | None = None
    ) -> dict[str, Any]:
        """As :meth:`get_instance_snapshot`, without blocking the event loop."""
        return await self._acall(api.get_instance_snapshot(instance_id, snapshot_id), attempts)

    def list_instances(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """
        Iterate over the instances of all pages.

        :param filters: ListInstances' parameters in snake_case, e.g. ``workspace_id="ALL"``,
            ``resource_id="ALL"``, ``status="Running"``, ``instance_id=["dsw-1", "dsw-2"]``. An absent
            ``workspace_id`` means the caller's default workspace, an absent ``resource_id`` pay-as-you-go
            only (ListInstances' page).
        :raises ValueError: on an unknown filter, or on ``sort_by`` without ``order`` or the reverse.
        """
        return self._pages(api.list_instances(filters), "Instances")

    def list_instance_snapshots(self, instance_id: str) -> Iterator[dict[str, Any]]:
        """
        Iterate over an instance's snapshots, as ListInstanceSnapshot sends them: with ``SnapshotId`` and ``Labels``.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        """
        return self._pages(api.list_instance_snapshots(instance_id), "Snapshots")

    def _pages(self, call: api.ApiCall, name: str) -> Iterator[dict[str, Any]]:
        seen, begin, size = 0, 0, call.page_size
        while True:
            try:
                answer = self._call(call.page(begin // size + 1, size), is_page=size > 1)
            except _TooLargePage:
                size = api.smaller_page(size)
                continue
            yield from answer[name]
            seen, begin = seen + len(answer[name]), begin + size
            total = answer.get("TotalCount")
            if not answer[name] or (isinstance(total, int) and seen >= total):
                return
            del answer

    def start_instance(self, instance_id: str) -> dict[str, Any]:
        """
        Ask for a start and return the answer; the start itself takes minutes.

        :param instance_id: of an instance that is ``Stopped`` or ``Failed`` (StartInstance's page).
        """
        return self._call(api.start_instance(instance_id))

    def stop_instance(self, instance_id: str, *, save_image: bool = False) -> dict[str, Any]:
        """
        Ask for a stop and return the answer.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param save_image: save the image before stopping.
        """
        return self._call(api.stop_instance(instance_id, save_image))

    async def astop_instance(self, instance_id: str, *, save_image: bool = False) -> dict[str, Any]:
        """As :meth:`stop_instance`, without blocking the event loop."""
        return await self._acall(api.stop_instance(instance_id, save_image))

    def create_instance_snapshot(
        self,
        instance_id: str,
        *,
        snapshot_name: str,
        image_url: str,
        description: str | None = None,
        overwrite: bool | None = None,
        exclude_paths: Sequence[str] | None = None,
        labels: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
    ) -> dict[str, Any]:
        """
        Ask for a snapshot of the instance's image and return the answer, with ``SnapshotId``.

        :param instance_id: of a running instance.
        :param snapshot_name: lowercase letters, digits and hyphens (CreateInstanceSnapshot's page).
        :param image_url: where to push the image, e.g. ``registry.cn-hangzhou.aliyuncs.com/ns/repo:tag``.
        :param description: ``SnapshotDescription``.
        :param overwrite: overwrite an image of that URL.
        :param exclude_paths: paths that stay out of the image.
        :param labels: name → value, or the API's own list of ``Key`` and ``Value``.
        """
        return self._call(
            api.create_instance_snapshot(
                instance_id, snapshot_name, image_url, description, overwrite, exclude_paths, labels
            )
        )

    def create_instance(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """
        Ask for a new instance and return the answer, with ``InstanceId``.

        The API has no idempotency token: a request whose answer was lost may have made an instance.

        :param body: CreateInstance's fields, under the API's names.
        """
        call = api.create_instance(body)
        del body
        return self._call(call)

    def delete_instance(self, instance_id: str) -> dict[str, Any]:
        """
        Ask for an instance's deletion and return the answer; the deletion itself takes minutes.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        """
        return self._call(api.delete_instance(instance_id))

    def get_instance_events(
        self,
        instance_id: str,
        *,
        limit: int = 100,
        since: datetime | None = None,
        attempts: int | None = None,
        time_limit: float = math.inf,
    ) -> list[str]:
        """
        Return the newest of an instance's event lines, the newest last.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param limit: how many lines at most.
        :param since: an aware datetime; no older events.
        :param attempts: how many requests to send at most while the service can't answer; None: as usual.
        :param time_limit: seconds for all of it, if that is less than a call may take anyway.
        """
        validation.whole_number("limit", limit)
        answer = self._call(api.get_instance_events(instance_id, since), attempts, time_limit=time_limit)
        return api.oldest_first(answer.get("Events") or [])[-limit:]

    def get_lifecycle(
        self, instance_id: str, *, sessions: int = 100, attempts: int | None = None, time_limit: float = math.inf
    ) -> list[list[dict[str, Any]]]:
        """
        Return the statuses that an instance had, with their times and reasons, by session: from a start to its end.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param sessions: how many at most; the newest, newest first.
        :param attempts: how many requests to send at most while the service can't answer; None: as usual.
        :param time_limit: seconds for all of it, if that is less than a call may take anyway.
        """
        answer = self._call(api.get_lifecycle(instance_id, sessions), attempts, time_limit=time_limit)
        return answer.get("Lifecycle") or []

    def set_shutdown_timer(self, instance_id: str, *, after: float | timedelta) -> dict[str, Any]:
        """
        Let the service stop an instance after some time, and return the answer.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :param after: seconds from now, or a timedelta.
        """
        return self._call(api.create_shutdown_timer(instance_id, after))

    def delete_shutdown_timer(self, instance_id: str) -> dict[str, Any]:
        """
        Delete an instance's shutdown timer, and return the answer.

        :param instance_id: e.g. ``dsw-730xxxxxxxxxx``.
        :raises DswInstanceNotFoundError: if it has none.
        """
        return self._call(api.delete_shutdown_timer(instance_id))

    def call(
        self,
        action: str,
        *,
        method: str = "GET",
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Call any other operation of the API, and return its answer.

        The limits, the errors and the masking are those of all methods. Only a GET is repeated if the service
        can't answer; anything else is sent once.

        :param action: its name, e.g. ``GetLifecycle``.
        :param method: ``GET``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
        :param path: below the endpoint, e.g. ``/api/v2/instances/dsw-730xxxxxxxxxx/lifecycle``.
        :param query: parameters under the API's names; None values are left out.
        :param body: a JSON object under the API's names.
        :raises ValueError: if one of these is malformed; nothing is sent then.
        """
        call = api.any_operation(action, method, path, query, body)
        del query, body
        try:
            return self._call(call, 1 if call.request.changes else None)
        except DswRequestError as error:
            error.args = (f"{error}{near_operation(error, action)}",)
            raise

    def test_connection(self) -> tuple[bool, str]:
        """
        Return whether the connection works, and in words what is wrong where it does not.

        One ListInstances, without retries. Where that is denied but the credentials are good, they count as
        working: whether they may do GetInstance, only an instance's id would show.
        """
        works, words = self._try_connection()
        # Not the property, which would look the connection up.
        access = self._access.found
        # The form's button tests a connection under a random id.
        words = words.replace(f" (connection {self.dsw_conn_id!r})", "").replace(
            f"Connection {self.dsw_conn_id!r}: ", ""
        )
        return works, f"{words}{access.connection.hint if access else ''}"

    def _try_connection(self) -> tuple[bool, str]:
        try:
            answer = self._call(api.list_instances({"page_size": 1, "workspace_id": "ALL"}), attempts=1)
        except DswAccessDeniedError as error:
            if lacks_permission(error):
                return True, f"The credentials are valid. They may not list instances, which no wait needs. {error}"
            return False, str(error)
        except AirflowException as error:
            return False, str(error)
        number = word_in(answer, "TotalCount") or "0"
        return True, f"PAI-DSW at {self.connection.endpoint} answers. Instances listed: {number}."

    # The one retry layer, around the first try of a call: tenacity takes longer than the signature, which counts where
    # a thousand waits poll.

    def _call(
        self, call: api.ApiCall, attempts: int | None = None, *, is_page: bool = False, time_limit: float = math.inf
    ) -> dict[str, Any]:
        try:
            return self._call_and_retry(call, attempts, is_page, time_limit)
        except BaseException as error:
            # Whoever catches it, a task's timeout as a rule, does not expect an open connection.
            self._sender.pool.close()
            forget_locals(error)
            raise

    def _call_and_retry(
        self, call: api.ApiCall, attempts: int | None, is_page: bool, time_limit: float
    ) -> dict[str, Any]:
        began, run = time.monotonic(), self._sender.run
        attempts, deadline = self._limits(self._load(), attempts)
        deadline = min(deadline, began + time_limit)
        run(self._masker.mask(call.request.parameter_secrets))
        first: Outcome | None = run(self._exchange(call, began, self._sender.pool), deadline)
        if isinstance(first, dict) and call.check(first) is None:
            return first

        def attempt() -> dict[str, Any]:
            nonlocal first
            outcome, first = first, None
            if outcome is None:
                outcome = run(self._exchange(call, began, self._sender.pool), deadline)
            return self._result_or_raise(call, outcome, retrying, attempts, is_page)

        def log_retry(state: RetryCallState) -> None:
            self.log.info(_retry_line(state))

        retrying = Retrying(**self._retry_policy(attempts, deadline), before_sleep=log_retry)
        return retrying(attempt)

    async def _acall(self, call: api.ApiCall, attempts: int | None = None) -> dict[str, Any]:
        try:
            return await self._acall_and_retry(call, attempts)
        except BaseException as error:
            forget_locals(error)
            raise

    async def _acall_and_retry(self, call: api.ApiCall, attempts: int | None) -> dict[str, Any]:
        began = time.monotonic()
        async with self:
            sender = self._senders[asyncio.get_running_loop()].sender
            attempts, deadline = self._limits(self._load(), attempts)
            await sender.run(self._masker.mask(call.request.parameter_secrets))
            first: Outcome | None = await sender.run(self._exchange(call, began, sender.pool), deadline)
            if isinstance(first, dict) and call.check(first) is None:
                return first

            async def attempt() -> dict[str, Any]:
                nonlocal first
                outcome, first = first, None
                if outcome is None:
                    outcome = await sender.run(self._exchange(call, began, sender.pool), deadline)
                return self._result_or_raise(call, outcome, retrying, attempts)

            async def log_retry(state: RetryCallState) -> None:
                await self.log.ainfo(_retry_line(state))

            retrying = AsyncRetrying(**self._retry_policy(attempts, deadline), before_sleep=log_retry)
            try:
                return await retrying(attempt)
            finally:
                # Else a reference cycle a poll: Python's collector would stop the triggerer's loop to find them.
                retrying.iter_state.reset()

    def _exchange(self, call: api.ApiCall, began: float, pool: Pool) -> Flow[Outcome]:
        """Send a request; if access is denied, once more if the connection or its credentials have changed."""
        from airflow_provider_dsw.client.transport import send

        request, mask = call.request, self._masker.mask
        access = yield from self._access.load(self._look_up)
        outcome: Outcome = yield from send(request, access, pool, mask)
        if is_denial(outcome):
            renewed = yield from self._access.renew(access, began, self._look_up)
            if isinstance(renewed, Failure):
                return renewed
            if renewed is access:
                return outcome
            access, outcome = renewed, (yield from send(request, renewed, pool, mask))
        if shows_acceptance(outcome):
            access.mark_accepted()
        return outcome

    def _limits(self, access: Access, attempts: int | None) -> tuple[int, float]:
        """Return how many requests a call may send, and until when: all that it takes of the connection."""
        connection = access.connection
        seconds = max(TOTAL_TIME_LIMIT, connection.connect_timeout + connection.read_timeout)
        return attempts or MAX_ATTEMPTS, time.monotonic() + seconds

    def _retry_policy(self, attempts: int, deadline: float) -> dict[str, Any]:
        return {
            "stop": stop_after_attempt(attempts) | stop_before_delay(deadline - time.monotonic()),
            "wait": _retry_wait,
            "retry": retry_if_exception(_is_retryable),
            "reraise": True,
        }

    def _result_or_raise(
        self, call: api.ApiCall, outcome: Outcome, retrying: BaseRetrying, attempts: int, is_page: bool = False
    ) -> dict[str, Any]:
        if isinstance(outcome, dict):
            wrong = call.check(outcome)
            if wrong is None:
                return outcome
            outcome = Failure(cause=wrong)
        if outcome.is_too_large and is_page:
            raise _TooLargePage
        connection = self.connection
        transient = outcome.error_class is DswTransientError
        made = retrying.statistics["attempt_number"]
        raise outcome.error(
            description=call.description,
            action=call.request.action,
            endpoint=f"{connection.endpoint} (connection {connection.conn_id!r})",
            attempt=f"(attempt {made} of {attempts})" if transient and attempts > 1 else "",
            changes=call.request.changes,
            secrets=(*connection.secrets, *call.request.secrets),
        )

    # The connection, and the senders

    @property
    def _look_up(self) -> AirflowCall:
        from airflow_provider_dsw.client.steps import AirflowCall

        return AirflowCall(
            partial(get_connection, self, self.dsw_conn_id), partial(aget_connection, self, self.dsw_conn_id)
        )

    def _load(self) -> Access:
        return self._access.found or self._sender.run(self._access.load(self._look_up))

    async def aload(self) -> DswHook:
        """
        Look the connection up without blocking the event loop, and return the hook.

        :raises DswConnectionError: if the connection lacks a field.
        """
        async with self:
            return self

    async def __aenter__(self) -> DswHook:
        """Keep connections alive between all awaited calls until the end of the outermost ``async with`` block."""
        from airflow_provider_dsw.client.awaiting_sender import AwaitingSender

        loop = asyncio.get_running_loop()
        shared = self._senders.get(loop)
        if shared is None:
            shared = self._senders[loop] = _SharedSender(AwaitingSender())
        shared.users += 1
        if self._access.found is None:
            try:
                await shared.sender.run(self._access.load(self._look_up))
            except BaseException:
                await self.__aexit__()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        shared = self._senders[loop]
        shared.users -= 1
        if not shared.users:
            del self._senders[loop]
            shared.sender.pool.close()


def look_up_error(conn_id: str, error: BaseException) -> DswTransientError:
    """
    Return what to raise if Airflow itself can't look a connection up now.

    :param conn_id: the connection's id.
    :param error: Airflow's; its text may hold what is secret.
    """
    return DswTransientError(
        f"Airflow can't look up connection {conn_id!r} now ({type(error).__name__}). "
        "If it lasts, check Airflow's API server and secrets backends."
    )


@dataclass
class _SharedSender:
    """What all calls in one event loop share, until the last one ends."""

    sender: AwaitingSender
    users: int = 0


class _TooLargePage(Exception):
    """A page of a list that is larger than what is read of an answer."""


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, DswTransientError) and not error.may_have_been_performed


def _retry_line(state: RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    return f"{error} Trying again in {state.upcoming_sleep:.1f} s."


def _retry_wait(state: RetryCallState) -> float:
    """Exponential with jitter, but never sooner than the service asks."""
    error = state.outcome.exception() if state.outcome else None
    return max(_BACKOFF(state), getattr(error, "retry_after", None) or 0.0)
