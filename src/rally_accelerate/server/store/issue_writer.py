"""Writes and removes issues with their index entries.

All of this runs inside a transaction of the caller. An issue that is known is compared with what was stored of it: only
the facts and the words that changed are written, as most uploads change little.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson
import sqlalchemy as sa

from rally_accelerate.dql.index_terms import Fact, Kind, build_facts
from rally_accelerate.server.issue_history import find_last_status_change, find_pending_after
from rally_accelerate.server.store import sqlite
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.tables import (
    fact_names,
    facts,
    issue_contents,
    issue_history,
    issues,
    long_texts,
    marks,
)


def summarize(item: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the indexed columns of an issue.

    Args:
        item: ``IssueDataItemIn``, instants in milliseconds since 1970.
        history: Its history.
    """
    project = item.get("project") or {}
    return {
        "display_id": item["id"],
        "name": item["name"],
        "status": item["status"],
        "type": item["type"],
        "priority": item.get("priority"),
        "owner": item.get("owner"),
        "creator": item.get("creator"),
        "project_key": project.get("key"),
        "project": project.get("name"),
        "story_points": item.get("storyPoints"),
        "url": item.get("url") or "",
        "sprints": _list_names(item.get("sprints")),
        "releases": _list_names(item.get("releases")),
        "labels": [label for label in item.get("labels") or () if label],
        "created": item.get("created") or 0,
        "last_update": item["lastUpdate"],
        "status_since": find_status_start(item, history),
        "changes": len(history),
    }


def find_status_start(item: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> int:
    """Return when an issue got its status: its last status change, else its creation.

    Where the history does not tell that change yet: when it had happened at the latest.
    """
    last = find_last_status_change(history)
    if last is None:
        return item.get("created") or 0
    late = find_pending_after(last, item, history)
    return last.at if late is None else late.at


def _list_names(objects: Sequence[Mapping[str, Any]] | None) -> list[str]:
    return list(dict.fromkeys(item["name"] for item in objects or () if item.get("name")))


#: Characters of one text that are indexed: a pasted log file is not what anybody searches for.
MAX_TEXT_CHARACTERS = 20_000

#: More words than this no one types.
MAX_WORDS = 20

#: What stands between words.
_SEPARATORS = re.compile(r"[\W_]+")


def extract_words(item: Mapping[str, Any]) -> str:
    """Return the words of an issue: its id, name, description, people, labels and comments.

    Args:
        item: An issue under the wire's names.
    """
    comments = [str(comment.get("comment") or "") for comment in item.get("comments") or ()]
    project = (item.get("project") or {}).get("name")
    messages = (item["id"], item["name"], item.get("description"), item.get("owner"), project)
    texts = [str(text)[:MAX_TEXT_CHARACTERS] for text in (*messages, *(item.get("labels") or ()), *comments) if text]
    # Each word once: how often it is said does not matter.
    return " ".join(dict.fromkeys(split_words(" ".join(texts))))


def split_words(text: str) -> list[str]:
    """Return the words of a text, without regard to case and accents."""
    if not text.isascii():
        text = "".join(item for item in unicodedata.normalize("NFKD", text) if not unicodedata.combining(item))
    return [word for word in _SEPARATORS.split(text.casefold()) if word]


def parse_search_words(text: str) -> list[str]:
    """Return the words of a search text."""
    return split_words(text)[:MAX_WORDS]


#: Any change of issues, and the removal of some.
ISSUES = "issues"
REMOVALS = "removals"


def read_counter(connection: sa.Connection, name: str = ISSUES) -> int:
    """Return a change counter."""
    result = connection.execute(sa.select(marks.c.value).where(marks.c.name == name))
    return result.scalar_one_or_none() or 0


def increment_counter(connection: sa.Connection, name: str = ISSUES) -> int:
    """Increment a change counter within the transaction of the change; return its value."""
    raised = connection.execute(sa.update(marks).where(marks.c.name == name).values(value=marks.c.value + 1))
    if not raised.rowcount:
        connection.execute(sa.insert(marks).values(name=name, value=1))
    return read_counter(connection, name)


#: SQLite allows 32,766 parameters in one statement since 3.32, 999 before.
KEYS_IN_A_QUERY = 900


@dataclass(frozen=True, slots=True)
class PreparedIssue:
    """One issue, taken apart before the transaction begins."""

    external_id: str
    row: dict[str, Any]
    content: dict[str, Any]
    #: Its instant, its field and its content of each change.
    history: list[tuple[int, str, str]]
    facts: set[Fact]
    words: str


@dataclass(slots=True)
class _Changes:
    """What is written for all issues of an upload together."""

    inserted: list[dict[str, Any]] = field(default_factory=list)
    updated: list[dict[str, Any]] = field(default_factory=list)
    contents: list[tuple[int, str]] = field(default_factory=list)
    old_contents: list[tuple[str, int]] = field(default_factory=list)
    old_histories: list[tuple[int]] = field(default_factory=list)
    histories: list[tuple[int, int, int, str, str]] = field(default_factory=list)
    facts: list[tuple[int, Fact]] = field(default_factory=list)
    old_facts: list[tuple[int, Fact]] = field(default_factory=list)
    words: list[tuple[int, str]] = field(default_factory=list)
    old_words: list[tuple[int, str]] = field(default_factory=list)


def prepare_issues(items: Iterable[Mapping[str, Any]], **common: Any) -> list[PreparedIssue]:
    """Prepare issues for ``write_issues``.

    Args:
        items: ``IssueDataItemIn`` values with instants as epoch milliseconds. The last one wins where an item is named
            twice, as it would in two uploads.
        common: Columns that all of them have.
    """
    result = []
    for key, item in {item["_id"]: item for item in items}.items():
        history = item.get("history") or ()
        content = {name: value for name, value in item.items() if name != "history"}
        row = {"external_id": key, **summarize(item, history), **common}
        changes = [
            (
                entry.get("timestamp") or 0,
                str((entry.get("content") or {}).get("field") or ""),
                sqlite.to_json(entry.get("content")),
            )
            for entry in history
        ]
        result.append(PreparedIssue(key, row, content, changes, build_facts(content), extract_words(content)))
    return result


def write_issues(connection: sa.Connection, tracker_id: str, upload: Sequence[PreparedIssue]) -> None:
    """Store issues of a tracker; one that is known is replaced with its history."""
    mark = increment_counter(connection)
    known = _load_existing(connection, tracker_id, [one.external_id for one in upload])
    last = connection.execute(sa.select(sa.func.max(issues.c.number))).scalar_one() or 0
    changes = _Changes()
    for one in upload:
        row = {**one.row, "mark": mark}
        body = sqlite.to_json(one.content)
        if one.external_id in known:
            number, old_body = known[one.external_id]
            changes.updated.append({**row, "its_number": number})
            changes.old_histories.append((number,))
            changes.histories += ((number, position, *entry) for position, entry in enumerate(one.history))
            if old_body == body:
                continue
            old = orjson.loads(old_body)
            old_facts, old_words = build_facts(old), extract_words(old)
            changes.old_contents.append((body, number))
            changes.old_facts += ((number, fact) for fact in old_facts - one.facts)
            changes.facts += ((number, fact) for fact in one.facts - old_facts)
            if old_words != one.words:
                changes.old_words.append((number, old_words))
                changes.words.append((number, one.words))
        else:
            last = number = last + 1
            changes.inserted.append({**row, "number": number})
            changes.contents.append((number, body))
            changes.facts += ((number, fact) for fact in one.facts)
            changes.words.append((number, one.words))
            changes.histories += ((number, position, *entry) for position, entry in enumerate(one.history))
    _apply_changes(connection, changes)


def remove_issues(connection: sa.Connection, tracker_id: str, *, until: int, most: int) -> bool:
    """Remove issues of a tracker that were written until a mark, at most so many; return whether there may be more."""
    increment_counter(connection)
    increment_counter(connection, REMOVALS)
    others = issues.c.tracker_id != tracker_id, issues.c.mark > until
    if all(connection.execute(sa.select(issues.c.number).where(other).limit(1)).first() is None for other in others):
        # There are no others, neither another user's nor newer ones: whole tables are emptied at once.
        for table in (issues, issue_contents, issue_history, facts, long_texts):
            connection.execute(sa.delete(table))
        sqlite.drop_all_words(connection)
        return False
    condition = issues.c.tracker_id == tracker_id, issues.c.mark <= until
    query = sa.select(issues.c.number, issue_contents.c.content).where(*condition)
    query = query.join(issue_contents, issue_contents.c.number == issues.c.number).limit(most)
    execute = connection.execute(query).all()
    numbers = [(row.number,) for row in execute]
    if numbers:
        _drop_facts(connection, [(row.number, fact) for row in execute for fact in build_facts(row.content)])
        sqlite.drop_words(connection, [(row.number, extract_words(row.content)) for row in execute])
        for table in (issues, issue_contents, issue_history):
            connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE number = ?", numbers)  # noqa: S608 - our own name
    return len(execute) == most


def _load_existing(connection: sa.Connection, tracker_id: str, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
    body = sa.type_coerce(issue_contents.c.content, sa.Text).label("body")
    query = sa.select(issues.c.external_id, issues.c.number, body)
    query = query.join(issue_contents, issue_contents.c.number == issues.c.number)
    result: dict[str, tuple[int, str]] = {}
    for start in range(0, len(keys), KEYS_IN_A_QUERY):
        some = issues.c.external_id.in_(keys[start : start + KEYS_IN_A_QUERY])
        for row in connection.execute(query.where(issues.c.tracker_id == tracker_id, some)):
            result[row.external_id] = (row.number, row.body)
    return result


def _apply_changes(connection: sa.Connection, changes: _Changes) -> None:
    # The driver takes the long lists as they are: SQLAlchemy takes longer to bind a row than SQLite to write it.
    many: list[tuple[str, Sequence[tuple[Any, ...]]]] = [
        ("INSERT INTO issue_contents (number, content) VALUES (?, ?)", changes.contents),
        ("UPDATE issue_contents SET content = ? WHERE number = ?", changes.old_contents),
        ("DELETE FROM issue_history WHERE number = ?", changes.old_histories),
        (
            "INSERT INTO issue_history (number, position, instant, field, content) VALUES (?, ?, ?, ?, ?)",
            changes.histories,
        ),
    ]
    if changes.inserted:
        connection.execute(sa.insert(issues), changes.inserted)
    if changes.updated:
        fresh: dict[str, Any] = {name: sa.bindparam(name) for name in changes.updated[0] if name != "its_number"}
        update = sa.update(issues).where(issues.c.number == sa.bindparam("its_number")).values(fresh)
        connection.execute(update, changes.updated)
    for statement, rows in many:
        if rows:
            connection.exec_driver_sql(statement, list(rows))
    _drop_facts(connection, changes.old_facts)
    add_facts(connection, changes.facts)
    sqlite.drop_words(connection, changes.old_words)
    sqlite.add_words(connection, changes.words)


def add_facts(connection: sa.Connection, new: Sequence[tuple[int, Fact]]) -> None:
    """Store facts of issues, by their number."""
    ids = _load_name_ids(connection, {fact.name for _, fact in new})
    missing = [{"name": name} for name in sorted({fact.name for _, fact in new} - ids.keys())]
    if missing:
        connection.execute(sa.insert(fact_names), missing)
        ids |= _load_name_ids(connection, {item["name"] for item in missing})
    short, long = _split_facts(new)
    # In the order of the index, which is then filled page by page.
    rows = sorted(
        (ids[fact.name], fact.folded, int(fact.kind), number, fact.number, fact.moment) for number, fact in short
    )
    texts = sorted((ids[fact.name], number, _hash_text(fact.folded), fact.folded) for number, fact in long)
    if rows:
        statement = "INSERT INTO facts (name, folded, kind, issue, number, moment) VALUES (?, ?, ?, ?, ?, ?)"
        connection.exec_driver_sql(statement, rows)
    if texts:
        statement = "INSERT INTO long_texts (name, issue, part, folded) VALUES (?, ?, ?, ?)"
        connection.exec_driver_sql(statement, texts)


def _split_facts(all_facts: Sequence[tuple[int, Fact]]) -> tuple[list[tuple[int, Fact]], list[tuple[int, Fact]]]:
    """Split facts into those in the index and long texts."""
    short: list[tuple[int, Fact]] = []
    long: list[tuple[int, Fact]] = []
    apart = Kind.APART
    for item in all_facts:
        fact = item[1]
        (long if fact.kind is apart and fact.folded else short).append(item)
    return short, long


def _hash_text(folded: str) -> int:
    return int.from_bytes(blake2b(folded.encode(), digest_size=8).digest()) >> 1


def _drop_facts(connection: sa.Connection, old: Sequence[tuple[int, Fact]]) -> None:
    ids = _load_name_ids(connection, {fact.name for _, fact in old})
    short, long = _split_facts(old)
    rows = sorted((ids[fact.name], fact.folded, int(fact.kind), number) for number, fact in short)
    texts = sorted((ids[fact.name], number, _hash_text(fact.folded)) for number, fact in long)
    if rows:
        statement = "DELETE FROM facts WHERE name = ? AND folded = ? AND kind = ? AND issue = ?"
        connection.exec_driver_sql(statement, rows)
    if texts:
        connection.exec_driver_sql("DELETE FROM long_texts WHERE name = ? AND issue = ? AND part = ?", texts)


def _load_name_ids(connection: sa.Connection, names: Iterable[str]) -> dict[str, int]:
    requested = sorted(names)
    result: dict[str, int] = {}
    for start in range(0, len(requested), KEYS_IN_A_QUERY):
        some = requested[start : start + KEYS_IN_A_QUERY]
        query = sa.select(fact_names.c.name, fact_names.c.id).where(fact_names.c.name.in_(some))
        result |= {row.name: row.id for row in connection.execute(query)}
    return result


#: So many issues are removed in one transaction.
REMOVAL_CHUNK_SIZE = 2_000

#: How the marks of removals begin; the tracker's id follows.
_REMOVAL_PREFIX = "removal of "


def request_removal(connection: sa.Connection, tracker_id: str) -> None:
    """Request the removal of a tracker's issues within a transaction."""
    name, now = f"{_REMOVAL_PREFIX}{tracker_id}", read_counter(connection)
    if not connection.execute(sa.update(marks).where(marks.c.name == name).values(value=now)).rowcount:
        connection.execute(sa.insert(marks).values(name=name, value=now))


async def finish_removal(database: Database, tracker_id: str) -> None:
    """Remove the issues of a tracker as requested."""

    def part(connection: sa.Connection) -> bool:
        condition = marks.c.name == f"{_REMOVAL_PREFIX}{tracker_id}"
        until = connection.execute(sa.select(marks.c.value).where(condition)).scalar_one_or_none()
        if until is None:
            # Another user has finished it in the meantime.
            return False
        more = remove_issues(connection, tracker_id, until=until, most=REMOVAL_CHUNK_SIZE)
        if not more:
            connection.execute(sa.delete(marks).where(condition))
        return more

    while await database.run_in_transaction(part):
        pass


async def list_unfinished_removals(database: Database) -> list[str]:
    """Return the trackers whose removal is not finished."""
    query = (
        sa.select(marks.c.name).where(marks.c.name.startswith(_REMOVAL_PREFIX, autoescape=True)).order_by(marks.c.name)
    )
    async with database.reading() as connection:
        return [name.removeprefix(_REMOVAL_PREFIX) for name in (await connection.execute(query)).scalars()]
