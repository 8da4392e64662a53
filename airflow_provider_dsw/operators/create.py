"""The operator that creates an instance."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_dsw import validation
from airflow_provider_dsw.arguments import near_miss
from airflow_provider_dsw.exceptions import (
    DswAccessDeniedError,
    DswError,
    DswInstanceNotFoundError,
    DswOperationFailedError,
    DswRequestError,
)
from airflow_provider_dsw.mixins import argument_errors
from airflow_provider_dsw.operators.base import NextStep
from airflow_provider_dsw.operators.running import DswRunningOperator
from airflow_provider_dsw.operators.submission import CONFIRM_ATTEMPTS, CONFIRM_PAUSE
from airflow_provider_dsw.polling import with_remedy_if_taken
from airflow_provider_dsw.secrets import word_in
from airflow_provider_dsw.waits.answers import created_at, time_in
from airflow_provider_dsw.waits.conditions import Wait
from airflow_provider_dsw.waits.labels import TASK_LABEL, label_of, with_label
from airflow_provider_dsw.waits.operation_waits import condition_for_target
from airflow_provider_dsw.waits.operations import Baseline, Operation
from airflow_provider_dsw.waits.progress import is_being_deleted, needs_stop_before_deletion

if TYPE_CHECKING:
    from airflow.sdk import Context

BODY_FIELDS = (
    "AccessRestrictionRules",
    "Accessibility",
    "Affinity",
    "AssignNodeSpec",
    "CloudDisks",
    "CredentialConfig",
    "Datasets",
    "DockerConfig",
    "Driver",
    "DynamicMount",
    "EcsSpec",
    "EnvironmentVariables",
    "ImageAuth",
    "ImageId",
    "ImageUrl",
    "InstanceName",
    "Labels",
    "MigrationOptions",
    "OversoldType",
    "Priority",
    "RequestedResource",
    "ResourceId",
    "SpotSpec",
    "Tag",
    "UserCommand",
    "UserId",
    "UserVpc",
    "WorkspaceId",
    "WorkspaceSource",
)
"""The fields of CreateInstance that its page and the SDK's model know."""
CREATION_CONFIRM_ATTEMPTS = 6
"""How often to look for an instance if the answer to its creation is lost: a second one is dear, and lists are late."""
IF_TAKEN = (
    "If the InstanceName is taken, give each try one of its own, such as 'nightly_{{ ti.id.hex[-8:] }}'; the task "
    "finds its instance by a label, not by its name."
)
DELETE_TIMEOUT = 600.0
"""Seconds for a failed task to have its instance deleted, if the service wants it stopped before."""


class DswCreateInstanceOperator(DswRunningOperator):
    """
    Create a PAI-DSW instance and wait until it is ``Running``.

    Returns the instance's default details, each of them also as a separate XCom: ``create.output["InstanceId"]`` is
    for the next task.

    A label that is made of the DAG, its run, the task and its mapped index finds again what this task instance has
    created in an earlier try; nothing else is ever taken over. What is found on its way is waited for, what is
    ``Stopped`` or ``Failed`` is started. Only if there is none, or it is ``Deleting``, one is created.

    A refusal (no stock, a quota) and an instance that fails fail the try; the task's ``retries`` apply.

    :param body: CreateInstance's fields, under the API's own names; sent as they are, with the label among ``Labels``.
        Secret values are masked in the rendered fields that Airflow stores: give them as templates. Templated.
    :param delete_on_failure: when the last try fails, delete what this task instance has created, after its events
        were logged.
    :param multiple_outputs: push each of the details as a separate XCom, too.

    The further parameters are those of :class:`~airflow_provider_dsw.operators.running.DswRunningOperator`, and of
    :class:`~airflow_provider_dsw.operators.base.DswBaseOperator`.

    :raises ValueError: where the DAG is parsed, on a ``body`` that is neither a dict nor a template, or is empty.
    """

    template_fields: Sequence[str] = ("body", "dsw_conn_id", "region")
    template_fields_renderers = {"body": "json"}  # noqa: RUF012 - as Airflow declares it
    may_be_gone = True
    confirm_attempts = CREATION_CONFIRM_ATTEMPTS

    def __init__(
        self,
        *,
        body: Mapping[str, Any],
        delete_on_failure: bool = True,
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        with argument_errors(self, str(kwargs.get("task_id"))):
            # Airflow's own check is a TypeError.
            validation.boolean("multiple_outputs", multiple_outputs)
        super().__init__(instance_id="", multiple_outputs=multiple_outputs, **kwargs)
        self.body = body
        self.delete_on_failure = delete_on_failure
        self._check_literals()
        self._warn_if_kills_go_unnoticed()

    def _reset(self) -> None:
        super()._reset()
        self.instance_id = ""
        self._explained_id = ""
        self._label_outside_airflow = uuid.uuid4().hex
        self._own_ids: list[str] = []
        self._was_sent = False
        # Whether the request was sent again in this try, because its answer was lost.
        self._was_repeated = False

    def _restore(self, operation: Operation) -> None:
        super()._restore(operation)
        self._was_repeated = operation.was_repeated

    def _operation(self, baseline: Baseline, *, reversible: bool = False) -> Operation:
        operation = super()._operation(baseline, reversible=reversible)
        return operation._replace(was_repeated=self._was_repeated)

    def _argument_checks(self) -> dict[str, validation.Check]:
        checks = {**super()._argument_checks(), "body": _body, "delete_on_failure": validation.boolean}
        del checks["instance_id"]
        return checks

    @property
    def _label(self) -> str:
        """What finds again the instance that this task instance has created."""
        row = self._task_try.row
        parts = [row.get(name) for name in ("dag_id", "run_id", "task_id", "map_index")]
        if row.get("task_id") is None:  # outside of Airflow
            return self._label_outside_airflow
        return label_of(*parts)

    # One try, from start to end

    def _build_wait(self) -> Wait:
        return condition_for_target(self.instance_id or "(a new one)", self.target, self._operation(Baseline()))

    def _run(self, context: Context) -> dict[str, Any]:
        found = self._call(self._find)
        if found is None and self._is_later_try:
            # It may be listed late.
            found, _ = self._confirm(self._find, CONFIRM_ATTEMPTS, pauses_first=True)
        if found is None:
            return self._advance(context, {})
        self.log.info("An earlier attempt already created DSW instance %s; resuming.", self.instance_id)
        if others := [instance_id for instance_id in self._own_ids if instance_id != self.instance_id]:
            self.log.warning(
                "An earlier attempt created %s too. Delete in the PAI console what is not needed.", ", ".join(others)
            )
        return self._advance(context, self._get_instance(context))

    def _step(self, context: Context, instance: Mapping[str, Any], may_wait: bool) -> dict[str, Any] | NextStep:
        if not instance and self.instance_id and (step := self._step_if_there(context)) is not None:
            return step
        if not instance or is_being_deleted(instance):
            return self._create(context)
        return super()._step(context, instance, may_wait)

    def _create(self, context: Context) -> dict[str, Any] | NextStep:
        self.instance_id = ""
        baseline = self._baseline = Baseline()
        try:
            _, found = self._submit("CreateInstance", self._request_instance, self._find)
        except DswOperationFailedError as refusal:
            raise with_remedy_if_taken(refusal, IF_TAKEN) from None
        self._after_request(context, {})
        if found is None:
            # It may be shown late.
            found, _ = self._confirm(lambda: self.hook.get_instance(self.instance_id), CONFIRM_ATTEMPTS)
            baseline = baseline if found is None else baseline.after(found)
        if found:
            self._push_links(context, found)
        if not self.wait_for_completion:
            self._delete_surplus(found or {})
        return self._await_completion(context, self._target_wait(self._operation(baseline, reversible=True)))

    def _step_if_there(self, context: Context) -> dict[str, Any] | NextStep | None:
        """
        Continue with an instance that GetInstance does not find; None if it is not listed either.

        Its replica may be behind, so that one that was created a moment ago is not shown yet.
        """
        self._pace_lookups()
        shown, _ = self._confirm(lambda: self._fetch_instance() or None, CONFIRM_ATTEMPTS, pauses_first=True)
        if shown is not None:
            return NextStep(shown)
        listed, has_looked = self._confirm(self._find, 1)
        if has_looked and listed is None:
            return None
        self._is_responsible, self._baseline = True, Baseline()
        self._after_request(context, listed or {})
        return self._await_completion(context, self._resumed_wait(context, {}))

    def _request_instance(self) -> Mapping[str, Any]:
        body = self._body
        for name in body:
            if name not in BODY_FIELDS:
                self.log.warning(
                    "body: CreateInstance documents no field %r.%s It is sent as it is.",
                    name,
                    near_miss(name, BODY_FIELDS),
                )
        # A body may be a copy of what another task's instance shows, with its label.
        others = [label for label in body.get("Labels") or () if not _is_of_task(label)]
        labels = [*others, {"Key": TASK_LABEL, "Value": self._label}]
        self._was_sent, self._was_repeated = True, self._was_repeated or self._was_sent
        answer = self.hook.create_instance({**body, "Labels": labels})
        self.instance_id = answer["InstanceId"]
        return answer

    def _after_wait(self, context: Context, found: dict[str, Any]) -> dict[str, Any] | NextStep:
        if not found.get("Status"):
            if (step := self._step_if_there(context)) is not None:
                return step
            raise DswOperationFailedError(
                f"DSW instance {self.instance_id} was deleted before it reached {self.target}. "
                "A retry of the task creates another one."
            )
        return super()._after_wait(context, found)

    def _finish(self, context: Context, instance: Mapping[str, Any]) -> dict[str, Any]:
        """As the base's, once there is no second one of which nobody knew."""
        self._delete_surplus(instance)
        return super()._finish(context, instance)

    def _delete_surplus(self, instance: Mapping[str, Any]) -> None:
        """
        Delete what an earlier request has created whose answer was lost, if it is listed by now.

        None was listed when this try sent its own request. What is newer than its instance may be a copy by a person.

        :param instance: this try's own, as GetInstance shows it.
        """
        if self._submitted_at is None or not (self._was_repeated or self._is_later_try):
            return
        try:
            listed = self._list_own()
        except DswError as error:
            self.log.warning("Could not check whether a lost request has created a second instance. %s", error)
            return
        for other in listed:
            created = time_in(other, "GmtCreateTime")
            is_older = created is not None and created <= created_at(instance)
            if other["InstanceId"] != self.instance_id and is_older and not is_being_deleted(other):
                self._delete(other["InstanceId"], "an earlier request, whose answer was lost, has created it too")

    # What this task instance has created

    def _find(self) -> Mapping[str, Any] | None:
        """Return the newest instance with the label that does not go away, and note its id."""
        own = [instance for instance in self._list_own() if not is_being_deleted(instance)]
        self._own_ids = [instance["InstanceId"] for instance in own]
        newest = max(own, key=created_at, default=None)
        if newest is not None:
            self.instance_id = newest["InstanceId"]
        return newest

    def _list_own(self) -> list[Mapping[str, Any]]:
        listed = self.hook.list_instances(workspace_id="ALL", resource_id="ALL", labels={TASK_LABEL: self._label})
        # Even if the service ignores the filter, no other task's instance is taken for this one's.
        own = with_label(listed, TASK_LABEL, self._label)
        return [instance for instance in own if validation.is_identifier(instance.get("InstanceId"))]

    # The end of a try that Airflow does not repeat

    @property
    def _cleans_up(self) -> bool:
        return self.delete_on_failure or self.stop_on_kill

    def _clean_up(self) -> None:
        if not self.delete_on_failure:
            super()._clean_up()
            return
        ids = {self.instance_id} - {""}
        try:
            ids |= {instance["InstanceId"] for instance in self._list_own() if not is_being_deleted(instance)}
        except DswError as error:
            self.log.error("Could not determine whether the failed task leaves an instance behind. %s", error)
        for instance_id in sorted(ids):
            if instance_id != self._explained_id:
                # Not at the top: no DAG file needs it.
                from airflow_provider_dsw.diagnostics import log_history

                log_history(self, instance_id, None)
            self._delete(instance_id, "the task failed on its last try")

    def _stop_instance(self, why: str, *arguments: Any) -> bool:
        if not self.instance_id and (self._is_responsible or self._is_later_try):
            # It may have been created all the same, or by an earlier try.
            try:
                self._find()
            except DswError as error:
                self.log.error("Could not look for an instance to stop (%s). %s", why, error)
        return bool(self.instance_id) and super()._stop_instance(why, *arguments)

    def _delete(self, instance_id: str, why: str) -> None:
        """
        Have an instance deleted; the service may want it stopped before, or the end of a save.

        :param instance_id: its id.
        :param why: in words, for the log.
        """
        give_up_at = time.time() + DELETE_TIMEOUT
        while True:
            try:
                answer = self.hook.delete_instance(instance_id)
                self.log.info(
                    "DeleteInstance of DSW instance %s was accepted: %s. RequestId: %s",
                    instance_id,
                    why,
                    word_in(answer, "RequestId"),
                )
                return
            except DswInstanceNotFoundError:
                return
            except DswError as error:
                if self._is_being_deleted(instance_id, error):
                    return
                if isinstance(error, DswAccessDeniedError) or time.time() >= give_up_at:
                    self.log.error("DSW instance %s could not be deleted. %s", instance_id, error)
                    return
            time.sleep(min(self.poke_interval, CONFIRM_PAUSE))

    def _is_being_deleted(self, instance_id: str, error: DswError) -> bool:
        """Return whether an instance is on its way out, and stop it if the refusal may be about that it is on."""
        try:
            instance = self.hook.get_instance(instance_id)
            if isinstance(error, DswRequestError) and needs_stop_before_deletion(instance):
                self._log_request("StopInstance", self.hook.stop_instance(instance_id), instance_id)
        except DswError:
            # Not even one that is not found is gone for certain: DeleteInstance itself will tell.
            return False
        return is_being_deleted(instance)


def _body(name: str, value: object) -> dict[str, Any]:
    body = validation.body(name, value)
    if not isinstance(body.get("Labels") or [], (list, tuple)):
        raise ValueError(f"{name}: Labels is not a list. Write it as the API's own: [{{'Key': …, 'Value': …}}].")
    return body


def _is_of_task(label: Any) -> bool:
    return isinstance(label, Mapping) and label.get("Key") == TASK_LABEL
