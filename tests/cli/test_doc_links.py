"""Links between the pages lead somewhere: to a file that exists, and to a heading that it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "bundles/*/docs/*.md")
    for path in ROOT.glob(pattern)
)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    file = ROOT / page
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", file.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{page} links to {link}, which does not exist"
        assert not anchor or anchor in anchors(target), f"{page} links to {link}: no such heading"


def test_every_page_is_found_from_the_readme() -> None:
    """Follow links from README.md; no page of docs/ may be left over, and a link to a folder reaches its pages."""
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        file = waiting.pop()
        if file in reached or not file.exists():
            continue
        reached.add(file)
        if file.is_dir():
            waiting += file.glob("*.md")
        elif file.suffix == ".md":
            links = re.findall(r"\]\((?!https?:)([^)#\s]+)", file.read_text(encoding="utf-8"))
            waiting += [(file.parent / link).resolve() for link in links]
    assert {path for path in ROOT.glob("docs/**/*.md") if path not in reached} == set()
