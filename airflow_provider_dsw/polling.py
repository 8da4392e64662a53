"""
One poll of a wait: ask the service, judge the answer, and say what Airflow needs of it.

The sensor, the operators and the triggers share it; what an answer means is in :mod:`~airflow_provider_dsw.waits`.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_dsw.details import default_details
from airflow_provider_dsw.exceptions import DswError, DswTransientError, DswWaitFailedError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.waits import Outcome, Verdict, Wait, judge


def poll(hook: DswHook, wait: Wait) -> Verdict:
    """
    Ask the service once and return what the answer means.

    :raises DswWaitFailedError: where the service refuses in a way that asking again would not change.
    :raises DswTransientError: where it can't answer now.
    """
    snapshot = None
    try:
        if wait.snapshot_id:
            snapshot = hook.get_instance_snapshot(wait.instance_id, wait.snapshot_id)
            verdict = judge(wait, None, snapshot)
            if verdict.outcome is not Outcome.NOT_YET:
                return verdict
        return judge(wait, hook.get_instance(wait.instance_id), snapshot)
    except DswError as error:
        refused = refusal(wait, error)
    raise refused


def refusal(wait: Wait, error: DswError) -> DswError:
    """Return what an error of the hook means for a wait: transient as it is, anything else as its end."""
    if isinstance(error, (DswTransientError, DswWaitFailedError)):
        return error
    return DswWaitFailedError(
        f"Waited for {wait}. {error}",
        code=error.code,
        status_code=error.status_code,
        request_id=error.request_id,
        message=error.message,
    )


def failure(wait: Wait, verdict: Verdict) -> DswWaitFailedError:
    """Return the error for a wait that can't succeed any more."""
    found = verdict.found
    request_id = found.get("RequestId")
    return DswWaitFailedError(
        f"Waited for {wait}, which can't happen any more: "
        f"DSW instance {wait.instance_id} is at {verdict.seen}{f' ({verdict.reason})' if verdict.reason else ''}. "
        "Look at the instance in the PAI console, mend it and clear the task.",
        code=found.get("ReasonCode"),
        request_id=request_id,
        message=found.get("ReasonMessage"),
    )


def result(wait: Wait, verdict: Verdict) -> dict[str, Any]:
    """Return the XCom of a wait that was met: the instance's default details, or the snapshot."""
    return dict(verdict.found) if wait.snapshot else default_details(verdict.found)
