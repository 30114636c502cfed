"""Reports of fields in a query that no stored issue has, with suggestions."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from rally_accelerate.accelerate.payload import LISTS, SCALARS
from rally_accelerate.dql.ast import Query, iterate_comparisons
from rally_accelerate.dql.evaluator import COUNT
from rally_accelerate.dql.index_terms import APART, Kind, is_indexed
from rally_accelerate.model.suggestions import find_similar
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.tables import fact_names, facts

#: So many fields of one query are looked at, and so many names compared with each.
MAX_FIELDS = 20
MAX_NAMES = 2_000

#: How similar a name must be, and how many names are suggested.
MIN_SIMILARITY = 0.6
MAX_SUGGESTIONS = 3

#: The fields of an issue that may well be empty everywhere (accelerate-api-notes.md#issue-fields), as people write
#: them.
DISPLAY_NAMES = {
    name.casefold(): name
    for name in (
        *(*SCALARS, *LISTS, "project"),
        *("businessValue", "severity", "impact", "resolution", "resolved", "extended", "additionalInfo"),
    )
}


async def find_unknown_fields(database: Database, query: Query | None) -> list[str]:
    """Return a sentence for each field of a query that no issue has; none when every field is known.

    Args:
        database: Where the issues are.
        query: From ``parse``; None asks for nothing.
    """
    if query is None:
        return []
    messages: dict[str, None] = {}
    async with database.reading() as connection:
        for leaf in list(
            dict.fromkeys((comparison.item, comparison.path) for comparison in iterate_comparisons(query))
        )[:MAX_FIELDS]:
            if sentence := await connection.run_sync(_describe_unknown_field, *leaf):
                messages[sentence] = None
    return list(messages)


async def find_misspelled_fields(database: Database, queries: Mapping[str, Query]) -> list[str]:
    """Return a sentence for each field that no issue has and that an issue cannot have, before or after a first sync.

    Args:
        database: Where the issues are.
        queries: By the words for where each of them stands.
    """
    unsure = {
        (place, leaf.path[0])
        for place, query in queries.items()
        for leaf in iterate_comparisons(query)
        if leaf.item == "issue"
        and leaf.path[0].casefold() not in DISPLAY_NAMES
        and is_indexed((leaf.path[0].casefold(),))
    }
    messages: dict[str, str] = {}
    async with database.reading() as connection:
        for name in sorted({name for _, name in unsure})[:MAX_FIELDS]:
            messages[name] = await connection.run_sync(_describe_misspelled_field, name)
    order = {place: number for number, place in enumerate(queries)}
    result = sorted(unsure, key=lambda item: (order[item[0]], item[1]))
    return [f"{place}: {messages[name]}" for place, name in result if messages.get(name)]


def _describe_unknown_field(connection: sa.Connection, item: str, path: tuple[str, ...]) -> str:
    if item != "issue":
        return f"This server stores issues only: there is no {item} whose {'.'.join(path)} could be compared."
    names = [name.casefold() for name in path]
    if names[-1] == COUNT and len(names) > 1:
        names.pop()
    # What no fact stands for is answered by other ways, and its name cannot be judged here.
    if ".".join(names) in APART or not is_indexed(tuple(names)) or _is_known_field(connection, names):
        return ""
    if not _has_facts(connection):
        # Nothing can be said of fields before there are issues.
        return ""
    is_empty = len(names) == 1 and names[0] in DISPLAY_NAMES
    near = _find_same_name(connection, names[-1]) or ([] if is_empty else _find_similar_names(connection, names))
    meant = f"; did you mean {' or '.join(dict.fromkeys(near[:MAX_SUGGESTIONS]))}?" if near else "."
    return f"No issue has a {'value in' if is_empty else 'field'} issue.{'.'.join(path)}{meant}"


def _describe_misspelled_field(connection: sa.Connection, name: str) -> str:
    folded = name.casefold()
    if _is_known_field(connection, [folded]) or _select_names(
        connection, fact_names.c.name.startswith(f"{folded}.", autoescape=True)
    ):
        return ""
    near = _find_same_name(connection, folded) or _find_similar_names(connection, [folded])
    meant = f"; did you mean {' or '.join(dict.fromkeys(near[:MAX_SUGGESTIONS]))}?" if near else ""
    return f"no issue has a field issue.{name}{meant}"


def _is_known_field(connection: sa.Connection, names: Sequence[str]) -> bool:
    """Return whether an issue has it, or may have it: some values are too odd for facts, and all that is below them."""
    ways = [".".join(names[:length]) for length in range(1, len(names) + 1)]
    ids = {row.name: row.id for row in connection.execute(sa.select(fact_names).where(fact_names.c.name.in_(ways)))}
    condition = _has_facts(connection, facts.c.name == ids.get(ways[-1], -1))
    # A query that names an object's member is answered by the object's odd fact.
    return condition or _has_facts(
        connection, facts.c.name.in_(ids.values()), facts.c.folded == "", facts.c.kind == Kind.ODD.value
    )


def _has_facts(connection: sa.Connection, *conditions: Any) -> bool:
    return connection.execute(sa.select(facts.c.name).where(*conditions).limit(1)).first() is not None


def _find_same_name(connection: sa.Connection, last: str) -> list[str]:
    """Return fields of the same name in another place, the shortest ways first."""
    condition = fact_names.c.name.endswith(f".{last}", autoescape=True) | (fact_names.c.name == last)
    return [_format_path(name) for name in sorted(_select_names(connection, condition), key=len)]


def _find_similar_names(connection: sa.Connection, names: Sequence[str]) -> list[str]:
    """Return fields of a similar name in the same place."""
    above = "".join(f"{name}." for name in names[:-1])
    extra = fact_names.c.name.startswith(above, autoescape=True)
    deeper = sa.func.instr(sa.func.substr(fact_names.c.name, len(above) + 1), ".") > 0
    known = [name.removeprefix(above) for name in _select_names(connection, extra, ~deeper)]
    known += [] if above else DISPLAY_NAMES
    return [
        _format_path(above + item) for item in find_similar(names[-1], known, n=MAX_SUGGESTIONS, cutoff=MIN_SIMILARITY)
    ]


def _select_names(connection: sa.Connection, *conditions: Any) -> list[str]:
    # Names stay when the last issue with them goes.
    is_used = sa.exists().where(facts.c.name == fact_names.c.id)
    query = sa.select(fact_names.c.name).where(*conditions, is_used).order_by(fact_names.c.name).limit(MAX_NAMES)
    return list(connection.execute(query).scalars())


def _format_path(name: str) -> str:
    first, *rest = name.split(".")
    return ".".join(["issue", DISPLAY_NAMES.get(first, first), *rest])
