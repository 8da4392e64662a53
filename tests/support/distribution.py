"""Let a process find the provider as an installed distribution, where it only lies on the path."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def path_with_provider(directory: Path) -> str:
    """The PYTHONPATH with which Airflow finds the provider's entry point; what it takes is put into this directory."""
    try:
        metadata.distribution(PROJECT["name"])
    except metadata.PackageNotFoundError:
        info = directory / f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n"
        )
        groups = PROJECT["entry-points"]
        (info / "entry_points.txt").write_text(
            "".join(
                f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
                for group, points in groups.items()
            )
        )
    return f"{directory}:{ROOT}"
