"""The extra filter: one query for every type, or one for each; pure.

A query for each type is an object by type, or a text with the type and a colon in front of each query::

    Defect: (Priority = "High")
    Story: (Iteration.Name = "Sprint 1")
    *: (Owner != null)
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rally_accelerate.model.lenient_json import JsonDecodeError, parse_json
from rally_accelerate.model.text_folding import plain, trimmed

#: Every type that has no query of its own.
OTHERS = "*"

#: Rally takes some thousand characters in an address.
LONGEST = 100_000

#: So many characters of a query are repeated in a message.
LONGEST_EXAMPLE = 60

#: A type in front of its query. Values are full of colons, so nothing that belongs to a condition may be in it.
#: Possessive: a text of blanks is looked through once.
_TYPE = re.compile(r"""(\*|[^\W\d][^"'()<>=!:;,\n]*+)\s*+:(?!//)""")
#: The same in front of a parenthesis, where the colon was forgotten.
_NO_COLON = re.compile(r"""(\*|[^\W\d][^"'()<>=!:;,\n]*+)\s*+\(""")
#: A type without a query: words and nothing of a condition.
_WORDS_ONLY = re.compile(r"""\*|[^\W\d][^"'()<>=!:;,\n]*+""")
_LOGIC = re.compile(r"(and|or|not)\b", re.IGNORECASE)
_OPERATOR = re.compile(r"\b(contains|containsall|containsany|in)\b", re.IGNORECASE)
#: What stands between two queries.
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
    """One query as text, or queries by type; empty for none.

    Raises:
        ValueError: It is neither; the message is a sentence without subject.
    """
    match value:
        case None:
            return ""
        case str() if len(value) > LONGEST:
            raise ValueError(f"has {len(value):,} characters; there are at most {LONGEST:,}")
        case str() if value.strip().startswith("{"):
            try:
                return as_query(parse_json(value).data)
            except JsonDecodeError as error:
                raise ValueError(f"is not valid JSON: {error.reason} at column {error.column}") from None
        case str():
            return _from_text(value)
        case Mapping():
            return _from_object(value)
        case _:
            raise ValueError('must be a query such as (Priority = "High"), or an object of queries by type')


def as_text(queries: str | Mapping[str, str]) -> str:
    """The filter as people type it."""
    if isinstance(queries, str):
        return queries
    return "\n".join(f"{name}: {query}" for name, query in queries.items())


def plain_query(text: str) -> str:
    """Return a query with the quotes and blanks of Rally's grammar; what is between straight quotes stays as it is."""
    parts: list[str] = []
    reached = 0
    for found in _VALUE.finditer(text):
        parts.append(plain(text[reached : found.start()]))
        match found.lastgroup:
            case "straight":
                parts.append(found[0])
            case "double":
                # French quotes have a space within.
                parts.append(f'"{trimmed(found["double"])}"')
            case _:
                parts.append(f'{plain(found["before"])}"{found["single"]}"')
        reached = found.end()
    parts.append(plain(text[reached:]))
    return "".join(parts)


def entity_in(query: str) -> tuple[str, int] | None:
    """Return the first HTML entity outside of quotes, as a page's source has it, and where it stands; None for none."""
    outside = re.sub(r'"[^"]*"', lambda found: " " * len(found[0]), query)
    found = _ENTITY.search(outside)
    return (found[0], found.start()) if found else None


def fields_of(query: str) -> Iterator[str]:
    """Yield the fields that a query compares, as written."""
    outside = re.sub(r'"[^"]*"', '""', query)
    # Possessive, and never begun within a name: each character is looked at once.
    comparison = r"(?<![\w.])([^\W\d][\w.]*+)\s*+(?:[<>=!]|\bcontains|\bin\b)"
    for found in re.finditer(comparison, outside, re.IGNORECASE):
        yield found[1]


def _from_object(value: Mapping[Any, Any]) -> Any:
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


def _from_text(text: str) -> Any:
    found = list(_sections(text))
    _require_colons(text)
    if not found:
        return text.strip()
    begins_at = 0
    for name, start, begins in found:
        _require_own_query(text[begins_at:start], name)
        begins_at = begins
    queries: dict[str, str] = {}
    before = text[: found[0][1]].strip(f"{_BETWEEN} ")
    if before:
        queries[OTHERS] = before
    ends = [start for _, start, _ in found[1:]] + [len(text)]
    for (name, _, begins), ends_at in zip(found, ends, strict=True):
        if name in queries:
            raise ValueError(f'has two queries for "{name}"; join them: ((...) AND (...))')
        queries[name] = text[begins:ends_at].strip().strip(_BETWEEN).strip()
    return _from_object(queries)


def _require_colons(text: str) -> None:
    """Refuse a type that is followed by its query without a colon."""
    for piece in _pieces(plain_query(text)):
        found = _NO_COLON.match(piece)
        if found is None or _OPERATOR.search(found[1]) or _LOGIC.match(piece):
            continue
        name = found[1].strip()
        query = piece[found.end(1) :].strip().rstrip(_BETWEEN)
        example = query if len(query) <= LONGEST_EXAMPLE else f"{query[:LONGEST_EXAMPLE]}\u2026"
        raise ValueError(f'needs a colon after the type "{name}": {name}: {example}')


def _require_own_query(before: str, following: str) -> None:
    """Refuse several types in front of one query.

    Args:
        before: What stands between the query before, or its type, and the next type.
        following: The next type.
    """
    *others, last = _pieces(plain_query(before).rstrip(f"{_BETWEEN} \t"))
    name = last.strip()
    if not _WORDS_ONLY.fullmatch(name) or _OPERATOR.search(name) or _LOGIC.match(name):
        return
    is_listed = "\n" not in before[len(before.rstrip(f"{_BETWEEN} \t")) :]
    if is_listed or not any(map(str.strip, others)):
        example = f"{name}: (\u2026), and below it {following}: (\u2026)"
        raise ValueError(f'has no query for the type "{name}"; each type needs its own line: {example}')


def _pieces(text: str) -> Iterator[str]:
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


def _sections(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the type, where it begins and where its query begins, for each query with a type in front."""
    depth, quoted, fresh, reached = 0, False, True, 0
    for place, char in enumerate(text):
        if place < reached:
            continue
        if fresh and not char.isspace() and not quoted and depth == 0 and (found := _TYPE.match(text, place)):
            fresh = False
            if not _OPERATOR.search(found[1]):
                reached = found.end()
                yield found[1].strip(), place, reached
                continue
        if char == '"':
            quoted = not quoted
        elif not quoted:
            depth += (char == "(") - (char == ")")
        fresh = char in _BETWEEN or (fresh and char.isspace())
