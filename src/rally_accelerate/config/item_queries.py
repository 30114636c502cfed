"""The filter of work items: one query for all types, or one for each type. No I/O.

A query for each type is an object by type, or a text with the type and a colon in front of each query::

    Defect: (Priority = "High")
    Story: (Iteration.Name = "Sprint 1")
    *: (Owner != null)
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rally_accelerate.model.lenient_json import JsonDecodeError, parse_json
from rally_accelerate.model.text_folding import normalize_typography, trim

#: Every type that has no query of its own.
OTHERS = "*"

#: Rally takes some thousand characters in an address.
MAX_LENGTH = 100_000

#: The maximum length of a query in a message.
MAX_EXAMPLE_LENGTH = 60

#: A type in front of its query. Values are full of colons, so nothing that belongs to a condition may be in it.
#: Possessive: a text of blanks is looked through once.
_TYPE = re.compile(r"""(\*|[^\W\d][^"'()<>=!:;,\n]*+)\s*+:(?!//)""")
#: The same in front of a parenthesis, where the colon was forgotten.
_NO_COLON = re.compile(r"""(\*|[^\W\d][^"'()<>=!:;,\n]*+)\s*+\(""")
#: A type without a query: words and nothing of a condition.
_WORDS_ONLY = re.compile(r"""\*|[^\W\d][^"'()<>=!:;,\n]*+""")
_LOGIC = re.compile(r"(and|or|not)\b", re.IGNORECASE)
_OPERATOR = re.compile(r"\b(contains|containsall|containsany|in)\b", re.IGNORECASE)
#: Separators between two queries.
_BETWEEN = "\n;,"
#: A value in straight double quotes, in typographic ones, or in single ones, which only stand behind an operator: an
#: apostrophe does not.
_VALUE = re.compile(
    r'"(?P<straight>[^"]*+)"?'
    r'|[\u201c-\u201f\u2033\u301d\u301e\uff02\xab\xbb](?P<double>[^\u201c-\u201f\u2033\u301d\u301e\uff02\xab\xbb"]*+)'
    r'[\u201c-\u201f\u2033\u301d\u301e\uff02\xab\xbb"]'
    r"|(?P<before>(?:[=<>]|\bcontains|\bin)\s*+)['`\xb4\u2018-\u201b\u2032](?P<single>[^\"()]*?)"
    r"['`\xb4\u2018-\u201b\u2032](?=\s*+[)]|\s*+$)",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{1,6}|#x[0-9a-f]{1,5});", re.IGNORECASE)


def as_query(value: Any) -> Any:
    """Return one query as text, or queries by type; empty for no filter.

    Raises:
        ValueError: The value is neither; the message is a sentence without a subject.
    """
    match value:
        case None:
            return ""
        case str() if len(value) > MAX_LENGTH:
            raise ValueError(f"has {len(value):,} characters; there are at most {MAX_LENGTH:,}")
        case str() if value.strip().startswith("{"):
            try:
                return as_query(parse_json(value).data)
            except JsonDecodeError as error:
                raise ValueError(f"is not valid JSON: {error.reason} at column {error.column}") from None
        case str():
            return _parse_text(value)
        case Mapping():
            return _parse_object(value)
        case _:
            raise ValueError('must be a query such as (Priority = "High"), or an object of queries by type')


def format_query(queries: str | Mapping[str, str]) -> str:
    """Return the filter as people type it."""
    if isinstance(queries, str):
        return queries
    return "\n".join(f"{name}: {query}" for name, query in queries.items())


def normalize_query(text: str) -> str:
    """Return a query with the quotes and blanks of Rally's grammar; what is between straight quotes stays as it is."""
    parts: list[str] = []
    reached = 0
    for match in _VALUE.finditer(text):
        parts.append(normalize_typography(text[reached : match.start()]))
        match match.lastgroup:
            case "straight":
                parts.append(match[0])
            case "double":
                # French quotes have a space within.
                parts.append(f'"{trim(match["double"])}"')
            case _:
                parts.append(f'{normalize_typography(match["before"])}"{match["single"]}"')
        reached = match.end()
    parts.append(normalize_typography(text[reached:]))
    return "".join(parts)


def find_entity(query: str) -> tuple[str, int] | None:
    """Return the first HTML entity outside of quotes, as a page's source has it, and where it stands; None for none."""
    outside = re.sub(r'"[^"]*"', lambda match: " " * len(match[0]), query)
    match = _ENTITY.search(outside)
    return (match[0], match.start()) if match else None


def list_fields(query: str) -> Iterator[str]:
    """Yield the fields that a query compares, as written."""
    outside = re.sub(r'"[^"]*"', '""', query)
    # Possessive, and never begun within a name: each character is looked at once.
    comparison = r"(?<![\w.])([^\W\d][\w.]*+)\s*+(?:[<>=!]|\bcontains|\bin\b)"
    for match in re.finditer(comparison, outside, re.IGNORECASE):
        yield match[1]


def _parse_object(value: Mapping[Any, Any]) -> Any:
    queries: dict[str, str] = {}
    for name, query in value.items():
        match query:
            case None:
                pass
            case str():
                queries.update({str(name).strip(): query.strip()} if query.strip() else {})
            case _:
                raise ValueError(f'must have a query as text for the type "{name}"')
    if "" in queries:
        raise ValueError('has a query without a type; write "*" for the types that have none of their own')
    return queries[OTHERS] if queries.keys() == {OTHERS} else queries or ""


def _parse_text(text: str) -> Any:
    sections = list(_find_sections(text))
    _require_colons(text)
    if not sections:
        return text.strip()
    begins_at = 0
    for name, start, begins in sections:
        _require_own_query(text[begins_at:start], name)
        begins_at = begins
    queries: dict[str, str] = {}
    before = text[: sections[0][1]].strip(f"{_BETWEEN} ")
    if before:
        queries[OTHERS] = before
    ends = [start for _, start, _ in sections[1:]] + [len(text)]
    for (name, _, begins), ends_at in zip(sections, ends, strict=True):
        if name in queries:
            raise ValueError(f'has two queries for "{name}"; join them: ((...) AND (...))')
        queries[name] = text[begins:ends_at].strip().strip(_BETWEEN).strip()
    return _parse_object(queries)


def _require_colons(text: str) -> None:
    """Refuse a type that is followed by its query without a colon."""
    for piece in _split_pieces(normalize_query(text)):
        match = _NO_COLON.match(piece)
        if match is None or _OPERATOR.search(match[1]) or _LOGIC.match(piece):
            continue
        name = match[1].strip()
        query = piece[match.end(1) :].strip().rstrip(_BETWEEN)
        example = query if len(query) <= MAX_EXAMPLE_LENGTH else f"{query[:MAX_EXAMPLE_LENGTH]}\u2026"
        raise ValueError(f'needs a colon after the type "{name}": {name}: {example}')


def _require_own_query(before: str, following: str) -> None:
    """Refuse several types in front of one query.

    Args:
        before: What stands between the query before, or its type, and the next type.
        following: The next type.
    """
    *others, last = _split_pieces(normalize_query(before).rstrip(f"{_BETWEEN} \t"))
    name = last.strip()
    if not _WORDS_ONLY.fullmatch(name) or _OPERATOR.search(name) or _LOGIC.match(name):
        return
    is_listed = "\n" not in before[len(before.rstrip(f"{_BETWEEN} \t")) :]
    if is_listed or not any(map(str.strip, others)):
        example = f"{name}: (\u2026), and below it {following}: (\u2026)"
        raise ValueError(f'has no query for the type "{name}"; each type needs its own line: {example}')


def _split_pieces(text: str) -> Iterator[str]:
    """Yield what is between separators outside of parentheses and quotes."""
    depth, quoted, begins = 0, False, 0
    for place, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif not quoted:
            depth += (char == "(") - (char == ")")
            if depth == 0 and char in _BETWEEN:
                yield text[begins:place].lstrip()
                begins = place + 1
    yield text[begins:].lstrip()


def _find_sections(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the type, where it begins and where its query begins, for each query with a type in front."""
    depth, quoted, fresh, reached = 0, False, True, 0
    for place, char in enumerate(text):
        if place < reached:
            continue
        if fresh and not char.isspace() and not quoted and depth == 0 and (match := _TYPE.match(text, place)):
            fresh = False
            if not _OPERATOR.search(match[1]):
                reached = match.end()
                yield match[1].strip(), place, reached
                continue
        if char == '"':
            quoted = not quoted
        elif not quoted:
            depth += (char == "(") - (char == ")")
        fresh = char in _BETWEEN or (fresh and char.isspace())
