"""
What an instance's or a snapshot's state means for an operation: how far it is, what blocks it, what is left to do.

Pure functions of the service's answers, as in :mod:`~airflow_provider_dsw.waits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from airflow_provider_dsw.waits.statuses import RUNNING, STOPPED

# What an instance shows between the request for a status and that status.
_IN_PROGRESS = {
    RUNNING: ("Creating", "Queuing", "ResourceAllocating", "EnvPreparing", "Starting"),
    STOPPED: ("Stopping",),
}
# What has to end before the service takes a request for a status.
_BLOCKED = {
    RUNNING: ("Stopping", "Saving", "Saved", "SaveFailed", "Updating", "Recovering"),
    STOPPED: ("Saving",),
}
# These statuses end on their own.
_TRANSITIONAL = (*_IN_PROGRESS[RUNNING], "Saving", "Stopping", "Updating", "Recovering")
# What may be the last word on a save, or a step on the way: the documentation does not say what follows.
_SAVE_OUTCOMES = ("Saved", "SaveFailed")
REVERSALS = ("Stopping", "Stopped")
"""What stays behind when a start is undone."""
# These end on their own, and a deletion must not interrupt them.
_BLOCKS_DELETION = ("Saving", "Updating")
# In these nothing is left to stop: if the service refuses to delete the instance, that is its last word.
_DELETABLE = ("Stopped", "Failed")
BEING_PUSHED = ("Committing", "Pushing")
"""What a snapshot shows while its push is in progress."""


class Progress(Enum):
    """How far an instance is on its way to a status."""

    DONE = "done"
    IN_PROGRESS = "in progress"
    BLOCKED = "something else has to end first"
    NEEDS_REQUEST = "needs a request"


def progress(target: str, instance: Mapping[str, Any], *, saves_image: bool = False) -> Progress:
    """
    Say whether a status needs a request, is reached or in progress already, or is blocked by another.

    :param target: ``RUNNING`` or ``STOPPED`` of :mod:`~airflow_provider_dsw.waits.statuses`.
    :param instance: GetInstance's answer.
    :param saves_image: whether the way to ``Stopped`` saves the image first.
    """
    status = instance.get("Status")
    if status == target:
        return Progress.DONE
    if status in _IN_PROGRESS[target]:
        return Progress.IN_PROGRESS
    # The save may be part of the requested stop, or unrelated: its end will tell.
    if status in _BLOCKED[target] or (saves_image and status in _SAVE_OUTCOMES):
        return Progress.BLOCKED
    return Progress.NEEDS_REQUEST


def is_transitional(instance: Mapping[str, Any]) -> bool:
    """Return whether a status ends on its own, so that a request that is refused in it may be granted later."""
    return instance.get("Status") in _TRANSITIONAL


def may_be_final(instance: Mapping[str, Any]) -> bool:
    """Return whether an instance's status blocks an operation, but perhaps for ever."""
    return instance.get("Status") in _SAVE_OUTCOMES


def is_reversible(target: str) -> bool:
    """Return whether somebody can undo the operation that leads to a status: a stop undoes a start."""
    return target == RUNNING


def is_starting(instance: Mapping[str, Any]) -> bool:
    """Return whether an instance is on its way to ``Running``."""
    return progress(RUNNING, instance) is Progress.IN_PROGRESS


def is_stopping(instance: Mapping[str, Any]) -> bool:
    """Return whether an instance is on its way to ``Stopped``."""
    return progress(STOPPED, instance) is Progress.IN_PROGRESS


def is_being_deleted(instance: Mapping[str, Any]) -> bool:
    """Return whether an instance's deletion is in progress."""
    return instance.get("Status") == "Deleting"


def blocks_deletion(instance: Mapping[str, Any]) -> bool:
    """Return whether an instance is busy with what has to end before its deletion is requested."""
    return instance.get("Status") in _BLOCKS_DELETION


def is_deletable(instance: Mapping[str, Any]) -> bool:
    """Return whether nothing of an instance is left to stop before it is deleted."""
    return instance.get("Status") in _DELETABLE


def needs_stop_before_deletion(instance: Mapping[str, Any]) -> bool:
    """Return whether an instance whose deletion was refused has to be stopped, and does not stop already."""
    return not (is_deletable(instance) or is_stopping(instance) or is_being_deleted(instance))


def has_failed(answer: Mapping[str, Any]) -> bool:
    """Return whether an instance, or a snapshot, is ``Failed``."""
    return answer.get("Status") == "Failed"


def is_being_pushed(snapshot: Mapping[str, Any]) -> bool:
    """Return whether a snapshot's push is in progress."""
    return snapshot.get("Status") in BEING_PUSHED


def is_saved(snapshot: Mapping[str, Any]) -> bool:
    """Return whether a snapshot's push is complete."""
    return snapshot.get("Status") == "Saved"
