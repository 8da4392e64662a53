"""The record of the requests that an emulator got, without what is secret in them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from airflow_provider_dsw.emulator.signature import SignedRequest, access_key_id

HIDDEN = "***"
_SECRET_HEADERS = frozenset({"x-acs-security-token", "x-acs-bearer-token", "x-acs-zero-trust-idtoken"})


@dataclass
class Request:
    """One request. `status` and `code` are what was answered; both stay None when the answer was dropped."""

    action: str | None
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: str
    instance_id: str | None
    access_key_id: str | None
    status: int | None = None
    code: str | None = None
    shown: str | None = None  # the instance's or snapshot's status that the answer shows
    time: float = field(default_factory=time.monotonic)
    wall: datetime = field(default_factory=lambda: datetime.now(UTC))


def record(signed_request: SignedRequest, action: str | None, instance_id: str | None) -> Request:
    headers = {name: HIDDEN if name in _SECRET_HEADERS else value for name, value in signed_request.headers.items()}
    if "authorization" in headers:
        headers["authorization"] = re.sub(r"(Signature=)\w+", rf"\1{HIDDEN}", headers["authorization"])
    query = dict(parse_qsl(signed_request.query, keep_blank_values=True))
    if query.get("Token"):
        query["Token"] = HIDDEN
    return Request(
        action=action,
        method=signed_request.method,
        path=signed_request.path,
        query=query,
        headers=headers,
        body=signed_request.body.decode("utf-8", "replace"),
        instance_id=instance_id,
        access_key_id=access_key_id(signed_request),
    )
