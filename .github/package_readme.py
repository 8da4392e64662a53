"""
The README as a package index shows it, made when the package is built.

A link to a file of the repository leads nowhere there. If pyproject.toml's project.urls have a Repository, these links
lead to it, and the pictures come from it. Otherwise the pictures are left out, and of a link its text stays.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)")
PICTURE = re.compile(r"^!\[[^\]]*\]\((?!https?:)[^)\s]+\)\n\n", re.MULTILINE)


def for_package_index(text: str, repository: str | None) -> str:
    """
    Return the README with no link that leads nowhere on a package index.

    :param text: the README.
    :param repository: the repository's address on GitHub; None if it has none.
    """
    if not repository:
        return LINK.sub(r"\2", PICTURE.sub("", text))
    address = repository.rstrip("/")
    return LINK.sub(
        lambda link: f"{link[1]}[{link[2]}]({address}/{'raw' if link[1] else 'blob'}/HEAD/{link[3]})",
        text,
    )


class PackageReadme(MetadataHookInterface):
    """Sets the readme of the package's metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        readme = for_package_index(text, metadata.get("urls", {}).get("Repository"))
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
