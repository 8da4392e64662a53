"""One production for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.production import bed
from tests.system.production.bed import Bed
from tests.system.production.fleet import Fleet


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run these where they are asked for only: they need servers that a developer's machine may not have."""
    if "production" in config.option.markexpr:
        return
    asked_for = [item for item in items if not item.get_closest_marker("production")]
    config.hook.pytest_deselected(items=[item for item in items if item not in asked_for])
    items[:] = asked_for


@pytest.fixture(scope="package", name="bed")
def running_bed() -> Iterator[Bed]:
    # Heartbeats are late after half of the time, so that a test need not wait so long until they are.
    with bed.running(pace=0.5) as running:
        yield running


@pytest.fixture(scope="package")
def fleet(bed: Bed) -> Fleet:
    return Fleet(bed)
