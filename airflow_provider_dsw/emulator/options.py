"""What an emulator, or one of its instances, does where the documentation leaves it open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dsw.emulator.near_misses import warn_of_statuses
from airflow_provider_dsw.emulator.timeline import StepSpec

Steps = Sequence[StepSpec]

CHOICES: dict[str, tuple[str | int, ...]] = {
    "modified_time": ("status", "frozen", "always", "missing"),
    "latest_snapshot": ("created", "modified"),
    "after_failed_save": ("running", "stop", "stay"),
    "unknown_fields": ("ignored", "refused"),
    "fields_parameter": ("ignored", "selects"),
    "deletable": ("any", "stopped"),
    "denied_status": (403, 404),
    "events_order": ("oldest first", "newest first"),
    "absent_timer": ("null", "missing", "empty"),
    "timer_needs": ("any", "running"),
    "second_timer": ("replaces", "refused"),
}


@dataclass(kw_only=True, eq=False, repr=False)
class Options:
    """Arguments of the constructor, and attributes that may be changed at any time.

    For one instance, in place of the emulator's: `add_instance(..., options={"modified_time": "missing"})`, or
    `set_instance`.

    ==================== ==============================================================================
    speed                How many times faster than real time the timelines and timers run. (Not for one
                         instance.)
    start_timeline       The statuses of an instance during a start. By time, [("Starting", seconds), ...,
    stop_timeline        ("Running", None)], or by poll, ["Starting", "Running"]. Likewise of a stop, and
    snapshot_timeline    of a snapshot, and of a deletion, at whose end the status is None. A start is also
    delete_timeline      what follows CreateInstance.
    next_starts          Timelines of the next starts, stops, snapshots and deletions, one for each, in
    next_stops           place of the above: `next_starts=[[("Queuing", 5), ("Failed", None)]]` fails
    next_snapshots       once. Several snapshots may so be in progress at once and end in any order.
    next_deletes
    no_stock             How many of the next StartInstance and CreateInstance are refused for lack of
                         stock, with HTTP 400 and a Code.
    modified_time        GmtModifiedTime: "status": when the present status began; "frozen": that of the
                         creation for ever; "always": the time of the answer; "missing": not there.
    failure_reasons      Whether a Failed instance has a ReasonCode and a ReasonMessage. (A real one had
                         none.) Its cause stands in the events in any case:
    failure_event        what they say then.
    events_with_times    Whether an event's line begins with its time and level.
    events_order         "oldest first" or "newest first".
    fields_parameter     The Fields of GetInstance: "ignored", or "selects" what is answered.
    denied_status        A missing permission: 403 NoPermission, or 404 with the code 100700008.
    required_fields      Whether CreateInstance wants InstanceName, an image, and EcsSpec or ResourceId.
    unknown_fields       What CreateInstance does with them: "ignored" or "refused".
    unique_instance_names Whether CreateInstance refuses an InstanceName that is taken.
    label_filter         Whether ListInstances filters by Labels, or answers as if they were not given.
    deletable            DeleteInstance is allowed from "any" status but Saving, Updating and Deleting, or
                         only when the instance is "stopped" (or Failed).
    absent_timer         How GetInstance shows an InstanceShutdownTimer or IdleInstanceCuller that is not
                         there: "null", "missing" or "empty" (an object without fields).
    timer_needs          CreateInstanceShutdownTimer is allowed in "any" status, or only when "running".
    second_timer         It "replaces" a timer that is there, or is "refused".
    timers_outlive_stops Whether a timer is still there after the instance was stopped and started.
    ssh_seconds          How long after Running begins the endpoint for SSH is Ready.
    ssh_endpoint         "host:port" that it shows then, such as that of a server on loopback.
    stale_reads          Which GetInstance answers after an operation come from a replica that is behind.
                         3: the next three show the state from before the operation, or from before an
                         earlier one that was not shown yet; before CreateInstance there is no such
                         instance. [0, 2, 1, 0]: how many states behind each one is; a number that is
                         too great is that state from before. In `set_instance(..., stale_reads=...)`:
                         from now on.
    late_lists           How many lists (ListInstances, ListInstanceSnapshot) still lack what was created.
    saving_status        Whether an instance is Saving while it is saved, or keeps Running.
    saved_seconds        How long it is Saved or SaveFailed before it continues; 0: never seen.
    after_failed_save    After a save that failed: "running": SaveFailed, then Running, also if it was to
                         be stopped; "stop": SaveFailed, and then it is stopped if it was to be;
                         "stay": it stays SaveFailed.
    concurrent_snapshots Whether another snapshot may be created while one is in progress.
    unique_names         Whether the name of a snapshot, and its image URL, may be taken once only (by
    unique_image_urls    an instance). If so, Overwrite=true replaces the older snapshot.
    latest_snapshot      LatestSnapshot: "created": the one that was created last; "modified": the one
                         whose status changed last.
    ==================== ==============================================================================
    """

    speed: float = 1.0
    start_timeline: Steps = (
        ("Creating", 2),
        ("ResourceAllocating", 3),
        ("EnvPreparing", 3),
        ("Starting", 5),
        ("Running", None),
    )
    stop_timeline: Steps = (("Stopping", 3), ("Stopped", None))
    snapshot_timeline: Steps = (("Committing", 3), ("Pushing", 6), ("Saved", None))
    delete_timeline: Steps = (("Deleting", 3), (None, None))
    next_starts: list[Steps] = field(default_factory=list)
    next_stops: list[Steps] = field(default_factory=list)
    next_snapshots: list[Steps] = field(default_factory=list)
    next_deletes: list[Steps] = field(default_factory=list)
    no_stock: int = 0
    modified_time: str = "status"
    failure_reasons: bool = True
    failure_event: str = "Resource queue timeout, lack of sufficient resources"
    events_with_times: bool = True
    events_order: str = "oldest first"
    fields_parameter: str = "ignored"
    denied_status: int = 403
    required_fields: bool = True
    unknown_fields: str = "ignored"
    unique_instance_names: bool = False
    label_filter: bool = True
    deletable: str = "any"
    absent_timer: str = "null"
    timer_needs: str = "any"
    second_timer: str = "replaces"
    timers_outlive_stops: bool = False
    ssh_seconds: float = 0.0
    ssh_endpoint: str | None = None
    stale_reads: int | Sequence[int] = 0
    late_lists: int = 0
    saving_status: bool = True
    saved_seconds: float = 2.0
    after_failed_save: str = "running"
    concurrent_snapshots: bool = False
    unique_names: bool = True
    unique_image_urls: bool = False
    latest_snapshot: str = "created"

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, check_option(name, value))


OPTION_NAMES = frozenset(Options.__dataclass_fields__) - {"speed"}


def check_option(name: str, value: Any) -> Any:
    """The value to keep, or a ValueError."""
    if name == "speed" and not value > 0:
        raise ValueError(f"speed must be more than 0, not {value!r}")
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"{name} is one of {', '.join(map(str, CHOICES[name]))}, not {value!r}")
    timelines = [value] if name.endswith("_timeline") else list(value) if name.startswith("next_") else []
    for steps in timelines:
        statuses = (step[0] if isinstance(step, tuple | list) and step else step for step in steps)
        warn_of_statuses(statuses, of_snapshot="snapshot" in name)
    return timelines if name.startswith("next_") else value  # they are used up


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options of one instance, checked."""
    for name in options:
        if name not in OPTION_NAMES:
            raise TypeError(f"the emulator has no option {name!r}; it has {', '.join(sorted(OPTION_NAMES))}")
    return {name: check_option(name, value) for name, value in options.items()}


def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of an instance, of which none is an option that was meant."""
    for name in fields:
        if name in OPTION_NAMES:
            raise TypeError(
                f"{name} is no field but an option: pass options={{{name!r}: …}}, or set the emulator's own"
            )
    return fields
