"""The environment variables that say which account is tried, what may be changed in it, and how long it may take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

# Each variable, and what it is for.
VARIABLES = {
    "DSW_LIVE_CONNECTION": "an Airflow connection of type dsw, as JSON or URI: nothing but reading",
    "DSW_LIVE_INSTANCE": "the id of an instance that is Stopped: it is started and stopped",
    "DSW_LIVE_REPOSITORY": "registry/namespace/repository: the instance is also saved to it, once as it stops",
    "DSW_LIVE_CREATE": "the body of CreateInstance, as JSON: an instance is created and deleted",
    "DSW_LIVE_CONSOLE": "the PAI console's origin, in place of both sites' own",
    "DSW_LIVE_LIMITS": "other time limits in seconds, as JSON",
    "DSW_LIVE_REPORT": "the report's file, in place of .artifacts/live.txt",
}
HOW_TO = (
    "Set DSW_LIVE_CONNECTION to try the assumptions about the service on an account: "
    """DSW_LIVE_CONNECTION='{"conn_type": "dsw", "login": ..., "password": ..., "extra": {"region": ...}}' """
    "pytest -m live tests/live. See .github/docs/live.md."
)
CONSOLES = ("https://pai.console.aliyun.com", "https://pai.console.alibabacloud.com")


@dataclass(frozen=True)
class Limits:
    """
    Seconds.

    :param poll: between two looks at an instance.
    :param start: for a start, until ``Running``.
    :param stop: for a stop, until ``Stopped``.
    :param snapshot: for a push, until the snapshot is ``Saved`` and the instance ``Running`` or ``Stopped`` again.
    :param delete: for a deletion, until the instance is not found.
    :param stop_after: after which the service itself stops what was started or created here.
    """

    poll: float = 10
    start: float = 1200
    stop: float = 900
    snapshot: float = 5400
    delete: float = 900
    stop_after: float = 14_400

    @classmethod
    def parse(cls, text: str | None) -> Limits:
        """
        Return the default ones, but for those that are given.

        :raises ValueError: on what is neither JSON nor a number of seconds above 0 for each known name.
        """
        given = _json("DSW_LIVE_LIMITS", text)
        names = [each.name for each in fields(cls)]
        for name, seconds in given.items():
            if name not in names:
                raise ValueError(f"DSW_LIVE_LIMITS: no limit {name!r}. There are {', '.join(names)}.")
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 10**9:
                raise ValueError(f"DSW_LIVE_LIMITS: {name} is no number of seconds above 0. Write e.g. 600.")
        return replace(cls(), **given)


@dataclass(frozen=True)
class Variables:
    """
    What the variables say; None for what is not to be tried.

    :param connection: ``DSW_LIVE_CONNECTION``; likewise the others.
    """

    connection: str = field(repr=False)
    instance_id: str | None = None
    repository: str | None = None
    create: Mapping[str, Any] | None = field(default=None, repr=False)
    consoles: tuple[str, ...] = CONSOLES
    limits: Limits = Limits()
    report: str = ".artifacts/live.txt"

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Variables | None:
        """
        Return what is set; None without a connection.

        :raises ValueError: on one that is malformed, or that no run reads.
        """
        given = {name: value for name, value in environment.items() if name.startswith("DSW_LIVE_") and value}
        for name in given:
            if name not in VARIABLES:
                raise ValueError(f"{name} is not read. There are {', '.join(VARIABLES)}.")
        if "DSW_LIVE_CONNECTION" not in given:
            return None
        return cls(
            connection=given["DSW_LIVE_CONNECTION"],
            instance_id=given.get("DSW_LIVE_INSTANCE"),
            repository=given.get("DSW_LIVE_REPOSITORY"),
            create=_json("DSW_LIVE_CREATE", given.get("DSW_LIVE_CREATE")) or None,
            consoles=(given["DSW_LIVE_CONSOLE"],) if "DSW_LIVE_CONSOLE" in given else CONSOLES,
            limits=Limits.parse(given.get("DSW_LIVE_LIMITS")),
            report=given.get("DSW_LIVE_REPORT", cls.report),
        )


def _json(name: str, text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{name}: not a JSON object.")
    return value
