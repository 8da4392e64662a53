"""The refusals of the service: an HTTP status, a code and a message."""

from __future__ import annotations

from typing import Any

# Assumed: the API page documents two codes, InternalError ("everything but parameter validation") and
# ValidationError, with the HTTP statuses 400 and 404. What a missing instance gets follows from that wording.
NOT_FOUND = (404, "InternalError")
INVALID = (400, "ValidationError")
# Assumed: the code that other products answer for lack of stock.
NO_STOCK = (400, "OperationDenied.NoStock")


class ServiceError(Exception):
    """The service refuses a request. Becomes the JSON error body."""

    def __init__(self, status: int, code: str, message: str, **extra: Any) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.extra = extra


def invalid(message: str) -> ServiceError:
    return ServiceError(*INVALID, message)


def no_such_action() -> ServiceError:
    return ServiceError(404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")


def too_large() -> ServiceError:
    return ServiceError(413, "RequestEntityTooLarge", "The body is too large.")


def not_found(what: str, name: str) -> ServiceError:
    return ServiceError(*NOT_FOUND, f"The {what} {name} does not exist.")
