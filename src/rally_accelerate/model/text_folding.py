"""Comparison of texts regardless of case and of characters that differ only typographically.

Web pages and word processors put no-break spaces, typographic quotes, dashes and invisible characters where people
typed plain ones, and East Asian input methods type wide letters. A text that was copied from there looks the same and
must match the same. Some systems, macOS among them, write accented letters as a letter and an accent: they match those
of one piece. Facts in databases are made with this: a change of it needs a migration (``dql/index_terms.py``).
"""

import unicodedata

#: Every character beyond ASCII for which ``str.isspace`` is true; looking through all of Unicode would slow each start.
_SPACES = (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
_INVISIBLE = (
    0x00AD,  # soft hyphen
    0x180E,
    *range(0x200B, 0x2010),  # zero-width space and joiners, marks of direction
    *range(0x202A, 0x202F),  # embeddings of direction
    *range(0x2060, 0x2065),  # word joiner
    *range(0x2066, 0x206A),  # isolates of direction
    0xFEFF,  # byte order mark
)
_DASHES = (*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63)
_SINGLE_QUOTES = (0x00B4, 0x02BC, *range(0x2018, 0x201C), 0x2032)
_DOUBLE_QUOTES = (*range(0x201C, 0x2020), 0x2033, 0x301D, 0x301E)
#: ASCII's printable characters, as wide as an ideograph.
_WIDE = range(0xFF01, 0xFF5F)

_TABLE: dict[int, str] = {
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_INVISIBLE, ""),
    **dict.fromkeys(_DASHES, "-"),
    **dict.fromkeys(_SINGLE_QUOTES, "'"),
    **dict.fromkeys(_DOUBLE_QUOTES, '"'),
    **{code: chr(code - 0xFF01 + ord("!")) for code in _WIDE},
}

#: Every character that is replaced; none of them is ASCII.
REPLACED = frozenset(map(chr, _TABLE))


#: What a text loses when it is copied; joiners and marks of direction may belong to its words and emoji.
_COPIED: dict[int, str] = {**dict.fromkeys(_SPACES, " "), **dict.fromkeys((0x200B, 0x2060, 0xFEFF), "")}


def normalize_spaces(text: str) -> str:
    """Return a text with all spaces as plain spaces, and without zero-width spaces."""
    return text if text.isascii() else text.translate(_COPIED)


_EDGES = "".join(map(chr, (*range(0x21), 0x7F, *_SPACES, *_INVISIBLE)))
_AROUND = "".join((_EDGES, "\"'<>\xab\xbb", *map(chr, (*_SINGLE_QUOTES, *_DOUBLE_QUOTES))))


def trim(text: str) -> str:
    """Return a text without white space and invisible characters at its ends."""
    return text.strip(_EDGES)


def strip_quotes(text: str) -> str:
    """Return an address without the quotes, brackets and invisible characters that copying puts around it."""
    return text.strip(_AROUND)


def normalize_typography(text: str) -> str:
    """Return a text with typographic characters replaced by plain ones."""
    return text if text.isascii() else text.translate(_TABLE)


def fold(text: str) -> str:
    """Return the form of a text in which it is compared."""
    # Most texts are ASCII: that is one look at a flag.
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.casefold().translate(_TABLE))
