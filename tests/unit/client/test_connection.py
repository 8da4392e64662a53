"""What a connection says, in every form in which Airflow keeps one, and what is wrong with one that is refused."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

import airflow_provider_dsw
from airflow_provider_dsw.client import connection_fields
from airflow_provider_dsw.client.connection import DswConnection, parse
from airflow_provider_dsw.client.connection_fields import OPTIONAL_FIELDS, REQUIRED_FIELDS
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswAccessDeniedError, DswConnectionError, DswError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.version_compat import AirflowException
from tests.support.hooks import KEY, connect
from tests.support.raw_server import RawServer, http, sends

ID = "dsw-abc"
LOGIN, PASSWORD = "emulator-key-id", "emulator-key-secret"


def forms(emulator: DswEmulator) -> dict[str, str]:
    """Values of AIRFLOW_CONN_DSW_DEFAULT that all mean the emulator."""
    host, port, endpoint = emulator.host, emulator.port, emulator.endpoint
    key = {"login": LOGIN, "password": PASSWORD}
    extra = {"protocol": "http"}
    alibaba = {"access_key_id": LOGIN, "access_key_secret": PASSWORD, "region": "cn-hangzhou", "auth_type": "AK"}
    return {
        "JSON": json.dumps({"conn_type": "dsw", **key, "host": host, "port": port, "extra": extra}),
        "extra as text": json.dumps(
            {"conn_type": "dsw", **key, "host": host, "port": port, "extra": '{"protocol": "http"}'}
        ),
        "port in the host": json.dumps({"conn_type": "dsw", **key, "host": endpoint, "extra": extra}),
        "port twice": json.dumps({"conn_type": "dsw", **key, "host": endpoint, "port": port, "extra": extra}),
        "spaces": json.dumps(
            {"conn_type": "dsw", **key, "host": f" {host} ", "port": port, "extra": {"protocol": " http "}}
        ),
        "a name": json.dumps({"conn_type": "dsw", **key, "host": "localhost", "port": port, "extra": extra}),
        "a URI": f"dsw://{LOGIN}:{PASSWORD}@{host}:{port}/?protocol=http&region=cn-hangzhou",
        "alibaba_cloud": json.dumps({"conn_type": "alibaba_cloud", "host": endpoint, "extra": {**alibaba, **extra}}),
        "AK": json.dumps({"conn_type": "dsw", **key, "host": endpoint, "extra": {**extra, "auth_type": "AK"}}),
        "times": json.dumps(
            {"conn_type": "dsw", **key, "host": endpoint}
            | {"extra": {**extra, "connect_timeout": "2.5", "read_timeout": 3}}
        ),
    }


@pytest.mark.parametrize("form", [*forms(DswEmulator())])
def test_every_form_of_a_connection_works(form, ask, emulator, monkeypatch):
    emulator.add_instance(ID)
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", forms(emulator)[form])

    assert ask(DswHook())["InstanceId"] == ID


def test_an_sts_token_goes_along(ask, monkeypatch):
    with DswEmulator(credentials={"key-id": {"secret": "the-key-secret", "security_token": "a-token"}}) as emulator:
        emulator.add_instance(ID)
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))

        assert ask(DswHook())["InstanceId"] == ID


@pytest.mark.parametrize(
    ("extra", "region", "endpoint"),
    [
        ({"region": "cn-hangzhou"}, None, "pai-dsw.cn-hangzhou.aliyuncs.com"),
        ({"region": "cn-hangzhou", "network": "vpc"}, None, "pai-dsw-vpc.cn-hangzhou.aliyuncs.com"),
        ({"region": "cn-hangzhou", "network": "public"}, None, "pai-dsw.cn-hangzhou.aliyuncs.com"),
        ({"region": "cn-hangzhou"}, "ap-southeast-1", "pai-dsw.ap-southeast-1.aliyuncs.com"),
        ({}, "xx-new-7", "pai-dsw.xx-new-7.aliyuncs.com"),  # the list of regions grows
        ({"region": "cn-hangzhou", "network": ""}, None, "pai-dsw.cn-hangzhou.aliyuncs.com"),
    ],
)
def test_without_a_host_the_region_says_where_the_service_is(extra, region, endpoint, monkeypatch):
    connect(monkeypatch, **KEY, extra=extra)
    hook = DswHook(region=region)

    assert hook.connection.endpoint == endpoint
    assert hook.connection.protocol == "https"
    assert hook.get_conn()._endpoint == endpoint  # where the SDK sends its requests


@pytest.mark.parametrize(
    ("host", "port", "endpoint"),
    [
        ("dsw.example.com", None, "dsw.example.com"),
        ("dsw.example.com", 8443, "dsw.example.com:8443"),
        ("127.0.0.1:8765", 99, "127.0.0.1:8765"),
        ("[::1]", 8765, "[::1]:8765"),
        ("::1", 8765, "[::1]:8765"),
        ("fe80::1", None, "[fe80::1]"),
        ("[::1]:8765", None, "[::1]:8765"),
    ],
)
def test_a_host_takes_the_place_of_the_region_s_own(host, port, endpoint, monkeypatch):
    hook = connect(monkeypatch, **KEY, host=host, port=port, extra={"region": "cn-hangzhou", "network": "vpc"})

    assert hook.connection.endpoint == endpoint


ROLE = {"role_arn": "acs:ram::1:role/r"}
OIDC = {"oidc_provider_arn": "acs:ram::1:oidc-provider/p", "oidc_token_file_path": "/token"}
SECRET_EXTRA = {"security_token": "the-security-token", "access_key_secret": "the-other-key-secret"}


@pytest.mark.parametrize(
    ("auth_type", "fields", "missing"),
    [
        (None, {"password": "the-key-secret"}, "login (the AccessKey id)"),
        (None, {"login": "key-id"}, "password (the AccessKey secret)"),
        (None, {}, "login"),
        ("access_key", {"login": "key-id"}, "password"),
        ("AK", {"password": "the-key-secret"}, "login"),
        ("sts", KEY, "extra 'security_token'"),
        ("sts", {"extra": {"security_token": "the-security-token"}}, "login"),
        ("ram_role_arn", KEY, "extra 'role_arn'"),
        ("ram_role_arn", {"login": "key-id", "extra": ROLE}, "password"),
        ("oidc_role_arn", {}, "extra 'role_arn'"),
        ("oidc_role_arn", {"extra": ROLE}, "extra 'oidc_provider_arn'"),
        ("oidc_role_arn", {"extra": {**ROLE, **OIDC, "oidc_token_file_path": ""}}, "extra 'oidc_token_file_path'"),
        ("credentials_uri", {}, "extra 'credentials_uri'"),
    ],
)
def test_what_an_auth_type_needs_is_named_where_it_is_missing(auth_type, fields, missing, ask, emulator, monkeypatch):
    extra = {"protocol": "http", **fields.get("extra", {})} | ({"auth_type": auth_type} if auth_type else {})
    hook = connect(monkeypatch, **{"host": emulator.endpoint, **fields, "extra": extra})

    with pytest.raises(DswConnectionError) as raised:
        ask(hook)

    assert missing in str(raised.value)
    assert "'dsw_default'" in str(raised.value)
    assert (auth_type or "access_key").replace("AK", "access_key") in str(raised.value)
    assert not any(value in f"{raised.value!r}" for value in ("the-key-secret", "the-security-token"))
    assert emulator.requests == []


# Of each field of extra, a value other than the default.
FIELDS = {
    "region": "cn-beijing",
    "network": "vpc",
    "protocol": "http",
    "auth_type": "default",
    "security_token": "the-security-token",
    **ROLE,
    "role_session_name": "airflow",
    "role_session_expiration": "1800",
    "policy": "{}",
    "external_id": "e-1",
    **OIDC,
    "role_name": "airflow",
    "credentials_uri": "http://127.0.0.1:1/",
    "sts_endpoint": "sts.cn-beijing.aliyuncs.com",
    "connect_timeout": "2.5",
    "read_timeout": "3",
}
STANDARD = {"access_key_id": ("login", "key-id"), "access_key_secret": ("password", "the-key-secret")}


def connection_of(auth_type: str, *more: str, **given: str) -> Connection:
    """A connection with what an auth_type needs, these fields too, and nothing else."""
    needed = REQUIRED_FIELDS[auth_type]
    extra = {name: FIELDS[name] for name in (*needed, *more) if name not in STANDARD}
    standard: dict[str, Any] = dict(STANDARD[name] for name in needed if name in STANDARD)
    said = {"region": "cn-hangzhou", **extra, "auth_type": auth_type, **given}
    return Connection(conn_id="dsw_default", conn_type="dsw", extra=json.dumps(said), **standard)


@pytest.mark.parametrize("auth_type", REQUIRED_FIELDS)
def test_what_an_auth_type_needs_is_enough(auth_type):
    found = parse(connection_of(auth_type))

    assert found.auth_type == auth_type
    assert set(found.credentials) == set(REQUIRED_FIELDS[auth_type])


def takers_of(name: str) -> list[str]:
    """The auth_types that take a field; a field that is not for some of them is taken by all."""
    uses = [auth_type for auth_type in REQUIRED_FIELDS if name in (*REQUIRED_FIELDS[auth_type], *taken_by(auth_type))]
    return uses or ["access_key"]


def taken_by(auth_type: str) -> tuple[str, ...]:
    return OPTIONAL_FIELDS.get(auth_type, ())


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "auth_type"])
def test_what_each_field_says_is_read(name):
    for auth_type in takers_of(name):
        if name not in REQUIRED_FIELDS[auth_type]:
            without, given = parse(connection_of(auth_type)), parse(connection_of(auth_type, name))
            assert given != without, f"of a connection of auth_type {auth_type} parse() does not read {name}"


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(DswConnection)])
def test_what_is_parsed_is_used(name):
    package = Path(airflow_provider_dsw.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in package.glob("[!e]*/*.py"))

    assert re.search(rf"\b(?:self|connection)\.{name}\b", code), f"no line of the package reads connection.{name}"


def of_type(auth_type: str, **malformed: Any) -> dict[str, Any]:
    """A connection of an auth_type that is right but for this."""
    needed = {name: FIELDS[name] for name in REQUIRED_FIELDS[auth_type] if name not in STANDARD}
    return {"extra": {"auth_type": auth_type, **needed, **malformed}}


# What is malformed, and words of the error, the field's name in the first of them.
MALFORMED: list[tuple[dict[str, Any], list[str]]] = [
    ({"extra": {}, "host": ""}, ["region", "host", "cn-hangzhou"]),
    ({"extra": {"region": " "}, "host": None}, ["region", "host"]),
    ({"extra": {"region": "cn hangzhou"}}, ["region 'cn hangzhou' is not a region id"]),
    ({"extra": {"region": "pai-dsw.cn-hangzhou.aliyuncs.com"}}, ["is not a region id like 'cn-hangzhou'"]),
    ({"extra": {"region": "x/../y"}}, ["is not a region id"]),
    ({"host": "https://dsw.example.com"}, ["host", "without scheme and path", "'protocol'"]),
    ({"host": "dsw.example.com/api"}, ["host", "without scheme and path"]),
    ({"host": "user:the-key-secret@dsw.example.com"}, ["host", "without scheme and path"]),
    ({"host": "dsw example com"}, ["host"]),
    ({"host": "dsw.example.com:65536"}, ["host", "a port of at most 65535"]),
    ({"host": "dsw.example.com:0"}, ["host"]),
    ({"host": "dsw.example.com", "port": 99999}, ["host", "a port of at most 65535"]),
    ({"extra": {"protocol": "ftp"}}, ["'protocol'", "'ftp'", "https"]),
    ({"extra": {"protocol": "HTTPS"}}, ["'protocol'", "Did you mean 'https'?"]),
    ({"extra": {"network": "private"}}, ["'network'", "'private'", "public, vpc"]),
    ({"extra": {"auth_type": "acess_key"}}, ["'auth_type'", "Did you mean 'access_key'?"]),
    ({"extra": {"auth_type": "bearer"}}, ["'auth_type'", "'bearer'"]),
    ({"extra": {"connect_timeout": "soon"}}, ["'connect_timeout'", "seconds above 0"]),
    ({"extra": {"connect_timeout": 0.0}}, ["'connect_timeout'"]),
    ({"extra": {"read_timeout": -1}}, ["'read_timeout'", "seconds above 0"]),
    ({"extra": {"read_timeout": "inf"}}, ["'read_timeout'"]),
    ({"extra": {"read_timeout": "nan"}}, ["'read_timeout'"]),
    ({"extra": {"read_timeout": True}}, ["'read_timeout'"]),
    ({"extra": {"read_timeout": [5]}}, ["'read_timeout'"]),
    (of_type("sts", security_token="the-key-secret of somebody"), ["'security_token'", "no Alibaba Cloud key has"]),
    (of_type("ram_role_arn", policy="the-key-secret"), ["'policy'", "not a RAM policy"]),
    (of_type("ram_role_arn", role_session_expiration="1h"), ["'role_session_expiration'"]),
    (of_type("ram_role_arn", role_session_expiration=60), ["'role_session_expiration'", "900 or more"]),
    *(
        (of_type("credentials_uri", credentials_uri=uri), ["'credentials_uri'", "not a URL of http or https"])
        for uri in (
            "127.0.0.1:8080/credentials",
            "localhost",
            "file:///etc/passwd",
            "http:///credentials",
            "http://a b/",
            "http://a/the-key-secret b",
            "http://user:the-key-secret@127.0.0.1/",
            "http://127.0.0.1:65536/",
            "http://127.0.0.1:0/",
            "http://[::1",
            "https://",
        )
    ),
    *(
        (of_type("ram_role_arn", sts_endpoint=host), ["'sts_endpoint'", "without scheme"])
        for host in ("https://sts.aliyuncs.com", "sts.aliyuncs.com/", "the-key-secret@sts.aliyuncs.com")
    ),
]
# Of these any text is well-formed, and no part of it is secret.
ANY_TEXT = {
    "role_arn",
    "role_session_name",
    "external_id",
    "oidc_provider_arn",
    "oidc_token_file_path",
    "role_name",
}


NO_URL = {"auth_type", "security_token"}


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in NO_URL | ANY_TEXT])
def test_a_password_in_a_url_is_refused_or_known_to_be_secret(name: str) -> None:
    try:
        found = parse(connection_of(takers_of(name)[0], **{name: "http://user:a%2Fpassword@127.0.0.1:8080"}))
    except DswConnectionError:
        return

    assert {"a%2Fpassword", "a/password"} <= {*found.secrets}, (
        f"_secrets() has to yield the password in {name}, too; or NO_URL names what is never a URL"
    )


@pytest.mark.parametrize(("fields", "words"), MALFORMED)
def test_what_is_malformed_is_named_and_nothing_is_asked(fields, words, ask, monkeypatch):
    with RawServer(sends(http(200, {"InstanceId": ID}))) as server:
        hook = connect(monkeypatch, **{**KEY, "host": f"127.0.0.1:{server.port}", **fields})

        with pytest.raises(DswConnectionError) as raised:
            ask(hook)

    assert all(word in str(raised.value) for word in ("'dsw_default'", *words)), raised.value
    assert "the-key-secret" not in repr(raised.value)
    assert raised.value.__cause__ is None
    assert server.received == []


@pytest.mark.parametrize(
    "extra", ['{"password": "the-key-secret"', '["the-key-secret"]', "the-key-secret", '"the-key-secret"']
)
def test_an_extra_that_is_no_json_object_is_not_shown(extra, monkeypatch):
    from airflow.sdk import Connection

    # As it comes from the database: a connection of the environment Airflow 3.1 refuses itself.
    found = Connection(conn_id="dsw_default", conn_type="dsw", login="key-id", password="the-key-secret", extra=extra)
    monkeypatch.setattr(DswHook, "get_connection", lambda self, conn_id: found)

    with pytest.raises(DswConnectionError, match="'dsw_default': extra is not a JSON object") as raised:
        DswHook().get_instance(ID)

    assert "the-key-secret" not in repr(raised.value)
    assert raised.value.__context__ is None


def test_spaces_around_what_was_pasted_do_not_count(ask, emulator, monkeypatch):
    emulator.add_instance(ID)
    connect(
        monkeypatch, login=f" {LOGIN}", password=f"{PASSWORD}\n", host=emulator.endpoint, extra={"protocol": "http"}
    )

    assert ask(DswHook())["InstanceId"] == ID


def test_an_error_of_the_connection_is_a_dsw_error_and_a_value_error():
    assert issubclass(DswConnectionError, (DswError, ValueError))


def test_no_secret_is_shown_by_what_holds_it(monkeypatch):
    extra = {"region": "cn-hangzhou", "auth_type": "sts", "security_token": "the-security-token"}
    hook = connect(monkeypatch, **KEY, extra=extra)

    shown = f"{hook!r} {hook} {hook.connection!r} {hook.connection}"

    assert "the-" not in shown
    assert "key-id" not in shown


def test_one_client_serves_a_hook_for_its_life(dsw_default):
    hook = DswHook()

    assert hook.get_conn() is hook.get_conn()
    assert type(hook.get_conn()).__module__ == "alibabacloud_pai_dsw20220101.client"
    assert hook.get_conn().get_instance  # the SDK's own, for what the hook does not wrap
    assert hook.get_conn() is not DswHook().get_conn()


def test_the_client_of_the_hook_works_by_itself(dsw_default):
    from alibabacloud_pai_dsw20220101.models import GetInstanceRequest

    dsw_default.add_instance(ID)

    assert DswHook().get_conn().get_instance(ID, GetInstanceRequest()).body.instance_id == ID


def test_a_connection_that_does_not_exist_is_airflow_s_own_error(ask):
    with pytest.raises(AirflowException, match="no_such_connection") as raised:
        ask(DswHook("no_such_connection"))

    assert not isinstance(raised.value, DswAccessDeniedError)


def test_the_default_connection_is_dsw_default():
    assert DswHook().dsw_conn_id == DswHook.default_conn_name == "dsw_default"
    assert (DswHook.conn_type, DswHook.conn_name_attr) == ("dsw", "dsw_conn_id")


@pytest.mark.parametrize("name", [*connection_fields.secret_fields(), "password"])
def test_neither_what_is_wrong_with_a_secret_nor_a_connection_itself_shows_it(name: str) -> None:
    def parsed(secret: str) -> object:
        if name == "password":
            fields = {"login": "key-id", "password": secret, "extra": {"region": "cn-hangzhou"}}
            return parse(Connection.from_json(json.dumps({"conn_type": "dsw", **fields}), conn_id="dsw_default"))
        return parse(connection_of(takers_of(name)[0], **{name: secret}))

    assert "do-not-show" not in repr(parsed("do-not-show"))
    for wrong in ("do-not-show\r\nX: 1", "do-not-show\u20ac"):
        with pytest.raises(DswConnectionError) as raised:
            parsed(wrong)
        assert "do-not-show" not in str(raised.value), "name what is wrong without the value"


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:8080/credentials?for=a",
        "https://credentials.example.com",
        "HTTP://[::1]:80/",
        "http://localhost/",
    ],
)
def test_a_url_of_any_host_is_taken(uri):
    assert parse(connection_of("credentials_uri", credentials_uri=uri)).credentials == {"credentials_uri": uri}
