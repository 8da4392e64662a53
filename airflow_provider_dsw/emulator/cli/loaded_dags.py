"""What an Airflow has made of the DAG files that it was given, for `dsw-emulator standalone`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

# The example DAGs that need another distribution, of an extra that need not be installed.
NEEDED = {"dsw_ssh": "apache-airflow-providers-ssh"}


class LoadedDags:
    """
    The DAGs and the import errors of an Airflow, by the name of their file.

    :param get: returns what its REST API answers to a path.
    """

    def __init__(self, get: Callable[[str], Any]) -> None:
        self.dags: dict[str, list[dict[str, Any]]] = {}
        for dag in get("/api/v2/dags?limit=100")["dags"]:
            self.dags.setdefault(Path(dag["relative_fileloc"] or dag["fileloc"]).name, []).append(dag)
        found = get("/api/v2/importErrors?limit=100")["import_errors"]
        self.errors: dict[str, str] = {Path(error["filename"]).name: error["stack_trace"] for error in found}

    def has_all(self, dag_files: Sequence[Path]) -> bool:
        """Whether something is known of each of these files."""
        return all(dag_file.name in {*self.dags, *self.errors} for dag_file in dag_files)

    def lines(self, dag_files: Sequence[Path], left_out: Sequence[Path]) -> Iterator[str]:
        """
        Describe them.

        :param dag_files: the files that it was given.
        :param left_out: those that need what is not installed.
        """
        dags = sorted((dag for loaded in self.dags.values() for dag in loaded), key=lambda dag: str(dag["dag_id"]))
        width = max((len(dag["dag_id"]) for dag in dags), default=0)
        if dags:
            yield "DAGs, each with a Trigger button on its page:"
        for dag in dags:
            starts = "It runs by itself." if dag["timetable_summary"] else ""
            yield f"  {dag['dag_id']:<{width}}  {' '.join(filter(None, [dag['description'], starts]))}".rstrip()
        problems = [*self._problems(dag_files), *map(_need, left_out)]
        if problems:
            yield from ["", "Not loaded:", *(f"  {problem}" for problem in problems)]

    def _problems(self, dag_files: Sequence[Path]) -> Iterator[str]:
        for dag_file in dag_files:
            if error := self.errors.get(dag_file.name):
                yield f"{dag_file}: {_exception(error)}{needed(dag_file, error)}"
            elif dag_file.name not in self.dags:
                yield f"{dag_file}: no DAG in it. Is the DAG created at the top level, and is the @dag function called?"


def needed(dag_file: Path, error: str) -> str:
    """Return what to install where an example DAG can't be imported for the lack of it; empty for any other file."""
    distribution = NEEDED.get(dag_file.stem)
    return f". It needs: pip install {distribution}" if distribution and "No module named" in error else ""


def _exception(stack_trace: str) -> str:
    """The exception itself, on one line, without the calls before it."""
    of_it = list(takewhile(lambda line: not line.startswith(" "), reversed(stack_trace.rstrip().splitlines())))
    return " ".join(reversed(of_it))


def _need(dag_file: Path) -> str:
    return f"{dag_file.name} needs: pip install {NEEDED[dag_file.stem]}"
