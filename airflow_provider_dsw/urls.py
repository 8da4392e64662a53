"""
What in a URL grants access to anybody who reads it: a token, a password, a signature.

A URL that holds one is not shown as a link, and in an XCom that part of it is ``***``. Every function takes time in
proportion to the text's length: the service's answers are text from a stranger, and a triggerer reads them in its
event loop.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

# Anywhere in a parameter's name: securityToken, X-Amz-Signature, client_secret.
_SECRET_WORDS = (
    "token",
    "secret",
    "passw",
    "signature",
    "credential",
    "ticket",
    "auth",
    "apikey",
    "accesskey",
    "cookie",
)
# A parameter's whole name, or a word of it: too short to look for inside of others.
_SECRET_NAMES = frozenset({"sig", "jwt", "key", "pwd", "pw", "pass", "otp", "sas", "sid", "session", "code", "bearer"})
# A segment of the path whose next segment is the secret: /token/abc.
_SECRET_SEGMENTS = frozenset({"token", "secret", "password", "passwd", "jwt", "sig", "signature", "ticket", "apikey"})
_MAX_DECODINGS = 3


def holds_secret(url: str) -> bool:
    """
    Return whether a URL alone grants access.

    :param url: a whole URL.
    """
    return hide_secrets_in_url(url) != url


def hide_secrets(text: str) -> str:
    """
    Return a text with the secret part of each URL in it replaced by ``***``.

    :param text: any text, a URL or not.
    """
    if "://" not in text:
        return text
    # Whitespace and quotes end a URL; the pattern can't be matched in two ways, so it takes linear time.
    return "".join(hide_secrets_in_url(part) if "://" in part else part for part in re.split(r"([\s\"'<>]+)", text))


def hide_secrets_in_url(url: str) -> str:
    """
    Return a URL with its password, and each parameter or path segment that is secret, replaced by ``***``.

    :param url: a whole URL; percent-encoding hides no name.
    """
    scheme, separator, rest = url.partition("://")
    end = min((at for at in map(rest.find, "/?#;") if at >= 0), default=len(rest))
    authority, rest = rest[:end], rest[end:]
    user_info, at, host = authority.rpartition("@")
    if at:
        authority = f"{HIDDEN}@{host}" if user_info != HIDDEN else authority
    return f"{scheme}{separator}{authority}{_hide_in_path_and_query(rest)}"


def _hide_in_path_and_query(text: str) -> str:
    parts = re.split(r"([?&;#/])", text)
    after_secret_segment = False
    for number in range(0, len(parts), 2):
        part, delimiter = parts[number], parts[number - 1] if number else ""
        if not part:
            continue
        name, equals, value = part.partition("=")
        decoded = _decoded(part)
        if after_secret_segment and delimiter == "/":
            parts[number] = HIDDEN
        elif equals:
            if value and (_is_secret_name(_decoded(name)) or _holds_secret_inside(_decoded(value))):
                parts[number] = f"{name}={HIDDEN}"
        elif _holds_secret_inside(decoded):
            parts[number] = HIDDEN
        after_secret_segment = delimiter in ("", "/") and not equals and decoded.lower() in _SECRET_SEGMENTS
    return "".join(parts)


def _is_secret_name(name: str) -> bool:
    joined = re.sub(r"[^a-z0-9]", "", name.lower())
    if any(word in joined for word in _SECRET_WORDS):
        return True
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return not _SECRET_NAMES.isdisjoint(re.split(r"[^a-z0-9]+", words.lower()))


def _holds_secret_inside(value: str) -> bool:
    """Return whether a decoded value is a token, or a URL of its own that holds one."""
    if any(word.startswith("eyJ") and word.count(".") > 1 for word in re.split(r"[^\w.-]+", value)):
        return True  # a JSON Web Token, whatever it is called
    assignments = (part.partition("=") for part in re.split(r"[?&;#/]", value))
    return any(given and given != HIDDEN and _is_secret_name(name) for name, _, given in assignments)


def _decoded(text: str) -> str:
    for _ in range(_MAX_DECODINGS):
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    return text
