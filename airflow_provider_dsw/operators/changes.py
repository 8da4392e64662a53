"""
The operators that change something: start, stop, snapshot.

Each looks before it asks, so that a task that ran before, or was killed at any point, asks for nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import Asset, BaseOperator

from airflow_provider_dsw.arguments import check_id, check_image_url, check_snapshot_name, is_literal, naming
from airflow_provider_dsw.details import default_details
from airflow_provider_dsw.exceptions import DswError, DswRequestError, DswTransientError, DswWaitArgumentError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.polling import end_by, pause, result
from airflow_provider_dsw.waiting import Waiting, is_deferrable
from airflow_provider_dsw.waits import (
    Outcome,
    Progress,
    Wait,
    arrival,
    end_of_a_save,
    labelled,
    progress,
    state_of,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger

TASK_LABEL = "airflow-task"
"""The label of a snapshot that says which task made it."""
LOOKS = 3
"""How often to look whether a request was performed whose answer may have been lost."""
LONGEST_PAUSE_BETWEEN_LOOKS = 5.0

T = TypeVar("T")


class DswChangeOperator(Waiting, BaseOperator):
    """
    Base of the operators that ask the service for a change and wait for its outcome.

    :param instance_id: e.g. ``dsw-730xxxxxxxxxx``. Templated.
    :param wait_for_completion: wait until what was asked for is done; else end as soon as it is asked for.
    :param poke_interval: seconds between two polls.
    :param timeout: seconds from the request, or a timedelta. When they are over, the task fails with
        AirflowSensorTimeout and without retries, as a sensor does.
    :param deferrable: wait in the triggerer, without a worker. None: ``[operators] default_deferrable``.
    :param dsw_conn_id: id of a connection of type ``dsw``. Templated.
    :param region: region id in place of the connection's own. Templated.
    """

    template_fields: Sequence[str] = ("instance_id", "dsw_conn_id", "region")
    stop_on_kill = False

    def __init__(
        self,
        *,
        instance_id: str,
        wait_for_completion: bool = True,
        poke_interval: float | timedelta = 30.0,
        timeout: float | timedelta = 60 * 60.0,
        deferrable: bool | None = None,
        dsw_conn_id: str = DswHook.default_conn_name,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.wait_for_completion = wait_for_completion
        with naming(self.task_id):
            self.poke_interval = _seconds("poke_interval", poke_interval)
            self.timeout = _seconds("timeout", timeout)
        self.deferrable = is_deferrable(deferrable)
        self.dsw_conn_id = dsw_conn_id
        self.region = region
        self._asked = False

    def _check_literals(self) -> None:
        """Check what is known where the DAG is parsed."""
        with naming(self.task_id):
            for name, check in self._checks().items():
                if is_literal(value := getattr(self, name)):
                    check(value)

    def _checks(self) -> dict[str, Callable[[Any], None]]:
        return {"instance_id": partial(check_id, "instance_id")}

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Look, ask if need be, and wait.

        :raises DswWaitFailedError: where the service refuses, or the outcome can't come any more.
        :raises DswTransientError: where the service can't answer now; a retry looks again before it asks.
        :raises AirflowSensorTimeout: where ``timeout`` is over.
        """
        try:
            for name, check in self._checks().items():
                check(getattr(self, name))
        except ValueError as error:
            raise DswWaitArgumentError(str(error)) from None
        self._forget_polls()
        return self._run(context)

    def _run(self, context: Context) -> dict[str, Any]:
        raise NotImplementedError

    def _look(self, context: Context) -> dict[str, Any]:
        instance = self._call(lambda: self.hook.get_instance(self.instance_id))
        self._keep_links(context, instance)
        return instance

    def _call(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except DswError as error:
            raise end_by(self._wait(), error) from None

    def _ask(self, context: Context, request: Callable[[], T], find: Callable[[], T | None]) -> T:
        """
        Ask for the change, and return the answer, or what shows that it was performed all the same.

        When an answer is lost, the next try of the same call is refused, for the state that the first brought
        about. So after an error the state has the last word; where an earlier request may have been performed,
        it may also be read late.
        """
        self._asked = True
        try:
            return request()
        except (DswRequestError, DswTransientError) as error:
            lost = isinstance(error, DswTransientError) and error.may_have_been_performed
            tried_before = lost or _is_retry(context)
            for number in range(LOOKS if tried_before else 1):
                if number:
                    time.sleep(min(self.poke_interval, LONGEST_PAUSE_BETWEEN_LOOKS))
                try:
                    found = find()
                except DswError:
                    continue
                if found is not None:
                    self.log.info("It was asked for before, and goes on. %s", error)
                    return found
            raise end_by(self._wait(), error) from None
        except DswError as error:
            raise end_by(self._wait(), error) from None

    def _wait_for(self, context: Context, wait: Wait, method_name: str = "execute_complete") -> dict[str, Any]:
        self._asked = True
        began = time.time()
        with self._summed_up(context):
            while True:
                verdict = self._poll(context, wait, first=False)
                if verdict is not None:
                    wait = wait.after(verdict)
                    if verdict.outcome is Outcome.MET:
                        return result(wait, verdict)
                if self.deferrable:
                    self._leave_to_triggerer(
                        context, partial(self._trigger, wait), began=began, method_name=method_name
                    )
                left = began + self.timeout - time.time()
                if left <= 0:
                    raise self._out_of_time("timeout", self._course.seen)
                time.sleep(min(pause(self.poke_interval), left))

    def _trigger(self, wait: Wait, **state: Any) -> DswInstanceTrigger:
        # Not at the top: no DAG file needs it, and importing it takes long.
        from airflow_provider_dsw.triggers.dsw import DswInstanceTrigger

        return DswInstanceTrigger(
            instance_id=wait.instance_id,
            target_status=list(wait.target_statuses),
            wait_for_snapshot=wait.snapshot,
            snapshot_id=wait.snapshot_id,
            failure_statuses=None if wait.failure_statuses is None else list(wait.failure_statuses),
            outdated=wait.outdated,
            dsw_conn_id=self.dsw_conn_id,
            region=self.region,
            poke_interval=self.poke_interval,
            stop_on_kill=self.stop_on_kill,
            **state,
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral."""
        self._asked = True
        return super().resume_execution(next_method, next_kwargs, context)

    def _out_of_time(self, which: str, seen: str | None = None) -> BaseException:
        # After an execution_timeout Airflow itself does this.
        if which == "timeout":
            self.on_kill()
        return super()._out_of_time(which, seen)

    def on_kill(self) -> None:
        """Stop the instance if ``stop_on_kill`` says so; else what was asked for goes on in the service."""
        if not self._asked:
            return
        if not self.stop_on_kill:
            self.log.info("DSW instance %s is left alone.", self.instance_id)
            return
        try:
            self.hook.stop_instance(self.instance_id)
        except DswError as error:
            self.log.error("DSW instance %s could not be stopped. %s", self.instance_id, error)
        else:
            self.log.info("DSW instance %s is asked to stop.", self.instance_id)


class _DswStatusOperator(DswChangeOperator):
    """Brings an instance to a status."""

    target: str
    save_image = False

    def _request(self) -> None:
        raise NotImplementedError

    def _wait(self) -> Wait:
        return arrival(self.instance_id, self.target, saves=self.save_image)

    def _run(self, context: Context) -> dict[str, Any]:
        return self._go_on_from(context, self._look(context))

    def _go_on_from(self, context: Context, instance: Mapping[str, Any]) -> dict[str, Any]:
        how_far = self._progress(instance)
        if how_far is Progress.REACHED:
            self.log.info("DSW instance %s is %s already.", self.instance_id, self.target)
            return default_details(instance)
        if how_far is Progress.BUSY:
            save = end_of_a_save(self.instance_id, saves=self.save_image)
            self._wait_for(context, save, method_name="execute_after_save")
            return self._run(context)
        wait = self._wait()
        if how_far is Progress.ELSEWHERE:
            found = self._ask(context, self._request, self._changed)
            if found is not None:
                return self._go_on_from(context, found)
            wait = replace(wait, outdated=state_of(instance))
        if not self.wait_for_completion:
            return default_details(self._look(context))
        return self._wait_for(context, wait)

    def _progress(self, instance: Mapping[str, Any]) -> Progress:
        return progress(self.target, instance, saves=self.save_image)

    def _changed(self) -> dict[str, Any] | None:
        instance = self.hook.get_instance(self.instance_id)
        return None if self._progress(instance) is Progress.ELSEWHERE else instance

    def execute_after_save(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on when a save is over that the instance could not be stopped during."""
        self._outcome_of(event)
        return self._run(context)


class DswStartInstanceOperator(_DswStatusOperator):
    """
    Start a PAI-DSW instance and wait until it is ``Running``.

    Returns the instance's default details. An instance that is ``Running`` is a success without a request; one
    that is starting already is waited for. A refused start (no stock, a quota, a wrong state) and one that ends
    in a failure status of the sensor's table fail the task at once, without retries. ``Stopped`` or ``Failed`` from
    before the request is no failure.

    :param stop_on_kill: stop the instance when the task is killed, when it is marked or cleared while deferred
        (Airflow 3.3+), and when ``timeout`` or ``execution_timeout`` is over.

    The further parameters are those of :class:`DswChangeOperator`.

    :raises ValueError: where the DAG is parsed, on an empty or malformed id.
    """

    target = "Running"

    def __init__(self, *, stop_on_kill: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_on_kill = stop_on_kill
        self._check_literals()

    def _request(self) -> None:
        self.hook.start_instance(self.instance_id)


class DswStopInstanceOperator(_DswStatusOperator):
    """
    Stop a PAI-DSW instance and wait until it is ``Stopped``.

    Returns the instance's default details. An instance that is ``Stopped`` is a success without a request; one
    that is stopping already is waited for. One that is being saved is stopped when that is over.

    :param save_image: save the image before; a save that fails then fails the task.

    The further parameters are those of :class:`DswChangeOperator`.

    :raises ValueError: where the DAG is parsed, on an empty or malformed id.
    """

    target = "Stopped"

    def __init__(self, *, save_image: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_image = save_image
        self._check_literals()

    def _request(self) -> None:
        self.hook.stop_instance(self.instance_id, save_image=self.save_image)


class DswCreateSnapshotOperator(DswChangeOperator):
    """
    Save the image of a running PAI-DSW instance and wait until it is pushed.

    Returns the snapshot, among its fields ``SnapshotId``, ``ImageId`` and ``ImageUrl``; without
    ``wait_for_completion`` what is known of it by then, which has no ``ImageId``. An :class:`Asset` among
    ``outlets`` gets these and ``InstanceId`` as its event's ``extra``.

    A retry finds the snapshot that an earlier try made by a label that names the task, its DAG run and mapped
    index. A cleared task makes a new one.

    :param snapshot_name: lowercase letters, digits and hyphens. Templated.
    :param image_url: where to push the image, e.g. ``registry.cn-hangzhou.aliyuncs.com/ns/repo:tag``. Templated.
    :param description: ``SnapshotDescription``. Templated.
    :param overwrite: overwrite an image of that URL.
    :param exclude_paths: paths that stay out of the image. Templated.
    :param labels: name → value. Templated.
    :param stop_on_kill: as :class:`DswStartInstanceOperator`'s; an instance can't be stopped while it is ``Saving``.

    The further parameters are those of :class:`DswChangeOperator`.

    :raises ValueError: where the DAG is parsed, on an empty or malformed id, name or URL.
    """

    template_fields: Sequence[str] = (
        *DswChangeOperator.template_fields,
        "snapshot_name",
        "image_url",
        "description",
        "exclude_paths",
        "labels",
    )

    def __init__(
        self,
        *,
        snapshot_name: str,
        image_url: str,
        description: str | None = None,
        overwrite: bool | None = None,
        exclude_paths: Sequence[str] | None = None,
        labels: Mapping[str, str] | None = None,
        stop_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_name = snapshot_name
        self.image_url = image_url
        self.description = description
        self.overwrite = overwrite
        self.exclude_paths = exclude_paths
        self.labels = labels
        self.stop_on_kill = stop_on_kill
        self._check_literals()

    def _checks(self) -> dict[str, Callable[[Any], None]]:
        return {**super()._checks(), "snapshot_name": check_snapshot_name, "image_url": check_image_url}

    def _wait(self) -> Wait:
        return Wait(self.instance_id, snapshot=True, snapshot_image=self.image_url)

    def _run(self, context: Context) -> dict[str, Any]:
        instance = self._look(context)
        own = partial(self._find, _name_of(context))
        snapshot, outdated = self._made_before(context, own), None
        if snapshot is None:
            request = partial(self._request, _name_of(context))
            snapshot, outdated = self._ask(context, request, own), state_of(instance)
        snapshot_id = snapshot["SnapshotId"]
        self.log.info("The snapshot %s of DSW instance %s is %s.", self.snapshot_name, self.instance_id, snapshot_id)
        if self.wait_for_completion:
            wait = Wait(self.instance_id, snapshot=True, snapshot_id=snapshot_id, outdated=outdated)
            return self._hand_on(context, self._wait_for(context, wait))
        asked_for = {
            "InstanceId": self.instance_id,
            "SnapshotName": self.snapshot_name,
            "ImageUrl": self.image_url,
            "SnapshotId": snapshot_id,
        }
        return self._hand_on(context, asked_for)

    def _made_before(self, context: Context, find: Callable[[], Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
        """Look for what an earlier try made. The first try made none, so it needs no permission to look."""
        try:
            return find()
        except DswError as error:
            if isinstance(error, DswTransientError) or _is_retry(context):
                raise end_by(self._wait(), error) from None
            self.log.warning("A retry of this task could not find its snapshot again. %s", error)
            return None

    def _find(self, name: str | None) -> Mapping[str, Any] | None:
        if name is None:
            return None
        return labelled(self.hook.list_instance_snapshots(self.instance_id), TASK_LABEL, name)

    def _request(self, name: str | None) -> Mapping[str, Any]:
        labels = dict(self.labels or {})
        if name is not None:
            labels[TASK_LABEL] = name
        return self.hook.create_instance_snapshot(
            self.instance_id,
            snapshot_name=self.snapshot_name,
            image_url=self.image_url,
            description=self.description,
            overwrite=self.overwrite,
            exclude_paths=self.exclude_paths,
            labels=labels or None,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """End the wait as its trigger's event says."""
        return self._hand_on(context, super().execute_complete(context, event))

    def _hand_on(self, context: Context, snapshot: dict[str, Any]) -> dict[str, Any]:
        """Tell the assets that the task has as outlets which image they are."""
        names = ("InstanceId", "SnapshotId", "ImageId", "ImageUrl")
        extra = {name: snapshot[name] for name in names if name in snapshot}
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(extra)
        return snapshot


def _name_of(context: Context) -> str | None:
    """
    Return a name for the task instance that its retries share, and no other task instance has.

    ``max_tries`` grows when the task is cleared, the run's start tells it from a deleted run of the same id. None
    outside of Airflow.
    """
    ti = context.get("ti")
    if ti is None:
        return None
    started = getattr(context.get("dag_run"), "start_date", None)
    parts = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries, started and started.timestamp())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _is_retry(context: Context) -> bool:
    return getattr(context.get("ti"), "try_number", 1) > 1


def _seconds(name: str, value: float | timedelta) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0:
        raise ValueError(f"{name}: {value!r} is neither a number of seconds above 0 nor a timedelta.")
    return float(seconds)
