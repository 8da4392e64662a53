"""The emulator accepts what the real SDK signs, and refuses what the service refuses."""

import ssl
import threading
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_dsw.emulator import Credential, DswEmulator
from tests.support.emulator import ABC, ROOT, Caller, refused, send, sign


def from_now(offset: timedelta) -> str:
    return (datetime.now(UTC) + offset).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_sdk_is_accepted_over_http(emulator, caller):
    emulator.add_instance("dsw-abc")

    assert caller.get()["InstanceId"] == "dsw-abc"


def test_the_sdk_is_accepted_over_tls():
    with DswEmulator(tls=True) as emulator:
        emulator.add_instance("dsw-abc")
        assert emulator.protocol == "https"
        assert Caller(emulator).get()["InstanceId"] == "dsw-abc"


def test_a_strict_client_trusts_the_certificate_and_no_other_host_name():
    with DswEmulator(tls=True) as emulator:
        context = ssl.create_default_context(cafile=emulator.ca_file)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(urllib.error.HTTPError, match="400"):  # it got as far as the service
                urllib.request.urlopen(f"https://{host}:{emulator.port}{ROOT}", context=context)
        untrusting = ssl.create_default_context()
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"https://127.0.0.1:{emulator.port}{ROOT}", context=untrusting)


@pytest.mark.parametrize("value", ["plain", "a b+c/d=e&f", "ü~*'()", "", "100%"])
def test_a_query_value_is_canonical_whatever_it_holds(emulator, caller, value):
    emulator.add_instance("dsw-abc")

    assert caller.get(Token=value)["InstanceId"] == "dsw-abc"


def test_an_encoded_id_in_the_path_is_accepted(emulator, caller):
    emulator.add_instance("dsw a/ü")

    assert caller.get("dsw%20a%2F%C3%BC")["InstanceId"] == "dsw a/ü"


def test_a_body_is_part_of_the_signature(emulator, caller):
    emulator.add_instance("dsw-abc")

    assert caller.create_snapshot(SnapshotDescription="schön")["SnapshotId"].startswith("snp-")


def test_requests_from_many_threads_are_all_accepted(emulator, caller):
    for number in range(8):
        emulator.add_instance(f"dsw-{number}")
    answers: list[str] = []

    def ask(number: int) -> None:
        answers.extend(caller.get(f"dsw-{number}")["InstanceId"] for _ in range(25))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == sorted(f"dsw-{number}" for number in range(8) for _ in range(25))


@pytest.mark.parametrize(
    ("key_id", "secret", "status", "code"),
    [
        ("emulator-key-id", "another-secret", 400, "SignatureDoesNotMatch"),
        ("nobody", "emulator-key-secret", 404, "InvalidAccessKeyId.NotFound"),
        ("disabled", "s", 403, "InvalidAccessKeyId.Inactive"),
    ],
)
def test_a_wrong_key_is_refused(emulator, key_id, secret, status, code):
    emulator.add_instance("dsw-abc")
    emulator.add_credential("disabled", "s", inactive=True)

    with refused(status, code):
        Caller(emulator, access_key_id=key_id, access_key_secret=secret).get()


@pytest.mark.parametrize(
    ("token", "expires", "code"),
    [
        ("right", None, None),
        ("right", timedelta(hours=1), None),
        ("right", timedelta(hours=-1), "InvalidSecurityToken.Expired"),
        ("wrong", None, "InvalidSecurityToken.Malformed"),
        (None, None, "InvalidSecurityToken.Malformed"),
    ],
)
def test_a_security_token_must_be_the_right_one_and_fresh(emulator, token, expires, code):
    emulator.add_instance("dsw-abc")
    until = expires and datetime.now(UTC) + expires
    emulator.add_credential("STS.x", "s", security_token="right", expires=until)
    caller = Caller(emulator, access_key_id="STS.x", access_key_secret="s", security_token=token)

    if code is None:
        assert caller.status() == "Running"
    else:
        with refused(400, code):
            caller.get()


def test_a_token_for_a_key_that_has_none_is_refused(emulator):
    emulator.add_instance("dsw-abc")

    with refused(400, "InvalidSecurityToken.Malformed"):
        Caller(emulator, security_token="surplus").get()


@pytest.mark.parametrize("credential", ["s", {"secret": "s"}, Credential("s")])
def test_a_credential_may_be_set_in_each_form_while_it_runs(emulator, credential):
    emulator.add_instance("dsw-abc")
    emulator.credentials["late"] = credential

    assert Caller(emulator, access_key_id="late", access_key_secret="s").status() == "Running"


def test_a_denied_action_names_what_is_missing(emulator):
    emulator.add_instance("dsw-abc")
    emulator.add_credential("reader", "s", denied={"paidsw:ListInstances"})
    caller = Caller(emulator, access_key_id="reader", access_key_secret="s")

    with refused(403, "NoPermission") as raised:
        caller.list()
    assert raised.value.access_denied_detail["AuthAction"] == "paidsw:ListInstances"
    assert caller.status() == "Running"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"x_acs_date": timedelta(minutes=-16)}, 400, "InvalidTimeStamp.Expired"),
        ({"x_acs_date": timedelta(minutes=16)}, 400, "InvalidTimeStamp.Expired"),
        ({"x_acs_date": "Thu, 06 Feb 2020 07:32:54 GMT"}, 400, "InvalidTimeStamp.Format"),
        ({"x_acs_date": None}, 400, "MissingHeader"),
        ({"x_acs_signature_nonce": None}, 400, "MissingHeader"),
        ({"x_acs_content_sha256": None}, 400, "MissingHeader"),
        ({"x_acs_action": None}, 400, "MissingHeader"),
        ({"x_acs_content_sha256": "0" * 64}, 400, "SignatureDoesNotMatch"),
        ({"x_acs_version": "2021-01-01"}, 400, "InvalidVersion"),
        ({"x_acs_action": "StartInstance"}, 404, "InvalidAction.NotFound"),
        ({"x_acs_action": "DeleteInstance"}, 404, "InvalidAction.NotFound"),
        ({"x_acs_date": timedelta(minutes=-14)}, 200, None),
        ({"x_acs_date": timedelta(minutes=14)}, 200, None),
    ],
)
def test_a_well_signed_request_with_a_wrong_header_is_refused(emulator, changed, status, code):
    emulator.add_instance("dsw-abc")
    if isinstance(offset := changed.get("x_acs_date"), timedelta):
        changed = {"x_acs_date": from_now(offset)}

    answer = send(emulator, sign(emulator, **changed))

    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    "sent",
    [
        {"path": f"{ROOT}/dsw-xyz"},
        {"query": {"Token": "added"}},
        {"body": b"added"},
        {"method": "POST"},
    ],
)
def test_a_request_changed_on_its_way_is_refused(emulator, sent):
    emulator.add_instance("dsw-abc")
    emulator.add_instance("dsw-xyz")

    answer = send(emulator, sign(emulator), **sent)

    assert (answer.status, answer.code) == (400, "SignatureDoesNotMatch")


@pytest.mark.parametrize("name", ["x-acs-signature-nonce", "x-acs-date", "host"])
def test_a_header_changed_on_its_way_is_refused(emulator, name):
    emulator.add_instance("dsw-abc")
    changed = {
        "x-acs-date": from_now(timedelta(seconds=5)),
        "x-acs-signature-nonce": "n",
        "host": "example.com",
    }[name]

    answer = send(emulator, {**sign(emulator), name: changed})

    assert (answer.status, answer.code) == (400, "SignatureDoesNotMatch")


def test_a_header_that_is_not_signed_is_refused(emulator):
    emulator.add_instance("dsw-abc")

    answer = send(emulator, {**sign(emulator), "x-acs-security-token": "smuggled"})

    assert (answer.status, answer.code) == (400, "SignatureDoesNotMatch")


def test_the_same_request_again_is_refused(emulator):
    emulator.add_instance("dsw-abc")
    headers = sign(emulator)

    assert send(emulator, headers).status == 200
    again = send(emulator, headers)

    assert (again.status, again.code) == (400, "SignatureNonceUsed")


def test_a_refused_request_does_not_use_up_its_nonce(emulator):
    emulator.add_instance("dsw-abc")
    headers = sign(emulator)

    send(emulator, headers, method="POST")

    assert send(emulator, headers).status == 200


@pytest.mark.parametrize("authorization", ["Bearer x", "ACS3-HMAC-SHA256 Credential=a", "acs a:b"])
def test_another_kind_of_authorization_is_refused(emulator, authorization):
    answer = send(emulator, {**sign(emulator), "authorization": authorization})

    assert (answer.status, answer.code) == (400, "IncompleteSignature")


def test_a_wrong_signature_is_answered_with_what_was_signed_but_never_with_the_secret(emulator):
    headers = sign(emulator, secret="wrong-one", x_acs_security_token="a-token")

    text = send(emulator, headers).json["Message"]

    assert f"GET\n{ABC}\n" in text
    assert "a-token" in text  # what a client must not pass on to a log
    assert "emulator-key-secret" not in text


def test_an_error_has_the_service_s_fields_and_a_new_request_id_each_time(emulator):
    answers = [send(emulator, sign(emulator)) for _ in range(2)]

    for answer in answers:
        assert answer.status == 404
        assert answer.json.keys() == {"Code", "Message", "RequestId", "HostId", "Recommend"}
        assert answer.headers["x-acs-request-id"] == answer.json["RequestId"]
        assert answer.json["RequestId"] == answer.json["RequestId"].upper()
    assert answers[0].json["RequestId"] != answers[1].json["RequestId"]
