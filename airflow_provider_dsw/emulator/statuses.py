"""The statuses of the API: which of them allow which operation, and which count as stopped."""

from __future__ import annotations

CAN_START = frozenset({"Stopped", "Failed"})
STARTING = frozenset({"Creating", "Queuing", "ResourceAllocating", "EnvPreparing", "Starting"})
CAN_STOP = STARTING | {"Running", "Updating", "Recovering", "Saved", "SaveFailed"}
CAN_SAVE = frozenset({"Running"})
CAN_SAVE_AGAIN = CAN_SAVE | {"Saving", "Saved", "SaveFailed"}  # with `concurrent_snapshots`
CAN_UPDATE = frozenset({"Running", "Stopped", "Failed"})
CANNOT_DELETE = frozenset({"Saving", "Updating", "Deleting"})
NOTHING_TO_STOP = frozenset({"Stopping", "Stopped", "Failed", "Deleting", None})
INSTANCE_STATUSES = CAN_START | CAN_STOP | CANNOT_DELETE | {"Stopping", "ArrearStopping", "Arrearge"}
SNAPSHOT_STATUSES = frozenset({"Committing", "Pushing", "Saved", "Failed"})
