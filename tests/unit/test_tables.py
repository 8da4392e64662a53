"""
Every table of tests has a row for each thing of the package that it is about, and for nothing else.

Whoever adds something finds here, in seconds, which tables want a row for it, and what the row has to say.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_provider_dsw import operators as room_of_operators
from airflow_provider_dsw import validation
from airflow_provider_dsw.client import api
from airflow_provider_dsw.client.connection_fields import REQUIRED_FIELDS, form_fields, secret_fields
from airflow_provider_dsw.emulator.instance import template as default_instance
from airflow_provider_dsw.emulator.operations import ACTIONS
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.mixins import DswTaskMixin
from airflow_provider_dsw.operators import dsw as public_operators
from airflow_provider_dsw.operators.base import DswBaseOperator
from airflow_provider_dsw.secrets import is_secret_name
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.wait_arguments import ARGUMENTS
from airflow_provider_dsw.waits.assumptions import ASSUMPTIONS
from airflow_provider_dsw.waits.conditions import KINDS, WaitCondition
from airflow_provider_dsw.waits.documented_fields import DOCUMENTED_FIELDS
from tests.bench import test_import_cost
from tests.live import checks
from tests.support import live_service
from tests.support.arguments import parameters_of_class
from tests.system.faults import calls, tasks
from tests.unit import (
    test_answers_generated,
    test_every_argument,
    test_secrets_in_frames,
    test_validation_generated,
    test_wait_arguments,
)
from tests.unit.client import test_connection, test_connection_form, test_credentials, test_renewal
from tests.unit.operators import (
    test_body,
    test_delete,
    test_idempotency,
    test_lost_answers,
    test_old_states,
    test_outcomes,
    test_waits_before,
)
from tests.unit.waits import test_conditions, test_transitions

PACKAGE = "airflow_provider_dsw"
EXAMPLES = Path(__file__).parents[2] / "example_dags"


class Table(NamedTuple):
    """
    A table of tests.

    :param name: where it is.
    :param rows: for what it has a row.
    :param wanted: for what it needs one.
    :param says: what a row says.
    """

    name: str
    rows: set[str]
    wanted: set[str]
    says: str


def names(things: Iterable[Any]) -> set[str]:
    return {thing.__name__ for thing in things}


def names_in(code: str) -> set[str]:
    """The operators that it names."""
    return set(re.findall(r"\bDsw\w+Operator\b", code))


def kinds(conditions: Iterable[WaitCondition]) -> set[str]:
    return {type(condition).__name__ for condition in conditions}


def subclasses(base: type[Any]) -> set[type[Any]]:
    """Those in the package."""
    found: set[type[Any]] = set()
    for made in base.__subclasses__():
        if made.__module__.startswith(f"{PACKAGE}."):
            found |= {made, *subclasses(made)}
    return found


# An operator that nobody has imported is found, too.
for found in pkgutil.iter_modules(room_of_operators.__path__, f"{room_of_operators.__name__}."):
    importlib.import_module(found.name)

CALLS = {name for name, each in vars(api).items() if getattr(each, "__annotations__", {}).get("return") == "ApiCall"}
METHODS = {
    name
    for name, method in vars(DswHook).items()
    if inspect.isfunction(method) and not name.startswith("_") and "api." in inspect.getsource(method)
}
# Those that are secret by their names, and those that hold whatever the API takes.
MAY_BE_SECRET = {
    f"{name}({argument.name})"
    for name in METHODS
    for argument in inspect.signature(getattr(DswHook, name)).parameters.values()
    if is_secret_name(argument.name)
    or "Mapping[str, Any]" in str(argument.annotation)
    or argument.kind is argument.VAR_KEYWORD
}
ACTIONS_OF_API = set(re.findall(r'(?:ApiRequest|any_operation)\(\s*"(\w+)"', inspect.getsource(api)))
CHECKS = {
    name
    for name, each in vars(validation).items()
    if not name.startswith("_") and getattr(each, "__module__", "") == validation.__name__
}
WATCHABLE = {argument.name for argument in ARGUMENTS if argument.watchable}
# What has subclasses is a base, unless it is public itself.
PUBLIC = {*public_operators.__all__}
MADE = {
    made
    for made in subclasses(DswTaskMixin)
    if made.__module__.startswith(f"{room_of_operators.__name__}.")
    and (made.__name__ in PUBLIC or not subclasses(made))
}
OPERATORS = names(MADE)
CHANGING = names(made for made in MADE if issubclass(made, DswBaseOperator))
# An argument that holds whatever the API takes may hold secrets, as that of the hook's methods.
WITH_BODY = names(
    made
    for made in MADE
    if any("Mapping[str, Any]" in str(parameter.annotation) for parameter in parameters_of_class(made).values())
)
CHANGES = "tests/unit/operators"

TABLES = [
    # Kinds of wait, and their arguments
    Table(
        "CONDITIONS in tests/unit/waits/test_conditions.py",
        kinds(condition for condition, _ in test_conditions.CONDITIONS),
        names(KINDS),
        "a condition of the kind, and the words that name what it waits for",
    ),
    Table(
        "ENTERED in tests/unit/waits/test_transitions.py",
        {*test_transitions.ENTERED},
        WATCHABLE - {"instance_id"},
        "a condition that the argument is a part of, answers in turn that do not satisfy it, and one that does; if it "
        "narrows a wait, the former show a change that would satisfy the wait without it",
    ),
    Table(
        "CONDITIONS in tests/unit/test_answers_generated.py",
        kinds(test_answers_generated.CONDITIONS)
        | {name for condition in test_answers_generated.CONDITIONS for name in condition.arguments()},
        names(KINDS) | {argument.name for argument in ARGUMENTS if any(kind.accepts(argument.name) for kind in KINDS)},
        "a condition of the kind, or with the argument; SNAPSHOTS there names what is read of a snapshot",
    ),
    Table(
        "WAITS in tests/system/faults/tasks.py",
        kinds(
            DswInstanceSensor(task_id="t", instance_id="a", **wait.arguments).condition()
            for wait in tasks.WAITS.values()
        ),
        names(KINDS),
        "the sensor's arguments, and the instance's status before: 'Starting', from which it gets to 'Running' 12 s "
        "later; `shows` are the fields of it then that end the wait, which it must not have before",
    ),
    Table(
        "SAMPLES in tests/unit/test_wait_arguments.py",
        {*test_wait_arguments.SAMPLES},
        {argument.name for argument in ARGUMENTS},
        "a value that means something beside the instance alone; no field of the emulator's default instance has it",
    ),
    Table(
        "OTHER_SAMPLES in tests/unit/test_wait_arguments.py",
        {*test_wait_arguments.OTHER_SAMPLES},
        WATCHABLE,
        "a second value, of the same kind of wait",
    ),
    Table(
        "CHECKS, or NO_CHECKS, in tests/unit/test_validation_generated.py",
        (names(test_validation_generated.CHECKS) & CHECKS) | test_validation_generated.NO_CHECKS,
        CHECKS,
        "the function of validation.py",
    ),
    # Operations of the API
    Table(
        "ROUTES in airflow_provider_dsw/emulator/operations.py",
        ACTIONS_OF_API & ACTIONS,
        ACTIONS_OF_API,
        "the method, the path, and the handler, which lies beside its likes",
    ),
    Table(
        "OPERATIONS in tests/system/faults/calls.py, by the function of client/api.py",
        {operation.api for operation in calls.OPERATIONS.values()},
        CALLS,
        "how the hook is called; BESIDE in tests/support/beside.py adds what it needs beside the instance, by a "
        "method of emulator/backend.py",
    ),
    Table(
        "OPERATIONS in tests/system/faults/calls.py, by the method of the hook",
        {operation.method for operation in calls.OPERATIONS.values()},
        METHODS | {"test_connection"},
        "how the hook is called",
    ),
    Table(
        "CALLS in tests/unit/test_answers_generated.py",
        {*test_answers_generated.CALLS},
        CALLS,
        "the call with arguments that are right",
    ),
    Table(
        "SECRET_ARGUMENTS, or NO_SECRETS, in tests/unit/test_secrets_in_frames.py",
        {*test_secrets_in_frames.SECRET_ARGUMENTS, *test_secrets_in_frames.NO_SECRETS},
        MAY_BE_SECRET,
        "the call, with a secret in this argument; the method of hooks/dsw.py has to `del` it before it sends anything",
    ),
    Table(
        "NEEDED in tests/unit/test_answers_generated.py",
        {*test_answers_generated.NEEDED},
        ACTIONS_OF_API - {"GetInstance"},
        "what an answer has to hold for a task to go on, and what the hook's method hands on of it",
    ),
    Table(
        "CHECKS in tests/live/checks.py",
        {*checks.CHECKS},
        {*ASSUMPTIONS},
        "by which run it is tried, and what shows in its observations that the assumption holds, or not; if no run "
        "makes the request, changing.py has to; KEPT in observations.py names the fields that they keep; `pytest -m "
        "slow tests/live` tries it",
    ),
    Table(
        "OPTIONS, OWN_OPTIONS, FIELDS, FAULTS, PAGES or CHANGES in tests/support/live_service.py",
        live_service.CONTRADICTED,
        {*ASSUMPTIONS},
        "by what the service contradicts the assumption: its check has to notice it, and no other, as `pytest -m slow "
        "tests/live` tries",
    ),
    # Operators
    Table(
        "__all__ in airflow_provider_dsw/operators/dsw.py",
        PUBLIC,
        OPERATORS,
        "the class, which is imported there: DAG authors import it from there",
    ),
    Table(
        "KINDS in tests/unit/test_every_argument.py",
        {*test_every_argument.KINDS},
        test_every_argument.NAMES,
        "a value that is right, and which of VALUES are, too",
    ),
    Table(
        "OPERATORS in tests/system/faults/tasks.py",
        names(task.make for task in tasks.OPERATORS.values() if task.make),
        OPERATORS,
        "the operator's arguments, the instance's status before, what is requested, and, without a request, how the "
        "service looks after it",
    ),
    Table(
        "TASKS in tests/unit/test_answers_generated.py",
        names(made for made, _ in test_answers_generated.TASKS.values()),
        OPERATORS | {DswInstanceSensor.__name__},
        "the operator's arguments",
    ),
    Table(
        "TASKS in tests/unit/test_secrets_in_frames.py",
        {type(make()).__name__ for make in test_secrets_in_frames.TASKS.values()},
        OPERATORS | {DswInstanceSensor.__name__},
        "a task that fails if each change is refused",
    ),
    Table(
        "LOADED_BY_A_DAG_FILE in tests/bench/test_import_cost.py",
        names_in(test_import_cost.LOADED_BY_A_DAG_FILE["operators"][1]),
        OPERATORS,
        "a task of it; beside it stand the modules of the package that this loads",
    ),
    Table(
        "example_dags/",
        names_in("".join(path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py"))),
        OPERATORS,
        "a task of it, on an instance that `dsw-emulator run` serves",
    ),
    Table(
        f"CASES in {CHANGES}/test_idempotency.py",
        names(operator for operator, *_ in test_idempotency.CASES.values()),
        CHANGING,
        "the instance's status before, the operator's arguments, and the status after; if no look tells whether its "
        "request was performed, but a second does no harm, HARMLESS has its action; the key is the task's name in "
        "pipelines.md",
    ),
    *(
        Table(
            f"OPERATORS, or TESTED_ALONE, in {CHANGES}/{module.__name__.rpartition('.')[2]}.py",
            names(row.values[0].operator for row in module.OPERATORS) | names(module.TESTED_ALONE),
            CHANGING,
            "a Change (takes_time=False if it is done at once); or which module tests the same, if these do not fit",
        )
        for module in (test_lost_answers, test_outcomes)
    ),
    Table(
        f"OPERATORS, or TESTED_ALONE, in {CHANGES}/test_waits_before.py",
        names(test_waits_before.OPERATORS) | names(test_waits_before.TESTED_ALONE),
        CHANGING,
        "the operator's arguments, what it requests, whose statuses' end it waits for before, and in which statuses it "
        "requests it at once, and in which it is done; or which module tests the same, if this does not fit",
    ),
    Table(
        f"OLDER_SUCCESSES, or TESTED_ALONE, in {CHANGES}/test_old_states.py",
        names(row.operator for row in test_old_states.OLDER_SUCCESSES) | names(test_old_states.TESTED_ALONE),
        CHANGING,
        "an instance that has had once what the operator brings about, and an answer from then, which is no success; "
        "or which module tests the same, if this does not fit",
    ),
    Table(
        f"DELETIONS in {CHANGES}/test_delete.py",
        names(operator for operator, *_ in test_delete.DELETIONS),
        names(made for made in MADE if issubclass(made, DswBaseOperator) and made.action.startswith("Delete")),
        "the operator's arguments, and the action by which it looks at what it deletes",
    ),
    Table(
        f"BODIES in {CHANGES}/test_body.py",
        names(test_body.BODIES),
        WITH_BODY,
        "a body that the operator takes, what requests something with it, and the instance's status before; a "
        "DswBaseOperator masks what its template_fields name as body, and sends self._body",
    ),
    # The connection
    Table(
        "EXTRA in tests/unit/client/test_connection_form.py",
        test_connection_form.EXTRA,
        {*form_fields()},
        "the field's name",
    ),
    Table(
        "AUTH_TYPES in tests/unit/client/test_connection_form.py",
        {*test_connection_form.AUTH_TYPES},
        {*REQUIRED_FIELDS},
        "the type, in the form's order",
    ),
    Table(
        "FIELDS in tests/unit/client/test_connection.py",
        {*test_connection.FIELDS},
        {*form_fields()},
        "a value other than the default",
    ),
    Table(
        "MALFORMED, or ANY_TEXT, in tests/unit/client/test_connection.py",
        {name for name in form_fields() for _, (first, *_) in test_connection.MALFORMED if name in first}
        | test_connection.ANY_TEXT,
        {*form_fields()},
        "a value that parse() has to refuse, and words of the error, the first of which hold the field's name; or the "
        "name, if any text will do",
    ),
    Table(
        "REPLACED in tests/unit/client/test_renewal.py",
        {*test_renewal.REPLACED},
        {"password", *secret_fields()},
        "how it is replaced, in the connection and where it is checked; what refuses the old value lets _exchange in "
        "hooks/dsw.py look the connection up anew",
    ),
    Table(
        "KINDS in tests/unit/client/test_credentials.py",
        {kind.name for kind in test_credentials.KINDS},
        {*REQUIRED_FIELDS},
        "what a connection of the type says, and how its source refuses",
    ),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_there_is_a_row_for_each_and_for_nothing_else(table: Table) -> None:
    lacking, stray = sorted(table.wanted - table.rows), sorted(table.rows - table.wanted)

    assert not lacking, f"{table.name} lacks a row for {', '.join(lacking)}. A row says: {table.says}."
    assert not stray, f"{table.name} has a row for {', '.join(stray)}, which the package does not have."


DOCUMENTED = {**dict.fromkeys(DOCUMENTED_FIELDS), **default_instance()}
ANSWERS = {
    **{f"ENTERED[{name!r}]": [*before, after] for name, (_, before, after) in test_transitions.ENTERED.items()},
    **{f"WAITS[{name!r}]": [wait.shows] for name, wait in tasks.WAITS.items()},
}


def undocumented(shown: Any, documented: Any, path: str = "") -> set[str]:
    """Which fields are shown that the documented answer does not have."""
    found: set[str] = set()
    if isinstance(shown, dict) and isinstance(documented, dict) and documented:
        for name, value in shown.items():
            found |= undocumented(value, documented.get(name, ...), f"{path}.{name}".lstrip("."))
    elif isinstance(shown, list) and isinstance(documented, list) and documented:
        found = found.union(*(undocumented(each, documented[0], path) for each in shown))
    return {path} if documented is ... else found


@pytest.mark.parametrize("row", ANSWERS)
def test_what_a_wait_is_tried_with_is_an_answer_as_it_is_documented(row: str) -> None:
    odd = set().union(*(undocumented(answer, DOCUMENTED) for answer in ANSWERS[row]))

    assert not odd, f"{row}: GetInstance has no {', '.join(sorted(odd))}: see emulator/default_instance.json"


@pytest.mark.parametrize("kind", test_credentials.KINDS, ids=str)
def test_each_auth_type_is_tested_without_each_field_that_it_needs(kind: test_credentials.Kind) -> None:
    standard = {"login": "access_key_id", "password": "access_key_secret"}
    tried = {standard.get(name, name) for name in kind.needs}

    assert tried == {*REQUIRED_FIELDS[kind.name]}, f"needs of {kind.name} in tests/unit/client/test_credentials.py"


@pytest.mark.parametrize(
    "module", [test_lost_answers, test_old_states, test_outcomes, test_waits_before], ids=lambda it: it.__name__
)
def test_what_is_said_to_be_tested_alone_is(module: Any) -> None:
    for made, file in module.TESTED_ALONE.items():
        path = Path(module.__file__).with_name(file)
        assert path.is_file(), f"{path} is missing"
        assert made.__name__ in path.read_text(encoding="utf-8")
