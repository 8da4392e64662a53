"""The README in the package's metadata, which a package index shows, has no link that leads nowhere there."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.docs.readme import README, ROOT

TEXT = README.read_text(encoding="utf-8")
REPOSITORY = "https://github.com/someone/airflow-provider-dsw"
for_package_index = runpy.run_path(str(ROOT / ".github/package_readme.py"))["for_package_index"]


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text)


def code(text: str) -> list[str]:
    return re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE)


def test_without_an_address_the_text_of_links_stays() -> None:
    shown = for_package_index(TEXT, None)

    assert all(link.startswith(("https://", "#")) for link in links(shown))
    assert "![" not in shown
    assert "Troubleshooting" in shown
    assert code(shown) == code(TEXT)


def test_with_an_address_links_and_pictures_lead_there() -> None:
    shown = for_package_index(TEXT, REPOSITORY)

    assert len(links(shown)) == len(links(TEXT))
    assert all(link.startswith(("https://", "#")) for link in links(shown))
    assert f"]({REPOSITORY}/raw/HEAD/.github/task_page.png)" in shown
    assert f"]({REPOSITORY}/blob/HEAD/.github/docs/waits.md)" in shown
    assert code(shown) == code(TEXT)


@pytest.mark.parametrize("has_address", [False, True])
def test_the_wheel_and_the_sdist_are_built_with_it(tmp_path: Path, has_address: bool) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv*", ".artifacts", ".*_cache"))
    if has_address:
        project = source / "pyproject.toml"
        project.write_text(project.read_text() + f'\n[project.urls]\nRepository = "{REPOSITORY}"\n')

    # The wheel from the sdist, as package indexes want it: so what that lacks is seen.
    for target in ("sdist", "wheel"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tmp_path)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
        if target == "sdist":
            (archive,) = tmp_path.glob("*.tar.gz")
            subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
            (source,) = tmp_path.glob("airflow_provider_dsw-*/")
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (name,) = [name for name in names if name.endswith("/METADATA")]
        metadata = message_from_bytes(opened.read(name))

    assert metadata["Description-Content-Type"] == "text/markdown"
    shown = metadata.as_bytes().decode().partition("\n\n")[2]
    assert shown.strip() == for_package_index(TEXT, REPOSITORY if has_address else None).strip()
    assert "airflow_provider_dsw/example_dags/dsw_pipeline.py" in names
