"""
What the provider raises. Every error is an AirflowException, so existing handlers keep working.

::

    DswError
    ├── DswConnectionError          the connection is incomplete: no retry helps until it is corrected
    ├── DswInstanceNotFoundError    no retry helps
    ├── DswAccessDeniedError        no retry helps until the credentials or the permissions change
    ├── DswRequestError             refused for a reason that a retry would not change
    ├── DswTransientError           a retry may work
    ├── DswWaitFailedError          also an AirflowFailException: the task fails without a retry
    │   └── DswWaitArgumentError    likewise
    ├── DswOperationFailedError     a retry requests it again
    └── DswTimeoutError             a retry resumes
"""

from __future__ import annotations

from typing import Any

from airflow_provider_dsw.secrets import MAX_TEXT, clean, word_in
from airflow_provider_dsw.version_compat import AirflowException, AirflowFailException

_MAX_TEXT = 4000  # characters
SAID = ("code", "status_code", "request_id", "message")
"""The attributes of an error that hold what the service itself said."""


class DswError(AirflowException):
    """
    Base of everything that the provider raises about the service.

    The text speaks to the DAG author. The attributes hold what the service itself said; each is
    None where the service gave none.

    :param text: what was asked for, what was found and what to do, in one message.
    :param code: the service's ``Code``, e.g. ``Throttling.User``.
    :param status_code: the HTTP status.
    :param request_id: the service's ``RequestId``, which its support asks for.
    :param message: the service's ``Message``.
    """

    def __init__(
        self,
        text: str = "",
        *,
        code: str | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
        message: str | None = None,
    ) -> None:
        super().__init__(clean(text, _MAX_TEXT))
        said = {"code": code, "request_id": request_id, "message": message}
        self.code = word_in(said, "code")
        self.status_code = status_code  # type: ignore[assignment]
        self.request_id = word_in(said, "request_id")
        self.message = word_in(said, "message", MAX_TEXT)


class DswConnectionError(DswError, ValueError):
    """The Airflow connection lacks a field or holds a malformed one; no request was made."""


class DswInstanceNotFoundError(DswError):
    """The service says that there is no such instance or snapshot."""


class DswAccessDeniedError(DswError):
    """The credentials are bad or expired, or they lack a permission."""


class DswRequestError(DswError):
    """The service refused the request for a reason that a retry would not change."""


class DswTransientError(DswError):
    """Throttled, a 5xx, unreachable or a broken answer, after the last retry; later it may work."""

    retry_after: float | None = None
    """Seconds that the service itself asked to wait, if it did; five minutes at most."""

    may_have_been_performed: bool = False
    """
    Whether a request that changes something may have been performed although it failed.

    True if its answer was lost or broken, or is a 5xx. The hook does not repeat such a request: ask the service first.
    False if it was certainly not performed (throttled, never sent), and always for one that only reads.
    """


class DswWaitFailedError(DswError, AirflowFailException):
    """A wait that can no longer succeed. A retry would find the same, so the task fails without one."""


class DswWaitArgumentError(DswWaitFailedError, ValueError):
    """A wait whose templated arguments were rendered to what it can't work with."""


class DswOperationFailedError(DswError):
    """What an operator asked for was refused or has failed. The task's ``retries`` apply: a retry asks again."""


class DswTimeoutError(DswError):
    """
    An operator's ``timeout``, counted anew for each try, is over. The task's ``retries`` apply.

    A retry resumes: it sends no second request while the first is in progress or has succeeded.
    """


def said_in(error: BaseException) -> dict[str, Any]:
    """
    Return what the service itself said, as another error's constructor takes it.

    :param error: of any kind; each is None where the service gave none.
    """
    return {name: getattr(error, name, None) for name in SAID}
