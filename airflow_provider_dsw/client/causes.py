"""
What went wrong on the way, in words.

Not in those of an exception: they may quote a URL, a header or an answer, and with it a secret.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

UNKNOWN_HOST = "the host name is unknown"
REFUSED = "nothing listens there (connection refused)"
UNREACHABLE = "the service can't be reached"
UNTRUSTED = "the server's TLS certificate is not trusted here"
NO_TLS = "TLS failed; is it an https endpoint?"
NO_CONNECTION = "no connection in time"
NO_ANSWER = "no answer in time"
CLOSED = "the connection was closed without an answer"
BROKE_OFF = "the answer was cut off"
NOT_HTTP = "the answer is not HTTP"
TOO_LARGE = "the answer is larger than 16 MiB"
TOO_MANY_VALUES = "the answer holds more than 50,000 values"
UNKNOWN_ENCODING = "the answer has a content encoding that was not requested"
REDIRECT = "the answer is a redirect, which is not followed"
NOT_AN_OBJECT = "the answer is not the JSON object that the API documents; it may be a gateway's page"
NOT_THE_SERVICE = "refused by a gateway or proxy"
NO_CREDENTIALS = "the credentials could not be fetched"


def network_cause(error: BaseException, *, sent: bool) -> str:
    """
    Return what an exception means: of the network, or of the libraries that fetch credentials.

    :param sent: whether the request was on its way.
    """
    chain = tuple(_chain(error))

    def has(*kinds: type[BaseException] | str) -> bool:
        types = tuple(kind for kind in kinds if isinstance(kind, type))
        return any(isinstance(link, types) or type(link).__name__ in kinds for link in chain)

    if has(socket.gaierror, "NameResolutionError"):
        return UNKNOWN_HOST
    if has(ConnectionRefusedError):
        return REFUSED
    if has(ssl.SSLCertVerificationError):
        return UNTRUSTED
    if has(ssl.SSLError, "SSLError"):
        return NO_TLS
    if has("ConnectTimeout", "ConnectTimeoutError"):
        return NO_CONNECTION
    if has("ReadTimeout", "ReadTimeoutError", TimeoutError):
        return NO_ANSWER if sent else NO_CONNECTION
    if has("IncompleteRead", "ChunkedEncodingError"):
        return BROKE_OFF
    if has(ConnectionError, "ConnectionError"):
        return CLOSED
    if has(OSError, "RetryError"):
        return UNREACHABLE
    return NOT_AN_OBJECT


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    queue: list[object] = [error]
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
