"""The statuses of the API, and what this package takes for granted of them and of the service's answers."""

from __future__ import annotations

from collections.abc import Iterable

ASSUMPTIONS = (
    "GetInstance may answer ArrearStopping and Arrearge, which only GetLifecycle documents.",
    "The list of statuses is open: one that is not known here is neither a success nor a failure.",
    "GetInstanceSnapshot and the items of InstanceSnapshotList use the statuses of LatestSnapshot.",
    "LatestSnapshot may be an older, finished snapshot; the newest GmtCreateTime is the latest push.",
    "GmtCreateTime is cut to whole seconds, so a snapshot of the same second is not older.",
    "A snapshot is known by its ImageId, else by its ImageUrl or ImageName, and by its GmtCreateTime. Once it is Saved "
    "it does not change any more: its GmtModifiedTime is when it was finished.",
    "An answer may come from a replica that is behind; its GmtModifiedTime is older than that of the answer before.",
    "On its way from StartInstance to Running an instance shows Creating, Queuing, ResourceAllocating, "
    "EnvPreparing or Starting and nothing else; from StopInstance to Stopped it shows Stopping, where it saves "
    "the image Saving and Saved before.",
)

INSTANCE_STATUSES = (
    "Creating",
    "Queuing",
    "ResourceAllocating",
    "EnvPreparing",
    "Starting",
    "Running",
    "Saving",
    "Saved",
    "SaveFailed",
    "Stopping",
    "Stopped",
    "Updating",
    "Recovering",
    "Deleting",
    "Failed",
    "ArrearStopping",
    "Arrearge",
)
SNAPSHOT_STATUSES = ("Committing", "Pushing", "Saved", "Failed")

# From these a target can't come by itself: a person has to act first. ``Stopped`` is not among them for
# ``Running``, because right after a start the service still answers the old status.
_NEVER_BY_ITSELF = frozenset({"Failed", "Deleting"})
_FAILURES_OF = {
    "Running": _NEVER_BY_ITSELF | {"ArrearStopping", "Arrearge"},
    "Saved": _NEVER_BY_ITSELF | {"SaveFailed"},
}


def default_failure_statuses(targets: Iterable[str]) -> frozenset[str]:
    """Return the statuses from which none of ``targets`` can come by itself, less the targets."""
    targets = tuple(targets)
    return frozenset.intersection(*(_FAILURES_OF.get(t, _NEVER_BY_ITSELF) for t in targets)) - set(targets)
