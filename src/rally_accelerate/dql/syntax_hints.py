"""Suggestions for queries with syntax errors. No I/O."""

import re
from collections.abc import Iterator

from lark import UnexpectedToken

#: The items of a value stream (accelerate-api-notes.md#value-stream-queries).
ITEMS = ("issue", "pr", "commit", "build", "deployment")

_PREFIXES = tuple(f"{item}." for item in ITEMS)

#: Every character that a quoted value may begin with.
QUOTES = "\"'“”„‟″〝〞＂«»‹›‘’‚‛′`´＇「『｢"
#: Those that a value may end with.
CLOSING = f"{QUOTES}」』｣"
#: A mark between two letters, which is part of a value.
APOSTROPHE = r"(?<=\w)['‘’‛′´＇](?=\w)"
_ANY_QUOTE = f"[{CLOSING}]"

#: What people of other languages write, and what it is here.
_OTHER_SPELLINGS = (
    ("<>", "!="),
    ("=>", ">="),
    ("=<", "<="),
    ("~", "CONTAINS"),
    ("like", "CONTAINS"),
    ("&", "AND"),
    ("|", "OR"),
    ("is", "= or !="),
    ("equals", "="),
    ("eq", "="),
)

#: The last words before a place that are a value without quotes, and what stands before such a one.
_BARE_BEFORE = re.compile(r"""(?:[=<>(,]|\bcontains\s)\s*([^\s()'"=!<>,]+)\s*$""", re.IGNORECASE)
_BARE_BEHIND = re.compile(r"""(?:\s*(?!(?:and|or)(?![^\s()'"=!<>,]))[^\s()'"=!<>,]+)+""", re.IGNORECASE)

_WORD = r"""[^\s()'"=!<>,]"""
_FIELD = rf"(?<![^\s(])(?:{'|'.join(ITEMS)})\.{_WORD}++"
_OPERATOR = r"!=|>=|<=|=|<|>|\bcontains\b"
_QUOTED = rf"{_ANY_QUOTE}[^{CLOSING}]*+{_ANY_QUOTE}"
_LINK = r"\s(?:and|or)\s"
_BEGINS_FIELD = rf"(?:{'|'.join(ITEMS)})\."
#: Words without quotes up to a link, a comma or the end; no logic and no field that is compared.
_BARE = (
    rf"(?!(?:and|or)\s)(?!not\s++{_BEGINS_FIELD})(?!{_BEGINS_FIELD})(?!{_ANY_QUOTE})(?!{_WORD}++\s*+(?:{_OPERATOR}|in\s*+\())"
    rf"{_WORD}++(?:\s++(?!(?:and|or)(?!{_WORD}))(?!{_BEGINS_FIELD}){_WORD}++)*+"
)
_VALUE = rf"(?:{_QUOTED}|{_BARE})"
_FURTHER = (
    rf"(?P<link>\s++(?:and|or)(?!{_WORD})\s*+|\s*+,\s*+|\s++(?={_ANY_QUOTE}))"
    rf"(?P<operator>(?:{_OPERATOR})?)\s*+(?P<value>{_VALUE})"
)
_UNNAMED = re.sub(r"\?P<\w+>", "?:", _FURTHER)
#: A comparison, and values behind it that have no field of their own.
_ELLIPTIC = re.compile(
    rf"(?P<field>{_FIELD})\s*+(?P<operator>{_OPERATOR})\s*+(?P<value>{_VALUE})(?P<further>(?:{_UNNAMED})++)",
    re.IGNORECASE,
)
_FURTHER_VALUE = re.compile(_FURTHER, re.IGNORECASE)

_LIST_BEGUN = re.compile(rf"{_FIELD}\s++(not\s++)?in\s*$", re.IGNORECASE)
_IN_LIST = re.compile(r"""\bin\s*\([^()]*$""", re.IGNORECASE)
_LISTED = re.compile(r"""[\[{<]*([^\])}>]*)""")
_LIST_VALUE = re.compile(rf"{_QUOTED}|[^,;]+")
_SPACED_FIELD = re.compile(rf"""(?<![^\s(])({"|".join(ITEMS)})\s*(\.?)\s*$""", re.IGNORECASE)
#: Two quotes with nothing between them.
_DOUBLE_QUOTE = re.compile(rf"{_ANY_QUOTE}{{2}}\s*$")
_UP_TO_QUOTE = re.compile(rf"[^{CLOSING}]*")


def suggest_fix(text: str, error: UnexpectedToken) -> str:
    """Return a suggestion for the most common mistakes, or an empty text."""
    start = error.token.start_pos or 0
    before, behind = text[:start], text[start:]
    accepted = error.accepts or error.expected or set()
    return (
        _hint_spelling(str(error.token), before, behind)
        or _hint_list(before, behind)
        or _hint_quotes(before, behind)
        or _hint_elliptic(text, start)
        or _hint_parts(error.token.type, before, behind)
        or _hint_quoting(before, behind, accepted)
    )


def suggest_fix_at_end(text: str) -> str:
    """Return a suggestion for a query that ends too early, or an empty text."""
    return _hint_elliptic(text, len(text.rstrip()))


def _hint_spelling(token: str, before: str, behind: str) -> str:
    if before.endswith("=") and behind.startswith("="):
        return "use one =, not ==" if not before.endswith(("!=", "<=", ">=")) else f"use {before[-2:]} alone"
    if before.rstrip().endswith("=~"):
        return "use CONTAINS, not =~"
    word, marks = token.lower(), (behind, before[-1:] + behind)
    for typed, meant in _OTHER_SPELLINGS:
        if word == typed if typed.isalpha() else any(mark.startswith(typed) for mark in marks):
            return f"use {meant}, not {typed}"
    if re.match(r",\s*\d", behind) and before[-1:].isdigit():
        return "write a number with a point, such as 2.5, and without marks between thousands"
    return ""


def _hint_list(before: str, behind: str) -> str:
    if begun := _LIST_BEGUN.search(before):
        word = "NOT IN" if begun[1] else "IN"
        listed = _LISTED.match(behind)
        values = [listed_value.strip() for listed_value in _LIST_VALUE.findall(listed[1] if listed else "")]
        return f"write a list in parentheses: {word} ({', '.join(map(_quote, filter(None, values))) or 'Done, Open'})"
    if not _IN_LIST.search(before):
        return ""
    if behind.startswith(")"):
        return "write at least one value, and none after the last comma: IN (Done, Open)"
    if before.rstrip().endswith((";", "|")) or behind[0] in QUOTES:
        return "separate values with commas: IN (Done, Open)"
    return ""


def _hint_quotes(before: str, behind: str) -> str:
    """Return a suggestion for quotes within quotes."""
    within = _UP_TO_QUOTE.match(behind)
    if within is None or not within[0].strip() or len(within[0]) == len(behind):
        return ""
    if _DOUBLE_QUOTE.search(before):
        return f"write the value in one pair of quotes: '{within[0].strip()}'"
    if before[-1:] and before[-1] in QUOTES and behind[0].isalnum():
        return r"put a backslash before quotes that are part of the value, as in 'a \'quoted\' word'"
    return ""


def _hint_elliptic(text: str, place: int) -> str:
    """Return a query with all its fields, where values follow a comparison without theirs."""
    for match in _ELLIPTIC.finditer(text):
        if re.search(r"\band\s+not\s", match["further"], re.IGNORECASE):
            # It may be a negation.
            continue
        if match.start("further") <= place <= len(text) - len(text[match.end() :].lstrip()):
            return f"write {_write_in_full(match)}"
    return ""


def _write_in_full(match: re.Match[str]) -> str:
    field, operator = match["field"], match["operator"]
    first = _quote(match["value"])
    further = list(_iterate_further(match["further"]))
    # ``a = 1 and a = 2`` is true of lists, and no list of alternatives.
    are_alternatives = operator == "!=" or (operator == "=" and all(link == "or" for link, _, _ in further))
    if are_alternatives and all(own in {"", operator} for _, own, _ in further):
        word = "IN" if operator == "=" else "NOT IN"
        return f"{field} {word} ({', '.join([first, *(value for _, _, value in further)])})"
    return f"{field} {operator} {first}" + "".join(
        f" {link} {field} {own or operator} {value}" for link, own, value in further
    )


def _iterate_further(text: str) -> Iterator[tuple[str, str, str]]:
    for match in _FURTHER_VALUE.finditer(text):
        link = match["link"].strip().lower()
        yield "and" if link == "and" else "or", match["operator"], _quote(match["value"])


def _quote(value: str) -> str:
    text = value.strip()
    if text[:1] in QUOTES or re.fullmatch(rf"{_WORD}+", text):
        return text
    return f"'{text}'"


def _hint_parts(kind: str, before: str, behind: str) -> str:
    if (spaced := _SPACED_FIELD.search(before)) and (rest := re.match(rf"\.?\s*({_WORD}+)", behind)):
        return f"write {spaced[1]}.{rest[1].lstrip('.')} without spaces"
    if kind == "LPAR" and re.search(r"[=<>]\s*$", before):
        return "write one value without parentheses, or a list with IN: IN (Done, Open)"
    if re.search(rf"{_FIELD}\s+not\s+$", before, re.IGNORECASE):
        return "use != for one value, NOT IN (Done, Open) for several"
    return ""


def _hint_quoting(before: str, behind: str, accepted: set[str]) -> str:
    follows = {"_AND", "_OR", "COMMA"} & accepted
    begun, rest = _BARE_BEFORE.search(before), _BARE_BEHIND.match(behind)
    # After a value comes no further word, unless an AND was forgotten before the next field.
    if not follows or begun is None or rest is None or behind.lower().startswith(_PREFIXES):
        return ""
    words = f"{begun[1]} {rest[0]}"
    if age := re.fullmatch(r"(\d{1,6})\s+(s|min|m|h|d|w)", words, re.IGNORECASE):
        return f"write {age[1]}{age[2]} without a space"
    return f"put '{words}' in quotes"
