"""JMESPath over the service's answers."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.expressions import compile_expression, is_true, search

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("Labels[0", "is not valid JMESPath"),
        ("Labels..Key", "is not valid JMESPath"),
        ("", "is not a JMESPath expression"),
        ("  ", "is not a JMESPath expression"),
        (None, "is not a JMESPath expression"),
        (True, "is not a JMESPath expression"),
        (["Status"], "is not a JMESPath expression"),
        ("lenght(Labels)", r"there is no function lenght\(\)"),
        ("Labels[?lenght(Key) > `1`]", r"there is no function lenght\(\)"),
        ("abs(a, b)", r"abs\(\) takes 1 arguments, not 2"),
        ("starts_with(Status)", r"starts_with\(\) takes 2 arguments, not 1"),
        ("{x: [abs()]}", r"abs\(\) takes 1 arguments, not 0"),
        ("not_null()", r"not_null\(\) takes at least 1 arguments, not 0"),
        ("(" * 5000 + "a" + ")" * 5000, "nested too deeply"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said_before_there_is_an_answer(expression: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"^until: .*{says}"):
        compile_expression("until", expression)


@pytest.mark.parametrize(
    "expression",
    [
        "Status",
        "UserVpc.ForwardInfos[?Name=='ssh'] | [0].ConnectInfo.Phase == 'Ready'",
        "IdleInstanceCuller.IdleTimeInMinutes >= `30`",
        "length(not_null(Labels, `[]`)) > `0` && !(Status == 'Failed')",
        "merge(UserVpc, @).VpcId",
        "Labels[1:3].Key | sort(@) | join(',', @)",
        "map(&Key, Labels)",
    ],
)
def test_what_is_right_is_taken(expression: str) -> None:
    compile_expression("until", expression)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("abs(Missing)", r"abs\(\) takes number, not null"),
        ("abs(Password)", r"abs\(\) takes number, not string"),
        ("sum([Password])", r"sum\(\) takes array-number"),
        ("Password > `1`", "It compares values of different types"),
        ("sort_by(Mixed, &value)", r"sort_by\(\) takes number, not string"),
    ],
)
def test_why_an_answer_can_not_be_evaluated_is_said_without_its_values(expression: str, says: str) -> None:
    answer = {"Password": SECRET, "Mixed": [{"value": 1}, {"value": SECRET}]}

    with pytest.raises(ValueError, match=says) as found:
        search(expression, answer)

    assert SECRET not in str(found.value)
    assert found.value.__cause__ is None
    assert found.value.__suppress_context__


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_what_is_empty_is_not_true(value: Any) -> None:
    assert not is_true(value)


@pytest.mark.parametrize("value", [True, 0, 0.0, "false", [None], {"a": None}, 1])
def test_all_else_is_true(value: Any) -> None:
    assert is_true(value)
