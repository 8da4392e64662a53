"""Faults on demand: what happens to the next matching requests, or replaces their answers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any

from airflow_provider_dsw.emulator.encoding import json_bytes

# The code of an error that is given by its status only.
_CODES = {
    400: "ValidationError",
    401: "InvalidCredentials",
    403: "NoPermission",
    404: "InternalError",
    429: "Throttling.User",
    500: "InternalError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


@dataclass
class Answer:
    """The HTTP answer that is sent."""

    status: int
    body: bytes
    headers: dict[str, str]
    code: str | None = None  # of an error; for the record


def new_request_id() -> str:
    return str(uuid.uuid4()).upper()


def json_answer(body: bytes, request_id: str | None) -> Answer:
    headers = {"Content-Type": "application/json;charset=utf-8"}
    if request_id is not None:
        headers["x-acs-request-id"] = request_id
    return Answer(200, body, headers)


def error_answer(
    status: int,
    code: str,
    message: str,
    *,
    request_id: str | None,
    host: str = "pai-dsw.emulator",
    extra: Mapping[str, Any] | None = None,
) -> Answer:
    """The service's error body."""
    content: dict[str, Any] = {"RequestId": request_id} if request_id is not None else {}
    content |= {
        "HostId": host,
        "Code": code,
        "Message": message,
        "Recommend": f"https://api.aliyun.com/troubleshoot?q={code}&product=pai-dsw",
        **(extra or {}),
    }
    answer = json_answer(json_bytes(content), request_id)
    answer.status, answer.code = status, code
    return answer


@dataclass
class Fault:
    """What `DswEmulator.fault` returns; `hits` counts the requests that it has changed."""

    action: str | None = None
    instance_id: str | None = None
    times: int | None = 1
    status: int | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | EllipsisType | None = ...
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None
    retry_after_ms: int | float | str | None = None
    delay: float | None = None
    hold: bool = False
    drop: bool = False
    truncate: bool = False
    drip: float | None = None
    success_false: bool = False
    before_auth: bool = False
    performed: bool | None = None
    performed_after: float | None = None
    ends: float | None = None  # by the emulator's clock
    hits: int = 0
    released: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        if self.times is not None and self.times < 1:
            raise ValueError(f"times is a number from 1 on, or None for all requests, not {self.times!r}")
        if self.drop + self.truncate + (self.drip is not None) > 1:
            raise ValueError("give one of drop, truncate and drip")
        if not (self.own_answer or self.drop or self.truncate or self.headers) and (
            self.delay is None and self.drip is None and not self.hold
        ):
            raise ValueError("this fault would change nothing")
        if (self.performed is False or self.performed_after is not None) and not (self.own_answer or self.drop):
            raise ValueError("without its operation's answer a fault needs an answer of its own, or drop")

    def release(self) -> None:
        """Send the answers that `hold` keeps back, and keep no further ones back."""
        if not self.released.done():
            self.released.set_result(None)

    @property
    def own_answer(self) -> bool:
        """Return whether the client gets this fault's answer and not the operation's."""
        return (
            self.status is not None
            or self.code is not None
            or self.body is not None
            or self.retry_after_ms is not None
            or self.success_false
        )

    @property
    def performs(self) -> bool:
        """Return whether the operation is performed: by default not if its answer is replaced or dropped."""
        return self.performed if self.performed is not None else not (self.own_answer or self.drop)

    def matches(self, action: str | None, instance_id: str | None, now: float, *, before_auth: bool) -> bool:
        return (
            self.before_auth == before_auth
            and (self.times is None or self.hits < self.times)
            and (self.ends is None or now < self.ends)
            and self.action in (None, action)
            and self.instance_id in (None, instance_id)
        )

    def answer(self, host: str) -> Answer:
        """The answer of a fault that has its own."""
        request_id = new_request_id() if isinstance(self.request_id, EllipsisType) else self.request_id
        status = self.status or self._default_status()
        if self.body is not None:
            kind = "text/html" if self.body.lstrip().startswith(b"<") else "application/json"
            answer = Answer(status, self.body, {"Content-Type": f"{kind};charset=utf-8"})
        elif self.success_false:
            content: dict[str, Any] = {"RequestId": request_id} if request_id is not None else {}
            content |= {
                "Success": False,
                "Code": self.code,
                "Message": self.message,
                "HttpStatusCode": status,
            }
            answer = json_answer(json_bytes(content), request_id)
            answer.status, answer.code = status, self.code
        elif status < 400 and self.code is None:
            answer = Answer(status, b"", {})
        else:
            code = self.code or (
                "Throttling.User" if self.retry_after_ms is not None else _CODES.get(status, f"Error.{status}")
            )
            message = self.message or f"A fault of the emulator: {status} {code}."
            answer = error_answer(status, code, message, request_id=request_id, host=host)
        if self.content_type is not None:
            answer.headers["Content-Type"] = self.content_type
        if self.retry_after_ms is not None:
            answer.headers["x-acs-retry-after"] = str(self.retry_after_ms)
            # What older SDKs (tea-openapi 0.4.4) read instead.
            answer.headers["x-ratelimit-user-api"] = f"Remain:0,TimeLeft:{self.retry_after_ms}"
        return answer

    def _default_status(self) -> int:
        if self.body is not None or self.success_false:
            return 200
        return 429 if self.retry_after_ms is not None else 400
