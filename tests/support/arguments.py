"""Which arguments the package's classes and methods take, found by introspection."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

PACKAGE = "airflow_provider_dsw"
# Not a DAG author's: who polls says how often to ask, and who asks at a wait's end for how long.
INTERNAL = {"attempts", "time_limit"}
# Airflow's own arguments of a sensor whose wrong values Airflow itself would take.
OF_AIRFLOW = ("poke_interval", "timeout", "max_wait", "soft_fail", "silent_fail", "never_fail", "exponential_backoff")
# What a base takes, and an operator gives it.
NOT_TAKEN = {"DswCreateInstanceOperator": ["instance_id"]}


def parameters_of(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    for parameter in inspect.signature(inspect.unwrap(function)).parameters.values():
        if parameter.name not in ("self", *INTERNAL) and parameter.kind is not parameter.VAR_KEYWORD:
            yield parameter


def arguments_of(function: Callable[..., Any]) -> list[str]:
    return [parameter.name for parameter in parameters_of(function)]


def parameters_of_class(made: type) -> dict[str, inspect.Parameter]:
    """Return each parameter of a class by its name: a base's too, if the class passes on what it does not name."""
    found: dict[str, inspect.Parameter] = {}
    for base in made.__mro__:
        if base.__module__.startswith(PACKAGE) and "__init__" in vars(base):
            for parameter in parameters_of(vars(base)["__init__"]):
                found.setdefault(parameter.name, parameter)
            if not inspect.getfullargspec(vars(base)["__init__"]).varkw:
                break
    for name in NOT_TAKEN.get(made.__name__, ()):
        del found[name]
    return found


def arguments_of_class(made: type) -> list[str]:
    return [*parameters_of_class(made), *(OF_AIRFLOW if made is DswInstanceSensor else ())]


def required_by(made: type) -> list[str]:
    """Return the arguments that have no default."""
    return [name for name, each in parameters_of_class(made).items() if each.default is each.empty]
