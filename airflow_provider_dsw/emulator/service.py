"""The service without HTTP: authentication, permissions, faults, answers, and the record of the requests."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from types import EllipsisType
from typing import Any
from urllib.parse import parse_qsl

from airflow_provider_dsw.emulator.backend import Backend
from airflow_provider_dsw.emulator.calls import OperationCall
from airflow_provider_dsw.emulator.clock import Clock
from airflow_provider_dsw.emulator.errors import ServiceError, no_such_action
from airflow_provider_dsw.emulator.faults import Answer, Fault, error_answer, json_answer, new_request_id
from airflow_provider_dsw.emulator.operations import ACTIONS, perform, route
from airflow_provider_dsw.emulator.record import Request, record
from airflow_provider_dsw.emulator.signature import Credential, SignedRequest, verify

DEFAULT_CREDENTIALS = {"emulator-key-id": "emulator-key-secret"}
# Where it has another name than the operation.
RAM_ACTIONS = {"CreateInstance": "paidsw:CreatePostPaidInstance"}
CredentialLike = str | Mapping[str, Any] | Credential


class Service(Backend):
    """Instances, and the answers to requests about them."""

    def __init__(
        self,
        *,
        speed: float = 1.0,
        region: str = "cn-hangzhou",
        credentials: Mapping[str, CredentialLike] | None = None,
        record_limit: int = 50_000,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        super().__init__(speed=speed, region=region, clock=clock, **options)
        self.credentials: dict[str, CredentialLike] = dict(DEFAULT_CREDENTIALS if credentials is None else credentials)
        self._nonces: dict[str, datetime] = {}
        self._faults: list[Fault] = []
        self._requests: deque[Request] = deque(maxlen=record_limit)

    def add_credential(
        self,
        access_key_id: str,
        secret: str,
        *,
        security_token: str | None = None,
        inactive: bool = False,
        denied: Collection[str] = (),
        expires: datetime | None = None,
        allowed: Collection[str] | None = None,
    ) -> None:
        """Add an AccessKey. denied: RAM actions that it may not do, such as "paidsw:ListInstances". allowed:
        those that it may do, if not all.
        """
        status = "Inactive" if inactive else "Active"
        credential = Credential(secret, security_token, status, frozenset(denied), expires, allowed)
        with self._lock:
            self.credentials[access_key_id] = credential

    def set_credentials(self, credentials: Mapping[str, CredentialLike]) -> None:
        """Replace all AccessKeys by these, as a rotation does."""
        with self._lock:
            self.credentials.clear()
            self.credentials.update(credentials)

    # Faults

    def fault(
        self,
        action: str | None = None,
        instance_id: str | None = None,
        times: int | None = 1,
        *,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        request_id: str | EllipsisType | None = ...,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        retry_after_ms: int | float | str | None = None,
        delay: float | None = None,
        hold: bool = False,
        drop: bool = False,
        truncate: bool = False,
        drip: float | None = None,
        success_false: bool = False,
        before_auth: bool = False,
        performed: bool | None = None,
        performed_after: float | None = None,
        seconds: float | None = None,
    ) -> Fault:
        """Let the next `times` matching requests (None: all until `clear_faults`) get this.

        seconds: the fault is over after so many.

        What is answered. status, code, message: the service's error (request_id=None: no RequestId).
        body: this body as it is, with status 200 unless given. success_false: HTTP 200 with "Success": false.
        retry_after_ms: the headers that say how long to wait, with 429 Throttling.User unless given. None of them: the
        operation's own answer.

        How it is sent. headers: with these too. delay: so many seconds later, as it was when the request came. hold:
        likewise, but not before the fault's `release()`. drop: the connection is closed instead. truncate: half of it.
        drip: with so many seconds between two bytes.

        performed: whether the operation is performed; by default only when its own answer is sent. performed_after:
        so many seconds later, whatever is answered now.
        before_auth: also to a request that is not signed well. The first fault that fits a request is taken.
        """
        if action is not None:
            _check_action(action)
        fault = Fault(
            action=action,
            instance_id=instance_id,
            times=times,
            status=status,
            code=code,
            message=message,
            request_id=request_id,
            body=body.encode() if isinstance(body, str) else body,
            headers=dict(headers or {}),
            content_type=content_type,
            retry_after_ms=retry_after_ms,
            delay=delay,
            hold=hold,
            drop=drop,
            truncate=truncate,
            drip=drip,
            success_false=success_false,
            before_auth=before_auth,
            performed=performed,
            performed_after=performed_after,
            ends=None if seconds is None else self.clock.now() + seconds,
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        with self._lock:
            self._faults.clear()

    # The record

    @property
    def requests(self) -> list[Request]:
        """The requests so far, oldest first; secrets in them are replaced by ***."""
        with self._lock:
            return list(self._requests)

    def calls(self, action: str, instance_id: str | None = None) -> list[Request]:
        """The requests for one action, of one instance if it is given. An unknown action is a ValueError."""
        _check_action(action)
        return [
            request
            for request in self.requests
            if request.action == action and instance_id in (None, request.instance_id)
        ]

    def clear_requests(self) -> None:
        with self._lock:
            self._requests.clear()

    # Answers

    def answer(self, signed_request: SignedRequest) -> tuple[Answer, Fault | None, Request]:
        """Return the answer to a request, the fault that decides how it is sent, and its entry in the record."""
        fitting, instance_id, snapshot_id = route(signed_request.method, signed_request.path)
        named = signed_request.headers.get("x-acs-action")
        entry = record(signed_request, named or fitting, instance_id)
        host = signed_request.headers.get("host", "")
        call = OperationCall(
            action=fitting if named == fitting else None,
            instance_id=instance_id,
            snapshot_id=snapshot_id,
            query=dict(parse_qsl(signed_request.query, keep_blank_values=True)),
            body=signed_request.body,
            request_id=new_request_id(),
        )
        with self._lock:
            self._catch_up()
            self._requests.append(entry)
            fault = self._take_fault(entry, before_auth=True)
            answer = Answer(200, b"", {})
            try:
                if fault is None or fault.performs:
                    self._authorize(signed_request, call.action)
                    fault = fault or self._take_fault(entry, before_auth=False)
                if fault is not None and fault.performed_after is not None:
                    self._later(fault.performed_after, lambda: self._perform_quietly(call))
                elif fault is None or fault.performs:
                    answer = json_answer(perform(self, call), call.request_id)
                    entry.shown = call.shown
            except ServiceError as error:
                answer = error_answer(
                    error.status,
                    error.code,
                    error.message,
                    request_id=call.request_id,
                    host=host,
                    extra=error.extra,
                )
            if fault is not None and fault.own_answer:
                answer = fault.answer(host)
            if fault is None or not fault.drop:
                entry.status, entry.code = answer.status, answer.code
        return answer, fault, entry

    def _perform_quietly(self, call: OperationCall) -> None:
        """Perform an operation whose answer is not sent."""
        with contextlib.suppress(ServiceError):
            perform(self, call)

    def _authorize(self, signed_request: SignedRequest, action: str | None) -> None:
        if signed_request.path == "/":  # an operation in the RPC style
            raise no_such_action()
        if signed_request.refusal:
            raise signed_request.refusal
        known = {key_id: self._credential(key_id) for key_id in self.credentials}
        credential = verify(
            signed_request, known, self._nonces, datetime.now(UTC) + timedelta(seconds=self.clock.offset)
        )
        ram_action = RAM_ACTIONS.get(action or "", f"paidsw:{action}")
        if action is not None and not credential.may(ram_action):
            raise ServiceError(
                *((403, "NoPermission") if self.denied_status == 403 else (404, "100700008")),
                f"You are not authorized to do this action. You should be authorized by RAM: {ram_action}.",
                AccessDeniedDetail={
                    "AuthAction": ram_action,
                    "AuthPrincipalType": "SubUser",
                    "AuthPrincipalOwnerId": "1612285282500001",
                    "AuthPrincipalDisplayName": "emulator",
                    "NoPermissionType": "ImplicitDeny",
                    "PolicyType": "AccountLevelIdentityBasedPolicy",
                },
            )

    def _credential(self, key_id: str) -> Credential:
        value = self.credentials[key_id]
        if isinstance(value, Credential):
            return value
        return Credential(value) if isinstance(value, str) else Credential(**value)

    def _take_fault(self, entry: Request, *, before_auth: bool) -> Fault | None:
        for fault in self._faults:
            if fault.matches(entry.action, entry.instance_id, self.clock.now(), before_auth=before_auth):
                fault.hits += 1
                return fault
        return None


def _check_action(action: str) -> None:
    # A test that counts the requests for a mistyped one would pass.
    if action not in ACTIONS:
        raise ValueError(f"the emulator serves no action {action!r}; it serves {', '.join(sorted(ACTIONS))}")
