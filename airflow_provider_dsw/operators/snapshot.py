"""The operator that saves an instance's image."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.definitions.asset import AssetRef

from airflow_provider_dsw import validation
from airflow_provider_dsw.exceptions import DswError, DswOperationFailedError, DswTransientError
from airflow_provider_dsw.operators.base import DswBaseOperator, NextStep
from airflow_provider_dsw.operators.submission import CONFIRM_ATTEMPTS
from airflow_provider_dsw.polling import as_wait_error, with_remedy_if_taken
from airflow_provider_dsw.secrets import MAX_TEXT, word_in
from airflow_provider_dsw.waits.conditions import SnapshotByIdCondition, SnapshotCondition, Wait
from airflow_provider_dsw.waits.labels import TASK_LABEL, find_by_label, label_of, with_label
from airflow_provider_dsw.waits.operations import Baseline, Operation, shows_new_snapshot
from airflow_provider_dsw.waits.progress import has_failed

if TYPE_CHECKING:
    from airflow.sdk import Context

MAX_NAME_WORDS = 40
"""How much of the names of DAG and task is in the name of a snapshot, in characters."""
IF_TAKEN = (
    "If the snapshot's name or image is taken, set overwrite=True, or leave snapshot_name out, so that each try gets a "
    "name of its own, and give each an image_url of its own, such as '…:{{ ti.id }}'."
)


class DswCreateSnapshotOperator(DswBaseOperator):
    """
    Save the image of a running PAI-DSW instance and wait until it is pushed.

    Returns the snapshot, among its fields ``SnapshotId``, ``ImageId`` and ``ImageUrl``; without
    ``wait_for_completion`` what is known of it by then, which has no ``ImageId``. An asset among
    ``outlets``, its reference or alias gets these and ``InstanceId`` as its event's ``extra``.

    A retry finds the snapshot that an earlier try made by a label that names the task, its DAG run and mapped
    index; if that has failed, the retry makes another one. A cleared task makes a new one.

    :param image_url: where to push the image, e.g. ``registry.cn-hangzhou.aliyuncs.com/ns/repo:tag``. With the tag
        ``{{ ti.id }}`` each try has one of its own. Templated.
    :param snapshot_name: lowercase letters, digits and hyphens. None: a name of the DAG, the task, its run and try,
        which no other has. Templated.
    :param description: ``SnapshotDescription``. Templated.
    :param overwrite: overwrite an image of that URL.
    :param exclude_paths: paths that stay out of the image. Templated.
    :param labels: name → value, or the API's own list of ``Key`` and ``Value``. Templated.

    The further parameters are those of :class:`~airflow_provider_dsw.operators.base.DswBaseOperator`.

    :raises ValueError: where the DAG is parsed, on an empty or malformed id, name or URL.
    """

    action = "CreateInstanceSnapshot"
    template_fields: Sequence[str] = (
        *DswBaseOperator.template_fields,
        "snapshot_name",
        "image_url",
        "description",
        "exclude_paths",
        "labels",
    )

    def __init__(
        self,
        *,
        image_url: str,
        snapshot_name: str | None = None,
        description: str | None = None,
        overwrite: bool | None = None,
        exclude_paths: Sequence[str] | None = None,
        labels: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_name = snapshot_name
        self.image_url = image_url
        self.description = description
        self.overwrite = overwrite
        self.exclude_paths = exclude_paths
        self.labels = labels
        self._has_generated_name = snapshot_name is None
        self._check_literals()

    def _argument_checks(self) -> dict[str, validation.Check]:
        name = validation.snapshot_name
        return {
            **super()._argument_checks(),
            "image_url": validation.image_url,
            # A name that was rendered to None is not a request for a generated one.
            "snapshot_name": validation.optional(name) if self._has_generated_name else name,
            "description": validation.optional(validation.description),
            "overwrite": validation.optional(validation.boolean),
            "exclude_paths": validation.optional(validation.texts),
            "labels": validation.optional(validation.labels),
        }

    def _build_wait(self) -> Wait:
        return Wait(SnapshotCondition(self.instance_id, snapshot_image=self.image_url), Operation(Baseline()))

    def _is_blocked(self, instance: Mapping[str, Any]) -> bool:
        # The service decides whether it takes a snapshot now. An earlier try's is looked for in any status.
        return False

    def _step(self, context: Context, instance: Mapping[str, Any], may_wait: bool) -> dict[str, Any] | NextStep:
        key, name = _idempotency_key(context), self._name(context)
        existing = self._find_existing_snapshot(key)
        if existing is not None and not has_failed(existing):
            self.log.info("An earlier attempt already submitted this request; resuming.")
            baseline, snapshot = Baseline(), existing
        else:
            baseline = Baseline.of(instance)
            # Each try before may have made one that has failed.
            excluding = () if existing is None else self._call(partial(self._own_snapshot_ids, key))
            try:
                answer, found = self._submit(
                    self.action,
                    partial(self._request, key, name),
                    partial(self._find_new, key, excluding, baseline),
                )
            except DswOperationFailedError as refusal:
                raise with_remedy_if_taken(refusal, IF_TAKEN) from None
            snapshot = answer or found or {}
        snapshot_id = snapshot["SnapshotId"]
        self.log.info("Snapshot %s of DSW instance %s has SnapshotId %s.", name, self.instance_id, snapshot_id)
        if self.wait_for_completion:
            wait = Wait(SnapshotByIdCondition(self.instance_id, snapshot_id=snapshot_id), Operation(baseline))
            return self._after_wait(context, self._wait_for(context, wait))
        known = {
            "InstanceId": self.instance_id,
            "SnapshotName": word_in(snapshot, "SnapshotName") or name,
            # An earlier try's may have been rendered to another one.
            "ImageUrl": word_in(snapshot, "ImageUrl", MAX_TEXT) or self.image_url,
            "SnapshotId": snapshot_id,
        }
        return self._publish_to_outlets(context, known)

    def _find_existing_snapshot(self, key: str | None) -> Mapping[str, Any] | None:
        """Look for what an earlier try made. The first try made none, so it needs no permission to look."""
        try:
            found = self._find(key)
        except DswError as error:
            if isinstance(error, DswTransientError) or self._is_retry:
                raise as_wait_error(self._build_wait(), error) from None
            self.log.warning("A retry of this task would not be able to find its snapshot again. %s", error)
            return None
        if found is None and self._is_retry:
            # It may be listed late.
            found, _ = self._confirm(partial(self._find, key), CONFIRM_ATTEMPTS, pauses_first=True)
        return found

    def _find(self, key: str | None, excluding: Collection[str] = ()) -> Mapping[str, Any] | None:
        if key is None:
            return None
        return find_by_label(self._listed(), TASK_LABEL, key, excluding=excluding)

    def _own_snapshot_ids(self, key: str | None) -> list[Any]:
        return [snapshot["SnapshotId"] for snapshot in with_label(self._listed(), TASK_LABEL, key or "")]

    def _listed(self) -> Iterator[Mapping[str, Any]]:
        """Iterate over the snapshots that can be asked for."""
        for snapshot in self.hook.list_instance_snapshots(self.instance_id):
            if validation.is_identifier(snapshot.get("SnapshotId")):
                yield snapshot

    def _find_new(self, key: str | None, excluding: Collection[str], baseline: Baseline) -> Mapping[str, Any] | None:
        """As :meth:`_find`, but undecided while the instance shows a snapshot that is not listed yet."""
        found = self._find(key, excluding)
        if found is None:
            instance = self.hook.get_instance(self.instance_id)
            if shows_new_snapshot(instance, baseline):
                raise DswTransientError(
                    f"DSW instance {self.instance_id} is creating a snapshot that is not listed yet."
                )
        return found

    def _request(self, key: str | None, name: str) -> Mapping[str, Any]:
        labels = validation.labels("labels", self.labels or {})
        if key is not None:
            labels[TASK_LABEL] = key
        return self.hook.create_instance_snapshot(
            self.instance_id,
            snapshot_name=name,
            image_url=self.image_url,
            description=self.description,
            overwrite=self.overwrite,
            exclude_paths=self.exclude_paths,
            labels=labels or None,
        )

    def _name(self, context: Context) -> str:
        if self.snapshot_name is not None:
            return self.snapshot_name
        key, ti = _idempotency_key(context), context.get("ti")
        if ti is None or key is None:
            return f"snapshot-{uuid.uuid4().hex[:12]}"
        words = re.sub(r"[^a-z0-9]+", "-", f"{ti.dag_id}-{ti.task_id}".lower()).strip("-")
        return f"{words[:MAX_NAME_WORDS]}-{key[:12]}-{ti.try_number}".lstrip("-")

    def _after_wait(self, context: Context, found: dict[str, Any]) -> dict[str, Any]:
        return self._publish_to_outlets(context, found)

    def _publish_to_outlets(self, context: Context, snapshot: dict[str, Any]) -> dict[str, Any]:
        """Tell the assets that the task has as outlets which image they are."""
        names = ("InstanceId", "SnapshotId", "ImageId", "ImageUrl")
        extra = {name: snapshot[name] for name in names if name in snapshot}
        for outlet in self.outlets:
            if isinstance(outlet, (Asset, AssetAlias, AssetRef)):
                context["outlet_events"][outlet].extra.update(extra)
        return snapshot


def _idempotency_key(context: Context) -> str | None:
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
    return label_of(*parts)
