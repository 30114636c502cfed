"""The forms in which a secret may be printed, written from what servers and libraries do and not from the redactor."""

import base64
import html
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

#: From so many characters on, a piece of a long secret tells something.
PIECE = 12


def list_forms(secret: str) -> list[str]:
    """A whole secret in every form."""
    raw, once = secret.encode(), json.dumps(secret)[1:-1]
    variants = [
        secret,
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
        quote(secret),
        quote_plus(secret),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        repr(secret)[1:-1],
        repr(raw)[2:-1],
        once,
        json.dumps(once)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        once.replace("/", "\\/"),
        html.escape(secret),
        html.escape(secret).replace("&#x27;", "&#39;"),
    ]
    return list(dict.fromkeys(variants))


def iter_base64_fragments(secret: str) -> Iterator[str]:
    """What base64 makes of a secret behind something else, without what it shares with that and with what follows."""
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret.encode()).decode()
        for form in (text, base64.urlsafe_b64encode(bytes(shift) + secret.encode()).decode()):
            yield form[4 if shift else 0 : -4]


def find_leaks(text: str, secrets: Iterable[str]) -> list[str]:
    """Every form of a secret, and every long piece of one, that stands in a text."""
    leaks = []
    for secret in secrets:
        pieces = [secret[start : start + PIECE] for start in range(len(secret) - PIECE + 1)]
        leaks += [form for form in (*list_forms(secret), *iter_base64_fragments(secret), *pieces) if form in text]
    return leaks
