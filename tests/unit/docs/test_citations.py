"""Citations of documents in comments, docstrings and pages lead to a section that is there."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

#: Where documents are cited by their file names. Folders that hold no text of ours are left out.
FOLDERS = ("src", "tests", "docs", "tools", "bench", "image", "requirements")
SUFFIXES = {".py", ".md", ".html", ".css", ".js", ".toml", ".graphql", ".lark", ".yml", ".yaml"}

#: A document with or without a folder, and the section. What is part of a longer name or address is none.
CITATION = re.compile(r"(?<![\w./<>{}*-])(?P<file>(?:[\w-]+/)*[\w-]+\.md)\b(?:#(?P<anchor>[\w-]+))?(?![\w/-])")

#: A section by its number, as in documents that are not here: an anchor stays right when a section moves.
NUMBERED = re.compile(r"-notes\.md\s+(?:section\s+)?\d")

#: Notes whose sections are cited.
NOTES = ("rally-api-notes.md", "accelerate-api-notes.md")


#: Pages that a command writes where they are wanted.
WRITTEN = frozenset({"MUTANTS.md", "RELIABILITY.md"})


def sources() -> list[Path]:
    paths = [*ROOT.glob("*.md"), *ROOT.glob("*.toml")]
    for folder in FOLDERS:
        paths += (path for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES and path.is_file())
    return sorted(path for path in paths if "node_modules" not in path.parts and path != Path(__file__))


@cache
def documents() -> dict[str, list[Path]]:
    """Return the Markdown files of the repository by their names."""
    found: dict[str, list[Path]] = {}
    for path in [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]:
        found.setdefault(path.name, []).append(path)
    return found


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors that Markdown gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\s-]", "", plain.lower()).strip().replace(" ", "-")
        count = found.get(name, 0)
        found[name] = count + 1
        names.add(f"{name}-{count}" if count else name)
    return frozenset(names)


def citations(text: str) -> Iterator[re.Match[str]]:
    """Find the citations of a text; in code those of comments and docstrings are meant, data rarely looks like one."""
    return CITATION.finditer(text)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def problems(path: Path, text: str) -> list[str]:
    """Return what is wrong with the citations of a file, one sentence each."""
    found = []
    for match in citations(text):
        name, anchor = match["file"], match["anchor"]
        where = f"{named(path)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        # A page is cited by its path from the citing file, from the repository, or by its name alone.
        pages = [page for page in ((path.parent / name), ROOT / name) if page.is_file()]
        pages = pages or [page for page in documents().get(Path(name).name, []) if page.as_posix().endswith(f"/{name}")]
        if not pages and Path(name).name not in WRITTEN:
            found.append(f"{where}: no such document")
        elif pages and anchor and not any(anchor in anchors(page) for page in pages):
            found.append(f"{where}: no such heading")
    found += (f"{named(path)}: {match[0]}: cite a heading, not a number" for match in NUMBERED.finditer(text))
    return found


def test_every_citation_leads_to_a_heading_that_is_there() -> None:
    assert [problem for path in sources() for problem in problems(path, path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("name", NOTES)
def test_the_notes_are_cited_and_their_headings_are_unique(name: str) -> None:
    (page,) = documents()[name]
    headings = re.findall(r"^#{2,3} (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert any(f"{name}#" in path.read_text(encoding="utf-8") for path in sources() if path.suffix == ".py")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("See rally-api-notes.md#paging.", []),
        ("(docs/reference/rally-api-notes.md#paging, accelerate-api-notes.md#issue-fields)", []),
        ("(rally-api-notes.md#no-such-heading)", ["no such heading"]),
        ("(no-such-document.md 1.4)", ["no such document"]),
        ("rally-api-notes.md 1.4", ["cite a heading, not a number"]),
    ],
)
def test_a_wrong_citation_is_found(text: str, wrong: list[str]) -> None:
    found = problems(ROOT / "src" / "sample.py", text)
    assert [problem.rpartition(": ")[2] for problem in found] == wrong
