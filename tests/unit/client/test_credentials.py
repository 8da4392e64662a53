"""
Each kind of credentials, over the wire: works, a field missing, expired, refused.

STS is served over TLS on loopback. The address of the ECS metadata service is fixed: an HTTP proxy leads to it
here. For the default chain, what the library once read from the environment is replaced, except in the test that
says so. Nothing else is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_credentials.utils import auth_util

from airflow_provider_dsw.client.connection_fields import OPTIONAL_FIELDS, REQUIRED_FIELDS, form_fields, secret_fields
from airflow_provider_dsw.emulator import DswEmulator, Request
from airflow_provider_dsw.emulator.tls import server_context
from airflow_provider_dsw.exceptions import DswAccessDeniedError, DswConnectionError, DswTransientError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.hooks.shared import shared_hook
from airflow_provider_dsw.secrets import clean, is_secret_name
from tests.support.credential_sources import (
    HOUR,
    KEY_ID,
    KEY_SECRET,
    OIDC_PROVIDER,
    OIDC_TOKEN,
    ROLE,
    CredentialsUri,
    Grants,
    Metadata,
    Source,
    Sts,
)
from tests.support.hooks import Ask, ask_async
from tests.support.raw_server import RawServer, http, sends
from tests.support.strangers import leaked
from tests.support.until import until

ID = "dsw-abc"


@dataclass
class Servers:
    """
    The emulator, and where credentials for it come from.

    :param environment: what the variables ``ALIBABA_CLOUD_…`` hold, by the rest of their names in small letters; a
        kind's ``fields`` may set them.
    """

    emulator: DswEmulator
    grants: Grants
    sts: Source
    metadata: Source
    uri: Source
    environment: dict[str, str | None]
    set_connection: Callable[[dict[str, Any]], None]
    token_file: Path
    secrets: list[str] = field(default_factory=list)

    @property
    def sources(self) -> list[Source]:
        return [self.sts, self.metadata, self.uri]

    def hook(self, kind: Kind, *, without: str | None = None, **extra: Any) -> DswHook:
        """A hook whose connection has all that this kind takes, or all but one field."""
        fields = kind.fields(self)
        fields["extra"] = {"protocol": "https", "auth_type": kind.name, **fields.get("extra", {}), **extra}
        if without:
            fields.pop(without, None)
            fields["extra"].pop(without, None)
        self.set_connection({"conn_type": "dsw", "host": self.emulator.endpoint, **fields})
        declared = [fields.get("password"), *(fields["extra"].get(name) for name in secret_fields())]
        in_environment = [value for name, value in self.environment.items() if is_secret_name(name)]
        self.secrets += [secret for secret in (*declared, *in_environment, *kind.secrets(self)) if secret]
        return DswHook()

    def leaked(self, *texts: object) -> list[str]:
        """Which secrets these show: of the connection, of what was fetched for it, and of answers that refuse it."""
        return leaked({KEY_SECRET, *self.secrets, *self.grants.secrets}, *texts)


@dataclass(frozen=True)
class Kind:
    """
    One auth_type.

    :param fields: what a connection of it says.
    :param needs: each field that it can't do without, and how an error names it.
    :param refuse: make whoever decides refuse the credentials, or refuse to hand any out.
    :param refused: words of the error then.
    :param fetched: whether they come from a source, and can be renewed.
    :param hands_out: the source.
    :param secrets: what is secret beside the fields that are declared so, and what is fetched: in a file, for one.
    :param logged_by: whose log shows that it is fetched, if that is at DEBUG.
    :param follows: whether a redirect of its source is followed. The library does, and takes no secret along.
    """

    name: str
    fields: Callable[[Servers], dict[str, Any]]
    needs: dict[str, str]
    refuse: Callable[[Servers], None]
    refused: list[str]
    fetched: bool = True
    hands_out: Callable[[Servers], Source | None] = field(default=lambda servers: None)
    secrets: Callable[[Servers], list[str]] = field(default=lambda servers: [])
    logged_by: str = "urllib3"
    follows: bool = False

    def __str__(self) -> str:
        return self.name


KEY = {"login": KEY_ID, "password": KEY_SECRET}
LOGIN = {"login": "login (the AccessKey id)", "password": "password (the AccessKey secret)"}


def refuse_key(servers: Servers) -> None:
    servers.emulator.add_credential(KEY_ID, "the-new-key-secret")


def refuse_token(servers: Servers) -> None:
    servers.emulator.add_credential(KEY_ID, KEY_SECRET, security_token="the-other-token")


def use_token(servers: Servers) -> dict[str, Any]:
    expires = datetime.now(UTC) + servers.grants.lifetime
    servers.emulator.add_credential(KEY_ID, KEY_SECRET, security_token="the-static-token", expires=expires)
    return {**KEY, "extra": {"security_token": "the-static-token"}}


def use_environment(servers: Servers) -> dict[str, Any]:
    use_token(servers)
    servers.environment |= {"access_key_id": KEY_ID, "access_key_secret": KEY_SECRET}
    servers.environment["security_token"] = "the-static-token"
    return {}


def role(servers: Servers) -> dict[str, Any]:
    return {**KEY, "extra": {"role_arn": ROLE, "sts_endpoint": servers.sts.endpoint}}


def oidc(servers: Servers) -> dict[str, Any]:
    extra = {"role_arn": ROLE, "oidc_provider_arn": OIDC_PROVIDER, "sts_endpoint": servers.sts.endpoint}
    return {"extra": {**extra, "oidc_token_file_path": str(servers.token_file)}}


def uri(servers: Servers) -> dict[str, Any]:
    return {"extra": {"credentials_uri": f"http://{servers.uri.endpoint}/credentials?for=airflow"}}


def outdate_token_file(servers: Servers) -> None:
    servers.token_file.write_text("the-outdated-token")


def hand_out_nothing(servers: Servers) -> None:
    servers.uri.answer = lambda asked: (403, {"Code": "Forbidden", "Message": "the-root-key-secret"})


ACCESS_KEY = Kind(
    "access_key", lambda servers: dict(KEY), LOGIN, refuse_key, ["SignatureDoesNotMatch", "password"], False
)
STS = Kind(
    "sts",
    use_token,
    {**LOGIN, "security_token": "extra 'security_token'"},
    refuse_token,
    ["InvalidSecurityToken", "extra 'security_token'"],
    False,
)
RAM_ROLE = Kind(
    "ram_role_arn",
    role,
    {**LOGIN, "role_arn": "extra 'role_arn'"},
    lambda servers: setattr(
        servers.sts, "answer", lambda asked: (403, {"Code": "NoPermission", "Message": KEY_SECRET})
    ),
    ["could not be fetched (NoPermission)", "auth_type 'ram_role_arn'", "role_arn"],
    hands_out=lambda servers: servers.sts,
    follows=True,
)
OIDC = Kind(
    "oidc_role_arn",
    oidc,
    {name: f"extra {name!r}" for name in ("role_arn", "oidc_provider_arn", "oidc_token_file_path")},
    outdate_token_file,
    ["could not be fetched (AuthenticationFail.OIDCToken.Invalid)", "oidc_token_file_path"],
    hands_out=lambda servers: servers.sts,
    secrets=lambda servers: [servers.token_file.read_text()],
    follows=True,
)
ECS = Kind(
    "ecs_ram_role",
    lambda servers: {},
    {},
    lambda servers: setattr(servers.metadata, "answer", Metadata(servers.grants, role="")),
    ["could not be fetched", "HTTP 404", "the ECS instance", "needs a RAM role"],
    hands_out=lambda servers: servers.metadata,
    follows=True,
)
URI = Kind(
    "credentials_uri",
    uri,
    {"credentials_uri": "extra 'credentials_uri'"},
    hand_out_nothing,
    ["could not be fetched (Forbidden)", "credentials_uri"],
    hands_out=lambda servers: servers.uri,
    follows=True,
)
DEFAULT = Kind(
    "default", use_environment, {}, refuse_token, ["InvalidSecurityToken", "ALIBABA_CLOUD_SECURITY_TOKEN"], False
)
KINDS = [ACCESS_KEY, STS, RAM_ROLE, OIDC, ECS, URI, DEFAULT]
FETCHED = [kind for kind in KINDS if kind.fetched]
ALL_OF_STS = [kind for kind in KINDS if "sts_endpoint" in OPTIONAL_FIELDS.get(kind.name, ())]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One certificate for all servers, trusted by this process."""
    context, certificate = server_context(tmp_path_factory.mktemp("tls"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificate))
        yield context


@pytest.fixture
def servers(tls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    monkeypatch.setattr(DswEmulator, "_server_context", lambda self: tls)
    environment: dict[str, str | None] = {}
    token_file = tmp_path / "oidc-token"
    token_file.write_text(OIDC_TOKEN)
    with ExitStack() as stack:
        emulator = stack.enter_context(DswEmulator(tls=True, credentials={KEY_ID: KEY_SECRET}))
        emulator.add_instance(ID)
        grants = Grants(emulator)
        sts = stack.enter_context(Source(Sts(grants), tls))
        metadata = stack.enter_context(Source(Metadata(grants)))
        uri = stack.enter_context(Source(CredentialsUri(grants)))

        def set_connection(fields: dict[str, Any]) -> None:
            monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(fields))
            for name in {"access_key_id", "access_key_secret", "security_token", *environment}:
                value = environment.get(name)
                # The library has read it when it was imported.
                monkeypatch.setattr(auth_util, f"environment_{name}", value, raising=False)
                monkeypatch.setenv(f"ALIBABA_CLOUD_{name.upper()}", value or "")
            is_ecs = fields["extra"]["auth_type"] == "ecs_ram_role"
            monkeypatch.setenv("HTTP_PROXY", f"http://{metadata.endpoint}" if is_ecs else "")

        yield Servers(emulator, grants, sts, metadata, uri, environment, set_connection, token_file)


# The table


def test_all_but_these_are_fetched_and_tried_as_what_is_fetched() -> None:
    alone = {kind.name for kind in KINDS} - {kind.name for kind in FETCHED}

    assert alone == {"access_key", "sts", "default"}, (
        "Test the secrecy and renewal of the others (fetched=False) here, and name them"
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_works(kind: Kind, servers: Servers, ask: Ask) -> None:
    assert ask(servers.hook(kind))["InstanceId"] == ID

    [request] = servers.emulator.requests
    assert request.access_key_id == (servers.grants.issued[-1] if kind.fetched else KEY_ID)
    asked = [source for source in servers.sources if source.asked]
    assert asked == [kind.hands_out(servers)] * kind.fetched, (
        "a type that asks two sources needs a field of Kind for the first"
    )
    # What a file holds is known, so that it is hidden wherever it is met.
    assert [secret for secret in kind.secrets(servers) if secret in clean(secret)] == []


@pytest.mark.parametrize("kind", FETCHED, ids=str)
def test_no_log_shows_what_is_secret_while_they_are_fetched(
    kind: Kind, servers: Servers, ask: Ask, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        ask(servers.hook(kind))

    assert kind.logged_by in caplog.text
    assert servers.leaked(caplog.text, capfd.readouterr()) == []


@pytest.mark.parametrize(
    ("kind", "missing"), [(kind, name) for kind in KINDS for name in kind.needs], ids=lambda part: str(part)
)
def test_a_missing_field_is_named_and_nothing_is_asked(kind: Kind, missing: str, servers: Servers, ask: Ask) -> None:
    hook = servers.hook(kind, without=missing)

    with pytest.raises(DswConnectionError) as raised:
        ask(hook)

    assert f"{kind.needs[missing]} is not set; auth_type {kind.name!r} needs it" in str(raised.value)
    assert servers.leaked(repr(raised.value)) == []
    assert servers.emulator.requests == []
    assert not any(source.asked for source in servers.sources)


@pytest.mark.parametrize("kind", [STS, DEFAULT], ids=str)
def test_an_expired_token_that_nothing_renews_is_a_denial(kind: Kind, servers: Servers, ask: Ask) -> None:
    servers.grants.lifetime = -HOUR

    with pytest.raises(DswAccessDeniedError, match=r"InvalidSecurityToken\.Expired") as raised:
        ask(servers.hook(kind))

    assert kind.refused[-1] in str(raised.value)
    assert len(servers.emulator.requests) == 1


@pytest.mark.parametrize("kind", FETCHED, ids=str)
def test_what_the_service_calls_expired_is_renewed_and_the_call_works(kind: Kind, servers: Servers, ask: Ask) -> None:
    hook = servers.hook(kind)
    servers.grants.good_for = timedelta(0)
    source = kind.hands_out(servers)
    assert source is not None
    hand_out = source.answer

    def good_from_now_on(asked: Any) -> Any:
        answer = hand_out(asked)
        servers.grants.good_for = None if servers.grants.issued else timedelta(0)
        return answer

    source.answer = good_from_now_on
    assert ask(hook)["InstanceId"] == ID

    assert servers.grants.issued == ["STS.1", "STS.2"]
    assert [request.status for request in servers.emulator.requests] == [400, 200]


@pytest.mark.parametrize("kind", FETCHED, ids=str)
def test_what_is_expired_again_after_a_renewal_is_a_denial(kind: Kind, servers: Servers, ask: Ask) -> None:
    servers.grants.good_for = timedelta(0)

    with pytest.raises(DswAccessDeniedError, match=r"InvalidSecurityToken\.Expired"):
        ask(servers.hook(kind))

    assert len(servers.emulator.requests) == 2


@pytest.mark.parametrize("kind", FETCHED, ids=str)
def test_what_is_handed_out_expired_is_a_denial(kind: Kind, servers: Servers, ask: Ask) -> None:
    servers.grants.lifetime = -HOUR

    with pytest.raises(DswAccessDeniedError, match=r"could not be fetched \(they have already expired\)") as raised:
        ask(servers.hook(kind))

    assert kind.name in str(raised.value)
    assert servers.emulator.requests == []


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_refused_is_a_denial_that_says_by_whom_and_no_secret(
    kind: Kind, servers: Servers, ask: Ask, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hook = servers.hook(kind)
    kind.refuse(servers)

    with pytest.raises(DswAccessDeniedError) as raised:
        ask(hook)

    assert all(word in str(raised.value) for word in kind.refused), raised.value
    shown = capfd.readouterr()
    assert servers.leaked(repr(raised.value), vars(raised.value), caplog.text, shown.out, shown.err) == []
    assert raised.value.__context__ is None


@pytest.mark.parametrize("kind", FETCHED, ids=str)
@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("broken", ["down", "HTML", "503", "half a JSON"])
def test_a_source_in_trouble_is_transient_and_named(kind: Kind, broken: str, servers: Servers) -> None:
    hook, source = servers.hook(kind), kind.hands_out(servers)
    assert source is not None
    if broken == "down":
        source.__exit__()
    answers = {"HTML": (200, "<html>"), "503": (503, "busy"), "half a JSON": (200, '{"Credentials": {')}
    source.answer = lambda asked: answers[broken]

    with pytest.raises(DswTransientError, match=r"the credentials could not be fetched") as raised:
        ask_async(hook)

    assert f"auth_type {kind.name!r}" in str(raised.value)
    assert servers.emulator.requests == []


@pytest.mark.parametrize("kind", FETCHED, ids=str)
def test_a_source_that_hangs_is_given_up(kind: Kind, servers: Servers) -> None:
    hook, source, is_over = servers.hook(kind, read_timeout="0.3"), kind.hands_out(servers), threading.Event()
    assert source is not None
    source.hold = lambda: is_over.wait(60)

    with pytest.raises(DswTransientError, match=r"the credentials could not be fetched") as raised:
        ask_async(hook, attempts=1)

    is_over.set()
    assert f"auth_type {kind.name!r}" in str(raised.value)
    assert servers.leaked(repr(raised.value)) == []
    assert servers.emulator.requests == []


@pytest.mark.parametrize("kind", FETCHED, ids=str)
def test_a_source_that_redirects_hands_no_secret_to_others(kind: Kind, servers: Servers) -> None:
    hook, source = servers.hook(kind), kind.hands_out(servers)
    assert source is not None
    with Source(lambda asked: (404, "Not Found")) as others:
        elsewhere = f"http://{others.endpoint}/elsewhere"
        # Once there is something to take along: the metadata service first hands out a token.
        source.redirect = lambda asked: elsewhere if asked.method != "PUT" and asked.path != "/elsewhere" else ""

        with pytest.raises((DswTransientError, DswAccessDeniedError), match=r"the credentials could not be fetched"):
            ask_async(hook, attempts=1)

    # A proxy is asked for what lies elsewhere, too.
    followed = [asked for asked in (*source.asked, *others.asked) if asked.path == "/elsewhere"]
    assert bool(followed) is kind.follows
    assert servers.leaked(*followed) == []


# Of each field that is not for one auth_type or another, what only its use can tell to be wrong.
OF_ALL = form_fields().keys() - {
    name for fields in (REQUIRED_FIELDS, OPTIONAL_FIELDS) for of in fields.values() for name in of
}


# As a secret it is hidden in this process from now on: no other test may look for it.
@pytest.mark.parametrize("value", ["/no/such/value", "a\0b", "a\r\nX: 1", "\u20ac"])
@pytest.mark.parametrize("name", sorted(OF_ALL))
def test_a_field_with_which_no_call_can_work_is_named(name: str, value: str, servers: Servers, ask: Ask) -> None:
    wrong: Exception | None = None
    try:
        ask(servers.hook(ACCESS_KEY, **{name: value}))
    except Exception as error:
        wrong = error

    is_named = isinstance(wrong, DswConnectionError) and name in str(wrong)
    assert wrong is None or is_named, f"raise a DswConnectionError that names {name}, also if only its use tells"


# What is sent to STS


@pytest.mark.parametrize("kind", ALL_OF_STS, ids=str)
def test_a_role_is_asked_for_as_the_connection_says(kind: Kind, servers: Servers, ask: Ask) -> None:
    policy = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "paidsw:Get*", "Resource": "*"}]}
    session = {
        "RoleSessionName": ("role_session_name", "airflow@dsw"),
        "DurationSeconds": ("role_session_expiration", "1800"),
        "ExternalId": ("external_id", "e=1+1"),
    }
    sent = {name: given for name, given in session.items() if given[0] in OPTIONAL_FIELDS[kind.name]}
    for form in (policy, json.dumps(policy, indent=2)):
        assert ask(servers.hook(kind, policy=form, **dict(sent.values())))["InstanceId"] == ID

        asked = {"Policy": "{}", **servers.sts.asked[-1].query}
        assert json.loads(asked["Policy"]) == policy, "a role without its policy may do more than it should"
        assert {name: asked.get(name) for name in sent} == {name: value for name, (_, value) in sent.items()}
        assert asked["RoleArn"] == ROLE


@pytest.mark.parametrize("kind", ALL_OF_STS, ids=str)
@pytest.mark.usefixtures("no_pauses")
def test_the_sts_that_is_asked_without_an_endpoint_is_the_one_that_the_form_names(
    kind: Kind, servers: Servers, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = servers.hook(kind, without="sts_endpoint")
    with RawServer(sends(http(502, b""))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(DswTransientError):
            ask(hook)

    (host,) = {received.line.split()[1].removesuffix(":443") for received in proxy.received}
    assert f"{host} where empty" in form_fields()["sts_endpoint"]["description"]


def test_a_temporary_key_may_assume_the_role(servers: Servers, ask: Ask) -> None:
    sts = servers.sts.answer
    assert isinstance(sts, Sts)
    sts.tokens[KEY_ID] = "the-static-token"

    assert ask(servers.hook(RAM_ROLE, security_token="the-static-token"))["InstanceId"] == ID


def test_a_policy_that_is_none_is_refused_before_any_request(servers: Servers, ask: Ask) -> None:
    for policy in ("ReadOnly", "[]", 7):
        with pytest.raises(DswConnectionError, match="extra 'policy' is not a RAM policy"):
            ask(servers.hook(RAM_ROLE, policy=policy))
    assert servers.sts.asked == []


def test_a_role_of_an_ecs_instance_can_be_named(servers: Servers, ask: Ask) -> None:
    assert ask(servers.hook(ECS, role_name="the-instance-s-role"))["InstanceId"] == ID
    assert not [asked for asked in servers.metadata.asked if asked.path.endswith("/security-credentials/")]


def test_a_token_file_that_is_not_there_is_named(servers: Servers, ask: Ask) -> None:
    with pytest.raises(DswAccessDeniedError, match=r"/no/such/file: No such file.*oidc_token_file_path"):
        ask(servers.hook(OIDC, oidc_token_file_path="/no/such/file"))


def test_a_token_file_that_is_not_text_is_named(servers: Servers, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\x30\x82\xff")

    with pytest.raises(DswAccessDeniedError, match=r"/token is not text.*oidc_token_file_path"):
        ask(servers.hook(OIDC, oidc_token_file_path=str(tmp_path / "token")))


@pytest.mark.usefixtures("no_pauses")
def test_a_gateway_s_page_that_is_not_text_is_a_moment_s(servers: Servers, ask: Ask) -> None:
    with RawServer(sends(http(502, b"\x30\x82\xff"))) as gateway, pytest.raises(DswTransientError):
        ask(servers.hook(URI, credentials_uri=f"http://127.0.0.1:{gateway.port}/"))


# Renewal


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_fetching_leaves_no_thread_and_no_signal_handler(kind: Kind, servers: Servers, ask: Ask) -> None:
    def handlers() -> tuple[Any, Any]:
        return signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    threads, before = set(threading.enumerate()), handlers()
    hook = servers.hook(kind)
    assert hook.get_conn()._credential.get_credential()  # in the main thread
    ask(hook)

    left = [thread for thread in threading.enumerate() if thread.name == "APScheduler" and thread not in threads]
    assert left == [], "see _client_without_thread in client/credentials.py"
    assert handlers() == before


@pytest.mark.parametrize("kind", FETCHED, ids=str)
def test_credentials_are_asked_for_once_for_many_calls(kind: Kind, servers: Servers, ask: Ask) -> None:
    # So short a life that the library itself would ask at each call.
    servers.grants.lifetime = timedelta(minutes=10)
    hook = servers.hook(kind)

    for _ in range(5):
        ask(hook)

    assert servers.grants.issued == ["STS.1"]


@pytest.mark.parametrize("kind", FETCHED, ids=str)
def test_credentials_are_renewed_before_their_end(
    kind: Kind, servers: Servers, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_dsw.client.credentials.REUSE_SECONDS", 0.0)
    for lifetime, fetched in ((HOUR, 1), (timedelta(minutes=2), 2)):
        servers.grants.lifetime = lifetime
        servers.grants.issued.clear()
        hook = servers.hook(kind)
        for _ in range(2):
            ask(hook)

        assert len(servers.grants.issued) == fetched, "its provider has to keep them, and renew them before their end"


@pytest.mark.slow
@pytest.mark.parametrize("kind", FETCHED, ids=str)
def test_a_hundred_waits_whose_credentials_have_expired_renew_them_once_beside_the_loop(
    kind: Kind, servers: Servers
) -> None:
    servers.hook(kind)
    source = kind.hands_out(servers)
    assert source is not None
    found: list[Any] = []
    loops: list[asyncio.AbstractEventLoop] = []
    turned = threading.Event()

    def once_the_loop_has_turned() -> None:
        loops[0].call_soon_threadsafe(turned.set)
        turned.wait(20)

    async def polls() -> None:
        async with shared_hook("dsw_default") as hook:

            async def poll() -> None:
                async with shared_hook("dsw_default") as same:
                    assert same is hook
                    found.append(await same.aget_instance(ID))

            # All connections are open when the renewal comes: TLS is not what is measured.
            await asyncio.gather(*(poll() for _ in range(100)))
            servers.grants.expire("STS.1")
            source.hold = once_the_loop_has_turned
            loops.append(asyncio.get_running_loop())
            calls = asyncio.gather(*(poll() for _ in range(100)))
            await until(lambda: turned.is_set() or calls.done())
            assert turned.is_set()
            assert not calls.done()
            await calls

    asyncio.run(polls())

    assert len(found) == 200
    assert servers.grants.issued == ["STS.1", "STS.2"]


def test_fetched_secrets_reach_airflow_s_masker(servers: Servers, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import log

    masked: list[Any] = []
    monkeypatch.setattr(log, "mask_secret", lambda secret, name=None: masked.append(secret))

    async def amask_secret(secret: Any, name: str | None = None) -> None:
        masked.append(secret)

    monkeypatch.setattr(log, "amask_secret", amask_secret, raising=False)
    ask(servers.hook(RAM_ROLE))

    assert {"the-fetched-secret-1", "the-fetched-token-1", KEY_SECRET} <= {
        secret for secret in masked if isinstance(secret, str)
    }


# In a deferred wait the worker and the triggerer fetch their own.
@pytest.mark.parametrize(("mode", "ends"), [("poke", "STS.1"), ("deferred", "STS.2")])
def test_credentials_that_end_in_the_middle_of_a_wait_are_renewed(mode: str, ends: str, servers: Servers) -> None:
    from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
    from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger

    def between_two_polls(request: Request) -> None:
        if request.access_key_id == ends:
            servers.grants.expire(ends)
        elif (request.access_key_id or "") > ends:
            servers.emulator.set_instance(ID, "Running")

    servers.hook(RAM_ROLE)
    servers.emulator.set_instance(ID, "Starting")
    servers.emulator.on_request = between_two_polls
    sensor = DswInstanceSensor(task_id="wait", instance_id=ID, poke_interval=0.05, timeout=600)
    if mode == "poke":
        assert sensor.execute({})["Status"] == "Running"
    else:
        from airflow_provider_dsw.version_compat import TaskDeferred

        sensor.deferrable = True
        with pytest.raises(TaskDeferred) as raised:
            sensor.execute({})
        trigger = raised.value.trigger
        assert isinstance(trigger, DswInstanceTrigger)

        async def first_event() -> Any:
            async for event in trigger.run():
                return event

        assert asyncio.run(first_event()).payload

    *before, first, refused, renewed, last = servers.emulator.requests
    assert [request.access_key_id for request in before] == ["STS.1"] * (mode == "deferred")
    assert (first.access_key_id, refused.access_key_id) == (ends, ends)
    assert renewed.access_key_id == last.access_key_id == servers.grants.issued[-1]
    assert [request.status for request in (first, refused, renewed, last)] == [200, 400, 200, 200]


def test_the_sdk_s_own_client_uses_the_same_credentials(servers: Servers) -> None:
    from alibabacloud_pai_dsw20220101.models import GetInstanceRequest

    hook = servers.hook(RAM_ROLE)
    hook.get_instance(ID)

    assert hook.get_conn().get_instance(ID, GetInstanceRequest()).body.instance_id == ID
    assert servers.grants.issued == ["STS.1"]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")
def test_the_sdk_s_own_client_tells_what_the_hook_signs_with(kind: Kind, servers: Servers) -> None:
    hook = servers.hook(kind)
    hook.get_instance(ID)
    [request] = servers.emulator.requests
    has_token = "x-acs-security-token" in map(str.lower, request.headers)

    client = hook.get_conn()

    assert client.get_access_key_id() == request.access_key_id
    assert bool(client.get_security_token()) is has_token


# The environment itself

FROM_ENVIRONMENT = """
import asyncio
from airflow_provider_dsw.hooks.dsw import DswHook
print(DswHook().get_instance("dsw-abc")["Status"], asyncio.run(DswHook().aget_instance("dsw-abc"))["Status"])
"""


def test_the_default_chain_takes_what_is_in_the_environment(emulator: DswEmulator) -> None:
    emulator.add_instance(ID)
    connection = {"conn_type": "dsw", "host": emulator.endpoint, "extra": {"protocol": "http", "auth_type": "default"}}
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "AIRFLOW_CONN_DSW_DEFAULT": json.dumps(connection),
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "emulator-key-id",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "emulator-key-secret",
    }

    done = subprocess.run(
        [sys.executable, "-c", FROM_ENVIRONMENT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert "Running Running" in done.stdout, done.stderr[-2000:]
    assert "emulator-key-secret" not in done.stdout + done.stderr
