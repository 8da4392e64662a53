"""The README and its pages in .github/docs, in parts."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / ".github" / "docs").glob("*.md"))]
# The page about an account is held by tests/live, which need none of these snippets.
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "live.md")
_BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
LANGUAGES = {language for language, _ in _BLOCKS}
_TITLE = re.compile(r"^## (.+)$", re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [text for found, text in _BLOCKS if found == language]


def block(language: str, mark: str) -> str:
    """The only block of this language that holds this text."""
    (found,) = [text for text in blocks(language) if mark in text]
    return found


def section(title: str) -> str:
    """The only section of this title, to the next one of its page."""
    (found,) = [part.partition(f"\n## {title}\n")[2] for part in _pages() if f"\n## {title}\n" in part]
    return _TITLE.split(found)[0]


def _pages() -> list[str]:
    return [page.read_text(encoding="utf-8") for page in PAGES]


def rows(text: str) -> list[list[str]]:
    """The cells of each line of a table, its head too."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def codes(cell: str) -> list[str]:
    """What stands as code in a cell."""
    return [found for _, found in re.findall(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", cell)]
