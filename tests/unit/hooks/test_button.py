"""`test_connection`, as the UI's button and `airflow connections test` call it: it says what is wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator, signature
from airflow_provider_dsw.hooks.dsw import DswHook
from tests.support.distribution import path_with_provider
from tests.support.hooks import connect, connect_to
from tests.support.raw_server import RawServer, http, keeps_silent, sends
from tests.support.until import wait_until

SECRETS = ("emulator-key-secret", "the-wrong-secret", "the-token", "the-other-token")
NOT_DSW = "The response did not come from PAI-DSW: check host"


def says(hook: DswHook, works: bool) -> str:
    """What the button says, where it says rightly whether it works, and no secret."""
    found, message = hook.test_connection()
    assert found is works, message
    assert not any(secret in message for secret in SECRETS)
    return message


@pytest.fixture
def pressed(emulator, monkeypatch):
    """Press the button for a connection to the emulator, but for these fields."""

    def press(works: bool, extra: dict[str, Any] | None = None, **change: Any) -> str:
        fields = {**emulator.connection(), **change}
        hook = connect(monkeypatch, **{**fields, "extra": {**fields["extra"], **(extra or {})}})
        message = says(hook, works)
        assert len(emulator.requests) <= 1  # who clicks does not want to wait for retries
        return message

    return press


def test_it_works(pressed, emulator):
    emulator.add_instance("dsw-abc")

    assert pressed(True) == f"PAI-DSW at {emulator.endpoint} answers. Instances listed: 1."


@pytest.mark.parametrize("wrong", [{"login": "no-such-key"}, {"login": ""}, {"port": 1}], ids=str)
def test_the_random_id_under_which_the_form_tests_a_connection_is_not_shown(pressed, wrong):
    assert "dsw_default" not in pressed(False, **wrong)


def test_a_wrong_key_id(pressed):
    message = pressed(False, login="no-such-key")

    assert "InvalidAccessKeyId.NotFound" in message
    assert "Check login (the AccessKey id)" in message


def test_a_key_that_is_disabled(pressed, emulator):
    emulator.add_credential("off", "emulator-key-secret", inactive=True)

    assert "InvalidAccessKeyId.Inactive" in pressed(False, login="off")


def test_a_wrong_secret(pressed):
    message = pressed(False, password="the-wrong-secret")

    assert "SignatureDoesNotMatch" in message
    assert "Check password (the AccessKey secret)" in message


def test_an_expired_token(pressed, emulator):
    expired = datetime.now(UTC) - timedelta(hours=1)
    emulator.add_credential("STS.1", "emulator-key-secret", security_token="the-token", expires=expired)

    message = pressed(False, login="STS.1", extra={"auth_type": "sts", "security_token": "the-token"})

    assert "InvalidSecurityToken.Expired" in message
    assert "renew extra 'security_token'" in message


def test_a_wrong_token(pressed, emulator):
    emulator.add_credential("STS.1", "emulator-key-secret", security_token="the-token")

    message = pressed(False, login="STS.1", extra={"auth_type": "sts", "security_token": "the-other-token"})

    assert "InvalidSecurityToken.Malformed" in message
    assert "Check extra 'security_token'" in message


def test_a_clock_that_is_wrong(pressed, monkeypatch):
    monkeypatch.setattr(signature, "MAX_SKEW", timedelta(hours=-1))  # of the emulator's clock from ours

    message = pressed(False)

    assert "InvalidTimeStamp.Expired" in message
    assert "The clock of this machine is wrong" in message


@pytest.mark.parametrize(
    "refusal",
    [
        None,
        {"status": 403, "code": "Forbidden.RAM"},
        {"status": 404, "code": "100700008", "message": "The action is denied by RAM and AIWorkspace Rbac"},
    ],
)
def test_a_good_key_that_may_not_list_works_and_the_missing_action_is_named(refusal, pressed, emulator):
    emulator.add_credential("may-little", "emulator-key-secret", denied=["paidsw:ListInstances"])
    if refusal:
        emulator.fault(times=None, **refusal)

    message = pressed(True, **({} if refusal else {"login": "may-little"}))

    assert message.startswith("The credentials are valid. They may not list instances")
    assert "The RAM action paidsw:ListInstances" in message


def test_an_unknown_region(monkeypatch):
    def unknown(host: Any, *rest: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    hook = connect(monkeypatch, login="k", password="emulator-key-secret", extra={"region": "xx-nowhere-1"})

    message = says(hook, False)

    assert "pai-dsw.xx-nowhere-1.aliyuncs.com" in message
    assert "the host name is unknown. " in message
    assert "Check region" in message


def test_an_unknown_host(pressed):
    message = pressed(False, host="dsw.invalid", port=None)
    assert "the host name is unknown" in message
    assert "Check region and network, or host" in message


def test_nothing_listens_there(pressed):
    assert "nothing listens there (connection refused)" in pressed(False, host="127.0.0.1", port=1)


def test_no_answer_in_time(monkeypatch):
    with RawServer(keeps_silent) as server:
        message = says(connect_to(monkeypatch, server.port, read_timeout=0.3), False)
        wait_until(lambda: server.received)

    assert "no answer in time" in message
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<html>Welcome to nginx!</html>"),
        http(404, b"<html>404</html>"),
        http(401, {"detail": "Not authenticated"}),
        http(403, {"message": "Missing Authentication Token"}),
        http(404, {"message": "no such route"}),
        http(400, {"error": "what?"}),
    ],
)
def test_another_service_s_endpoint(answer, monkeypatch):
    with RawServer(sends(answer)) as server:
        message = says(connect_to(monkeypatch, server.port), False)

    assert NOT_DSW in message
    assert "no such instance" not in message


def test_another_service_of_the_same_kind(monkeypatch):
    with RawServer(sends(http(200, {"RequestId": "R-1", "Jobs": []}))) as server:
        message = says(connect_to(monkeypatch, server.port), False)

    assert "no list of Instances, as PAI-DSW's would" in message
    assert "Check host" in message


def test_http_where_https_is_spoken(monkeypatch):
    with RawServer(sends(b"")) as server:
        message = says(connect_to(monkeypatch, server.port, protocol="https"), False)

    assert "TLS failed; is it an https endpoint? " in message
    assert "Check host, region, protocol" in message


def test_the_service_is_in_trouble(pressed, emulator):
    emulator.fault(times=None, status=503)

    assert "the service can't answer now" in pressed(False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": "", "port": None, "extra": {"region": ""}}, "neither extra 'region'"),
        ({"host": "", "port": None, "extra": {"region": "cn hangzhou"}}, "is not a region id"),
        ({"password": ""}, "password (the AccessKey secret) is not set"),
    ],
)
def test_a_connection_that_lacks_something(change, words, pressed, emulator):
    assert words in pressed(False, **change)
    assert emulator.requests == []


# The command


def run_command(emulator: DswEmulator, directory: Path, **change: Any) -> subprocess.Popen[str]:
    directory.mkdir()
    environment = os.environ | {
        "PYTHONPATH": path_with_provider(directory),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW_CONN_MY_DSW": json.dumps({**emulator.connection(), **change}),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "airflow", "connections", "test", "my_dsw"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_the_command_says_the_same(emulator, tmp_path):
    good = run_command(emulator, tmp_path / "good")
    bad = run_command(emulator, tmp_path / "bad", password="the-wrong-secret")

    (worked, _), (failed, _) = (process.communicate(timeout=300) for process in (good, bad))

    assert "Connection success!" in worked, worked
    assert "Connection failed!" in failed, failed
    assert "Check password (the AccessKey secret)" in " ".join(failed.split())
    assert not any(secret in worked + failed for secret in SECRETS)
    assert good.returncode == 0
