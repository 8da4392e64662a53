"""
What may leave: which details of an instance the next task gets, and which values it never gets.

Pure functions over the service's answer. XComs are stored unmasked, so what is secret is replaced here,
before anything is selected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, KeysView, Mapping
from typing import Any

from airflow_provider_dsw import validation
from airflow_provider_dsw.arguments import did_you_mean
from airflow_provider_dsw.expressions import root_fields, search
from airflow_provider_dsw.secrets import (
    MAX_STORED,
    MAX_WORD,
    clean,
    is_secret_name,
    iter_strings,
    storable,
    without_control,
    without_secrets,
)
from airflow_provider_dsw.urls import HIDDEN, hide_secrets
from airflow_provider_dsw.waits.documented_fields import DOCUMENTED_FIELDS

DEFAULT_FIELDS = (
    "InstanceId",
    "InstanceName",
    "Status",
    "ReasonCode",
    "ReasonMessage",
    "WorkspaceId",
    "WorkspaceName",
    "AcceleratorType",
    "EcsSpec",
    "ResourceId",
    "ResourceName",
    "RequestedResource",
    "PaymentType",
    "Accessibility",
    "ImageId",
    "ImageName",
    "ImageUrl",
    "GmtCreateTime",
    "GmtModifiedTime",
    "AccumulatedRunningTimeInMs",
    "InstanceUrl",
    "JupyterlabUrl",
    "WebIDEUrl",
    "TerminalUrl",
    "LatestSnapshot",
    "RequestId",
)

# Fields that are secret as a whole, and the key under which others hold a secret, at any depth: the shape that the
# API page documents is not the only one that has been seen.
SECRET_FIELDS = frozenset({"CredentialConfig", "ImageAuth", "EnvironmentVariables", "ServiceConfig"})
SECRET_KEYS = {"UserVpc": "SSHPublicKey", "Datasets": "Options", "DynamicMount": "Options"}
# A script may hold passwords; the service's answers don't show it.
SECRET_BODY_FIELDS = SECRET_FIELDS | {"UserCommand"}
SERVICE_TEXTS = ("Status", "ReasonCode", "ReasonMessage", "RequestId", "Code", "Message")
"""Texts of the service about an instance or a snapshot: shown as one line of limited length."""
_MAX_SERVICE_TEXT = 4000
SERVICE_MESSAGES = ("ReasonMessage", "Message")
"""Those of them that are sentences."""
MAX_DEPTH = 64
"""Levels of an answer that are looked through; what lies deeper is replaced whole."""


def default_details(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of :data:`DEFAULT_FIELDS` that GetInstance's answer holds."""
    return {name: answer[name] for name in DEFAULT_FIELDS if name in answer}


def redact(answer: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a copy of the service's answer with every secret value replaced by ``***``.

    Where a secret value is an object or a list its leaves are replaced, so that its shape stays visible. JSON in a
    string is looked through like an object. Of a URL the password or token is replaced, whatever the field, and so is
    what is known to be secret in this process: a service may echo it. A message may echo what is secret of the
    instance, too.

    :param answer: GetInstance's answer, or a snapshot.
    """
    redaction = _Redaction(SECRET_FIELDS)
    redacted = redaction.redact(answer)
    messages = {name: text for name in SERVICE_MESSAGES if isinstance(text := redacted.get(name), str)}
    if not messages or not redaction.hidden:
        return redacted
    return redacted | {name: without_secrets(text, also=redaction.hidden) for name, text in messages.items()}


def redact_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a copy of CreateInstance's body with every secret value replaced by ``***``, as :func:`redact` does.

    A script that runs on the instance is hidden whole, and a member or a label if its name says that it is secret.

    :param body: under the API's names.
    """
    return _Redaction(SECRET_BODY_FIELDS, by_name=True).redact(body)


def secrets_in(answer: Mapping[str, Any]) -> list[str]:
    """
    Return the texts that :func:`redact` hides.

    :param answer: GetInstance's answer, or a snapshot.
    """
    return _secrets_in(_Redaction(SECRET_FIELDS), answer)


def secrets_in_body(body: Mapping[str, Any]) -> list[str]:
    """
    Return the texts that :func:`redact_body` hides.

    :param body: under the API's names.
    """
    return _secrets_in(_Redaction(SECRET_BODY_FIELDS, by_name=True), body)


def _secrets_in(redaction: _Redaction, answer: Mapping[str, Any]) -> list[str]:
    redaction.redact(answer)
    return redaction.hidden


class _Redaction:
    """
    One look through an answer or a body.

    :param secret_fields: those that are secret as a whole.
    :param by_name: whether a member, or the value of a pair of Key and Value, is secret if its name says so.
    """

    def __init__(self, secret_fields: Collection[str], *, by_name: bool = False) -> None:
        self._secret_fields = secret_fields
        self._by_name = by_name
        self.hidden: list[str] = []

    def redact(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        return {
            clean(str(name), MAX_WORD): self._field(
                name, value, SECRET_KEYS.get(name), name in self._secret_fields, MAX_DEPTH
            )
            for name, value in answer.items()
        }

    def _redact(self, value: Any, secret_key: str | None, secret: bool, levels: int) -> Any:
        if levels == 0:
            return HIDDEN
        if isinstance(value, Mapping):
            secret_key = "Value" if self._by_name and is_secret_name(value.get("Key")) else secret_key
            return {
                clean(str(name), MAX_WORD): self._field(
                    name,
                    item,
                    secret_key,
                    secret or name == secret_key or (self._by_name and is_secret_name(name)),
                    levels - 1,
                )
                for name, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self._redact(item, secret_key, secret, levels - 1) for item in value]
        if secret:
            return self._hide(value)
        if not isinstance(value, str):
            return _number(value)
        return _shown(value) if secret_key is None else self._redact_json(value, secret_key, levels - 1)

    def _field(self, name: object, value: Any, secret_key: str | None, secret: bool, levels: int) -> Any:
        redacted = self._redact(value, secret_key, secret, levels)
        is_line = name in SERVICE_TEXTS and isinstance(redacted, str)
        return clean(redacted, _MAX_SERVICE_TEXT) if is_line else redacted

    def _hide(self, value: Any) -> str:
        if isinstance(value, str):
            self.hidden.append(value)
            self.hidden.extend(iter_strings(_parsed(value)))
        return HIDDEN

    def _redact_json(self, text: str, secret_key: str, levels: int) -> str:
        if text.lstrip()[:1] not in ("{", "[", '"'):
            return HIDDEN if secret_key in text else _shown(text)
        parsed = _parsed(text)
        if parsed is None:
            return HIDDEN
        redacted = self._redact(parsed, secret_key, False, levels)
        return text if redacted == parsed else json.dumps(redacted)


def _parsed(text: str) -> Any:
    """Return what JSON in a string holds; None if it is none."""
    try:
        return json.loads(text) if text.lstrip()[:1] in ("{", "[", '"') else None
    except (ValueError, RecursionError):
        return None


def _shown(text: str) -> str:
    return storable(hide_secrets(text[: 2 * MAX_STORED]))


def _number(value: Any) -> Any:
    """Return a number as JSON has it: there is none that is infinite, or not a number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _stored(value: Any, levels: int = MAX_DEPTH) -> Any:
    """Return a copy in a form that every database takes, secrets and all."""
    if levels == 0:
        return HIDDEN
    if isinstance(value, Mapping):
        return {without_control(name): _stored(item, levels - 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_stored(item, levels - 1) for item in value]
    return without_control(value) if isinstance(value, str) else _number(value)


def parse_fields(fields: Collection[str] | Mapping[str, str] | None) -> list[str] | dict[str, str] | None:
    """
    Return the fields that a DAG author requests, checked before anything runs; names of a set in sorted order.

    :param fields: None, field names, or a dict of name → JMESPath expression.
    :raises ValueError: on no field at all, an empty name, a name that the API page does not document (with
        the nearest that it does), or an expression that is not JMESPath.
    """
    if fields is None:
        return None
    if isinstance(fields, KeysView):
        fields = list(fields)
    if not isinstance(fields, Mapping) and not validation.is_collection(fields):
        shown = validation.shown(fields)
        raise ValueError(
            f"fields: {shown} is neither a list of field names nor a dict of name → JMESPath. Write e.g. ['Status']."
        )
    if not fields:
        raise ValueError("fields: empty. Leave it out for the default details, or name at least one field.")
    names = validation.items(fields)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"fields: {validation.shown(name)} is not a name. Write each as a string.")
        if name == "return_value":
            raise ValueError(
                "fields: 'return_value' is the key under which Airflow stores the whole dict. Use another name."
            )
    if isinstance(fields, Mapping):
        expressions = zip(names, fields.values(), strict=True)
        return {name: validation.expression(f"fields[{name!r}]", value) for name, value in expressions}
    for name in names:
        if name not in DOCUMENTED_FIELDS:
            raise ValueError(f"fields: GetInstance documents no field {name!r}.{did_you_mean(name, DOCUMENTED_FIELDS)}")
    return names


def select(
    answer: Mapping[str, Any],
    fields: Collection[str] | Mapping[str, str] | None = None,
    *,
    include_sensitive: bool = False,
) -> dict[str, Any]:
    """
    Return the details for the next task, in the order in which they were requested.

    :param answer: GetInstance's answer.
    :param fields: as :func:`parse_fields` takes them. None: the default details. Names: those, None for one
        that the answer lacks. A dict: each expression's value under its name.
    :param include_sensitive: leave secret values in.
    """
    answer = _stored(answer) if include_sensitive else redact(answer)
    if fields is None:
        return default_details(answer)
    if isinstance(fields, Mapping):
        return {name: _search(name, expression, answer) for name, expression in fields.items()}
    return {name: answer.get(name) for name in fields}


def unknown_field_warnings(fields: Mapping[str, str], details: Mapping[str, Any]) -> list[str]:
    """
    Return a warning for each expression whose value is None because its first field is mistyped.

    :param fields: name → JMESPath expression.
    :param details: what :func:`select` returned for them.
    """
    warnings = []
    for name, expression in fields.items():
        first = next(iter(root_fields(expression)), None)
        if details[name] is None and first is not None and first not in DOCUMENTED_FIELDS:
            near = did_you_mean(first, DOCUMENTED_FIELDS)
            warnings.append(f"fields[{name!r}] is None: GetInstance documents no field {first!r}.{near}")
    return warnings


def _search(name: str, expression: str, answer: Mapping[str, Any]) -> Any:
    try:
        return search(expression, answer)
    except ValueError as error:
        raise ValueError(
            f"fields[{name!r}]: {expression!r} can't be evaluated on the answer: {error} "
            "Choose an expression that fits it."
        ) from None
