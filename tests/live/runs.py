"""All that is tried on an account, one run after the other."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.waits.assumptions import ASSUMPTIONS
from tests.live.changing import change
from tests.live.checks import CHECKS, answer_to
from tests.live.creating import create
from tests.live.reading import read
from tests.live.report import Report
from tests.live.session import NotTried, Session

RUNS: dict[str, Callable[[Session], None]] = {"reading": read, "changing": change, "creating": create}


def try_all(session: Session) -> None:
    """Make each run that the variables ask for; what stops one does not stop the next."""
    variables, seen = session.variables, session.seen
    if variables.instance_id is None:
        seen.left_out["changing"] = "DSW_LIVE_INSTANCE is not set."
    elif variables.repository is None:
        seen.left_out["changing"] = "DSW_LIVE_REPOSITORY is not set."
    if variables.create is None:
        seen.left_out["creating"] = "DSW_LIVE_CREATE is not set."
    asked_for = {"reading": True, "changing": variables.instance_id, "creating": variables.create}
    for name, run in RUNS.items():
        try:
            if asked_for[name]:
                run(session)
        except (NotTried, DswError) as error:
            seen.stopped_short[name] = str(error)


def report_of(session: Session) -> Report:
    """Return what there is to say of each assumption by now."""
    connection = session.hook.connection
    key_id = connection.credentials.get("access_key_id")
    return Report(
        connection.endpoint,
        {name: answer_to(name, session.seen) for name in ASSUMPTIONS if name in CHECKS},
        session.seen,
        [*connection.secrets, *([key_id] if isinstance(key_id, str) else [])],
    )
