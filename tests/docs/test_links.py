"""Each link of a document leads somewhere: to a file, and to a heading in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.readme import PAGES, ROOT

DOCUMENTS = [*PAGES, ROOT / ".github/CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
MOST_BYTES = 150_000  # of a picture


def without_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]+`", "code", without_code(page))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith("https://")]


def anchors(page: Path) -> set[str]:
    """The ids that GitHub gives the headings."""
    titles = re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_each_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set[Path](), [PAGES[0]]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
        ahead += [target for target in targets if target.suffix == ".md" and target not in reached]

    assert reached >= {*DOCUMENTS}


def test_the_pictures_of_the_readme_are_small() -> None:
    pictures = [PAGES[0].parent / link for link in links(PAGES[0]) if link.endswith(".png")]

    assert len(pictures) == 2
    assert all(picture.stat().st_size < MOST_BYTES for picture in pictures)
