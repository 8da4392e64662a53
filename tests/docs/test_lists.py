"""Where a page lists what the code has, or gives a number of it, it is all of them, and that number."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_provider_dsw import diagnostics
from airflow_provider_dsw.client.http import MAX_ANSWER
from airflow_provider_dsw.client.transport import MAX_VALUES
from airflow_provider_dsw.hooks.dsw import MAX_ATTEMPTS
from airflow_provider_dsw.operators import dsw as operators
from airflow_provider_dsw.operators.base import DswBaseOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.waits.conditions import KINDS, WaitCondition
from tests.docs.readme import TEXT, codes, section
from tests.support.arguments import parameters_of_class
from tests.unit.operators import test_waits_before
from tests.unit.operators.test_idempotency import CASES

IN_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 8: "eight", 10: "ten", 20: "twenty"}
CLASSES = [DswInstanceSensor, *(getattr(operators, name) for name in operators.__all__)]
USUAL = {name: parameter.default for name, parameter in parameters_of_class(DswBaseOperator).items()}
# Which templated arguments some words stand for.
GROUPS = {
    "ids": ("instance_id", "snapshot_id"),
    "statuses": ("target_status", "failure_statuses"),
    "every `snapshot_…` argument": ("snapshot_image", "snapshot_created_after", "snapshot_name"),
}


@pytest.mark.parametrize(
    "words",
    [
        f"after {IN_WORDS[MAX_ATTEMPTS]} tries",
        f"the instance's last {IN_WORDS[diagnostics.LAST_EVENTS]} events",
        f"once, for {IN_WORDS[int(diagnostics.TIME_LIMIT)]} seconds at most",
        f"beyond {MAX_ANSWER // 2**20} MiB or {MAX_VALUES:,} values",
        f"`poke_interval` ({USUAL['poke_interval']:.0f} s) and `timeout` "
        f"({IN_WORDS[int(USUAL['timeout'] / 3600)]} hour per try)",
    ],
)
def test_a_number_is_that_of_the_code(words: str) -> None:
    is_said = words in " ".join(TEXT.split())

    assert is_said, f"no page in .github/docs says {words!r}"


def test_the_section_on_templates_has_each_argument_that_may_be_one() -> None:
    listed = " ".join(section("Templates").partition("are not:")[0].rpartition("Booleans")[0].split())
    named = {*codes(listed)}.union(*(names for words, names in GROUPS.items() if words in listed))
    templated: set[str] = {name for each in CLASSES for name in each.template_fields}

    assert templated - named == set(), "name it in Templates in .github/docs/waits.md, or the group that has it here"


@pytest.mark.parametrize("kind", KINDS, ids=lambda it: it.__name__)
def test_the_section_on_what_a_wait_does_says_when_each_kind_is_a_success(kind: type[WaitCondition]) -> None:
    successes = section("What a wait does").partition("| success.")[0].lower()
    words = {*kind.chosen_by, *kind.noun.split()} - {"a", "an", "by", "its"}
    named = any(word in successes for word in words)

    assert named, f"say in What a wait does in .github/docs/waits.md when {kind.__name__} is met, and where it fails"


@pytest.mark.parametrize("action", [busy.action for busy in test_waits_before.OPERATORS.values() if busy.waits])
def test_the_page_on_pipelines_says_what_each_operator_waits_for_before(action: str) -> None:
    told = section("What every operator does").partition("**They wait for what must end first:**")[2]
    waiting = [part.partition("for the end of")[0] for part in told.partition(".")[0].split(";")]
    verb = re.findall("[A-Z][a-z]+", action)[0].lower().removesuffix("e")

    assert any(verb in words for words in waiting), f"say in .github/docs/pipelines.md what {action} waits for before"


@pytest.mark.parametrize(
    "operator", dict.fromkeys(operator for operator, *_ in CASES.values()), ids=lambda it: it.__name__
)
def test_the_page_on_pipelines_says_what_each_operator_returns(operator: Any) -> None:
    told = " ".join(section("What every operator does").partition("**What they return.**")[2].split())
    names = [name for name, case in CASES.items() if case[0] is operator]

    assert any(f"`{name}.output`" in told for name in names), f"say in .github/docs/pipelines.md what {names} return"
