"""A request to the API, and what in it is secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dsw.details import secrets_in_body
from airflow_provider_dsw.secrets import is_secret_name


@dataclass(frozen=True)
class ApiRequest:
    """
    One call of the API.

    :param action: its name, e.g. ``GetInstance``.
    :param method: the HTTP method.
    :param path: below the endpoint; ids in it are checked before.
    :param query: without absent values.
    :param body: a JSON object, or None.
    """

    action: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def changes(self) -> bool:
        """Whether it changes something, so that it must not be repeated unless it is known to have failed."""
        return self.method != "GET"

    @property
    def parameter_secrets(self) -> tuple[str, ...]:
        """What in its query must never leave."""
        return tuple(value for name, value in self.query.items() if is_secret_name(name))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What a service must not echo: beside those, what is secret of an instance, be it a word like any other."""
        return *self.parameter_secrets, *secrets_in_body(self.body or {})
