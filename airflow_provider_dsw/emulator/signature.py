"""Verify the signature ACS3-HMAC-SHA256 of a request, as its public description says. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

from airflow_provider_dsw.emulator.errors import ServiceError

ALGORITHM = "ACS3-HMAC-SHA256"
VERSION = "2022-01-01"
MAX_SKEW = timedelta(minutes=15)
REQUIRED_HEADERS = (
    "host",
    "x-acs-action",
    "x-acs-version",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-content-sha256",
    "authorization",
)
_AUTHORIZATION = re.compile(rf"{ALGORITHM} Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]+)")


@dataclass
class Credential:
    """An AccessKey that the emulator knows."""

    secret: str
    security_token: str | None = None
    status: str = "Active"
    denied: Collection[str] = ()  # RAM actions, such as "paidsw:ListInstances"
    expires: datetime | None = None
    allowed: Collection[str] | None = None  # RAM actions; None: all

    def may(self, ram_action: str) -> bool:
        return ram_action not in self.denied and (self.allowed is None or ram_action in self.allowed)

    def __repr__(self) -> str:
        return f"Credential(status={self.status!r})"


@dataclass(frozen=True)
class SignedRequest:
    """A request as it was received: path and query still encoded, header names in lower case.

    refusal: of a body that was not read.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    refusal: ServiceError | None = None


def access_key_id(request: SignedRequest) -> str | None:
    """Whose request it claims to be; nothing is verified."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    return found[1] if found else None


def verify(
    request: SignedRequest,
    credentials: Mapping[str, Credential],
    nonces: MutableMapping[str, datetime],
    now: datetime,
) -> Credential:
    """Return the credential that signed the request, or raise the service's refusal."""
    headers = request.headers
    for name in REQUIRED_HEADERS:
        if not headers.get(name):
            raise ServiceError(400, "MissingHeader", f"The header {name} is missing.")
    if headers["x-acs-version"] != VERSION:
        raise ServiceError(
            400, "InvalidVersion", f"The version {headers['x-acs-version']} is invalid; it is {VERSION}."
        )
    _check_date(headers["x-acs-date"], now)

    found = _AUTHORIZATION.fullmatch(headers["authorization"])
    if not found:
        raise ServiceError(400, "IncompleteSignature", f"The Authorization header is not one of {ALGORITHM}.")
    key_id, signed_headers, signature = found.groups()
    credential = credentials.get(key_id)
    if credential is None:
        raise ServiceError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    if credential.status != "Active":
        raise ServiceError(403, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")

    canonical = _canonical_request(request, signed_headers)
    string_to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode(errors='surrogateescape')).hexdigest()}"
    expected = hmac.new(credential.secret.encode(), string_to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise ServiceError(
            400,
            "SignatureDoesNotMatch",
            "Specified signature does not match our calculation. "
            f"Server string to sign is: [{string_to_sign}] Server canonical request is: [{canonical}]",
        )
    _check_token(headers.get("x-acs-security-token"), credential, now)
    _check_nonce(headers["x-acs-signature-nonce"], nonces, now)
    return credential


def _check_date(value: str, now: datetime) -> None:
    try:
        date = datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ServiceError(400, "InvalidTimeStamp.Format", "The x-acs-date is not a UTC time.") from None
    if abs(now - date) > MAX_SKEW:
        raise ServiceError(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def _check_token(token: str | None, credential: Credential, now: datetime) -> None:
    wanted = credential.security_token
    if (token or "") != (wanted or ""):
        raise ServiceError(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
    if credential.expires is not None and now >= credential.expires:
        raise ServiceError(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")


def _check_nonce(nonce: str, nonces: MutableMapping[str, datetime], now: datetime) -> None:
    if nonce in nonces:
        raise ServiceError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
    nonces[nonce] = now
    # The oldest come first. A request older than the window is refused by its date.
    while (first := next(iter(nonces))) and now - nonces[first] > 2 * MAX_SKEW:
        del nonces[first]


def _canonical_request(request: SignedRequest, signed_headers: str) -> str:
    headers = request.headers
    names = signed_headers.split(";")
    needed = {name for name in headers if name.startswith("x-acs-")} | {"host"}
    unsigned = needed - set(names)
    if unsigned:
        raise ServiceError(400, "SignatureDoesNotMatch", f"These headers are not signed: {sorted(unsigned)}")
    payload = hashlib.sha256(request.body).hexdigest()
    if headers["x-acs-content-sha256"].lower() != payload:
        raise ServiceError(
            400, "SignatureDoesNotMatch", "The x-acs-content-sha256 is not the SHA-256 of the request's body."
        )
    pairs = parse_qsl(request.query, keep_blank_values=True)
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(pairs))
    lines = "".join(f"{name}:{headers.get(name, '').strip()}\n" for name in names)
    return "\n".join([request.method, request.path or "/", query, lines, signed_headers, payload])
