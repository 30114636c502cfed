"""The documentation site has every page, and its build refuses what would not work in the server."""

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import make_docs

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"

PAGE = """<!doctype html><html><head><link rel="stylesheet" href="assets/style.css">
<script>var a = 1 && 2</script><script type="application/json">{}</script><script src="assets/javascripts/bundle.1.js"></script>
</head><body><a href="..">Server</a><h2 id="one">One</h2><a href="#one">1</a><a href="more/page.html#two%20words">2</a>
<a href="https://example.com/">away</a><img src="picture.png"></body></html>"""


def pages_of(nav: list[Any]) -> Iterator[str]:
    """Yield the pages of a navigation."""
    for entry in nav:
        (target,) = entry.values()
        yield from pages_of(target) if isinstance(target, list) else [target]


def test_the_navigation_has_every_page_once() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    listed = list(pages_of(config["project"]["nav"]))
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_the_start_page_leads_to_every_other_page() -> None:
    targets = set(re.findall(r"\]\(([^)#]+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8")))
    assert targets == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}


def test_only_pages_pictures_and_styles_are_copied_into_the_site() -> None:
    assert {path.suffix for path in DOCS.rglob("*") if path.is_file() and "__pycache__" not in path.parts} == {
        ".css",
        ".md",
        ".png",
        ".svg",
    }


def test_the_icon_of_the_site_is_that_of_the_server() -> None:
    server = ROOT / "src/rally_accelerate/server/web/static/icon.svg"
    assert (DOCS / "images/icon.svg").read_bytes() == server.read_bytes()


@pytest.mark.parametrize(
    "name", re.findall(r"^::: ([\w.]+)", (DOCS / "reference/python.md").read_text(encoding="utf-8"), re.MULTILINE)
)
def test_the_python_reference_names_what_exists(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, member = name.rpartition(".")
        assert hasattr(importlib.import_module(module), member)


def test_the_guide_to_a_new_field_names_what_exists() -> None:
    text = (DOCS / "how-to/add-a-field.md").read_text(encoding="utf-8")
    files = [ROOT / name for name in re.findall(r"`((?:src|tests)/[\w/]+\.py)`", text)]
    files += [
        ROOT / "src/rally_accelerate" / name for name in re.findall(r"`((?:mapping|model|accelerate)/\w+\.py)`", text)
    ]
    assert len(files) > 8
    assert [file for file in files if not file.is_file()] == []
    code = "\n".join(file.read_text(encoding="utf-8") for file in files)
    names = re.findall(r"`([A-Z]+_[A-Z_]+|_DEFECT|_[a-z_]+|(?:map|read)_[a-z_]+)`", text)
    assert len(names) > 8
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small site without a fault."""
    folder = tmp_path / "docs"
    (folder / "more").mkdir(parents=True)
    (folder / "assets/javascripts").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "more/page.html").write_text(
        '<h1 id="two words">x</h1><a href="../index.html">back</a><a href="../..">s</a>'
    )
    (folder / "picture.png").touch()
    (folder / "assets/style.css").touch()
    (folder / "assets/javascripts/bundle.1.js").write_text(f"var a='x',css='.u{{{'a:b;' * 300}}}';")
    return folder


def test_a_site_without_a_fault_passes(site: Path) -> None:
    assert list(make_docs.problems(site)) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("picture.png", "lost.png", "index.html: lost.png leads to no file of the site"),
        ("assets/style.css", "lost.css", "index.html: lost.css leads to no file of the site"),
        ('href="#one"', 'href="#other"', "index.html: #other leads to no anchor"),
        ("#two%20words", "#three", "index.html: more/page.html#three leads to no anchor"),
        ('href=".."', 'href="../settings"', "index.html: ../settings leads to no file of the site"),
        ('href=".."', 'href="/health"', "index.html: /health leads to no file of the site"),
        ('src="picture.png"', 'src="https://example.com/a.png"', "https://example.com/a.png from another server"),
        ('src="picture.png"', 'srcset="picture.png 1x, //example.com/a 2x"', "loads //example.com/a from another"),
        ('src="assets/j', 'src="//example.com/j', "//example.com/javascripts/bundle.1.js from another server"),
        ("<h2 ", '<h2 style="color:red" ', 'style="color:red" is not allowed'),
        ("<h2 ", '<h2 onclick="run()" ', 'onclick="run()" is not allowed'),
        ("<h2 ", "<style>a {}</style><h2 ", "<style> is not allowed"),
    ],
)
def test_what_would_not_work_in_the_server_is_refused(site: Path, old: str, new: str, problem: str) -> None:
    assert old in PAGE
    (site / "index.html").write_text(PAGE.replace(old, new))
    (found,) = make_docs.problems(site)
    assert problem in found


def test_inline_scripts_and_the_style_of_the_search_dialog_are_hashed(site: Path) -> None:
    found = make_docs.hashes(site)
    # Computed with: printf 'var a = 1 && 2' | openssl dgst -sha256 -binary | base64
    assert found["scripts"] == ["sha256-LCh1FgJPDKMezvF6j1lw7d437xDyA4iia8esFZ73m9U="]
    assert len(found["styles"]) == 1


@pytest.mark.parametrize("script", ["var a='x';", f"a='.u{{{'a:b;' * 300}}}';b='.v{{{'a:b;' * 300}}}';"])
def test_a_theme_with_another_script_is_refused(site: Path, script: str) -> None:
    (site / "assets/javascripts/bundle.1.js").write_text(script)
    with pytest.raises(SystemExit, match="the style sheet of the search dialog"):
        make_docs.hashes(site)
