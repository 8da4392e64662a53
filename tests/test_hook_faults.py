"""What goes wrong on the wire, and what the hook makes of it, synchronously and asynchronously."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.hooks.dsw import DswHook

WAYS: dict[str, Callable[[DswHook], object]] = {
    "sync": lambda hook: hook.get_instance("dsw-abc", token="a-sharing-token"),
    "async": lambda hook: asyncio.run(hook.aget_instance("dsw-abc", token="a-sharing-token")),
}


@pytest.mark.parametrize(
    ("fault", "kind", "tries"),
    [
        ({"status": 404, "code": "InternalError"}, "DswInstanceNotFoundError", 1),
        ({"status": 404, "code": "100700008", "message": "denied by RAM"}, "DswAccessDeniedError", 1),
        ({"status": 403, "code": "NoPermission"}, "DswAccessDeniedError", 1),
        ({"status": 400, "code": "ValidationError"}, "DswRequestError", 1),
        ({"status": 400, "code": "Throttling.User"}, "DswTransientError", 4),
        ({"status": 503, "code": "ServiceUnavailable"}, "DswTransientError", 4),
        ({"status": 502, "body": "<html>"}, "DswTransientError", 4),
        ({"status": 500, "body": "null"}, "DswTransientError", 4),
        ({"body": "[]"}, "DswTransientError", 4),
        ({"drop": True}, "DswTransientError", 4),
        ({"truncate": True}, "DswTransientError", 4),
        ({"success_false": True, "code": "ValidationError"}, "DswRequestError", 1),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_each_fault_is_classified_and_leaks_nothing(
    dsw_default: DswEmulator, no_pauses: None, fault: dict[str, object], kind: str, tries: int, way: str
) -> None:
    dsw_default.add_instance("dsw-abc")
    dsw_default.fault(times=None, **fault)  # type: ignore[arg-type]
    hook = DswHook()
    with pytest.raises(DswError) as raised:
        WAYS[way](hook)
    assert type(raised.value).__name__ == kind
    assert len(dsw_default.requests) == tries
    link: BaseException | None = raised.value
    while link is not None:
        for secret in ("a-sharing-token", "emulator-key-secret", "Signature="):
            assert secret not in f"{link!r} {link} {vars(link)}"
        link = link.__cause__ or link.__context__
