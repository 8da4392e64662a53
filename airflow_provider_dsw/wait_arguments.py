"""
The arguments of a wait, each declared once.

The sensor and the triggers keep one flat attribute for each, under its name, because Airflow renders those. The
condition is built from them after that, never in a constructor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple

from airflow_provider_dsw import validation
from airflow_provider_dsw.arguments import is_literal
from airflow_provider_dsw.waits import statuses
from airflow_provider_dsw.waits.conditions import KINDS, WaitCondition


class _NotGiven(str):
    """A default that is distinguishable from the same word given by the DAG author."""


DEFAULT_TARGET = _NotGiven(statuses.RUNNING)


class Argument(NamedTuple):
    """
    One argument of a wait.

    :param name: its name in every signature, as an attribute and as a field of the conditions that take it.
    :param parse: one of :mod:`~airflow_provider_dsw.validation`'s checks; returns what the conditions take.
    :param default: what is meant if it is not given, for those conditions that take it.
    :param templated: whether Airflow renders it.
    :param watchable: whether an event trigger takes it.
    """

    name: str
    parse: validation.Check
    default: Any = None
    templated: bool = True
    watchable: bool = True


ARGUMENTS = (
    Argument("instance_id", validation.identifier),
    Argument("target_status", validation.target_statuses, default=statuses.RUNNING),
    Argument("wait_for_snapshot", validation.boolean, default=False, templated=False),
    Argument("snapshot_id", validation.identifier, watchable=False),
    Argument("snapshot_image", validation.image),
    Argument("snapshot_created_after", validation.moment, watchable=False),
    Argument("until", validation.expression),
    Argument("failure_statuses", validation.statuses, watchable=False),
)


def build_condition(values: Mapping[str, Any]) -> WaitCondition:
    """
    Return the condition that a wait's arguments mean.

    :param values: each argument that was given, by its name; None and False are the same as not given.
    :raises ValueError: on an argument that can't work, or two that contradict each other; the message names it.
    """
    given = {name: value for name, value in values.items() if value is not None and value is not False}
    kind = _kind_of(given)
    check_compatible(given)
    parsed = {each.name: each.parse(each.name, given[each.name]) for each in ARGUMENTS if each.name in given}
    if "instance_id" not in parsed:
        validation.identifier("instance_id", values.get("instance_id"))
    return kind(**parsed)


def check_compatible(given: Collection[str]) -> None:
    """
    Check that no two arguments contradict each other.

    :param given: the names of those that were given.
    :raises ValueError: if one means nothing to the kind of wait that the others mean.
    """
    kind = _kind_of(given)
    for name in given:
        if not kind.accepts(name):
            raise ValueError(f"{name}: a wait for {kind.noun} takes no {name}. Leave one of the two out.")


def _kind_of(given: Collection[str]) -> type[WaitCondition]:
    return next((kind for kind in KINDS if any(name in given for name in kind.chosen_by)), KINDS[-1])


class WaitArguments:
    """
    The arguments of a wait as attributes; to be mixed into who takes them: the sensor, and the triggers.

    Each attribute has the argument's own value, rendered or not.
    """

    instance_id: Any

    def set_wait_arguments(self, values: Mapping[str, Any]) -> None:
        """
        Set each argument's attribute.

        :param values: at least every argument, by its name: ``locals()`` of a constructor.
        """
        self._given = tuple(each.name for each in ARGUMENTS if _is_given(each, values[each.name]))
        kind = _kind_of(self._given)
        for argument in ARGUMENTS:
            value = values[argument.name]
            if argument.name not in self._given:
                value = argument.default if kind.accepts(argument.name) or not argument.default else None
            setattr(self, argument.name, value)

    def wait_arguments(self) -> dict[str, Any]:
        """Return each argument, by its name."""
        return {each.name: getattr(self, each.name) for each in ARGUMENTS}

    def check_wait_arguments(self, values: Mapping[str, Any]) -> None:
        """
        Check what is known where the DAG is parsed.

        :param values: as :meth:`set_wait_arguments`'s.
        :raises ValueError: as :func:`build_condition`.
        """
        check_compatible(self._given)
        for argument in ARGUMENTS:
            value = values[argument.name]
            # None means "not given" only to what has no other default.
            is_wrong_none = value is None and (argument.default is not None or argument.name == "instance_id")
            is_known = not argument.templated or is_literal(value)
            if is_wrong_none or (argument.name in self._given and is_known):
                argument.parse(argument.name, value)

    def condition(self) -> WaitCondition:
        """
        Return the condition that the rendered arguments mean.

        :raises ValueError: as :func:`build_condition`, and on an argument that was rendered to None.
        """
        values = self.wait_arguments()
        for argument in ARGUMENTS:
            value = values[argument.name]
            if argument.name in self._given and (value is None or value is False):
                # Else it would be taken for "not given", and mean another wait.
                argument.parse(argument.name, value)
                raise ValueError(f"{argument.name}: rendered to {value}. Check what the template refers to.")
            if argument.templated:
                values[argument.name] = validation.rendered(value)
        return build_condition(values)


def as_json(value: Any) -> Any:
    """
    Return an argument's value as plain types, for Airflow's database.

    :param value: the value, rendered or not.
    """
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, (set, frozenset)):
        return sorted(map(as_json, value))
    if isinstance(value, Mapping):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return [as_json(each) for each in value]
    return value


def _is_given(argument: Argument, value: Any) -> bool:
    # For any argument that is not a boolean, False is a mistake, which its check reports.
    is_default = value is None or (value is False and argument.default is False)
    return not is_default and not isinstance(value, _NotGiven)
