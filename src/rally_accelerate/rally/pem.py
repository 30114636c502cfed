"""Certificates in PEM form (RFC 7468), found in time that grows linearly with the text; pure."""

import re
from collections.abc import Iterator

from rally_accelerate.model.folding import plain

#: No bundle of certificates is larger; all public authorities together take 250 kB. OpenSSL's time for certificates of
#: one subject grows with the square of their number: a megabyte of the smallest ones takes about a second.
MOST_CHARACTERS = 1_000_000

#: What a PEM text has and a path has not.
BEGIN = "-----BEGIN "

# Possessive, and each label follows a marker of its own: no character is looked at twice.
_MARKER = re.compile("-----(BEGIN|END) ([A-Z0-9 ]++)-----")
#: The labels that OpenSSL reads certificates from; keys and parameters between them are left out.
_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
#: RFC 7468: the length of a line. OpenSSL refuses much longer ones.
_LINE = 64


def is_pem(text: str) -> bool:
    """Return whether a setting holds certificates rather than a path."""
    return BEGIN in text


def certificates(text: str) -> list[str]:
    """Return each certificate of a text once, as a PEM text with lines of the usual length.

    Line ends do not count: a text box of one line turns them into blanks. Text between certificates is left out.

    Raises:
        ValueError: There is none, one is not complete, or all together are too large; the message is a sentence
            without a subject.
    """
    found = tuple(dict.fromkeys(_blocks(text)))
    if not found:
        raise ValueError("holds no certificate in PEM form")
    if sum(map(len, found)) > MOST_CHARACTERS:
        raise ValueError(
            f"holds more than {MOST_CHARACTERS:,} characters of certificates; give only those that you need"
        )
    return list(found)


def _blocks(text: str) -> Iterator[str]:
    begun: re.Match[str] | None = None
    for marker in _MARKER.finditer(text):
        kind, label = marker.groups()
        if (kind == "END") != (begun is not None and label == begun[2]):
            raise ValueError(f'holds an incomplete block: the line "{marker[0]}" has no counterpart')
        if kind == "BEGIN":
            begun = marker
            continue
        if begun is not None and label in _LABELS:
            content = "".join(plain(text[begun.end() : marker.start()]).split())
            if not content.isascii():
                raise ValueError("holds a certificate with characters that are none of Base64")
            lines = (content[at : at + _LINE] for at in range(0, len(content), _LINE))
            yield "\n".join((begun[0], *lines, marker[0], ""))
        begun = None
    if begun is not None:
        raise ValueError(f'holds an incomplete block: the line "{begun[0]}" has no counterpart')
