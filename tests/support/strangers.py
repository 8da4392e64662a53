"""Answers of a service that is not to be trusted, for generated tests, and what may come of one."""

from __future__ import annotations

import base64
import html
import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

# Hypothesis also tries words of our own code, such as read_timeout, which logs may well say.
KEYS = st.text(string.ascii_letters + string.digits + "+/=&%\"'<>-_.~", min_size=10, max_size=28).map("Q~{}".format)
"""Secrets."""
FORMS: tuple[Callable[[str], str], ...] = (
    str,
    lambda secret: quote(secret, safe=""),
    lambda secret: re.sub("%..", lambda escape: escape[0].lower(), quote(secret, safe="")),
    lambda secret: base64.b64encode(secret.encode()).decode(),
    lambda secret: base64.b64encode(b"id:" + secret.encode()).decode(),
    lambda secret: json.dumps(secret)[1:-1],
    html.escape,
)
"""What a service may make of a secret that it echoes."""
WORDS: tuple[str, ...] = (
    "Running",
    "Bad",
    "InvalidParameter",
    "Authorization",
    "token:",
    "\n",
    "\r\nERROR forged",
    "\x1b[31m",
    "\0",
    "\x9b2J",
    "\u202e",
    "\u2066",
    "\u2028",
)
WORDS += ("\ud800", "\x7f", "=", '"', "http://a/?x=", "x" * 6000)
BAD = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal or a browser obeys, or a database refuses."""
LONGEST_WORD, LONGEST_LINE, LONGEST_TEXT = 200, 5000, 70_000
"""Characters."""


class Nested(dict[str, Any]):
    """Lists in lists; hypothesis, which shows what has failed, can't go so deep."""

    def __init__(self, levels: int) -> None:
        super().__init__(nested=levels)


def parsed(said: Any) -> Any:
    """What a client makes of what the stranger says."""

    def unfold(found: dict[str, Any]) -> Any:
        value: Any = found
        if found.keys() == {"nested"}:
            value = "deep"
            for _ in range(found["nested"]):
                value = [value]
        return value

    return json.loads(json.dumps(said), object_hook=unfold)


class Stranger:
    """
    Generates what a service may say that knows some secrets.

    :param secrets: which.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = secrets
        echoes = [form(secret) for secret in secrets for form in FORMS]
        # Parts with nothing between them may make a secret, or a part of one, only by what is taken out of them.
        split = [f"{secret[:5]}{mark}{secret[5:]}" for secret in secrets for mark in "\0\x1b\u202e"]
        self.texts = st.lists(st.sampled_from([*echoes, *split, *WORDS]), min_size=1, max_size=4).map(" ".join)
        scalars = st.one_of(
            self.texts, st.sampled_from((None, True, 0, -1, 10**390, float("nan"), float("inf"), "", " "))
        )
        self.values: st.SearchStrategy[Any] = st.one_of(
            self.texts,
            st.recursive(
                scalars,
                lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(self.texts, inner, max_size=3)),
                max_leaves=5,
            ),
            st.sampled_from((Nested(100), Nested(700), {"a": Nested(700)})),
        )

    def objects(self, *names: str) -> st.SearchStrategy[dict[str, Any]]:
        """Some of these fields, with whatever in them, and one that nobody knows."""
        known = st.dictionaries(st.sampled_from(names), self.values, max_size=6)
        return st.tuples(known, st.dictionaries(self.texts, self.values, max_size=1)).map(lambda two: two[1] | two[0])

    def leaked(self, *texts: object) -> list[str]:
        """Return which secrets are shown, in whatever form."""
        return leaked(self._secrets, *texts)

    def assert_line(self, text: str, longest: int = LONGEST_LINE) -> None:
        """A line of a log or an error: one line, of limited length, and without secrets."""
        assert self.leaked(text) == []
        assert text.isprintable(), [hex(ord(letter)) for letter in text if not letter.isprintable()]
        assert len(text) <= longest

    def assert_stored(self, value: Any) -> None:
        """What is written to Airflow's database: what every database takes, and without secrets."""
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        for text in strings(value):
            assert self.leaked(text) == []
            assert BAD.findall(text) == []
            assert len(text) <= LONGEST_TEXT

    def assert_error(self, error: BaseException) -> None:
        """An error with all that hangs on it."""
        for link in chain(error):
            self.assert_line(str(link))
            for value in vars(link).values():
                if isinstance(value, str):
                    self.assert_line(value, 500)
                else:
                    assert len(repr(value)) < 100


def leaked(secrets: Iterable[str], *texts: object) -> list[str]:
    """In which forms these texts show secrets."""
    forms = {form(secret) for secret in secrets for form in FORMS}
    return [form for form in forms for text in texts if form in str(text)]


def strings(value: Any) -> Iterator[str]:
    """All strings in a value, those of keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            yield from strings(item)
    elif isinstance(value, Iterable):
        for item in value:
            yield from strings(item)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
