"""The emulator stands alone: it would be no second opinion if it shared code with what it tests."""

import ast
from pathlib import Path

import pytest

import airflow_provider_dsw.emulator

FOLDER = Path(airflow_provider_dsw.emulator.__file__).parent
COMMAND = {"cli.py", "run.py", "in_airflow.py"}
FOREIGN = ("airflow", "alibabacloud", "Tea", "darabonba")


@pytest.mark.parametrize(
    "path", sorted(set(FOLDER.glob("*.py")) - {FOLDER / name for name in COMMAND}), ids=lambda path: path.name
)
def test_the_emulator_imports_neither_the_package_nor_airflow_nor_the_sdk(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module or "")

    foreign = {name for name in imported if name.startswith(FOREIGN)}

    assert {name for name in foreign if not name.startswith("airflow_provider_dsw.emulator")} == set()
