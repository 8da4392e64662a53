"""What the observations say of each assumption. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from itertools import combinations, pairwise
from typing import Any, NamedTuple

from airflow_provider_dsw.client.failures import Failure, lacks_permission, says_taken
from airflow_provider_dsw.exceptions import DswAccessDeniedError, DswInstanceNotFoundError
from airflow_provider_dsw.operators.submission import CONFIRM_ATTEMPTS
from airflow_provider_dsw.waits.answers import created_at, snapshots_in, status_in, text_in
from airflow_provider_dsw.waits.progress import REVERSALS, is_saved
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES, RUNNING, SNAPSHOT_STATUSES, STOPPED
from tests.live.observations import Look, Observations, Operation, Page, modified_in, without_late

STARTING = ("Creating", "Queuing", "ResourceAllocating", "EnvPreparing", "Starting")
ARREARS = ("ArrearStopping", "Arrearge")
STARTS = ("StartInstance", "CreateInstance")
STOPS = ("StopInstance", "StopInstance with SaveImage")
OWN_LABEL = "the label of a new instance"
_NEVER = datetime.min.replace(tzinfo=UTC)
STATE_SECONDS = 1.0  # A state that lasts longer begins in another second than the next.


class Answer(Enum):
    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    NOT_SEEN = "not seen"


class Finding(NamedTuple):
    """What one part of an assumption was seen to be, in words."""

    answer: Answer
    words: str


Check = Callable[[Observations], Iterable[Finding]]
CHECKS: dict[str, tuple[str, Check]] = {}
"""By the assumption's name: the run that it needs, and the check."""


def check(name: str, run: str) -> Callable[[Check], Check]:
    def add(function: Check) -> Check:
        CHECKS[name] = (run, function)
        return function

    return add


def answer_to(name: str, seen: Observations) -> Finding:
    """
    Return what is to be said of an assumption.

    It does not hold if one of its parts does not; it holds if all that was seen of it does, and something was.
    """
    run, function = CHECKS[name]
    findings = list(function(seen)) or [not_seen("nothing that would show it")]
    answers = [finding.answer for finding in findings]
    answer = next((each for each in (Answer.DOES_NOT_HOLD, Answer.HOLDS) if each in answers), Answer.NOT_SEEN)
    words = [finding.words for finding in findings if finding.answer is answer]
    if answer is Answer.HOLDS:
        words += [f"not seen: {finding.words}" for finding in findings if finding.answer is Answer.NOT_SEEN]
    elif answer is Answer.NOT_SEEN:
        words += [why[run] for why in (seen.left_out, seen.stopped_short) if run in why]
    return Finding(answer, "; ".join(dict.fromkeys(words)))


def holds(words: str) -> Finding:
    return Finding(Answer.HOLDS, words)


def contradicted(words: str) -> Finding:
    return Finding(Answer.DOES_NOT_HOLD, words)


def not_seen(words: str) -> Finding:
    return Finding(Answer.NOT_SEEN, words)


# Statuses, and the answers that show them


@check("arrears", "reading")
def arrears(seen: Observations) -> Iterable[Finding]:
    for instance in seen.instances:
        sessions = seen.lifecycles.get(instance["InstanceId"]) or [[]]
        lived = status_in(sessions[0][0]) if sessions[0] else None
        if status_in(instance) in ARREARS:
            yield holds(f"GetInstance answers {status_in(instance)}")
        elif lived in ARREARS:
            yield contradicted(f"GetLifecycle shows {lived}, GetInstance {status_in(instance)}")
    yield not_seen("another instance in arrears") if seen.instances else not_seen("an instance")


@check("unknown-statuses", "reading")
def unknown_statuses(seen: Observations) -> Iterable[Finding]:
    found = {status: each for each in seen.instances if (status := status_in(each)) not in (*INSTANCE_STATUSES, None)}
    for status, instance in found.items():
        if reason := text_in(instance, "ReasonCode") or text_in(instance, "ReasonMessage"):
            yield contradicted(f"{status} has a reason, as a failure has: {reason}")
        else:
            yield holds(f"{status} appears, without a reason that would make it a failure")
    if not found:
        yield not_seen(f"an unknown status among {len(seen.listed)} instances")


@check("snapshot-statuses", "reading")
def snapshot_statuses(seen: Observations) -> Iterable[Finding]:
    snapshots = [*seen.snapshots, *(each for instance in seen.instances for each in snapshots_in(instance))]
    snapshots += [look.answer for push in seen.pushes for look in push.looks if look.answer]
    statuses = {status for each in snapshots if (status := status_in(each))}
    if unknown := statuses - {*SNAPSHOT_STATUSES}:
        yield contradicted(f"a snapshot is {', '.join(sorted(unknown))}")
    elif statuses:
        yield holds(f"{len(snapshots)} answers show {', '.join(sorted(statuses))}")
    else:
        yield not_seen("a snapshot")


@check("latest-snapshot", "changing")
def latest_snapshot(seen: Observations) -> Iterable[Finding]:
    for push in seen.pushes:
        own = push.looks[-1].answer if push.looks else {}
        newest = max(push.after, key=created_at, default=None)
        if newest is None or not any(_is_same(each, own) for each in push.after):
            yield not_seen("the push among the instance's snapshots")
        elif _is_same(newest, own):
            yield holds("the push that was made last has the newest GmtCreateTime")
        else:
            yield contradicted(
                f"after a push created at {own.get('GmtCreateTime')} another one is newer: "
                f"{newest.get('GmtCreateTime')}"
            )
    if not seen.pushes:
        yield not_seen("a push")


@check("whole-seconds", "reading")
def whole_seconds(seen: Observations) -> Iterable[Finding]:
    snapshots = [*seen.snapshots, *(each for instance in seen.instances for each in snapshots_in(instance))]
    snapshots += [look.answer for push in seen.pushes for look in push.looks]
    times = [time for each in snapshots if (time := text_in(each, "GmtCreateTime"))]
    if fractions := [time for time in times if "." in time]:
        yield contradicted(f"a snapshot's GmtCreateTime is {fractions[0]}")
    else:
        yield holds(f"{len(times)} times, such as {times[0]}") if times else not_seen("a snapshot")


@check("snapshot-identity", "reading")
def snapshot_identity(seen: Observations) -> Iterable[Finding]:
    twice = [
        (one, other)
        for instance, again in seen.seen_again
        for one in snapshots_in(instance)
        for other in snapshots_in(again)
        if _is_same(one, other)
    ]
    for push in seen.pushes:
        saved = [look.answer for look in push.looks if is_saved(look.answer)]
        twice += [(saved[0], other) for other in saved[1:]]
    finished = [(one, other) for one, other in twice if is_saved(one)]
    for one, other in finished:
        before, after = (each.get("GmtModifiedTime") for each in (one, other))
        if before != after or not is_saved(other):
            yield contradicted(f"a Saved snapshot changed: {before} {status_in(one)}, then {after} {status_in(other)}")
    for instance in seen.instances:
        listed = [each for each in instance.get("InstanceSnapshotList") or () if isinstance(each, Mapping)]
        for one, other in combinations(listed, 2):
            if _is_same(one, other):
                yield contradicted(f"two snapshots have one identity: {_identity(one)}")
    yield holds(f"{len(finished)} pairs of looks at a Saved snapshot agree") if finished else not_seen("one twice")


@check("replicas", "changing")
def replicas(seen: Observations) -> Iterable[Finding]:
    late = 0
    for operation in seen.operations:
        looks = [*operation.before, *operation.looks]
        kept = without_late(looks)
        late += len(looks) - len(kept)
        runs = [look for number, look in enumerate(kept) if number == 0 or kept[number - 1].status != look.status]
        for one, other, back, again in zip(runs, runs[1:], runs[2:], runs[3:], strict=False):
            # Within one second the times are equal.
            newer = (modified_in(back) or _NEVER) > (modified_in(other) or _NEVER)
            if (one.status, other.status) == (back.status, again.status) and newer:
                yield contradicted(
                    f"after {operation.action} {one.status} is read again after {other.status}, with a later "
                    "GmtModifiedTime"
                )
    yield (
        holds(f"{late} answers were behind, by their GmtModifiedTime") if late else not_seen("an answer that is behind")
    )


@check("statuses-on-the-way", "changing")
def statuses_on_the_way(seen: Observations) -> Iterable[Finding]:
    ways = {
        "StartInstance": (STARTING, RUNNING),
        "CreateInstance": (STARTING, RUNNING),
        "StopInstance": (("Stopping",), STOPPED),
        "StopInstance with SaveImage": (("Saving", "Saved", "SaveFailed", "Stopping"), STOPPED),
    }
    for action, (expected, target) in ways.items():
        for operation in seen.of(action):
            if operation.start_in_between and operation.start_in_between.accepted:
                continue
            way = operation.statuses()
            between = [each for each in way[: _index(way, target)] if each != operation.first_status]
            ends = {"Failed", *REVERSALS} if not operation.is_complete else set()
            if odd := {*between} - {*expected} - ends:
                yield contradicted(f"{action} shows {', '.join(sorted(odd))}: {' → '.join(way)}")
            elif not operation.is_complete:
                yield not_seen(f"the end of {action}")
            elif between:
                yield holds(f"{action}: {' → '.join(way)}")
            else:
                yield not_seen(f"a status between {action} and {target}")
        if not seen.of(action):
            yield not_seen(action)


# What a request brings about


@check("old-state", "changing")
def old_state(seen: Observations) -> Iterable[Finding]:
    moved, old = 0, 0
    for operation in seen.of("StartInstance", "StopInstance"):
        old += sum(look.status == operation.first_status for look in operation.looks)
        if _time_tells_nothing(operation):
            yield holds(f"{operation.action}: GmtModifiedTime is missing, or moves though the status does not")
            continue
        if odd := _goes_back(operation):
            yield contradicted(f"{operation.action}: {odd} has an older GmtModifiedTime than the status before it")
        for one, other, lasted in operation.changes():
            if modified_in(one) != modified_in(other):
                moved += 1
            elif lasted > STATE_SECONDS:
                yield contradicted(
                    f"{operation.action}: {one.status} becomes {other.status}, and GmtModifiedTime stays as it is"
                )
    if moved:
        yield holds(
            f"GmtModifiedTime moved with {moved} changes of status; the old one was read {old} times after a request"
        )
    elif not seen.of("StartInstance", "StopInstance"):
        yield not_seen("a start or a stop")


def _time_tells_nothing(operation: Operation) -> bool:
    looks = [*operation.before, *without_late(operation.looks, operation.before)]
    times = [(look.status, modified_in(look)) for look in looks]
    moves = any(one[0] == other[0] and one[1] != other[1] for one, other in pairwise(times))
    return moves or any(modified is None for _, modified in times)


def _goes_back(operation: Operation) -> str | None:
    """Return a status that was not read before, with a time that is older than one that was."""
    known = {look.status for look in operation.before}
    newest = max(filter(None, map(modified_in, operation.before)), default=None)
    for look in operation.looks:
        modified = modified_in(look)
        if modified and newest and modified < newest and look.status not in known:
            return look.status
        known.add(look.status)
        newest = max(filter(None, (newest, modified)), default=None)
    return None


@check("passing-statuses", "changing")
def passing_statuses(seen: Observations) -> Iterable[Finding]:
    for operation in seen.of("CreateInstanceSnapshot", *STOPS):
        passing = [each for each in operation.statuses() if each in ("Stopping", "Saving", "Updating", "Recovering")]
        if passing and operation.statuses()[-1] == passing[-1] and not operation.is_complete:
            yield contradicted(f"{operation.action}: {passing[-1]} does not end")
        elif passing:
            yield holds(f"{operation.action}: {', '.join(dict.fromkeys(passing))} ended")
        if operation.start_in_between is not None:
            words = f"StartInstance while Stopping was {operation.start_in_between}"
            yield contradicted(words) if operation.start_in_between.accepted else holds(words)
    if not any(operation.start_in_between for operation in seen.operations):
        yield not_seen("a StartInstance while Stopping")


@check("after-a-save", "changing")
def after_a_save(seen: Observations) -> Iterable[Finding]:
    for operation in seen.operations:
        way = operation.statuses()
        for number, status in enumerate(way):
            if status in ("Saved", "SaveFailed"):
                following = way[number + 1 : number + 2]
                words = f"{operation.action}: {status} is followed by {following[0] if following else 'nothing'}"
                yield holds(words) if following else contradicted(words)
    if not any({"Saved", "SaveFailed"} & {*operation.statuses()} for operation in seen.operations):
        yield not_seen("Saved or SaveFailed")


@check("undone-start", "changing")
def undone_start(seen: Observations) -> Iterable[Finding]:
    for operation in seen.of(*STARTS):
        way = operation.statuses()
        after = [number for number, status in enumerate(way) if status in STARTING][:1]
        undone = [status for status in way[after[0] :] if status in REVERSALS] if after else []
        if undone and not operation.is_complete:
            yield contradicted(f"{operation.action}: {' → '.join(way)}, and nobody stopped it here")
        elif operation.is_complete:
            yield holds(f"{operation.action} led to Running")
    if not seen.of(*STARTS):
        yield not_seen("a start")


@check("second-request", "changing")
def second_request(seen: Observations) -> Iterable[Finding]:
    for action in ("StartInstance", "StopInstance"):
        repeated = [each.repeated for each in seen.of(action) if each.repeated is not None]
        for attempt in repeated:
            words = f"a second {action} was {attempt}"
            yield contradicted(words) if attempt.accepted else holds(words)
        if not repeated:
            yield not_seen(f"a second {action} while the first is in effect")
    for push in seen.pushes:
        if push.again is not None:
            yield holds(f"a second CreateInstanceSnapshot of one name was {push.again}")


@check("shown-in-time", "changing")
def shown_in_time(seen: Observations) -> Iterable[Finding]:
    for operation in seen.of(*STARTS, *STOPS):
        first = operation.looks[:CONFIRM_ATTEMPTS]
        shown = [number for number, look in enumerate(first, 1) if _has_changed(operation, look)]
        if shown:
            yield holds(f"{operation.action}: at look {shown[0]}")
        elif len(first) == CONFIRM_ATTEMPTS:
            yield contradicted(f"{operation.action} is not shown by {CONFIRM_ATTEMPTS} looks")
    for operation in seen.of("CreateInstanceSnapshot"):
        if operation.listed_after:
            yield holds(f"the snapshot's label: at list {operation.listed_after}")
        elif operation.listed_after == 0 and operation.looks:
            saving = operation.looks[0].status == "Saving"
            words = f"the snapshot is not listed by its label in {CONFIRM_ATTEMPTS} lists"
            yield holds(f"{words}, but the instance is Saving") if saving else contradicted(words)
    if not seen.operations:
        yield not_seen("a request that changes something")


def _has_changed(operation: Operation, look: Look) -> bool:
    """Return whether a look shows what was brought about: another status, or another snapshot."""
    if not operation.before:
        return bool(look.answer)
    before = [_identity(each) for each in snapshots_in(operation.before[-1].answer)]
    has_new = any(_identity(each) not in before for each in snapshots_in(look.answer))
    return bool(look.answer) and (look.status != operation.first_status or has_new)


@check("save-on-stop", "changing")
def save_on_stop(seen: Observations) -> Iterable[Finding]:
    for push in seen.saves_on_stop:
        new = [each for each in push.after if not any(_is_same(each, old) for old in push.before)]
        oldest = push.newest_before
        if not new:
            yield not_seen("a snapshot of the save by the time that the instance is Stopped")
        elif oldest is not None and created_at(new[0]) <= created_at(oldest):
            yield contradicted(f"its snapshot, of {new[0].get('GmtCreateTime')}, is not newer than an earlier one")
        else:
            yield holds(f"its snapshot is the newest, and {status_in(new[0])} when the instance is Stopped")
    if not seen.saves_on_stop:
        yield not_seen("a StopInstance with SaveImage")


@check("labels", "reading")
def labels(seen: Observations) -> Iterable[Finding]:
    for kind, having, lacking in seen.labels.by_label:
        if lacking:
            yield contradicted(f"by a label, {lacking} instances are listed that do not show it")
        elif kind == OWN_LABEL and not having:
            yield not_seen("a new instance that is listed")
        elif kind == OWN_LABEL and having > 1:
            yield contradicted(f"by {kind}, {having} are listed")
        else:
            yield holds(f"by {kind}: {having} listed")
    for instance_id in seen.labels.not_listed:
        yield contradicted(f"{instance_id} is not among all instances that are listed")
    if not any(kind == OWN_LABEL for kind, *_ in seen.labels.by_label):
        yield not_seen("the label of an instance that was created with it")


@check("late-creations", "creating")
def late_creations(seen: Observations) -> Iterable[Finding]:
    is_listed_later = any(kind == OWN_LABEL and having for kind, having, _ in seen.labels.by_label)
    for operation in seen.of("CreateInstance"):
        if operation.listed_after:
            yield holds(f"a new instance is listed by its label at list {operation.listed_after}")
        elif is_listed_later:
            yield holds("a new instance is listed by its label once it is Running")
        elif operation.is_complete:
            yield contradicted("a new instance is not listed by its label, even once it is Running")
    if not seen.of("CreateInstance"):
        yield not_seen("a creation")


@check("new-instances", "creating")
def new_instances(seen: Observations) -> Iterable[Finding]:
    for operation in seen.of("CreateInstance"):
        found = [number for number, look in enumerate(operation.looks, 1) if look.answer]
        if found and found[0] > 1:
            yield holds(f"GetInstance finds a new instance at look {found[0]}")
        elif found:
            yield not_seen("a new instance that is not found: it is at the first look")
        elif operation.looks:
            yield contradicted(f"GetInstance finds a new instance at none of {len(operation.looks)} looks")
    listed = seen.deletion.is_listed if seen.deletion else None
    if listed is None:
        yield not_seen("an instance that is gone")
    elif listed:
        yield contradicted("an instance that was deleted and is not found is listed still")
    else:
        yield holds("an instance that was deleted is neither found nor listed")


@check("deletion", "creating")
def deletion(seen: Observations) -> Iterable[Finding]:
    attempts = seen.deletion.attempts if seen.deletion else []
    for status, attempt in attempts:
        words = f"DeleteInstance in {status} was {attempt}"
        yield contradicted(words) if status in ("Stopped", "Failed") and not attempt.accepted else holds(words)
    operation = seen.deletion.operation if seen.deletion else None
    if operation is None:
        yield not_seen("a deletion")
        return
    odd = {*operation.statuses()} - {"Deleting", operation.first_status}
    if odd:
        yield contradicted(f"before it is gone, it is {', '.join(sorted(odd))}")
    elif operation.is_complete:
        yield holds(f"{' → '.join([*operation.statuses(), 'not found'])}")
    elif "creating" in seen.stopped_short:
        yield not_seen("the end of a deletion")
    else:
        yield contradicted(f"it is not gone, but {' → '.join(operation.statuses())}")


@check("shutdown-timer", "changing")
def shutdown_timer(seen: Observations) -> Iterable[Finding]:
    for timers in seen.timers:
        yield holds(f"right after the request a timer is {'accepted' if timers.on_the_way.accepted else 'refused'}")
        if timers.running is not None:
            words = f"on Running a timer is {timers.running}"
            yield holds(words) if timers.running.accepted else contradicted(words)
        if timers.second is not None and timers.second.accepted and timers.replaced is not None:
            words = f"a second one {'replaces the first' if timers.replaced else 'is accepted, and the first stays'}"
            yield holds(words) if timers.replaced else contradicted(words)
        if timers.after_deletion is not None:
            words = f"a second one is refused, and {timers.after_deletion} after the first was deleted"
            yield holds(words) if timers.after_deletion.accepted else contradicted(words)
        if timers.outlives_stop is not None:
            yield holds(f"it {'outlives' if timers.outlives_stop else 'is gone after'} a stop")
    if not any(timers.second for timers in seen.timers):
        yield not_seen("a second timer")


# Errors


@check("not-found", "reading")
def not_found(seen: Observations) -> Iterable[Finding]:
    attempt = seen.missing
    if attempt is None:
        yield not_seen("a request for what does not exist")
    elif isinstance(attempt.error, DswInstanceNotFoundError) and attempt.error.status_code == 404:
        yield holds(f"GetInstance of an id that nothing has was {attempt}")
    elif isinstance(attempt.error, DswAccessDeniedError):
        yield contradicted(f"GetInstance of an id that nothing has counts as denied: {attempt}")
    else:
        yield contradicted(f"GetInstance of an id that nothing has was {attempt}")


@check("own-refusals", "reading")
def own_refusals(seen: Observations) -> Iterable[Finding]:
    refusals = [("GetInstance", seen.missing), *seen.refusals]
    for action, attempt in refusals:
        if attempt is None or attempt.error is None:
            yield not_seen(f"a refusal of {action}")
        elif attempt.error.code or attempt.error.request_id:
            yield holds(f"{action} was refused with {attempt.error.status_code} {attempt.error.code} and a RequestId")
        else:
            yield contradicted(f"{action} was refused without Code and RequestId: HTTP {attempt.error.status_code}")


@check("throttling", "reading")
def throttling(seen: Observations) -> Iterable[Finding]:
    def is_throttled(failure: Failure) -> bool:
        return (failure.code or "").startswith("Throttling")

    yield from _later(seen, is_throttled, "throttled")


@check("retry-after", "reading")
def retry_after(seen: Observations) -> Iterable[Finding]:
    def asks_to_wait(failure: Failure) -> bool:
        return failure.retry_after is not None

    yield from _later(seen, asks_to_wait, "told by x-acs-retry-after to wait")


def _later(seen: Observations, matches: Callable[[Failure], bool], what: str) -> Iterable[Finding]:
    """Say of each call that was refused in some way whether it worked later."""
    found = False
    for exchange in seen.exchanges:
        failures = [each for each in exchange.outcomes if isinstance(each, Failure) and matches(each)]
        found = found or bool(failures)
        words = f"{exchange.action} was {what}" + (f" with HTTP {failures[0].status}" if failures else "")
        if failures and not isinstance(exchange.outcomes[-1], Failure):
            yield holds(f"{words}, and answered at try {len(exchange.outcomes)}")
        elif len(failures) == len(exchange.outcomes) > 1:
            yield contradicted(f"{words}, and was so at each of {len(exchange.outcomes)} tries")
    if not found:
        yield not_seen(f"a request that was {what}")


@check("permissions", "reading")
def permissions(seen: Observations) -> Iterable[Finding]:
    for action, is_denied, attempt in seen.wrong_key:
        error = attempt.error
        about_key = isinstance(error, DswAccessDeniedError) and not lacks_permission(error)
        what = "that the key may not do" if is_denied else "that the key may do"
        code = error.code if error else "an answer"
        words = f"with a wrong secret, {action}, {what}, has {code}"
        yield holds(words) if about_key else contradicted(words)
    if not any(is_denied for _, is_denied, _ in seen.wrong_key):
        yield not_seen("a wrong secret where a permission lacks too")


@check("taken-names", "changing")
def taken_names(seen: Observations) -> Iterable[Finding]:
    for push in seen.pushes:
        if push.again is None or push.again.error is None:
            yield not_seen("a refusal of a name that is taken" + (": it was accepted again" if push.again else ""))
        elif says_taken(push.again.error):
            yield holds(f"a second snapshot of one name was {push.again}")
        else:
            yield contradicted(f"a second snapshot of one name was {push.again}, in none of these words")
    if not seen.pushes:
        yield not_seen("a snapshot of a name that is taken")


@check("nonces", "reading")
def nonces(seen: Observations) -> Iterable[Finding]:
    def is_used(outcome: Any) -> bool:
        return isinstance(outcome, Failure) and outcome.code == "SignatureNonceUsed"

    for exchange in seen.exchanges:
        if len(exchange.outcomes) > 1 and all(map(is_used, exchange.outcomes)):
            yield contradicted(f"{exchange.action} was refused for its nonce, which was a new one at each try")
    if [is_used(outcome) for outcome in seen.replayed] == [True, False]:
        yield holds("a request that was sent again as it was is refused, one with a new nonce is not")
    else:
        yield not_seen("a refusal of a request that was sent again as it was")


# Links


@check("console", "reading")
def console(seen: Observations) -> Iterable[Finding]:
    for origin, page in seen.consoles:
        if isinstance(page, str):
            yield not_seen(f"{origin}: {page}")
        elif page.status >= 400:
            yield contradicted(f"{page.url} answers HTTP {page.status}")
        elif "workspaceId" in page.location:
            yield holds(f"{origin} asks for a login, and leads back to the workspace; look at it: {page.url}")
        else:
            yield not_seen(f"what {origin} shows (HTTP {page.status}); look at it: {page.url}")
    if not seen.consoles:
        yield not_seen("an instance with a workspace, or the connection's region")


@check("instance-urls", "reading")
def instance_urls(seen: Observations) -> Iterable[Finding]:
    for name, page in seen.pages:
        if isinstance(page, str):
            yield not_seen(f"{name}: {page}")
        elif page.status in (401, 403) or _is_login(page):
            yield holds(f"{name} asks for a login (HTTP {page.status})")
        elif page.status < 300 and ("jupyter-config-data" in page.content or "JupyterLab" in page.content):
            yield contradicted(f"{name} opens without a login (HTTP {page.status})")
        else:
            yield not_seen(f"what {name} shows (HTTP {page.status})")
    if not seen.pages:
        yield not_seen("an instance with a URL")


def _is_login(page: Page) -> bool:
    return any(word in f"{page.location} {page.content}".lower() for word in ("login", "signin", "oauth", "sso"))


def _index(way: list[str], target: str) -> int:
    return way.index(target) if target in way else len(way)


def _identity(snapshot: Mapping[str, Any]) -> tuple[Any, ...]:
    name = next((value for name in ("ImageId", "ImageUrl", "ImageName") if (value := text_in(snapshot, name))), None)
    return name, snapshot.get("GmtCreateTime")


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return _identity(one) == _identity(other)
