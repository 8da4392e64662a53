"""What a connection of type ``dsw`` says: where the service is, and with which credentials to call it."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_dsw import __version__
from airflow_provider_dsw.arguments import did_you_mean
from airflow_provider_dsw.client.connection_fields import (
    CONN_TYPE,
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_READ_TIMEOUT,
    MIN_ROLE_SESSION_SECONDS,
    NETWORKS,
    OFFICIAL_CONN_TYPE,
    OPTIONAL_FIELDS,
    PROTOCOLS,
    REQUIRED_FIELDS,
    extra_keys,
    secret_fields,
)
from airflow_provider_dsw.exceptions import DswConnectionError
from airflow_provider_dsw.validation import shown

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

USER_AGENT = f"airflow-provider-dsw/{__version__}"

_FIELD_OF = {
    "access_key_id": "login (the AccessKey id)",
    "access_key_secret": "password (the AccessKey secret)",
}
_HOST = r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_REGION = r"[a-z0-9-]+"
_DAY = 24 * 60 * 60
_CORRECT = "Correct it in the connection."


@dataclass(frozen=True)
class DswConnection:
    """
    A connection, checked.

    :param conn_id: its id, for messages.
    :param endpoint: host, and port where one is given.
    :param protocol: ``https`` or ``http``.
    :param region: region id; empty where only a host is given.
    :param auth_type: one of the types that ``alibabacloud_credentials`` knows, or ``default`` for its chain.
    :param credentials: what that type takes, under the names of ``alibabacloud_credentials``.
    :param connect_timeout: seconds.
    :param read_timeout: seconds.
    :param secrets: the values that must never leave, whether they are used or not.
    """

    conn_id: str
    endpoint: str
    protocol: str
    region: str
    auth_type: str
    credentials: Mapping[str, Any] = field(repr=False)
    connect_timeout: float
    read_timeout: float
    secrets: tuple[str, ...] = field(default=(), repr=False)
    hint: str = field(default="", compare=False)
    """What in extra is not read, in words; empty if there is no such key."""

    @property
    def is_static(self) -> bool:
        """Whether the credentials are just there, with nothing to fetch or renew."""
        return self.auth_type in ("access_key", "sts")

    def sdk_client(self, credential: Any) -> Any:
        """
        Return the SDK's client for this connection.

        It has no retries of its own: the hook's retry layer is the only one.
        """
        from alibabacloud_pai_dsw20220101.client import Client
        from alibabacloud_tea_openapi.models import Config

        return Client(
            Config(
                credential=credential,
                endpoint=self.endpoint,
                region_id=self.region or None,
                protocol=self.protocol,
                connect_timeout=round(self.connect_timeout * 1000),
                read_timeout=round(self.read_timeout * 1000),
                user_agent=USER_AGENT,
            )
        )


def parse(connection: Connection, region: str | None = None) -> DswConnection:
    """
    Check a connection and return what it says.

    :param connection: of type ``dsw``, or ``alibaba_cloud`` as the official provider keeps it.
    :param region: in place of the connection's own.
    :raises DswConnectionError: naming the field that is missing or malformed, never its value where that is secret.
    """
    where = f"Connection {connection.conn_id!r}"
    extra = _extra_of(connection, where)
    hint = _hint(extra)
    if hint:
        log.warning("%s:%s", where, hint)
    if connection.conn_type not in (None, "", CONN_TYPE, OFFICIAL_CONN_TYPE):
        hint += f" The connection's type is {shown(connection.conn_type)}, not {CONN_TYPE!r}."

    def text(name: str) -> str:
        return _stripped(extra.get(name))

    def choice(name: str, known: tuple[str, ...]) -> str:
        value = text(name) or known[0]
        if value not in known:
            raise DswConnectionError(f"{where}: extra {name!r} is {value!r}.{did_you_mean(value, known)}")
        return value

    def seconds(name: str, default: float) -> float:
        try:
            value = float(text(name) or default)
        except ValueError:
            value = 0.0
        if not 0 < value <= _DAY:
            raise DswConnectionError(
                f"{where}: extra {name!r} must be a number of seconds above 0, a day at most. {_CORRECT}"
            )
        return value

    region = text("region") if region is None or region == "" else region
    region = region.strip() if isinstance(region, str) else region
    if region and not (isinstance(region, str) and re.fullmatch(_REGION, region)):
        raise DswConnectionError(
            f"{where}: region {region!r} is not a region id like 'cn-hangzhou'. Correct it, or the argument region."
        )
    network = choice("network", NETWORKS)
    auth_type = "access_key" if text("auth_type") == "AK" else choice("auth_type", tuple(REQUIRED_FIELDS))
    if auth_type == "access_key" and text("security_token"):
        auth_type = "sts"
    return DswConnection(
        conn_id=str(connection.conn_id),
        endpoint=_endpoint(connection, region, network, where, hint),
        protocol=choice("protocol", PROTOCOLS),
        region=region,
        auth_type=auth_type,
        credentials=_credentials(auth_type, connection, extra, where, hint),
        connect_timeout=seconds("connect_timeout", DEFAULT_CONNECT_TIMEOUT),
        read_timeout=seconds("read_timeout", DEFAULT_READ_TIMEOUT),
        secrets=_secrets(connection, extra),
        hint=hint,
    )


def _secrets(connection: Connection, extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the password, as the official provider keeps it too, and all that the form shows as one."""
    values = (connection.password, *(extra.get(name) for name in ("access_key_secret", *secret_fields())))
    return tuple(dict.fromkeys(filter(None, map(_stripped, values))))


def _extra_of(connection: Connection, where: str) -> dict[str, Any]:
    # Not ``extra_dejson``: it calls the supervisor, which blocks in async code, and hides broken JSON.
    try:
        extra = json.loads(connection.extra or "{}")
    except (ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict):
        # Without its text: what failed to parse may be a secret.
        raise DswConnectionError(f"{where}: extra is not a JSON object. {_CORRECT}")
    for name in extra_keys():
        if name != "policy" and isinstance(extra.get(name), (bool, list, dict)):
            raise DswConnectionError(f"{where}: extra {name!r} must be a string or a number. {_CORRECT}")
    return extra


def _hint(extra: Mapping[str, Any]) -> str:
    known = extra_keys()
    unknown = [key for key in extra if key not in known]
    return "".join(f" extra has {shown(key)}, which is not a known key.{did_you_mean(key, known)}" for key in unknown)


def _endpoint(connection: Connection, region: str, network: str, where: str, hint: str) -> str:
    host = _stripped(connection.host)
    if not host:
        if not region:
            raise DswConnectionError(
                f"{where}: neither extra 'region' (e.g. 'cn-hangzhou') nor host is set; without one of them "
                f"the service can't be found. Set one of them in the connection.{hint}"
            )
        return f"pai-dsw{'-vpc' if network == 'vpc' else ''}.{region}.aliyuncs.com"
    if _is_ipv6(host):
        host = f"[{host}]"
    if connection.port and not re.search(r":\d+$", host):
        host = f"{host}:{connection.port}"
    port = re.search(r":(\d+)$", host)
    if not re.fullmatch(_HOST, host) or (port and not 0 < int(port[1]) < 65536):
        raise DswConnectionError(
            f"{where}: host must be a host name, with a port of at most 65535 where needed (e.g. '127.0.0.1:8765'), "
            f"without scheme and path. Choose https or http with extra 'protocol'.{hint}"
        )
    return host


def _credentials(
    auth_type: str, connection: Connection, extra: dict[str, Any], where: str, hint: str
) -> dict[str, Any]:
    given = {
        **{name: _stripped(value) for name, value in extra.items()},
        "access_key_id": _stripped(connection.login or extra.get("access_key_id")),
        "access_key_secret": _stripped(connection.password or extra.get("access_key_secret")),
    }
    needed = REQUIRED_FIELDS[auth_type]
    for name in needed:
        if not given.get(name):
            raise DswConnectionError(
                f"{where}: {_FIELD_OF.get(name, f'extra {name!r}')} is not set; auth_type {auth_type!r} needs it. "
                f"Set it in the connection.{hint}"
            )
    credentials: dict[str, Any] = {
        name: given[name] for name in (*needed, *OPTIONAL_FIELDS.get(auth_type, ())) if given.get(name)
    }
    for name in ("access_key_id", "access_key_secret", "security_token"):
        if not re.fullmatch(r"[!-~]*", credentials.get(name, "")):
            raise DswConnectionError(
                f"{where}: {_FIELD_OF.get(name, f'extra {name!r}')} holds a character that no Alibaba Cloud key "
                "has. Copy the key again."
            )
    if "credentials_uri" in credentials and not _is_url(credentials["credentials_uri"]):
        raise DswConnectionError(
            f"{where}: extra 'credentials_uri' is not a URL of http or https with a host, like "
            f"'http://127.0.0.1:8080/credentials'. {_CORRECT}"
        )
    if "sts_endpoint" in credentials and not re.fullmatch(_HOST, credentials["sts_endpoint"]):
        raise DswConnectionError(
            f"{where}: extra 'sts_endpoint' must be a host name, like 'sts.cn-hangzhou.aliyuncs.com', without scheme "
            f"and path. {_CORRECT}"
        )
    if "policy" in credentials:
        credentials["policy"] = _policy(extra["policy"], where)
    if "role_session_expiration" in credentials:
        credentials["role_session_expiration"] = _role_session_seconds(credentials["role_session_expiration"], where)
    return credentials


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host)
    except (OSError, ValueError):  # ValueError: a NUL, or half of a surrogate pair
        return False
    return True


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in PROTOCOLS and parts.port != 0
    except ValueError:
        return False
    return is_good and bool(re.fullmatch(_HOST, parts.netloc) and re.fullmatch(r"[!-~]+", text))


def _stripped(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _policy(value: Any, where: str) -> str:
    """Return the policy without spaces: alibabacloud_credentials signs them as '+', which STS does not."""
    try:
        policy = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        policy = None
    if not isinstance(policy, dict):
        raise DswConnectionError(f"{where}: extra 'policy' is not a RAM policy, which is a JSON object. {_CORRECT}")
    return json.dumps(policy, separators=(",", ":"))


def _role_session_seconds(value: Any, where: str) -> int:
    try:
        expiration = int(value)
    except (TypeError, ValueError):
        expiration = 0
    if expiration < MIN_ROLE_SESSION_SECONDS:
        raise DswConnectionError(
            f"{where}: extra 'role_session_expiration' must be a number of seconds, "
            f"{MIN_ROLE_SESSION_SECONDS} or more. {_CORRECT}"
        )
    return expiration
