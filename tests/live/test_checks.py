"""What contradicts a part of an assumption, where the service of the other tests contradicts another part of it."""

from __future__ import annotations

import pytest

from airflow_provider_dsw.exceptions import DswAccessDeniedError, DswRequestError
from tests.live.checks import OWN_LABEL, Answer, answer_to
from tests.live.observations import Attempt, Deletion, Labels, Look, Observations, Operation, Timers

ACCEPTED, REFUSED = Attempt(), Attempt(DswRequestError("no", code="ValidationError", status_code=400))
DENIED = Attempt(DswAccessDeniedError("no", code="NoPermission", status_code=403))
TWINS = {"InstanceId": "dsw-1", "InstanceSnapshotList": [{"ImageId": "image-1"}, {"ImageId": "image-1"}]}


def looks(*statuses: str, modified: str = "2026-01-01T00:00:{:02}Z") -> list[Look]:
    """One look a minute, at an instance that changes with each."""
    return [
        Look(60 * number, {"Status": status, "GmtModifiedTime": modified.format(number)})
        for number, status in enumerate(statuses, 1)
    ]


def seen(action: str, before: str, *statuses: str, **more: object) -> Observations:
    at_first = [Look(0, {"Status": before, "GmtModifiedTime": "2026-01-01T00:00:00Z"})]
    found = looks(*statuses)
    return Observations(operations=[Operation(action, "dsw-1", at_first, found, **more)])  # type: ignore[arg-type]


def timers(**attempts: Attempt) -> Observations:
    return Observations(timers=[Timers(**{"on_the_way": REFUSED, **attempts})])  # type: ignore[arg-type]


def deletion(status: str, attempt: Attempt, *statuses: str) -> Observations:
    operation = Operation("DeleteInstance", "dsw-1", looks("Stopped"), looks(*statuses)) if statuses else None
    return Observations(deletion=Deletion([(status, attempt)], operation))


@pytest.mark.parametrize(
    ("name", "observations", "words"),
    [
        ("second-request", seen("StopInstance", "Running", "Stopping", repeated=ACCEPTED), "a second StopInstance"),
        ("passing-statuses", seen("StopInstance", "Running", "Stopping", "Stopping"), "Stopping does not end"),
        ("shown-in-time", seen("StartInstance", "Stopped", *3 * ["Stopped"]), "not shown by 3 looks"),
        ("statuses-on-the-way", seen("StopInstance", "Running", "Updating", "Stopped"), "Updating"),
        ("after-a-save", seen("StopInstance with SaveImage", "Running", "Saving", "SaveFailed"), "nothing"),
        ("deletion", deletion("Stopped", REFUSED), "in Stopped was refused"),
        ("deletion", deletion("Running", ACCEPTED, "Deleting", "Deleting"), "not gone"),
        ("shutdown-timer", timers(running=REFUSED), "on Running a timer is refused"),
        ("shutdown-timer", timers(second=REFUSED, after_deletion=REFUSED), "after the first was deleted"),
        ("labels", Observations(labels=Labels(not_listed=["dsw-1"])), "dsw-1 is not among all"),
        ("labels", Observations(labels=Labels([(OWN_LABEL, 2, 0)])), "2 are listed"),
        ("not-found", Observations(missing=DENIED), "counts as denied"),
        ("snapshot-identity", Observations(instances=[TWINS]), "two snapshots have one identity"),
        ("new-instances", Observations(operations=[Operation("CreateInstance", "x", (), [Look(0, {})])]), "none of 1"),
    ],
)
def test_a_part_that_is_contradicted_is_enough(name: str, observations: Observations, words: str) -> None:
    answer, said = answer_to(name, observations)

    assert answer is Answer.DOES_NOT_HOLD
    assert words in said


def test_a_new_status_with_an_older_time_contradicts_that_the_time_never_goes_back() -> None:
    observations = seen("StartInstance", "Stopped", "Creating", "Starting")
    observations.operations[0].looks += looks("Running", modified="2026-01-01T00:00:01Z")

    answer, words = answer_to("old-state", observations)

    assert (answer, words) == (
        Answer.DOES_NOT_HOLD,
        "StartInstance: Running has an older GmtModifiedTime than the status before it",
    )


@pytest.mark.parametrize("later", ["Running", "Stopped"])
def test_a_state_within_one_second_contradicts_nothing(later: str) -> None:
    at_first = looks("Stopped", modified="2026-01-01T00:00:00Z")
    quick = [look._replace(at=60.1) for look in looks("Creating", later, modified="2026-01-01T00:00:00Z")]
    observations = Observations(operations=[Operation("StartInstance", "dsw-1", at_first, quick)])

    assert answer_to("old-state", observations).answer is not Answer.DOES_NOT_HOLD
    assert answer_to("replicas", observations).answer is Answer.NOT_SEEN
