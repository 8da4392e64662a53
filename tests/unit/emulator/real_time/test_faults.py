"""Faults on demand: what goes over the wire, how often, to whom, and whether the operation is carried out."""

import contextlib
import http.client
import time

import pytest
from alibabacloud_tea_openapi.exceptions import ThrottlingException
from darabonba.exceptions import UnretryableException

from tests.support.emulator import ABC, refused, send, sign


@pytest.fixture(autouse=True)
def instance(emulator):
    emulator.add_instance("dsw-abc")


def get(emulator):
    return send(emulator, sign(emulator))


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"status": 500}, 500, "InternalError"),
        ({"status": 503, "code": "Busy", "message": "later"}, 503, "Busy"),
        ({"status": 403}, 403, "NoPermission"),
        ({"status": 418}, 418, "Error.418"),
        ({"code": "Throttling.Api"}, 400, "Throttling.Api"),
        ({"retry_after_ms": 5}, 429, "Throttling.User"),
        ({"retry_after_ms": 5, "status": 503}, 503, "Throttling.User"),
    ],
)
def test_an_error_has_the_service_s_body(emulator, given, status, code):
    emulator.fault(**given)

    answer = get(emulator)

    assert (answer.status, answer.code) == (status, code)
    assert answer.json["RequestId"] == answer.headers["x-acs-request-id"]
    assert given.get("message", "") in answer.json["Message"]


def test_the_sdk_reads_how_long_to_wait(emulator, caller):
    emulator.fault(retry_after_ms=1500)

    with pytest.raises(ThrottlingException) as raised:
        caller.get()

    assert raised.value.retry_after == 1500


def test_a_request_id_may_be_given_or_left_out(emulator):
    emulator.fault(status=500, request_id="R-1")
    emulator.fault(status=500, request_id=None)

    assert get(emulator).json["RequestId"] == "R-1"
    without = get(emulator)
    assert "RequestId" not in without.json
    assert "x-acs-request-id" not in without.headers


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>Bad gateway</html>", "text/html;charset=utf-8"),
        ("null", "application/json;charset=utf-8"),
        (b"\xff\x00{", "application/json;charset=utf-8"),
        ("", "application/json;charset=utf-8"),
    ],
)
def test_a_body_goes_out_as_it_is(emulator, body, content_type):
    emulator.fault(status=502, body=body)

    answer = get(emulator)

    assert answer.status == 502
    assert answer.body == (body if isinstance(body, bytes) else body.encode())
    assert answer.headers["content-type"] == content_type


def test_a_body_without_a_status_is_a_200_and_its_type_may_be_given(emulator):
    emulator.fault(body="{broken", content_type="text/plain", headers={"X-Extra": "1"})

    answer = get(emulator)

    assert (answer.status, answer.body) == (200, b"{broken")
    assert (answer.headers["content-type"], answer.headers["x-extra"]) == ("text/plain", "1")


def test_a_redirect_or_no_content_has_no_body(emulator):
    emulator.fault(status=302, headers={"Location": "http://127.0.0.1:1/"})
    emulator.fault(status=204)

    redirect, empty = get(emulator), get(emulator)

    assert (redirect.status, redirect.body) == (302, b"")
    assert redirect.headers["location"] == "http://127.0.0.1:1/"
    assert (empty.status, empty.body) == (204, b"")


def test_success_false_comes_with_http_200(emulator, caller):
    emulator.fault(success_false=True, code="InternalError", message="no")

    answer = caller.get()

    assert (answer["Success"], answer["Code"], answer["Message"]) == (False, "InternalError", "no")


def test_headers_alone_leave_the_answer_as_it_is(emulator):
    emulator.fault(headers={"X-Extra": "1"})

    answer = get(emulator)

    assert (answer.json["Status"], answer.headers["x-extra"]) == ("Running", "1")


def test_a_delay_comes_before_the_right_answer(emulator):
    emulator.fault(delay=0.15)
    begin = time.monotonic()

    assert get(emulator).json["Status"] == "Running"
    assert time.monotonic() - begin >= 0.15


def test_a_delay_holds_up_nobody_else(emulator, caller):
    emulator.fault("ListInstances", delay=3600)
    connection = http.client.HTTPConnection(emulator.host, emulator.port)
    connection.request("GET", "/api/v2/instances", headers=sign(emulator, "ListInstances", "/api/v2/instances"))

    assert caller.status() == "Running"
    connection.close()


def test_a_dropped_connection_has_no_answer(emulator):
    emulator.fault(drop=True)

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        get(emulator)

    assert get(emulator).status == 200


def test_a_truncated_answer_announces_more_than_it_sends(emulator):
    whole = len(get(emulator).body)
    emulator.fault(truncate=True)

    with pytest.raises(http.client.IncompleteRead) as raised:
        get(emulator)

    assert len(raised.value.partial) == whole // 2
    assert raised.value.expected == whole - whole // 2


def test_a_drip_sends_byte_after_byte(emulator):
    emulator.fault(status=500, body="0123456789", drip=0.02)
    begin = time.monotonic()

    assert get(emulator).body == b"0123456789"
    assert time.monotonic() - begin >= 0.18  # nine times between ten bytes


@pytest.mark.parametrize("fault", [{"drop": True}, {"truncate": True}, {"body": "<html>"}])
def test_the_sdk_meets_a_fault_as_an_error_without_a_status(emulator, caller, fault):
    emulator.fault(**fault)

    with pytest.raises(UnretryableException):
        caller.get()


def test_a_fault_is_met_as_often_as_it_says(emulator):
    fault = emulator.fault(times=2, status=500)

    assert [get(emulator).status for _ in range(3)] == [500, 500, 200]
    assert fault.hits == 2


def test_a_fault_without_an_end_lasts_until_it_is_cleared(emulator):
    emulator.fault(times=None, status=500)

    assert [get(emulator).status for _ in range(3)] == [500] * 3
    emulator.clear_faults()
    assert get(emulator).status == 200


def test_faults_are_met_one_after_the_other(emulator):
    emulator.fault(status=500)
    emulator.fault(status=503)

    assert [get(emulator).status for _ in range(3)] == [500, 503, 200]


def test_a_fault_meets_only_what_it_names(emulator, caller):
    emulator.add_instance("dsw-xyz")
    emulator.fault("StartInstance", status=500)
    emulator.fault("GetInstance", "dsw-xyz", status=500)

    assert caller.status("dsw-abc") == "Running"
    assert caller.list()["TotalCount"] == 2
    with refused(500, "InternalError"):
        caller.status("dsw-xyz")


def test_a_fault_waits_for_a_request_that_is_signed_well(emulator):
    emulator.fault(status=503)

    assert send(emulator, sign(emulator, secret="wrong")).code == "SignatureDoesNotMatch"
    assert get(emulator).status == 503


def test_a_fault_may_come_before_the_signature(emulator):
    emulator.fault(status=503, before_auth=True)
    emulator.fault(delay=0.01, before_auth=True)

    assert send(emulator, sign(emulator, secret="wrong")).status == 503
    assert send(emulator, sign(emulator, secret="wrong")).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("fault", "performed"),
    [
        ({"status": 503}, False),
        ({"drop": True}, False),
        ({"truncate": True}, True),
        ({"delay": 0.01}, True),
        ({"status": 503, "performed": True}, True),
        ({"status": 503, "performed": False}, False),
        ({"drop": True, "performed": True}, True),
        ({"truncate": True, "status": 500}, False),
    ],
)
def test_whether_the_operation_is_carried_out_all_the_same(emulator, fault, performed):
    emulator.set_instance("dsw-abc", "Stopped")
    emulator.fault(**fault)
    path = f"{ABC}/start"

    with contextlib.suppress(http.client.HTTPException, ConnectionError):
        send(emulator, sign(emulator, "StartInstance", path, "PUT"), path, "PUT")

    assert emulator.status("dsw-abc") == ("Creating" if performed else "Stopped")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"action": "getinstance", "status": 500},
        {"times": 0, "status": 500},
        {"drop": True, "truncate": True},
        {"delay": 1, "performed": False},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(emulator, wrong):
    with pytest.raises(ValueError, match=r"\w+"):
        emulator.fault(**wrong)


@pytest.mark.parametrize("method", ["calls", "fault"])
def test_a_mistyped_action_is_refused(emulator, method):
    with pytest.raises(ValueError, match=r"the emulator serves no action 'GetInstanc'; it serves .*, GetInstance, "):
        getattr(emulator, method)("GetInstanc")
