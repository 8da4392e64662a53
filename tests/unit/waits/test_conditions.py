"""What a wait means, as one table: no service, no Airflow."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import (
    KINDS,
    ExpressionCondition,
    Outcome,
    Problem,
    SnapshotByIdCondition,
    SnapshotCondition,
    StatusCondition,
    Wait,
    evaluate,
)
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES, default_failure_statuses

SUCCESS, PENDING, FAILURE = Outcome.SUCCESS, Outcome.PENDING, Outcome.FAILURE
ID = "dsw-abc"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def status_wait(*targets, failures=None):
    return StatusCondition(ID, target_status=targets, failure_statuses=failures)


def snapshot_wait(**which):
    return (SnapshotByIdCondition if "snapshot_id" in which else SnapshotCondition)(ID, **which)


def judge(condition, instance, snapshot=None):
    return evaluate(Wait(condition), PollResult(instance, snapshot))


def snapshot(status="Saved", created="2026-01-31T12:00:00Z", image="image-1", **more):
    return {"ImageId": image, "ImageName": f"{image}-name", "ImageUrl": f"registry/{image}:1"} | {
        "GmtCreateTime": created,
        "Status": status,
        **more,
    }


def instance(status="Running", latest=None, listed=(), **more):
    return {"InstanceId": ID, "Status": status, "LatestSnapshot": latest, "InstanceSnapshotList": list(listed), **more}


# Statuses

# For each target, what each status means without failure_statuses; those not named: the wait goes on.
MEANINGS = {
    "Running": {SUCCESS: {"Running"}, FAILURE: {"Failed", "Deleting", "ArrearStopping", "Arrearge"}},
    "Stopped": {SUCCESS: {"Stopped"}, FAILURE: {"Failed", "Deleting"}},
    "Saved": {SUCCESS: {"Saved"}, FAILURE: {"SaveFailed", "Failed", "Deleting"}},
    "Failed": {SUCCESS: {"Failed"}, FAILURE: {"Deleting"}},
    "Deleting": {SUCCESS: {"Deleting"}, FAILURE: {"Failed"}},
    "SaveFailed": {SUCCESS: {"SaveFailed"}, FAILURE: {"Failed", "Deleting"}},
    "Queuing": {SUCCESS: {"Queuing"}, FAILURE: {"Failed", "Deleting"}},
    "Arrearge": {SUCCESS: {"Arrearge"}, FAILURE: {"Failed", "Deleting"}},
}


@pytest.mark.parametrize("target", MEANINGS)
def test_every_status_means_one_thing_for_a_target(target):
    found = {status: judge(status_wait(target), instance(status)).outcome for status in INSTANCE_STATUSES}

    meant = {status: outcome for outcome, statuses in MEANINGS[target].items() for status in statuses}
    assert found == {status: meant.get(status, PENDING) for status in INSTANCE_STATUSES}


@pytest.mark.parametrize("status", ["Hibernating", "running"])
def test_a_status_that_nobody_knows_neither_ends_the_wait_nor_breaks_it(status):
    verdict = judge(status_wait("Running"), instance(status))

    assert verdict.outcome is PENDING
    assert "does not know" in verdict.last_status


@pytest.mark.parametrize("status", ["", " ", None, 7, True, ["Running"], {"Status": "Running"}])
def test_a_status_that_is_none_is_evidence_of_nothing(status):
    verdict = judge(status_wait("Running"), instance(status))

    assert (verdict.outcome, verdict.has_evidence) == (PENDING, False)
    assert judge(status_wait("Running"), {"InstanceId": ID}) == verdict._replace(payload={"InstanceId": ID})


@pytest.mark.parametrize(
    ("answer", "evidence"),
    [
        (instance(latest=None, listed=[]), True),  # there are none
        ({"InstanceId": ID, "Status": "Running", "LatestSnapshot": None, "InstanceSnapshotList": None}, False),
        ({"InstanceId": ID, "Status": "Running"}, False),
        ({"InstanceId": ID, "Status": "Running", "LatestSnapshot": "Saved", "InstanceSnapshotList": {}}, False),
        (instance(latest={"ImageId": "image-1"}, listed=[{"ImageId": "image-1", "Status": None}]), False),
        (instance(latest={"ImageId": "image-1", "Status": "Pushing"}), True),
    ],
)
def test_an_answer_that_shows_no_snapshots_is_no_evidence_that_there_are_none(answer, evidence):
    assert judge(snapshot_wait(), answer).has_evidence is evidence


def test_of_a_snapshot_and_its_twin_the_one_with_a_status_decides():
    without = snapshot(status=None)

    assert judge(snapshot_wait(), instance(latest=without, listed=[snapshot("Saved")])).outcome is SUCCESS


@pytest.mark.parametrize(
    ("targets", "failures"),
    [
        (("Running", "Stopped"), {"Failed", "Deleting"}),
        (("Running", "Arrearge"), {"Failed", "Deleting"}),
        (("Running", "Failed"), {"Deleting"}),
        (("Saved", "SaveFailed"), {"Failed", "Deleting"}),
        (("Failed", "Deleting"), set()),
    ],
)
def test_of_several_targets_only_what_ends_all_hopes_is_a_failure(targets, failures):
    assert default_failure_statuses(targets) == failures
    assert status_wait(*targets).failures == failures


@pytest.mark.parametrize("status", ["Running", "Stopped"])
def test_any_of_several_targets_is_enough(status):
    assert judge(status_wait("Running", "Stopped"), instance(status)).outcome is SUCCESS


@pytest.mark.parametrize(
    ("failures", "status", "outcome"),
    [
        (("Stopped",), "Stopped", FAILURE),
        (("Stopped",), "Failed", PENDING),  # they replace the default ones
        ((), "Failed", PENDING),
        (("Running", "Stopped"), "Running", SUCCESS),  # the target wins
    ],
)
def test_failure_statuses_take_the_place_of_the_default_ones(failures, status, outcome):
    assert judge(status_wait("Running", failures=failures), instance(status)).outcome is outcome


def test_what_is_seen_changes_with_the_status_alone():
    seen = [
        judge(status_wait("Running"), instance(status, RequestId=f"R{n}")).last_status for n, status in enumerate("AAB")
    ]

    assert seen[0] == seen[1] != seen[2]


def test_a_failure_gives_its_reason_as_far_as_the_service_did():
    broken = instance("Failed", ReasonCode="InternalError", ReasonMessage="no stock", RequestId="R-1")

    assert judge(status_wait("Running"), broken).reason == (
        "ReasonCode: InternalError, ReasonMessage: no stock, RequestId: R-1"
    )
    assert judge(status_wait("Running"), instance("Failed", ReasonCode="", ReasonMessage=None)).reason == ""


def test_what_is_found_is_the_whole_instance():
    answer = instance("Running", Hostname="new", Priority=1)

    assert judge(status_wait("Running"), answer).payload == answer


# Snapshots

LONG_AGO = "2021-01-12T14:36:01Z"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("Committing", PENDING),
        ("Pushing", PENDING),
        ("Saved", SUCCESS),
        ("Failed", FAILURE),
        ("Queued", PENDING),
        (None, PENDING),
        (["Saved"], PENDING),
    ],
)
def test_a_snapshot_is_awaited_until_it_is_saved_or_failed(status, outcome):
    assert judge(snapshot_wait(), instance(latest=snapshot(status))).outcome is outcome
    assert judge(snapshot_wait(snapshot_id="snp-1"), instance(), snapshot(status)).outcome is outcome


@pytest.mark.parametrize(
    "answer",
    [
        instance(latest=None),
        instance(latest={}),
        instance(latest="Saved", listed=["Saved", None, {}]),
        {"InstanceId": ID, "Status": "Running"},
        {"InstanceId": ID, "Status": "Running", "LatestSnapshot": None, "InstanceSnapshotList": None},
    ],
)
def test_without_a_snapshot_the_wait_goes_on(answer):
    assert judge(snapshot_wait(), answer).outcome is PENDING


@pytest.mark.parametrize("which", [{}, {"snapshot_image": "image-1"}])
def test_an_old_snapshot_will_do_where_its_age_is_not_asked_for(which):
    assert judge(snapshot_wait(**which), instance(latest=snapshot(created=LONG_AGO))).outcome is SUCCESS


@pytest.mark.parametrize("image", ["image-1", "image-1-name", "registry/image-1:1"])
def test_an_image_is_known_by_its_id_its_name_or_its_url(image):
    mine, other = snapshot(image="image-1"), snapshot(image="image-2", created="2026-01-31T13:00:00Z")
    verdict = judge(snapshot_wait(snapshot_image=image), instance(latest=other, listed=[mine, other]))

    assert verdict.outcome is SUCCESS
    assert verdict.payload["ImageId"] == "image-1"


@pytest.mark.parametrize("image", ["image", "image-10", "Image-1", "registry/image-1"])
def test_a_part_of_an_image_s_name_is_another_image(image):
    assert judge(snapshot_wait(snapshot_image=image), instance(latest=snapshot())).outcome is PENDING


CHINA = timezone(timedelta(hours=8))


@pytest.mark.parametrize(
    ("after", "created", "outcome"),
    [
        (NOON, "2026-01-31T11:59:59Z", PENDING),
        (NOON, "2026-01-31T12:00:00Z", SUCCESS),
        (NOON, "2026-01-31T12:00:01Z", SUCCESS),
        # The service cuts to whole seconds: a push later in the same second is not older.
        (NOON + timedelta(milliseconds=900), "2026-01-31T12:00:00Z", SUCCESS),
        (NOON.astimezone(CHINA), "2026-01-31T12:00:00Z", SUCCESS),
        (NOON.replace(tzinfo=CHINA), "2026-01-31T04:00:00Z", SUCCESS),
        (NOON.replace(tzinfo=CHINA), "2026-01-31T03:59:59Z", PENDING),
        (NOON, "2026-01-31T20:00:00+08:00", SUCCESS),
        (NOON, "2026-01-31T19:59:59+08:00", PENDING),
        (NOON, "2026-01-31T12:00:00", SUCCESS),  # the service speaks UTC
        (NOON, "2026-01-31T11:59:59", PENDING),
        # What can't be read is never taken for new.
        (NOON, "yesterday", PENDING),
        (NOON, "", PENDING),
        (NOON, None, PENDING),
        (NOON, 1769860800, PENDING),
        (NOON, float("nan"), PENDING),
        (NOON, "1769860800", PENDING),
        (NOON, ["2026-01-31T12:00:00Z"], PENDING),
        (NOON.astimezone(CHINA), "yesterday", PENDING),
        # Times that no clock shows, some of which are out of range once they are in UTC.
        (NOON, "9999-12-31T23:59:59-14:00", PENDING),
        (NOON, "9999-12-31T23:59:59Z", PENDING),
        (NOON, "0001-01-01T00:00:00+14:00", PENDING),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))), "2026-01-31T12:00:00Z", PENDING),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), "2026-01-31T12:00:00Z", SUCCESS),
    ],
)
def test_a_snapshot_from_before_is_not_the_awaited_one(after, created, outcome):
    wait = snapshot_wait(snapshot_created_after=after)

    assert judge(wait, instance(latest=snapshot(created=created))).outcome is outcome
    assert judge(wait, instance(listed=[snapshot(created=created)])).outcome is outcome


@pytest.mark.parametrize(
    ("latest", "seen"),
    [
        (None, "no such snapshot yet"),
        (snapshot("Saved", "2026-01-31T11:59:57Z"), "no such snapshot yet, the newest is 3 s too old"),
        (snapshot("Pushing", "2026-01-31T11:59:57Z"), "no such snapshot yet, the newest is 3 s too old"),
        (snapshot("Saved", "2026-01-31T11:59:59Z", image="image-2"), "no such snapshot yet"),
        (snapshot("Saved", "yesterday"), "no such snapshot yet"),
        (snapshot("Saved", "9999-12-31T23:59:59-14:00"), "no such snapshot yet"),
    ],
)
def test_a_snapshot_that_is_too_old_is_said_to_be_because_clocks_differ(latest, seen):
    wait = snapshot_wait(snapshot_created_after=NOON + timedelta(milliseconds=300), snapshot_image="image-1")
    older = snapshot("Saved", "2026-01-31T10:00:00Z")

    assert judge(wait, instance(latest=latest, listed=[latest, older] if "newest" in seen else [])).last_status == seen


def test_a_failed_snapshot_from_before_does_not_end_the_wait_either():
    old = instance(latest=snapshot("Failed", created=LONG_AGO))

    assert judge(snapshot_wait(snapshot_created_after=NOON), old).outcome is PENDING
    assert judge(snapshot_wait(), old).outcome is FAILURE


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("which", [{}, {"snapshot_image": "image-1"}, {"snapshot_created_after": NOON}])
def test_the_newest_of_those_that_match_decides(order, which):
    snapshots = [
        snapshot("Saved", "2026-01-31T12:00:01Z"),
        snapshot("Failed", "2026-01-31T12:00:02Z"),
        snapshot("Pushing", "2026-01-31T12:00:03Z"),
    ]
    listed = [snapshots[number] for number in order]

    assert judge(snapshot_wait(**which), instance(latest=listed[0], listed=listed)).payload["Status"] == "Pushing"


def test_of_two_from_the_same_second_the_latest_snapshot_decides():
    answer = instance(latest=snapshot("Pushing", image="image-2"), listed=[snapshot("Saved"), snapshot("Failed")])

    assert judge(snapshot_wait(), answer).outcome is PENDING


def test_a_snapshot_that_is_found_carries_its_instance_and_is_otherwise_as_sent():
    sent = snapshot(RepositoryUrl="https://cr", New=[1])
    answer = instance(latest=sent, RequestId="R-1")

    assert judge(snapshot_wait(), answer).payload == {**sent, "InstanceId": ID}
    assert "InstanceId" not in sent


def test_a_failed_snapshot_gives_its_own_reason_and_the_request():
    sent = snapshot("Failed", ReasonCode="PushFailed", ReasonMessage="no right to push")
    answer = instance(latest=sent, RequestId="R-1", ReasonCode="of the instance", ReasonMessage="of the instance")

    assert judge(snapshot_wait(), answer).reason == (
        "ReasonCode: PushFailed, ReasonMessage: no right to push, RequestId: R-1"
    )


@pytest.mark.parametrize("status", ["Failed", "Deleting", "SaveFailed"])
@pytest.mark.parametrize("which", [{}, {"snapshot_image": "image-1"}, {"snapshot_id": "snp-1"}])
def test_a_broken_instance_ends_the_wait_for_its_snapshot(status, which):
    pushing = snapshot("Pushing")
    verdict = judge(snapshot_wait(**which), instance(status, latest=pushing, ReasonCode="Boom"), pushing)

    assert verdict.outcome is FAILURE
    assert verdict.last_status == status
    assert verdict.reason == "ReasonCode: Boom"


@pytest.mark.parametrize("status", ["Failed", "Deleting", "SaveFailed", "Stopped"])
def test_a_snapshot_that_is_saved_counts_whatever_became_of_the_instance(status):
    assert judge(snapshot_wait(), instance(status, latest=snapshot())).outcome is SUCCESS


@pytest.mark.parametrize("status", ["Saving", "Saved", "Running", "Stopping", "Stopped", "Arrearge", "Hibernating"])
def test_what_else_becomes_of_the_instance_leaves_the_snapshot_time(status):
    assert judge(snapshot_wait(), instance(status, latest=snapshot("Pushing"))).outcome is PENDING


@pytest.mark.parametrize(
    ("failures", "status", "outcome"), [(("Stopped",), "Stopped", FAILURE), ((), "Failed", PENDING)]
)
def test_failure_statuses_hold_while_a_snapshot_is_awaited(failures, status, outcome):
    wait = snapshot_wait(failure_statuses=failures)

    assert judge(wait, instance(status, latest=snapshot("Pushing"))).outcome is outcome


def test_a_snapshot_that_is_named_by_its_id_is_the_only_one_that_counts():
    saved = instance(latest=snapshot("Saved"), listed=[snapshot("Saved")])
    wait = snapshot_wait(snapshot_id="snp-1")

    assert judge(wait, saved, snapshot("Pushing")).outcome is PENDING
    assert judge(wait, saved, None).outcome is PENDING


def test_a_decided_snapshot_needs_no_look_at_the_instance():
    wait = snapshot_wait(snapshot_id="snp-1")

    assert judge(wait, None, snapshot("Saved")).outcome is SUCCESS
    assert judge(wait, None, snapshot("Failed")).outcome is FAILURE
    assert judge(wait, None, snapshot("Pushing")).outcome is PENDING


# What a DAG author writes


# At least one of each kind, and the words that name what it waits for.
CONDITIONS = [
    (status_wait("Running", "Stopped"), ["dsw-abc", "Running or Stopped"]),
    (snapshot_wait(), ["dsw-abc", "latest snapshot", "Saved"]),
    (snapshot_wait(snapshot_id="snp-1"), ["dsw-abc", "snp-1"]),
    (snapshot_wait(snapshot_image="image-1", snapshot_created_after=NOON), ["image-1", "2026-01-31T12:00:00+00:00"]),
    (ExpressionCondition(ID, until="Priority > `1`"), ["dsw-abc", "Priority > `1`"]),
    (ExpressionCondition(ID, until="abs(Priority) > `1`"), ["dsw-abc", "abs(Priority) > `1`"]),
]


@pytest.mark.parametrize(("wait", "words"), CONDITIONS)
def test_a_wait_says_what_it_waits_for(wait, words):
    assert all(word in str(wait) for word in words)


@pytest.mark.parametrize("condition", [condition for condition, _ in CONDITIONS])
def test_what_changes_is_not_hidden_as_no_evidence(condition):
    """Neither the log nor a timeout shows a verdict without evidence and remark."""
    verdicts = [judge(condition, instance(status)) for status in ("Queuing", "Starting")]

    hidden = {verdict.last_status for verdict in verdicts if not (verdict.has_evidence or verdict.remark)}
    assert len(hidden) < 2, f"evaluate() of {type(condition).__name__}: a verdict without has_evidence needs a remark"


# Problems


@pytest.mark.parametrize("condition", [condition for condition, _ in CONDITIONS])
@pytest.mark.parametrize(
    ("problem", "outcome"),
    [
        (Problem.NOT_FOUND, FAILURE),
        (Problem.DENIED, FAILURE),
        (Problem.REFUSED, FAILURE),
        (Problem.TRANSIENT, PENDING),
    ],
)
def test_a_poll_without_an_answer_means_one_thing_too(condition, problem, outcome):
    assert evaluate(Wait(condition), problem).outcome is outcome


@pytest.mark.parametrize("condition", [condition for condition, _ in CONDITIONS])
def test_a_condition_says_which_arguments_mean_it(condition):
    assert type(condition)(**condition.arguments()) == condition
    assert next(kind for kind in KINDS if set(kind.chosen_by) & set(condition.arguments())) is type(condition)
