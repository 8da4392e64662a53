"""
How secrets are protected: Airflow's masker learns them, and they are removed from every text that leaves.

Which values are secret is declared once for each kind: a field of the connection's form that is a password
(:func:`~airflow_provider_dsw.client.connection_fields.secret_fields`), a parameter of a request
(:func:`is_secret_name`), and a field of an instance (:data:`~airflow_provider_dsw.details.SECRET_FIELDS`).
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

from airflow_provider_dsw.urls import HIDDEN

MIN_SECRET_LENGTH = 8
"""Characters of what is hidden in all texts of the process; what is shorter may be a word, and no key or token is."""
_MIN_SECRET_LENGTH_IN_ONE_TEXT = 4
MAX_TEXT = 500
"""Characters of a message."""
MAX_WORD = 200
"""Characters of a Code, an id or a status."""
MAX_STORED = 64 * 1024
"""Characters of a text in an XCom or an event."""

_MAX_KNOWN = 300  # a triggerer lives for months, and each hour brings new ones
_known: dict[str, tuple[str, ...]] = {}
_known_forms: tuple[str, ...] = ()


def mask(secrets: Iterable[str]) -> None:
    """Register these with Airflow's masker."""
    from airflow.sdk.log import mask_secret

    for secret in secrets:
        mask_secret(secret)


async def amask(secrets: Iterable[str]) -> None:
    """As :func:`mask`, without blocking the event loop."""
    from airflow_provider_dsw.version_compat import amask_secret

    for secret in secrets:
        await amask_secret(secret)


def register_secrets(secrets: Iterable[str]) -> None:
    """Remove these from everything that :func:`clean` and :func:`without_secrets` return in this process."""
    global _known_forms
    for secret in secrets:
        if len(secret) >= MIN_SECRET_LENGTH and secret not in _known:
            _known[secret] = _forms(secret)
            while len(_known) > _MAX_KNOWN:
                _known.pop(next(iter(list(_known))), None)
            _known_forms = _longest_first(list(_known.values()))


def clean(text: str, longest: int = MAX_TEXT, *, also: Iterable[str] = ()) -> str:
    """
    Return foreign text as one line, truncated, and without any secret in a form that a service may echo.

    :param text: what the service, a gateway or a library says.
    :param longest: characters.
    :param also: what is secret in this text, and a word like any other elsewhere.
    """
    also = tuple(also)
    # A secret that the cut goes through must have been seen whole.
    line = one_line(without_secrets(text[: longest + 64 * 1024], also=also), longest)
    # What line breaks have hidden is one now.
    return without_secrets(line, also=also)


def without_secrets(text: str, *, also: Iterable[str] = ()) -> str:
    """
    Return a text without any secret that is known in this process.

    :param text: any text.
    :param also: as :func:`clean`.
    """
    of_text = [_forms(secret) for secret in also if len(secret) >= _MIN_SECRET_LENGTH_IN_ONE_TEXT]
    for form in _longest_first([_known_forms, *of_text]) if of_text else _known_forms:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


def one_line(text: str, longest: int = MAX_TEXT) -> str:
    """Return a text without line breaks, control characters and escape sequences, and cut."""
    if len(text) <= longest and text.isascii() and text.isprintable():
        return text
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", " ", text[: 4 * longest])
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def storable(text: str) -> str:
    """
    Return foreign text as it may be stored: without any known secret, and cut.

    Line breaks stay. What a database refuses, or a terminal or a browser obeys, is replaced and not taken out: what
    stands before and behind it might be a secret together.

    :param text: what the service says.
    """
    if len(text) > MAX_STORED:
        text = f"{without_secrets(text[: 2 * MAX_STORED])[: MAX_STORED - 1]}…"
    return without_secrets(without_control(text))


def without_control(text: str) -> str:
    """Return a text in which no character controls how it is shown, but for line breaks and tabs."""
    return text if text.isascii() and text.isprintable() else re.sub(_CONTROL, "\ufffd", text)


# Also those of ISO 6429 above ASCII, those that turn the direction of what follows, and halves of a character.
_CONTROL = "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def word_in(answer: Mapping[str, Any], name: str, longest: int = MAX_WORD) -> str | None:
    """
    Return a text of an answer, for a message; None where the answer gives none, or something else there.

    :param answer: the service's.
    :param name: the field, e.g. ``RequestId``.
    :param longest: characters.
    """
    value = answer.get(name)
    return clean(str(value), longest) or None if isinstance(value, (str, int, float)) else None


def is_secret_name(name: object) -> bool:
    """
    Return whether a parameter, a label or a member of a body is secret, as its name says it.

    :param name: e.g. ``Token``, a sharing token, or ``db-password``; not ``stsTokenOwner`` or ``NextToken``.
    """
    return isinstance(name, str) and bool(re.search(_SENSITIVE_NAME, name))


_SENSITIVE_NAME = (
    r"(?i)(?:passw(?:or)?d|pwd|secret|(?<!next)(?<!page)token|credentials?|(?:api|access|secret|private)[_-]?key)$"
)


def forget_locals(error: BaseException) -> None:
    """
    Let an error's traceback hold no local variables, which some tools print with it: they hold keys and answers.

    Frames that are still running keep theirs.

    :param error: with all that it hangs on.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def iter_strings(value: Any) -> Iterator[str]:
    """Return all strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from iter_strings(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from iter_strings(item)


def _longest_first(forms: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return all of them; one secret may be part of another, of which a part would be left."""
    return tuple(sorted({form for forms_of_one in forms for form in forms_of_one}, key=len, reverse=True))


def _forms(secret: str) -> tuple[str, ...]:
    """Return a secret plain, URL-encoded, in Base64, and escaped in JSON and HTML; or in two of these ways at once."""
    # As bytes: what is secret of an instance may hold halves of characters, and text that does can't be quoted.
    plain = secret.encode(errors="surrogatepass")
    encoded = {quote(plain, safe=""), quote(plain, safe="/~"), quote(plain, safe="~"), quote_plus(plain)}
    lower = {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in encoded}
    in_json, in_base64 = json.dumps(secret)[1:-1], set(_in_base64(plain))
    escaped = {in_json, in_json.replace("/", "\\/"), json.dumps(in_json)[1:-1]}
    twice = {quote(form, safe="") for form in encoded | in_base64}
    return (secret, *encoded, *lower, *escaped, html.escape(secret), *in_base64, *twice)


def _in_base64(secret: bytes) -> Iterator[str]:
    """Return what Base64 makes of a secret alone, and of one that begins anywhere in a text."""
    yield base64.b64encode(secret).decode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret).decode().rstrip("=")
        whole = encoded[(0, 2, 3)[before] : len(encoded) - bool((before + len(secret)) % 3)]
        if len(whole) >= MIN_SECRET_LENGTH:
            yield whole
            yield whole.replace("+", "-").replace("/", "_")


class _WithoutSecrets(logging.Filter):
    """
    Takes secrets out of what the libraries of Alibaba Cloud, and urllib3 beneath them, log of a request or an answer.

    What a worker's supervisor prints of it Airflow does not mask. A parameter whose name says that it is secret is
    hidden too: the SDK's client may be given a sharing token that is unknown here.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        # An error's own text quotes the answer.
        record.exc_info = record.exc_text = None
        text = record.getMessage()
        hidden = re.sub(_HIDDEN_PARAMETERS, rf"\1{HIDDEN}", without_secrets(text))
        if hidden != text:
            record.msg, record.args = hidden, ()
        return True


# To be compiled where there is something to log: a DAG file that imports this has nothing.
_HIDDEN_PARAMETERS = r"(?i)([?&][\w.-]*(?:token|secret|password|signature)[\w.-]*=)[^&\s\"']+"


class _WithoutAnswers(_WithoutSecrets):
    """Also drops the lines about credentials that can't be fetched: they quote whole answers, with unknown secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, BaseException) or record.getMessage().startswith("Refresh credentials failed"):
            return False
        return super().filter(record)


for _name in ("urllib3.connection", "urllib3.connectionpool", "alibabacloud-tea", "darabonba-core"):
    logging.getLogger(_name).addFilter(_WithoutSecrets())
logging.getLogger("credentials").addFilter(_WithoutAnswers())
