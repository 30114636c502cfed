"""Build the documentation site offline, check it, and put it where the server finds it: ``make docs``.

The generator warns of dead links between pages, and its warnings end the build. This script checks the rest: pictures,
links in HTML, and that no page loads anything from another server or needs more than the content security policy
allows. It writes the hashes of inline scripts and styles, which the policy lists, to a file of the site.
"""

import base64
import hashlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "build" / "docs"
SERVED = ROOT / "src" / "rally_accelerate" / "host" / "help"

#: The file with the hashes of inline scripts and styles, read by ``server/web/help_site.py``.
HASHES = "inline.json"

#: Made by the generator for sites with an address of their own.
UNUSED = ("404.html", "sitemap.xml")

#: Where links may lead outside of the site, from its root: the server's pages.
ABOVE = ".."

#: Attributes with addresses that a browser loads by itself.
LOADED = {"src", "srcset", "poster", "data", "background"}

#: The style sheet of the search dialog, a text in the theme's script, which puts it into the page.
DIALOG_STYLE = re.compile(r"'(\.[^'\\]{1000,}\})'")

COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Page:
    """What the checks need to know about one HTML page."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    #: Inline styles and event handlers, which the policy forbids.
    forbidden: list[str] = field(default_factory=list)


class PageParser(HTMLParser):
    """Collect addresses, anchors and inline scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._script: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read the attributes of an element."""
        given = {name: value or "" for name, value in attrs}
        self.page.anchors.update(given[name] for name in ("id", "name") if name in given)
        for name, value in given.items():
            if name in LOADED:
                self.page.loaded += [part.split()[0] for part in value.split(",") if part.strip()]
            elif name == "href":
                (self.page.loaded if tag == "link" else self.page.links).append(value)
            elif name == "style" or name.startswith("on"):
                self.page.forbidden.append(f'{name}="{value}"')
        if tag == "style":
            self.page.forbidden.append("<style>")
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self._script = []

    def handle_data(self, data: str) -> None:
        """Keep the text of a script."""
        if self._script is not None:
            self._script.append(data)

    def handle_endtag(self, tag: str) -> None:
        """End a script."""
        if tag == "script" and self._script is not None:
            self.page.scripts.append("".join(self._script))
            self._script = None


def read_pages(site: Path) -> dict[Path, Page]:
    """Return the pages of a site by their paths below it."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        parser = PageParser()
        parser.feed(path.read_text(encoding="utf-8"))
        parser.close()
        pages[path.relative_to(site)] = parser.page
    return pages


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site, one sentence each."""
    pages = read_pages(site)
    for path, page in pages.items():
        for text in page.forbidden:
            yield f"{path}: {text} is not allowed by the content security policy"
        for address in page.loaded:
            if urlsplit(address).netloc:
                yield f"{path}: loads {address} from another server"
        for address in dict.fromkeys([*page.links, *page.loaded]):
            yield from _dead(site, pages, path, address)


def _dead(site: Path, pages: dict[Path, Page], path: Path, address: str) -> Iterator[str]:
    """Yield what is wrong with a link or a loaded address, if anything."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return
    target = (site / path.parent / unquote(parts.path)).resolve() if parts.path else (site / path).resolve()
    if target == (site / ABOVE).resolve():
        return
    if not target.is_relative_to(site.resolve()) or not target.is_file():
        yield f"{path}: {address} leads to no file of the site"
        return
    found = pages.get(target.relative_to(site.resolve()))
    if parts.fragment and found is not None and unquote(parts.fragment) not in found.anchors:
        yield f"{path}: {address} leads to no anchor"


def hashes(site: Path) -> dict[str, list[str]]:
    """Return the hashes of inline scripts and styles, as a content security policy writes them.

    Raises:
        SystemExit: The theme's script has no style sheet, or several: the theme has changed.
    """
    scripts = {script for page in read_pages(site).values() for script in page.scripts}
    (bundle,) = (site / "assets" / "javascripts").glob("bundle.*.js")
    styles = DIALOG_STYLE.findall(bundle.read_text(encoding="utf-8"))
    if len(styles) != 1:
        sys.exit(f"{bundle.name}: expected the style sheet of the search dialog once, found it {len(styles)} times")
    return {"scripts": sorted(map(_hash, scripts)), "styles": sorted(map(_hash, styles))}


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def build() -> None:
    """Run the generator; its warnings are errors.

    Raises:
        SystemExit: It warned or failed.
    """
    shutil.rmtree(BUILT, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode or not (BUILT / "index.html").exists():
        # The traceback of the generator says nothing about the pages.
        sys.exit(COLOR.sub("", result.stdout).partition("Traceback")[0].strip())


def finish(site: Path) -> None:
    """Remove what is not served, and add the hashes and the licenses of the theme."""
    for name in UNUSED:
        (site / name).unlink(missing_ok=True)
    (site / HASHES).write_text(json.dumps(hashes(site), indent=2) + "\n")
    licenses = [file for file in importlib.metadata.files("zensical") or () if "licenses" in file.parts]
    texts = [file.read_text(encoding="utf-8") for file in licenses]
    (site / "assets" / "LICENSE-zensical").write_text("\n".join(texts), encoding="utf-8")


def main() -> None:
    """Build, check and install the site."""
    build()
    finish(BUILT)
    found = list(problems(BUILT))
    if found:
        sys.exit("\n".join([*found, f"{len(found)} problems in the documentation site"]))
    shutil.rmtree(SERVED, ignore_errors=True)
    shutil.copytree(BUILT, SERVED)
    sys.stdout.write(f"{len(read_pages(BUILT))} pages in {BUILT.relative_to(ROOT)}; the server shows them at /help/\n")


if __name__ == "__main__":
    main()
