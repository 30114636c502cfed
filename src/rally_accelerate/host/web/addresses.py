"""Addresses that forms and links bring along: only pages of this host are followed."""

from urllib.parse import urlsplit

from starlette.requests import Request

HOME = "/"


def own_path(wanted: str, *, otherwise: str = HOME) -> str:
    """A path of this host's pages, or another one: a link must not lead to another site.

    Args:
        wanted: What came along.
        otherwise: Where to go when that is none.
    """
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return otherwise
    odd = any(letter == "\\" or not letter.isprintable() for letter in wanted)
    if parts.scheme or parts.netloc or odd or not wanted.startswith("/") or wanted.startswith("//"):
        return otherwise
    return otherwise if parts.path in {"/sign-in", "/sign-out"} else wanted


def page_before(request: Request) -> str:
    """The page of this host from which a request was sent, as the browser tells; empty where there is none."""
    origin, mark, path = request.headers.get("referer", "").partition(f"://{request.headers.get('host', '')}/")
    if not mark or origin not in {"http", "https"}:
        return ""
    before = own_path(f"/{path}", otherwise="")
    # Loaded again, a page would lead to itself.
    return before if request.method != "GET" or before != request.url.path else ""
