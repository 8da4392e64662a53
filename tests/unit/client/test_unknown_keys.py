"""A key in extra that nothing reads is most often a typing error; it is named wherever that may matter."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswConnectionError
from airflow_provider_dsw.hooks.dsw import DswHook
from tests.support.hooks import KEY, connect

ID = "dsw-abc"
LOGGER = "airflow_provider_dsw.client.connection"


def to_emulator(monkeypatch: pytest.MonkeyPatch, emulator: DswEmulator, **extra: Any) -> DswHook:
    fields = {**emulator.connection(), "extra": {"protocol": "http", **extra}}
    return connect(monkeypatch, **fields)


@pytest.fixture
def warnings_of(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger=LOGGER)
    return caplog


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("netwrok", "Did you mean 'network'?"),
        ("Region", "Did you mean 'region'?"),
        ("read-timeout", "Did you mean 'read_timeout'?"),
        ("securityToken", "Did you mean 'security_token'?"),
        ("foo", "Known names: region, network,"),
    ],
)
def test_a_key_that_nothing_reads_is_a_warning(key, near, ask, emulator, monkeypatch, warnings_of):
    emulator.add_instance(ID)

    assert ask(to_emulator(monkeypatch, emulator, **{key: "the-secret"}))["InstanceId"] == ID

    (record,) = [record for record in warnings_of.records if record.name == LOGGER]
    words = record.getMessage()
    assert f"Connection 'dsw_default': extra has {key!r}" in words
    assert near in words
    assert "the-secret" not in words


def test_keys_that_are_known_are_no_warning(ask, emulator, monkeypatch, warnings_of):
    emulator.add_instance(ID)
    every = {"region": "cn-hangzhou", "network": "vpc", "auth_type": "access_key", "security_token": None}
    ask(to_emulator(monkeypatch, emulator, **every, access_key_id="", role_name="r", read_timeout=3))

    assert not [record for record in warnings_of.records if record.name == LOGGER]


@pytest.mark.parametrize(
    ("fields", "missing", "there"),
    [
        (
            {"extra": {"regoin": "cn-hangzhou"}},
            "neither extra 'region'",
            "extra has 'regoin', which is not a known key. Did you mean 'region'?",
        ),
        (
            {"host": "h", "extra": {"auth_type": "ram_role_arn", "roleArn": "acs:ram::1:role/the-role"}},
            "extra 'role_arn' is not set",
            "extra has 'roleArn', which is not a known key. Did you mean 'role_arn'?",
        ),
        (
            {"host": "h", "login": "", "extra": {"acces_key_id": "the-id"}},
            "login (the AccessKey id) is not set",
            "extra has 'acces_key_id', which is not a known key. Did you mean 'access_key_id'?",
        ),
    ],
)
def test_where_a_field_is_missing_the_keys_that_nothing_reads_are_named(fields, missing, there, ask, monkeypatch):
    with pytest.raises(DswConnectionError) as raised:
        ask(connect(monkeypatch, **{**KEY, **fields}))

    assert missing in str(raised.value)
    assert there in str(raised.value)
    assert "the-" not in str(raised.value)


def test_the_test_of_the_connection_names_them_too(emulator, monkeypatch):
    works, words = to_emulator(monkeypatch, emulator, netwrok="vpc").test_connection()

    assert works
    assert "extra has 'netwrok', which is not a known key. Did you mean 'network'?" in words

    works, words = connect(monkeypatch, **KEY, extra={"regoin": "cn-hangzhou"}).test_connection()

    assert not works
    assert words.count("extra has 'regoin'") == 1


def test_a_denied_test_of_the_connection_names_them_too(emulator, monkeypatch):
    fields = {**emulator.connection(), "password": "wrong", "extra": {"protocol": "http", "netwrok": "vpc"}}

    works, words = connect(monkeypatch, **fields).test_connection()

    assert not works
    assert "extra has 'netwrok'" in words


@pytest.mark.parametrize("auth_type", [None, "access_key", "AK", "sts"])
def test_a_security_token_beside_the_default_auth_type_means_sts(auth_type, ask, monkeypatch):
    with DswEmulator(credentials={"key-id": {"secret": "the-key-secret", "security_token": "a-token"}}) as emulator:
        emulator.add_instance(ID)
        fields = emulator.connection()
        extra = {"protocol": "http", "security_token": "a-token", "auth_type": auth_type}
        hook = connect(monkeypatch, **{**fields, "extra": extra})

        assert ask(hook)["InstanceId"] == ID
        assert hook.connection.auth_type == "sts"


@pytest.mark.parametrize("value", [["x"], {"x": 1}, True])
@pytest.mark.parametrize("name", ["region", "security_token", "read_timeout", "access_key_secret", "protocol"])
def test_a_field_that_is_no_text_is_refused_by_its_name(name, value, ask, monkeypatch):
    with pytest.raises(DswConnectionError, match=f"'dsw_default': extra '{name}' must be a string or a number"):
        ask(connect(monkeypatch, **KEY, host="127.0.0.1:1", extra={name: value}))


@pytest.mark.parametrize("seconds", [1e10, "1e10", 1e300, "Infinity", "1" * 400])
@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
def test_a_timeout_that_no_socket_can_keep_is_refused(name, seconds, ask, monkeypatch):
    with pytest.raises(DswConnectionError, match=f"extra '{name}' must be a number of seconds"):
        ask(connect(monkeypatch, **KEY, host="127.0.0.1:1", extra={name: seconds}))


@pytest.mark.parametrize("fields", [{}, {"host": "https://example.com/api"}])
def test_where_a_field_is_missing_or_malformed_a_connection_of_another_type_is_named(fields, ask, monkeypatch):
    with pytest.raises(DswConnectionError, match=r"The connection's type is 'aws', not 'dsw'\."):
        ask(connect(monkeypatch, **KEY, **fields, conn_type="aws"))


def test_a_complete_connection_of_another_type_works(ask, emulator, monkeypatch, warnings_of):
    emulator.add_instance(ID)

    assert ask(connect(monkeypatch, **{**emulator.connection(), "conn_type": "http"}))["InstanceId"] == ID
    assert warnings_of.records == []
