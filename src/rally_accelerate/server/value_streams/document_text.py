"""JSON text of value streams: parsing with error positions, and masking of secrets."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from rally_accelerate.config.load import MASKED, get_property_name
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.model.lenient_json import (
    REPLACEMENT,
    JsonDecodeError,
    decode_text,
    parse_json,
    replace_surrogates,
)
from rally_accelerate.server.store.encryption import SECURE_PROPERTIES, is_unknown_key

#: Larger files, and deeper ones, are no value stream that anybody wrote.
MOST_CHARACTERS = 2_000_000
DEEPEST = 60
#: Every value takes time to read and to check. The stages of the largest map have some thousand.
MOST_VALUES = 100_000

#: So many problems are listed.
MOST_PROBLEMS = 200

#: What every reader of JSON can hold: signed 64 bits.
LARGEST_NUMBER = 2**63 - 1

#: Halves of characters, which no text may hold alone.
_SURROGATES = (0xD800, 0xDFFF)


class _Pairs(dict[str, Any]):
    """An object, and which of its keys came more than once."""

    doubled: tuple[str, ...] = ()


def parse_document(content: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ConfigError: With the line and column of the fault, or the path of every value that cannot be kept.
    """
    text = _decode(content)
    if not text.strip():
        raise _invalid_json("", "the file is empty; it must contain one JSON object")
    if len(text) > MOST_CHARACTERS:
        raise _invalid_json("", f"the file is longer than {MOST_CHARACTERS:,} characters")
    # Commas within texts count as well; a file that has so many there is no value stream either.
    if text.count(",") > MOST_VALUES:
        raise _invalid_json("", f"the file has more than {MOST_VALUES:,} values")
    try:
        parsed = _parse_text(text)
    except JsonDecodeError as error:
        raise _invalid_json(f"line {error.line}, column {error.column}", _explain(text, error)) from None
    except RecursionError:
        raise _invalid_json("", f"it is nested deeper than {DEEPEST} levels") from None
    except ValueError as error:
        raise _invalid_json("", str(error)) from None
    problems = list(_faults(parsed, "", 0, halves=False))
    if problems:
        text = f"the file has {len(problems)} problem{'s' * (len(problems) > 1)}"
        raise ConfigError(text, problems=limit_problems(problems))
    return _plain(parsed)


def _parse_text(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_number)
    except json.JSONDecodeError:
        # Copied from a web page, a file is indented with no-break spaces.
        return parse_json(text, pairs=_pairs).data


def limit_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Return the first problems and the number of further ones."""
    more = len(problems) - MOST_PROBLEMS
    if more <= 0:
        return list(problems)
    return [*problems[:MOST_PROBLEMS], Problem("", f"and {more:,} more problems; fix these first")]


def _decode(content: str | bytes) -> str:
    return decode_text(content) if isinstance(content, bytes) else content.removeprefix("\ufeff")


def _invalid_json(place: str, text: str) -> ConfigError:
    return ConfigError("the file is not valid JSON", problems=[Problem(place, text)])


def _explain(text: str, error: JsonDecodeError) -> str:
    at = text[error.position : error.position + 1]
    reason = error.reason[0].lower() + error.reason[1:]
    if at == ":" and error.reason in {"Expecting ',' delimiter", "Extra data"}:
        # The sample on the plug-in's public page lacks its braces just so.
        # No more of the line than its last text: a secret may stand before it.
        name = text[: error.position].rstrip().rpartition("\n")[2].removesuffix('"').rpartition('"')[2]
        return f'"{name[-80:]}" is outside of braces; add {{ before it and }} after its last property'
    if error.reason.startswith("Expecting property name") and at == "}":
        return f"{reason}: remove the comma before this brace"
    if error.position >= len(text.rstrip()):
        return f"{reason}: the file ends before a brace or bracket is closed"
    return f"{reason}, found {at!r}"


def _pairs(pairs: list[tuple[str, Any]]) -> _Pairs:
    pairs_by_name = _Pairs(pairs)
    if len(pairs_by_name) != len(pairs):
        pairs_by_name.doubled = tuple(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return pairs_by_name


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not a valid JSON number")


def member(path: str, name: str) -> str:
    """Return the path of a member of an object."""
    return f"{path}.{name}" if path else name


def _faults(value: Any, path: str, depth: int, *, halves: bool) -> Iterator[Problem]:
    """Yield what cannot be kept; halves of characters count unless they are replaced afterwards."""
    if depth > DEEPEST:
        yield Problem(path, f"is nested deeper than {DEEPEST} levels")
        return
    match value:
        case dict():
            for name in getattr(value, "doubled", ()):
                yield Problem(member(path, _printable(name)), "is a duplicate key; keep only one")
            for name, inner in value.items():
                if halves and not _is_text(name):
                    yield Problem(
                        member(path, _printable(name)), "its name contains an unpaired surrogate (an invalid character)"
                    )
                yield from _faults(inner, member(path, _printable(name)), depth + 1, halves=halves)
        case list():
            for number, inner in enumerate(value):
                yield from _faults(inner, f"{path}[{number}]", depth + 1, halves=halves)
        case str() if halves and not _is_text(value):
            yield Problem(path, "contains an unpaired surrogate (an invalid character)")
        case bool():
            pass
        case int() if abs(value) > LARGEST_NUMBER:
            yield Problem(path, "is a number with more than 64 bits")
        case float() if value in (float("inf"), float("-inf")):
            yield Problem(path, "is a number that is too large")


def _is_text(text: str) -> bool:
    return not any(_SURROGATES[0] <= ord(character) <= _SURROGATES[1] for character in text)


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def find_unreadable(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of texts with characters that could not be read and were replaced."""
    match value:
        case str() if REPLACEMENT in value:
            yield path
        case dict():
            for name, inner in value.items():
                yield from find_unreadable(inner, member(path, name))
        case list():
            for number, inner in enumerate(value):
                yield from find_unreadable(inner, f"{path}[{number}]")


def _plain(value: Any) -> Any:
    match value:
        case str():
            return replace_surrogates(value)
        case dict():
            return {replace_surrogates(name): _plain(inner) for name, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case _:
            return value


def validate_value(value: Any) -> Any:
    """Validate a value that was parsed elsewhere (by GraphQL) against the same limits.

    Raises:
        ConfigError: With the path of every value that cannot be kept.
    """
    problems = list(_faults(value, "", 0, halves=True))
    if problems:
        raise ConfigError("the value stream contains invalid values", problems=problems)
    return value


#: A text that ends with its line has lost its last quotation mark.
_TOKEN = re.compile(r"""(?P<text>"(?:\\.|[^"\\\n])*"?)|(?P<mark>[{}\[\],:])|(?P<bare>'[^'\n]*'?|[^\s"{}\[\],:]+)""")

_BARE = re.compile(r"[^\n,}\]]*")

_VARIABLE = re.compile(r"\$\{\w+\}")

_PLACEHOLDER = re.compile(r'"\*\*\*\* \(entered (\d+)\)"')


@dataclass(frozen=True, slots=True)
class MaskedText:
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


def mask_secrets(text: str) -> MaskedText:
    """Replace the secrets in a text by placeholders; masked secrets stay masked."""
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
            # It cannot be kept, because its end is unknown: it must be entered again.
            parts.append('"' if word.startswith('"') else "")
    return MaskedText("".join([*parts, text[done:]]), secrets)


def restore_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """Replace the placeholders in a text by their secrets.

    Raises:
        ConfigError: One of them is not known.
    """
    if unknown := {match[0] for match in _PLACEHOLDER.finditer(text)} - secrets.keys():
        message = "this secret has expired; enter it again"
        raise ConfigError("secrets are missing", problems=[Problem(stands, message) for stands in sorted(unknown)])
    return _PLACEHOLDER.sub(lambda found: secrets[found[0]], text)


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each secret value."""
    frames = [_OUTSIDE]
    # The name that a value is expected for; a name without its colon is one as well.
    name, has_colon, done = "", False, 0
    for token, following in pairwise([*_TOKEN.finditer(text), None]):
        if token is None or token.start() < done:
            continue
        word, after = token[0], following[0] if following else ""
        match word:
            case "{" | "[":
                frames.append(_Frame(name or frames[-1].name, frames[-1].is_secret or _is_secret(name, "", frames[-1])))
                name, has_colon = "", False
            case "}" | "]":
                frames = frames[:-1] or [_OUTSIDE]
                name, has_colon = "", False
            case ",":
                name, has_colon = "", False
            case ":":
                has_colon = bool(name)
            case _ if after != ":" or (has_colon and _is_secret(name, word, frames[-1])):
                if _is_typed(word) and _is_secret(name, word, frames[-1]):
                    done = _end(text, token)
                    yield token.start(), done
                    name = ""
                else:
                    name = "" if has_colon else _unquote(word)
                has_colon = False
            case _:
                name, has_colon = _unquote(word), False


def _is_secret(name: str, value: str, frame: _Frame) -> bool:
    """Return whether a value is a secret wherever settings can occur, even if braces are missing."""
    known = get_property_name(name)
    if known == "proxyServer":
        return "@" in value
    stray = name != "" and known is None and frame.name.casefold() == "properties"
    is_stray_secret = name != "" and frame.name.casefold() == "integrations" and is_unknown_key(name)
    return frame.is_secret or known in SECURE_PROPERTIES or stray or is_stray_secret


def _is_typed(word: str) -> bool:
    """Return whether a value can be a secret: not empty, not a mask, a literal or a variable."""
    inner = _unquote(word)
    return inner not in {"", "true", "false", "null"} and not MASKED.match(inner) and not _VARIABLE.fullmatch(inner)


def _end(text: str, token: re.Match[str]) -> int:
    """Return where a value ends; a value without quotation marks ends before the next separator."""
    if token["bare"] is None or token[0].startswith("'") or _is_json(token[0]):
        return token.end()
    return _BARE.match(text, token.start()).end()  # type: ignore[union-attr] # it matches everywhere


def _is_json(word: str) -> bool:
    try:
        json.loads(word)
    except ValueError:
        return False
    return True


def _unquote(word: str) -> str:
    return word.strip("\"'")
