"""The README, in parts."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
_BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
LANGUAGES = {language for language, _ in _BLOCKS}


def blocks(language: str) -> list[str]:
    return [text for found, text in _BLOCKS if found == language]


def block(language: str, mark: str) -> str:
    """The only block of this language that holds this text."""
    (found,) = [text for text in blocks(language) if mark in text]
    return found


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> list[str]:
    """What stands as code in the first column of a section's table."""
    cells = [line.split("|")[1] for line in section(title).splitlines() if line.startswith("|")]
    return [found for cell in cells for _, found in re.findall(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", cell)]
