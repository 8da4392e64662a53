"""What the package imports is what pyproject.toml asks for, so that an installer says what does not fit."""

from __future__ import annotations

import ast
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import airflow_provider_dsw
from tests.support.distribution import PROJECT

PACKAGE = Path(airflow_provider_dsw.__file__).parent
# wtforms: only where Airflow has it; cryptography: the extra "emulator"; psutil: Airflow's own, for the command that
# starts it as a whole.
NOT_ASKED_FOR = {"airflow_provider_dsw", "wtforms", "cryptography", "psutil"}


def imported() -> set[str]:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - NOT_ASKED_FOR


def test_each_package_that_is_imported_is_asked_for_and_no_other():
    distributions = metadata.packages_distributions()
    asked_for = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}

    # Airflow's modules come from several distributions, which the one that is asked for brings.
    needed = {
        "apache-airflow" if name == "airflow" else canonicalize_name(distributions[name][0]) for name in imported()
    }

    assert needed - asked_for == set(), "lacking in dependencies in pyproject.toml, or NOT_ASKED_FOR in this file"
    assert asked_for - needed == set(), "in dependencies in pyproject.toml, and not imported"
