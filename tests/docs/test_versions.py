"""The page of versions: what each Airflow lacks, by Airflow itself and version_compat.py, and what was tested."""

from __future__ import annotations

import re
import runpy
from itertools import combinations
from pathlib import Path

import airflow
import pytest
from airflow.sdk.execution_time import context
from airflow.triggers.base import BaseEventTrigger, BaseTrigger

from airflow_provider_dsw import version_compat
from tests.docs.readme import ROOT, rows, section
from tests.support.distribution import PROJECT

HERE = ".".join(airflow.__version__.split(".")[:2])
HEAD, _, *FEATURES = rows(section("What an Airflow version lacks"))
SAID = {feature: dict(zip(HEAD[1:-1], cells, strict=False)) for feature, *cells in FEATURES}
SCHEMA = (Path(airflow.__file__).parent / "provider.yaml.schema.json").read_text(encoding="utf-8")
# The names in version_compat.py by which the package knows it.
CONSTANTS = {
    "`start_from_trigger`": "STARTS_FROM_TRIGGER",
    "`on_kill` while deferred": "CALLS_ON_KILL",
    "queues for watchers": "QUEUES_WATCHERS",
}
SINCE = {
    name: (int(major), int(minor))
    for name, major, minor in re.findall(
        r"^(\w+) = _AIRFLOW >= \((\d+), (\d+)\)$", Path(version_compat.__file__).read_text(), re.MULTILINE
    )
}


def test_what_is_said_of_this_airflow_is_so() -> None:
    has = {
        "connection form from the provider's metadata": '"conn-fields"' in SCHEMA,
        "deferred waits for one instance share their polls": hasattr(BaseEventTrigger, "shared_stream_key"),
        "`start_from_trigger`": version_compat.STARTS_FROM_TRIGGER,
        "memory of watchers": hasattr(context, "AssetStateStoreAccessors"),
        "`on_kill` while deferred": hasattr(BaseTrigger, "on_kill"),
        "queues for watchers": version_compat.QUEUES_WATCHERS,
    }

    assert {feature: cells[HERE] for feature, cells in SAID.items()} == {
        feature: "yes" if there else "no" for feature, there in has.items()
    }


@pytest.mark.parametrize(("feature", "constant"), CONSTANTS.items())
def test_what_is_said_of_every_airflow_is_what_the_package_goes_by(feature: str, constant: str) -> None:
    assert SAID[feature] == {
        version: "yes" if tuple(map(int, version.split("."))) >= SINCE[constant] else "no" for version in HEAD[1:-1]
    }


def test_every_difference_that_has_a_name_is_in_the_table() -> None:
    assert set(CONSTANTS.values()) == SINCE.keys()


# The cells of `.ci/run versions`


def cells() -> list[tuple[str, ...]]:
    """Those that it would test, and the parts of each."""
    listed = re.search(r"^ALL_CELLS=\((.*?)^\)", (ROOT / ".ci/run").read_text(), re.DOTALL | re.MULTILINE)
    assert listed
    return [tuple(cell.split("/")) for cell in listed[1].split()]


def test_each_pair_of_versions_is_tested() -> None:
    lowest, end = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()  # type: ignore[union-attr]
    pythons = [f"3.{minor}" for minor in range(int(lowest), int(end))]
    airflows = ["3.1.0", "3.2.2", "newest", "next"]
    dependencies = ["oldest", "newest"]
    levels = [airflows, pythons, dependencies]

    wanted = {
        (first, second, one, other)
        for first, second in combinations(range(3), 2)
        for one in levels[first]
        for other in levels[second]
    }
    tested = {
        (first, second, cell[first], cell[second]) for cell in cells() for first, second in combinations(range(3), 2)
    }
    assert wanted - tested == {(0, 1, "3.1.0", "3.14")}  # for which there is no Airflow 3.1.0
    assert tested <= wanted


REPORT = '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="2"/></testsuites>'


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "versions.md"
    head = runpy.run_path(str(ROOT / ".ci/versions.py"))["HEAD"]
    path.write_text(f"Before.\n\n{head}| 3.2.2 | 3.12.1 | newest | 9 passed | 9 passed | 2026-01-01 |\n\nAfter.\n")
    return path


def tell(page: Path, cell: str, everyday: str | None, ends: str | None) -> str:
    """What the page says after this cell was tested, and its exit status."""
    directory = page.parent / cell.replace("/", "-")
    directory.mkdir()
    (directory / "cell").write_text(cell)
    (directory / "log").write_text("+ uv\nhint: there is no | wheel\n")
    if everyday:
        airflow_version = "3.4.0b2" if cell.startswith("next") else "3.2.2"
        (directory / "installed").write_text(f"Python 3.12.1\napache-airflow    {airflow_version}\n")
        (directory / "everyday.xml").write_text(everyday)
    if ends:
        (directory / "ends.xml").write_text(ends)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / ".ci/versions.py"))["main"](page, [directory])
    return f"{ended.value.code} {page.read_text()}"


def test_a_cell_that_was_tested_again_replaces_its_row(page: Path) -> None:
    text = tell(page, "3.2.2/3.12/newest", REPORT.format(12, 0), REPORT.format(8, 0))

    assert text.startswith("0 Before.")
    assert text.endswith("After.\n")
    (row,) = [line for line in text.splitlines() if line.startswith("| 3.2.2")]
    assert "| newest | 10 passed | 6 passed |" in row
    assert "2026-01-01" not in row


def test_the_first_row_is_put_into_an_empty_table(page: Path) -> None:
    page.write_text(re.sub(r"\| 3\.2\.2 .*\n", "", page.read_text()))

    text = tell(page, "3.2.2/3.12/newest", REPORT.format(12, 0), REPORT.format(8, 0))

    assert re.search(r"---\|\n\| 3\.2\.2 .*\|\n\nAfter\.\n$", text)


def test_a_failure_is_told_and_is_one(page: Path) -> None:
    text = tell(page, "3.2.2/3.12/oldest", REPORT.format(12, 3), None)

    assert "a version that is supported has failed" in text
    assert "| oldest | **3 failed**, 7 passed | **did not end** |" in text
    assert "| newest | 9 passed | 9 passed | 2026-01-01 |" in text


def test_an_airflow_that_is_not_released_may_fail(page: Path) -> None:
    text = tell(page, "next/3.12/newest", REPORT.format(12, 3), REPORT.format(8, 0))

    assert text.startswith("0 ")
    assert "| 3.4.0b2 | 3.12.1 | newest | **3 failed**, 7 passed | 6 passed |" in text


def test_what_could_not_be_installed_has_the_reason(page: Path) -> None:
    text = tell(page, "3.2.2/3.14/oldest", None, None)

    assert "| 3.2.2 | 3.14 | oldest | **not installed**: hint: there is no wheel |" in text
    assert "a version that is supported has failed" in text
