"""
The arguments of a wait, each declared once.

The sensor and the triggers keep one flat attribute for each, under its name, because Airflow renders those. The
condition is built from them after that, never in a constructor.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_provider_dsw.arguments import check_id, is_literal, nearest
from airflow_provider_dsw.expressions import compile_expression
from airflow_provider_dsw.waits.conditions import KINDS, WaitCondition
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES


class _NotGiven(str):
    """A default that can be told apart from the same word given by the DAG author."""


RUNNING = _NotGiven("Running")


@dataclass(frozen=True)
class Argument:
    """
    One argument of a wait.

    :param name: its name in every signature, as an attribute and as a field of the conditions that take it.
    :param parse: takes the name and a value; returns what the conditions take, or raises a ValueError that names it.
    :param default: what is meant if it is not given, for those conditions that take it.
    :param templated: whether Airflow renders it.
    :param watchable: whether an event trigger takes it.
    """

    name: str
    parse: Callable[[str, Any], Any]
    default: Any = None
    templated: bool = True
    watchable: bool = True


def _id(name: str, value: Any) -> str:
    check_id(name, value)
    return str(value)


def _statuses(name: str, value: Any) -> tuple[str, ...]:
    several = sorted(value, key=_plain) if isinstance(value, (set, frozenset)) else value
    several = several if isinstance(several, Iterable) and not isinstance(several, str) else (several,)
    statuses = tuple(map(_plain, several))
    for status in statuses:
        if status not in INSTANCE_STATUSES:
            raise ValueError(f"{name}: {status!r} is no instance status.{nearest(status, INSTANCE_STATUSES)}")
    return statuses


def _target_status(name: str, value: Any) -> tuple[str, ...]:
    if not (statuses := _statuses(name, value)):
        raise ValueError(f"{name}: empty. Name at least one status.")
    return statuses


def _image(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: {value!r} is no ImageId, ImageName or ImageUrl.")
    return str(_plain(value))


def _moment(name: str, value: Any) -> datetime:
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            moment = None
    if not isinstance(moment, datetime):
        raise ValueError(f"{name}: {value!r} is neither a datetime nor ISO 8601.")
    # Without a time zone, which moment it means would be a guess.
    if moment.utcoffset() is None:
        raise ValueError(
            f"{name}: {value!s} has no time zone. Add one: '…Z' or '…+08:00' in a string, "
            "tzinfo=… (e.g. datetime.timezone.utc) in a datetime."
        )
    return moment


def _expression(name: str, value: Any) -> str:
    compile_expression(name, value)
    return str(value)


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name}: {value!r} is neither True nor False.")
    return value


def _plain(value: Any) -> Any:
    """A string without what surrounds it; of an enum, its value."""
    value = value.value if isinstance(value, Enum) else value
    return value.strip() if isinstance(value, str) else value


ARGUMENTS = (
    Argument("instance_id", _id),
    Argument("target_status", _target_status, default="Running"),
    Argument("wait_for_snapshot", _boolean, default=False, templated=False),
    Argument("snapshot_id", _id, watchable=False),
    Argument("snapshot_image", _image),
    Argument("snapshot_created_after", _moment, watchable=False),
    Argument("until", _expression),
    Argument("failure_statuses", _statuses, watchable=False),
)


def condition_of(values: Mapping[str, Any]) -> WaitCondition:
    """
    Return the condition that a wait's arguments mean.

    :param values: each argument that was given, by its name; None and False are the same as not given.
    :raises ValueError: on an argument that can't work, or two that contradict each other; the message names it.
    """
    given = {name: value for name, value in values.items() if value is not None and value is not False}
    kind = _kind_of(given)
    check_together(given)
    parsed = {each.name: each.parse(each.name, given[each.name]) for each in ARGUMENTS if each.name in given}
    if "instance_id" not in parsed:
        check_id("instance_id", values.get("instance_id"))
    return kind(**parsed)


def check_together(given: Collection[str]) -> None:
    """
    Check that no two arguments contradict each other.

    :param given: the names of those that were given.
    :raises ValueError: if one means nothing to the kind of wait that the others mean.
    """
    kind = _kind_of(given)
    for name in given:
        if not kind.takes(name):
            raise ValueError(
                f"{name}: a wait for {kind.noun} has no {name.replace('_', ' ')}. Leave one of the two out."
            )


def _kind_of(given: Collection[str]) -> type[WaitCondition]:
    return next((kind for kind in KINDS if any(name in given for name in kind.named_by)), KINDS[-1])


class WaitArguments:
    """
    The arguments of a wait as attributes; to be mixed into who takes them: the sensor, and the triggers.

    Each attribute has the argument's own value, rendered or not.
    """

    instance_id: Any

    def take_wait_arguments(self, values: Mapping[str, Any]) -> None:
        """
        Set each argument's attribute.

        :param values: at least every argument, by its name: ``locals()`` of a constructor.
        """
        self._given = tuple(each.name for each in ARGUMENTS if _is_given(values[each.name]))
        kind = _kind_of(self._given)
        for argument in ARGUMENTS:
            value = values[argument.name]
            if argument.name not in self._given:
                value = argument.default if kind.takes(argument.name) or not argument.default else None
            setattr(self, argument.name, value)

    def wait_arguments(self) -> dict[str, Any]:
        """Return each argument, by its name."""
        return {each.name: getattr(self, each.name) for each in ARGUMENTS}

    def check_wait_arguments(self, values: Mapping[str, Any]) -> None:
        """
        Check what is known where the DAG is parsed.

        :param values: as :meth:`take_wait_arguments`'s.
        :raises ValueError: as :func:`condition_of`.
        """
        check_together(self._given)
        for argument in ARGUMENTS:
            value = values[argument.name]
            # None means "not given" only to what has no other default.
            is_wrong_none = value is None and (argument.default or argument.name == "instance_id")
            is_known = not argument.templated or is_literal(value)
            if is_wrong_none or (argument.name in self._given and is_known):
                argument.parse(argument.name, value)

    def condition(self) -> WaitCondition:
        """
        Return the condition that the rendered arguments mean.

        :raises ValueError: as :func:`condition_of`, and on an argument that was rendered to None.
        """
        values = self.wait_arguments()
        for argument in ARGUMENTS:
            if argument.name in self._given and values[argument.name] is None:
                argument.parse(argument.name, None)
                raise ValueError(f"{argument.name}: rendered to None.")
        return condition_of(values)


def as_json(value: Any) -> Any:
    """
    Return an argument's value as plain types, for Airflow's database.

    :param value: the value, rendered or not.
    """
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, (set, frozenset)):
        return sorted(map(as_json, value))
    if isinstance(value, Mapping):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    return str(value) if isinstance(value, str) else value


def _is_given(value: Any) -> bool:
    return value is not None and value is not False and not isinstance(value, _NotGiven)
