"""The statuses of the API, and which of them end a wait as failed."""

from __future__ import annotations

from collections.abc import Iterable

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

RUNNING, STOPPED = "Running", "Stopped"
"""What an operator brings an instance to."""

# A target is not reached from these unless a person acts first. ``Stopped`` is not among them for
# ``Running``, because right after a start the service still answers the old status.
_NEVER_BY_ITSELF = frozenset({"Failed", "Deleting"})
_FAILURES_OF = {
    "Running": _NEVER_BY_ITSELF | {"ArrearStopping", "Arrearge"},
    "Saved": _NEVER_BY_ITSELF | {"SaveFailed"},
}


def default_failure_statuses(targets: Iterable[str]) -> frozenset[str]:
    """Return the statuses from which none of ``targets`` is reached unless a person acts, less the targets."""
    targets = tuple(targets)
    return frozenset.intersection(*(_FAILURES_OF.get(t, _NEVER_BY_ITSELF) for t in targets)) - set(targets)
