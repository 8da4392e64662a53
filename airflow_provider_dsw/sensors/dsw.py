"""The sensor: wait for an instance's status, or for the push of its image snapshot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_dsw.exceptions import DswTransientError
from airflow_provider_dsw.hooks.dsw import DswHook, check_id
from airflow_provider_dsw.polling import failure, poll, result
from airflow_provider_dsw.templates import is_literal
from airflow_provider_dsw.waits import Outcome, Wait, check_created_after, check_statuses

if TYPE_CHECKING:
    from airflow.sdk import Context


class _NotGiven(str):
    """A default that can be told apart from the same word given by the DAG author."""


RUNNING = _NotGiven("Running")


class DswInstanceSensor(BaseSensorOperator):
    """
    Wait until a PAI-DSW instance has a status, or until the push of its image snapshot has finished.

    Returns the instance's default details, in snapshot mode the snapshot with ``InstanceId`` added. A wait
    that can't succeed any more fails at once, without retries.

    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``. Templated.
    :param target_status: one status, or several: any of them. Templated.
    :param wait_for_snapshot: wait for a finished snapshot push instead of a status. Without further
        ``snapshot_…`` arguments the latest snapshot counts, which may be an old one.
    :param snapshot_id: exactly this snapshot, e.g. ``snp-05cefd0be2exxxx``. Templated.
    :param snapshot_image: the newest snapshot with this ``ImageId``, ``ImageName`` or ``ImageUrl``. Templated.
    :param snapshot_created_after: an aware datetime, or ISO 8601 with a time zone: an older snapshot is not
        the one. Templated, e.g. ``"{{ dag_run.start_date }}"``.
    :param failure_statuses: instance statuses that end the wait as failed. None: those from which the target
        can't come by itself (``Failed`` and ``Deleting``; for ``Running`` also ``ArrearStopping`` and
        ``Arrearge``; for ``Saved`` and snapshots also ``SaveFailed``). Templated.
    :param dsw_conn_id: id of a connection of type ``dsw``. Templated.
    :param region: region id in place of the connection's own. Templated.
    :raises ValueError: where the DAG is parsed, on an empty or malformed id, an unknown status, a datetime
        without a time zone, or ``target_status`` beside a ``snapshot_…`` argument.
    """

    template_fields: Sequence[str] = (
        "instance_id",
        "target_status",
        "snapshot_id",
        "snapshot_image",
        "snapshot_created_after",
        "failure_statuses",
        "dsw_conn_id",
        "region",
    )
    ui_color = "#ffe8d6"

    def __init__(
        self,
        *,
        instance_id: str,
        target_status: str | Collection[str] = RUNNING,
        wait_for_snapshot: bool = False,
        snapshot_id: str | None = None,
        snapshot_image: str | None = None,
        snapshot_created_after: datetime | str | None = None,
        failure_statuses: Collection[str] | None = None,
        dsw_conn_id: str = DswHook.default_conn_name,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.target_status = target_status
        self.wait_for_snapshot = wait_for_snapshot
        self.snapshot_id = snapshot_id
        self.snapshot_image = snapshot_image
        self.snapshot_created_after = snapshot_created_after
        self.failure_statuses = failure_statuses
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        self._snapshot_arguments = tuple(name for name in _SNAPSHOT_ARGUMENTS if getattr(self, name) is not None)
        self._seen: str | None = None
        self._polled = False
        if self._waits_for_snapshot and not isinstance(target_status, _NotGiven):
            raise ValueError(
                "target_status: a wait for a snapshot has no target status. Leave it out, or leave out "
                f"{' and '.join(self._snapshot_arguments) or 'wait_for_snapshot'}."
            )
        if len(self._snapshot_arguments) > 1 and "snapshot_id" in self._snapshot_arguments:
            raise ValueError("snapshot_id: it names one snapshot; leave out snapshot_image and snapshot_created_after.")
        values = {name: getattr(self, name) for name in _CHECKED}
        self._check({name: value for name, value in values.items() if is_literal(value)})

    def _check(self, values: dict[str, Any]) -> None:
        """Check those arguments that are in ``values``: literals where the DAG is parsed, all at run time."""
        for name in self._snapshot_arguments:
            if name in values and not values[name]:
                raise ValueError(f"{name}: empty.")
        if "instance_id" in values:
            check_id("instance_id", values["instance_id"])
        if values.get("snapshot_id") is not None:
            check_id("snapshot_id", values["snapshot_id"])
        if "target_status" in values and not check_statuses("target_status", values["target_status"]):
            raise ValueError("target_status: empty. Name at least one status.")
        if values.get("failure_statuses") is not None:
            check_statuses("failure_statuses", values["failure_statuses"])
        if values.get("snapshot_created_after") is not None:
            check_created_after(values["snapshot_created_after"])

    @property
    def _waits_for_snapshot(self) -> bool:
        return self.wait_for_snapshot or bool(self._snapshot_arguments)

    def _wait(self) -> Wait:
        """Return the wait that the rendered arguments ask for."""
        self._check({name: getattr(self, name) for name in _CHECKED})
        created_after, failures = self.snapshot_created_after, self.failure_statuses
        return Wait(
            instance_id=self.instance_id,
            target_statuses=check_statuses("target_status", self.target_status),
            failure_statuses=None if failures is None else check_statuses("failure_statuses", failures),
            snapshot=self._waits_for_snapshot,
            snapshot_id=self.snapshot_id,
            snapshot_image=self.snapshot_image,
            snapshot_created_after=None if created_after is None else check_created_after(created_after),
        )

    @cached_property
    def hook(self) -> DswHook:
        """The hook of the rendered connection id."""
        return DswHook(self.dsw_conn_id, region=self.region)

    def execute(self, context: Context) -> Any:
        """Wait, as ``mode`` says; see :meth:`poke`."""
        self._seen, self._polled = None, False
        return super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """
        Ask the service once.

        :raises DswWaitFailedError: where the wait can't succeed any more.
        :raises DswTransientError: where the service can't answer at the first poll; later that is a warning.
        """
        wait = self._wait()
        try:
            verdict = poll(self.hook, wait)
        except DswTransientError as error:
            if not self._polled and not context.get("task_reschedule_count"):
                raise
            self.log.warning("Still waiting for %s. %s", wait, error)
            return PokeReturnValue(is_done=False)
        self._polled = True
        if verdict.seen != self._seen:
            self._seen = verdict.seen
            self.log.info("DSW instance %s: %s (waiting for %s)", wait.instance_id, verdict.seen, wait)
        if verdict.outcome is Outcome.FAILED:
            raise failure(wait, verdict)
        if verdict.outcome is Outcome.NOT_YET:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=result(wait, verdict))


_SNAPSHOT_ARGUMENTS = ("snapshot_id", "snapshot_image", "snapshot_created_after")
_CHECKED = ("instance_id", "target_status", "failure_statuses", *_SNAPSHOT_ARGUMENTS)
