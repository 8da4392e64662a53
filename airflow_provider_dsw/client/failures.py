"""
Maps failed requests to the provider's errors.

The only place that knows error codes. The rules are those of the API page (``InternalError``,
``ValidationError``, HTTP 400 and 404) and of Alibaba Cloud's common error codes; what is not documented is
named in :mod:`~airflow_provider_dsw.waits.assumptions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_dsw.arguments import near_miss
from airflow_provider_dsw.client.causes import (
    NOT_AN_OBJECT,
    NOT_THE_SERVICE,
    REDIRECT,
    TOO_LARGE,
    TOO_MANY_VALUES,
    UNKNOWN_HOST,
)
from airflow_provider_dsw.exceptions import (
    DswAccessDeniedError,
    DswError,
    DswInstanceNotFoundError,
    DswRequestError,
    DswTransientError,
)
from airflow_provider_dsw.secrets import MAX_TEXT, MAX_WORD, clean

MAX_RETRY_AFTER = 300.0
"""Seconds: a longer ``x-acs-retry-after`` counts as this, for the hook and for a wait."""

# Patterns, to be compiled where an error is there to be told: a DAG file that imports the hook has none.
_DENIED = (
    r"NoPermission|Forbidden|NotAuthori[sz]ed|Unauthori[sz]ed|AccessDenied|100700008$"
    r"|InvalidAccessKeyId|InvalidAccessKeySecret|SignatureDoesNotMatch|IncompleteSignature"
    r"|InvalidSecurityToken|MissingSecurityToken|InvalidTimeStamp|InvalidCredentials"
)
_DENIED_MESSAGE = r"(?i)denied by RAM|Rbac"
_THROTTLED = r"Throttling|SignatureNonceUsed"
_SERVER_ERROR = r"Internal|ServiceUnavailable|ServerBusy"
_NO_SUCH_API = r"Invalid(?:Action|Api|Version|Product)|UnsupportedHTTPMethod|UnsupportedOperation"
_NOT_FOUND = r"(?i)NotFound|NotExist"
_TAKEN = r"(?i)exist|duplicat|conflict"
# What the service lacks is not taken.
_MISSING = r"(?i)(?:not|n't|non?)[\s_-]*exist"

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
    code: str | None = field(default=None, repr=False)
    message: str | None = field(default=None, repr=False)
    request_id: str | None = field(default=None, repr=False)
    retry_after: float | None = None
    cause: str | None = field(default=None, repr=False)
    advice: str | None = None
    sent: bool = True

    @property
    def may_have_been_performed(self) -> bool:
        """
        Whether the service may have performed the request.

        Not what was never sent, and not what the service itself refused, be it because it throttles. A gateway's
        word proves nothing, nor does a 5xx; a nonce that was used before was used by a copy of the same request.
        """
        if not self.sent or self.status == 429 or re.match("Throttling", self.code or ""):
            return False
        if self.cause or self.status == 408 or self.code == "SignatureNonceUsed":
            return True
        return self.status >= 500 if self.status else self.error_class is DswTransientError

    @property
    def is_too_large(self) -> bool:
        """Whether a smaller page of the same list may do."""
        return self.cause in (TOO_LARGE, TOO_MANY_VALUES)

    @property
    def names_no_operation(self) -> bool:
        """Whether the service knows no such operation."""
        return re.match(_NO_SUCH_API, self.code or "") is not None

    @property
    def error_class(self) -> type[DswError]:
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
        if self.names_no_operation:
            return DswRequestError
        if self.status == 404 or (self.status is None and re.search(_NOT_FOUND, code)):
            return DswInstanceNotFoundError
        if self.status is None and re.match(_SERVER_ERROR, code):
            return DswTransientError
        return DswRequestError

    def error(
        self, *, description: str, action: str, endpoint: str, attempt: str, changes: bool, secrets: Iterable[str] = ()
    ) -> DswError:
        """
        Return the error to raise.

        :param description: the request, in words, e.g. ``GetInstance of dsw-1``.
        :param action: the API's name of the call.
        :param endpoint: host and port, and the connection's id.
        :param attempt: which try this was, in words; empty where that does not matter.
        :param changes: whether the request changes something.
        :param secrets: what is secret of the request, beside what is known to be secret everywhere.
        """
        secrets = tuple(secrets)

        def words(text: str | None, longest: int = MAX_WORD) -> str | None:
            return clean(text, longest, also=secrets) or None if text else None

        error_class, code, request_id = self.error_class, words(self.code), words(self.request_id)
        # "… does not conform: the string to sign is …": headers, and with them tokens, come back.
        message = words(self.message, MAX_TEXT) if not (code or "").startswith("SignatureDoesNotMatch") else None
        if error_class is DswInstanceNotFoundError and action == "ListInstances":
            # It names nothing that could be missing.
            error_class = DswRequestError
        said = ", ".join(
            f"{name} {value}"
            for name, value in (("HTTP", self.status), ("Code", code), ("RequestId", request_id))
            if value is not None
        )
        text = f"{description}: {words(self.cause, MAX_TEXT) or _MEANING[error_class]}"
        if said:
            text += f" ({said})"
        if message:
            text += f": {message.rstrip('.')}"
        advice = self.advice or self._advice(error_class, action)
        text += "" if text.endswith("?") else "."
        text = " ".join(part for part in (text, f"Requested of {endpoint}.", advice, attempt) if part)
        error = error_class(
            text,
            code=code,
            status_code=self.status,
            request_id=request_id,
            message=message,
        )
        if isinstance(error, DswTransientError):
            error.retry_after = self.retry_after
            error.may_have_been_performed = changes and self.may_have_been_performed
        return error

    def _advice(self, error_class: type[DswError], action: str) -> str:
        if self.cause == UNKNOWN_HOST:
            return "Check region and network, or host, of the connection."
        if self.cause in (NOT_AN_OBJECT, NOT_THE_SERVICE, REDIRECT):
            return (
                "The response did not come from PAI-DSW: check host and protocol of the connection, or a proxy on "
                "the way."
            )
        if error_class is DswAccessDeniedError:
            for beginning, advice in _ADVICE.items():
                if (self.code or "").startswith(beginning):
                    return advice
            return f"The RAM action paidsw:{action} and membership of the workspace are needed."
        if self.names_no_operation:
            return "Check action, method and path of the operation, or host of the connection."
        if error_class is DswInstanceNotFoundError:
            return "Check the id, and the region or host of the connection: ids are known in their own region only."
        if error_class is DswTransientError and self.retry_after is not None:
            return f"The service asks to wait {self.retry_after:g} s."
        if error_class is DswTransientError and self.cause:
            return "Check host, region, protocol and network of the connection if this lasts."
        if error_class is DswTransientError:
            return "A later attempt may succeed."
        return "If the service refuses it again, change what it names."


_MEANING: dict[type[DswError], str] = {
    DswAccessDeniedError: "access denied",
    DswInstanceNotFoundError: "the service knows no such instance or snapshot",
    DswRequestError: "the service refused the request",
    DswTransientError: "the service can't answer now",
}


def is_denial(outcome: object) -> bool:
    """Return whether an outcome is that access was denied."""
    return isinstance(outcome, Failure) and outcome.error_class is DswAccessDeniedError


def shows_acceptance(outcome: object) -> bool:
    """Return whether an outcome shows that the service took the credentials for good, whatever else it says."""
    return not isinstance(outcome, Failure) or outcome.error_class in (DswInstanceNotFoundError, DswRequestError)


def from_look_up_exception(conn_id: str, error: BaseException) -> Failure:
    """
    Return the failure of a call that was denied, and whose connection can't be looked up anew.

    Whatever it is, it is transient: that the connection "isn't defined" is also what Airflow says if none of its
    secrets backends can be reached.
    """
    cause = f"access denied, and Airflow can't look up connection {conn_id!r} again now ({type(error).__name__})"
    return Failure(cause=cause, sent=False)


def lacks_permission(error: DswAccessDeniedError) -> bool:
    """Return whether the credentials are good and only a permission is missing."""
    return error.code is not None and not error.code.startswith(tuple(_ADVICE))


def says_taken(error: DswError) -> bool:
    """Return whether a refusal may mean that a name or an image URL is taken."""
    return re.search(_TAKEN, re.sub(_MISSING, "", f"{error.code} {error.message}")) is not None


def near_operation(error: DswError, action: str) -> str:
    """
    Return `` Did you mean …?`` with the SDK's operation nearest to one that the service does not know; else empty.

    :param error: what a call of it ended with.
    :param action: its name.
    """
    if not Failure(code=error.code).names_no_operation:
        return ""
    # Not at the top: it takes long, and only a mistake needs it.
    from alibabacloud_pai_dsw20220101.client import Client

    methods = [name.removesuffix("_with_options") for name in vars(Client) if name.endswith("_with_options")]
    known = ["".join(word.capitalize() for word in method.split("_")) for method in methods]
    return "" if action in known else near_miss(action, known)


def says_expired(outcome: object) -> bool:
    """Return whether an outcome is the service's word that the credentials have expired, and new ones may do."""
    return isinstance(outcome, Failure) and (outcome.code or "").startswith("InvalidSecurityToken.Expired")


def blames_credentials(failure: Failure) -> bool:
    """Return whether the service refused because of the key, its secret or its token."""
    return (failure.code or "").startswith(tuple(code for code in _ADVICE if code != "InvalidTimeStamp"))


def outcome_of(status: int, headers: Mapping[str, str], body: Any) -> dict[str, Any] | Failure:
    """
    Return the service's answer, or what is wrong.

    :param status: the HTTP status.
    :param headers: names in lower case.
    :param body: the JSON that the answer holds, None if it is none.
    """
    retry_after = _retry_after(headers.get("x-acs-retry-after"))
    if 300 <= status < 400:
        return Failure(status, cause=REDIRECT)
    if not isinstance(body, dict) or not 200 <= status < 600:
        return Failure(status, cause=NOT_AN_OBJECT, retry_after=retry_after)
    if status < 300 and body.get("Success") is not False:
        return body
    own = body.get("HttpStatusCode")
    if status < 300:
        status = own if isinstance(own, int) and 400 <= own < 600 else 0
    failure = Failure(
        status=status or None,
        code=_known_text(body.get("Code") or body.get("code")),
        message=_known_text(body.get("Message") or body.get("message")),
        request_id=_known_text(body.get("RequestId") or body.get("requestId")),
        retry_after=retry_after,
    )
    return failure if _is_from_service(failure, body) else replace(failure, cause=NOT_THE_SERVICE)


def _is_from_service(failure: Failure, body: Mapping[str, Any]) -> bool:
    """
    Return whether a refusal is the service's own, and not that of a gateway or proxy.

    It counts as the service's own if it has a Code or a RequestId: gateways send ``{"message": …}``, some with a
    ``code`` that repeats the status, others with a ``requestId``, none known with both. A refusal other than 404 is
    also believed if it has the API's ``Message``.
    """
    if not 400 <= (failure.status or 0) < 500 or failure.status in (408, 429) or failure.retry_after is not None:
        return True
    if _known_text(body.get("Code")) or _known_text(body.get("RequestId")) or (failure.code and failure.request_id):
        return True
    if re.match(_DENIED, failure.code or "") or re.search(_DENIED_MESSAGE, failure.message or ""):
        return True
    return failure.status != 404 and bool(_known_text(body.get("Message")) or re.match("[A-Za-z]", failure.code or ""))


def _retry_after(milliseconds: str | None) -> float | None:
    """Return ``x-acs-retry-after`` in seconds, None if it is absent or no number above 0."""
    try:
        seconds = float(milliseconds or "") / 1000
    except ValueError:
        return None
    return min(seconds, MAX_RETRY_AFTER) if 0 < seconds < float("inf") else None


def _known_text(value: Any) -> str | None:
    # The service may answer 'null'. What is not text is a gateway's.
    text = str(value) if isinstance(value, (str, int, float)) else ""
    return None if text in ("", "null") else text
