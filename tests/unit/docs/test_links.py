"""What the documentation leads to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

#: Links and pictures, of Markdown and of HTML.
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for found in LINK.finditer(page.read_text(encoding="utf-8")):
        target = (found[1] or found[2]).partition("#")[0]
        if target and "://" not in target:
            assert (page.parent / target).exists(), target
