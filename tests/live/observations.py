"""What was seen of the service: data alone, which the checks read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from airflow_provider_dsw.client.failures import Failure
from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.waits.answers import created_at, status_in, time_in

Instance = Mapping[str, Any]
# Of an answer nothing else is kept but the other fields' names: an instance tells much of who has it.
KEPT = (
    *("InstanceId", "SnapshotId", "Status", "ReasonCode", "ReasonMessage", "PaymentType", "AcceleratorType"),
    *("GmtCreateTime", "GmtModifiedTime", "GmtEndTime", "DueTime", "RemainingTimeInMs", "InstanceShutdownTimer"),
    *("LatestSnapshot", "InstanceSnapshotList", "Instances", "Snapshots", "Lifecycle", "TotalCount"),
    *("Success", "Code", "Message", "HttpStatusCode", "RequestId"),
)


class Look(NamedTuple):
    """
    One answer of GetInstance or GetInstanceSnapshot, without what is secret.

    :param at: the local time at which it was asked for, in seconds.
    :param answer: empty if there is no such instance any more.
    """

    at: float
    answer: Instance

    @property
    def status(self) -> str | None:
        return status_in(self.answer)


class Attempt(NamedTuple):
    """What became of a request: accepted, or else refused by this error."""

    error: DswError | None = None

    @property
    def accepted(self) -> bool:
        return self.error is None

    def __str__(self) -> str:
        if self.error is None:
            return "accepted"
        return f"refused with HTTP {self.error.status_code} {self.error.code}: {self.error.message}"


@dataclass
class Operation:
    """
    A request that changes an instance, and what was read afterwards.

    :param action: the API's name, followed by ``with SaveImage`` if it is that.
    :param before: the looks at the state from before it; none if the instance was created by it.
    :param looks: those afterwards.
    :param is_complete: whether what was asked for was reached.
    :param repeated: what became of the same request while this one was in effect; None if it was not sent.
    :param start_in_between: what became of a StartInstance while the instance was ``Stopping``, likewise.
    :param listed_after: which list was the first that showed what was made, by its label; 0 if none did.
    """

    action: str
    instance_id: str
    before: Sequence[Look] = ()
    looks: list[Look] = field(default_factory=list)
    is_complete: bool = False
    repeated: Attempt | None = None
    start_in_between: Attempt | None = None
    listed_after: int | None = None

    @property
    def first_status(self) -> str | None:
        return self.before[-1].status if self.before else None

    def statuses(self) -> list[str]:
        """Return the statuses that were read, each change once, without what comes from a replica that is behind."""
        found: list[str] = []
        for look in without_late(self.looks, self.before):
            if look.status and (not found or found[-1] != look.status):
                found.append(look.status)
        return found

    def changes(self) -> Iterator[tuple[Look, Look, float]]:
        """Return each two looks between which the status changed, and for how many seconds it had not at least."""
        looks = [*self.before, *without_late(self.looks, self.before)]
        since = looks[0].at if looks else 0.0
        for one, other in pairwise(looks):
            if one.status != other.status:
                yield one, other, one.at - since
                since = other.at


def without_late(looks: Sequence[Look], before: Sequence[Look] = ()) -> list[Look]:
    """Leave out each look whose ``GmtModifiedTime`` is older than that of an earlier one."""
    newest, kept = max((modified for look in before if (modified := modified_in(look))), default=None), []
    for look in looks:
        modified = modified_in(look)
        if modified is None or newest is None or modified >= newest:
            kept.append(look)
            newest = modified or newest
    return kept


def modified_in(look: Look) -> Any:
    """Return when an answer says that the instance changed last; None if it does not say."""
    return time_in(look.answer, "GmtModifiedTime")


@dataclass
class Push:
    """
    A snapshot that was made here.

    :param before: the instance's snapshots from before it.
    :param after: those that GetInstance showed while it was pushed, newest look last.
    :param looks: at it alone.
    :param again: what became of another one of the same name.
    """

    before: Sequence[Instance]
    after: Sequence[Instance] = ()
    looks: list[Look] = field(default_factory=list)
    again: Attempt | None = None

    @property
    def newest_before(self) -> Instance | None:
        return max(self.before, key=created_at, default=None)


@dataclass
class Timers:
    """
    The shutdown timers of an instance that was started here.

    :param on_the_way: what became of the first, right after the request.
    :param running: of one on ``Running``, if the first was refused.
    :param second: of another one on ``Running``; ``replaced``: whether it was shown in place of the first.
    :param after_deletion: of another one after the first was deleted, if the second was refused.
    """

    on_the_way: Attempt
    running: Attempt | None = None
    second: Attempt | None = None
    replaced: bool | None = None
    after_deletion: Attempt | None = None
    outlives_stop: bool | None = None


@dataclass
class Labels:
    """What ListInstances answered: by a label, how many have it and how many don't; and the ids that it lacks."""

    by_label: list[tuple[str, int, int]] = field(default_factory=list)
    not_listed: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)


@dataclass
class Deletion:
    """
    :param attempts: the status in which DeleteInstance was sent, and what became of it.
    :param operation: what was read afterwards.
    :param is_listed: whether the instance is listed still, once it was not found any more.
    """

    attempts: list[tuple[str | None, Attempt]] = field(default_factory=list)
    operation: Operation | None = None
    is_listed: bool | None = None


class Page(NamedTuple):
    """
    What a browser without a session gets.

    :param location: where it is redirected to.
    """

    url: str
    status: int
    location: str
    content: str


@dataclass
class Exchange:
    """A call, and each answer to it: the JSON, or what went wrong."""

    action: str
    outcomes: list[Mapping[str, Any] | Failure] = field(default_factory=list)


@dataclass
class Observations:
    """All that was seen, by whichever run."""

    listed: Sequence[Instance] = ()
    instances: list[Instance] = field(default_factory=list)
    seen_again: list[tuple[Instance, Instance]] = field(default_factory=list)
    lifecycles: dict[str, Sequence[Sequence[Mapping[str, Any]]]] = field(default_factory=dict)
    snapshots: list[Instance] = field(default_factory=list)
    missing: Attempt | None = None
    refusals: list[tuple[str, Attempt]] = field(default_factory=list)
    wrong_key: list[tuple[str, bool, Attempt]] = field(default_factory=list)
    replayed: list[Mapping[str, Any] | Failure] = field(default_factory=list)
    """What a request got that was sent before as it was, and what the same with a new nonce."""
    consoles: list[tuple[str, Page | str]] = field(default_factory=list)
    pages: list[tuple[str, Page | str]] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)
    saves_on_stop: list[Push] = field(default_factory=list)
    timers: list[Timers] = field(default_factory=list)
    labels: Labels = field(default_factory=Labels)
    deletion: Deletion | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    stopped_short: dict[str, str] = field(default_factory=dict)
    """Each run that has not come to its end, and why."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Each run that was not to be made, or not all of it, and why."""

    def of(self, *actions: str) -> list[Operation]:
        return [operation for operation in self.operations if operation.action in actions]
