"""
JMESPath over the service's answers.

What is wrong with an expression is said where the DAG is parsed; no message quotes an answer, which may hold secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from airflow_provider_dsw.arguments import on_one_line, shortened

MAX_SHOWN = 60
"""How much of an expression is in a message, in characters: what is wrong with it comes after."""


def compile_expression(name: str, expression: object) -> Any:
    """
    Return a JMESPath expression, compiled.

    :param name: the argument that holds it, for the message.
    :param expression: e.g. ``CloudDisks[0].Capacity``.
    :raises ValueError: on a syntax error, an unknown function, or a wrong number of arguments.
    """
    import jmespath

    if not isinstance(expression, str) or not expression.strip():
        raise ValueError(f"{name}: {expression!r} is not a JMESPath expression. Write one as a string.")
    try:
        compiled = jmespath.compile(expression)
        for node in _nodes(compiled.parsed):
            if node["type"] == "function_expression":
                _check_call(node["value"], len(node["children"]))
    except RecursionError:
        raise ValueError(f"{name}: the JMESPath expression is nested too deeply. Choose a simpler one.") from None
    except ValueError as error:  # as all of JMESPath's are
        # JMESPath quotes all of the expression below its own first line.
        said = str(error).partition("\n")[0].removesuffix(", for expression:").rstrip(".:")
        why = on_one_line(shortened(said))
        cut = expression if len(expression) <= MAX_SHOWN else f"{expression[: MAX_SHOWN - 1]}…"
        raise ValueError(
            f"{name}: {cut!r} is not valid JMESPath: {why}. Correct it as https://jmespath.org describes."
        ) from None
    return compiled


def search(expression: str, answer: Mapping[str, Any]) -> Any:
    """
    Return an expression's value.

    :param expression: one that :func:`compile_expression` takes.
    :param answer: what to evaluate it on.
    :raises ValueError: if it does not fit the answer.
    """
    import jmespath

    try:
        return jmespath.search(expression, answer)
    except jmespath.exceptions.JMESPathTypeError as error:
        expected = " or ".join(error.expected_types)
        raise ValueError(f"{error.function_name}() takes {expected}, not {error.actual_type}.") from None
    except TypeError:
        raise ValueError("It compares values of different types.") from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}.") from None


@lru_cache(maxsize=256)
def root_fields(expression: str) -> tuple[str, ...]:
    """
    Return the fields of the answer itself that an expression names, in its order.

    :param expression: one that :func:`compile_expression` takes.
    """
    import jmespath

    nodes = _root_nodes(jmespath.compile(expression).parsed)
    return tuple(str(node["value"]) for node in nodes if node["type"] == "field")


@lru_cache(maxsize=256)
def texts_beside(field: str, expression: str) -> tuple[str, ...]:
    """
    Return the texts that an expression compares a field of the answer itself with, in its order.

    :param field: the field's name.
    :param expression: one that :func:`compile_expression` takes.
    """
    import jmespath

    return tuple(
        text
        for node in _root_nodes(jmespath.compile(expression).parsed)
        if node["type"] in ("comparator", "function_expression")
        and any(child["type"] == "field" and child["value"] == field for child in node["children"])
        for child in node["children"]
        for text in _literal_texts(child)
    )


def is_true(value: Any) -> bool:
    """Return whether JMESPath takes a value for true: anything but null, false, ``''``, ``[]`` and ``{}``."""
    return value is not None and value is not False and value not in ("", [], {})


def _nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        yield node
        for child in node["children"]:
            yield from _nodes(child)


# What all of their children are evaluated on is what they are evaluated on; elsewhere that is so of the first alone.
_SIDE_BY_SIDE = frozenset(
    {
        "and_expression",
        "comparator",
        "function_expression",
        "key_val_pair",
        "multi_select_dict",
        "multi_select_list",
        "not_expression",
        "or_expression",
    }
)


def _root_nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Walk what is evaluated on the answer itself."""
    yield node
    if node["type"] != "expref":
        for child in node["children"] if node["type"] in _SIDE_BY_SIDE else node["children"][:1]:
            yield from _root_nodes(child)


def _literal_texts(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text that a node stands for, or those of a list."""
    if node["type"] == "literal":
        values = node["value"] if isinstance(node["value"], list) else [node["value"]]
        yield from (value for value in values if isinstance(value, str))
    elif node["type"] == "multi_select_list":
        for child in node["children"]:
            yield from _literal_texts(child)


def _check_call(function: str, given: int) -> None:
    from jmespath.functions import Functions

    if function not in Functions.FUNCTION_TABLE:
        raise ValueError(f"there is no function {function}().")
    signature = Functions.FUNCTION_TABLE[function]["signature"]
    is_variadic = bool(signature and signature[-1].get("variadic"))
    if given < len(signature) or (given > len(signature) and not is_variadic):
        least = "at least " if is_variadic else ""
        raise ValueError(f"{function}() takes {least}{len(signature)} arguments, not {given}.")
