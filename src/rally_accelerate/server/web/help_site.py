"""The documentation site as ``make docs`` builds it, and the addresses of its pages.

The wheel carries the site; a checkout has it after ``make docs``. Without it, forms have no links into it.
"""

import hashlib
import json
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "help"

#: Where the site begins; links from page to page need the slash at its end.
HOME = "/help/"

#: What pages of the site can load. Inline scripts and styles are allowed by their hashes, other servers not at all.
POLICY = (
    "default-src 'none'; style-src 'self'{styles}; script-src 'self'{scripts}; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)

HASHES = "inline.json"


@dataclass(frozen=True, slots=True)
class HelpFile:
    """One file of the site, ready to be sent."""

    content: bytes
    media_type: str
    tag: str


class HelpSite:
    """A built documentation site.

    Args:
        folder: Where it was built; it may be missing.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        self._names = frozenset(files) - {HASHES}
        self.is_built = "index.html" in self._names
        self.policy = POLICY.format(**self._hashes())

    def _hashes(self) -> dict[str, str]:
        if not self.is_built:
            return {"scripts": "", "styles": ""}
        listed = json.loads((self._folder / HASHES).read_text())
        return {kind: "".join(f" '{path}'" for path in listed[kind]) for kind in ("scripts", "styles")}

    def read(self, name: str) -> HelpFile | None:
        """Return a file of the site, or None if it has none of this name; blocks while it reads.

        Args:
            name: Its path below the site, for example ``reference/settings.html``; empty for the first page.
        """
        name = name or "index.html"
        # Only names that were listed: no path leads out of the folder.
        if name not in self._names:
            return None
        content = (self._folder / name).read_bytes()
        media_type = mimetypes.guess_type(name)[0] or "text/plain"
        return HelpFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def address(self, page: str, anchor: str = "") -> str:
        """Return the address of a page for a link, or nothing if the site is not built.

        Args:
            page: For example ``reference/settings``.
            anchor: A heading on it.
        """
        if f"{page}.html" not in self._names:
            return ""
        return f"{HOME}{page}.html{'#' if anchor else ''}{anchor}"


@cache
def help_site() -> HelpSite:
    """Return the site that is installed with the server."""
    return HelpSite()
