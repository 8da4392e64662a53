"""An emulator whose account shows each assumption about the service to hold, but for one that it may contradict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_dsw.emulator import DswEmulator, Fault, Request
from airflow_provider_dsw.emulator.faults import Answer
from airflow_provider_dsw.emulator.signature import SignedRequest
from airflow_provider_dsw.emulator.statuses import STARTING
from tests.support.raw_server import RawServer, Received, http

INSTANCE = "dsw-named"
THERE = (INSTANCE, "dsw-in-arrears", "dsw-odd")
KEY_ID, KEY, TOKEN = "LTAI5tLiveKeyIdOfNobody", "secret-key-of-nobody-0123456789", "token-of-nobody-0123456789"
SIGNED = "signature-of-nobody-0123456789"
DENIED = "paidsw:ListEcsSpecs"
# By poll: nothing depends on how fast the machine is.
TIMELINES: dict[str, Any] = {
    "start_timeline": ["Creating", "ResourceAllocating", "EnvPreparing", "Starting", "Running"],
    "stop_timeline": ["Stopping", "Stopped"],
    "snapshot_timeline": ["Committing", "Committing", "Pushing", "Pushing", "Saved"],
    "delete_timeline": ["Deleting", None],
}
SECONDS = 600  # which nothing takes
LIMITS = {"poll": 0.25, "start": SECONDS, "stop": SECONDS, "snapshot": SECONDS, "delete": SECONDS}
BODY = {"InstanceName": "live", "ImageId": "image-1", "EcsSpec": "ecs.c6.large"}
THROTTLED: dict[str, Any] = {"status": 400, "code": "Throttling.Api"}
TOLD_TO_WAIT: dict[str, Any] = {"status": 400, "code": "ValidationError", "headers": {"x-acs-retry-after": "1"}}
_LOGIN = http(302, Location="https://account.example.com/login?oauth_callback=workspaceId%3D40823")
_LAB = http(200, b'<script id="jupyter-config-data">{}</script>', Content_Type="text/html")
# By which it contradicts an assumption: options of the emulator, and of the instance,
OPTIONS: dict[str, dict[str, Any]] = {
    "statuses-on-the-way": {"start_timeline": ["Creating", "Provisioning", "Provisioning", "Starting", "Running"]},
    "old-state": {"modified_time": "frozen"},
    "after-a-save": {"snapshot_timeline": [("Committing", 3), ("Saved", None)], "saved_seconds": 1e9},
    "undone-start": {"start_timeline": ["Creating", "Starting", "Starting", "Stopping", "Stopped"]},
    "labels": {"label_filter": False},
    "late-creations": {"late_lists": 20},
    "deletion": {"delete_timeline": ["Deleting", "Releasing", None]},
}
OWN_OPTIONS: dict[str, dict[str, Any]] = {"old-state": {}, "shown-in-time": {"late_lists": 9, "saving_status": False}}
# fields of the instance with an unknown status; faults without end, by the action and the instance;
FIELDS: dict[str, dict[str, Any]] = {"unknown-statuses": {"ReasonCode": "Broken"}}
FAULTS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "throttling": ("GetInstanceEvents", None, THROTTLED),
    "retry-after": ("GetLifecycle", None, TOLD_TO_WAIT),
    "nonces": ("GetInstanceEvents", "dsw-odd", {"status": 400, "code": "SignatureNonceUsed"}),
}
# and the pages of the console, and of the instances. CHANGES, below, are to answers.
PAGES: dict[str, tuple[bytes, bytes]] = {"console": (http(404), _LOGIN), "instance-urls": (_LOGIN, _LAB)}


class LiveService(DswEmulator):
    """
    :param contradicts: the name of an assumption.
    :param pages: the origin of the pages that its links lead to.
    :param arguments: the emulator's, and its options.
    """

    def __init__(self, pages: str, contradicts: str | None = None, **arguments: Any) -> None:
        # A new instance is not found at once.
        options = {"stale_reads": 2, **TIMELINES, **OPTIONS.get(contradicts or "", {})}
        super().__init__(credentials={}, **options | arguments)
        self.contradicts = contradicts
        self.add_credential(KEY_ID, KEY, security_token=TOKEN, denied=[DENIED])
        names = ("InstanceUrl", "JupyterlabUrl", "WebIDEUrl", "TerminalUrl")
        urls: dict[str, Any] = {name: f"{pages}/{name}/?token={SIGNED}" for name in names}
        own = {"late_lists": 0, **OWN_OPTIONS.get(contradicts or "", {"stale_reads": [0, 2, 1, 0]})}
        self.add_instance(INSTANCE, "Stopped", Labels=[{"Key": "team", "Value": "red"}], options=own, **urls)
        self.listed: dict[str, list[Any]] = {}
        self.add_instance("dsw-in-arrears", "Arrearge", **urls)
        self.add_instance("dsw-odd", "Hibernating", **FIELDS.get(contradicts or "", {}), **urls)
        self.add_snapshot("dsw-odd", status="Saved")
        instances = self._instances.values()
        self._snapshots_at_first = {each.name for instance in instances for each in instance.snapshots.values()}
        # What the service says for a moment.
        self.fault("GetInstanceEvents", **THROTTLED)
        self.fault("GetLifecycle", **TOLD_TO_WAIT)
        if contradicts in FAULTS:
            action, instance_id, fault = FAULTS[contradicts]
            self.fault(action, instance_id, times=None, **fault)

    @property
    def left(self) -> set[str]:
        """What is there that was not at the beginning, or the other way round, and what runs."""
        there = {instance_id for instance_id in self._instances if self.status(instance_id) is not None}
        snapshots = {each.name for instance in self._instances.values() for each in instance.snapshots.values()}
        kept = {name for name in snapshots if "-stop-" not in name}  # the service's own of a stop
        runs = {INSTANCE} - {each for each in there if self.status(each) in ("Stopped", "Failed")}
        return (there ^ {*THERE}) | (kept ^ {*self._snapshots_at_first}) | runs

    def answer(self, signed_request: SignedRequest) -> tuple[Answer, Fault | None, Request]:
        before = {instance_id: self.status(instance_id) for instance_id in list(self._instances)}
        answer, fault, entry = super().answer(signed_request)
        change = CHANGES.get(self.contradicts or "")
        if change is not None and fault is None:
            content = json.loads(answer.body)
            status, content = change(self, entry, before.get(entry.instance_id or ""), answer.status, content)
            answer = Answer(status, json.dumps(content).encode(), answer.headers, content.get("Code"))
        return answer, fault, entry


# What becomes of an answer: of its HTTP status and its content.
Change = Callable[[LiveService, Request, str | None, int, dict[str, Any]], tuple[int, dict[str, Any]]]
CHANGES: dict[str, Change] = {}


def contradiction(name: str) -> Callable[[Change], Change]:
    def add(change: Change) -> Change:
        CHANGES[name] = change
        return change

    return add


def _snapshots(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for holder in (content, *content.get("Instances", ())):
        listed = [holder.get("LatestSnapshot"), *holder.get("InstanceSnapshotList", ()), *holder.get("Snapshots", ())]
        yield from (snapshot for snapshot in listed if snapshot)
    if "SnapshotId" in content:
        yield content


@contradiction("arrears")
def _hides_arrears(service, request, before, status, content):
    return status, content | {"Status": "Stopped"} if content.get("Status") == "Arrearge" else content


@contradiction("snapshot-statuses")
def _calls_saved_success(service, request, before, status, content):
    if request.action in ("GetInstanceSnapshot", "ListInstanceSnapshot"):
        for snapshot in _snapshots(content):
            if snapshot.get("Status") == "Saved":
                snapshot["Status"] = "Success"
    return status, content


@contradiction("whole-seconds")
def _shows_milliseconds(service, request, before, status, content):
    for snapshot in _snapshots(content):
        if "GmtCreateTime" in snapshot:
            snapshot["GmtCreateTime"] = snapshot["GmtCreateTime"].replace("Z", ".250Z")
    return status, content


@contradiction("snapshot-identity")
def _touches_snapshots(service, request, before, status, content):
    for snapshot in _snapshots(content):
        snapshot["GmtModifiedTime"] = f"2026-01-01T00:00:00.{len(service.requests):06}Z"
    return status, content


@contradiction("replicas")
def _makes_all_answers_new(service, request, before, status, content):
    if request.action == "GetInstance" and "GmtModifiedTime" in content:
        content["GmtModifiedTime"] = service.clock.stamp()
    return status, content


@contradiction("passing-statuses")
def _starts_what_stops(service, request, before, status, content):
    if request.action == "StartInstance" and before == "Stopping":
        service.set_instance(request.instance_id, per_poll=TIMELINES["start_timeline"])
        return 200, {"RequestId": "1", "InstanceId": request.instance_id}
    return status, content


@contradiction("second-request")
def _starts_twice(service, request, before, status, content):
    if request.action == "StartInstance" and before in STARTING:
        return 200, {"RequestId": "1", "InstanceId": request.instance_id}
    return status, content


def _dates_back(part: str) -> Change:
    def change(service, request, before, status, content):
        for snapshot in _snapshots(content):
            if part in (snapshot.get("ImageUrl") or ""):
                snapshot["GmtCreateTime"] = "2020-01-01T00:00:00Z"
        return status, content

    return change


CHANGES["latest-snapshot"] = _dates_back("dsw-live")
CHANGES["save-on-stop"] = _dates_back("-stop-")


@contradiction("new-instances")
def _lists_what_is_gone(service, request, before, status, content):
    if labels := request.query.get("Labels"):
        service.listed[labels] = content["Instances"] = content.get("Instances") or service.listed.get(labels, [])
    return status, content


@contradiction("shutdown-timer")
def _keeps_the_first_timer(service, request, before, status, content):
    if request.action == "GetInstance" and content.get("InstanceShutdownTimer"):
        content["InstanceShutdownTimer"]["DueTime"] = "2199-01-01T00:00:00Z"
    return status, content


@contradiction("not-found")
def _calls_it_invalid(service, request, before, status, content):
    if status == 404 and request.action == "GetInstance":
        return 400, content | {"Code": "ValidationError"}
    return status, content


@contradiction("own-refusals")
def _gives_no_code(service, request, before, status, content):
    if content.get("Code") == "ValidationError" and request.action == "ListInstances":
        return status, {"Message": content["Message"]}
    return status, content


@contradiction("permissions")
def _looks_at_permissions_first(service, request, before, status, content):
    if content.get("Code") == "SignatureDoesNotMatch":
        return 403, content | {"Code": "NoPermission", "Message": "You are not authorized."}
    return status, content


@contradiction("taken-names")
def _has_other_words(service, request, before, status, content):
    if request.action == "CreateInstanceSnapshot" and status == 400:
        content["Message"] = "Choose another name."
    return status, content


CONTRADICTED = {*OPTIONS, *OWN_OPTIONS, *FIELDS, *FAULTS, *PAGES, *CHANGES}


@contextmanager
def pages(contradicts: str | None = None) -> Iterator[str]:
    """The pages of the console and of instances: all ask for a login, unless it is this that is contradicted."""
    of_console, of_instance = PAGES.get(contradicts or "", (_LOGIN, _LOGIN))

    def answer(connection: Any, received: Received) -> bool:
        connection.sendall(of_console if "regionId" in received.line else of_instance)
        return False

    with RawServer(answer) as server:
        yield f"http://127.0.0.1:{server.port}"


@contextmanager
def live_service(contradicts: str | None = None, **arguments: Any) -> Iterator[tuple[LiveService, dict[str, str]]]:
    """The service, and the environment variables by which all of it is tried."""
    with pages(contradicts) as origin:
        service = LiveService(origin, contradicts, **arguments)
        with service:
            yield service, _environment(service, origin)


def _environment(service: LiveService, origin: str) -> dict[str, str]:
    return {
        "DSW_LIVE_CONNECTION": json.dumps(service.connection()),
        "DSW_LIVE_INSTANCE": INSTANCE,
        "DSW_LIVE_REPOSITORY": "registry.example.com/team/live",
        "DSW_LIVE_CREATE": json.dumps(BODY),
        "DSW_LIVE_CONSOLE": origin,
        "DSW_LIVE_LIMITS": json.dumps(LIMITS),
    }
