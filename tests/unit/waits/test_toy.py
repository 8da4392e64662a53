"""
Whoever adds something to wait for, in the way that the package describes, gets it everywhere.

The additions are made to a copy of the package, as a contributor would make them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_dsw

REPOSITORY = Path(__file__).parents[3]
CONDITION = '''@dataclass(frozen=True)
class ToyCondition(WaitCondition):
    """An instance with a toy."""

    noun: ClassVar[str] = "a toy"
    chosen_by: ClassVar[tuple[str, ...]] = ("toy",)

    toy: str = ""

    def __str__(self) -> str:
        return f"DSW instance {self.instance_id} to have {self.toy}"

    def evaluate(self, found: PollResult) -> Verdict:
        instance = found.instance or {}
        verdict = self._evaluate_instance(instance, (), self._failures(""))
        toy = instance.get("Toy")
        if toy == self.toy:
            verdict = verdict._replace(outcome=Outcome.SUCCESS)
        return verdict._replace(last_status=f"toy {toy}", has_evidence=toy is not None)


'''
PARSE = """def toy(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: {value!r} is no toy.")
    return value


"""
PARAMETER = "        toy: str | None = None,\n"
# Where something is added, by what it is: a file, what stands there, and what to put before that.
PLACES = {
    "the condition": ("waits/conditions.py", r"KINDS: tuple", CONDITION),
    "the kind": ("waits/conditions.py", r"(?<=WaitCondition\], \.\.\.\] = \()", "ToyCondition, "),
    "how it is checked": ("validation.py", r"# Several values\n", PARSE),
    "the declaration": ("wait_arguments.py", r"(?<=ARGUMENTS = \(\n)", '    Argument("toy", validation.toy),\n'),
    "the sensor": ("sensors/dsw.py", r"        dsw_conn_id: str = ", PARAMETER),
    "the triggers": ("triggers/base.py", r"        dsw_conn_id: str = ", PARAMETER),
    "the event trigger": ("triggers/dsw.py", r"        dsw_conn_id: str = ", PARAMETER),
}


def story(directory: Path, *, without: str | None = None) -> subprocess.CompletedProcess[str]:
    package = directory / "airflow_provider_dsw"
    shutil.copytree(Path(airflow_provider_dsw.__file__).parent, package)
    for place, (file, before, addition) in PLACES.items():
        if place != without:
            text = (package / file).read_text(encoding="utf-8")
            at = re.search(before, text)
            assert at, f"{place} has no such place any more"
            (package / file).write_text(text[: at.start()] + addition + text[at.start() :], encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": f"{directory}:{REPOSITORY}"}
    command = [sys.executable, str(Path(__file__).with_name("toy_story.py"))]
    return subprocess.run(command, env=env, cwd=directory, text=True, capture_output=True, timeout=600, check=False)


@pytest.mark.slow
def test_what_is_added_in_each_place_works_in_every_way_to_wait(tmp_path: Path) -> None:
    found = story(tmp_path)

    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[0].startswith(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_what_is_forgotten_in_one_place_works_nowhere_unnoticed(tmp_path: Path, place: str) -> None:
    found = story(tmp_path, without=place)

    assert found.returncode != 0
    assert "Error: " in found.stderr or "AssertionError" in found.stderr
