"""Masking of secrets in all texts that leave the process: logs, errors and reports."""

import base64
import html
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from rally_accelerate.config.model import Integration

MASK = "***"

#: Shorter secrets would mask half of every text; such a secret protects nothing either.
SHORTEST_SECRET = 4

#: A piece of a long secret is masked from so many characters on: messages are cut, also in the middle of a secret.
#: Short secrets can be words that occur in ordinary sentences.
SHORTEST_PIECE = 10
SHORTEST_IN_PIECES = 16

_PERCENT = re.compile("%[0-9A-F]{2}")
_URL_SAFE = str.maketrans("+/", "-_")

#: Header values and address parts that carry credentials of any user.
_CARRIERS = (
    re.compile(r"(?i)((?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer|useraccesskey)\s+)[^\s'\",}]+"),
    re.compile(r"(?i)(zsessionid['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+"),
    re.compile(r"(?i)(cookie['\"]?\s*[:=]\s*['\"]?)[^\r\n'\"]+"),
    re.compile(r"(?i)([?&]key=)[^&\s'\"]+"),
    re.compile(r"(?i)(\bhttps?://)[^/\s@'\"]+(?:@[^/\s@'\"]+)*@"),
)


class Redactor:
    """Replaces known secrets, in every form in which they can be printed, by a mask."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[str] = set()
        self._pieces: set[str] = set()
        for secret in secrets:
            if len(secret) >= SHORTEST_SECRET:
                forms |= _list_forms(secret)
            if len(secret) >= SHORTEST_IN_PIECES:
                self._pieces |= {piece for form in _list_forms(secret) for piece in _list_pieces(form)}
        # Longest first: otherwise, the rest of a secret that contains another one would remain.
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(form) for form in ordered)) if ordered else None

    def redact(self, text: str) -> str:
        """Return the text with all secrets masked."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        if self._pieces:
            text = self._redact_pieces(text)
        for carrier in _CARRIERS:
            text = carrier.sub(_keep_label, text)
        return text

    def redact_values(self, value: Any) -> Any:
        """Return JSON-ready values with all secrets in texts masked; keys are unchanged."""
        match value:
            case str():
                return self.redact(value)
            case Mapping():
                return {name: self.redact_values(member) for name, member in value.items()}
            case list() | tuple():
                return [self.redact_values(member) for member in value]
            case _:
                return value

    def _redact_pieces(self, text: str) -> str:
        """Return the text with all pieces of long secrets masked."""
        clear: list[str] = []
        done = start = 0
        while start <= len(text) - SHORTEST_PIECE:
            end = start
            while text[end : end + SHORTEST_PIECE] in self._pieces:
                end += 1
            if end == start:
                start += 1
                continue
            clear += [text[done:start], MASK]
            done = start = end - 1 + SHORTEST_PIECE
        return "".join([*clear, text[done:]])


#: The redactors of the current task, because the server adds and removes integrations while it logs.
_at_work: ContextVar[tuple[Redactor, ...]] = ContextVar("redactors", default=())


@contextmanager
def redacting(redactor: Redactor) -> Iterator[None]:
    """Also mask the secrets of a redactor in everything that is logged inside the context."""
    token = _at_work.set((*_at_work.get(), redactor))
    try:
        yield
    finally:
        _at_work.reset(token)


class RedactingFormatter(logging.Formatter):
    """A formatter whose output, tracebacks included, holds no secret."""

    def __init__(self, fmt: str | None = None, datefmt: str | None = None, *, redactor: Redactor) -> None:
        super().__init__(fmt, datefmt)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted record with all secrets masked, tracebacks included."""
        text = self._redactor.redact(super().format(record))
        for redactor in _at_work.get():
            text = redactor.redact(text)
        return text


def list_secrets(integration: Integration) -> list[str]:
    """Return all secrets in an integration's settings, including credentials in the proxy's address."""
    secrets = [
        value.get_secret_value()
        for name in type(integration.properties).model_fields
        if isinstance(value := getattr(integration.properties, name), SecretStr)
    ]
    credentials, at, _ = integration.properties.proxy_server.partition("://")[2].rpartition("@")
    if at:
        secrets.append(credentials)
        secrets.extend(part for part in credentials.split(":", 1) if part)
    username = integration.properties.username
    if username and integration.properties.password:
        # Basic credentials travel as one encoded text.
        secrets.append(f"{username}:{integration.properties.password.get_secret_value()}")
    return [secret for secret in secrets if secret]


def _list_forms(secret: str) -> set[str]:
    # Half a pair of surrogates is no text, but JSON can hold it.
    raw = secret.encode(errors="surrogatepass")
    encoded = {form for shift in range(3) for form in _encode_base64(raw, shift)}
    # Basic credentials are encoded, and a header can be encoded again.
    twice = base64.b64encode(raw)
    encoded |= {form for shift in range(3) for form in _encode_base64(twice, shift)}
    quoted = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    quoted |= {_PERCENT.sub(lambda match: match[0].lower(), form) for form in quoted}
    escaped = {repr(secret)[1:-1], repr(raw)[2:-1], html.escape(secret), html.escape(secret).replace("&#x27;", "&#39;")}
    written = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    # JSON within JSON, as gateways repeat responses.
    written |= {json.dumps(form)[1:-1] for form in written}
    written |= {form.replace("/", "\\/") for form in written}
    return {form for form in {secret} | encoded | quoted | escaped | written if len(form) >= SHORTEST_SECRET}


def _encode_base64(secret: bytes, shift: int) -> set[str]:
    """Return the base64 forms of a secret after ``shift`` other bytes, without shared characters."""
    text = base64.b64encode(bytes(shift) + secret).decode()
    core = text[-(-8 * shift // 6) : 8 * (shift + len(secret)) // 6]
    both = {core, text, text.rstrip("=")} if shift == 0 else {core}
    return both | {form.translate(_URL_SAFE) for form in both}


def _list_pieces(form: str) -> set[str]:
    return {form[start : start + SHORTEST_PIECE] for start in range(len(form) - SHORTEST_PIECE + 1)}


def _keep_label(match: re.Match[str]) -> str:
    tail = "@" if match[0].endswith("@") else ""
    return f"{match[1]}{MASK}{tail}"
