"""
What a DAG author may pass, all of it.

Each check takes an argument's name and its value, and returns the value that the provider works with; or raises a
ValueError that names the argument, says what is wrong and what would be right. The same checks serve where the DAG is
parsed, after rendering, and in the hook. A value is shown only if it can't hold a secret.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from airflow_provider_dsw.arguments import did_you_mean
from airflow_provider_dsw.expressions import compile_expression
from airflow_provider_dsw.urls import hide_secrets
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES

Check = Callable[[str, Any], Any]

MAX_DURATION = timedelta(days=36525)
"""What still is a time to wait, a hundred years: clocks, sockets and databases have limits not far beyond."""
MAX_NUMBER = 10**18
"""What no number that the service takes comes near; Python writes no int of more than 4300 digits."""
MAX_SHOWN = 140
"""How much of a value is in a message, in characters."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_MISSING = "None"  # what a template makes of an XCom that is not there
_SNAPSHOT_NAME = re.compile(r"[a-z0-9-]+")
_RENDERS_TEXT = (
    " A single template renders to a list or a dict only if the DAG sets render_template_as_native_obj=True."
)
_NATIVE_NUMBER = (
    " If this came from a template: native rendering turns text that looks like a number into one. "
    "Quote it inside the template: \"'{{ … }}'\"."
)
_NOT_RENDERED = " The template was not rendered: execute() alone, as in a unit test, renders none."


def optional(check: Check) -> Check:
    """
    Return a check that takes None too, for "not given".

    :param check: of everything else.
    """
    return lambda name, value: None if value is None else check(name, value)


def optional_text(check: Check) -> Check:
    """
    Return a check that takes None and an empty text too, for "not given".

    :param check: of every other text.
    """
    # Without comparing: an array would compare each of its elements.
    return lambda name, value: None if value is None or (isinstance(value, str) and not value) else check(name, value)


def rendered(value: Any) -> Any:
    """
    Return what a template meant: native rendering makes an int of ``"20261125"``.

    :param value: what the template was rendered to.
    """
    if isinstance(value, int) and not isinstance(value, (bool, Enum)):
        try:
            return str(value)
        except ValueError:  # Python writes no int of more than 4300 digits
            return value
    return value


# One value


def boolean(name: str, value: object) -> bool:
    """
    Return a boolean. None is templated: a template that is rendered to ``'False'`` would be true.

    :param name: the argument.
    :param value: True or False.
    """
    if isinstance(value, bool):
        return value
    raise ValueError(
        f"{name}: {shown(value)} is neither True nor False, and {name} is not templated. "
        "To decide at run time, choose between two tasks, or map the task."
    )


def seconds(name: str, value: object, *, allow_zero: bool = False) -> float:
    """
    Return a number of seconds.

    :param name: the argument.
    :param value: a finite number above 0, or a timedelta.
    :param allow_zero: whether 0 is right too.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, (int, float)) and not isinstance(number, bool):
        if number > MAX_DURATION.total_seconds() and number != math.inf:
            raise ValueError(f"{name}: {shown(value)} is longer than a hundred years. Pass less.")
        if 0 < number < math.inf or (allow_zero and number == 0):
            return float(number)
    least = "0 or more" if allow_zero else "above 0"
    raise ValueError(f"{name}: {shown(value)} is not a number of seconds {least}, nor a timedelta. Pass one of these.")


def whole_number(name: str, value: object) -> int:
    """
    Return a whole number above 0.

    :param name: the argument.
    :param value: an int.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_NUMBER:
        return value
    raise ValueError(f"{name}: {shown(value)} is not a whole number above 0. Pass an int like 10.")


def text(name: str, value: object) -> str:
    """
    Return a text as it is; of a ``str`` enum, its value.

    :param name: the argument.
    :param value: a str with more than white space.
    """
    return _checked_text(name, value, shown)


def description(name: str, value: object) -> str:
    """
    Return a text, as :func:`text` does. It may be empty, and no message shows it.

    :param name: the argument.
    :param value: a str.
    """
    return str(value) if isinstance(value, str) and not value.strip() else _checked_text(name, value, _type_of)


def secret_text(name: str, value: object) -> str:
    """
    Return a text, as :func:`text` does. No message shows it.

    :param name: the argument.
    :param value: a str with more than white space.
    """
    return _checked_text(name, value, _type_of)


def identifier(name: str, value: object) -> str:
    """
    Return the id of an instance or snapshot, without surrounding white space.

    The service would take an empty one for ListInstances, and one with special characters for another path.

    :param name: the argument.
    :param value: letters, digits, ``-`` and ``_``, e.g. ``dsw-730xxxxxxxxxx``.
    """
    found = _plain(value)
    if not isinstance(found, str) or not _ID.fullmatch(found.strip()) or found.strip() == _MISSING:
        advice = _NATIVE_NUMBER if isinstance(found, float) else ""
        if isinstance(found, str) and "{{" in found:
            advice = _NOT_RENDERED
        raise ValueError(
            f"{name}: {shown(found)} is not a valid id. "
            f"Ids are letters, digits, '-' and '_', e.g. 'dsw-730abc'.{advice}"
        )
    return found.strip()


def is_identifier(value: object) -> bool:
    """
    Return whether the service may have given this as an id: another one can't be asked for.

    :param value: anything.
    """
    return isinstance(value, str) and bool(_ID.fullmatch(value))


def snapshot_name(name: str, value: object) -> str:
    """
    Return the name for a new snapshot.

    :param name: the argument.
    :param value: lowercase letters, digits and hyphens (CreateInstanceSnapshot's page).
    """
    found = _plain(value)
    if not isinstance(found, str) or not _SNAPSHOT_NAME.fullmatch(found):
        advice = _NATIVE_NUMBER if isinstance(found, (int, float)) else ""
        raise ValueError(
            f"{name}: {shown(found)} is not a name of lowercase letters, digits and hyphens. "
            f"Choose one like 'model-2'.{advice}"
        )
    return found


def image_url(name: str, value: object) -> str:
    """
    Return the address to push an image to.

    :param name: the argument.
    :param value: e.g. ``registry.cn-hangzhou.aliyuncs.com/ns/repo:tag``.
    """
    found = _plain(value)
    if found is None or (isinstance(found, str) and found.strip() in ("", _MISSING)):
        raise ValueError(f"{name}: {shown(found)} names no image. Name the repository and tag to push it to.")
    return secret_text(name, found)


def image(name: str, value: object) -> str:
    """
    Return what a snapshot's image is known by, without surrounding white space.

    :param name: the argument.
    :param value: an ``ImageId``, ``ImageName`` or ``ImageUrl``.
    """
    found = _plain(value)
    if not isinstance(found, str) or found.strip() in ("", _MISSING):
        advice = _NATIVE_NUMBER if isinstance(found, float) else ""
        raise ValueError(
            f"{name}: {shown(found)} is not an ImageId, ImageName or ImageUrl. Pass one as a string.{advice}"
        )
    return text(name, found).strip()


def moment(name: str, value: object) -> datetime:
    """
    Return a moment.

    :param name: the argument.
    :param value: an aware datetime, or ISO 8601 with a time zone.
    """
    found = _plain(value)
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found.strip())
        except ValueError:
            found = None
    if not isinstance(found, datetime):
        raise ValueError(
            f"{name}: {shown(value)} is neither a datetime nor ISO 8601. Write it like '2026-01-31T12:00:00Z'."
        )
    # Without a time zone, which moment it means would be a guess.
    if found.utcoffset() is None:
        raise ValueError(
            f"{name}: {value!s} has no time zone. Add one: '{found.isoformat()}Z' or '…+08:00' in a string, "
            "tzinfo=… (e.g. datetime.timezone.utc) in a datetime."
        )
    try:
        found.astimezone(UTC)
    except OverflowError:
        raise ValueError(
            f"{name}: {value!s} is not between the years 1 and 9999 in UTC. Choose a time within them."
        ) from None
    return found


def expression(name: str, value: object) -> str:
    """
    Return a JMESPath expression.

    :param name: the argument.
    :param value: what JMESPath can parse, with functions that it knows and as many arguments as they take.
    """
    found = _plain(value)
    if not isinstance(found, str) or not found.strip():
        raise ValueError(f"{name}: {shown(found)} is not a JMESPath expression. Write one as a string.")
    compile_expression(name, text(name, found))
    return found


def region(name: str, value: object) -> str | None:
    """
    Return a region id, which the connection checks further; None for the connection's own.

    :param name: the argument.
    :param value: e.g. ``cn-hangzhou``; None or empty for the connection's own.
    """
    return optional_text(text)(name, _plain(value))


# Several values


def target_statuses(name: str, value: object) -> tuple[str, ...]:
    """
    Return one or more instance statuses, those of a set in sorted order.

    :param name: the argument.
    :param value: a status, or several.
    """
    found = statuses(name, value if is_collection(value) else [value])
    if not found:
        raise ValueError(f"{name}: empty. Name at least one status.")
    return found


def statuses(name: str, value: object) -> tuple[str, ...]:
    """
    Return instance statuses, those of a set in sorted order.

    :param name: the argument.
    :param value: a list, tuple or set of them.
    """
    found = items(value) if is_collection(value) else [_plain(value)]
    found = [item.strip() if isinstance(item, str) else item for item in found]
    for status in found:
        if not isinstance(status, str) or status not in INSTANCE_STATUSES:
            near = did_you_mean(status if isinstance(status, str) else "", INSTANCE_STATUSES)
            raise ValueError(f"{name}: {shown(status)} is not an instance status.{near}")
    if not is_collection(value):
        raise ValueError(f"{name}: {shown(value)} is a single status. Write a list of them: [{found[0]!r}].")
    return tuple(found)


def texts(name: str, value: object) -> list[str]:
    """
    Return a list of texts, those of a set in sorted order.

    :param name: the argument.
    :param value: a list, tuple or set of them; a single text would be a list of letters.
    """
    if not is_collection(value):
        advice = _RENDERS_TEXT if isinstance(value, str) else ""
        raise ValueError(f"{name}: {shown(value)} is not a list of strings. Write one as ['…'].{advice}")
    return [text(f"{name}[{index}]", item) for index, item in enumerate(items(value))]


def labels(name: str, value: object) -> dict[str, str]:
    """
    Return labels as name → value.

    :param name: the argument.
    :param value: a dict, or the API's own list of ``Key`` and ``Value``; numbers and booleans are taken as texts.
    """
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) and "Key" in item for item in value):
        pairs = [(item["Key"], item.get("Value", "")) for item in value]
    else:
        advice = _RENDERS_TEXT if isinstance(value, str) else ""
        wanted = "neither a dict of name → value nor a list of {'Key': …, 'Value': …}"
        raise ValueError(f"{name}: {_type_of(value)} is {wanted}. Pass one of these.{advice}")
    found = {}
    for key, label in pairs:
        key, label = text(f"{name}, a label's name", key), _plain(label)
        if label is None:
            raise ValueError(f"{name}[{key!r}]: None is not a string. Leave the label out, or give it a value.")
        found[key] = str(_scalar(f"{name}[{key!r}]", label))
    return found


def json_object(name: str, value: object) -> dict[str, Any]:
    """
    Return a request's body, or a part of it.

    :param name: the argument.
    :param value: a dict with the API's own names, of what JSON can express.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        advice = _RENDERS_TEXT if isinstance(value, str) else ""
        raise ValueError(f"{name}: {_type_of(value)} is not a dict of the API's names and values. Pass one.{advice}")
    return json_value(name, dict(value))


def json_value(name: str, value: Any) -> Any:
    """
    Return what JSON can express.

    :param name: the argument.
    :param value: anything else is refused.
    """
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"{name}: it holds a value that JSON can't express. Convert it first.") from None
    return value


def query(name: str, value: object) -> dict[str, Any]:
    """
    Return the parameters of a request's query, without those that are None.

    :param name: the argument.
    :param value: a dict with the API's own names; of texts, numbers, booleans, aware datetimes, or lists of texts and
        numbers.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name}: {_type_of(value)} is not a dict of the API's names and values. Pass one.")
    return {key: parameter(f"{name}[{key!r}]", item) for key, item in value.items() if item is not None}


def parameter(name: str, value: object) -> Any:
    """
    Return one parameter of a query.

    :param name: the argument.
    :param value: as one of :func:`query`'s.
    """
    found = _plain(value)
    if isinstance(found, datetime):
        return moment(name, found)
    if is_collection(found):
        return [_scalar(name, item) for item in items(found)]
    return json_object(name, found) if isinstance(found, Mapping) else _scalar(name, found)


def body(name: str, value: object) -> dict[str, Any]:
    """
    Return the body of a request that can't go without.

    :param name: the argument.
    :param value: as :func:`json_object`'s, and not empty.
    """
    found = json_object(name, value)
    if not found:
        raise ValueError(f"{name}: empty. The API page of the operation lists its fields.")
    return found


def is_collection(value: object) -> bool:
    """
    Return whether a value is a list of some kind.

    :param value: anything.
    """
    # No iterator, which can be read only once, and no view, which can't be copied with its task.
    return isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (str, bytes, bytearray, memoryview))


def items(value: Any) -> list[Any]:
    """
    Return what is in a list of some kind, of an enum its value, and of a set in sorted order.

    :param value: for which :func:`is_collection` holds, or a dict.
    """
    found = [_plain(item) for item in value]
    is_set = isinstance(value, (set, frozenset))
    return sorted(found, key=lambda item: item if isinstance(item, str) else "") if is_set else found


def _plain(value: Any) -> Any:
    """Return an enum's value: the ``str()`` of a ``str`` enum is its name."""
    return value.value if isinstance(value, Enum) else value


def _scalar(name: str, value: object) -> Any:
    if isinstance(value, str):
        return description(name, value)
    if not isinstance(value, (int, float)) or not -MAX_NUMBER < value < MAX_NUMBER:
        raise ValueError(
            f"{name}: {_type_of(value)} is neither a string, a finite number, a boolean nor a datetime. "
            "Convert it first."
        )
    return value


def _checked_text(name: str, value: object, show: Callable[[object], str]) -> str:
    found = _plain(value)
    if not isinstance(found, str):
        advice = _NATIVE_NUMBER if isinstance(found, (int, float)) and not isinstance(found, bool) else ""
        raise ValueError(f"{name}: {show(found)} is not a string. Pass one.{advice}")
    if not found.strip():
        raise ValueError(f"{name}: empty. Pass a string with more than white space.")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: it holds a lone surrogate, which UTF-8 can't express. Remove it.") from None
    return found


def shown(value: object) -> str:
    """
    Return a value for a message; of anything but text and numbers only the type, since it could hold anything.

    :param value: anything.
    """
    if isinstance(value, str):
        found = repr(hide_secrets(value[: 2 * MAX_SHOWN]))
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        found = hide_secrets(repr(value[:9]))
    elif value is None or isinstance(value, (bool, float, bytes)):
        found = repr(value)
    elif isinstance(value, timedelta) or (isinstance(value, int) and abs(value) < MAX_NUMBER):
        found = str(value)
    else:
        return _type_of(value)
    return found if len(found) <= MAX_SHOWN else f"{found[: MAX_SHOWN - 3]}..."


def _type_of(value: object) -> str:
    kind = "None" if value is None else type(value).__name__
    return kind if value is None else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
