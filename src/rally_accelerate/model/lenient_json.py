"""A tolerant JSON reader for services and files that violate the standard. No I/O.

The strict reader comes first, and nothing is repaired that it can read. What it refuses is read again leniently:

- a byte order mark is ignored, and text in UTF-16 or UTF-32 is recognized,
- pairs of surrogates that were encoded one by one (CESU-8, as some Java programs do) are read as what they mean,
- bytes that are not text become U+FFFD, the replacement character, as do halves of surrogate pairs,
- raw control characters inside texts are kept, and a backslash that begins no escape is a backslash,
- NaN and the infinities are null, and in answers of services also numbers too large for a floating-point number,
- no-break spaces, other Unicode spaces and control characters between values are white space.
"""

import codecs
import json
import math
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson

#: Replaces undecodable bytes.
REPLACEMENT = "\ufffd"

#: Put before a text that was repaired in place; a noncharacter, which no text for interchange contains.
_MARK = "\ufdd0"

#: Longer marks first: that of UTF-32 (little-endian) begins as that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

#: A text, ended or not, and what is white space in other places only.
_TOKEN = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?'
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]+",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f]")
#: Escapes as JSON has them, or a backslash that begins none; an escaped backslash is one, whatever follows.
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
#: What Python 3.13 and later say of a comma before a closing bracket.
_TRAILING_COMMA = "Illegal trailing comma before end of "
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_PAIR = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")

#: Whole numbers that the strict reader reads exactly: those of 64 bits, with a sign or without.
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
_DIGITS = len(str(_SMALLEST))

#: Beginnings of a word or number that lacks its end.
_BEGUN = re.compile(r"t|tr|tru|f|fa|fal|fals|n|nu|nul|-|[.eE][0-9+-]*[eE]?[+-]?")

#: From the outermost value to the text: names of members and numbers of elements.
Place = tuple[str | int, ...]


class JsonDecodeError(ValueError):
    """The text is not JSON, even for the tolerant reader.

    Attributes:
        reason: What is wrong, in a few words.
        line: The line of the fault, from 1.
        column: The column of the fault, from 1.
        position: Characters before the fault.
        is_truncated: Whether the text is valid JSON that ends too early.
    """

    def __init__(self, reason: str, *, line: int = 1, column: int = 1, position: int = 0, ended: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column
        self.position = position
        self.is_truncated = ended


@dataclass(frozen=True, slots=True)
class Decoded:
    """A document, and the places of the texts in it that had to be repaired."""

    data: Any
    repaired: tuple[Place, ...] = ()


class OversizedJsonError(ValueError):
    """A document is larger than its limit; the message continues a sentence that begins with its name."""


#: What is read from a document can need so many times its limit in memory. Usual answers need up to four times their
#: size, and those of many tiny values thirty times.
MAX_MEMORY_FACTOR = 8

#: Bytes that CPython takes for an object, an array and another value, roughly.
_OBJECT, _ARRAY, _VALUE = 200, 64, 40


async def join_limited(parts: AsyncIterator[bytes], *, most: int) -> bytes:
    """Join the decompressed parts of a document up to a limit: some kilobytes can become gigabytes.

    Args:
        parts: Each of them small.
        most: The limit in bytes.

    Raises:
        OversizedJsonError: The document is larger than the limit, or has so many values that they would need much more
            memory than the limit.
    """
    chunks: list[bytes] = []
    size = 0
    async for part in parts:
        size += len(part)
        if size > most:
            # An error keeps the local variables of its traceback alive.
            chunks.clear()
            raise OversizedJsonError(f"is larger than {most:,} bytes when it is unpacked, the limit of answerMaxBytes")
        chunks.append(part)
    document = b"".join(chunks)
    chunks.clear()
    # Counting takes time, and far smaller ones cannot need so much.
    if size * 5 > most and _estimate_memory(document) > MAX_MEMORY_FACTOR * most:
        del document
        raise OversizedJsonError(
            f"has so many values that they would need more than {MAX_MEMORY_FACTOR * most:,} bytes of memory, "
            f"{MAX_MEMORY_FACTOR} times the limit of answerMaxBytes"
        )
    return document


def _estimate_memory(document: bytes) -> int:
    """Return about how many bytes a JSON document and what is read from it need."""
    inside = _OBJECT * document.count(b"{") + _ARRAY * document.count(b"[") + _VALUE * document.count(b",")
    return len(document) + inside


def decode_json(content: bytes, *, keep_numbers: bool = False) -> Decoded:
    """Read a JSON document, leniently where it cannot be read strictly.

    Args:
        content: The document as it came.
        keep_numbers: Refuse numbers that are too large, as in what a person wrote and can correct. Otherwise they are
            null: one of them must not cost an answer with everything in it.

    Raises:
        JsonDecodeError: It is no JSON.
    """
    try:
        return Decoded(orjson.loads(content))
    except orjson.JSONDecodeError:
        return parse_json(decode_text(content), keep_numbers=keep_numbers)


def decode_text(content: bytes) -> str:
    """Return the text of a document; undecodable bytes are replaced, and a byte order mark sets the encoding."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    if encoding := _detect_encoding(content):
        return content.decode(encoding, "replace")
    return _SURROGATE_PAIR.sub(_join_surrogates, content).decode("utf-8", "replace")


def _join_surrogates(pair: re.Match[bytes]) -> bytes:
    halves = pair[0].decode("utf-8", "surrogatepass")
    return halves.encode("utf-16", "surrogatepass").decode("utf-16").encode()


def parse_json(
    text: str, *, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None, keep_numbers: bool = True
) -> Decoded:
    """Read JSON text leniently.

    Args:
        text: What ``decode_text`` returns, or what a person typed.
        pairs: Makes an object from its members; None makes a dictionary.
        keep_numbers: As for ``decode_json``.

    Raises:
        JsonDecodeError: It is no JSON.
    """
    text = text.removeprefix("\ufeff")
    try:
        tokens = _TOKEN.sub(_repair_token, text)
        data = json.loads(
            tokens,
            strict=False,
            object_pairs_hook=pairs,
            parse_constant=_parse_constant,
            parse_int=None if keep_numbers else _parse_integer,
            parse_float=None if keep_numbers else _parse_float,
        )
        places: list[Place] = []
        return Decoded(_clean_value(data, (), places), tuple(places))
    except json.JSONDecodeError as error:
        raise _build_error(text, error) from None
    except RecursionError:
        raise JsonDecodeError("it is nested too deeply") from None
    except ValueError:
        # Python reads no whole numbers of more than 4,300 digits.
        raise JsonDecodeError("it holds a number that is too long") from None


def replace_surrogates(text: str) -> str:
    """Return a text with U+FFFD in place of every half of a surrogate pair, which no encoding can carry."""
    return _SURROGATE.sub(REPLACEMENT, text)


def _detect_encoding(content: bytes) -> str:
    """Detect the encoding of a document without a byte order mark from its first characters (RFC 4627, section 3)."""
    match tuple(byte != 0 for byte in content[:4]):
        case (True, False, False, False):
            return "utf-32-le"
        case (False, False, False, True):
            return "utf-32-be"
        case (True, False, True, False):
            return "utf-16-le"
        case (False, True, False, True):
            return "utf-16-be"
    return ""


def _repair_token(token: re.Match[str]) -> str:
    text = token[0]
    if not text.startswith('"'):
        return " "
    fixed = _ESCAPE.sub(lambda escape: escape[0] if len(escape[0]) > 1 else r"\\", text) if "\\" in text else text
    return f'"{_MARK}{fixed[1:]}' if fixed != text or _CONTROL.search(text) else text


def _parse_constant(_: str) -> None:
    """Return null for NaN and the infinities, which JSON does not have."""


def _parse_integer(digits: str) -> int | float | None:
    """Return a whole number as the strict reader does: one of more than 64 bits is the nearest floating-point number.

    Python reads none of more than 4,300 digits at all.
    """
    if len(digits) > _DIGITS or not _SMALLEST <= (number := int(digits)) <= _LARGEST:
        return _parse_float(digits)
    return number


def _parse_float(digits: str) -> float | None:
    """Return a floating-point number; None if it is too large for one."""
    number = float(digits)
    return number if math.isfinite(number) else None


def _clean_value(value: Any, place: Place, places: list[Place]) -> Any:
    """Return the value with encodable texts; append the places of repaired texts to ``places``."""
    match value:
        case str():
            return _clean_text(value, place, places)
        case dict():
            for name in list(value):
                clean = _clean_text(name, place, places)
                # In place where it can be: the caller's objects may know more than their members.
                inner = _clean_value(value[name] if clean == name else value.pop(name), (*place, clean), places)
                value[clean] = inner
            return value
        case list():
            return [_clean_value(inner, (*place, number), places) for number, inner in enumerate(value)]
        case _:
            return value


def _clean_text(text: str, place: Place, places: list[Place]) -> str:
    if text.isascii():
        return text
    clean = replace_surrogates(text.removeprefix(_MARK))
    if clean != text or REPLACEMENT in text:
        places.append(place)
    return clean


def _build_error(text: str, error: json.JSONDecodeError) -> JsonDecodeError:
    """Return the error with its position in the original text, before repairs changed lengths."""
    reason, at = error.msg, error.pos
    if reason.startswith(_TRAILING_COMMA):
        # As Python reports it before 3.13, so that one text has one error everywhere: at the bracket behind the comma.
        reason = "Expecting value" if reason.endswith("array") else "Expecting property name enclosed in double quotes"
        at = len(error.doc) - len(error.doc[at + 1 :].lstrip())
    position = _find_original_position(text, at)
    line_start = text.rfind("\n", 0, position) + 1
    line, column = text.count("\n", 0, position) + 1, position - line_start + 1
    rest = error.doc[at:].strip()
    ended = not rest or reason.startswith("Unterminated string") or bool(_BEGUN.fullmatch(rest))
    return JsonDecodeError(reason, line=line, column=column, position=position, ended=ended)


def _find_original_position(text: str, position: int) -> int:
    """Return the position in the original text of a ``position`` in the repaired one."""
    longer = 0
    for token in _TOKEN.finditer(text):
        if token.start() + longer >= position:
            break
        longer += len(_repair_token(token)) - len(token[0])
    return max(0, min(len(text), position - longer))
