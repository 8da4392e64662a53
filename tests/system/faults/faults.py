"""Every fault that the emulator knows, and what each means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Meaning(Enum):
    """What a fault is to whoever asked."""

    ANSWERED = "answered all the same"
    TRANSIENT = "transient"
    REFUSED = "refused"
    DENIED = "denied"
    NOT_FOUND = "not found"


@dataclass(frozen=True)
class Row:
    """
    A fault.

    :param given: the arguments of ``DswEmulator.fault``.
    :param meaning: what it is to whoever asked.
    :param lost: whether nobody can tell from it if a request that changes something was performed.
    """

    given: dict[str, Any]
    meaning: Meaning
    lost: bool = False


HTML = "<html><h1>Bad Gateway</h1></html>"
ANOTHERS = '{"InstanceId": "dsw-another", "SnapshotId": "snp-another", "Status": "Running", "RequestId": "R-1"}'


def _answered(**given: Any) -> Row:
    return Row(given, Meaning.ANSWERED)


def _transient(**given: Any) -> Row:
    return Row(given, Meaning.TRANSIENT)


def _lost(**given: Any) -> Row:
    return Row(given, Meaning.TRANSIENT, lost=True)


FAULTS: dict[str, Row] = {
    "late": _answered(delay=0.001),
    "held for a moment": _answered(hold=True, headers={"X-Held": "for a moment"}),
    "byte by byte": _answered(drip=0.0),
    "with a proxy's headers": _answered(headers={"Via": "1.1 proxy"}),
    "throttled": _transient(retry_after_ms=2000),
    "throttled by 400": _transient(status=400, code="Throttling.User"),
    "conflict, retry later": _transient(status=409, code="Conflict", retry_after_ms="1500"),
    "503, not done": _lost(status=503, code="ServiceUnavailable"),
    "500, not done": _lost(status=500, code="InternalError", message="Try again."),
    "500, done": _lost(status=500, code="InternalError", performed=True),
    "500, done later": _lost(status=500, code="InternalError", performed_after=3),
    "408": _lost(status=408, code="RequestTimeout"),
    "nonce of a replay, done": _lost(status=400, code="SignatureNonceUsed", performed=True),
    "gateway, done": _lost(status=502, body=HTML, performed=True),
    "gateway, not done": _lost(status=504, body=HTML),
    "gateway's 403": _lost(status=403, body=HTML),
    "gateway's 404": _lost(status=404, body='{"Message": "no Route matched"}'),
    "redirect": _lost(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    "dropped, done": _lost(drop=True, performed=True),
    "dropped, not done": _lost(drop=True),
    "dropped, done later": _lost(drop=True, performed_after=3),
    "truncated": _lost(truncate=True),
    "no JSON, done": _lost(body="nonsense", performed=True),
    "a list, done": _lost(body="[]", performed=True),
    "deep JSON, done": _lost(body="[" * 100_000, performed=True),
    "an empty object, done": _lost(body="{}", performed=True),
    "another's answer, done": _lost(body=ANOTHERS, performed=True),
    "internal error in a 200": _lost(success_false=True, code="InternalError"),
    "refused": Row({"status": 400, "code": "ValidationError", "message": "No."}, Meaning.REFUSED),
    "refused in a 200": Row({"success_false": True, "code": "ValidationError"}, Meaning.REFUSED),
    "refused as text": Row({"status": 400, "code": "Bad", "content_type": "text/plain"}, Meaning.REFUSED),
    "no such action": Row({"status": 404, "code": "InvalidAction.NotFound"}, Meaning.REFUSED),
    "denied": Row({"status": 403, "code": "NoPermission"}, Meaning.DENIED),
    "denied by 404": Row({"status": 404, "code": "100700008"}, Meaning.DENIED),
    "wrong key": Row({"status": 404, "code": "InvalidAccessKeyId.NotFound"}, Meaning.DENIED),
    "wrong secret": Row({"status": 400, "code": "SignatureDoesNotMatch"}, Meaning.DENIED),
    "expired token": Row({"status": 400, "code": "InvalidSecurityToken.Expired"}, Meaning.DENIED),
    "denied before all": Row({"status": 401, "before_auth": True}, Meaning.DENIED),
    "not found": Row({"status": 404, "code": "InternalError"}, Meaning.NOT_FOUND),
    "not found, no RequestId": Row({"status": 404, "code": "InternalError", "request_id": None}, Meaning.NOT_FOUND),
}
# How often: what `fault` takes beside.
LENGTHS: dict[str, dict[str, Any]] = {
    "once": {"times": 1},
    "three times": {"times": 3},
    "for 8 s": {"times": None, "seconds": 8.0},
    "without end": {"times": None},
}
# Faults of each kind, for the lengths between once and for ever.
TYPICAL = (
    "late",
    "throttled",
    "503, not done",
    "dropped, done",
    "dropped, done later",
    "truncated",
    "another's answer, done",
    "refused",
    "denied",
    "not found",
)


def strikes() -> Iterator[tuple[str, str]]:
    """Each fault, with how often it strikes."""
    for length in LENGTHS:
        for fault in FAULTS if length in ("once", "without end") else TYPICAL:
            yield fault, length
