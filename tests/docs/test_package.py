"""What is published: its contents, its metadata, the README in it; and that anyone can build the same again."""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import shutil
import subprocess
import tarfile
import zipfile
from configparser import ConfigParser
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement

from tests.docs.readme import README
from tests.support.distribution import PROJECT, ROOT

TEXT = README.read_text(encoding="utf-8")
REPOSITORY = "https://github.com/someone/airflow-provider-dsw"
NAME = f"airflow_provider_dsw-{PROJECT['version']}"
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


@dataclass(frozen=True)
class Built:
    """A source distribution, and the wheel that was built from it."""

    sdist: Path
    wheel: Path

    def wheel_text(self, suffix: str) -> bytes:
        with zipfile.ZipFile(self.wheel) as opened:
            (name,) = [name for name in opened.namelist() if name.endswith(suffix)]
            return opened.read(name)

    @property
    def metadata(self) -> Message:
        return message_from_bytes(self.wheel_text(".dist-info/METADATA"))

    @property
    def digests(self) -> list[str]:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in (self.sdist, self.wheel)]


def build(source: Path, directory: Path) -> Built:
    """Build both: the wheel from the source distribution, as package indexes want it, which is unpacked there."""
    (sdist,) = SdistBuilder(str(source)).build(directory=str(directory))
    subprocess.run(["tar", "-xzf", sdist, "-C", directory], check=True)
    return Built(Path(sdist), build_wheel(directory / NAME, directory))


def build_wheel(source: Path, directory: Path) -> Path:
    (wheel,) = WheelBuilder(str(source)).build(directory=str(directory))
    return Path(wheel)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(ROOT, tmp_path_factory.mktemp("built"))


def test_whoever_builds_it_again_gets_the_same_bytes(built: Built, tmp_path: Path) -> None:
    unpacked = built.sdist.parent / NAME  # elsewhere, and of another age
    for path in unpacked.rglob("*"):
        os.utime(path, (2e9, 2e9))
        path.chmod(path.stat().st_mode & ~0o077)

    assert build(unpacked, tmp_path).digests == built.digests


def files(*folders: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as opened:
        names = set(opened.namelist())

    info = {f"{NAME}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    examples = {f"airflow_provider_dsw/{name}" for name in files("example_dags")}
    assert names == files("airflow_provider_dsw") | examples | info | {f"{NAME}.dist-info/licenses/LICENSE"}
    assert {"airflow_provider_dsw/py.typed", "airflow_provider_dsw/emulator/default_instance.json"} <= names


def test_the_source_distribution_holds_what_its_own_tests_need(built: Built) -> None:
    with tarfile.open(built.sdist) as opened:
        names = {name.removeprefix(f"{NAME}/") for name in opened.getnames()}

    whole = files("airflow_provider_dsw", "example_dags", "tests", ".github", ".ci")
    alone = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", ".gitignore", "PKG-INFO"}
    assert names == whole | alone


def test_the_metadata_is_what_pyproject_says(built: Built) -> None:
    metadata = built.metadata
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]

    assert (metadata["Name"], metadata["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert (metadata["License-Expression"], metadata["Summary"]) == ("Apache-2.0", PROJECT["description"])
    assert set(metadata["Requires-Python"].split(",")) == set(PROJECT["requires-python"].split(","))
    assert metadata.get_all("Classifier") == PROJECT["classifiers"]
    assert {*metadata.get_all("Provides-Extra", [])} == {*PROJECT["optional-dependencies"]}
    assert {line.name for line in requirements if "extra" not in str(line.marker)} == {
        Requirement(line).name for line in PROJECT["dependencies"]
    }


def test_airflow_and_the_shell_find_what_it_offers(built: Built) -> None:
    points = ConfigParser()
    points.read_string(built.wheel_text(".dist-info/entry_points.txt").decode())

    assert dict(points["apache_airflow_provider"]) == PROJECT["entry-points"]["apache_airflow_provider"]
    assert dict(points["console_scripts"]) == PROJECT["scripts"]


def test_each_python_that_is_promised_is_a_classifier() -> None:
    lowest, highest = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()  # type: ignore[union-attr]
    named = [name.rpartition(" :: ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name]

    assert named == [f"3.{minor}" for minor in range(int(lowest), int(highest))]


@pytest.mark.parametrize("repository", [None, REPOSITORY])
def test_a_package_index_shows_the_readme(built: Built, tmp_path: Path, repository: str | None) -> None:
    if repository:
        source = shutil.copytree(built.sdist.parent / NAME, tmp_path / NAME, ignore=shutil.ignore_patterns("PKG-INFO"))
        with (source / "pyproject.toml").open("a") as project:
            project.write(f'\n[project.urls]\nRepository = "{repository}"\n')
        built = Built(built.sdist, build_wheel(source, tmp_path))
    metadata = built.metadata

    assert metadata["Description-Content-Type"] == "text/markdown"
    shown = metadata.as_bytes().decode().partition("\n\n")[2]
    assert shown.strip() == for_package_index(TEXT, repository).strip()


def test_the_changelog_begins_with_this_version() -> None:
    titles = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert titles[0] == PROJECT["version"]
