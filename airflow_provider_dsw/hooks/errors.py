"""
From what went wrong on the wire to one of the provider's errors.

The only place that knows error codes. The rules are those of the API page (``InternalError``,
``ValidationError``, HTTP 400 and 404) and of Alibaba Cloud's common error codes; what is not documented is
named in :data:`ASSUMPTIONS`.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from airflow_provider_dsw.exceptions import (
    DswAccessDeniedError,
    DswError,
    DswInstanceNotFoundError,
    DswRequestError,
    DswTransientError,
)

ASSUMPTIONS = (
    "HTTP 404 means that the instance or snapshot is gone, unless Code or Message speak of credentials, of a "
    "permission (as a sister API answers: 404 with 100700008, 'denied by RAM') or of the API itself.",
    "Every refusal of the service's own has a Code or a RequestId. A 404 without either comes from a gateway or proxy "
    "on the way; so does any other 4xx that has no Message either, in the API's own spelling.",
    "Some products throttle with HTTP 400, so a Code that begins with Throttling counts more than the status.",
    "A header x-acs-retry-after means that the same request may work later, whatever the status.",
    "SignatureNonceUsed comes from a replay by the network; a new request has a new nonce.",
)

LONGEST_RETRY_AFTER = 300.0
"""Seconds: a longer ``x-acs-retry-after`` counts as this, for the hook and for a wait."""

# Patterns, to be compiled where an error is there to be told: a DAG file that imports the hook has none.
_DENIED = (
    r"NoPermission|Forbidden|NotAuthori[sz]ed|Unauthori[sz]ed|AccessDenied|100700008$"
    r"|InvalidAccessKeyId|InvalidAccessKeySecret|SignatureDoesNotMatch|IncompleteSignature"
    r"|InvalidSecurityToken|MissingSecurityToken|InvalidTimeStamp|InvalidCredentials"
)
_DENIED_MESSAGE = r"(?i)denied by RAM|Rbac"
_THROTTLED = r"Throttling|SignatureNonceUsed"
_SERVER_TROUBLE = r"Internal|ServiceUnavailable|ServerBusy"
_NO_SUCH_API = r"Invalid(?:Action|Api|Version|Product)|UnsupportedHTTPMethod|UnsupportedOperation"
_NOT_FOUND = r"(?i)NotFound|NotExist"

# What to look at first, by the beginning of the Code.
_ADVICE = {
    "InvalidAccessKeyId": "Check login (the AccessKey id) of the connection.",
    "SignatureDoesNotMatch": "Check password (the AccessKey secret) of the connection.",
    "IncompleteSignature": "Check login and password of the connection.",
    "InvalidSecurityToken.Expired": "The security token has expired: renew extra 'security_token'.",
    "InvalidSecurityToken": "Check extra 'security_token' of the connection.",
    "MissingSecurityToken": "The key is a temporary one: set extra 'security_token' and auth_type 'sts'.",
    "InvalidTimeStamp": "The clock of this machine is wrong: set it by NTP.",
    "InvalidCredentials": "Check the credentials of the connection.",
}


@dataclass(frozen=True)
class Failure:
    """
    What went wrong, as far as it is known.

    :param status: the HTTP status.
    :param code: the service's ``Code``.
    :param message: the service's ``Message``.
    :param request_id: the service's ``RequestId``.
    :param retry_after: seconds that the service asked to wait.
    :param cause: in words, where it was not the service that refused.
    :param advice: what to do, where Code and status don't say it.
    :param sent: whether the request may have reached the service.
    """

    status: int | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    cause: str | None = None
    advice: str | None = None
    sent: bool = True

    @property
    def may_have_been_performed(self) -> bool:
        """
        Whether the service may have done what was asked for.

        Not what was never sent, and not what the service itself refused, be it because it throttles. A gateway's
        word proves nothing, nor does a 5xx; a nonce that was used before was used by a copy of the same request.
        """
        if not self.sent or self.status == 429 or re.match("Throttling", self.code or ""):
            return False
        if self.cause or self.status == 408 or self.code == "SignatureNonceUsed":
            return True
        return self.status >= 500 if self.status else self.kind is DswTransientError

    @property
    def kind(self) -> type[DswError]:
        """The error that this is, by status and Code together."""
        code = self.code or ""
        if self.cause:
            return DswTransientError
        if re.match(_THROTTLED, code) or self.status == 429:
            return DswTransientError
        if re.match(_DENIED, code) or re.search(_DENIED_MESSAGE, self.message or "") or self.status in (401, 403):
            return DswAccessDeniedError
        if self.retry_after is not None or self.status == 408 or (self.status or 0) >= 500:
            return DswTransientError
        if re.match(_NO_SUCH_API, code):
            return DswRequestError
        if self.status == 404 or (self.status is None and re.search(_NOT_FOUND, code)):
            return DswInstanceNotFoundError
        if self.status is None and re.match(_SERVER_TROUBLE, code):
            return DswTransientError
        return DswRequestError

    def without(self, secrets: Iterable[str]) -> Failure:
        """Return the same with every secret taken out of the service's words, which may echo them."""
        if not self.message:
            return self
        # "… does not conform: the string to sign is …": headers, and with them tokens, come back.
        message = self.message if not (self.code or "").startswith("SignatureDoesNotMatch") else ""
        for secret in secrets:
            for form in (secret, quote(secret, safe=""), quote(secret, safe="~")):
                message = message.replace(form, "***")
        return replace(self, message=" ".join(message.split())[:500] or None)

    def error(self, *, asked: str, action: str, endpoint: str, attempt: str, changes: bool) -> DswError:
        """
        Return the error to raise.

        :param asked: what was asked for, e.g. ``GetInstance of dsw-1``.
        :param action: the API's name of the call.
        :param endpoint: host and port, and the connection's id.
        :param attempt: which try this was, in words; empty where that does not matter.
        :param changes: whether the request changes something.
        """
        kind = self.kind
        if kind is DswInstanceNotFoundError and action == "ListInstances":
            # It names nothing that could be missing.
            kind = DswRequestError
        said = ", ".join(
            f"{name} {value}"
            for name, value in (("HTTP", self.status), ("Code", self.code), ("RequestId", self.request_id))
            if value is not None
        )
        text = f"{asked} at {endpoint}: {self.cause or _MEANING[kind]}"
        if said:
            text += f" ({said})"
        if self.message:
            text += f": {self.message.rstrip('.')}"
        advice = self.advice or self._advice(kind, action)
        text += "" if text.endswith("?") else "."
        text = " ".join(part for part in (text, advice, attempt) if part)
        error = kind(
            text,
            code=self.code,
            status_code=self.status,
            request_id=self.request_id,
            message=self.message,
        )
        if isinstance(error, DswTransientError):
            error.retry_after = self.retry_after
            error.may_have_been_performed = changes and self.may_have_been_performed
        return error

    def _advice(self, kind: type[DswError], action: str) -> str:
        if self.cause == _UNKNOWN_HOST:
            return "Check region and network, or host, of the connection."
        if self.cause in (_NOT_AN_OBJECT, _NOT_THE_SERVICE):
            return (
                "The response did not come from PAI-DSW: check host and protocol of the connection, or a proxy on "
                "the way."
            )
        if kind is DswAccessDeniedError:
            for beginning, advice in _ADVICE.items():
                if (self.code or "").startswith(beginning):
                    return advice
            return f"The RAM action paidsw:{action} and membership of the workspace are needed."
        if kind is DswInstanceNotFoundError:
            return "Check the id, and the region or host of the connection: ids are known in their own region only."
        if kind is DswTransientError and self.retry_after is not None:
            return f"The service asks to wait {self.retry_after:g} s."
        if kind is DswTransientError and self.cause:
            return "Check host, region, protocol and network of the connection if this lasts."
        return ""


_MEANING: dict[type[DswError], str] = {
    DswAccessDeniedError: "access denied",
    DswInstanceNotFoundError: "the service knows no such instance or snapshot",
    DswRequestError: "the service refused the request",
    DswTransientError: "the service can't answer now",
}


def is_denial(outcome: object) -> bool:
    """Return whether an outcome is that access was denied."""
    return isinstance(outcome, Failure) and outcome.kind is DswAccessDeniedError


def is_let_in(outcome: object) -> bool:
    """Return whether an outcome shows that the service took the credentials for good, whatever else it says."""
    return not isinstance(outcome, Failure) or outcome.kind in (DswInstanceNotFoundError, DswRequestError)


def from_look_up_exception(conn_id: str, error: BaseException) -> Failure:
    """
    Return the failure of a call that was denied, and whose connection can't be looked up anew.

    Whatever it is, it is transient: that the connection "isn't defined" is also what Airflow says if none of its
    secrets backends can be reached.
    """
    cause = f"access denied, and Airflow can't look up connection {conn_id!r} anew now ({type(error).__name__})"
    return Failure(cause=cause, sent=False)


def lacks_permission(error: DswAccessDeniedError) -> bool:
    """Return whether the credentials are good and only a permission is missing."""
    return error.code is not None and not error.code.startswith(tuple(_ADVICE))


def says_expired(outcome: object) -> bool:
    """Return whether an outcome is the service's word that the credentials have expired, and new ones may do."""
    return isinstance(outcome, Failure) and (outcome.code or "").startswith("InvalidSecurityToken.Expired")


def blames_credentials(failure: Failure) -> bool:
    """Return whether the service refused because of the key, its secret or its token."""
    return (failure.code or "").startswith(tuple(code for code in _ADVICE if code != "InvalidTimeStamp"))


def from_body(status: int | None, body: Any, retry_after: float | None = None) -> Failure:
    """Return what an error body says; with HTTP 200 its own HttpStatusCode counts instead."""
    if not isinstance(body, Mapping):
        return Failure(status=status, cause=_NOT_AN_OBJECT)
    if status == 200:
        own = body.get("HttpStatusCode")
        status = own if isinstance(own, int) and own >= 400 else None
    failure = Failure(
        status=status,
        code=_text(body.get("Code") or body.get("code")),
        message=_text(body.get("Message") or body.get("message")),
        request_id=_text(body.get("RequestId") or body.get("requestId")),
        retry_after=retry_after,
    )
    return failure if _is_the_service_s(failure, body) else replace(failure, cause=_NOT_THE_SERVICE)


def _is_the_service_s(failure: Failure, body: Mapping[str, Any]) -> bool:
    """
    Return whether a refusal is the service's own, and not that of a gateway or proxy.

    It counts as the service's own if it has a Code or a RequestId: gateways send ``{"message": …}``, some with a
    ``code`` that repeats the status, others with a ``requestId``, none known with both. A refusal other than 404 is
    also believed if it has the API's ``Message``.
    """
    if not 400 <= (failure.status or 0) < 500 or failure.status in (408, 429) or failure.retry_after is not None:
        return True
    if _text(body.get("Code")) or _text(body.get("RequestId")) or (failure.code and failure.request_id):
        return True
    if re.match(_DENIED, failure.code or "") or re.search(_DENIED_MESSAGE, failure.message or ""):
        return True
    return failure.status != 404 and bool(_text(body.get("Message")) or re.match("[A-Za-z]", failure.code or ""))


def from_exception(error: BaseException) -> Failure:
    """Return what an exception of the SDK or of the network means."""
    # Not by getattr: aiohttp warns of its own `code`.
    status_code = vars(error).get("status_code")
    code = _text(vars(error).get("code"))
    if status_code is not None or code == "InvalidCredentials":
        retry_after = _retry_after(getattr(error, "retry_after", None))
        body = getattr(error, "data", None)
        if isinstance(body, Mapping):
            return from_body(status_code, body, retry_after)
        return Failure(status_code, code, None, None, retry_after)
    cause = _network_cause(tuple(_chain(error)))
    return Failure(status=_lost_status(error), cause=cause, sent=cause not in _BEFORE_SENDING)


def from_credentials_exception(error: BaseException) -> Failure:
    """Return what an exception of ``alibabacloud_credentials`` means, and say that it was not the service's."""
    if type(error).__name__ == "CredentialException":
        return _credential_failure(error)
    if isinstance(error, OSError) and error.filename:
        return _no_credentials(f"{error.filename}: {error.strerror}")
    if type(error) is ValueError:
        return _no_credentials("")
    return Failure(cause=f"{_NO_CREDENTIALS}: {_network_cause(tuple(_chain(error)))}", sent=False)


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """
    Return the seconds of ``x-acs-retry-after`` (milliseconds), :data:`LONGEST_RETRY_AFTER` at most.

    None where it is absent or no number above 0.
    """
    return _retry_after(headers.get("x-acs-retry-after"))


def _retry_after(milliseconds: Any) -> float | None:
    try:
        seconds = float(milliseconds) / 1000
    except (TypeError, ValueError, OverflowError):
        return None
    return min(seconds, LONGEST_RETRY_AFTER) if 0 < seconds < float("inf") else None


_UNKNOWN_HOST = "the host name is unknown"
_NOT_THE_SERVICE = "refused by a gateway or proxy"
_NO_CONNECTION = "no connection in time"
_REFUSED = "nothing listens there (connection refused)"
_UNTRUSTED = "the server's TLS certificate is not trusted here"
_NO_TLS = "TLS failed; is it an https endpoint?"
_NO_CREDENTIALS = "the credentials could not be fetched"
_BEFORE_SENDING = (_UNKNOWN_HOST, _REFUSED, _UNTRUSTED, _NO_CONNECTION)
_NOT_AN_OBJECT = "the answer is not the JSON object that the API documents, but perhaps a gateway's page"


def _text(value: Any) -> str | None:
    # The SDK turns a missing value into the string 'None', and the service may answer 'null'.
    return None if value is None or str(value) in ("", "None", "null") else str(value)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    queue = [error]
    while queue:
        link = queue.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        queue += [
            getattr(link, "inner_exception", None),
            link.__cause__,
            link.__context__,
            getattr(link, "reason", None),
            *link.args,
        ]


def _lost_status(error: BaseException) -> int | None:
    # Of an answer that is no JSON the SDK keeps the status only here, undocumented.
    response = getattr(error.args[0], "http_response", None) if error.args else None
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def _network_cause(chain: tuple[BaseException, ...]) -> str:
    def has(*kinds: type[BaseException] | str) -> bool:
        return any(
            type(link).__name__ in kinds or isinstance(link, tuple(k for k in kinds if isinstance(k, type)))
            for link in chain
        )

    if has(socket.gaierror, "NameResolutionError"):
        return _UNKNOWN_HOST
    if has(ConnectionRefusedError):
        return _REFUSED
    if has(ssl.SSLCertVerificationError, "ClientConnectorCertificateError"):
        return _UNTRUSTED
    if has(ssl.SSLError, "SSLError", "ClientConnectorSSLError"):
        return _NO_TLS
    if has("ConnectTimeout", "ConnectTimeoutError", "ConnectionTimeoutError"):
        return _NO_CONNECTION
    if has("ReadTimeout", "ReadTimeoutError", TimeoutError):
        return "no answer in time"
    if has("IncompleteRead", "ClientPayloadError", "ChunkedEncodingError", http.client.IncompleteRead):
        return "the answer broke off"
    if has(ConnectionError, http.client.RemoteDisconnected, "ServerDisconnectedError", "ConnectionError"):
        return "the connection was closed without an answer"
    if has(OSError, "RetryError", "ClientError"):
        return "the service can't be reached"
    return _NOT_AN_OBJECT


def _credential_failure(error: BaseException) -> Failure:
    """
    Say what kept the credentials from being fetched.

    Its text holds whole answers of STS, tokens included: only a Code is taken from it.
    """
    text = str(getattr(error, "message", ""))
    status = re.search(r"http_code[:=]\s*(\d{3})|HttpCode=(\d{3})", text)
    http_status = int(status[1] or status[2]) if status else None
    found = re.search(r'"Code"\s*:\s*"([A-Za-z0-9._-]{1,80})"', text)
    code = found[1] if found and found[1] != "Success" else ""
    if (http_status or 0) >= 500 or code.startswith("Throttling"):
        return Failure(http_status, code or None, cause=f"{_NO_CREDENTIALS} now", sent=False)
    if "No cached value" in text:
        code = "they have expired already"
    return _no_credentials(code, http_status)


def _no_credentials(why: str, status: int | None = None) -> Failure:
    message = f"{_NO_CREDENTIALS}{f' ({why})' if why else ''}"
    return Failure(status, "InvalidCredentials", message, sent=False)


def parse_body(content: bytes) -> Any:
    """Return the JSON that an answer holds, None where it is no JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None
