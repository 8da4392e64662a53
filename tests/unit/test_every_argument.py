"""
Every argument of every public class and method, found by introspection: what is taken, and how the rest is refused.

An argument that is new has to be given a kind here, in KINDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_provider_dsw.client.api import LIST_FILTERS
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswWaitArgumentError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.mixins import DswWaitMixin
from airflow_provider_dsw.operators import dsw as operators
from airflow_provider_dsw.operators.dsw import DswGetInstanceOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.triggers.base import DswBaseTrigger
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger, DswInstanceTrigger
from airflow_provider_dsw.version_compat import AirflowException
from airflow_provider_dsw.waits.conditions import KINDS as WAITS
from tests.support import task_runs
from tests.support.arguments import arguments_of, arguments_of_class, required_by

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
# Values of every shape; what is right for one argument is wrong for others.
VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "7": lambda: 7,
    "-1": lambda: -1,
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "1e300": lambda: 1e300,
    "a long int": lambda: 10**9999,
    "empty": lambda: "",
    "blank": lambda: "  ",
    "word": lambda: "word",
    "'False'": lambda: "False",
    "'None'": lambda: "None",
    "surrogate": lambda: "a\ud800",
    "bytes": lambda: b"word",
    "list": lambda: ["word"],
    "empty list": lambda: [],
    "list of None": lambda: [None],
    "list of list": lambda: [["word"]],
    "dict": lambda: {"word": "word"},
    "dict of 'None'": lambda: {"word": "None"},
    "empty dict": lambda: {},
    "dict of int": lambda: {1: 2},
    "dict of object": lambda: {"word": object()},
    "set": lambda: {"word"},
    "iterator": lambda: iter(["word"]),
    "timedelta": lambda: timedelta(seconds=30),
    "no timedelta": lambda: timedelta(0),
    "timedelta.max": lambda: timedelta.max,
    "aware": lambda: NOON,
    "naive": lambda: datetime(2026, 1, 31),  # noqa: DTZ001
    "object": object,
}


class Kind(NamedTuple):
    """
    What an argument may be.

    :param right: a value that is.
    :param takes: which of VALUES are, too.
    """

    right: Any
    takes: Collection[str] = ()


NOT_MISSING = ("word", "'False'")
WORDS = (*NOT_MISSING, "'None'")
DICTS = ("dict", "dict of 'None'")
BOOLEAN = Kind(False, ["True", "False"])
SECONDS = Kind(30, ["7", "1.5", "timedelta"])
AIRFLOW_SECONDS = Kind(30, [*SECONDS.takes, "0", "no timedelta"])
IDENTIFIER = Kind("dsw-1", NOT_MISSING)  # a template's word for what is missing is none
TEXT = Kind("dsw_default", WORDS)


def or_none(kind: Kind) -> Kind:
    return kind._replace(takes=[*kind.takes, "None"])


KINDS: dict[str, Kind] = {
    "instance_id": IDENTIFIER,
    "target_status": Kind("Running"),
    "wait_for_snapshot": BOOLEAN,
    "snapshot_id": or_none(IDENTIFIER),
    "snapshot_image": or_none(Kind("model:1", NOT_MISSING)),
    "snapshot_created_after": Kind("2026-01-31T12:00:00Z", ["None", "aware"]),
    "until": Kind("Status == 'Running'", ["None", *WORDS]),
    "failure_statuses": Kind(["Failed"], ["None", "empty list"]),
    "dsw_conn_id": TEXT,
    "region": Kind("cn-hangzhou", ["None", "empty", *WORDS]),
    "deferrable": or_none(BOOLEAN),
    "start_from_trigger": BOOLEAN,
    "soft_fail": BOOLEAN,
    "silent_fail": BOOLEAN,
    "never_fail": BOOLEAN,
    "exponential_backoff": BOOLEAN,
    "max_wait": or_none(AIRFLOW_SECONDS),
    "poke_interval": SECONDS,
    "timeout": SECONDS,
    "fields": Kind(["Status"], ["None", *DICTS]),
    "include_sensitive": BOOLEAN,
    "multiple_outputs": or_none(BOOLEAN),
    "wait_for_completion": BOOLEAN,
    "stop_on_kill": BOOLEAN,
    "stop_after": or_none(SECONDS),
    "delete_on_failure": BOOLEAN,
    "save_image": BOOLEAN,
    "body": Kind({"InstanceName": "a"}, DICTS),
    "image_url": Kind("registry/ns/repo:tag", NOT_MISSING),
    "snapshot_name": Kind("model-1", ["None", "word"]),
    "description": Kind("nightly", ["None", "empty", "blank", *WORDS]),
    "overwrite": or_none(BOOLEAN),
    "exclude_paths": Kind(["/mnt"], ["None", "list", "empty list", "set"]),
    "labels": Kind({"team": "a"}, ["None", *DICTS, "empty dict", "empty list"]),
    "queue": or_none(TEXT),
    "token": Kind("shared", ["None", "empty", *WORDS]),
    "limit": Kind(9, ["7"]),
    "sessions": Kind(9, ["7"]),
    "since": Kind(NOON, ["None", "aware"]),
    "after": SECONDS,
    "action": Kind("GetLifecycle", WORDS),
    "method": Kind("GET"),
    "path": Kind("/api/v2/instances"),
    "query": Kind({"A": 1}, ["None", *DICTS, "empty dict"]),
}
# If a name means something else than elsewhere: by the class or the hook's method.
SPECIAL: dict[tuple[str, str], Kind] = {
    ("DswCreateInstanceOperator", "multiple_outputs"): BOOLEAN,
    ("DswInstanceSensor", "timeout"): or_none(AIRFLOW_SECONDS),  # None: Airflow's own default
    ("DswInstanceSensor", "poke_interval"): AIRFLOW_SECONDS,
    ("get_instance", "fields"): Kind("Status", ["None", "empty", *WORDS]),
    ("aget_instance", "fields"): Kind("Status", ["None", "empty", *WORDS]),
    ("create_instance_snapshot", "snapshot_name"): Kind("model-1", ["word"]),
    ("get_instance_snapshot", "snapshot_id"): IDENTIFIER,
    ("aget_instance_snapshot", "snapshot_id"): IDENTIFIER,
    ("call", "body"): Kind({"A": 1}, ["None", *DICTS, "empty dict"]),
}


def kind_of(owner: str, name: str) -> Kind:
    assert name in KINDS, f"{name} of {owner} is new: say in KINDS what it may be"
    return SPECIAL.get((owner, name), KINDS[name])


TASKS: list[type[BaseOperator]] = [DswInstanceSensor, *(getattr(operators, name) for name in operators.__all__)]
OF_TASKS = [(made, name) for made in TASKS for name in arguments_of_class(made)]
TEMPLATED = [(made, name) for made, name in OF_TASKS if name in made.template_fields]
each_of_tasks = pytest.mark.parametrize(("made", "name"), OF_TASKS, ids=lambda it: getattr(it, "__name__", it))
each_templated = pytest.mark.parametrize(("made", "name"), TEMPLATED, ids=lambda it: getattr(it, "__name__", it))


def needed_by(made: Any) -> dict[str, Any]:
    return {name: kind_of(made.__name__, name).right for name in required_by(made)}


def make(made: Any, **given: Any) -> Any:
    needed = needed_by(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return made(**{"task_id": "t", **needed, **given})


def wrong_values(kind: Kind) -> dict[str, Any]:
    return {label: value() for label, value in VALUES.items() if label not in kind.takes}


@contextlib.contextmanager
def acceptance(owner: str, name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        hint = f"If it means something else here than in KINDS, say so in SPECIAL as ({owner!r}, {name!r}). "
        hint += "If it needs another one beside, let call() pass that."
        pytest.fail(f"{owner} refuses what KINDS calls right: {error} {hint}")


@contextlib.contextmanager
def refusal(owner: str, name: str, label: str, begins: str) -> Iterator[pytest.ExceptionInfo[ValueError]]:
    try:
        with pytest.raises(ValueError, match=f"^{begins}") as raised:
            yield raised
    except pytest.fail.Exception:
        pytest.fail(
            f"{owner} takes {label} as {name}. Its __init__ has to end with _check_literals(), and _argument_checks() "
            "to name the argument. If it is right to take it, say so in KINDS, or in SPECIAL of this class alone."
        )
    assert type(raised.value) is ValueError, label
    assert name in str(raised.value), (label, raised.value)


@each_of_tasks
def test_what_is_right_is_taken_where_the_dag_is_parsed(made: Any, name: str) -> None:
    kind = kind_of(made.__name__, name)
    for value in (kind.right, *(VALUES[label]() for label in kind.takes)):
        with acceptance(made.__name__, name):
            make(made, **{name: value})


@each_of_tasks
def test_what_is_wrong_is_refused_where_the_dag_is_parsed(made: Any, name: str) -> None:
    for label, value in wrong_values(kind_of(made.__name__, name)).items():
        with refusal(made.__name__, name, label, "Task 't': ") as raised:
            make(made, **{name: value})
        assert len(str(raised.value)) < 1000


LOOP: list[Any] = []
LOOP.append(LOOP)


class Array:
    """As of numpy: compares element by element."""

    def __eq__(self, other: object) -> Any:
        raise ValueError("The truth value of an array is ambiguous.")

    __hash__ = None  # type: ignore[assignment]


@each_of_tasks
def test_what_cannot_be_walked_or_compared_is_refused_too(made: Any, name: str) -> None:
    for label, value in {"loop": LOOP, "loop in a dict": {"a": LOOP}, "array": Array()}.items():
        with refusal(made.__name__, name, label, "Task 't': "):
            make(made, **{name: value})


WITH_CONTROL = ("word\nERROR forged", "\x1b[31mred", "a\u202eb", "x" * 10_000)


def in_shape_of(sample: Any, word: str) -> Any:
    if isinstance(sample, Mapping):
        return {word: word}
    return [word] if isinstance(sample, list) else word


@pytest.mark.parametrize(
    ("made", "name"),
    [(made, name) for made, name in OF_TASKS if issubclass(made, DswWaitMixin)],
    ids=lambda each: getattr(each, "__name__", each),
)
@pytest.mark.parametrize("value", WITH_CONTROL, ids=lambda value: ascii(value[:9]))
def test_what_a_wait_says_of_an_argument_is_one_line_and_short(made: Any, name: str, value: str) -> None:
    try:
        text = str(make(made, **{name: in_shape_of(kind_of(made.__name__, name).right, value)})._build_wait())
    except ValueError as error:
        text = str(error)

    assert text.isprintable(), "pass the argument's text through on_one_line(shortened(…))"
    assert len(text) < 1000


@pytest.mark.parametrize("name", sorted({name for kind in WAITS for name in kind.chosen_by}))
def test_what_chooses_a_kind_of_wait_is_never_empty(name: str) -> None:
    """A template that is rendered to nothing would mean a wait for anything of that kind."""
    nothing = {label for label in KINDS[name].takes if label.startswith(("empty", "blank"))}

    assert not nothing, f"{name}: let its check refuse what is empty"


@pytest.mark.parametrize("made", [*TASKS, DswInstanceTrigger, DswInstanceEventTrigger])
def test_the_connection_is_the_hook_s_default_one_if_none_is_named(made: Any) -> None:
    without = make(made) if made in TASKS else made(instance_id="dsw-1")

    assert without.dsw_conn_id == DswHook.default_conn_name


@each_of_tasks
@pytest.mark.parametrize("kind", ["template", "XComArg"])
def test_what_is_known_later_is_taken_for_what_is_templated_only(made: Any, name: str, kind: str) -> None:
    with DAG("of_every_argument"):
        later = "{{ params.x }}" if kind == "template" else make(DswGetInstanceOperator, task_id="before").output
        if name in made.template_fields:
            make(made, **{name: later})
            return
        with pytest.raises(ValueError, match=r"^Task 't': ") as raised:
            make(made, **{name: later})
    assert type(raised.value) is ValueError
    assert name in str(raised.value)


@each_of_tasks
def test_the_default_arguments_of_a_dag_are_held_to_the_same(made: Any, name: str) -> None:
    kind = kind_of(made.__name__, name)
    needed = needed_by(made)
    with DAG("of_every_argument", default_args={**needed, name: kind.right}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made(task_id="t")
    with (
        DAG("of_every_argument", default_args={**needed, name: object()}),
        pytest.raises(ValueError, match=name),
    ):
        made(task_id="t")


@each_of_tasks
def test_of_a_mapped_task_a_retry_would_find_the_same(made: Any, name: str) -> None:
    kind = kind_of(made.__name__, name)
    needed = {key: value for key, value in needed_by(made).items() if key != name}
    with DAG("of_every_argument"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mapped = made.partial(task_id="t", **needed).expand(**{name: [kind.right, object()]})
        mapped.unmap({name: kind.right})
        with pytest.raises(ValueError, match=name) as raised:
            mapped.unmap({name: object()})
    assert isinstance(raised.value, DswWaitArgumentError)


@each_templated
def test_the_word_of_a_template_for_what_is_missing_is_taken_for_free_text_alone(made: Any, name: str) -> None:
    takes_it = "'None'" in kind_of(made.__name__, name).takes
    is_free_text = name in ("dsw_conn_id", "region", "until", "description")

    assert takes_it is is_free_text, f"{name}: let its check refuse 'None', or say here that it is free text"


@each_templated
def test_what_is_rendered_to_something_wrong_is_the_documented_error(
    made: Any, name: str, dsw_default: DswEmulator
) -> None:
    kind = kind_of(made.__name__, name)
    means_another = ("0", "7", "-1") if "word" in kind.takes else ("'None'",)  # once it is rendered
    for label, value in wrong_values(kind).items():
        if label in means_another:
            continue
        with DAG("of_every_argument", render_template_as_native_obj=True):
            task = make(made, **{name: "{{ params.x }}"})
        task.render_template_fields({"params": {"x": value}})
        with pytest.raises(DswWaitArgumentError) as raised:
            task.execute({})
        assert name in str(raised.value), (label, raised.value)
    assert dsw_default.requests == []


# The triggers

OF_WATCHERS = arguments_of(DswInstanceEventTrigger.__init__)


@pytest.mark.parametrize("name", OF_WATCHERS)
def test_a_watcher_takes_the_same(name: str) -> None:
    kind = kind_of("DswInstanceEventTrigger", name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in (kind.right, *(VALUES[label]() for label in kind.takes)):
            DswInstanceEventTrigger(**{"instance_id": "dsw-1", name: value})
        for label, value in {**wrong_values(kind), "template": "{{ params.x }}"}.items():
            with refusal("DswInstanceEventTrigger", name, label, name):
                DswInstanceEventTrigger(**{"instance_id": "dsw-1", name: value})


# What the sensor and the operators give it beside a wait's own arguments is theirs.
OF_WAITS = arguments_of(DswBaseTrigger.__init__)


@pytest.mark.parametrize("name", [name for name in OF_WAITS if name != "poke_interval"])
def test_what_is_wrong_never_ends_a_triggerer_but_the_wait(name: str, dsw_default: DswEmulator) -> None:
    kind = kind_of("DswInstanceTrigger", name)
    is_text = "word" in kind.takes
    for label, value in wrong_values(kind).items():
        if label == "None" or (is_text and label in ("0", "7", "-1")):
            continue
        trigger = DswInstanceTrigger(**{"instance_id": "dsw-1", name: value})
        assert trigger.shared_stream_key() is None, label
        event = asyncio.run(task_runs.first_event(trigger))
        assert (event["outcome"], event["error"]) == ("failure", "DswWaitArgumentError"), label
        assert name in event["text"]
    assert dsw_default.requests == []


def test_the_interval_of_a_wait_may_be_a_timedelta() -> None:
    trigger = DswInstanceTrigger(instance_id="dsw-1", poke_interval=timedelta(seconds=30))

    assert json.loads(json.dumps(trigger.serialize()[1]))["poke_interval"] == 30


# The hook

METHODS: Mapping[str, Any] = {
    name: method for name, method in vars(DswHook).items() if inspect.isfunction(method) and not name.startswith("_")
}
OF_HOOK = [(method, name) for method in METHODS for name in arguments_of(METHODS[method])]
NAMES = {name for _, name in (*OF_TASKS, *OF_HOOK)}.union(OF_WATCHERS, OF_WAITS)


def call(method: str, /, **given: Any) -> Any:
    needed = {
        name: kind_of(method, name).right
        for name, parameter in inspect.signature(METHODS[method]).parameters.items()
        if name != "self" and parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    answer = getattr(DswHook("no_such_connection"), method)(**{**needed, **given})
    return asyncio.run(answer) if inspect.iscoroutine(answer) else list(answer)


@pytest.mark.parametrize(("method", "name"), OF_HOOK)
def test_a_method_of_the_hook_takes_what_is_right_and_refuses_the_rest_before_any_request(
    method: str, name: str
) -> None:
    kind = kind_of(method, name)
    for value in (kind.right, *(VALUES[label]() for label in kind.takes)):
        with acceptance(method, name), pytest.raises(AirflowException, match="no_such_connection"):
            call(method, **{name: value})
    for label, value in wrong_values(kind).items():
        with refusal(method, name, label, name):
            call(method, **{name: value})


@pytest.mark.parametrize("name", LIST_FILTERS)
def test_a_filter_is_sent_or_refused_by_its_name(name: str) -> None:
    for label, value in VALUES.items():
        with pytest.raises((AirflowException, ValueError)) as raised:
            call("list_instances", **{name: value()})
        if not isinstance(raised.value, AirflowException):
            assert type(raised.value) is ValueError, label
            assert name in str(raised.value), label


@pytest.mark.parametrize("name", ["dsw_conn_id", "region"])
def test_the_hook_itself(name: str) -> None:
    for value in (KINDS[name].right, *(VALUES[label]() for label in KINDS[name].takes)):
        DswHook(**{name: value})
    for value in wrong_values(KINDS[name]).values():
        with pytest.raises(ValueError, match=f"^{name}: "):
            DswHook(**{name: value})


# What is said of them


@each_of_tasks
def test_each_argument_of_a_task_is_described_where_it_is_declared(made: Any, name: str) -> None:
    owner = next(base for base in made.__mro__ if name in arguments_of(vars(base).get("__init__", object.__init__)))
    if owner.__module__.startswith("airflow_provider_dsw"):
        assert is_named(name, owner), f"the docstring of {owner.__name__} does not describe {name}"


@pytest.mark.parametrize("name", OF_WATCHERS)
def test_each_argument_of_a_watcher_is_described(name: str) -> None:
    assert is_named(name, DswInstanceEventTrigger), f"the docstring of DswInstanceEventTrigger does not describe {name}"


@pytest.mark.parametrize(("method", "name"), OF_HOOK)
def test_each_argument_of_the_hook_is_described(method: str, name: str) -> None:
    described = METHODS[method.removeprefix("a")] if "As :meth:" in METHODS[method].__doc__ else METHODS[method]
    assert is_named(name, described), f"the docstring of {method} does not describe {name}"


def is_named(name: str, described: Any) -> bool:
    return re.search(rf":param {name}:|``{name}\b", described.__doc__) is not None


@pytest.mark.parametrize("is_native", [True, False])
def test_a_path_is_no_list_of_its_letters(is_native: bool, dsw_default: DswEmulator) -> None:
    """The first one would be the root."""
    with pytest.raises(ValueError, match=r"^Task 't': exclude_paths: "):
        make(operators.DswCreateSnapshotOperator, exclude_paths="/mnt/data")
    with DAG("of_every_argument", render_template_as_native_obj=is_native):
        task = make(operators.DswCreateSnapshotOperator, exclude_paths="{{ params.x }}")
    task.render_template_fields({"params": {"x": "/mnt/data"}})

    with pytest.raises(DswWaitArgumentError, match="exclude_paths: "):
        task.execute({})
    assert dsw_default.requests == []


# What native rendering makes of texts


@pytest.mark.parametrize("template", ["{{ params.x }}", "{{ dag_run.run_after | ds_nodash }}"])
@pytest.mark.parametrize(
    ("made", "name", "sent"),
    [
        (operators.DswCreateSnapshotOperator, "snapshot_name", "SnapshotName"),
        (operators.DswCreateSnapshotOperator, "description", "SnapshotDescription"),
        (operators.DswCreateSnapshotOperator, "image_url", "ImageUrl"),
    ],
)
def test_a_number_that_native_rendering_makes_of_a_text_is_sent_as_that_text(
    made: Any, name: str, sent: str, template: str, dsw_default: DswEmulator
) -> None:
    dsw_default.add_instance("dsw-1")
    with DAG("of_every_argument", render_template_as_native_obj=True):
        task = make(made, wait_for_completion=False, deferrable=False, **{name: template})
    run = SimpleNamespace(run_after=datetime(2026, 11, 25, 8, tzinfo=UTC))
    task.render_template_fields({"params": {"x": "20261125"}, "dag_run": run})
    assert getattr(task, name) == 20261125

    task.execute({})

    (request,) = [request for request in dsw_default.requests if request.method == "POST"]
    assert json.loads(request.body)[sent] == "20261125"


def test_a_quoted_template_keeps_its_text(dsw_default: DswEmulator) -> None:
    """What the errors advise for what looks like a float."""
    dsw_default.add_instance("dsw-1")
    with DAG("of_every_argument", render_template_as_native_obj=True):
        task = make(operators.DswCreateSnapshotOperator, wait_for_completion=False, description="'{{ params.x }}'")
    task.render_template_fields({"params": {"x": "1.5"}})

    task.execute({})

    assert json.loads(dsw_default.requests[-1].body)["SnapshotDescription"] == "1.5"


ABOUT_AN_INSTANCE = [made for made, name in OF_TASKS if name == "instance_id"]


@pytest.mark.parametrize("made", ABOUT_AN_INSTANCE, ids=lambda made: made.__name__)
def test_an_id_is_taken_without_what_surrounds_it_and_may_be_a_number(made: Any, dsw_default: DswEmulator) -> None:
    for given in (" 20261125\n", 20261125):
        with DAG("of_every_argument", render_template_as_native_obj=True):
            task = make(made, instance_id="{{ params.x }}")
        task.instance_id = given
        with contextlib.suppress(AirflowException):  # there is no such instance
            task.execute({})
    assert {request.path for request in dsw_default.requests} == {"/api/v2/instances/20261125"}


@pytest.mark.parametrize("made", TASKS, ids=lambda made: made.__name__)
def test_a_task_without_an_id_is_airflow_s_own_error(made: Any) -> None:
    with pytest.raises(TypeError, match=r"missing.* 'task_id'"):
        made(**needed_by(made))
