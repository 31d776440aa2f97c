"""What people read is put together as it was meant: tables are tables, and links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for place in (".", "docs", "contrib") for page in (ROOT / place).glob("*.md"))
FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
CELL_ENDS = re.compile(r"(?<!\\)\|")


def prose(page: Path) -> str:
    """All but examples."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What a link into a page may name, as GitHub makes it of headings; of two that are alike, the second has a 1."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        bare = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(f"{bare}-{count}" if (count := sum(each == bare for each in found)) else bare)
    return set(found)


def torn(text: str) -> Iterator[str]:
    """Lines that are part of a table and no row of it, as after a wrap."""
    columns = 0
    for line in map(str.strip, text.splitlines()):
        ends = len(CELL_ENDS.findall(line))
        if not line.startswith("|"):
            columns = 0
            if line.endswith("|"):
                yield line
        elif not line.endswith("|") or ends != (columns := columns or ends):
            yield line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_row_of_a_table_is_a_line_with_all_its_cells(page: Path) -> None:
    assert list(torn(prose(page))) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s:]+)\)", prose(page)):
        where, _, anchor = link.partition("#")
        target = page.parent / where if where else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
