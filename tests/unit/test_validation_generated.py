"""What each check makes of whatever may be passed, generated: what works is taken once and for all, or a ValueError."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_dsw import validation
from airflow_provider_dsw.arguments import is_literal
from airflow_provider_dsw.client import api
from airflow_provider_dsw.client.connection import parse
from airflow_provider_dsw.client.connection_fields import extra_keys
from airflow_provider_dsw.details import parse_fields
from airflow_provider_dsw.exceptions import DswConnectionError
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger
from airflow_provider_dsw.wait_arguments import as_json
from airflow_provider_dsw.waits.documented_fields import DOCUMENTED_FIELDS
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES

# The same cases each time: what fails in CI fails everywhere. They are few, since there are many checks.
quickly = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

WORDS = st.sampled_from(
    (
        *(
            "dsw-1",
            " dsw-1\n",
            "None",
            "model-1",
            "Running",
            " Stopped",
            "failed",
            "/mnt",
            "cn-hangzhou",
            "Key",
            "Value",
        ),
        *("", "  ", "\0", "a\ud800", "{{ x }}", "2026-01-31T12:00:00Z", "9999-12-31T23:59:59-14:00"),
        *("length(a)", "abs(a, b)", "a[", "cn-hangzhou"),
    )
)
# What breaks things in a text. Of all of Unicode, each process would first make a table, which takes seconds.
CHARACTERS = (
    "\0\t\n\x1b\x7f\x85 !\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~"
    "\xa0\u00c4\u00df\u00e9\u0401\u0438\u597d\u65e5\u200b\u202e\u2028\ufeff\uffff"
    "\U0001f600\U0010ffff\ud800\udfff"
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.builds(lambda: 10**9999),
    st.sampled_from([timedelta.max, timedelta.min, datetime.max, datetime.min]),  # noqa: DTZ901
    st.floats(),
    WORDS,
    st.text(CHARACTERS, max_size=20),
    st.binary(max_size=5),
    st.timedeltas(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.dates(),
    st.builds(object),
)
HASHABLE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.binary(max_size=5))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.sets(HASHABLE, max_size=4),
        st.frozensets(HASHABLE, max_size=4),
        st.lists(inner, max_size=2).map(iter),
        st.lists(st.fixed_dictionaries({"Key": inner}, optional={"Value": inner}), max_size=2),
    ),
    max_leaves=6,
)

# What breaks things in the depth, and is too rare to be met by chance: tried in every test.
TOUGH: list[Any] = [
    *(
        10**9999,
        float("nan"),
        float("inf"),
        1e300,
        timedelta.max,
        "a\ud800",
        b"a",
        "[" * 3000,
        "9999-12-31T23:59:59-14:00",
    ),
    *({1, "a", None}, {"a": float("nan")}, {"a": b"a"}, {1: 2}, {"a": {"b"}}, [10**9999], {"a": 10**9999}, [["a"]]),
    *("9999-12-31T23:59:59-14:00", [{"Key": ["a"]}], [{"Value": "a"}], iter(["a"]), {"a": 1}.keys(), range(2)),
]


def with_tough_values(test: Any) -> Any:
    for value in TOUGH:
        test = example(value=value)(test)
    return test


# Of which the checks are made, and what else is no check.
NO_CHECKS = {"optional", "optional_text", "rendered", "items", "is_collection", "is_identifier", "shown", "json_value"}
CHECKS: list[validation.Check] = [
    validation.boolean,
    validation.seconds,
    validation.whole_number,
    validation.text,
    validation.secret_text,
    validation.description,
    validation.identifier,
    validation.snapshot_name,
    validation.image_url,
    validation.image,
    validation.moment,
    validation.region,
    validation.expression,
    validation.target_statuses,
    validation.statuses,
    validation.texts,
    validation.labels,
    validation.json_object,
    validation.body,
    validation.query,
    validation.parameter,
]


def outcome_of(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Exception | None]:
    """What a function returns, and the ValueError that it raises; nothing else must come of it."""
    try:
        return function(*arguments), None
    except ValueError as error:
        return None, error


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@quickly
@with_tough_values
@given(value=SCALARS | VALUES)
def test_a_value_is_taken_or_refused_by_its_name(check: validation.Check, value: Any) -> None:
    taken, error = outcome_of(check, "it", value)
    if error is not None:
        assert type(error) is ValueError
        assert str(error).startswith("it")
        assert len(str(error)) < 1000
        str(error).encode()
        return
    # What is taken is taken again, as it is: a task's object may be executed more than once.
    assert check("it", taken) == taken
    for text in [taken] if isinstance(taken, str) else taken if isinstance(taken, list) else []:
        assert not isinstance(text, str) or text.encode() is not None
    # It can go to the triggerer, with whatever is templated.
    if not isinstance(value, type(iter([]))):
        json.dumps(as_json(taken))
        copy.deepcopy(taken)


@quickly
@with_tough_values
@given(value=SCALARS | VALUES)
def test_what_is_rendered_stays_what_it_is_or_becomes_its_text(value: Any) -> None:
    found = validation.rendered(value)

    assert found is value or found == str(value)


@quickly
@with_tough_values
@given(value=SCALARS | VALUES)
def test_whatever_is_passed_is_literal_or_not(value: Any) -> None:
    assert is_literal(value) in (True, False)


@quickly
@given(fields=st.one_of(VALUES, st.lists(st.sampled_from(DOCUMENTED_FIELDS)), st.dictionaries(WORDS, WORDS)))
def test_fields_are_taken_or_refused(fields: Any) -> None:
    taken, error = outcome_of(parse_fields, fields)
    if error is not None:
        assert type(error) is ValueError
        assert str(error).startswith("fields")
        return
    assert parse_fields(taken) == taken


STATUSES = st.sampled_from(INSTANCE_STATUSES)


@quickly
@given(statuses=st.one_of(STATUSES, st.lists(STATUSES, min_size=1), st.sets(STATUSES, min_size=1)))
def test_a_watcher_is_the_same_on_the_other_side_of_the_database(statuses: Any) -> None:
    trigger = DswInstanceEventTrigger(instance_id="dsw-1", target_status=statuses)
    again = DswInstanceEventTrigger(**json.loads(json.dumps(trigger.serialize()[1])))

    assert again.serialize() == trigger.serialize()
    assert again.condition() == trigger.condition()


@pytest.mark.parametrize(
    "call",
    [
        lambda value: api.get_instance("dsw-1", value, None),
        lambda value: api.list_instances({"labels": value}),
        lambda value: api.list_instances({"tag": value}),
        lambda value: api.list_instances({"page_size": value}),
        lambda value: api.create_instance_snapshot("dsw-1", "a", "b", None, None, value, None),
        lambda value: api.create_instance_snapshot("dsw-1", "a", "b", None, None, None, value),
        lambda value: api.create_instance({"a": value}),
        lambda value: api.any_operation("A", "POST", "/a", {"a": value}, None),
        lambda value: api.any_operation("A", "POST", "/a", None, value),
        lambda value: api.get_instance_events("dsw-1", value),
        lambda value: api.create_shutdown_timer("dsw-1", value),
    ],
)
@quickly
@with_tough_values
@given(value=SCALARS | VALUES)
def test_a_request_is_one_that_can_be_sent_or_is_refused(call: Callable[[Any], api.ApiCall], value: Any) -> None:
    made, error = outcome_of(call, value)
    if error is not None:
        assert type(error) is ValueError
        return
    request = made.request
    json.dumps(request.body, allow_nan=False).encode()
    assert all(isinstance(item, str) and item.encode() is not None for pair in request.query.items() for item in pair)


class Saved:
    """A connection as Airflow keeps it."""

    def __init__(self, extra: Any, **fields: Any) -> None:
        self.conn_id, self.conn_type, self.extra = "dsw_default", "dsw", extra
        self.login = self.password = self.host = self.port = None
        vars(self).update(fields)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(CHARACTERS, max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)


@quickly
@example(extra={"connect_timeout": 1e10, "region": "a"}, host=None, port=None)
@example(extra={"security_token": ["a"], "region": "a"}, host=None, port=None)
@example(extra={}, host="\0", port=None)
@example(extra={}, host="\ud800", port=None)
@given(
    extra=st.dictionaries(st.sampled_from(extra_keys()) | st.text(CHARACTERS, max_size=9), JSON, max_size=5),
    host=st.none()
    | st.sampled_from(["::1", "[::1]:80", "127.0.0.1:8765", "a b", "h:0"])
    | st.text(CHARACTERS, max_size=9),
    port=st.none() | st.integers(),
)
def test_a_connection_is_taken_or_refused_by_its_name(
    extra: dict[str, Any], host: str | None, port: int | None
) -> None:
    saved: Any = Saved(json.dumps(extra), login="the-login", password="the-password", host=host, port=port)
    found, error = outcome_of(parse, saved)
    if error is not None:
        assert type(error) is DswConnectionError
        assert "'dsw_default'" in str(error)
        assert "the-password" not in str(error)
        str(error).encode()
        return
    assert 0 < found.connect_timeout <= 86400
    assert not any(isinstance(extra.get(name), (bool, list, dict)) for name in extra_keys() if name != "policy")
    assert "the-password" not in repr(found)
