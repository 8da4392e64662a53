"""What each kind of argument may be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest

from airflow_provider_dsw import validation

Check = Callable[[str, Any], Any]
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Name(str, Enum):  # noqa: UP042 - as DAG authors write it
    ONE = "dsw-1"
    RUNNING = "Running"


@pytest.mark.parametrize(
    ("check", "value", "taken"),
    [
        (validation.boolean, True, True),
        (validation.boolean, False, False),
        (validation.seconds, 30, 30.0),
        (validation.seconds, 0.5, 0.5),
        (validation.seconds, timedelta(minutes=1), 60.0),
        (validation.seconds, validation.MAX_DURATION, validation.MAX_DURATION.total_seconds()),
        (validation.whole_number, 1, 1),
        (validation.text, " as it is ", " as it is "),
        (validation.text, Name.ONE, "dsw-1"),
        (validation.secret_text, "a-token", "a-token"),
        (validation.description, "", ""),
        (validation.identifier, " dsw-1\n", "dsw-1"),
        (validation.identifier, Name.ONE, "dsw-1"),
        (validation.snapshot_name, "20261125", "20261125"),
        (validation.image_url, "registry/ns/repo:tag", "registry/ns/repo:tag"),
        (validation.image, " model:1 ", "model:1"),
        (validation.moment, NOON, NOON),
        (validation.moment, "2026-01-31T20:00:00+08:00", NOON),
        (validation.region, "cn-hangzhou", "cn-hangzhou"),
        (validation.region, None, None),
        (validation.region, "", None),
        (validation.expression, "length(CloudDisks) > `1`", "length(CloudDisks) > `1`"),
        (validation.expression, "not_null(a, b, c)", "not_null(a, b, c)"),
        (validation.expression, "a[1:2].b | sort_by(@, &c)", "a[1:2].b | sort_by(@, &c)"),
        (validation.target_statuses, " Running", ("Running",)),
        (validation.target_statuses, Name.RUNNING, ("Running",)),
        (validation.target_statuses, {"Stopped", "Failed", "Running"}, ("Failed", "Running", "Stopped")),
        (validation.statuses, [], ()),
        (validation.statuses, (Name.RUNNING, "Failed"), ("Running", "Failed")),
        (validation.texts, ["/b", "/a"], ["/b", "/a"]),
        (validation.texts, {"/b", "/a"}, ["/a", "/b"]),
        (validation.labels, {"team": "a", "number": 1, "share": 0.5, "on": True}, None),
        (validation.labels, [{"Key": "team", "Value": "a"}, {"Key": "empty"}], {"team": "a", "empty": ""}),
        (validation.labels, {}, {}),
        (validation.json_object, {}, {}),
        (validation.body, {"InstanceName": "a", "Datasets": [{"Uri": None}]}, None),
        (validation.query, {"A": 1, "B": None, "C": {"z", "y"}, "D": NOON}, {"A": 1, "C": ["y", "z"], "D": NOON}),
        (validation.optional(validation.text), None, None),
        (validation.optional(validation.text), "a", "a"),
    ],
)
def test_what_is_right_is_taken(check: Check, value: object, taken: object) -> None:
    found = check("it", value)

    if taken is not None or value is None:
        assert (found, type(found)) == (taken, type(taken))


def test_a_label_s_value_is_a_string_whatever_it_was() -> None:
    found = validation.labels("it", {"team": "a", "number": 1, "share": 0.5, "on": True, "who": Name.ONE})

    assert found == {"team": "a", "number": "1", "share": "0.5", "on": "True", "who": "dsw-1"}


NO_TEXTS: list[object] = [None, True, 7, 1.5, b"text", ["text"], {"a": "b"}, object(), "", "  ", "a lone \ud800"]
NO_NUMBERS: list[object] = [
    0,
    -1,
    True,
    None,
    "20",
    "{{ x }}",
    float("nan"),
    float("inf"),
    -float("inf"),
    timedelta(0),
    [],
    {},
]


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (validation.boolean, ["True", "{{ x }}", "", None, 0, 1, [], object()]),
        (validation.seconds, [*NO_NUMBERS, timedelta(-1), 10**400, 10**9999, 1e300, timedelta.max, 1j]),
        (validation.whole_number, [*NO_NUMBERS, 1.5, 1.0]),
        (validation.text, NO_TEXTS),
        (validation.secret_text, NO_TEXTS),
        (validation.description, [value for value in NO_TEXTS if value not in ("", "  ")]),
        (validation.identifier, [*NO_TEXTS, "a/b", "None", " None", "dsw 1", "x" * 129, 10**9999]),
        (validation.snapshot_name, [*NO_TEXTS, "Model", "a b", "a\n", " a", 20261125]),
        (validation.image_url, [*NO_TEXTS, "None"]),
        (validation.image, [*NO_TEXTS, "None", " None\n"]),
        (validation.region, [True, 7, ["cn-hangzhou"], b"cn-hangzhou", {"a": 1}, object()]),
        (
            validation.moment,
            [
                *(*NO_TEXTS, "yesterday", "2026-01-31", datetime(2026, 1, 31), NOON.date(), NOON.time()),  # noqa: DTZ001
                datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))),
                *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
            ],
        ),
        (
            validation.expression,
            [
                *NO_TEXTS,
                "a[",
                "sumthing(a)",
                "length(a, b)",
                "length()",
                "a[?contains(b)]",
                "max_by(a)",
                "[" * 5000,
                "a.not_null()",
                "{x: abs(a, b)}",
            ],
        ),
        (
            validation.target_statuses,
            [
                *NO_TEXTS,
                [],
                (),
                set(),
                "running",
                ["Running", None],
                [["Running"]],
                {"Running": 1},
                {1, "a", None},
                iter(["Running"]),
                ("Running" for _ in "a"),
                {"Running": 1}.keys(),
                range(2),
            ],
        ),
        (validation.statuses, [*NO_TEXTS, "Failed", "running", {"Failed": 1}, iter(["Failed"])]),
        (
            validation.texts,
            ["/mnt/data", *NO_TEXTS[:5], {"/a": 1}, iter(["/a"]), [""], [None], [7], [["/a"]], object()],
        ),
        (
            validation.labels,
            [
                "team=a",
                *NO_TEXTS[:6],
                [("team", "a")],
                [{"Value": "a"}],
                {"": "a"},
                {1: "a"},
                {"team": None},
                {"team": ["a"]},
                {"team": {"a": 1}},
                [{"Key": 1}],
                object(),
            ],
        ),
        (
            validation.json_object,
            [
                *NO_TEXTS[:6],
                "{}",
                [{}],
                {1: 2},
                {"a": object()},
                {"a": {1, 2}},
                {"a": float("nan")},
                {"a": b"b"},
                {"a": NOON},
            ],
        ),
        (validation.body, [{}, None, "{}", {"a": float("inf")}]),
        (
            validation.query,
            ["A=1", {1: 2}, [("A", 1)], {"a": object()}, {"a": float("nan")}, {"a": 10**9999}, {"a": b"b"}],
        ),
    ],
)
def test_what_can_t_be_right_is_refused_by_its_name(check: Check, values: list[object]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=r"^it\b.*: ") as raised:
            check("it", value)
        assert type(raised.value) is ValueError
        assert len(str(raised.value)) < 500


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found}
    return found


def test_a_body_deeper_than_json_goes_is_refused() -> None:
    with pytest.raises(ValueError, match="it: it holds a value that JSON can't express"):
        validation.body("it", nested(100_000))


@pytest.mark.parametrize("check", [validation.seconds, validation.boolean, validation.identifier, validation.statuses])
def test_a_long_value_is_not_shown_whole(check: Check) -> None:
    with pytest.raises(ValueError, match="it: ") as raised:
        check("it", "x" * 10_000)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (validation.secret_text, ["the-secret"]),
        (validation.secret_text, "the-secret \ud800"),
        (validation.image_url, {"password": "the-secret"}),
        (validation.description, ["the-secret"]),
        (validation.labels, {"team": ["the-secret"]}),
        (validation.labels, "the-secret"),
        (validation.body, "the-secret"),
        (validation.body, {"password": {"the-secret"}}),
        (validation.identifier, {"password": "the-secret"}),
        (validation.identifier, "https://user:the-secret@host/"),
        (validation.text, ["https://user:the-secret@host/"]),
        (validation.texts, [{"password": "the-secret"}]),
    ],
)
def test_what_may_be_a_secret_is_not_shown(check: Check, value: object) -> None:
    with pytest.raises(ValueError, match="it") as raised:
        check("it", value)
    assert "the-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("check", "value", "advice"),
    [
        (validation.boolean, "{{ params.save }}", "is not templated. To decide at run time, choose between two tasks"),
        (validation.texts, "/mnt/data", "Write one as ['…']"),
        (validation.statuses, "Failed", "Write a list of them: ['Failed']"),
        (validation.identifier, 1.5, "Quote it inside the template: \"'{{ … }}'\""),
        (validation.snapshot_name, 1.5, "Quote it inside the template: \"'{{ … }}'\""),
        (validation.body, "{}", "render_template_as_native_obj=True"),
    ],
)
def test_what_to_do_is_said(check: Check, value: object, advice: str) -> None:
    with pytest.raises(ValueError, match="it: ") as raised:
        check("it", value)
    assert advice in str(raised.value)


@pytest.mark.parametrize(
    ("value", "meant"),
    [(20261125, "20261125"), (0, "0"), (True, True), (1.5, 1.5), ("a", "a"), (None, None), ([7], [7])],
)
def test_a_whole_number_that_a_template_was_rendered_to_is_taken_for_its_text(value: object, meant: object) -> None:
    found = validation.rendered(value)

    assert (found, type(found)) == (meant, type(meant))
