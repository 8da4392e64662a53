"""Each assumption is seen to hold where it does, and not to hold where the service contradicts it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.waits.assumptions import ASSUMPTIONS
from tests.live.checks import Answer
from tests.live.conftest import Try
from tests.live.report import Report
from tests.live.test_assumptions import test_the_assumption_holds as hold
from tests.support.live_service import LiveService


def answers(report: Report, answer: Answer) -> set[str]:
    return {name for name, finding in report.findings.items() if finding.answer is answer}


@pytest.mark.slow
def test_all_hold(try_service: Try) -> None:
    report, service = try_service()

    assert answers(report, Answer.HOLDS) == {*ASSUMPTIONS}, report.summary()
    assert (report.left_out, report.stopped_short) == ({}, {})
    assert service.left == set()


def test_one_that_does_not_hold_is_a_failed_test_and_one_that_was_not_seen_a_skipped_one(try_service: Try) -> None:
    report, _ = try_service("not-found", DSW_LIVE_INSTANCE="", DSW_LIVE_CREATE="")

    hold(report, "permissions")
    with pytest.raises(AssertionError, match="GetInstance of an id that nothing has"):
        hold(report, "not-found")
    with pytest.raises(pytest.skip.Exception, match="DSW_LIVE_INSTANCE is not set"):
        hold(report, "old-state")


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSUMPTIONS)
def test_what_is_contradicted_is_noticed_alone_and_nothing_is_left_behind(try_service: Try, name: str) -> None:
    report, service = try_service(name)

    noticed = answers(report, Answer.DOES_NOT_HOLD)
    assert noticed == {name}, f"tests/support/live_service.py has to contradict {name} alone: {report.summary()}"
    assert service.left == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"modified_time": "missing"},
        {"modified_time": "always", "stale_reads": 0},
        {"start_timeline": ["Running"], "stop_timeline": ["Stopped"], "delete_timeline": [None]},
        {"next_starts": [["Queuing", "Failed"]]},
        {"next_snapshots": [["Committing", "Failed"]]},
        {"after_failed_save": "stop", "snapshot_timeline": ["Committing", "Failed"]},
        {"no_stock": 2},
        {"deletable": "stopped", "denied_status": 404},
        {"timer_needs": "running", "second_timer": "refused"},
        {"timers_outlive_stops": True, "absent_timer": "empty"},
        {"unique_names": False, "latest_snapshot": "modified", "fields_parameter": "selects"},
        {"unique_names": False, "unique_image_urls": True, "concurrent_snapshots": True},
        {"saving_status": False, "events_order": "newest first"},
        {"late_lists": 2, "saved_seconds": 0},
    ],
    ids=lambda options: "-".join(options),
)
def test_whichever_way_the_service_goes_nothing_is_taken_for_a_contradiction(
    try_service: Try, options: dict[str, Any]
) -> None:
    report, service = try_service(options=options)

    assert answers(report, Answer.DOES_NOT_HOLD) == set(), report.summary()
    assert service.left == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "fault"),
    [
        ("StartInstance", {"drop": True, "performed": True}),
        ("CreateInstance", {"drop": True, "performed": True}),
        ("CreateInstanceSnapshot", {"drop": True, "performed": True}),
        ("CreateInstanceShutdownTimer", {"status": 400, "times": None}),
        ("StopInstance", {"status": 503, "times": 8}),
        ("DeleteInstance", {"status": 403, "times": 1}),
        ("GetInstanceSnapshot", {"status": 500, "times": None}),
    ],
)
def test_what_was_made_is_gone_whatever_becomes_of_a_request(
    try_service: Try, action: str, fault: dict[str, Any]
) -> None:
    ignores_labels = {"label_filter": False}
    report, service = try_service(prepare=lambda service: service.fault(action, **fault), options=ignores_labels)

    assert service.left == set()
    assert service.calls(action)
    assert "clean-up" not in report.stopped_short


@pytest.mark.slow
@pytest.mark.parametrize("pauses", range(1, 62, 10))
def test_what_was_made_is_gone_whenever_somebody_ends_it(try_service: Try, pauses: int) -> None:
    services: list[LiveService] = []

    with pytest.raises(KeyboardInterrupt):
        try_service(prepare=services.append, ends_after=pauses)

    assert services[0].left == set()
