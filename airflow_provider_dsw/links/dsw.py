"""
The links on a task's page: to the instance's own pages, and to its workspace in the PAI console.

Airflow's UI reads each link from an XCom. Airflow itself writes these XComs when a worker is done with the task;
:func:`push_links` and :func:`apush_urls` write them as soon as the service has answered, so that a task shows its
links while it waits.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow.sdk import BaseOperatorLink
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_dsw.secrets import without_secrets, word_in
from airflow_provider_dsw.urls import holds_secret
from airflow_provider_dsw.version_compat import aset_xcom

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

CONSOLE_URL = "https://pai.console.aliyun.com/?regionId={region}&workspaceId={workspace_id}"

MAX_URL_LENGTH = 2048
"""Characters of a URL that is shown; browsers and proxies take no longer one for certain."""

log = logging.getLogger(__name__)


class _DswLink(BaseOperatorLink):
    name: ClassVar[str]

    def url(self, instance: Mapping[str, Any], region: str | None) -> str:
        """
        Return where the link leads to, as the service or the console has it.

        :param instance: GetInstance's answer.
        :param region: the connection's region id.
        """
        raise NotImplementedError

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """
        Return the link that was kept; empty where there is none, which the UI does not show.

        Airflow calls it in the worker when the task has ended or defers, and writes what it returns. That holds
        the worker up, so no link is read that the operator's ``pushed_links`` has.
        """
        kept = getattr(operator, "pushed_links", None)
        return (kept.get(self.xcom_key) if kept else BaseXCom.get_value(ti_key=ti_key, key=self.xcom_key)) or ""


class _InstanceLink(_DswLink):
    field: ClassVar[str]

    def url(self, instance: Mapping[str, Any], region: str | None) -> str:
        """Return the service's own URL: the number in it is not the InstanceId, so that none can be made."""
        return instance.get(self.field) or ""


class DswInstanceLink(_InstanceLink):
    """To the instance's page."""

    name = "DSW instance"
    field = "InstanceUrl"


class DswJupyterLabLink(_InstanceLink):
    """To JupyterLab on the instance."""

    name = "JupyterLab"
    field = "JupyterlabUrl"


class DswWebIdeLink(_InstanceLink):
    """To the Web IDE on the instance."""

    name = "Web IDE"
    field = "WebIDEUrl"


class DswTerminalLink(_InstanceLink):
    """To a terminal on the instance."""

    name = "Terminal"
    field = "TerminalUrl"


class DswConsoleLink(_DswLink):
    """To the instance's workspace in the PAI console."""

    name = "PAI console"

    def url(self, instance: Mapping[str, Any], region: str | None) -> str:
        """Return the workspace's page; empty where the connection has a host and no region."""
        workspace_id = word_in(instance, "WorkspaceId") or ""
        if not region or not re.fullmatch(r"[A-Za-z0-9_]+", workspace_id):
            return ""
        return CONSOLE_URL.format(region=region, workspace_id=workspace_id)


DSW_LINKS = (DswInstanceLink(), DswJupyterLabLink(), DswWebIdeLink(), DswTerminalLink(), DswConsoleLink())


def links_of(instance: Mapping[str, Any], region: str | None = None) -> dict[str, str]:
    """
    Return each link's XCom key and its URL, which is empty where there is none to show.

    :param instance: GetInstance's answer.
    :param region: the connection's region id.
    """
    urls = {link.xcom_key: link.url(instance, region) for link in DSW_LINKS}
    return {key: url if _may_be_shown(url) else "" for key, url in urls.items()}


def _may_be_shown(url: object) -> bool:
    # A browser leaves out white space within a URL, and what it then opens may be another.
    if not isinstance(url, str) or len(url) > MAX_URL_LENGTH or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and without_secrets(url) == url
        and not holds_secret(url)
    )


def push_links(
    context: Context,
    instance: Mapping[str, Any] | None,
    region: str | None = None,
    kept: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """
    Show an instance's links on the task's page, from a worker.

    An error is only a warning: no task fails because of its links.

    :param context: the task's; nothing is shown without a ``ti``.
    :param instance: GetInstance's answer; None leaves the page as it is.
    :param region: the connection's region id.
    :param kept: what the last call returned: only what has changed is written.
    :returns: what the page shows now, for ``kept`` and for the operator's ``pushed_links``.
    """
    return push_urls(context, {} if instance is None else links_of(instance, region), kept)


def push_urls(context: Context, links: Mapping[str, str], kept: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    As :func:`push_links`, with what :func:`links_of` returned.

    A triggerer leaves a wait's last links to the worker: it writes one XCom after the other, and where many waits
    end together its event loop would stand still meanwhile.
    """
    ti = context.get("ti")
    shown = dict(kept or {})
    try:
        for key, url in _changed_links(ti, links, shown):
            # Not through a custom XCom backend: the UI reads the row as it lies in the database.
            BaseXCom.set(key, url, **ti_fields(ti))
            shown[key] = url
    except Exception as error:
        _warn(error)
    return shown


async def apush_urls(ti: Any, links: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """
    As :func:`push_urls`, from a trigger.

    :param ti: the trigger's ``task_instance``; None where it has none, as in ``dag.test()``.
    """
    shown = dict(kept)
    try:
        for key, url in _changed_links(ti, links, shown):
            await aset_xcom(key, url, **ti_fields(ti))
            shown[key] = url
    except Exception as error:
        _warn(error)
    return shown


def _changed_links(ti: Any, links: Mapping[str, str], shown: Mapping[str, str]) -> list[tuple[str, str]]:
    return [] if ti is None else [(key, url) for key, url in links.items() if url != shown.get(key, "")]


def ti_fields(ti: Any) -> dict[str, Any]:
    """Return what names a task instance's XComs."""
    return {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}


def _warn(error: Exception) -> None:
    log.warning("The links on the task's page could not be set (%s).", type(error).__name__)
