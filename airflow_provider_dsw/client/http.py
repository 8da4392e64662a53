"""One HTTP request and its answer, as bytes in and out: no I/O. What HTTP itself means is h11's."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from airflow_provider_dsw.client.causes import BROKE_OFF, CLOSED, NOT_HTTP, TOO_LARGE, UNKNOWN_ENCODING

MAX_ANSWER = 16 * 2**20
"""Bytes of an answer, unpacked."""
MAX_HEAD = 64 * 2**10
"""Bytes of an answer's head."""
MAX_INTERIM_ANSWERS = 20


class AnswerError(Exception):
    """
    An answer that can't be read.

    :param cause: in words. h11's own quote the answer, which may quote a secret.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class HttpExchange:
    """
    One request and its answer.

    :param method: the HTTP method.
    :param target: what the request line names.
    :param headers: names in lower case.
    :param content: the body.
    """

    def __init__(self, method: str, target: str, headers: Mapping[str, str], content: bytes = b"") -> None:
        import h11

        self._h11 = h11
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        fields = list(headers.items())
        if content:
            fields.append(("content-length", str(len(content))))
        parts = [h11.Request(method=method, target=target, headers=fields), h11.EndOfMessage()]
        if content:
            parts.insert(1, h11.Data(data=content))
        self.request = b"".join(self._connection.send(part) or b"" for part in parts)
        """What to send."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_complete = False
        self._content = bytearray()
        self._unpack: Any = None
        self._interim = 0
        self._read = 0

    @property
    def size(self) -> int:
        """Bytes of the answer's body, unpacked."""
        return len(self._content)

    @property
    def content(self) -> bytes:
        """The answer's body, unpacked."""
        return bytes(self._content)

    @property
    def is_reusable(self) -> bool:
        """Whether the connection can take another request."""
        h11, connection = self._h11, self._connection
        states = (connection.our_state, connection.their_state)
        return self.is_complete and states == (h11.DONE, h11.DONE) and not any(connection.trailing_data)

    def feed(self, data: bytes) -> None:
        """
        Take what was read; nothing where the server has closed the connection.

        :raises AnswerError: if the answer can't be read.
        """
        self._read += len(data)
        if self._read > 2 * MAX_ANSWER:  # chunks of a byte each
            raise AnswerError(TOO_LARGE)
        try:
            self._connection.receive_data(data)
            while not self.is_complete and self._handle(self._connection.next_event()):
                pass
        except self._h11.RemoteProtocolError:
            at_end = BROKE_OFF if self._read else CLOSED
            cause = NOT_HTTP if data else at_end
        else:
            return
        raise AnswerError(cause)

    def _handle(self, event: Any) -> bool:
        """Return whether there may be more in what was read."""
        h11 = self._h11
        if event is h11.NEED_DATA:
            return False
        if isinstance(event, h11.Data):
            self._add(event.data)
        elif isinstance(event, h11.Response):
            self._begin(event)
        elif isinstance(event, h11.EndOfMessage):
            self._end()
        elif isinstance(event, h11.InformationalResponse):
            self._interim += 1
            if self._interim > MAX_INTERIM_ANSWERS:
                raise AnswerError(NOT_HTTP)
        else:  # a tunnel is open, or the protocol changes, which was not asked for
            self._end()
        return True

    def _begin(self, answer: Any) -> None:
        self.status = answer.status_code
        for name, value in answer.headers:
            self.headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > MAX_ANSWER:
            raise AnswerError(TOO_LARGE)
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif encoding not in ("identity", ""):
            raise AnswerError(UNKNOWN_ENCODING)

    def _add(self, data: bytes) -> None:
        if self._unpack:
            try:
                data = self._unpack.decompress(data, MAX_ANSWER + 1 - len(self._content))
            except zlib.error:
                raise AnswerError(BROKE_OFF) from None
        if len(self._content) + len(data) > MAX_ANSWER:
            raise AnswerError(TOO_LARGE)
        self._content += data

    def _end(self) -> None:
        if self._unpack and not self._unpack.eof:
            raise AnswerError(BROKE_OFF)
        self.is_complete = True
