"""What the guide for contributors names is there, and its commands find what they are to run."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.docs.readme import ROOT

GUIDE = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "airflow_provider_dsw"
QUOTED = set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL)))
SOURCES = "\n".join(
    path.read_text(encoding="utf-8") for folder in (PACKAGE, ROOT / "tests") for path in folder.rglob("*.py")
)
COMMANDS = sorted(name for name in QUOTED if re.match(r"(?:pytest|python -m)\b", name))


def section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def is_there(path: str) -> bool:
    return any((root / path).exists() for root in (ROOT, PACKAGE))


def test_each_file_that_it_names_is_there() -> None:
    paths = {name for name in QUOTED if re.fullmatch(r"\.?[\w./]+(?:/|\.py|\.toml)", name) or name == ".ci/run"}
    bare = set(re.findall(r"\(((?:\w+/)*\w+\.py)\)", GUIDE))

    assert len(paths) > 20
    assert {path for path in paths | bare if not is_there(path)} == set()


def test_each_name_that_it_uses_is_in_the_code() -> None:
    names = {name.removesuffix("()") for name in QUOTED if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)?(\(\))?", name)}
    parts = {part for name in names for part in name.split(".")}

    assert len(parts) > 30
    assert {part for part in parts if not re.search(rf"\b{part}\b", SOURCES)} == set()


def test_the_map_has_every_room() -> None:
    rows = "".join(line.split("|")[1] for line in section("The rooms").splitlines() if line.startswith("|"))
    rooms = {path.name + "/" * path.is_dir() for path in PACKAGE.iterdir() if not path.name.startswith(("_", "py."))}

    assert {room for room in rooms if f"`{room}`" not in rows} == set()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_it_runs(command: str) -> None:
    python, *arguments = command.split()
    arguments = ["-m", "pytest", *arguments, "--collect-only", "-q"] if python == "pytest" else [*arguments, "--help"]
    found = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout + found.stderr
