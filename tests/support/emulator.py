"""Requests to an emulator: by the real SDK, and by hand."""

import hashlib
import http.client
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from alibabacloud_tea_openapi.client import Client
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils import Utils
from alibabacloud_tea_openapi.utils_models import Config, OpenApiRequest, Params
from darabonba.request import DaraRequest
from darabonba.runtime import RuntimeOptions

from airflow_provider_dsw.emulator import DswEmulator

KEY_ID, SECRET = "emulator-key-id", "emulator-key-secret"
ROOT = "/api/v2/instances"
ABC = f"{ROOT}/dsw-abc"


def sdk_client(emulator: DswEmulator, **config: Any) -> Client:
    config = {"access_key_id": KEY_ID, "access_key_secret": SECRET, "ca": emulator.ca_file, **config}
    return Client(Config(endpoint=emulator.endpoint, protocol=emulator.protocol, region_id="cn-hangzhou", **config))


def sdk_call(
    client: Client, action: str, path: str, method: str = "GET", query: Any = None, body: Any = None
) -> dict[str, Any]:
    """The answer's body, by the SDK's generic call."""
    params = Params(
        action=action,
        version="2022-01-01",
        protocol="HTTPS",
        pathname=path,
        method=method,
        auth_type="AK",
        style="ROA",
        req_body_type="json",
        body_type="json",
    )
    answer = client.call_api(params, OpenApiRequest(headers={}, query=query or {}, body=body), RuntimeOptions())
    fields: dict[str, Any] = answer["body"]
    return fields


class Caller:
    """The operations, as the SDK calls them."""

    def __init__(self, emulator: DswEmulator, **config: Any) -> None:
        self.client = sdk_client(emulator, **config)

    def get(self, instance_id: str = "dsw-abc", **query: str) -> dict[str, Any]:
        return sdk_call(self.client, "GetInstance", f"{ROOT}/{instance_id}", query=query)

    def status(self, instance_id: str = "dsw-abc") -> str:
        status: str = self.get(instance_id)["Status"]
        return status

    def list(self, **query: str) -> dict[str, Any]:
        return sdk_call(self.client, "ListInstances", ROOT, query=query)

    def start(self) -> dict[str, Any]:
        return sdk_call(self.client, "StartInstance", f"{ABC}/start", "PUT")

    def stop(self, **query: str) -> dict[str, Any]:
        return sdk_call(self.client, "StopInstance", f"{ABC}/stop", "PUT", query=query)

    def create_snapshot(self, **body: Any) -> dict[str, Any]:
        body = {"SnapshotName": "model-1", "ImageUrl": "registry.example.com/team/model:1", **body}
        return sdk_call(self.client, "CreateInstanceSnapshot", f"{ABC}/snapshots", "POST", body=body)

    def get_snapshot(self, snapshot_id: str) -> dict[str, Any]:
        return sdk_call(self.client, "GetInstanceSnapshot", f"{ABC}/snapshots/{snapshot_id}")

    def list_snapshots(self, **query: str) -> dict[str, Any]:
        return sdk_call(self.client, "ListInstanceSnapshot", f"{ABC}/snapshots", query=query)


@contextmanager
def refused(status: int, code: str) -> Iterator[pytest.ExceptionInfo[AlibabaCloudException]]:
    """Expect that the SDK raises the service's refusal with this HTTP status and code."""
    with pytest.raises(AlibabaCloudException) as raised:
        yield raised
    assert (raised.value.status_code, raised.value.code) == (status, code), raised.value.message


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        code: str | None = self.json["Code"]
        return code


def sign(
    emulator: DswEmulator,
    action: str = "GetInstance",
    path: str = ABC,
    method: str = "GET",
    query: dict[str, str] | None = None,
    body: bytes = b"",
    key_id: str = KEY_ID,
    secret: str = SECRET,
    **changed: str | None,
) -> dict[str, str]:
    """The headers of a request, signed by the SDK. `changed`: x_acs_date="..." and so on; None: left out."""
    headers = {
        "host": emulator.endpoint,
        "x-acs-action": action,
        "x-acs-version": "2022-01-01",
        "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": uuid.uuid4().hex,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
    }
    for name, value in changed.items():
        headers.pop(name.replace("_", "-"), None)
        if value is not None:
            headers[name.replace("_", "-")] = value
    request = DaraRequest()
    request.method, request.pathname, request.query, request.headers = method, path, query or {}, headers
    payload = headers.get("x-acs-content-sha256", "")
    authorization = Utils.get_authorization(request, "ACS3-HMAC-SHA256", payload, key_id, secret)
    return {**headers, "authorization": authorization}


def send(
    emulator: DswEmulator,
    headers: dict[str, str],
    path: str = ABC,
    method: str = "GET",
    query: dict[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send what may not be what was signed."""
    connection = http.client.HTTPConnection(emulator.host, emulator.port, timeout=60)
    target = path
    if query:
        target += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    try:
        connection.request(method, target, body or None, headers)
        response = connection.getresponse()
        answer_headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, answer_headers, response.read())
    finally:
        connection.close()


def wait_for(what: Callable[[], Any], wanted: Any) -> None:
    """Call `what` until it returns `wanted`; only a fault takes a minute."""
    end = time.monotonic() + 60
    while (found := what()) != wanted:
        assert time.monotonic() < end, f"{found!r}, not {wanted!r}"
        time.sleep(0.005)
