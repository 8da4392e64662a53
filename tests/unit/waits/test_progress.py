"""How far an instance is on its way to a status: no service, no Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dsw.waits.progress import Progress, progress
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES
from tests.support.answers import instance

IN_PROGRESS = {"Creating", "Queuing", "ResourceAllocating", "EnvPreparing", "Starting"}


@pytest.mark.parametrize(
    ("target", "saves_image", "in_progress", "blocked"),
    [
        (
            "Running",
            False,
            IN_PROGRESS,
            {"Stopping", "Saving", "Saved", "SaveFailed", "Updating", "Recovering"},
        ),
        ("Stopped", False, {"Stopping"}, {"Saving"}),
        ("Stopped", True, {"Stopping"}, {"Saving", "Saved", "SaveFailed"}),
    ],
)
def test_how_far_an_instance_is_on_its_way(
    target: str, saves_image: bool, in_progress: set[str], blocked: set[str]
) -> None:
    found: dict[Progress, set[Any]] = {}
    for status in (*INSTANCE_STATUSES, "A status of tomorrow", None):
        found.setdefault(progress(target, instance(status), saves_image=saves_image), set()).add(status)

    assert found.pop(Progress.DONE) == {target}
    assert found.pop(Progress.IN_PROGRESS) == in_progress
    assert found.pop(Progress.BLOCKED) == blocked
    assert list(found) == [Progress.NEEDS_REQUEST]
