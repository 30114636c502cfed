"""Pure: whether JSON can hold a text at all, told without reading it: most of many long texts are passed over so."""

import re
import sys
from functools import cache

from rally_accelerate.model.folding import fold

#: Written in JSON as they are. Numbers have no letter but the e, and may be written otherwise than they are read.
_PLAIN = re.compile(r"[a-z0-9 _-]*[a-df-z][a-z0-9 _-]*")

_ASCII = bytes(range(0x80))


def needle(text: str) -> bytes:
    """What to look for where a value must contain a text whatever its case; empty where that cannot be told."""
    folded = fold(text)
    return folded.encode() if _PLAIN.fullmatch(folded) else b""


def cannot_hold(content: bytes, sought: bytes) -> bool:
    """Whether no value in a JSON text contains something; False says nothing."""
    if sought in content.lower():
        return False
    if b"\\u" in content:
        return False
    if content.isascii():
        return True
    others = content.translate(None, _ASCII)
    return not any(each in others for each in _folding())


# When it is first asked for: looking at every character takes a third of a second.
@cache
def _folding() -> tuple[bytes, ...]:
    """Other characters that fold to something with a character of ASCII in it, or to nothing.

    Such as the long s, ligatures, no-break spaces and invisible characters.
    """
    return tuple(
        chr(code).encode()
        for code in range(0x80, sys.maxunicode + 1)
        if not 0xD800 <= code <= 0xDFFF and _has_ascii(fold(chr(code)))  # noqa: PLR2004 - Unicode
    )


def _has_ascii(folded: str) -> bool:
    return not folded or any(each.isascii() for each in folded)
