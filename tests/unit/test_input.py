"""Every bad input is refused before any request, by an error that says what is wrong and what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswConnectionError, DswWaitFailedError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import (
    DswGetInstanceOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

ID = "dsw-abc"
Use = Callable[..., Any]


def sensor(**arguments: Any) -> DswInstanceSensor:
    return DswInstanceSensor(**{"task_id": "t", "instance_id": ID, "deferrable": False, **arguments})


def operator(**arguments: Any) -> DswGetInstanceOperator:
    return DswGetInstanceOperator(**{"task_id": "t", "instance_id": ID, **arguments})


def use_hook(**arguments: Any) -> Any:
    return DswHook().get_instance(**{"instance_id": ID, **arguments})


def use_hook_async(**arguments: Any) -> Any:
    return asyncio.run(DswHook().aget_instance(**{"instance_id": ID, **arguments}))


def use_sensor(**arguments: Any) -> Any:
    return sensor(**arguments).execute({})


def use_operator(**arguments: Any) -> Any:
    return operator(**arguments).execute({})


EVERYWHERE = [use_hook, use_hook_async, use_sensor, use_operator]
# Where a DAG is parsed: nothing but the constructor runs.
PARSED = [sensor, operator]

BAD_IDS = [
    "",
    " ",
    "\n",
    "dsw 1",
    "a/b",
    "../dsw-1",
    "/",
    "dsw-1?",
    "dsw-1?x=1",
    "dsw-1#",
    "dsw%2d1",
    "None",  # a template's word for an XCom that is not there
]


@pytest.mark.parametrize("use", [*EVERYWHERE, *PARSED])
@pytest.mark.parametrize("bad", [*BAD_IDS, None, 7, 0, 1.5, True])
def test_a_malformed_id(bad, use, dsw_default):
    with pytest.raises(
        ValueError, match=r"instance_id: .* is not a valid id\. Ids are letters, digits, '-' and '_'"
    ) as raised:
        use(instance_id=bad)

    assert repr(bad) in str(raised.value)
    assert dsw_default.requests == []


@pytest.mark.parametrize("rendered", ["", "dsw 1", "None", None, 7.5, True, ["dsw-1"], {}])
@pytest.mark.parametrize("make", PARSED)
def test_an_id_that_turns_out_malformed_when_it_is_rendered(rendered, make, dsw_default):
    task = make(instance_id="{{ params.id }}")
    task.instance_id = rendered

    with pytest.raises(ValueError, match=r"instance_id: .* is not a valid id"):
        task.execute({})

    assert dsw_default.requests == []


@pytest.mark.parametrize("make", PARSED)
def test_a_template_that_is_not_rendered(make):
    with pytest.raises(ValueError, match=r"params.id \}\}' is not a valid id\. .* The template was not rendered"):
        make(instance_id="{{ params.id }}").execute({})


@pytest.mark.parametrize("bad", ["", "snp/1", "snp-1?", " ", 7])
def test_a_malformed_snapshot_id(bad):
    with pytest.raises(ValueError, match=r"snapshot_id: .* is not a valid id"):
        sensor(snapshot_id=bad)


@pytest.mark.parametrize("use", EVERYWHERE)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": "", "port": None, "extra": {}}, ["neither extra 'region'", "cn-hangzhou", "nor host is set"]),
        ({"login": ""}, ["login (the AccessKey id) is not set", "auth_type 'access_key' needs it"]),
        ({"password": None}, ["password (the AccessKey secret) is not set", "auth_type 'access_key' needs it"]),
        ({"extra": {"auth_type": "sts", "protocol": "http"}}, ["extra 'security_token' is not set", "'sts'"]),
    ],
)
def test_a_connection_that_lacks_something(change, words, use, dsw_default, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps({**dsw_default.connection(), **change}))

    with pytest.raises((DswConnectionError, DswWaitFailedError)) as raised:
        use()

    assert all(word in str(raised.value) for word in ("Connection 'dsw_default'", *words)), raised.value
    assert "emulator-key-secret" not in repr(raised.value)
    assert dsw_default.requests == []


@pytest.mark.parametrize("use", [use_sensor, use_operator])
def test_a_region_that_is_none(use, dsw_default):
    with pytest.raises((DswConnectionError, DswWaitFailedError), match="region 'cn hangzhou' is not a region id like"):
        use(region="cn hangzhou")

    assert dsw_default.requests == []


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("running", "Did you mean 'Running'?"),
        ("Runing", "Did you mean 'Running'?"),
        ("Success", "Known names: Creating, "),
        ("", "Known names: "),
        (None, "Known names: "),
        (["Running", "Stoped"], "Did you mean 'Stopped'?"),
        ({"Runing"}, "Did you mean 'Running'?"),
        ([None], "Known names: "),
    ],
)
def test_an_unknown_target_status(status, hint):
    with pytest.raises(ValueError, match=r"target_status: .* is not an instance status") as raised:
        sensor(target_status=status)

    assert hint in str(raised.value)


@pytest.mark.parametrize("status", [[], (), set()])
def test_no_target_status_at_all(status):
    with pytest.raises(ValueError, match=r"target_status: empty\. Name at least one status"):
        sensor(target_status=status)


@pytest.mark.parametrize("status", ["Broken", ["Failed", "broken"], [None], 7])
def test_an_unknown_failure_status(status):
    with pytest.raises(ValueError, match=r"failure_statuses: .* is not an instance status"):
        sensor(failure_statuses=status)


def test_a_status_that_turns_out_unknown_when_it_is_rendered(dsw_default):
    task = sensor(target_status="{{ params.status }}")
    task.target_status = "running"

    with pytest.raises(ValueError, match="Did you mean 'Running'"):
        task.execute({})

    assert dsw_default.requests == []


@pytest.mark.parametrize(
    "which",
    [
        {"wait_for_snapshot": True},
        {"snapshot_id": "snp-1"},
        {"snapshot_image": "image-1"},
        {"snapshot_created_after": "2026-01-31T12:00:00Z"},
    ],
)
@pytest.mark.parametrize("target", ["Running", "Saved", ["Saved"]])
def test_a_target_status_for_a_snapshot(target, which):
    with pytest.raises(ValueError, match=r"target_status: a wait for a snapshot.* takes no target_status\. Leave"):
        sensor(target_status=target, **which)


@pytest.mark.parametrize("other", [{"snapshot_image": "image-1"}, {"snapshot_created_after": "2026-01-31T12:00:00Z"}])
def test_a_snapshot_that_is_named_twice(other):
    with pytest.raises(ValueError, match=r"a wait for a snapshot by its snapshot_id takes no .*\. Leave one"):
        sensor(snapshot_id="snp-1", **other)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (datetime(2026, 1, 31, 12), r"has no time zone\. Add one: .*tzinfo="),  # noqa: DTZ001
        ("2026-01-31T12:00:00", r"has no time zone\. Add one: '2026-01-31T12:00:00Z'"),
        ("2026-01-31", r"has no time zone\. Add one: '2026-01-31T00:00:00Z'"),
        ("yesterday", "'yesterday' is neither a datetime nor ISO 8601"),
        ("", "'' is neither a datetime nor ISO 8601"),
        (1769860800, "1769860800 is neither a datetime nor ISO 8601"),
    ],
)
def test_a_moment_that_is_none_or_could_be_any(moment, words):
    with pytest.raises(ValueError, match=f"snapshot_created_after: .*{words}"):
        sensor(snapshot_created_after=moment)


@pytest.mark.parametrize("image", ["", "  ", 7])
def test_an_image_that_is_none(image):
    with pytest.raises(ValueError, match=r"snapshot_image: .* is not an ImageId, ImageName or ImageUrl"):
        sensor(snapshot_image=image)


@pytest.mark.parametrize("name", ["snapshot_id", "snapshot_image", "snapshot_created_after"])
@pytest.mark.parametrize("rendered", [None, ""])
def test_a_snapshot_argument_that_is_rendered_to_nothing(name, rendered, dsw_default):
    """It must not become a wait for whatever snapshot there is."""
    task = sensor(**{name: "{{ params.which }}"})
    setattr(task, name, rendered)

    with pytest.raises(ValueError, match=name):
        task.execute({})

    assert dsw_default.requests == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["Statsu"], "no field 'Statsu'. Did you mean 'Status'?"),
        (["status"], "Did you mean 'Status'?"),
        (["Status", "JupyterLabURL"], "Did you mean 'JupyterlabUrl'?"),
        ([], "empty. Leave it out for the default details"),
        ([""], "'' is not a name"),
        ([None], "None is not a name"),
        ("Status", "'Status' is neither a list of field names nor a dict"),
        ({"disk": "CloudDisks[0"}, "fields['disk']: 'CloudDisks[0' is not valid JMESPath"),
        ({"disk": ""}, "fields['disk']: '' is not a JMESPath expression"),
        ({"disk": 7}, "fields['disk']: 7 is not a JMESPath expression"),
    ],
)
def test_fields_that_can_t_be_had(fields, words):
    with pytest.raises(ValueError, match="fields") as raised:
        operator(fields=fields)

    assert words in str(raised.value)


@pytest.mark.parametrize("make", PARSED)
def test_a_template_is_left_alone_where_the_dag_is_parsed(make):
    assert make(instance_id="{{ params.instance }}", dsw_conn_id="{{ params.conn }}", region="{{ params.region }}")


def test_the_sensor_s_templates_are_left_alone_where_the_dag_is_parsed():
    assert sensor(target_status="{{ params.status }}", failure_statuses=["Failed", "{{ params.status }}"])
    assert sensor(snapshot_created_after="{{ dag_run.start_date }}", snapshot_image="{{ params.image }}")


def test_what_is_given_well_is_taken(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID)

    assert [use()["InstanceId"] for use in EVERYWHERE] == [ID] * 4


@pytest.mark.parametrize(
    "operator", [DswInstanceSensor, DswGetInstanceOperator, DswStartInstanceOperator, DswStopInstanceOperator]
)
def test_what_is_wrong_names_its_task(operator: type) -> None:
    with pytest.raises(ValueError, match=r"^Task 'nightly': instance_id: "):
        operator(task_id="nightly", instance_id="")
