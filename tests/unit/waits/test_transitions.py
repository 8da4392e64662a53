"""What a watcher takes for a change: no service, no Airflow."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import (
    ExpressionCondition,
    SnapshotCondition,
    StatusCondition,
    WaitCondition,
)
from airflow_provider_dsw.waits.transitions import detect_transitions as detect_in

ID = "dsw-abc"
RUNNING = StatusCondition(ID)
SNAPSHOT = SnapshotCondition(ID)
NO_EVIDENCE = [{}, {"Status": None}, {"Status": ""}, {"Status": 7}, {"Status": ["Stopped"]}]


def instance(status: Any = "Running", **more: Any) -> dict[str, Any]:
    return {"InstanceId": ID, "Status": status, "LatestSnapshot": None, "InstanceSnapshotList": [], **more}


def snapshot(
    image: str = "image-1", status: Any = "Saved", created: Any = "12:00", finished: Any = None
) -> dict[str, Any]:
    """A snapshot as GetInstance shows it, with times of one day; one that was created and finished at one time."""
    return {
        "ImageId": image,
        "ImageUrl": f"registry/{image}:1",
        "GmtCreateTime": f"2026-01-31T{created}:00Z",
        "GmtModifiedTime": f"2026-01-31T{finished or created}:00Z",
        "Status": status,
    }


def showing(*snapshots: Any, **more: Any) -> dict[str, Any]:
    """The last one is the latest."""
    return instance(LatestSnapshot=snapshots[-1] if snapshots else None, InstanceSnapshotList=list(snapshots), **more)


def detect_transitions(condition: WaitCondition, answer: dict[str, Any], last_seen: Any) -> tuple[Any, list[Any]]:
    return detect_in(condition, PollResult(answer), last_seen)


def looks(condition: WaitCondition, *answers: dict[str, Any], last_seen: Any = None) -> list[Any]:
    """The number of each answer that is a change, and with it the image, if it is one of a snapshot."""
    found: list[Any] = []
    for number, answer in enumerate(answers):
        last_seen, changes = detect_transitions(condition, answer, last_seen)
        # As Airflow's store keeps it, for whoever looks next.
        last_seen = json.loads(json.dumps(last_seen))
        found += [(number, each.payload["ImageId"]) if condition.returns_snapshot else number for each in changes]
    return found


@pytest.mark.parametrize(
    ("statuses", "changes"),
    [
        (["Running", "Running"], []),  # it was so already
        (["Stopped", "Running", "Running"], [1]),
        (["Starting", "Running", "Stopping", "Running"], [1, 3]),
        (["Running", "Stopped", "Running"], [2]),
        (["Stopped", "Failed"], []),
        (["Stopped", "A status of tomorrow", "Running"], [2]),
    ],
)
def test_a_change_is_that_an_instance_enters_the_status(statuses: list[str], changes: list[int]) -> None:
    assert looks(RUNNING, *map(instance, statuses)) == changes


def test_of_several_statuses_each_is_a_change() -> None:
    wait = StatusCondition(ID, target_status=("Running", "Stopped"))

    assert looks(wait, *map(instance, ["Running", "Stopping", "Stopped", "Running"])) == [2, 3]


def test_what_was_remembered_spares_a_restarted_watcher_a_second_event() -> None:
    last, _ = detect_transitions(RUNNING, instance("Running"), None)

    assert looks(RUNNING, instance("Running"), last_seen=last) == []
    assert looks(RUNNING, instance("Stopped"), instance("Running"), last_seen=last) == [1]


@pytest.mark.parametrize("nothing", NO_EVIDENCE)
def test_an_answer_without_a_status_changes_nothing(nothing: dict[str, Any]) -> None:
    assert looks(RUNNING, instance("Running"), nothing, instance("Running")) == []
    assert looks(RUNNING, nothing, instance("Running")) == []
    assert looks(RUNNING, instance("Starting"), nothing, instance("Running")) == [2]


def test_a_replica_that_is_behind_changes_nothing() -> None:
    starting, running = (
        instance(s, GmtModifiedTime=f"2026-01-31T12:0{n}:00Z") for n, s in enumerate(["Starting", "Running"])
    )
    stopped = instance("Stopped", GmtModifiedTime="2026-01-31T12:02:00Z")

    assert looks(RUNNING, starting, running, starting, running) == [1]
    assert looks(RUNNING, running, stopped, running, stopped) == []


@pytest.mark.parametrize(
    "time", [None, "", "yesterday", 1769860800, "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"]
)
def test_a_time_that_can_t_be_read_makes_no_status_older(time: Any) -> None:
    running = instance("Running", GmtModifiedTime="2026-01-31T12:00:00Z")

    assert looks(RUNNING, instance("Starting", GmtModifiedTime=time), running) == [1]
    assert looks(RUNNING, running, instance("Stopped", GmtModifiedTime=time), running) == [2]


def test_a_status_of_any_length_is_remembered_in_a_few_bytes() -> None:
    last, _ = detect_transitions(RUNNING, instance("x" * 1_000_000), None)

    assert len(json.dumps(last)) < 1_000


OLD, NEW, NEWEST = (snapshot(f"image-{hour}", created=f"{hour}:00") for hour in (11, 12, 13))
PUSHING = {**NEW, "Status": "Pushing"}
FAILED = {**NEW, "Status": "Failed"}
WITHOUT = {**NEW, "Status": None}


@pytest.mark.parametrize(
    ("steps", "changes"),
    [
        ([[OLD], [OLD]], []),  # it was so already
        ([[], [OLD]], [(1, "image-11")]),
        ([[OLD], [OLD, PUSHING], [OLD, NEW], [OLD, NEW]], [(2, "image-12")]),
        ([[OLD], [NEW], [NEWEST]], [(1, "image-12"), (2, "image-13")]),
        ([[OLD], [OLD, NEW, NEWEST], [OLD, NEW, NEWEST]], [(1, "image-12"), (1, "image-13")]),  # after a long pause
        ([[OLD], [OLD, FAILED]], []),
        ([[OLD], [OLD, FAILED], [OLD, FAILED, NEWEST]], [(2, "image-13")]),
    ],
)
def test_a_change_is_that_a_new_snapshot_is_saved(steps: list[list[Any]], changes: list[Any]) -> None:
    assert looks(SNAPSHOT, *(showing(*step) for step in steps)) == changes


@pytest.mark.parametrize(
    ("steps", "changes"),
    [
        ([[NEW], [OLD], [NEW]], []),  # the newest is deleted, and an old one comes to the front
        ([[OLD, NEW], [OLD], [OLD, NEW]], []),  # a list that flaps
        ([[OLD, NEW], [], [OLD, NEW]], []),
        ([[OLD, NEW], [NEW, OLD]], []),
        ([[OLD, PUSHING], [OLD, NEW], [OLD, PUSHING], [OLD, NEW]], [(1, "image-12")]),  # a replica that is behind
    ],
)
def test_a_snapshot_that_comes_to_the_front_again_is_no_change(steps: list[list[Any]], changes: list[Any]) -> None:
    assert looks(SNAPSHOT, *(showing(*step) for step in steps)) == changes


def test_two_snapshots_of_one_second_are_two_changes() -> None:
    one, two = snapshot("image-1"), snapshot("image-2")

    assert sorted(looks(SNAPSHOT, showing(), showing(one, two))) == [(1, "image-1"), (1, "image-2")]
    assert looks(SNAPSHOT, showing(), showing(one), showing(one, two)) == [(1, "image-1"), (2, "image-2")]
    assert looks(SNAPSHOT, showing(one), showing(one, two)) == [(1, "image-2")]


@pytest.mark.parametrize("finished", ["13:00", None], ids=["it says when", "it does not"])
def test_an_older_snapshot_that_is_finished_later_is_a_change(finished: str | None) -> None:
    older, newer = snapshot("image-1", created="11:00", finished=finished), snapshot("image-2", finished="12:30")
    pushing, pushing_too = {**older, "Status": "Pushing"}, {**newer, "Status": "Committing"}
    polls = [showing(pushing, pushing_too), showing(pushing, newer), showing(older, newer), showing(older, newer)]

    assert looks(SNAPSHOT, *polls) == [(1, "image-2"), (2, "image-1")]
    if finished:  # also if it was never seen unfinished
        assert looks(SNAPSHOT, showing(newer), showing(older, newer)) == [(1, "image-1")]


def test_a_snapshot_that_gets_its_image_only_when_it_is_finished_is_one_that_was_seen_unfinished() -> None:
    older = snapshot("image-1", created="11:00")
    pushing = {name: value for name, value in older.items() if name != "ImageId"} | {"Status": "Pushing"}

    assert looks(SNAPSHOT, showing(pushing, NEW), showing(older, NEW)) == [(1, "image-1")]


@pytest.mark.parametrize(
    "differs",
    [
        {},
        {"GmtCreateTime": "2026-01-31T20:00:00.000+08:00"},
        {"ImageId": None},
        {"ImageUrl": "registry-vpc/image-12:1"},
        {"Status": "Pushing"},
        {"Status": None},
        {"ImageId": "", "ImageUrl": ""},
    ],
)
def test_the_latest_snapshot_and_its_twin_in_the_list_are_one(differs: dict[str, Any]) -> None:
    there = instance(LatestSnapshot=NEW, InstanceSnapshotList=[OLD, {**NEW, **differs}])
    reversed_ = instance(LatestSnapshot={**NEW, **differs}, InstanceSnapshotList=[OLD, NEW])

    assert looks(SNAPSHOT, showing(OLD), there, reversed_, there) == [(1, "image-12")]
    assert looks(SNAPSHOT, there, reversed_) == []


def test_an_image_that_is_pushed_again_to_the_same_place_is_a_change() -> None:
    assert looks(SNAPSHOT, showing(OLD), showing({**OLD, "GmtCreateTime": NEW["GmtCreateTime"]})) == [(1, "image-11")]


@pytest.mark.parametrize(
    "nothing",
    [
        {"InstanceId": ID, "Status": "Running"},
        instance(InstanceSnapshotList=None),
        instance(InstanceSnapshotList={}, LatestSnapshot="Saved"),
        instance(InstanceSnapshotList=[None, "Saved", {}]),
        showing(OLD, WITHOUT),
    ],
)
def test_an_answer_without_evidence_of_a_snapshot_changes_nothing(nothing: dict[str, Any]) -> None:
    assert looks(SNAPSHOT, showing(OLD, NEW), nothing, showing(OLD, NEW)) == []
    assert looks(SNAPSHOT, showing(OLD, PUSHING), nothing, showing(OLD, NEW)) == [(2, "image-12")]


@pytest.mark.parametrize("nothing", [instance(InstanceSnapshotList=None), showing(OLD, WITHOUT)])
def test_what_may_have_been_finished_at_the_first_look_is_no_change(nothing: dict[str, Any]) -> None:
    assert looks(SNAPSHOT, nothing, showing(OLD, NEW)) == []


@pytest.mark.parametrize(
    "time", [None, "", "yesterday", 1769860800, "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"]
)
@pytest.mark.parametrize("name", ["GmtCreateTime", "GmtModifiedTime"])
def test_a_time_that_can_t_be_read_neither_breaks_a_watcher_nor_deafens_it(name: str, time: Any) -> None:
    odd = {**OLD, name: time}
    unfinished = {**odd, "Status": "Pushing"}

    assert looks(SNAPSHOT, showing(odd), showing(odd, NEW)) == [(1, "image-12")]
    assert looks(SNAPSHOT, showing(unfinished, NEW), showing(odd, NEW)) == [(1, "image-11")]


def test_only_the_image_that_is_named_counts() -> None:
    wait = SnapshotCondition(ID, snapshot_image="image-13")

    assert looks(wait, showing(OLD), showing(OLD, NEW), showing(OLD, NEW, NEWEST)) == [(2, "image-13")]


def test_memory_is_bounded_and_what_was_forgotten_is_no_change() -> None:
    many = [snapshot("image-" + f"{number}" * 1_000, created="12:00") for number in range(500)]
    on_their_way = [
        {**each, "ImageId": "", "ImageUrl": f"{n}" * 1_000, "Status": "Pushing"} for n, each in enumerate(many)
    ]

    last, _ = detect_transitions(SNAPSHOT, showing(*many, *on_their_way), None)
    assert len(json.dumps(last)) < 25_000
    assert looks(SNAPSHOT, showing(*many), showing(*reversed(many)), showing(*many, NEWEST)) == [(2, "image-13")]
    assert detect_transitions(SNAPSHOT, showing(*many), last) == (last, [])


def test_a_look_at_thousands_of_snapshots_holds_up_nobody() -> None:
    many = [snapshot(f"image-{number}", "Pushing" if number % 2 else "Saved") for number in range(3_000)]
    last, _ = detect_transitions(SNAPSHOT, showing(*many), None)

    began = time.thread_time()
    detect_transitions(SNAPSHOT, showing(*many), last)
    assert time.thread_time() - began < 1  # of 9 million comparisons of each with each


# Expressions

IDLE = ExpressionCondition(ID, until="IdleInstanceCuller.IdleTimeInMinutes >= `30`")


def idle(minutes: Any, status: Any = "Running", **more: Any) -> dict[str, Any]:
    return instance(status, IdleInstanceCuller={"IdleTimeInMinutes": minutes}, **more)


@pytest.mark.parametrize(
    ("answers", "changes"),
    [
        ([idle(40), idle(50)], []),  # it was so already
        ([idle(10), idle(30), idle(40)], [1]),
        ([idle(10), idle(30), idle(0), idle(30)], [1, 3]),
        ([idle(10), instance(), idle(30)], [2]),
        # What can't be evaluated, or has no status, says nothing.
        ([idle(30), idle("many"), idle(30)], []),
        ([idle(30), idle(0, status=None), idle(30)], []),
        # A replica that is behind.
        (
            [
                idle(0, GmtModifiedTime="2026-01-31T12:00:00Z"),
                idle(30, GmtModifiedTime="2026-01-31T13:00:00Z"),
                idle(0, GmtModifiedTime="2026-01-31T12:00:00Z"),
                idle(30, GmtModifiedTime="2026-01-31T13:00:00Z"),
            ],
            [1],
        ),
    ],
)
def test_a_change_is_that_an_expression_becomes_true(answers: list[dict[str, Any]], changes: list[int]) -> None:
    assert looks(IDLE, *answers) == changes


# Of each argument that can be watched for, a condition, answers in turn that do not satisfy it, and one that does. An
# argument that narrows a wait needs among the former a change that would satisfy the wait without it.
ENTERED: dict[str, tuple[WaitCondition, list[dict[str, Any]], dict[str, Any]]] = {
    "target_status": (
        StatusCondition(ID, target_status=("Saved",)),
        [instance("Stopped"), instance("Running")],
        instance("Saved"),
    ),
    "wait_for_snapshot": (SNAPSHOT, [showing(OLD)], showing(OLD, NEW)),
    "snapshot_image": (
        SnapshotCondition(ID, snapshot_image="image-13"),
        [showing(OLD), showing(OLD, NEW)],
        showing(OLD, NEW, NEWEST),
    ),
    "until": (IDLE, [idle(10)], idle(30)),
}


@pytest.mark.parametrize("argument", ENTERED)
def test_what_is_true_at_the_first_look_is_no_change_and_what_becomes_true_is_one(argument: str) -> None:
    condition, before, after = ENTERED[argument]

    assert looks(condition, after, after) == []
    assert looks(condition, *before) == [], f"What {argument} leaves out is a change"
    assert len(looks(condition, *before, before[-1], after, after)) == 1


def each_with_an_odd_field(answer: Any) -> Iterator[Any]:
    """The answer, each of its fields in turn of a type that it should not have, however deep it lies."""
    yield from ("31", "", 7, -1, 10**400, True, None, [31], {"a": 1})
    if isinstance(answer, dict):
        yield from ({**answer, name: odd} for name in answer for odd in each_with_an_odd_field(answer[name]))
    elif isinstance(answer, list):
        for at, item in enumerate(answer):
            yield from ([*answer[:at], odd, *answer[at + 1 :]] for odd in each_with_an_odd_field(item))


@pytest.mark.parametrize("argument", ENTERED)
def test_a_field_may_be_of_any_type(argument: str) -> None:
    condition, before, after = ENTERED[argument]

    for answer in each_with_an_odd_field(after):
        if isinstance(answer, dict):
            try:
                looks(condition, before[0], answer)
            except Exception as error:
                pytest.fail(f"{type(condition).__name__}.evaluate() fails on {answer}: {error!r}")


@pytest.mark.parametrize("argument", ENTERED)
def test_an_answer_without_evidence_is_no_look(argument: str) -> None:
    condition, before, after = ENTERED[argument]
    nothing = {"InstanceId": ID}

    assert looks(condition, after, nothing, after) == []
    assert looks(condition, nothing, after) == []
    assert len(looks(condition, before[0], nothing, after)) == 1
