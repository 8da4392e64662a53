"""What the service, the network or the credentials do wrong: which error it is, after how many requests, and that
nothing secret is in it."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dsw.client import failures
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import (
    DswAccessDeniedError,
    DswError,
    DswInstanceNotFoundError,
    DswRequestError,
    DswTransientError,
)
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS, DswHook
from tests.support.hooks import KEY, Ask, connect, connect_to
from tests.support.raw_server import Answer, RawServer, Received, breaks_off, closes, http, keeps_silent, resets, sends
from tests.support.until import wait_until

SECURITY_TOKEN = "the-security+token/="
SHARING_TOKEN = "the-sharing+token/="
# In whatever form they leave: as they are, and as parts of a URL.
SECRETS = ("the-key-secret", "the-security", "the-sharing")
STS = {"auth_type": "sts", "security_token": SECURITY_TOKEN}
ID = "dsw-abc"
REQUEST_ID = "0B7A1C5E-0000"
GOOD = {"InstanceId": ID, "Status": "Running", "RequestId": REQUEST_ID}


def refusal(code: str | None = None, message: str = "No.", **more: Any) -> dict[str, Any]:
    return {"Code": code, "Message": message, "RequestId": REQUEST_ID, "HostId": "h", **more}


def raised_by(ask: Ask, hook: DswHook, **arguments: Any) -> DswError:
    with pytest.raises(DswError) as raised:
        ask(hook, **arguments)
    return raised.value


def links(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that it drags along."""
    if error is not None:
        yield error
        yield from links(error.__cause__)
        yield from links(error.__context__)


@pytest.fixture
def leaks(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], hook_log: None
) -> Callable[[DswError], list[str]]:
    """What leaked into an error, its causes, its traceback, the log or the terminal."""

    def find(error: DswError, *more: str) -> list[str]:
        texts = [caplog.text, *capfd.readouterr(), "".join(traceback.format_exception(error))]
        for link in links(error):
            texts += [str(link), repr(link), repr(vars(link)), repr(link.args)]
        return [secret for secret in (*SECRETS, *more) if any(secret in text for text in texts)]

    return find


HTML = b"<html><body>Bad gateway</body></html>"
DENIED, NOT_FOUND, REFUSED, TRANSIENT = (
    DswAccessDeniedError,
    DswInstanceNotFoundError,
    DswRequestError,
    DswTransientError,
)

# What a server sends, and what it means: the error, its status_code and its code.
ANSWERS: dict[str, tuple[Answer, type[DswError], int | None, str | None]] = {
    "400": (sends(http(400, refusal("ValidationError"))), REFUSED, 400, "ValidationError"),
    "401": (sends(http(401, refusal("InvalidCredentials"))), DENIED, 401, "InvalidCredentials"),
    "403": (sends(http(403, refusal("NoPermission"))), DENIED, 403, "NoPermission"),
    "404": (sends(http(404, refusal("InternalError"))), NOT_FOUND, 404, "InternalError"),
    "408": (sends(http(408, refusal("RequestTimeout"))), TRANSIENT, 408, "RequestTimeout"),
    "409": (sends(http(409, refusal("Conflict"))), REFUSED, 409, "Conflict"),
    "429": (sends(http(429, refusal("Throttling.User"))), TRANSIENT, 429, "Throttling.User"),
    "500": (sends(http(500, refusal("InternalError"))), TRANSIENT, 500, "InternalError"),
    "502": (sends(http(502, refusal("BadGateway"))), TRANSIENT, 502, "BadGateway"),
    "503": (sends(http(503, refusal("ServiceUnavailable"))), TRANSIENT, 503, "ServiceUnavailable"),
    "504": (sends(http(504, refusal("GatewayTimeout"))), TRANSIENT, 504, "GatewayTimeout"),
    "no Code": (sends(http(400, {"Message": "No."})), REFUSED, 400, None),
    "the Code null": (sends(http(503, refusal("null"))), TRANSIENT, 503, None),
    "404 without Code and RequestId": (sends(http(404, {"message": "no Route matched"})), TRANSIENT, 404, None),
    "404 with a Message only": (sends(http(404, {"Message": "No."})), TRANSIENT, 404, None),
    "404 with empty ones": (sends(http(404, {"Code": "", "RequestId": None, "Message": "No."})), TRANSIENT, 404, None),
    "404 of a gateway that repeats the status": (
        sends(http(404, {"code": 404, "message": "Not Found"})),
        TRANSIENT,
        404,
        "404",
    ),
    "404 of a gateway with an id": (
        sends(http(404, {"status": 404, "error": "Not Found", "requestId": "c3c6a7a4-1"})),
        TRANSIENT,
        404,
        None,
    ),
    "404 with an empty object": (sends(http(404, {})), TRANSIENT, 404, None),
    "404 with a Code": (sends(http(404, {"Code": "InternalError"})), NOT_FOUND, 404, "InternalError"),
    "404 with a RequestId": (sends(http(404, {"RequestId": REQUEST_ID})), NOT_FOUND, 404, None),
    "404 with both in lower case": (
        sends(http(404, {"code": "InstanceNotFound", "requestId": REQUEST_ID})),
        NOT_FOUND,
        404,
        "InstanceNotFound",
    ),
    "404 that speaks of RAM": (sends(http(404, {"message": "denied by RAM"})), DENIED, 404, None),
    "404 with null": (sends(http(404, None)), TRANSIENT, None, None),
    "404 with a list": (sends(http(404, [1])), TRANSIENT, None, None),
    "success false, 404 of nobody": (
        sends(http(200, {"Success": False, "HttpStatusCode": 404})),
        TRANSIENT,
        404,
        None,
    ),
    "400 of a gateway": (sends(http(400, {"error": "what?"})), TRANSIENT, 400, None),
    "401 of a gateway": (sends(http(401, {"detail": "Not authenticated"})), TRANSIENT, 401, None),
    "403 of a gateway": (sends(http(403, {"message": "Missing Authentication Token"})), TRANSIENT, 403, None),
    "403 of a gateway with the status": (sends(http(403, {"code": 403, "message": "No."})), TRANSIENT, 403, "403"),
    "405 of a gateway": (sends(http(405, {"message": "Method not allowed"})), TRANSIENT, 405, None),
    "403 with a Message only": (sends(http(403, {"Message": "No."})), DENIED, 403, None),
    "403 with a RequestId": (sends(http(403, {"RequestId": REQUEST_ID})), DENIED, 403, None),
    "names in lower case": (sends(http(403, {"code": "NoPermission", "message": "No."})), DENIED, 403, "NoPermission"),
    "HTML": (sends(http(200, HTML)), TRANSIENT, 200, None),
    "HTML with 502": (sends(http(502, HTML)), TRANSIENT, 502, None),
    "HTML with 404": (sends(http(404, HTML)), TRANSIENT, 404, None),
    "HTML with 403": (sends(http(403, HTML)), TRANSIENT, 403, None),
    "nothing": (sends(http(200)), TRANSIENT, 200, None),
    "nothing with 503": (sends(http(503)), TRANSIENT, 503, None),
    "204": (sends(b"HTTP/1.1 204 No Content\r\n\r\n"), TRANSIENT, 204, None),
    "304": (sends(b"HTTP/1.1 304 Not Modified\r\n\r\n"), TRANSIENT, 304, None),
    "broken JSON": (sends(http(200, b'{"InstanceId": "dsw-a')), TRANSIENT, 200, None),
    "bytes that are no text": (sends(http(200, b"\xff\xfe\x00")), TRANSIENT, 200, None),
    "null": (sends(http(200, None)), TRANSIENT, 200, None),
    "a list": (sends(http(200, [GOOD])), TRANSIENT, 200, None),
    "null with 500": (sends(http(500, None)), TRANSIENT, None, None),
    "a list with 400": (sends(http(400, ["No."])), TRANSIENT, None, None),
    "another instance": (sends(http(200, {**GOOD, "InstanceId": "dsw-xyz"})), TRANSIENT, None, None),
    "no instance": (sends(http(200, {"Status": "Running"})), TRANSIENT, None, None),
    "success false": (
        sends(http(200, {**GOOD, "Success": False, "Code": "ValidationError", "HttpStatusCode": 400})),
        REFUSED,
        400,
        "ValidationError",
    ),
    "success false, not found": (
        sends(http(200, {"Success": False, "Code": "InternalError", "HttpStatusCode": 404})),
        NOT_FOUND,
        404,
        "InternalError",
    ),
    "success false without a status": (
        sends(http(200, {"Success": False, "Code": "InternalError", "HttpStatusCode": None})),
        TRANSIENT,
        None,
        "InternalError",
    ),
    "success false without a word": (sends(http(200, {**GOOD, "Success": False})), REFUSED, None, None),
    "a broken off answer": (breaks_off(http(200, {**GOOD, "InstanceName": "x" * 100})), TRANSIENT, None, None),
    "no answer": (closes, TRANSIENT, None, None),
    "a reset": (resets, TRANSIENT, None, None),
    "silence": (keeps_silent, TRANSIENT, None, None),
    "no HTTP": (sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), TRANSIENT, None, None),
}


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.usefixtures("no_pauses")
def test_each_wrong_answer_is_one_error_after_so_many_requests_and_leaks_nothing(what, ask, monkeypatch, leaks):
    answer, kind, status, code = ANSWERS[what]
    with RawServer(answer) as server:
        patience = 0.2 if what == "silence" else 60
        hook = connect_to(monkeypatch, server.port, read_timeout=patience, **STS)
        error = raised_by(ask, hook, token=SHARING_TOKEN)
        requests = MAX_ATTEMPTS if kind is TRANSIENT else 1
        wait_until(lambda: len(server.received) >= requests)

    assert type(error) is kind, error
    assert len(server.received) == requests
    assert error.code == code
    if status is not None:
        assert error.status_code == status
    authorizations = [received.headers["authorization"] for received in server.received]
    assert leaks(error, *authorizations, "ACS3-HMAC-SHA256") == []
    assert error.__cause__ is None
    assert error.__context__ is None


def plain_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


NETWORK: dict[str, tuple[Callable[[int, int], dict[str, Any]], str]] = {
    "refused": (lambda http_port, tls_port: {"port": plain_port()}, "connection refused"),
    "no such name": (lambda http_port, tls_port: {"host": "dsw.invalid"}, "the host name is unknown"),
    "http where https is expected": (lambda http_port, tls_port: {"port": http_port, "protocol": "https"}, "TLS"),
    "https where http is expected": (lambda http_port, tls_port: {"port": tls_port}, ""),
    "a certificate that nobody knows": (
        lambda http_port, tls_port: {"port": tls_port, "protocol": "https"},
        "certificate is not trusted",
    ),
}


@pytest.mark.parametrize("what", NETWORK)
@pytest.mark.usefixtures("no_pauses")
def test_each_failure_of_the_network_is_transient_says_what_it_was_and_leaks_nothing(what, ask, monkeypatch, leaks):
    where, words = NETWORK[what]
    with RawServer(sends(http(200, GOOD))) as server, DswEmulator(tls=True) as emulator:
        fields = {"host": "127.0.0.1", "protocol": "http", **where(server.port, emulator.port)}
        extra = {"protocol": fields.pop("protocol"), **STS}
        error = raised_by(ask, connect(monkeypatch, **KEY, **fields, extra=extra), token=SHARING_TOKEN)

    assert type(error) is DswTransientError
    assert words in str(error)
    assert f"(attempt {MAX_ATTEMPTS} of {MAX_ATTEMPTS})" in str(error)
    assert (error.code, error.status_code, error.request_id, error.message) == (None, None, None, None)
    assert leaks(error) == []
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "Forbidden.RAM", DENIED),
        (403, "NoPermission", DENIED),
        (400, "NoPermissionError", DENIED),
        (404, "100700008", DENIED),  # a sister API answers this to whom RAM denies it
        (404, "InvalidAccessKeyId.NotFound", DENIED),
        (404, "InvalidAccessKeyId.Inactive", DENIED),
        (400, "SignatureDoesNotMatch", DENIED),
        (400, "IncompleteSignature", DENIED),
        (400, "InvalidSecurityToken.Expired", DENIED),
        (400, "InvalidTimeStamp.Expired", DENIED),
        (401, "Whatever", DENIED),
        (403, "Whatever", DENIED),
        (404, "InternalError", NOT_FOUND),
        (404, "InstanceNotFound", NOT_FOUND),
        (404, "Whatever", NOT_FOUND),
        (404, "InvalidAction.NotFound", REFUSED),
        (404, "InvalidVersion", REFUSED),
        (400, "ValidationError", REFUSED),
        (400, "InternalError", REFUSED),
        (409, "Whatever", REFUSED),
        (422, "Whatever", REFUSED),
        (400, "Throttling", TRANSIENT),
        (400, "Throttling.User", TRANSIENT),
        (403, "Throttling.Api", TRANSIENT),
        (503, "Throttling", TRANSIENT),
        (429, "Whatever", TRANSIENT),
        (400, "SignatureNonceUsed", TRANSIENT),
        (500, "Whatever", TRANSIENT),
        (599, "Whatever", TRANSIENT),
    ],
)
@pytest.mark.usefixtures("no_pauses")
def test_status_and_code_together_say_what_it_is(status, code, kind, dsw_default):
    dsw_default.fault(times=None, status=status, code=code, message="Because.", request_id=REQUEST_ID)

    with pytest.raises(DswError) as raised:
        DswHook().get_instance(ID)

    error = raised.value
    assert type(error) is kind
    assert len(dsw_default.requests) == (MAX_ATTEMPTS if kind is TRANSIENT else 1)
    assert (error.status_code, error.code, error.request_id) == (status, code, REQUEST_ID)
    # A message about a signature shows what was signed.
    assert error.message == (None if code == "SignatureDoesNotMatch" else "Because.")
    assert all(word in str(error) for word in (ID, code, str(status), REQUEST_ID, dsw_default.endpoint))


@pytest.mark.parametrize(
    "message", ["denied by RAM and AIWorkspace Rbac", "User is denied by ram.", "AIWorkspace RBAC says no"]
)
@pytest.mark.usefixtures("no_pauses")
def test_a_message_that_speaks_of_a_denial_is_one_whatever_the_code(message, dsw_default):
    dsw_default.fault(status=404, code="InternalError", message=message)

    with pytest.raises(DswAccessDeniedError):
        DswHook().get_instance(ID)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("InvalidAccessKeyId.NotFound", "login"),
        ("SignatureDoesNotMatch", "password"),
        ("InvalidSecurityToken.Expired", "renew extra 'security_token'"),
        ("MissingSecurityToken", "auth_type 'sts'"),
        ("InvalidTimeStamp.Expired", "clock"),
        ("NoPermission", "paidsw:GetInstance"),
    ],
)
def test_a_denial_says_what_to_look_at(code, hint, dsw_default):
    dsw_default.fault(status=400, code=code)

    with pytest.raises(DswAccessDeniedError, match=hint):
        DswHook().get_instance(ID)


def test_no_such_instance_says_that_ids_belong_to_a_region(dsw_default):
    with pytest.raises(DswInstanceNotFoundError, match="region"):
        DswHook().get_instance("dsw-none")


@pytest.mark.usefixtures("no_pauses")
def test_what_the_service_echoes_is_not_passed_on(ask, monkeypatch, leaks):
    """SignatureDoesNotMatch shows the string to sign, with all headers; other messages may quote a token."""
    secrets = f"{SECURITY_TOKEN} the-key-secret {SHARING_TOKEN} Token=the-sharing%2Btoken%2F%3D"

    def echo(code: str) -> Answer:
        def answer(connection: socket.socket, received: Received) -> bool:
            head = "\n".join(f"{name}:{value}" for name, value in received.headers.items())
            connection.sendall(http(400, refusal(code, f"{received.line} {head}" if "Sign" in code else secrets)))
            return True

        return answer

    for code in ("SignatureDoesNotMatch", "InvalidSecurityToken.Malformed", "ValidationError", "Throttling"):
        with RawServer(echo(code)) as server:
            error = raised_by(ask, connect_to(monkeypatch, server.port, **STS), token=SHARING_TOKEN)

        assert error.code == code
        assert leaks(error, "ACS3-HMAC-SHA256") == []


def test_a_long_message_is_cut():
    with (
        RawServer(sends(http(400, refusal("ValidationError", "x" * 5000)))) as server,
        pytest.MonkeyPatch.context() as m,
    ):
        error = raised_by(DswHook.get_instance, connect_to(m, server.port), instance_id=ID)

    assert len(str(error)) < 1000


# Credentials


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing that the SDK's default chain could find."""
    from alibabacloud_credentials.utils import auth_constant, auth_util

    monkeypatch.setattr(auth_util, "environment_ecs_metadata_disabled", "true", raising=False)
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    monkeypatch.setenv("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert auth_constant


@pytest.mark.usefixtures("no_credentials", "no_pauses")
def test_without_credentials_nothing_is_asked(ask, emulator, monkeypatch, leaks):
    extra = {"protocol": "http", "auth_type": "default"}
    hook = connect(monkeypatch, host="127.0.0.1", port=emulator.port, extra=extra)

    error = raised_by(ask, hook)

    assert type(error) is DswAccessDeniedError
    assert error.code == "InvalidCredentials"
    assert emulator.requests == []
    assert leaks(error) == []


FETCHED = {
    "Code": "Success",
    "AccessKeyId": "fetched-key-id",
    "AccessKeySecret": "the-key-secret-fetched",
    "SecurityToken": "the-security-token-fetched",
    "Expiration": "2099-01-01T00:00:00Z",
}


def with_credentials_uri(monkeypatch: pytest.MonkeyPatch, port: int, credentials_port: int) -> DswHook:
    extra = {"protocol": "http", "auth_type": "credentials_uri"}
    extra["credentials_uri"] = f"http://127.0.0.1:{credentials_port}/credentials"
    return connect(monkeypatch, host="127.0.0.1", port=port, extra=extra)


def test_credentials_that_are_fetched_work(ask, monkeypatch):
    with (
        RawServer(sends(http(200, FETCHED))) as credentials,
        DswEmulator(
            credentials={
                "fetched-key-id": {
                    "secret": "the-key-secret-fetched",
                    "security_token": "the-security-token-fetched",
                }
            }
        ) as emulator,
    ):
        emulator.add_instance(ID)
        hook = with_credentials_uri(monkeypatch, emulator.port, credentials.port)

        assert ask(hook)["InstanceId"] == ID


@pytest.mark.usefixtures("no_pauses")
def test_a_fetched_secret_that_the_service_echoes_is_not_passed_on(ask, monkeypatch, leaks):
    echo = refusal("InvalidSecurityToken.Malformed", f"Bad token {FETCHED['SecurityToken']}.")
    with RawServer(sends(http(200, FETCHED))) as credentials, RawServer(sends(http(400, echo))) as server:
        error = raised_by(ask, with_credentials_uri(monkeypatch, server.port, credentials.port))

    assert type(error) is DswAccessDeniedError
    assert leaks(error) == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (sends(http(200, {**FETCHED, "Code": "Failed"})), DswAccessDeniedError),
        (sends(http(403, FETCHED)), DswAccessDeniedError),
        (sends(http(500, FETCHED)), DswTransientError),
        (sends(http(200, b"the-security, but no JSON")), DswTransientError),
        (closes, DswTransientError),
    ],
    ids=["failed", "403", "500", "no JSON", "no answer"],
)
@pytest.mark.usefixtures("no_pauses")
def test_credentials_that_can_t_be_fetched_leak_nothing(answer, kind, ask, monkeypatch, leaks, emulator):
    with RawServer(answer) as credentials:
        error = raised_by(ask, with_credentials_uri(monkeypatch, emulator.port, credentials.port))

    assert type(error) is kind, error
    assert "credentials could not be fetched" in str(error)
    assert emulator.requests == []
    assert leaks(error) == []


@pytest.mark.usefixtures("no_pauses")
def test_a_role_that_can_t_be_assumed_leaks_nothing(ask, monkeypatch, leaks, emulator):
    extra = {"protocol": "http", "auth_type": "ram_role_arn", "role_arn": "acs:ram::1:role/r"}
    extra |= {"sts_endpoint": f"127.0.0.1:{plain_port()}", "security_token": SECURITY_TOKEN}
    hook = connect(monkeypatch, **KEY, host="127.0.0.1", port=emulator.port, extra=extra)

    error = raised_by(ask, hook)

    assert type(error) is DswTransientError
    assert emulator.requests == []
    assert leaks(error, "Signature=") == []


@pytest.mark.usefixtures("no_pauses")
def test_a_token_for_oidc_that_can_t_be_exchanged_does_not_leak(ask, monkeypatch, leaks, emulator, tmp_path):
    (tmp_path / "token").write_text("the-security-token-of-oidc")
    extra = {"protocol": "http", "auth_type": "oidc_role_arn", "role_arn": "acs:ram::1:role/r"}
    extra |= {"oidc_provider_arn": "acs:ram::1:oidc-provider/p", "oidc_token_file_path": str(tmp_path / "token")}
    extra["sts_endpoint"] = f"127.0.0.1:{plain_port()}"
    hook = connect(monkeypatch, host="127.0.0.1", port=emulator.port, extra=extra)

    error = raised_by(ask, hook)

    assert emulator.requests == []
    assert leaks(error) == []


@pytest.mark.usefixtures("no_pauses")
def test_an_answer_that_is_no_http_warns_of_nothing(ask, monkeypatch, recwarn):
    with RawServer(sends(b"What?\r\n\r\n")) as server:
        assert type(raised_by(ask, connect_to(monkeypatch, server.port))) is DswTransientError

    assert [str(warning.message) for warning in recwarn if "status instead" in str(warning.message)] == []


@pytest.mark.usefixtures("no_pauses")
def test_a_failure_that_passes_is_not_seen(ask, dsw_default):
    dsw_default.add_instance(ID)
    dsw_default.fault(status=503)
    dsw_default.fault(drop=True)
    dsw_default.fault(body="<html>")

    assert ask(DswHook())["InstanceId"] == ID
    assert len(dsw_default.requests) == 4


@pytest.mark.parametrize(
    ("code", "message", "is_taken"),
    [
        ("ValidationError", "A snapshot named a exists already.", True),
        ("EntityAlreadyExists", "", True),
        ("Duplicated", "a", True),
        ("NameConflict", None, True),
        ("ValidationError", "The VPC vpc-1 does not exist.", False),
        ("ValidationError", "The image doesn't exist", False),
        ("InvalidVSwitch.NotExist", "", False),
        ("ValidationError", "a non-existent repository", False),
        ("OperationDenied.NoStock", "The requested resource is out of stock.", False),
        ("ValidationError", "The VPC does not exist, and the name exists.", True),
    ],
)
def test_what_is_missing_is_not_taken(code: str, message: str | None, is_taken: bool) -> None:
    assert failures.says_taken(DswRequestError("refused", code=code, message=message)) is is_taken
