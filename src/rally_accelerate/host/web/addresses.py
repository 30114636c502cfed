"""Addresses that forms and links bring along: only pages of this host are followed."""

from urllib.parse import urlsplit

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
