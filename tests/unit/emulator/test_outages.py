"""What is answered late, never, or by something else; keys that change; a service that is down."""

import contextlib
import http.client
import time

import pytest

from tests.support.emulator import ABC, Caller, refused, send, sign, wait_for


@pytest.fixture(autouse=True)
def instance(emulator):
    emulator.add_instance("dsw-abc", "Stopped")


def start(emulator):
    path = f"{ABC}/start"
    return send(emulator, sign(emulator, "StartInstance", path, "PUT"), path, "PUT")


@pytest.mark.parametrize("lost", [{"drop": True}, {"status": 503}, {"truncate": True}])
def test_a_request_may_be_performed_while_its_answer_is_lost(emulator, lost):
    emulator.fault("StartInstance", performed=True, **lost)

    with contextlib.suppress(http.client.HTTPException, ConnectionError):
        assert start(emulator).status == 503

    assert emulator.status("dsw-abc") == "Creating"


def test_a_request_may_be_performed_long_after_its_answer_was_lost(emulator, clock):
    emulator.fault("StartInstance", status=503, performed_after=60)
    assert start(emulator).status == 503

    clock.advance(59)
    before = emulator.status("dsw-abc")
    clock.advance(1)

    assert (before, emulator.status("dsw-abc")) == ("Stopped", "Creating")


def test_what_is_performed_late_may_be_refused_by_then(emulator, clock):
    emulator.fault("StartInstance", drop=True, performed_after=60)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        start(emulator)
    emulator.set_instance("dsw-abc", "Deleting")

    clock.advance(60)

    assert emulator.status("dsw-abc") == "Deleting"


def test_performed_after_needs_an_answer_of_its_own(emulator):
    with pytest.raises(ValueError, match="answer"):
        emulator.fault(delay=1, performed_after=2)


def test_an_answer_is_held_until_it_is_released(emulator, in_background):
    fault = emulator.fault(hold=True, times=None)
    answer = in_background(lambda: start(emulator), until=lambda: emulator.requests)

    assert emulator.status("dsw-abc") == "Creating"
    assert not answer.is_done
    fault.release()

    assert answer.result().status == 200
    assert send(emulator, sign(emulator)).status == 200


def test_a_fault_may_end_by_the_clock(emulator, clock):
    emulator.fault(times=None, seconds=60, status=503)

    seen = []
    for seconds in (0, 59, 1):
        clock.advance(seconds)
        seen.append(send(emulator, sign(emulator)).status)

    assert seen == [503, 503, 200]


@pytest.mark.parametrize("value", ["1.5", "99999999999999", "soon", -1, 2.5])
def test_the_time_to_wait_may_be_anything(emulator, value):
    emulator.fault(retry_after_ms=value)

    answer = send(emulator, sign(emulator))

    assert (answer.status, answer.headers["x-acs-retry-after"]) == (429, str(value))


def test_a_404_may_be_a_gateway_s(emulator):
    emulator.fault(status=404, body='{"message": "no Route matched with those values"}')

    answer = send(emulator, sign(emulator))

    assert (answer.status, answer.json) == (404, {"message": "no Route matched with those values"})
    assert "x-acs-request-id" not in answer.headers


def test_keys_may_be_rotated(emulator, caller):
    assert caller.status() == "Stopped"

    emulator.set_credentials({"new-id": "new-secret"})

    with refused(404, "InvalidAccessKeyId.NotFound"):
        caller.status()
    assert Caller(emulator, access_key_id="new-id", access_key_secret="new-secret").status() == "Stopped"
    assert emulator.connection()["login"] == "new-id"


def test_an_outage_refuses_connections_until_it_is_over(emulator):
    kept = http.client.HTTPConnection(emulator.host, emulator.port, timeout=60)
    kept.request("GET", ABC, headers=sign(emulator))
    kept.getresponse().read()

    emulator.outage(3600)

    with pytest.raises(ConnectionRefusedError):
        send(emulator, sign(emulator))
    with pytest.raises((http.client.HTTPException, ConnectionError)):  # noqa: PT012
        kept.request("GET", ABC, headers=sign(emulator))
        kept.getresponse()
    kept.close()
    emulator.outage(0.05)
    wait_for(lambda: _answers(emulator), True)
    assert emulator.status("dsw-abc") == "Stopped"


def test_an_outage_may_begin_in_the_middle_of_a_request_and_end_with_the_emulator(emulator):
    emulator.on_request = lambda request: emulator.outage(3600)

    with pytest.raises((http.client.HTTPException, ConnectionError)):
        start(emulator)

    assert emulator.status("dsw-abc") == "Creating"
    emulator.stop()
    emulator.on_request = None
    emulator.start()
    assert _answers(emulator)


def test_a_second_outage_takes_the_place_of_the_first(emulator):
    emulator.outage(0.05)
    emulator.outage(3600)
    time.sleep(0.1)  # the first would be over

    assert not _answers(emulator)


def test_an_outage_is_for_an_emulator_that_runs(emulator):
    emulator.stop()

    with pytest.raises(RuntimeError, match="does not run"):
        emulator.outage(1)


def _answers(emulator):
    with contextlib.suppress(ConnectionError):
        return send(emulator, sign(emulator)).status == 200
    return False
