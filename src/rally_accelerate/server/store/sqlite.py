"""What is specific to SQLite: connections, ``matches`` as an SQL function, and the word index.

Everything else in the store is written in SQL that PostgreSQL knows as well. There, words are a ``tsvector``, and a
comparison that only ``matches`` can tell is answered by a list of numbers found beforehand.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

import orjson
import sqlalchemy as sa

from rally_accelerate.dql.ast import Comparison, Operator, Value
from rally_accelerate.dql.evaluator import matches
from rally_accelerate.model.text_folding import fold
from rally_accelerate.server.store.issue_sets import from_numbers
from rally_accelerate.server.store.tables import issue_contents, issue_history, issues

#: Written in JSON as they are. Numbers have no letter but the e, and may be written otherwise than they are read.
_PLAIN = re.compile(r"[a-z0-9 _-]*[a-df-z][a-z0-9 _-]*")

_ASCII = bytes(range(0x80))


def make_needle(text: str) -> bytes:
    """Return the bytes that JSON with a matching value must contain; empty if unknown."""
    folded = fold(text)
    return folded.encode() if _PLAIN.fullmatch(folded) else b""


def cannot_contain(content: bytes, sought: bytes) -> bool:
    """Return whether no value in a JSON text contains something; False says nothing."""
    if sought in content.lower():
        return False
    if b"\\u" in content:
        return False
    if content.isascii():
        return True
    others = content.translate(None, _ASCII)
    return not any(folding_character in others for folding_character in _list_folding_characters())


# When it is first asked for: looking at every character takes a third of a second.
@cache
def _list_folding_characters() -> tuple[bytes, ...]:
    """Return other characters that fold to something with a character of ASCII in it, or to nothing.

    Such as the long s, ligatures, no-break spaces and invisible characters.
    """
    return tuple(
        chr(code).encode()
        for code in range(0x80, sys.maxunicode + 1)
        if not 0xD800 <= code <= 0xDFFF and _contains_ascii(fold(chr(code)))  # noqa: PLR2004 - Unicode
    )


def _contains_ascii(folded: str) -> bool:
    return not folded or any(item.isascii() for item in folded)


#: Kibibytes of pages that each connection keeps in memory, and bytes of the file that are read without a copy.
CACHE_KIB = 16_384
MMAP_BYTES = 1 << 30


#: Pages of the write-ahead log after which a writer brings them into the file: an upload is some thousands.
CHECKPOINT_PAGES = 8_000


def disable_implicit_transactions(connection: Any, _: Any = None) -> None:
    """Keep the driver from beginning transactions on its own: a writer begins as one, or two of them could deadlock."""
    connection.isolation_level = None


def prepare(connection: Any, _: Any = None) -> None:
    """Make a new connection what the store expects of it."""
    disable_implicit_transactions(connection)
    connection.create_function("dql_matches", 4, _matches_json, deterministic=True)
    connection.create_function("members", 2, _aggregate_members, deterministic=True)
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # An upload is acknowledged when it is committed, and the connector never sends it again: each commit must be on the
    # disk. With NORMAL, a power cut loses the commits since the last checkpoint (https://sqlite.org/pragma.html).
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    cursor.execute(f"PRAGMA mmap_size={MMAP_BYTES}")
    cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    cursor.close()


def begin(connection: sa.Connection) -> None:
    """Begin a transaction; that of a writer at once as one."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def to_json(value: Any) -> str:
    """Return JSON as the store writes it."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Integers of more than 64 bits, which GraphQL texts may hold.
        import json  # noqa: PLC0415 - for what hardly ever comes

        return json.dumps(value)


def matches_in_python(leaf: Comparison, *, now: datetime) -> sa.ColumnElement[bool]:
    """Return an SQL condition that evaluates ``matches`` for an issue."""
    content = sa.select(sa.cast(sa.type_coerce(issue_contents.c.content, sa.Text), sa.LargeBinary)).where(
        issue_contents.c.number == issues.c.number
    )
    past: sa.ColumnElement[Any] = sa.null()
    if fold(leaf.path[0]) == "history":
        entry = sa.func.json_array(
            issue_history.c.instant, sa.func.json(sa.type_coerce(issue_history.c.content, sa.Text))
        )
        condition = sa.select(entry.label("entry")).where(issue_history.c.number == issues.c.number)
        ordered = condition.order_by(issue_history.c.position).correlate(issues).subquery()
        past = sa.select(sa.func.json_group_array(sa.func.json(ordered.c.entry))).correlate(issues).scalar_subquery()
    answer = sa.func.dql_matches(
        _serialize_comparison(leaf), now.isoformat(), content.correlate(issues).scalar_subquery(), past
    )
    return sa.type_coerce(answer, sa.Integer) == 1


def _serialize_comparison(leaf: Comparison) -> str:
    values = [
        (
            value.text,
            value.number,
            None if value.age is None else value.age.total_seconds(),
            None if value.instant is None else value.instant.isoformat(),
        )
        for value in leaf.values
    ]
    return orjson.dumps((leaf.path, leaf.operator.value, values)).decode()


@lru_cache(maxsize=256)
def _make_comparison_needle(written: str) -> bytes:
    """Return the bytes that an issue's JSON must contain to match; empty if unknown."""
    leaf = _parse_comparison(written)
    return make_needle(leaf.values[0].text) if leaf.operator is Operator.CONTAINS else b""


@lru_cache(maxsize=256)
def _parse_comparison(written: str) -> Comparison:
    path, operator, values = orjson.loads(written)
    return Comparison(
        "issue",
        tuple(path),
        Operator(operator),
        tuple(
            Value(
                text,
                number,
                None if age is None else timedelta(seconds=age),
                None if instant is None else datetime.fromisoformat(instant),
            )
            for text, number, age, instant in values
        ),
    )


def _matches_json(written: str, now: str, content: bytes, past: str | None) -> bool:
    if past is None and (sought := _make_comparison_needle(written)) and cannot_contain(content, sought):
        return False
    issue = orjson.loads(content)
    if past is not None:
        issue["history"] = [{"timestamp": instant, "content": change} for instant, change in orjson.loads(past)]
    return matches(_parse_comparison(written), issue, now=datetime.fromisoformat(now))


def collect_members(connection: sa.Connection, query: sa.Select[Any] | sa.CompoundSelect[Any], size: int) -> bytes:
    """Return the set of the numbers in a query's first column, built in SQLite's thread."""
    number = query.subquery().c[0]
    result = connection.execute(sa.select(sa.func.members(sa.func.json_group_array(number), size))).scalar_one()
    return bytes(result)


def _aggregate_members(numbers: str, size: int) -> bytes:
    try:
        return from_numbers(orjson.loads(numbers), size)
    except IndexError:
        # What was uploaded after another user's removal: the caller that asks began before it.
        return from_numbers((number for number in orjson.loads(numbers) if number < size), size)


def add_words(connection: sa.Connection, words: Iterable[tuple[int, str]]) -> None:
    """Index the words of issues, by their number."""
    _execute_many(connection, "INSERT INTO issue_words (rowid, words) VALUES (?, ?)", list(words))


def drop_words(connection: sa.Connection, words: Iterable[tuple[int, str]]) -> None:
    """Remove words from the index; they must be those that were indexed."""
    _execute_many(
        connection, "INSERT INTO issue_words (issue_words, rowid, words) VALUES ('delete', ?, ?)", list(words)
    )


def drop_all_words(connection: sa.Connection) -> None:
    """Remove all words from the index."""
    connection.exec_driver_sql("INSERT INTO issue_words (issue_words) VALUES ('delete-all')")


def _execute_many(connection: sa.Connection, statement: str, rows: list[tuple[int, str]]) -> None:
    if rows:
        connection.exec_driver_sql(statement, rows)


def select_by_words(words: Sequence[str]) -> sa.Select[Any]:
    """Return the numbers of the issues that have all of some folded words, or words that begin so."""
    # Longer than one letter, a word may be the beginning of one. Within quotes nothing has a meaning of its own.
    match_expression = " AND ".join(f'"{word}"*' if len(word) > 1 else f'"{word}"' for word in words)
    result = sa.text("SELECT rowid AS number FROM issue_words WHERE issue_words MATCH :words").bindparams(
        words=match_expression
    )
    return sa.select(result.columns(sa.column("number", sa.Integer)).subquery().c.number)


def is_among(column: sa.ColumnElement[int], numbers: Iterable[int]) -> sa.ColumnElement[bool]:
    """Return whether a column has one of many numbers, more than a statement may have parameters."""
    item = sa.func.json_each(to_json(list(numbers))).table_valued("value")
    return column.in_(sa.select(item.c.value))
