"""
Write what became of the cells of `.ci/run versions` into their table. The rows of other cells stay as they are.

python3 .ci/versions.py PAGE DIRECTORY...: in a cell's directory lie its name (cell), its log, and, if it could be
installed, the reports of its tests.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

HEAD = """| Airflow | Python | dependencies | everyday tests | ends of waits | tested on |
|---|---|---|---|---|---|
"""


def outcome(report: Path) -> str:
    """Say how many tests passed, and how many did not."""
    if not report.exists():
        return "**did not end**"
    count = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in ElementTree.parse(report).iter("testsuite"):  # noqa: S314 - our own
        for name in count:
            count[name] += int(suite.get(name, 0))
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    return f"**{failed} failed**, {passed} passed" if failed or not passed else f"{passed} passed"


def row(directory: Path) -> tuple[str, str, str, str, str, str]:
    """Return what the table says of a cell."""
    airflow, python, dependencies = (directory / "cell").read_text().strip().split("/")
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    if not (directory / "installed").exists():
        log = (directory / "log").read_text().strip().splitlines()
        reason = " ".join(log[-1].replace("|", " ").split()) if log else "no log"
        return airflow, python, dependencies, f"**not installed**: {reason}", "", day
    installed = (directory / "installed").read_text()
    versions = dict(re.findall(r"^(\S+) +(\S+)", installed, re.MULTILINE))
    ends = [outcome(directory / f"{name}.xml") for name in ("everyday", "ends")]
    return versions["apache-airflow"], versions["Python"], dependencies, *ends, day


def is_next(directory: Path) -> bool:
    """Return whether a cell's Airflow is not released yet, and may fail."""
    return (directory / "cell").read_text().startswith("next/")


def key(cells: list[str]) -> tuple[object, ...]:
    """Tell the rows of two cells apart, and put them in order."""
    numbers = [tuple(map(int, re.findall(r"\d+", cell)[:length])) for cell, length in zip(cells, (3, 2), strict=False)]
    return (not numbers[0], *numbers, cells[2])


def main(page: Path, directories: list[Path]) -> None:
    text = page.read_text(encoding="utf-8")
    before, _, after = text.partition(HEAD)
    table = re.match(r"(?:\|.*\n)*", after)[0]  # type: ignore[index]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    new = [[*row(directory)] for directory in directories]
    found = {key(cells): cells for cells in rows + new}
    lines = [f"| {' | '.join(found[known])} |\n" for known in sorted(found)]
    page.write_text(before + HEAD + "".join(lines) + after.removeprefix(table), encoding="utf-8")
    print("".join(f"| {' | '.join(cells)} |\n" for cells in new))
    required = [cells for cells, directory in zip(new, directories, strict=True) if not is_next(directory)]
    sys.exit("a version that is supported has failed" if "**" in str(required) else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name).parent for name in sys.argv[2:]])
