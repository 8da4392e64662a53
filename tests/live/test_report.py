"""The report has an answer to each assumption, and nothing that is secret."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_dsw.emulator import SAMPLE_SECRET
from airflow_provider_dsw.waits.assumptions import ASSUMPTIONS
from tests.docs.readme import ROOT
from tests.live.checks import CHECKS, Answer
from tests.live.conftest import Try
from tests.live.reading import MISSING
from tests.live.runs import RUNS
from tests.live.variables import VARIABLES, Limits, Variables
from tests.support.leaks import IMAGE_AUTH, leaks
from tests.support.live_service import INSTANCE, KEY, KEY_ID, SIGNED, TOKEN, LiveService

PAGE = (ROOT / ".github/docs/live.md").read_text(encoding="utf-8")
ACCOUNT = "1612285282500001"
READING_ONLY = {"DSW_LIVE_INSTANCE": "", "DSW_LIVE_CREATE": ""}
# Where the documentation has its own name for an operation.
RAM_ACTIONS = {"CreateInstance": "CreatePostPaidInstance"}


def test_each_assumption_has_a_check() -> None:
    assert [*CHECKS] == [*ASSUMPTIONS], (
        "tests/live/checks.py: what shows that each holds, or not, in the order of ASSUMPTIONS"
    )
    assert {run for run, _ in CHECKS.values()} == {*RUNS}


def test_it_holds_no_secret(try_service: Try) -> None:
    told = (
        f"{KEY} {TOKEN} {KEY_ID} of {ACCOUNT}: https://example.com/x?Expires=1&Signature={SIGNED} {SAMPLE_SECRET}-oss"
    )

    def echo(service: LiveService) -> None:
        service.fault("GetInstance", MISSING, times=None, status=404, code="InternalError", message=told)
        service.fault("GetInstanceEvents", "dsw-odd", times=None, status=400, code="Unknown", message=told)

    report, _ = try_service(prepare=echo, **READING_ONLY)
    text = report.text()

    assert "GetInstance of an id that nothing has was refused with HTTP 404" in text
    assert '"Code": "Unknown"' in text
    known = {"key": KEY, "token": TOKEN, "key id": KEY_ID, "account": ACCOUNT, "signature": SIGNED}
    assert leaks(known, [("report", text)]) == set()
    assert IMAGE_AUTH not in text


def test_it_keeps_of_an_answer_what_the_assumptions_are_about(try_service: Try) -> None:
    report, _ = try_service(**READING_ONLY)
    recorded = [json.loads(line) for line in report.text().splitlines() if line.startswith("{")]
    answer = next(each for each in recorded if each["action"] == "GetInstance" and each.get("InstanceId") == INSTANCE)

    assert answer["Status"] == "Stopped"
    assert {"UserId", "EnvironmentVariables"} <= {*answer["other fields"]}


def test_without_an_instance_what_needs_one_is_not_seen(try_service: Try) -> None:
    report, service = try_service(**READING_ONLY)

    assert {name for name, each in report.findings.items() if each.answer is Answer.NOT_SEEN} == {
        name for name, (run, _) in CHECKS.items() if run != "reading"
    }
    assert "DSW_LIVE_INSTANCE is not set" in report.findings["old-state"].words
    assert {request.method for request in service.requests} == {"GET"}


def test_what_runs_already_is_not_touched(try_service: Try) -> None:
    report, service = try_service(prepare=lambda service: service.set_instance(INSTANCE, "Running"), DSW_LIVE_CREATE="")

    assert "Stop it" in report.stopped_short["changing"]
    assert {request.method for request in service.requests} == {"GET"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DSW_LIVE_INSTANZ", "dsw-1", "DSW_LIVE_INSTANZ is not read"),
        ("DSW_LIVE_CREATE", "[]", "DSW_LIVE_CREATE: not a JSON object"),
        ("DSW_LIVE_LIMITS", '{"pole": 1}', "no limit 'pole'"),
        ("DSW_LIVE_LIMITS", '{"poll": 0}', "poll is no number of seconds above 0"),
    ],
)
def test_a_variable_that_is_mistaken_ends_it_at_once(name: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Variables.read({"DSW_LIVE_CONNECTION": "{}", name: value})


def test_the_page_has_each_variable_and_limit() -> None:
    rows = [line.split("|")[1:3] for line in PAGE.splitlines() if line.startswith("| `")]
    limits = {name.strip(" `"): float(value) for name, value in rows if not name.strip(" `").startswith("DSW")}

    assert [name.strip(" `") for name, _ in rows if "DSW_LIVE" in name] == [*VARIABLES]
    assert limits == vars(Limits())
    assert len(PAGE.splitlines()) <= 60


@pytest.mark.slow
def test_the_page_s_policy_allows_what_is_asked_for(try_service: Try) -> None:
    services = [try_service(options={"timers_outlive_stops": outlive})[1] for outlive in (False, True)]
    policy = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
    asked = {request.action for service in services for request in service.requests} - {None, "NoSuchOperation"}

    assert {*policy["Statement"][0]["Action"]} == {f"paidsw:{RAM_ACTIONS.get(name, name)}" for name in asked if name}
