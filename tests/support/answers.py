"""Answers of the service as pure tests need them, and what a wait makes of one."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import Verdict, Wait, evaluate
from airflow_provider_dsw.waits.operations import Operation

ID = "dsw-abc"


def instance(status: Any, minute: int | None = None, **more: Any) -> dict[str, Any]:
    """An answer of GetInstance; `minute`: when the instance was modified."""
    time = {} if minute is None else {"GmtModifiedTime": f"2026-01-31T12:{minute:02}:00Z"}
    return {"InstanceId": ID, "Status": status, **time, **more}


def snapshot(status: str, name: str = "a", minute: int = 0, **more: Any) -> dict[str, Any]:
    created = f"2026-01-31T12:{minute:02}:00Z"
    return {"Status": status, "ImageName": name, "ImageUrl": f"registry/{name}", "GmtCreateTime": created, **more}


def judge(wait: Wait, answer: dict[str, Any], of_snapshot: dict[str, Any] | None = None) -> Verdict:
    return evaluate(wait, PollResult(answer, of_snapshot))


def moved(wait: Wait) -> Wait:
    """The wait in another process."""
    assert wait.operation
    return wait._replace(operation=Operation.from_json(json.loads(json.dumps(wait.operation.as_json()))))
