"""The extra filter: one query for every type, or one for each; pure.

A query for each type is an object by type, or a text with the type and a colon in front of each query::

    Defect: (Priority = "High")
    Story: (Iteration.Name = "Sprint 1")
    *: (Owner != null)
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rally_accelerate.model.decoding import Undecodable, parse_json

#: Every type that has no query of its own.
OTHERS = "*"

#: Rally takes some thousand characters in an address.
LONGEST = 100_000

#: A type in front of its query. Values are full of colons, so nothing that belongs to a condition may be in it.
#: Possessive: a text of blanks is looked through once.
_TYPE = re.compile(r"""(\*|[^\W\d][^"'()<>=!:;,\n]*+)\s*+:(?!//)""")
_OPERATOR = re.compile(r"\b(contains|containsall|containsany|in)\b", re.IGNORECASE)
#: What stands between two queries.
_BETWEEN = "\n;,"
_PLAIN = {**dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb"), '"'), 0xA0: " "}


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
            except Undecodable as error:
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
    """A query whose quotes and blanks are those of Rally's grammar; what is between straight quotes stays as it is."""
    parts = text.split('"')
    for place in range(0, len(parts), 2):
        parts[place] = parts[place].translate(_PLAIN)
    return '"'.join(parts)


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
    if not found:
        return text.strip()
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
