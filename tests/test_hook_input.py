"""Bad input and incomplete connections are refused before any request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswConnectionError
from airflow_provider_dsw.hooks import connection as connections
from airflow_provider_dsw.hooks.dsw import DswHook


@pytest.mark.parametrize("instance_id", ["", " ", None, 7, "a/b", "dsw-1?x=1", "../x", "dsw 1", "*"])
def test_a_malformed_id_sends_no_request(dsw_default: DswEmulator, instance_id: Any) -> None:
    with pytest.raises(ValueError, match="instance_id"):
        DswHook().get_instance(instance_id)
    assert dsw_default.requests == []


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"login": ""}, "login"),
        ({"password": ""}, "password"),
        ({"host": "", "port": None, "extra": {}}, "region"),
        ({"host": "https://example.com"}, "host"),
        ({"extra": {"protocol": "ftp"}}, "protocol"),
        ({"extra": {"auth_type": "sts"}}, "security_token"),
        ({"extra": {"auth_type": "ram_role_arn"}}, "role_arn"),
        ({"extra": {"auth_type": "oidc_role_arn"}}, "role_arn"),
        ({"extra": {"auth_type": "credentials_uri"}}, "credentials_uri"),
        ({"extra": {"auth_type": "acess_key"}}, "Did you mean 'access_key'"),
        ({"extra": {"read_timeout": "soon"}}, "read_timeout"),
    ],
)
def test_what_a_connection_lacks_is_named_and_no_value_shown(
    dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], names: str
) -> None:
    connection = {**dsw_default.connection(), **change}
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(connection))
    with pytest.raises(DswConnectionError, match=names) as raised:
        DswHook().get_instance("dsw-abc")
    assert "emulator-key-secret" not in str(raised.value)
    assert dsw_default.requests == []


def test_a_broken_extra_is_named_and_not_shown() -> None:
    broken = Connection(conn_id="dsw_default", conn_type="dsw", extra='{"security_token": "a-secret-token')
    with pytest.raises(DswConnectionError, match="extra is not a JSON object") as raised:
        connections.parse(broken)
    assert "a-secret-token" not in str(raised.value)


def test_an_answer_is_handed_on_whole_and_in_its_order(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance("dsw-abc", NewField={"Größe": 2**70, "Leer": None})
    answer = DswHook().get_instance("dsw-abc")
    assert answer["NewField"] == {"Größe": 2**70, "Leer": None}
    assert list(answer)[:3] == ["WorkspaceId", "WorkspaceName", "InstanceId"]


def test_all_pages_are_listed(dsw_default: DswEmulator) -> None:
    ids = [f"dsw-{number}" for number in range(7)]
    for instance_id in ids:
        dsw_default.add_instance(instance_id)
    found = [instance["InstanceId"] for instance in DswHook().list_instances(page_size=3)]
    assert sorted(found) == ids
    assert len(dsw_default.calls("ListInstances")) == 3


def test_an_alibaba_cloud_connection_works_as_it_is(dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    dsw_default.add_instance("dsw-abc")
    key = {"auth_type": "AK", "access_key_id": "emulator-key-id", "access_key_secret": "emulator-key-secret"}
    connection = {
        "conn_type": "alibaba_cloud",
        "host": dsw_default.endpoint,
        "extra": {**key, "region": "cn-hangzhou", "protocol": "http"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_OFFICIAL", json.dumps(connection))
    assert DswHook("official").get_instance("dsw-abc")["Status"] == "Running"


def test_the_connection_test_tells_a_wrong_secret(dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DswHook().test_connection()[0] is True
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps({**dsw_default.connection(), "password": "wrong-secret"}))
    works, says = DswHook().test_connection()
    assert works is False
    assert "password" in says
    assert "wrong-secret" not in says
