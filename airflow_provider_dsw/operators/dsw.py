"""The operators. Those that change something are in :mod:`~airflow_provider_dsw.operators.changes`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_dsw.arguments import check_id, is_literal, naming
from airflow_provider_dsw.details import check_fields, select, unknown_field_warnings
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.changes import (
    DswCreateSnapshotOperator,
    DswStartInstanceOperator,
    DswStopInstanceOperator,
)
from airflow_provider_dsw.waiting import Asking

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = [
    "DswCreateSnapshotOperator",
    "DswGetInstanceOperator",
    "DswStartInstanceOperator",
    "DswStopInstanceOperator",
]


class DswGetInstanceOperator(Asking, BaseOperator):
    """
    Hand chosen details of a PAI-DSW instance to the next task.

    Returns them as a dict, and pushes each as an XCom of its own under its name.

    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``. Templated.
    :param fields: None for the default details; a list of field names as the API documents them; or a dict of
        name → JMESPath, e.g. ``{"disk": "CloudDisks[0].Capacity"}``.
    :param include_sensitive: push secret values too, instead of ``***``. XComs are stored unmasked.
    :param dsw_conn_id: id of a connection of type ``dsw``. Templated.
    :param region: region id in place of the connection's own. Templated.
    :raises ValueError: where the DAG is parsed, on an empty or malformed id, an empty ``fields``, a name that
        the API does not document, or an expression that is not JMESPath.
    """

    template_fields: Sequence[str] = ("instance_id", "dsw_conn_id", "region")

    def __init__(
        self,
        *,
        instance_id: str,
        fields: Collection[str] | Mapping[str, str] | None = None,
        include_sensitive: bool = False,
        dsw_conn_id: str = DswHook.default_conn_name,
        region: str | None = None,
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        self.instance_id = instance_id
        self.fields = fields
        self.include_sensitive = include_sensitive
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        with naming(self.task_id):
            if is_literal(instance_id):
                check_id("instance_id", instance_id)
            check_fields(fields)

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask once and return the details."""
        answer = self.hook.get_instance(self.instance_id)
        self._keep_links(context, answer)
        details = select(answer, self.fields, include_sensitive=self.include_sensitive)
        if isinstance(self.fields, Mapping):
            for warning in unknown_field_warnings(self.fields, details):
                self.log.warning(warning)
        return details
