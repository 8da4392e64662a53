"""What is seen of an account by reading alone."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from airflow_provider_dsw.client.failures import lacks_permission
from airflow_provider_dsw.details import redact
from airflow_provider_dsw.exceptions import (
    DswAccessDeniedError,
    DswInstanceNotFoundError,
    DswRequestError,
    DswTransientError,
)
from airflow_provider_dsw.links.dsw import CONSOLE_URL
from airflow_provider_dsw.version_compat import get_connection
from airflow_provider_dsw.waits.answers import snapshots_in, text_in
from airflow_provider_dsw.waits.labels import with_label
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES
from tests.live.observations import Page
from tests.live.recorder import RecordingHook, one_nonce
from tests.live.session import Session, refusal

MOST_INSTANCES = 10
MOST_SNAPSHOTS = 5
SECONDS_FOR_A_PAGE = 20.0
MISSING = "dsw-live000000000000"
_COMMON = set(INSTANCE_STATUSES) - {"ArrearStopping", "Arrearge"}


def read(session: Session) -> None:
    """Look at what is there, and ask for what is not."""
    seen, hook = session.seen, session.hook
    seen.listed = listed = _listed(session)
    _look_at(session, _chosen(listed, session.variables.instance_id))
    _filter_by_labels(session)
    seen.missing = refusal(hook.get_instance, MISSING)
    paths = {"ListInstances": "/api/v2/instances", "NoSuchOperation": "/api/v2/nosuchresource"}
    query = {"SortBy": "NoSuchField", "Order": "ASC"}
    seen.refusals = [(action, refusal(hook.call, action, path=path, query=query)) for action, path in paths.items()]
    _try_wrong_key(session)
    _send_again(session)
    _open_links(session)
    # Once more: what is finished does not change any more.
    for instance in seen.instances:
        with _if_permitted():
            seen.seen_again.append((instance, redact(hook.get_instance(instance["InstanceId"]))))


def _listed(session: Session) -> list[dict[str, Any]]:
    with _if_permitted():
        return [redact(item) for item in session.hook.list_instances(workspace_id="ALL", resource_id="ALL")]
    return []


def _chosen(listed: list[dict[str, Any]], own: str | None) -> list[str]:
    """Return the ids of those that tell most: odd ones first, then those that have snapshots."""
    told = sorted(listed, key=lambda item: (item.get("Status") in _COMMON, not any(snapshots_in(item))))
    ids = [own, *(text_in(item, "InstanceId") for item in told)]
    return list(dict.fromkeys(each for each in ids if each))[:MOST_INSTANCES]


def _look_at(session: Session, instance_ids: list[str]) -> None:
    seen, hook = session.seen, session.hook
    for instance_id in instance_ids:
        with _if_permitted():
            seen.instances.append(redact(hook.get_instance(instance_id)))
        with _if_permitted():
            seen.lifecycles[instance_id] = hook.get_lifecycle(instance_id)
        with _if_permitted():
            hook.get_instance_events(instance_id)
        with _if_permitted():
            listed = list(hook.list_instance_snapshots(instance_id))[-MOST_SNAPSHOTS:]
            seen.snapshots += [redact(item) for item in listed]
            ids = [snapshot_id for item in listed if (snapshot_id := text_in(item, "SnapshotId"))]
            seen.snapshots += [redact(hook.get_instance_snapshot(instance_id, each)) for each in ids]


@contextmanager
def _if_permitted() -> Iterator[None]:
    """Go on without what is denied or gone; what a request got is recorded in any case."""
    try:
        yield
    except DswAccessDeniedError as error:
        if not lacks_permission(error):
            raise
    except (DswInstanceNotFoundError, DswRequestError, DswTransientError):
        pass


def _filter_by_labels(session: Session) -> None:
    """List by a label that nothing has, and by one that something has."""
    labels, own = session.seen.labels, session.variables.instance_id
    if not session.seen.listed:
        return
    labels.listed = [item["InstanceId"] for item in session.seen.listed if "InstanceId" in item]
    if own and own not in labels.listed:
        labels.not_listed.append(own)
    pairs = [
        (label["Key"], label["Value"])
        for item in session.seen.listed
        for label in item.get("Labels") or ()
        if isinstance(label, dict) and text_in(label, "Key") and text_in(label, "Value") not in (None, "***")
    ]
    for kind, key, value in [
        ("a label that none has", "dsw-live", uuid4().hex),
        *(("a label that one has", *pair) for pair in pairs[:1]),
    ]:
        found = list(session.hook.list_instances(workspace_id="ALL", resource_id="ALL", labels={key: value}))
        having = with_label(found, key, value)
        labels.by_label.append((kind, len(having), len(found) - len(having)))


def _try_wrong_key(session: Session) -> None:
    """Ask for what is permitted, and what is not, with a secret that is wrong."""
    seen, hook = session.seen, session.hook
    instance_id = seen.instances[0]["InstanceId"] if seen.instances else MISSING
    reads: dict[str, tuple[str, dict[str, Any]]] = {
        "ListInstances": ("/api/v2/instances", {"PageSize": 1}),
        "ListEcsSpecs": ("/api/v2/ecsspecs", {"AcceleratorType": "CPU"}),
        "GetLifecycle": (f"/api/v2/instances/{instance_id}/lifecycle", {"Limit": 1}),
        "GetInstanceEvents": (f"/api/v2/instances/{instance_id}/events", {"MaxEventsNum": 1}),
    }
    with _wrong_key(session) as wrong:
        if wrong is None:
            return
        for action, (path, query) in reads.items():
            good = refusal(hook.call, action, path=path, query=query)
            is_denied = isinstance(good.error, DswAccessDeniedError) and lacks_permission(good.error)
            if is_denied or action == "ListInstances":
                seen.wrong_key.append((action, is_denied, refusal(wrong.call, action, path=path, query=query)))


@contextmanager
def _wrong_key(session: Session) -> Iterator[RecordingHook | None]:
    """A hook of the same connection with another secret; None if its keys are fetched."""
    own = session.hook.connection
    if not own.is_static:
        yield None
        return
    airflow = get_connection(session.hook, session.hook.dsw_conn_id)
    fields = {
        "conn_type": "dsw",
        "login": own.credentials["access_key_id"],
        "password": uuid4().hex[:30],
        "host": airflow.host,
        "port": airflow.port,
        "extra": {**airflow.extra_dejson, "access_key_secret": ""},
    }
    os.environ["AIRFLOW_CONN_DSW_LIVE_WRONG"] = json.dumps(fields)
    try:
        yield RecordingHook("dsw_live_wrong", session.hook.exchanges)
    finally:
        del os.environ["AIRFLOW_CONN_DSW_LIVE_WRONG"]


def _send_again(session: Session) -> None:
    """Send a request twice with one nonce, as a network may, and then a new one."""
    hook = session.hook
    with one_nonce():
        refusal(hook.get_instance, MISSING, attempts=1)
        refusal(hook.get_instance, MISSING, attempts=1)
    refusal(hook.get_instance, MISSING, attempts=1)
    session.seen.replayed = [outcome for exchange in hook.exchanges[-2:] for outcome in exchange.outcomes]


def _open_links(session: Session) -> None:
    """Open the links of an instance as somebody without a session does."""
    seen, region = session.seen, session.hook.connection.region
    for instance in seen.instances[:1]:
        workspace_id = text_in(instance, "WorkspaceId")
        path = urlsplit(CONSOLE_URL.format(region=region, workspace_id=workspace_id))._replace(scheme="", netloc="")
        if region and workspace_id:
            seen.consoles = [(console, _page(console + path.geturl())) for console in session.variables.consoles]
        names = ("InstanceUrl", "JupyterlabUrl", "WebIDEUrl", "TerminalUrl")
        seen.pages = [(name, _page(url)) for name in names if (url := text_in(instance, name))]


def _page(url: str) -> Page | str:
    """Return a page, or why there is none."""
    if not url.startswith(("https://", "http://")):
        return "it is no URL"
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(url, timeout=SECONDS_FOR_A_PAGE) as answer:
            return Page(url, answer.status, "", answer.read(100_000).decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return Page(url, error.code, error.headers.get("Location") or "", "")
    except (OSError, ValueError) as error:
        return f"it can't be opened ({type(error).__name__})"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
