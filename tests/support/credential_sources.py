"""
Servers that hand out temporary credentials, as Alibaba Cloud's do, for the emulator to know.

They share nothing with the hook: what STS is asked, and how that is signed, is checked here by STS's description.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.emulator.signature import Credential

KEY_ID, KEY_SECRET = "root-key-id", "the-root-key-secret"
ROLE = "acs:ram::1:role/airflow"
OIDC_PROVIDER, OIDC_TOKEN = "acs:ram::1:oidc-provider/rrsa", "the-oidc-token"
HOUR = timedelta(hours=1)

Answer = tuple[int, Any]


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str


@dataclass
class Grants:
    """
    Issues temporary credentials, which the emulator then knows.

    :param lifetime: as the source says it.
    :param good_for: as the service sees it; None: as long.
    """

    emulator: DswEmulator
    lifetime: timedelta = HOUR
    good_for: timedelta | None = None
    issued: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def issue(self) -> dict[str, str]:
        number, now = next(self._numbers), datetime.now(UTC)
        good_for = self.lifetime if self.good_for is None else self.good_for
        found = {
            "AccessKeyId": f"STS.{number}",
            "AccessKeySecret": f"the-fetched-secret-{number}",
            "SecurityToken": f"the-fetched-token-{number}",
            "Expiration": f"{now + self.lifetime:%Y-%m-%dT%H:%M:%SZ}",
        }
        self.emulator.add_credential(
            found["AccessKeyId"],
            found["AccessKeySecret"],
            security_token=found["SecurityToken"],
            expires=now + good_for,
        )
        self.issued.append(found["AccessKeyId"])
        self.secrets += [found["AccessKeySecret"], found["SecurityToken"]]
        return found

    def expire(self, key_id: str) -> None:
        """Let the service call credentials expired, whatever their source says."""
        known = self.emulator.credentials[key_id]
        assert isinstance(known, Credential)
        known.expires = datetime.now(UTC)


class Source(ThreadingHTTPServer):
    """Answers by a function; as a proxy too, so that a request for any address can be led here."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.hold: Callable[[], object] = lambda: None  # before each answer
        self.redirect: Callable[[Asked], str] = lambda asked: ""  # where to, in place of an answer
        self.asked: list[Asked] = []
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)

    def __enter__(self) -> Source:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        sent = self.rfile.read(int(headers.get("content-length", 0))).decode()
        asked = Asked(self.command, url.path, query, headers, sent)
        self.server.asked.append(asked)
        self.server.hold()
        location = self.server.redirect(asked)
        status, body = (307, "") if location else self.server.answer(asked)
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(content)))
        with suppress(ConnectionError):  # who asked may not have waited
            self.end_headers()
            self.wfile.write(content)

    do_PUT = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Not to stderr."""


class Sts:
    """AssumeRole and AssumeRoleWithOIDC (sts/2015-04-01)."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._nonces: set[str] = set()
        self.tokens: dict[str, str] = {}  # of temporary keys that may assume the role

    def __call__(self, asked: Asked) -> Answer:
        query = asked.query
        if (query.get("Version"), query.get("Format"), asked.method) != ("2015-04-01", "JSON", "GET"):
            return refusal(400, "InvalidParameter", query)
        age = datetime.now(UTC) - datetime.fromisoformat(query["Timestamp"])
        if abs(age) > timedelta(minutes=15):
            return refusal(400, "InvalidTimeStamp.Expired", query)
        if query.get("RoleArn") != ROLE:
            return refusal(404, "EntityNotExist.Role", query)
        if not 900 <= int(query["DurationSeconds"]) <= 43200 or not query.get("RoleSessionName"):
            return refusal(400, "InvalidParameter", query)
        known = {"AssumeRole": self._check_key, "AssumeRoleWithOIDC": self._check_oidc_token}
        refused = known[query["Action"]](query)
        return refused or (200, {"RequestId": "R-STS", "Credentials": self._grants.issue()})

    def _check_key(self, query: dict[str, str]) -> Answer | None:
        if query.get("AccessKeyId") != KEY_ID:
            return refusal(404, "InvalidAccessKeyId.NotFound", query)
        if query["SignatureNonce"] in self._nonces:
            return refusal(400, "SignatureNonceUsed", query)
        self._nonces.add(query["SignatureNonce"])
        if query.get("Signature") != signature(query, KEY_SECRET):
            return refusal(400, "SignatureDoesNotMatch", query)
        if query.get("SecurityToken") != self.tokens.get(KEY_ID):
            return refusal(400, "InvalidSecurityToken.Malformed", query)
        return None

    def _check_oidc_token(self, query: dict[str, str]) -> Answer | None:
        if query.get("OIDCProviderArn") != OIDC_PROVIDER:
            return refusal(404, "EntityNotExist.OIDCProvider", query)
        if query.get("OIDCToken") != OIDC_TOKEN:
            return refusal(400, "AuthenticationFail.OIDCToken.Invalid", query)
        return None


def signature(query: dict[str, str], secret: str) -> str:
    """By STS's description of the signature, version 1.0."""

    def encoded(text: str) -> str:
        return quote(text, safe="-_.~")

    pairs = "&".join(f"{encoded(name)}={encoded(query[name])}" for name in sorted(query) if name != "Signature")
    to_sign = f"GET&{encoded('/')}&{encoded(pairs)}"
    return base64.b64encode(hmac.new(f"{secret}&".encode(), to_sign.encode(), hashlib.sha1).digest()).decode()


def refusal(status: int, code: str, query: dict[str, str]) -> Answer:
    """An error of STS that echoes all that it was sent, secrets included: nothing of it may be shown."""
    return status, {"RequestId": "R-STS", "Code": code, "Message": f"Specified parameters: {query}"}


class Metadata:
    """The metadata service of an ECS instance, in its hardened mode: nothing without a token of its own."""

    def __init__(self, grants: Grants, role: str = "the-instance-s-role") -> None:
        self._grants = grants
        self._role = role

    def __call__(self, asked: Asked) -> Answer:
        if (asked.method, asked.path) == ("PUT", "/latest/api/token"):
            return 200, "the-metadata-token"
        if not self._role:
            return 404, "Not Found"
        if asked.headers.get("x-aliyun-ecs-metadata-token") != "the-metadata-token":
            return 403, "Forbidden"
        path = "/latest/meta-data/ram/security-credentials/"
        if asked.path == path:
            return 200, self._role
        if asked.path == path + self._role:
            return 200, {"Code": "Success", **self._grants.issue()}
        return 404, "Not Found"


class CredentialsUri:
    """A server on the same machine, for `credentials_uri`."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def __call__(self, asked: Asked) -> Answer:
        if (asked.path, asked.query) != ("/credentials", {"for": "airflow"}):
            return 404, "Not Found"
        return 200, {"Code": "Success", **self._grants.issue()}
