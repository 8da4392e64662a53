"""What is secret is declared once, and then hidden wherever it turns up: in errors, logs, events and XComs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import time
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import log as sdk_log

from airflow_provider_dsw.client import connection_fields
from airflow_provider_dsw.exceptions import DswError, DswWaitFailedError
from airflow_provider_dsw.links.dsw import links_of
from airflow_provider_dsw.secrets import MAX_TEXT, clean, register_secrets
from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger
from tests.support import modes
from tests.support.hooks import KEY, ask_async, ask_sync, connect, connect_to
from tests.support.raw_server import Answer, RawServer, http, in_turn, sends

ID = "dsw-abc"
SECURITY_TOKEN = 'the-security+token/=with "quotes"'.replace(" ", "-")
SECRETS = (
    KEY["password"],
    SECURITY_TOKEN,
    quote(SECURITY_TOKEN, safe=""),
    base64.b64encode(b"the-key-secret").decode(),
)
STS = {"auth_type": "sts", "security_token": SECURITY_TOKEN}
MEBIBYTE = 2**20
HOSTILE = f"{' '.join(SECRETS)}\r\nERROR \x1b[31mforged\x1b[0m\u2028\0 {'x' * MEBIBYTE}"


def assert_is_clean(text: str, longest: int) -> None:
    assert [secret for secret in SECRETS if secret in text] == []
    assert text.isprintable()
    assert len(text) <= longest


# Declared once


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Airflow was told to mask."""
    found: list[str] = []

    async def amask_secret(secret: str, name: str | None = None) -> None:
        found.append(secret)

    monkeypatch.setattr(sdk_log, "mask_secret", lambda secret, name=None: found.append(secret))
    if hasattr(sdk_log, "amask_secret"):
        monkeypatch.setattr(sdk_log, "amask_secret", amask_secret)
    return found


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
def test_a_new_password_field_of_the_form_is_a_secret_without_another_word(ask, told, monkeypatch):
    form_fields = connection_fields.form_fields

    def with_new_field() -> dict[str, Any]:
        return {
            **form_fields(),
            "pass_phrase": connection_fields._field("Pass phrase", "For a key.", format="password"),
        }

    monkeypatch.setattr(connection_fields, "form_fields", with_new_field)
    echo = http(400, {"Code": "ValidationError", "Message": "Bad the-pass-phrase.", "RequestId": "the-pass-phrase"})
    with RawServer(sends(echo)) as server:
        hook = connect_to(monkeypatch, server.port, pass_phrase="the-pass-phrase")
        with pytest.raises(DswError) as raised:
            ask(hook)

    assert "the-pass-phrase" in told
    error = raised.value
    assert "the-pass-phrase" not in f"{error} {error.message} {error.request_id} {hook.connection!r}"


@pytest.mark.parametrize("unused", ["password", "access_key_secret", *connection_fields.secret_fields()])
def test_a_secret_of_the_connection_is_masked_though_it_is_not_used(unused, told, dsw_default, monkeypatch):
    given: dict[str, Any] = {"login": "emulator", "password": "emulator-secret"}
    extra = {"protocol": "http", "auth_type": "default"}
    if unused == "password":
        given["password"] = "the-unused-secret"
    else:
        extra[unused] = "the-unused-secret"
    hook = connect(monkeypatch, **given, host=dsw_default.endpoint, extra=extra)

    assert hook.connection
    assert "the-unused-secret" in told


# What the service says


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize("name", ["Code", "RequestId", "Message"])
@pytest.mark.usefixtures("no_pauses")
def test_what_a_refusal_echoes_is_scrubbed_one_line_and_cut(name, ask, monkeypatch):
    said = {"Code": "ValidationError", "RequestId": "R-1", "Message": "No.", name: HOSTILE}
    with RawServer(sends(http(400, said))) as server, pytest.raises(DswError) as raised:
        ask(connect_to(monkeypatch, server.port, **STS))

    error = raised.value
    assert_is_clean(str(error), 2000)
    for text in (error.code, error.request_id, error.message):
        assert_is_clean(str(text), MAX_TEXT)


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.usefixtures("no_pauses")
def test_the_id_that_an_answer_is_about_is_scrubbed_one_line_and_cut(ask, monkeypatch):
    with RawServer(sends(http(200, {"InstanceId": HOSTILE}))) as server, pytest.raises(DswError) as raised:
        ask(connect_to(monkeypatch, server.port, **STS))

    assert_is_clean(str(raised.value), 2000)


@pytest.mark.usefixtures("no_pauses")
def test_what_is_secret_of_a_new_instance_is_not_echoed(monkeypatch):
    body = {"EnvironmentVariables": {"PASSWORD": "the-variable", "MODE": "Running"}, "ImageAuth": "the-image-auth"}
    echo = {"Code": "ValidationError", "Message": "Bad: the-variable, the-image-auth. Running?"}
    with RawServer(sends(http(400, echo))) as server:
        hook = connect_to(monkeypatch, server.port)
        with pytest.raises(DswError, match=r"Bad: \*\*\*, \*\*\*\. \*\*\*\?"):
            hook.create_instance(body)
        # A word that is secret there is none elsewhere.
        with pytest.raises(DswError, match="Running"):
            hook.get_instance(ID)


def of_instance(status: str, **more: Any) -> Answer:
    return sends(http(200, {"InstanceId": ID, "Status": status, "RequestId": "R-1", **more}))


@pytest.mark.parametrize("mode", modes.ALL, ids=lambda mode: str(mode.__name__))
@pytest.mark.usefixtures("no_pauses")
def test_what_a_wait_reads_is_scrubbed_one_line_and_cut_in_its_log_and_error(mode, monkeypatch, capfd):
    answers = [of_instance(HOSTILE), of_instance("Failed", ReasonCode=HOSTILE, ReasonMessage=HOSTILE)]
    answers[1:1] = [of_instance(HOSTILE)] if mode is modes.from_trigger else []
    with RawServer(in_turn(*answers)) as server:
        connect_to(monkeypatch, server.port, **STS)
        with pytest.raises(DswWaitFailedError) as raised:
            mode()

    assert_is_clean(str(raised.value), 4000)
    for text in (raised.value.code, raised.value.message):
        assert_is_clean(str(text), MAX_TEXT)
    lines = [line for stream in capfd.readouterr() for line in stream.splitlines()]
    assert any(f"DSW instance {ID} to be Running: *** *** *** *** ERROR forged xxx" in line for line in lines)
    for line in lines:
        assert [secret for secret in SECRETS if secret in line] == []
        assert len(line) < 5000
        assert "forged\x1b" not in line
        assert not line.startswith("ERROR")


@pytest.mark.parametrize("status", ["Running", "Failed"])
def test_what_a_trigger_sends_is_scrubbed_one_line_and_cut(status, monkeypatch):
    async def first_event() -> Any:
        trigger = DswInstanceTrigger(
            instance_id=ID, poke_interval=1, started_at=time.time(), timeout=60, has_polled=True
        )
        monkeypatch.setattr("airflow_provider_dsw.triggers.dsw.asyncio.sleep", _at_once)
        return (await anext(aiter(trigger.run()))).payload

    with RawServer(of_instance(status, ReasonMessage=HOSTILE)) as server:
        connect_to(monkeypatch, server.port, **STS)
        event = asyncio.run(first_event())

    sent = json.dumps(event, ensure_ascii=False)
    assert [secret for secret in SECRETS if secret in sent] == []
    assert "\\u0000" not in json.dumps(event)
    assert "\\n" not in sent
    assert len(sent) < 10_000


async def _at_once(_: float) -> None:
    return None


def test_the_hook_s_own_answer_is_the_service_s_word_for_word(monkeypatch):
    with RawServer(of_instance("Running", ReasonMessage=HOSTILE)) as server:
        assert connect_to(monkeypatch, server.port, **STS).get_instance(ID)["ReasonMessage"] == HOSTILE


def test_a_url_that_holds_what_is_secret_is_no_link():
    register_secrets([SECURITY_TOKEN])
    urls = {
        "JupyterlabUrl": f"https://dsw.example/{quote(SECURITY_TOKEN, safe='')}/lab",
        "WebIDEUrl": "https://a.example/",
    }

    links = links_of({"InstanceId": ID, **urls}, "cn-hangzhou")

    assert SECURITY_TOKEN not in str(links)
    assert quote(SECURITY_TOKEN, safe="") not in str(links)
    assert "https://a.example/" in links.values()


# What libraries log


@pytest.mark.parametrize("token", ["the-sharing-token", "the+sharing/token="])
@pytest.mark.usefixtures("no_pauses")
def test_the_sdk_s_client_logs_no_sharing_token(token, monkeypatch, caplog, capfd):
    from alibabacloud_pai_dsw20220101.models import GetInstanceRequest

    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nnonsense the-key-secret\r\n\r\n{}"
    with RawServer(sends(broken)) as server, caplog.at_level(logging.DEBUG):
        client = connect_to(monkeypatch, server.port).get_conn()
        client.get_instance(ID, GetInstanceRequest(token=token))

    said = f"{caplog.text} {capfd.readouterr()}"
    assert "Failed to parse headers" in said
    assert [form for form in (token, quote(token, safe=""), "the-key-secret") if form in said] == []


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
def test_the_credentials_library_logs_no_token_of_its_source_s_address(ask, dsw_default, monkeypatch, caplog, capfd):
    fetched = {"Code": "Success", "AccessKeyId": "emulator", "AccessKeySecret": "emulator-secret"}
    answer = http(200, {**fetched, "SecurityToken": "", "Expiration": "2099-01-01T00:00:00Z"})
    broken = answer.replace(b"\r\n\r\n", b"\r\nnonsense without a colon\r\n\r\n")
    with RawServer(sends(broken)) as source, caplog.at_level(logging.DEBUG):
        uri = f"http://127.0.0.1:{source.port}/?SecurityToken=the%2Bsource-token"
        with contextlib.suppress(DswError):
            ask(connect_to(monkeypatch, dsw_default.port, auth_type="credentials_uri", credentials_uri=uri))
        assert source.received

    said = f"{caplog.text} {capfd.readouterr()}"
    assert "Failed to parse headers" in said
    assert "source-token" not in said


def test_a_secret_is_hidden_in_every_form_that_a_service_may_echo():
    secret = 'a+secret/with="odd"&<signs>'
    register_secrets([secret])

    for form in (
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
        quote(quote(secret, safe=""), safe=""),
        json.dumps(secret),
        json.dumps(json.dumps(secret)),
        json.dumps(secret).replace("/", "\\/"),
        *(quote(base64.b64encode(b"x" * before + secret.encode()).decode(), safe="") for before in range(3)),
        *(base64.b64encode(b"x" * before + secret.encode()).decode() for before in range(3)),
        *(base64.urlsafe_b64encode(b"x" * before + secret.encode()).decode() for before in range(3)),
    ):
        text = clean(f"before {form} after")
        assert "***" in text, form
        assert text.startswith("before ")
        assert text.endswith(" after")


def test_a_secret_that_the_cut_goes_through_is_hidden():
    register_secrets(["the-secret-in-the-middle"])

    assert "the-secret" not in clean("x" * (MAX_TEXT - 10) + "the-secret-in-the-middle")


def test_words_are_not_taken_for_secrets():
    register_secrets(["", "Run", "Stop"])

    assert clean("Running") == "Running"


def test_a_secret_that_is_part_of_another_leaves_nothing_of_it():
    register_secrets(["the-first", "the-first-and-the-second"])

    assert clean("It is the-first-and-the-second.") == "It is ***."
