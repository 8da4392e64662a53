"""What is imported is what pyproject.toml asks for, so that an installer says what does not fit."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import airflow_provider_dsw
from tests.support.distribution import PROJECT, ROOT

PACKAGE = Path(airflow_provider_dsw.__file__).parent
EMULATOR = PACKAGE / "emulator"
EXTRAS = PROJECT["optional-dependencies"]


def requirements(lines: list[str]) -> set[str]:
    return {Requirement(line).name for line in lines} - {PROJECT["name"]}


@cache
def modules(distribution: str) -> set[str]:
    """What of a distribution is imported."""
    if distribution == "apache-airflow":  # it consists of others
        return {"airflow"}
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:  # of an extra that is not installed
        return {distribution.replace("-", "_")}
    return {path.parts[0].removesuffix(".py") for path in files if path.suffix == ".py"}


def brought_by(distributions: set[str]) -> set[str]:
    return {name for distribution in distributions for name in modules(distribution)}


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All of them, however deep. In expressions, which are most of a module, nothing is imported."""
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        for inner in getattr(node, block, ()):
            yield inner
            yield from statements(inner)


def imported(source: str) -> set[str]:
    """The modules of others that a module imports."""
    found = set()
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"airflow_provider_dsw", "tests"}


@cache
def imported_in(*folders: Path) -> set[str]:
    paths = {path for folder in folders for path in folder.rglob("*.py")}
    return {name for path in paths for name in imported(path.read_text(encoding="utf-8"))}


ASKED_FOR = requirements(PROJECT["dependencies"])
FOR_THE_EMULATOR = requirements(EXTRAS["emulator"])
FOR_TESTS = {name for lines in EXTRAS.values() for name in requirements(lines)}
# For Airflow 3.1 alone, which shows a shorter form without it.
OPTIONAL = {"wtforms"}
LACKING = "lacking in pyproject.toml, in dependencies or an extra, or in OPTIONAL in this file"


def test_each_import_of_the_package_is_asked_for():
    others = [path for path in PACKAGE.iterdir() if path.is_dir() and path != EMULATOR]
    alone = {name for path in PACKAGE.glob("*.py") for name in imported(path.read_text(encoding="utf-8"))}

    assert (imported_in(*others) | alone) - OPTIONAL - brought_by(ASKED_FOR) == set(), LACKING
    assert imported_in(EMULATOR) - brought_by(ASKED_FOR | FOR_THE_EMULATOR) == set(), LACKING


def test_nothing_is_asked_for_that_the_package_does_not_import():
    used = imported_in(PACKAGE)

    unused = {name for name in ASKED_FOR | FOR_THE_EMULATOR if not modules(name) & used}
    assert unused == set(), "in dependencies in pyproject.toml, and not imported"


def test_each_import_of_the_tests_is_asked_for():
    used = imported_in(ROOT / "tests", ROOT / "example_dags", ROOT / ".github", ROOT / ".ci")

    assert used - brought_by(ASKED_FOR | FOR_TESTS) == set(), LACKING


@pytest.mark.parametrize(
    "source", ["import yaml", "from pendulum import now", "def later():\n    import attr", "import opentelemetry.trace"]
)
def test_what_airflow_happens_to_bring_is_noticed(source: str):
    (name,) = imported(source)

    assert name not in brought_by(ASKED_FOR | FOR_TESTS)
