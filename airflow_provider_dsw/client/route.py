"""The way to an endpoint: host and port, TLS or not, and the proxy that the environment names."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


class RouteError(Exception):
    """
    The endpoint can't be reached this way.

    :param cause: in words.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True)
class Proxy:
    """
    An HTTP proxy.

    :param host: its name or address.
    :param port: its port.
    :param headers: those that authenticate with it.
    """

    host: str
    port: int
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class Route(NamedTuple):
    """
    The way to an endpoint.

    :param endpoint: host and port as the connection says, for the header ``host``.
    :param host: its name or address.
    :param port: its port.
    :param tls: whether it is called by https.
    :param proxy: what to go through.
    """

    endpoint: str
    host: str
    port: int
    tls: bool
    proxy: Proxy | None = None

    @property
    def first_hop(self) -> tuple[str, int]:
        """Host and port to connect to."""
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)

    @property
    def authority(self) -> str:
        """Host and port to name to a proxy."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def route_to(protocol: str, endpoint: str) -> Route:
    """
    Return the way to an endpoint, by the proxy that the environment names (``https_proxy``, ``no_proxy``, …).

    :param protocol: ``https`` or ``http``.
    :param endpoint: host, and port if one is given.
    :raises RouteError: if the environment names a proxy of an unknown kind.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(f"//{endpoint}")
    proxies = getproxies()
    url = None if proxy_bypass(endpoint) else proxies.get(protocol) or proxies.get("all")
    return Route(
        endpoint=endpoint,
        host=parts.hostname or "",
        port=parts.port or _DEFAULT_PORTS[protocol],
        tls=protocol == "https",
        proxy=_proxy(url) if url else None,
    )


def _proxy(url: str) -> Proxy:
    # Without its text in any error: it may hold a password.
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise RouteError("the environment names a proxy that is not an http:// URL") from None
    if parts.scheme != "http" or not host:
        raise RouteError("the environment names a proxy that is not an http:// URL")
    if not parts.username:
        return Proxy(host, port)
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(host, port, (("proxy-authorization", f"Basic {base64.b64encode(login).decode()}"),))
