"""The operators."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_dsw import validation
from airflow_provider_dsw.details import parse_fields, select, unknown_field_warnings
from airflow_provider_dsw.exceptions import DswAccessDeniedError, DswInstanceNotFoundError
from airflow_provider_dsw.mixins import DswTaskMixin, argument_errors
from airflow_provider_dsw.operators.base import NextStep
from airflow_provider_dsw.operators.running import DswRunningOperator
from airflow_provider_dsw.operators.snapshot import DswCreateSnapshotOperator
from airflow_provider_dsw.operators.status import DswStatusOperator
from airflow_provider_dsw.polling import as_final_error
from airflow_provider_dsw.secrets import forget_locals
from airflow_provider_dsw.waits.conditions import Wait
from airflow_provider_dsw.waits.operations import Baseline
from airflow_provider_dsw.waits.progress import Progress, is_being_pushed, is_saved
from airflow_provider_dsw.waits.statuses import STOPPED

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dsw.operators.create import DswCreateInstanceOperator
    from airflow_provider_dsw.operators.delete import DswDeleteInstanceOperator
else:
    # A DAG file that uses none of these does not pay for them at each parse.
    _LOADED_IF_USED = {"DswCreateInstanceOperator": "create", "DswDeleteInstanceOperator": "delete"}

    def __getattr__(name: str) -> Any:
        if name not in _LOADED_IF_USED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"airflow_provider_dsw.operators.{_LOADED_IF_USED[name]}"), name)


__all__ = [
    "DswCreateInstanceOperator",
    "DswCreateSnapshotOperator",
    "DswDeleteInstanceOperator",
    "DswGetInstanceOperator",
    "DswStartInstanceOperator",
    "DswStopInstanceOperator",
]


class DswGetInstanceOperator(DswTaskMixin, BaseOperator):
    """
    Hand chosen details of a PAI-DSW instance to the next task.

    Returns them as a dict; with ``fields``, each is also pushed as a separate XCom under its name.

    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``. Templated.
    :param fields: None for the default details; a list of field names as the API documents them; or a dict of
        name → JMESPath, e.g. ``{"disk": "CloudDisks[0].Capacity"}``.
    :param include_sensitive: push secret values too, instead of ``***``. XComs are stored unmasked.
    :param dsw_conn_id: id of a connection of type ``dsw``. Templated.
    :param region: region id in place of the connection's own. Templated.
    :param multiple_outputs: push each key of the dict as a separate XCom. None: if ``fields`` is given.
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
        dsw_conn_id: str = "dsw_default",
        region: str | None = None,
        multiple_outputs: bool | None = None,
        **kwargs: Any,
    ) -> None:
        with argument_errors(self, str(kwargs.get("task_id"))):
            # Airflow's own check is a TypeError.
            pushes_each = validation.optional(validation.boolean)("multiple_outputs", multiple_outputs)
        super().__init__(multiple_outputs=fields is not None if pushes_each is None else pushes_each, **kwargs)
        self.instance_id = instance_id
        self.include_sensitive = include_sensitive
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        self._check_literals()
        with argument_errors(self):
            self.fields = parse_fields(fields)

    def _argument_checks(self) -> dict[str, validation.Check]:
        return {
            **super()._argument_checks(),
            "instance_id": validation.identifier,
            "include_sensitive": validation.boolean,
        }

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Ask once and return the details.

        :raises DswWaitFailedError: if there is no such instance, access is denied, or the id was rendered to what
            can't work: a retry would find the same.
        """
        self._validate_arguments()
        try:
            return self._get_details(context)
        except BaseException as error:
            forget_locals(error)
            raise

    def _get_details(self, context: Context) -> dict[str, Any]:
        try:
            answer = self.hook.get_instance(self.instance_id)
        except (DswInstanceNotFoundError, DswAccessDeniedError) as error:
            raise as_final_error(error) from None
        self._push_links(context, answer)
        details = select(answer, self.fields, include_sensitive=self.include_sensitive)
        if isinstance(self.fields, dict):
            for warning in unknown_field_warnings(self.fields, details):
                self.log.warning(warning)
        return details


class DswStartInstanceOperator(DswRunningOperator):
    """
    Start a PAI-DSW instance and wait until it is ``Running``.

    Returns the instance's default details. An instance that is ``Running`` is a success without a request; one
    that is starting already is waited for; the end of a stop, a save, an update or a recovery is waited for before.
    A refused start (no stock, a quota), one that ends in a failure status of the sensor's table, and one that somebody
    stops fail the try; the task's ``retries`` apply. ``Stopped`` or ``Failed`` from before the request is no failure.

    The further parameters are those of :class:`~airflow_provider_dsw.operators.running.DswRunningOperator`, and of
    :class:`~airflow_provider_dsw.operators.base.DswBaseOperator`.

    :raises ValueError: where the DAG is parsed, on an empty or malformed id, or an invalid number of seconds.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._check_literals()
        self._warn_if_kills_go_unnoticed()


class DswStopInstanceOperator(DswStatusOperator):
    """
    Stop a PAI-DSW instance and wait until it is ``Stopped``.

    Returns the instance's default details. An instance that is ``Stopped`` is a success without a request; one
    that is stopping already is waited for. One that is being saved is stopped when that is over.

    :param save_image: save the image before; a save that fails then fails the try.

    The further parameters are those of :class:`~airflow_provider_dsw.operators.base.DswBaseOperator`.

    :raises ValueError: where the DAG is parsed, on an empty or malformed id.
    """

    target = STOPPED
    action = "StopInstance"

    def __init__(self, *, save_image: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_image = save_image
        self._check_literals()

    def _argument_checks(self) -> dict[str, validation.Check]:
        return {**super()._argument_checks(), "save_image": validation.boolean}

    def _request(self) -> Mapping[str, Any]:
        return self.hook.stop_instance(self.instance_id, save_image=self.save_image)

    def _step(self, context: Context, instance: Mapping[str, Any], may_wait: bool) -> dict[str, Any] | NextStep:
        operation = self._operation(self._baseline_of_earlier_try(context, instance))
        own_snapshot = operation.own_snapshot(instance) if self._is_retry else None
        is_saving = own_snapshot is not None and is_being_pushed(own_snapshot)
        if is_saving and self._progress(instance) is Progress.NEEDS_REQUEST:
            # The instance may be shown as Running while an earlier try's request is in progress.
            return self._await_completion(context, self._target_wait(operation))
        return super()._step(context, instance, may_wait)

    def _resumed_wait(self, context: Context, instance: Mapping[str, Any]) -> Wait:
        return self._target_wait(self._operation(self._baseline_of_earlier_try(context, instance)))

    def _finish(self, context: Context, instance: Mapping[str, Any]) -> dict[str, Any]:
        """As the base's, unless an earlier try requested a save whose failure was never read."""
        # Only the snapshot is still to be told from an older one.
        baseline = self._baseline_of_earlier_try(context, instance)._replace(status=None, modified=None)
        operation = self._operation(baseline)
        own_snapshot = operation.own_snapshot(instance)
        if own_snapshot is None or is_saved(own_snapshot):
            return super()._finish(context, instance)
        return super()._finish(context, self._wait_for(context, self._target_wait(operation)))

    def _baseline_of_earlier_try(self, context: Context, instance: Mapping[str, Any]) -> Baseline:
        """Return the present state, less a snapshot that an earlier try of this task may have asked for."""
        started = getattr(context.get("dag_run"), "start_date", None)
        return Baseline.of(instance, before=started if self._is_retry else None)
