"""Secrets that somebody has just typed into the text of a file: taken out before it is shown again; pure.

That a text is no JSON is mostly why it is shown again, so it is read token by token, as far as it can be.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from rally_accelerate.config.load import MASKED, name_of_property
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.host.store.vault import SECURE, is_stray

#: A text that ends with its line has lost its last quotation mark.
_TOKEN = re.compile(r"""(?P<text>"(?:\\.|[^"\\\n])*"?)|(?P<mark>[{}\[\],:])|(?P<bare>'[^'\n]*'?|[^\s"{}\[\],:]+)""")

_BARE = re.compile(r"[^\n,}\]]*")

_VARIABLE = re.compile(r"\$\{\w+\}")

_STANDS_FOR = re.compile(r'"\*\*\*\* \(entered (\d+)\)"')


@dataclass(frozen=True, slots=True)
class Hidden:
    """A text that may be shown."""

    text: str
    #: What was taken out, as it was written, by what stands for it now.
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Frame:
    """An object or a list that is open, under which name, and whether all in it is secret."""

    name: str
    is_secret: bool


_OUTSIDE = _Frame("", is_secret=False)


def hidden(text: str) -> Hidden:
    """A text without the secrets that were typed into it; those that are masked already stay so."""
    parts: list[str] = []
    secrets: dict[str, str] = {}
    done = 0
    for start, end in _secrets(text):
        word = text[start:end]
        parts.append(text[done:start])
        done = end
        if _is_json(word):
            stands = f'"**** (entered {len(secrets) + 1})"'
            secrets[stands] = word
            parts.append(stands)
        else:
            # It cannot be kept, as nobody knows where it ends: it must be typed again.
            parts.append('"' if word.startswith('"') else "")
    return Hidden("".join([*parts, text[done:]]), secrets)


def completed(text: str, secrets: Mapping[str, str]) -> str:
    """A text with the secrets that were taken out of it.

    Raises:
        ConfigError: One of them is not known.
    """
    if gone := {found[0] for found in _STANDS_FOR.finditer(text)} - secrets.keys():
        said = "the secret that was entered here is not known any more; enter it again"
        raise ConfigError("secrets are missing", problems=[Problem(stands, said) for stands in sorted(gone)])
    return _STANDS_FOR.sub(lambda found: secrets[found[0]], text)


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    """Where values stand that are secret: from where to where."""
    frames = [_OUTSIDE]
    # The name that a value is expected for; a name without its colon is one as well.
    name, is_told, done = "", False, 0
    for token, following in pairwise([*_TOKEN.finditer(text), None]):
        if token is None or token.start() < done:
            continue
        word, after = token[0], following[0] if following else ""
        match word:
            case "{" | "[":
                frames.append(_Frame(name or frames[-1].name, frames[-1].is_secret or _is_secret(name, "", frames[-1])))
                name, is_told = "", False
            case "}" | "]":
                frames = frames[:-1] or [_OUTSIDE]
                name, is_told = "", False
            case ",":
                name, is_told = "", False
            case ":":
                is_told = bool(name)
            case _ if after != ":" or (is_told and _is_secret(name, word, frames[-1])):
                if _is_typed(word) and _is_secret(name, word, frames[-1]):
                    done = _end(text, token)
                    yield token.start(), done
                    name = ""
                else:
                    name = "" if is_told else _unquoted(word)
                is_told = False
            case _:
                name, is_told = _unquoted(word), False


def _is_secret(name: str, value: str, frame: _Frame) -> bool:
    """As ``vault.masked`` sees it, wherever settings stand: braces may be missing."""
    known = name_of_property(name)
    if known == "proxyServer":
        return "@" in value
    stray = name != "" and known is None and frame.name.casefold() == "properties"
    beside = name != "" and frame.name.casefold() == "integrations" and is_stray(name)
    return frame.is_secret or known in SECURE or stray or beside


def _is_typed(word: str) -> bool:
    """Whether a value says something that nobody but its author knows."""
    inner = _unquoted(word)
    return inner not in {"", "true", "false", "null"} and not MASKED.match(inner) and not _VARIABLE.fullmatch(inner)


def _end(text: str, token: re.Match[str]) -> int:
    """Where a value ends; one without quotation marks with what may follow a value."""
    if token["bare"] is None or token[0].startswith("'") or _is_json(token[0]):
        return token.end()
    return _BARE.match(text, token.start()).end()  # type: ignore[union-attr] # it matches everywhere


def _is_json(word: str) -> bool:
    try:
        json.loads(word)
    except ValueError:
        return False
    return True


def _unquoted(word: str) -> str:
    return word.strip("\"'")
