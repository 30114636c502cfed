"""Everything that the tables hold of an issue: the same after any sequence of uploads, and gone with it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from rally_accelerate.dql.index_terms import MAX_TEXT_LENGTH, Fact, Kind, build_facts
from rally_accelerate.server.store import issue_writer
from rally_accelerate.server.store.issue_writer import (
    ISSUES,
    REMOVALS,
    add_facts,
    extract_words,
    prepare_issues,
    read_counter,
    remove_issues,
    write_issues,
)
from rally_accelerate.server.store.tables import fact_names, issue_contents, issue_history, issues, long_texts, metadata
from rally_accelerate.server.store.tables import facts as fact_rows
from support.issues import change, item

COMMON = {"tenant_id": "n", "source": "RALLY", "uploaded": 5, "execution_id": None}
LONG = "a long text " * MAX_TEXT_LENGTH


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    """Empty tables."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        connection.exec_driver_sql("CREATE VIRTUAL TABLE temp.every_word USING fts5vocab(main, issue_words, instance)")
        yield connection
    engine.dispose()


def take(connection: sa.Connection, *items: Mapping[str, Any], tracker: str = "t") -> None:
    write_issues(connection, tracker, prepare_issues(items, tracker_id=tracker, **COMMON))


def held(connection: sa.Connection) -> dict[tuple[str, str], dict[str, Any]]:
    """Everything that the tables hold, by tracker and id; without the order in which it came."""
    found: dict[int, dict[str, Any]] = {}
    keys: dict[int, tuple[str, str]] = {}
    for each in connection.execute(sa.select(issues)).mappings():
        columns = {name: value for name, value in each.items() if name not in {"number", "mark"}}
        found[each["number"]] = {**columns, "content": None, "history": [], "facts": set(), "words": set()}
        keys[each["number"]] = each["tracker_id"], each["external_id"]
    for number, content in connection.execute(sa.select(issue_contents)):
        found[number]["content"] = content
    for row in connection.execute(sa.select(issue_history)):
        found[row.number]["history"].append((row.position, row.instant, row.field, row.content))
    names = {row.id: row.name for row in connection.execute(sa.select(fact_names))}
    for row in connection.execute(sa.select(fact_rows)):
        fact = Fact(names[row.name], Kind(row.kind), row.folded, row.number, row.moment)
        found[row.issue]["facts"].add(fact)
    for row in connection.execute(sa.select(long_texts)):
        found[row.issue]["facts"].add(Fact(names[row.name], Kind.APART, row.folded))
    for term, number in connection.exec_driver_sql("SELECT term, doc FROM temp.every_word"):
        found[number]["words"].add(term)
    return {keys[number]: whole for number, whole in found.items()}


def expected(*items: Mapping[str, Any], tracker: str = "t") -> dict[tuple[str, str], dict[str, Any]]:
    """What the tables shall hold of issues."""
    found = {}
    for one in items:
        content = {name: value for name, value in one.items() if name != "history"}
        (taken,) = prepare_issues([one], tracker_id=tracker, **COMMON)
        found[tracker, one["_id"]] = {
            **taken.row,
            "content": content,
            "history": [
                (position, each["timestamp"], each["content"]["field"], each["content"])
                for position, each in enumerate(one.get("history", ()))
            ],
            "facts": build_facts(content),
            "words": set(extract_words(content).split()),
        }
    return found


def entry(at: int, after: str, *, field: str = "status") -> dict[str, Any]:
    return {"timestamp": at, "content": {**change("a", after)["content"], "field": field}}


def writes(connection: sa.Connection) -> list[tuple[str, int]]:
    """Note each statement that writes issues, with its number of rows, from now on."""
    noted: list[tuple[str, int]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        verb, *words = statement.split()
        if verb in {"INSERT", "UPDATE", "DELETE"}:
            table = next(word for word in words if word not in {"INTO", "FROM"})
            noted.append((f"{verb} {table}", len(parameters) if many else 1))

    sa.event.listen(connection, "before_cursor_execute", note)
    return noted


# What is prepared


def test_an_issue_is_taken_apart() -> None:
    past = [entry(7, "Defined"), entry(9, "d", field="owner")]
    given = item(1, description="A zebra", history=past)
    (one,) = prepare_issues([given], tracker_id="t", **COMMON)
    content = {name: value for name, value in given.items() if name != "history"}
    assert one.external_id == "1"
    assert one.content == content
    columns = {**COMMON, "tracker_id": "t", "external_id": "1", "changes": 2, "status_since": 7}
    assert {name: one.row[name] for name in columns} == columns
    assert [(at, field) for at, field, _ in one.history] == [(7, "status"), (9, "owner")]
    assert one.facts == build_facts(content)
    assert one.words == extract_words(content)


def test_of_an_issue_that_is_named_twice_the_last_one_counts() -> None:
    found = prepare_issues([item(1, name="first"), item(2), item(1, name="last")], **COMMON)
    assert [(one.external_id, one.row["name"]) for one in found] == [("1", "last"), ("2", "Sample story 2")]


def test_entries_without_an_instant_or_content_are_kept() -> None:
    (one,) = prepare_issues([item(1, history=[{"timestamp": None, "content": None}, {"content": {"field": None}}, {}])])
    assert one.history == [(0, "", "null"), (0, "", '{"field":null}'), (0, "", "null")]


@pytest.mark.parametrize("history", [None, [], ()])
def test_no_history_is_an_empty_one(history: Any) -> None:
    (one,) = prepare_issues([item(1, history=history)])
    assert (one.history, one.row["changes"]) == ([], 0)
    assert "history" not in one.content


# What is written

STATES: dict[str, dict[str, Any]] = {
    "as it was": {},
    "another fact": {"priority": "High"},
    "a fact less": {"type": ""},
    "other words": {"name": "A zebra"},
    "a longer history": {"history": [entry(7, "b"), entry(9, "c")]},
    "a shorter history": {"history": []},
    "a long text": {"description": LONG},
    "another long text": {"description": LONG + "b"},
    "two long texts of one name": {"comments": [{"comment": LONG, "user": "u"}, {"comment": LONG + "c", "user": "u"}]},
    "an object": {"project": {"key": "P", "name": "Sample project"}, "owner": "Ada", "storyPoints": 3},
    "another spelling": {"name": "SAMPLE story 1"},
    "what reads as a number": {"priority": "7"},
}


def sample(number: int, **more: Any) -> dict[str, Any]:
    return item(number, **{"history": [entry(7, "b")], **more})


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_an_upload_over_an_older_one_leaves_what_it_would_have_left_alone(
    connection: sa.Connection, state: dict[str, Any]
) -> None:
    take(connection, sample(1), sample(2))
    take(connection, sample(3), sample(1, **state))
    assert held(connection) == expected(sample(1, **state), sample(2), sample(3))
    take(connection, sample(1))
    assert held(connection) == expected(sample(1), sample(2), sample(3))


def test_an_issue_that_goes_from_state_to_state_leaves_nothing_of_the_one_before(connection: sa.Connection) -> None:
    for state in STATES.values():
        take(connection, sample(1, **state))
        assert held(connection) == expected(sample(1, **state))


def test_issues_of_several_trackers_do_not_meet(connection: sa.Connection) -> None:
    take(connection, item(1), item(2))
    take(connection, item(2, name="another"), item(3), tracker="u")
    assert held(connection) == expected(item(1), item(2)) | expected(item(2, name="another"), item(3), tracker="u")


def test_every_issue_has_a_number_of_its_own_and_keeps_it(connection: sa.Connection) -> None:
    def numbers() -> dict[str, int]:
        return {row.external_id: row.number for row in connection.execute(sa.select(issues))}

    take(connection, item(1), item(2))
    assert numbers() == {"1": 1, "2": 2}
    take(connection, item(3), item(1, name="another"), item(4))
    assert numbers() == {"1": 1, "2": 2, "3": 3, "4": 4}


def test_more_issues_and_more_names_than_one_query_may_have(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issue_writer, "KEYS_IN_A_QUERY", 2)
    take(connection, *(item(number) for number in range(5)))
    again = [item(number, name=f"again {number}") for number in range(6)]
    take(connection, *again)
    assert held(connection) == expected(*again)


def test_of_what_is_known_only_the_issues_of_the_upload_are_read_each_once(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issue_writer, "KEYS_IN_A_QUERY", 2)
    take(connection, *(item(number) for number in range(9)))
    read: dict[str, list[Any]] = {"issue_contents": [], "fact_names": []}

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        for table, noted in read.items():
            if statement.startswith("SELECT") and table in statement:
                noted.append(parameters)

    sa.event.listen(connection, "before_cursor_execute", note)
    take(connection, *(item(number) for number in range(5)))
    assert read == {"issue_contents": [("t", "0", "1"), ("t", "2", "3"), ("t", "4")], "fact_names": []}
    add_facts(connection, [(1, Fact(name, Kind.TEXT, "x")) for name in ("name", "priority", "status")])
    # The names that are there, and then the new one alone.
    assert read["fact_names"] == [("name", "priority"), ("status",), ("priority",)]


def test_what_is_known_is_not_written_again(connection: sa.Connection) -> None:
    take(connection, *(sample(number, description=LONG) for number in range(3)))
    noted = writes(connection)
    take(connection, *(sample(number, description=LONG) for number in range(3)))
    assert dict(noted) == {
        "UPDATE marks": 1,
        "UPDATE issues": 3,
        "DELETE issue_history": 3,
        "INSERT issue_history": 3,
    }


def test_only_facts_and_words_that_changed_are_written(connection: sa.Connection) -> None:
    take(connection, sample(1), sample(2))
    noted = writes(connection)
    take(connection, sample(1, priority="High"), sample(2))
    assert {name: rows for name, rows in noted if "fact" in name or "word" in name or "content" in name} == {
        "UPDATE issue_contents": 1,
        "INSERT fact_names": 1,
        "INSERT facts": 1,
    }
    noted.clear()
    take(connection, sample(1), sample(2, name="Sample story two"))
    assert {name: rows for name, rows in noted if "fact" in name or "word" in name or "content" in name} == {
        "UPDATE issue_contents": 2,
        "DELETE facts": 2,
        "INSERT facts": 1,
        "INSERT issue_words": 1,
    }


def test_each_upload_has_a_mark_of_its_own(connection: sa.Connection) -> None:
    take(connection, item(1), item(2))
    take(connection, item(2))
    take(connection, item(3))
    found = {row.external_id: row.mark for row in connection.execute(sa.select(issues))}
    assert found == {"1": 1, "2": 2, "3": 3}
    assert (read_counter(connection, ISSUES), read_counter(connection, REMOVALS)) == (3, 0)


def test_an_upload_of_nothing_writes_nothing_but_its_mark(connection: sa.Connection) -> None:
    noted = writes(connection)
    write_issues(connection, "t", [])
    assert {name for name, _ in noted} <= {"UPDATE marks", "INSERT marks"}
    assert held(connection) == {}


def test_facts_are_written_in_the_order_of_their_index(connection: sa.Connection) -> None:
    seen: list[Any] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(("INSERT INTO facts", "INSERT INTO long_texts")):
            seen.append(parameters)

    sa.event.listen(connection, "before_cursor_execute", note)
    told = [(number, Fact(name, Kind.APART, LONG + text)) for number in (2, 1) for name in "ba" for text in "ba"]
    told += [(number, Fact(name, Kind.TEXT, text)) for number in (2, 1) for name in "ba" for text in "ba"]
    add_facts(connection, told)
    assert [len(rows) for rows in seen] == [8, 8]
    assert all(rows == sorted(rows) for rows in seen)
    names = [row.name for row in connection.execute(sa.select(fact_names).order_by(fact_names.c.id))]
    assert names == ["a", "b"]


# What is removed


def sizes(connection: sa.Connection) -> dict[str, int]:
    tables = (issues, issue_contents, issue_history, fact_rows, long_texts)
    found = {
        each.name: connection.execute(sa.select(sa.func.count()).select_from(each)).scalar_one() for each in tables
    }
    return {**found, "words": connection.exec_driver_sql("SELECT count(*) FROM temp.every_word").scalar_one()}


NOTHING = dict.fromkeys(["issues", "issue_contents", "issue_history", "facts", "long_texts", "words"], 0)


def test_the_only_tracker_goes_at_once_and_leaves_nothing(connection: sa.Connection) -> None:
    take(connection, *(sample(number, description=LONG) for number in range(5)))
    assert 0 not in sizes(connection).values()
    assert remove_issues(connection, "t", until=read_counter(connection), most=2) is False
    assert sizes(connection) == NOTHING
    # And what comes later is as new.
    take(connection, sample(1))
    assert held(connection) == expected(sample(1))


def test_beside_others_a_tracker_goes_in_parts_and_leaves_them_whole(connection: sa.Connection) -> None:
    others = [sample(number, description=LONG, name="other") for number in range(3)]
    take(connection, *others, tracker="u")
    take(connection, *(sample(number, description=LONG, name=f"zebra {number}") for number in range(5)))
    until, left = read_counter(connection), []
    while remove_issues(connection, "t", until=until, most=2):
        left.append(len(held(connection)))
    assert left == [6, 4]
    assert held(connection) == expected(*others, tracker="u")


def test_what_is_exactly_as_much_as_one_part_may_have_more_behind_it(connection: sa.Connection) -> None:
    take(connection, item(1), tracker="u")
    take(connection, item(1), item(2))
    assert remove_issues(connection, "t", until=read_counter(connection), most=2) is True
    assert remove_issues(connection, "t", until=read_counter(connection), most=2) is False
    assert held(connection) == expected(item(1), tracker="u")


def test_what_came_after_the_mark_stays(connection: sa.Connection) -> None:
    take(connection, item(1), item(2))
    until = read_counter(connection)
    take(connection, item(2, name="again"), item(3))
    assert remove_issues(connection, "t", until=until, most=9) is False
    assert held(connection) == expected(item(2, name="again"), item(3))


def test_a_tracker_without_issues_takes_nothing_along(connection: sa.Connection) -> None:
    take(connection, item(1), tracker="u")
    assert remove_issues(connection, "t", until=read_counter(connection), most=2) is False
    assert held(connection) == expected(item(1), tracker="u")


@pytest.mark.parametrize("tracker", ["t", "u"])
def test_a_removal_is_a_change_of_issues_and_a_removal(connection: sa.Connection, tracker: str) -> None:
    take(connection, item(1))
    before = read_counter(connection, ISSUES)
    remove_issues(connection, tracker, until=before, most=1)
    assert (read_counter(connection, ISSUES), read_counter(connection, REMOVALS)) == (before + 1, 1)


def test_texts_of_one_name_are_told_apart_in_63_bits() -> None:
    found = {issue_writer._hash_text(f"text {number}") for number in range(100)}
    assert len(found) == 100
    assert all(0 <= each < 1 << 63 for each in found)
    # What is stored must be found again by later versions.
    assert issue_writer._hash_text("\u00e4") == 8_657_851_361_613_172_764
