"""The arguments of a wait: what a DAG author may write, and that each gets from the declaration to everywhere."""

import inspect
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.base import DswBaseTrigger
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger, DswInstanceTrigger
from airflow_provider_dsw.version_compat import STARTS_FROM_TRIGGER
from airflow_provider_dsw.wait_arguments import ARGUMENTS, as_json
from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import (
    KINDS,
    Outcome,
    SnapshotByIdCondition,
    SnapshotCondition,
    StatusCondition,
)
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES
from tests.support.modes import ID, in_triggerer
from tests.unit import test_every_argument

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
# A value of each argument that means something beside the instance alone.
SAMPLES: dict[str, Any] = {
    "instance_id": "dsw-other",
    "target_status": ["Stopped", "Saved"],
    "wait_for_snapshot": True,
    "snapshot_id": "snp-1",
    "snapshot_image": "model:1",
    "snapshot_created_after": "2026-01-31T20:00:00+08:00",
    "until": "AcceleratorType == 'GPU'",
    "failure_statuses": ["Stopped"],
}
# A second value of each argument that a watcher takes: its words are compared with those of the first.
OTHER_SAMPLES: dict[str, Any] = {
    "instance_id": "dsw-third",
    "target_status": ["Stopped", "Failed"],
    "wait_for_snapshot": False,
    "snapshot_image": "model:2",
    "until": "AcceleratorType == 'CPU'",
}
NAMES = [argument.name for argument in ARGUMENTS]
WATCHABLE = [argument.name for argument in ARGUMENTS if argument.watchable]
TEMPLATED = [argument.name for argument in ARGUMENTS if argument.templated]


def sensor(**arguments):
    return DswInstanceSensor(**{"task_id": "wait", "instance_id": ID, **arguments})


def of(instance_id, target_status=..., **arguments):
    given = {} if target_status is ... else {"target_status": target_status}
    return sensor(instance_id=instance_id, **given, **arguments).condition()


def meant(name):
    """What an argument's sample means."""
    return of(**{"instance_id": ID, name: SAMPLES[name]})


def first(name):
    sample = SAMPLES[name]
    if isinstance(sample, dict):
        return next(iter(sample.values()))
    return sample[0] if isinstance(sample, list) else sample


def template(name):
    sample = SAMPLES[name]
    if isinstance(sample, dict):
        return {**sample, next(iter(sample)): "{{ params.x }}"}
    return ["{{ params.x }}", *sample[1:]] if isinstance(sample, list) else "{{ params.x }}"


def padded(sample):
    if isinstance(sample, dict):
        return {name: f" {each}\n" for name, each in sample.items()}
    return [f" {each}\n" for each in sample] if isinstance(sample, list) else f" {sample}\n"


# From the declaration to everywhere


def test_each_argument_has_a_sample_that_means_something():
    assert set(NAMES) == set(SAMPLES)
    assert all(meant(name) != of(ID) for name in NAMES)
    assert set(WATCHABLE) == set(OTHER_SAMPLES)


@pytest.mark.parametrize("name", WATCHABLE)
def test_waits_that_differ_in_the_value_of_what_a_watcher_takes_differ_in_words(name):
    """A watcher's memory is kept under these words."""
    one, other = meant(name), of(**{"instance_id": ID, name: OTHER_SAMPLES[name]})

    assert one != other
    assert str(one) != str(other)


@pytest.mark.parametrize("kind", KINDS)
def test_waits_of_each_kind_for_two_instances_differ_in_words(kind):
    named = {name: SAMPLES[name] for name in kind.chosen_by[:1]}
    one, other = of(ID, **named), of("dsw-other", **named)

    assert isinstance(one, kind)
    assert str(one) != str(other)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_wait_ends_at_a_failure_status(kind):
    named = {name: SAMPLES[name] for name in kind.chosen_by[:1]}
    failed = PollResult({"InstanceId": ID, "Status": "Failed"}, {"Status": "Failed"})
    stopped = PollResult({"InstanceId": ID, "Status": "Stopping"}, {"Status": "Committing"})

    assert of(ID, **named).evaluate(failed).outcome is Outcome.FAILURE
    chosen = of(ID, **named, failure_statuses=["Stopping"])
    assert isinstance(chosen, kind)
    assert chosen.evaluate(stopped).outcome is Outcome.FAILURE


@pytest.mark.parametrize("name", [name for name in SnapshotCondition.chosen_by if name != "wait_for_snapshot"])
def test_a_snapshot_that_does_not_show_what_decides_is_not_the_one(name):
    """A time that can't be read counts as older than any other."""
    assert meant(name).matching({"LatestSnapshot": {"Status": "Saved"}}) == []


@pytest.mark.parametrize("argument", ARGUMENTS, ids=NAMES)
def test_each_argument_is_in_each_signature(argument):
    takers = [DswInstanceSensor, DswBaseTrigger, *([DswInstanceEventTrigger] if argument.watchable else [])]
    for taker in takers:
        parameter = inspect.signature(inspect.unwrap(vars(taker)["__init__"])).parameters.get(argument.name)
        assert parameter is not None, f"{taker.__name__} does not take {argument.name}"
        assert parameter.default in (argument.default, inspect.Parameter.empty)


@pytest.mark.parametrize("argument", ARGUMENTS, ids=NAMES)
def test_each_argument_is_templated_as_it_is_declared(argument):
    assert (argument.name in DswInstanceSensor.template_fields) is argument.templated


@pytest.mark.parametrize("name", NAMES)
def test_each_argument_survives_its_way_to_the_triggerer_and_to_another_one(name):
    trigger = sensor(**{name: SAMPLES[name]})._trigger()
    for _ in range(2):
        trigger = DswInstanceTrigger(**json.loads(json.dumps(trigger.serialize()[1])))

    assert trigger.condition() == meant(name)


@pytest.mark.parametrize("name", NAMES)
def test_so_it_does_in_each_form_that_is_taken(name):
    for label in test_every_argument.kind_of("DswInstanceSensor", name).takes:
        given = sensor(**{name: test_every_argument.VALUES[label]()})
        trigger = DswInstanceTrigger(**json.loads(json.dumps(given._trigger().serialize()[1])))

        assert trigger.condition() == given.condition(), label


@pytest.mark.parametrize(
    "label", sorted({label for kind in test_every_argument.KINDS.values() for label in kind.takes})
)
def test_every_form_of_an_argument_gets_plain_types_that_mean_the_same(label):
    """Also of those that no wait takes yet."""
    value = test_every_argument.VALUES[label]()
    plain = json.loads(json.dumps(as_json(value)))

    meant = {"timedelta": 30, "no timedelta": 0, "aware": NOON.isoformat(), "set": ["word"]}
    assert plain == meant.get(label, value)


@pytest.mark.parametrize("name", WATCHABLE)
def test_each_argument_that_can_be_watched_for_survives_too(name):
    trigger = DswInstanceEventTrigger(**{"instance_id": ID, name: SAMPLES[name]})
    again = DswInstanceEventTrigger(**json.loads(json.dumps(trigger.serialize()[1])))

    assert again.condition() == meant(name)
    assert again.serialize() == trigger.serialize()


@pytest.mark.parametrize("name", TEMPLATED)
def test_each_templated_argument_is_rendered_in_a_worker_and_then_survives(name):
    task = sensor(**{name: template(name)})
    task.render_template_fields({"params": {"x": first(name)}})

    assert str(getattr(task, name)) == str(SAMPLES[name])  # a number renders to its text
    assert task.condition() == meant(name)
    assert DswInstanceTrigger(**json.loads(json.dumps(task._trigger().serialize()[1]))).condition() == meant(name)


@pytest.mark.skipif(not STARTS_FROM_TRIGGER, reason="Airflow 3.3 starts tasks in the triggerer")
@pytest.mark.parametrize("name", TEMPLATED)
def test_each_templated_argument_is_rendered_in_the_triggerer_too(name):
    task = sensor(start_from_trigger=True, **{name: template(name)})
    trigger = in_triggerer(task, ti=SimpleNamespace(task=task, task_id="wait"))
    trigger.render_template_fields({"params": {"x": first(name)}}, jinja_env=task.get_template_env())

    assert trigger.condition() == meant(name)


@pytest.mark.parametrize("name", TEMPLATED)
@pytest.mark.parametrize("where", ["worker", "triggerer"])
def test_an_argument_that_is_rendered_to_none_does_not_turn_into_another_wait(name, where):
    task = sensor(**{name: "{{ params.x }}"})
    waits = task if where == "worker" else DswInstanceTrigger(**task._trigger().serialize()[1])
    setattr(waits, name, None)

    with pytest.raises(ValueError, match=f"^{name}: "):
        waits.condition()


# What a DAG author may write


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"target_status": "Running", "wait_for_snapshot": True}, "^Task 'wait': target_status: a wait for a snapshot"),
        ({"target_status": "Running", "snapshot_image": "a"}, "target_status: a wait for a snapshot takes no target"),
        ({"target_status": "{{ params.x }}", "snapshot_id": "b"}, "target_status: a wait for a snapshot by its"),
        ({"wait_for_snapshot": "yes"}, "wait_for_snapshot: 'yes' is neither True nor False"),
        ({"wait_for_snapshot": "{{ params.x }}"}, "neither True nor False"),
    ],
)
def test_what_contradicts_itself_is_refused_where_the_dag_is_parsed(arguments, says):
    with pytest.raises(ValueError, match=says):
        sensor(**arguments)


def test_an_event_trigger_refuses_the_same():
    with pytest.raises(ValueError, match="target_status: a wait for a snapshot takes no target"):
        DswInstanceEventTrigger(instance_id=ID, target_status="Running", snapshot_image="a")


class Status(str, Enum):  # noqa: UP042 - as DAG authors write it
    STOPPED = "Stopped"


@pytest.mark.parametrize("status", [" Stopped\n", Status.STOPPED, [Status.STOPPED], {"Stopped"}, (" Stopped",)])
def test_a_status_is_taken_by_its_value_without_what_surrounds_it(status):
    assert of(ID, status) == StatusCondition(ID, target_status=("Stopped",))
    trigger = DswInstanceEventTrigger(instance_id=ID, target_status=status)
    assert DswInstanceEventTrigger(**json.loads(json.dumps(trigger.serialize()[1]))).condition() == trigger.condition()


@pytest.mark.parametrize("name", [name for name in TEMPLATED if name != "until"])
def test_what_surrounds_an_id_or_a_word_is_no_part_of_it(name):
    """A template's result often ends with a new line. An expression is taken as it is."""
    assert of(**{"instance_id": ID, name: padded(SAMPLES[name])}) == meant(name), (
        f"{name}: let its check strip what it takes"
    )


def test_a_set_is_taken_in_sorted_order():
    statuses = {"Stopped", "Failed", "Deleting"}
    trigger = DswInstanceEventTrigger(instance_id=ID, target_status=statuses)

    assert of(ID, statuses).target_status == ("Deleting", "Failed", "Stopped")
    assert trigger.serialize()[1]["target_status"] == ["Deleting", "Failed", "Stopped"]


OF_A_SET = """
import json
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger

statuses = {"Stopped", "Failed", "Deleting"}
trigger = DswInstanceEventTrigger(instance_id="dsw-abc", target_status=statuses)
print(list(statuses), json.dumps(trigger.serialize()), sep=";")
"""


@pytest.mark.slow
def test_the_watcher_of_a_set_is_the_same_for_each_process_that_parses_it():
    """Airflow knows a trigger, and what it remembers, by what it is serialized to."""
    seen = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", OF_A_SET],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONWARNINGS": "ignore"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        seen.append(done.stdout.splitlines()[-1].split(";"))

    (first, one), (second, other) = seen
    assert first != second, "these two seeds show nothing: the set has the same order"
    assert one == other


@pytest.mark.parametrize("interval", [30, timedelta(seconds=30), 30.0])
def test_the_interval_of_a_watcher_is_a_number_of_seconds_or_a_timedelta(interval):
    assert DswInstanceEventTrigger(instance_id=ID, poke_interval=interval).serialize()[1]["poke_interval"] == 30
    refused: list[Any] = [interval * 0, "20"]
    for wrong in refused:
        with pytest.raises(ValueError, match=r"^poke_interval: "):
            DswInstanceEventTrigger(instance_id=ID, poke_interval=wrong)


@pytest.mark.parametrize("status", INSTANCE_STATUSES)
@pytest.mark.parametrize("kind", [str, lambda status: [status], lambda status: {status}])
def test_one_target_status_is_as_good_as_a_collection_of_one(status, kind):
    wait = of(ID, kind(status), failure_statuses=[status])

    assert wait == StatusCondition(ID, target_status=(status,), failure_statuses=(status,))


def test_failure_statuses_are_a_list():
    with pytest.raises(ValueError, match=r"failure_statuses: 'Failed' is a single status\. Write a list of them"):
        of(ID, failure_statuses="Failed")


def test_running_is_awaited_where_nothing_else_is_said():
    assert of(ID) == StatusCondition(ID)


@pytest.mark.parametrize(
    "which",
    [
        {"wait_for_snapshot": True},
        {"snapshot_id": "snp-1"},
        {"snapshot_image": "image-1"},
        {"snapshot_created_after": NOON},
    ],
)
def test_any_snapshot_argument_makes_it_a_wait_for_a_snapshot(which):
    wait = of(ID, **which)

    kind = SnapshotByIdCondition if "snapshot_id" in which else SnapshotCondition
    assert wait == kind(ID, **which)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("running", "Did you mean 'Running'?"),
        ("Runing", "Did you mean 'Running'?"),
        ("SAVE_FAILED", "Did you mean 'SaveFailed'?"),
        ("Success", "Known names: Creating,"),
        ("", "Known names: Creating,"),
        (None, "Known names: Creating,"),
        (3, "Known names: Creating,"),
    ],
)
@pytest.mark.parametrize("name", ["target_status", "failure_statuses"])
def test_a_wrong_status_is_refused_with_the_nearest_right_one(name, status, hint):
    with pytest.raises(ValueError, match=f": {name}: ") as raised:
        of(ID, **{name: ["Stopped", status]})

    assert repr(status) in str(raised.value)
    assert hint in str(raised.value)


@pytest.mark.parametrize("nothing", [None, 3, [], (), ""])
def test_a_target_that_names_no_status_is_refused(nothing):
    with pytest.raises(ValueError, match=": target_status: "):
        of(ID, nothing)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (NOON, NOON),
        ("2026-01-31T12:00:00Z", NOON),
        (" 2026-01-31T20:00:00+08:00\n", NOON),
        ("2026-01-31 12:00:00+00:00", NOON),  # what "{{ dag_run.start_date }}" renders to
        ("20260131T120000Z", NOON),
    ],
)
def test_a_moment_is_a_datetime_or_iso_8601(given, meant):
    assert of(ID, snapshot_created_after=given).snapshot_created_after == meant


@pytest.mark.parametrize("naive", [datetime(2026, 1, 31, 12), "2026-01-31T12:00:00", "2026-01-31"])  # noqa: DTZ001
def test_a_moment_without_a_time_zone_is_refused_with_the_way_to_add_one(naive):
    with pytest.raises(ValueError, match=r"has no time zone\. Add one"):
        of(ID, snapshot_created_after=naive)


@pytest.mark.parametrize("value", ["yesterday", "", "None", 1769860800, ["2026-01-31T12:00:00Z"]])
def test_what_is_no_moment_is_refused(value):
    with pytest.raises(ValueError, match="neither a datetime nor ISO 8601"):
        of(ID, snapshot_created_after=value)


@pytest.mark.parametrize("image", ["", "  ", 7])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match="is not an ImageId, ImageName or ImageUrl"):
        of(ID, snapshot_image=image)
