"""Which certificates are trusted: the system's or those that SSL_CERT_FILE and SSL_CERT_DIR name, and certifi's."""

from __future__ import annotations

import os
import ssl

_kept: dict[tuple[str | None, ...], ssl.SSLContext] = {}


def kept_context() -> ssl.SSLContext | None:
    """Return the context that was made for what the environment names; None if there is none yet."""
    return _kept.get(_environment())


def new_context() -> ssl.SSLContext:
    """Make a context, and keep it for the process: reading the certificates takes a while."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    _kept[_environment()] = context
    return context


def _environment() -> tuple[str | None, ...]:
    return tuple(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
