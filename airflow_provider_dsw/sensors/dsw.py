"""The sensor: wait for an instance's status, or for the push of its image snapshot."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_dsw import validation
from airflow_provider_dsw.arguments import is_literal
from airflow_provider_dsw.exceptions import DswWaitArgumentError
from airflow_provider_dsw.mixins import DswWaitMixin, argument_errors, is_deferrable
from airflow_provider_dsw.polling import PollLog, xcom_value
from airflow_provider_dsw.version_compat import (
    STARTS_FROM_TRIGGER,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    conf,
    task_state_store,
)
from airflow_provider_dsw.wait_arguments import ARGUMENTS, DEFAULT_TARGET, WaitArguments
from airflow_provider_dsw.waits.conditions import Outcome, Wait

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger


class DswInstanceSensor(DswWaitMixin, WaitArguments, BaseSensorOperator):
    """
    Wait until a PAI-DSW instance has a status, satisfies an expression, or has finished pushing its image snapshot.

    Returns the instance's default details, in snapshot mode the snapshot with ``InstanceId`` added. A wait
    that can no longer succeed fails at once, without retries.

    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``. Templated.
    :param target_status: one status, or several: any of them. Templated.
    :param wait_for_snapshot: wait for a finished snapshot push instead of a status. Without further
        ``snapshot_…`` arguments the latest snapshot counts, which may be an old one.
    :param snapshot_id: exactly this snapshot, e.g. ``snp-05cefd0be2exxxx``. Templated.
    :param snapshot_image: the newest snapshot with this ``ImageId``, ``ImageName`` or ``ImageUrl``. Templated.
    :param snapshot_created_after: an aware datetime, or ISO 8601 with a time zone: an older snapshot is not
        the one. Templated, e.g. ``"{{ dag_run.start_date }}"``.
    :param until: a JMESPath expression over GetInstance's answer, all of it. The wait ends when it is true, for
        JMESPath: anything but null, false, ``''``, ``[]`` and ``{}``. If an answer can't be evaluated the wait goes
        on, with a warning. Not together with ``target_status`` or a ``snapshot_…`` argument. Templated, e.g.
        ``UserVpc.ForwardInfos[?Name=='ssh'] | [0].ConnectInfo.Phase == 'Ready'``.
    :param failure_statuses: instance statuses that end the wait as failed. None: those from which the target
        can't come by itself (``Failed`` and ``Deleting``; for ``Running`` also ``ArrearStopping`` and
        ``Arrearge``; for ``Saved`` and snapshots also ``SaveFailed``). Templated.
    :param dsw_conn_id: id of a connection of type ``dsw``. Templated.
    :param region: region id in place of the connection's own. Templated.
    :param deferrable: wait in the triggerer, without a worker. None: ``[operators] default_deferrable``.
    :param start_from_trigger: from Airflow 3.3 on, hand the wait to the triggerer without a worker before; elsewhere,
        and if a template needs a worker, as ``deferrable``.
    :raises ValueError: where the DAG is parsed, on an empty or malformed id, an unknown status, a datetime
        without a time zone, an expression that is not JMESPath, or two of ``target_status``, ``snapshot_…`` and
        ``until``.
    """

    _last_poll_at_timeout = False
    template_fields: Sequence[str] = (
        *(argument.name for argument in ARGUMENTS if argument.templated),
        "dsw_conn_id",
        "region",
    )

    def __init__(
        self,
        *,
        instance_id: str,
        target_status: str | Collection[str] = DEFAULT_TARGET,
        wait_for_snapshot: bool = False,
        snapshot_id: str | None = None,
        snapshot_image: str | None = None,
        snapshot_created_after: datetime | str | None = None,
        until: str | None = None,
        failure_statuses: Collection[str] | None = None,
        dsw_conn_id: str = "dsw_default",
        region: str | None = None,
        deferrable: bool | None = None,
        start_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        given = locals()
        with argument_errors(self, str(kwargs.get("task_id"))):
            if kwargs.get("timeout", 0) is None:
                del kwargs["timeout"]  # Airflow's own default, from 3.3 on
            for name, value in {**(kwargs.get("default_args") or {}), **kwargs}.items():
                # What Airflow itself would take: an infinity, and an endless pause, are OverflowErrors in its depth.
                if name == "poke_interval" or (name in ("timeout", "max_wait") and value is not None):
                    validation.seconds(name, value, allow_zero=True)
            super().__init__(**kwargs)
        self.set_wait_arguments(given)
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        with argument_errors(self):
            self.check_wait_arguments(given)
            validation.boolean("start_from_trigger", start_from_trigger)
            self.deferrable = is_deferrable(deferrable) or start_from_trigger
            for name in ("soft_fail", "silent_fail", "never_fail", "exponential_backoff"):
                validation.boolean(name, getattr(self, name))
        self._check_literals()
        self._warn_if_rescheduled_too_often()
        if start_from_trigger:
            self._start_from_trigger()

    def _warn_if_rescheduled_too_often(self) -> None:
        shortest = 2 * conf.getint("workers", "min_heartbeat_interval", fallback=5)
        if self.reschedule and not self.deferrable and self.poke_interval < shortest:
            warnings.warn(
                f"{self.task_id}: in mode='reschedule' Airflow can't keep a poke_interval of {self.poke_interval:g} s: "
                f"below {shortest} s tasks fail in Airflow itself. Use deferrable=True, which keeps any interval and "
                "occupies no worker.",
                UserWarning,
                stacklevel=3,
            )

    def _start_from_trigger(self) -> None:
        """Let the scheduler hand the wait to the triggerer, where Airflow can; elsewhere a worker defers it."""
        from airflow.triggers.base import StartTriggerArgs

        given = {**self.wait_arguments(), "dsw_conn_id": self.dsw_conn_id, "region": self.region}
        # The triggerer knows params, but no other task's XCom (Airflow 3.3); and of what it renders it makes texts.
        renders = is_literal if self._renders_natively() else _renders_in_triggerer
        unfit = [name for name, value in given.items() if not renders(value)]
        if unfit or not STARTS_FROM_TRIGGER:
            why = f"{' and '.join(unfit)} can only be rendered by a worker" if unfit else "it needs Airflow 3.3"
            warnings.warn(
                f"{self.task_id}: start_from_trigger has no effect, {why}; the task defers itself.", stacklevel=3
            )
            return
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="airflow_provider_dsw.triggers.dsw.DswInstanceTrigger",
            # As JSON: templates in it are rendered by the triggerer.
            trigger_kwargs=self._trigger(
                timeout=self.timeout,
                execution_timeout=None if self.execution_timeout is None else self._execution_seconds(),
                # Airflow's own deadline is the first of the two.
                trigger_timeout=min(self._airflow_timeout(), self._execution_seconds()),
            ).serialize()[1],
            next_method="execute_complete",
            timeout=timedelta(seconds=self._airflow_timeout()),
        )

    def _renders_natively(self) -> bool:
        own = getattr(self, "render_template_as_native_obj", None)  # from Airflow 3.2 on
        return bool(own if own is not None else getattr(self.get_dag(), "render_template_as_native_obj", False))

    def _trigger(self, **state: Any) -> DswInstanceTrigger:
        # Not at the top: no DAG file needs it, and importing it takes long.
        from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger

        return DswInstanceTrigger(
            **self.wait_arguments(),
            dsw_conn_id=self.dsw_conn_id,
            region=self.region,
            poke_interval=self.poke_interval,
            exponential_backoff=self.exponential_backoff,
            max_wait=self.max_wait.total_seconds() if self.max_wait else None,
            silent_fail=self.silent_fail,
            **state,
        )

    def _latest_end(self) -> float:
        # As in poke mode, where only the pauses of exponential_backoff are cut short at the timeout.
        return self.timeout + (0.0 if self.exponential_backoff else self.poke_interval)

    def _build_wait(self) -> Wait:
        """Return the wait that the rendered arguments describe."""
        self._validate_arguments()
        try:
            return Wait(self.condition())
        except ValueError as error:
            raise DswWaitArgumentError(str(error)) from None

    def poke(self, context: Context) -> PokeReturnValue:
        """
        Ask the service once.

        :raises DswWaitFailedError: if the wait can no longer succeed.
        :raises DswTransientError: where the service can't answer at the first poll; later that is a warning.
        """
        wait, before = self._build_wait(), self._poll_log.as_json()
        is_later_poll = self._poll_log.has_worked or bool(context.get("task_reschedule_count"))
        try:
            verdict = self._poll(context, wait, tolerate_transient=is_later_poll)
        finally:
            if self._poll_log.as_json() != before:
                self._keep_poll_log(context)
        if verdict.outcome is not Outcome.SUCCESS:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=xcom_value(wait.condition, verdict))

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Return Airflow's own pause, or the longer one that the service asked for."""
        return max(super()._get_next_poke_interval(*args, **kwargs), self._retry_after or 0.0)

    def execute(self, context: Context) -> Any:
        """Wait as ``mode`` says; with ``deferrable``, poll once and leave the rest to the triggerer."""
        self._reset_poll_state()
        self._poll_log = self._recall_poll_log(context)
        with self._log_summary(context):
            try:
                return self._defer(context) if self.deferrable else super().execute(context)
            except AirflowSensorTimeout as timeout:
                raise self._timeout_error("timeout", self._poll_log.last_status) from timeout

    def _recall_poll_log(self, context: Context) -> PollLog:
        """Continue where the poll before a reschedule ended, if Airflow stores that (3.3+)."""
        if not context.get("task_reschedule_count"):
            return PollLog()
        if (store := task_state_store(context)) is None:
            # The poll before may have failed, so this one is not repeated: the next one will be soon enough.
            return PollLog(last_error="unknown")
        kept = store.get(_POLL_LOG)
        return PollLog(**kept) if isinstance(kept, dict) else PollLog()

    def _keep_poll_log(self, context: Context) -> None:
        store = task_state_store(context)
        if self.reschedule and not self.deferrable and store is not None:
            store.set(_POLL_LOG, self._poll_log.as_json())

    def _defer(self, context: Context) -> Any:
        began = time.time()
        with self._as_in_poke_mode():
            try:
                done = self.poke(context)
            except AirflowFailException:
                raise
            except Exception as error:
                if not self.silent_fail:
                    raise
                self.log.error("The first poll failed: %s", error)
            else:
                if done:
                    return done.xcom_value
        self._defer_to_trigger(context, self._trigger, began=began)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral, with the effects that poke mode has."""
        with self._as_in_poke_mode():
            return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _as_in_poke_mode(self) -> Iterator[None]:
        """Give ``soft_fail`` and ``never_fail`` the effect that they have in ``BaseSensorOperator.execute``."""
        try:
            yield
        except AirflowSkipException:
            raise
        except AirflowSensorTimeout as error:
            if self.soft_fail:
                raise AirflowSkipException("Skipping due to soft_fail is set to True.") from error
            raise
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                which = "soft_fail" if self.soft_fail else "never_fail"
                raise AirflowSkipException(f"Skipping due to {which} is set to True.") from error
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
            raise


_POLL_LOG = "dsw_wait"


def _renders_in_triggerer(value: Any) -> bool:
    """Return whether the triggerer can render it, to a text."""
    if isinstance(value, (list, tuple)):
        return all(map(_renders_in_triggerer, value))
    return is_literal(value) or (isinstance(value, str) and bool(re.fullmatch(_PARAMS_ONLY, value)))


_PARAMS_ONLY = r"(?:[^{]|\{\{\s*params\.\w+\s*\}\})*"
