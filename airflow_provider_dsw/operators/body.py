"""The body of a request, in the API's own names: Airflow stores it masked, and the service gets it whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_dsw.details import redact_body, secrets_in_body
from airflow_provider_dsw.mixins import DswWaitMixin


class MaskedBodyMixin(DswWaitMixin):
    """
    Masks what is secret in the argument ``body`` of an operator whose ``template_fields`` name it.

    Airflow stores the rendered fields before the task runs. After rendering, ``self.body`` is therefore a masked copy,
    to be shown; ``self._body`` is what to send.
    """

    body: Any = None
    _rendered_body: Any = None

    @property
    def _body(self) -> Any:
        """The body as it was given, or rendered, with its secrets."""
        return self.body if self._rendered_body is None else self._rendered_body

    @property
    def secrets(self) -> Iterable[str]:
        """As the base's: an event may echo what is secret in the body."""
        return secrets_in_body(self._body) if isinstance(self._body, Mapping) else ()

    def _do_render_template_fields(self, parent: Any, *arguments: Any, **more: Any) -> None:
        """Render, and leave in the field what Airflow may store."""
        is_own = parent is self and "body" in self.template_fields
        if is_own:
            self.body = self._body
        super()._do_render_template_fields(parent, *arguments, **more)
        if is_own:
            self._rendered_body = self.body
            if isinstance(self.body, Mapping):
                self.body = redact_body(self.body)

    def _validate_arguments(self) -> None:
        """As the base's: of a body, what was rendered is checked, not the copy that is shown."""
        if self._rendered_body is None:
            super()._validate_arguments()
            return
        shown, self.body = self.body, self._rendered_body
        try:
            super()._validate_arguments()
            self._rendered_body = self.body
        finally:
            self.body = shown
