"""The hook's own signature is the SDK's."""

from __future__ import annotations

import pytest
from alibabacloud_credentials.models import CredentialModel
from alibabacloud_tea_openapi.utils import Utils
from darabonba.request import DaraRequest

from airflow_provider_dsw.client.signature import canonical, signed

KEY = {"access_key_id": "key-id", "access_key_secret": "the secret"}


@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(KEY, id="a key"),
        pytest.param({**KEY, "provider_name": "static_ak"}, id="a key and where it is from"),
        pytest.param({**KEY, "security_token": "token+/=="}, id="a token"),
    ],
)
@pytest.mark.parametrize(
    ("method", "query", "content"),
    [
        pytest.param("GET", {}, b"", id="no query"),
        pytest.param("GET", {"b": "a b&c=d/~*+%é", "a": "1", "B": ""}, b"", id="a query with all that is encoded"),
        pytest.param("POST", {}, '{"SnapshotDescription":"né"}'.encode(), id="a body"),
    ],
)
def test_it_is_the_sdk_s(credential, method, query, content):
    credential = CredentialModel(**credential)
    headers = signed(
        {"host": "dsw.example.com", "x-acs-action": " GetInstance "},
        method,
        "/api/v2/instances/dsw-1",
        canonical(query),
        content,
        credential,
    )

    found = headers.pop("Authorization")
    request = DaraRequest()
    request.method, request.pathname, request.query, request.headers = method, "/api/v2/instances/dsw-1", query, headers
    assert found == Utils.get_authorization(
        request, "ACS3-HMAC-SHA256", headers["x-acs-content-sha256"], KEY["access_key_id"], KEY["access_key_secret"]
    )


def test_no_two_have_the_same_nonce():
    nonces = {signed({}, "GET", "/", "", b"", CredentialModel(**KEY))["x-acs-signature-nonce"] for _ in range(1000)}

    assert len(nonces) == 1000
