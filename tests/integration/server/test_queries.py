"""The fast path of queries is equal to what they mean: on real SQLite, for generated queries and generated issues."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rally_accelerate.dql.ast import And, Not, Or, Query
from rally_accelerate.dql.evaluator import matches
from rally_accelerate.dql.parser import parse
from rally_accelerate.errors import QueryError
from rally_accelerate.server.store import sqlite
from rally_accelerate.server.store.issue_sets import from_numbers, iterate_numbers
from rally_accelerate.server.store.issue_writer import prepare_issues, read_counter, write_issues
from rally_accelerate.server.store.query_evaluator import QueryEvaluator
from rally_accelerate.server.store.tables import issue_contents, issues, metadata
from support.issues import item

NOW = datetime(2026, 3, 10, 12, 0, 0, 123_456, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
DAY_MS = 86_400_000

#: Texts that fold, read or compare in surprising ways.
TEXTS = st.sampled_from(
    [
        "",
        "Red",
        "red",
        "RED ",
        "straße",
        "STRASSE",
        "İx",
        "i̇x",
        "\u017f",  # the long s folds to s
        "s",
        "\u212a",  # the Kelvin sign folds to k
        "k",
        "Übung",
        "2026-03-10",
        "2026-03-10T11:00:00Z",
        "2026-03-10t11:00:00Z",
        "2026-03-10T12:00:00+01:00",
        "2026-02-30",
        "3",
        "3.0",
        "03",
        " 3 ",
        "1_000",
        "1e3",
        "-0",
        "nan",
        "inf",
        "1e999",
        "True",
        "false",
        "None",
        "a%b",
        "a_b",
        "a/b",
        "a\\b",
        'a"b',
        "a'b",
        "a\0b",
        "x" * 201,
        "x" * 200,
        "1" * 201,
        "k" * 150 + " \u212a" * 150,
        "😀",
        # What looks alike and is compared as one.
        "a\u00a0b",
        "a b",
        "re\u200bd",
        "\u200b",
        "a\u2011b",
        "a\u2013b",
        "a-b",
        "a\u2019b",
        "\uff32\uff45\uff44",
        "\u201cx\u201d",
        "\uffff",
        "[1, 2]",
    ]
)
NUMBERS = (
    st.sampled_from(
        [0, 1, 2, 3, 3.0, -0.0, 0.5, 1000, NOW_MS, NOW_MS - DAY_MS, 2**53, 2**53 + 1, -(2**60), 1e22, 5e-324]
    )
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
)
KEYS = st.sampled_from(["a", "A", "b", "name", "Name", "id", "key", "count", "Count", "ß", "ss", "x.y", "", "owner"])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
NAMED = st.fixed_dictionaries(
    {"id": TEXTS, "name": TEXTS.filter(bool)}, optional={"active": st.booleans(), "url": TEXTS}
)
INSTANTS = st.sampled_from([0, NOW_MS, NOW_MS - DAY_MS, NOW_MS - DAY_MS - 1, NOW_MS - 30 * DAY_MS, -1]) | st.integers(
    -62_135_596_800_000, 253_402_300_799_999
)
ENTRIES = st.fixed_dictionaries(
    {"timestamp": INSTANTS, "content": st.fixed_dictionaries({"field": TEXTS, "from": JSON, "to": JSON})}
)
FIELDS = st.fixed_dictionaries(
    {"status": TEXTS, "type": TEXTS, "created": INSTANTS, "lastUpdate": INSTANTS},
    optional={
        "priority": TEXTS | st.none(),
        "owner": TEXTS | st.none(),
        "storyPoints": st.none() | st.floats(-10, 10) | st.sampled_from([0.0, 3.0]),
        "labels": st.none() | st.lists(TEXTS, max_size=3),
        "components": st.lists(TEXTS, max_size=2),
        "sprints": st.none() | st.lists(NAMED, max_size=2),
        "releases": st.lists(NAMED, max_size=2),
        "relations": st.lists(st.fixed_dictionaries({"id": TEXTS, "type": TEXTS}), max_size=2),
        "comments": st.none()
        | st.lists(st.fixed_dictionaries({"comment": TEXTS}, optional={"user": TEXTS | st.none()}), max_size=2),
        "project": st.none() | st.dictionaries(st.sampled_from(["id", "key", "name"]), TEXTS | st.none(), max_size=3),
        "description": TEXTS,
        "epic": TEXTS,
        "rawIssue": JSON,
        "extended": JSON,
        "other": JSON,
        "Other": JSON,
        "history": st.lists(ENTRIES, max_size=3),
    },
)
NAMES = (
    "id _id name status STATUS type priority owner creator created lastUpdate lastupdate created.count storyPoints "
    "storyPoints.count labels labels.count labels.Count components.count sprints sprints.name sprints.id "
    "sprints.active sprints.url sprints.count sprints.name.count releases releases.name relations.id relations.type "
    "relations.count comments comments.comment comments.user comments.id comments.user.x comments.count project project.name project.key project.x.count "
    "description description.count url epic epic.count history history.count history.Count history.timestamp "
    "history.content.field history.content.to rawIssue rawIssue.count rawIssue.a rawIssue.A rawIssue.b rawIssue.ß "
    "rawIssue.ss rawIssue.name rawIssue.count.a rawIssue.a.count rawIssue.a.a rawIssue.a.a.count rawIssue.a.name "
    "rawIssue.nosuch.count extended extended.a extended.b.count other other.count other.a other.a.count Other.a "
    "nosuch nosuch.count nosuch.a.count versionIds.count"
)
PATHS = st.sampled_from(NAMES.split())
VALUES = st.sampled_from(
    ["1d", "30d", "0d", "2w", "999999w", "3", "3.0", "-1", ".5", "1000", "2026-03-10", str(NOW_MS), "true", "red", "k"]
) | TEXTS.map(lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'")
COMPARED = st.builds(
    "{}.{} {} {}".format,
    st.sampled_from(["issue"] * 9 + ["pr"]),
    PATHS,
    st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "contains"]),
    VALUES,
)
AMONG = st.builds(
    "issue.{} {} ({})".format,
    PATHS,
    st.sampled_from(["in", "not in"]),
    st.lists(VALUES, min_size=1, max_size=3).map(", ".join),
)


def parsed(text: str) -> Query | None:
    """Return the tree of a generated query, or None if it is refused because its values cannot match."""
    try:
        return parse(text)
    except QueryError:
        return None


QUERIES = st.recursive(
    (COMPARED | AMONG).map(parsed).filter(lambda query: query is not None),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: And(tuple(found)))
        | st.lists(inner, max_size=3).map(lambda found: Or(tuple(found)))
        | inner.map(Not)
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[sa.Engine]:
    """A database with the store's tables."""
    made = sa.create_engine("sqlite://", json_serializer=sqlite.to_json, json_deserializer=orjson.loads)
    sa.event.listen(made, "connect", sqlite.prepare)
    sa.event.listen(made, "begin", sqlite.begin)
    metadata.create_all(made)
    yield made
    made.dispose()


def matching(
    connection: sa.Connection, query: Query, *, now: datetime, answers: QueryEvaluator | None = None
) -> set[int]:
    """The numbers of all issues that match a query."""
    numbers = connection.execute(sa.select(issues.c.number)).scalars().all()
    everything = from_numbers(numbers, max(numbers, default=0) + 1)
    seen = read_counter(connection)
    return set(
        iterate_numbers((answers or QueryEvaluator()).evaluate(connection, query, everything, mark=seen, now=now))
    )


def called(connection: sa.Connection) -> dict[int, str]:
    """The ids of all issues by their numbers."""
    rows = connection.execute(sa.select(issues.c.number, issues.c.external_id)).all()
    return {row.number: row.external_id for row in rows}


def found_and_meant(connection: sa.Connection, query: Query, history: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The issues that SQL finds, and those that are meant, by their ids."""
    rows = connection.execute(
        sa.select(issues.c.number, issues.c.external_id, issue_contents.c.content).join(
            issue_contents, issue_contents.c.number == issues.c.number
        )
    ).all()
    found = set(matching(connection, query, now=NOW))
    meant = {
        row.external_id for row in rows if matches(query, {**row.content, "history": history[row.external_id]}, now=NOW)
    }
    return {row.external_id for row in rows if row.number in found}, meant


#: What queries look at, of all issues.
TOLD = "SELECT name, folded, kind FROM facts UNION ALL SELECT name, folded, part FROM long_texts"

#: Explaining a fault takes longer than finding it.
QUICK = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


@settings(QUICK, max_examples=200)
@given(st.lists(FIELDS, min_size=1, max_size=4), st.lists(QUERIES, min_size=1, max_size=6))
def test_sql_finds_what_is_meant(engine: sa.Engine, given: list[dict[str, Any]], queries: list[Query]) -> None:
    items = [{**item(number), **more} for number, more in enumerate(given)]
    history = {each["_id"]: each.get("history") or [] for each in items}
    with engine.connect() as connection:
        write_issues(connection, "t", prepare_issues(items, source="R", tenant_id="n", tracker_id="t", uploaded=1))
        for query in queries:
            found, meant = found_and_meant(connection, query, history)
            assert found == meant, query
        connection.rollback()


@settings(QUICK, max_examples=60)
@given(st.lists(FIELDS, min_size=2, max_size=2), st.lists(QUERIES, min_size=1, max_size=4))
def test_nothing_of_an_older_upload_is_found_after_a_newer_one(
    engine: sa.Engine, given: list[dict[str, Any]], queries: list[Query]
) -> None:
    with engine.connect() as connection:
        for more in given:
            items = [{**item(1), **more}]
            write_issues(connection, "t", prepare_issues(items, source="R", tenant_id="n", tracker_id="t", uploaded=1))
        for query in queries:
            found, meant = found_and_meant(connection, query, {"1": given[-1].get("history") or []})
            assert found == meant, query
        facts = connection.exec_driver_sql(TOLD).all()
        connection.rollback()
    with engine.connect() as connection:
        write_issues(connection, "t", prepare_issues(items, source="R", tenant_id="n", tracker_id="t", uploaded=1))
        alone = connection.exec_driver_sql(TOLD).all()
        connection.rollback()
    assert len(facts) == len(alone)


@settings(QUICK, max_examples=100)
@given(
    st.lists(st.lists(FIELDS, min_size=1, max_size=3), min_size=2, max_size=3),
    st.lists(QUERIES, min_size=1, max_size=4),
)
def test_what_is_kept_of_an_answer_follows_the_uploads(
    engine: sa.Engine, uploads: list[list[dict[str, Any]]], queries: list[Query]
) -> None:
    answers = QueryEvaluator()
    there: dict[str, dict[str, Any]] = {}
    with engine.connect() as connection:
        for first, given in enumerate(uploads):
            # Each upload changes issues of the one before, and brings one more.
            items = [{**item(first + number), **more} for number, more in enumerate(given)]
            there |= {each["_id"]: each for each in items}
            write_issues(connection, "t", prepare_issues(items, source="R", tenant_id="n", tracker_id="t", uploaded=1))
            names = called(connection)
            for query in queries:
                found = {names[number] for number in matching(connection, query, now=NOW, answers=answers)}
                assert found == {key for key, each in there.items() if matches(query, each, now=NOW)}, query
        connection.rollback()


@pytest.mark.parametrize("few", [0, 10_000])
def test_what_facts_do_not_tell_is_asked_of_the_issues_that_are_left(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("rally_accelerate.server.store.query_evaluator.SMALL_SET_SIZE", few)
    said = [{"id": "one two", "comment": "x"}]
    items = [item(number, status=status, comments=said) for number, status in enumerate(("A", "B", "A"))]
    query = parse("issue.comments.id contains 'e tw' and issue.status = A")
    with engine.connect() as connection:
        write_issues(connection, "t", prepare_issues(items, source="R", tenant_id="n", tracker_id="t", uploaded=1))
        names = called(connection)
        assert {names[number] for number in matching(connection, query, now=NOW)} == {"0", "2"}
        connection.rollback()


@pytest.mark.parametrize(
    "text",
    [
        "issue.status = 'In Progress'",
        "issue.type in (Story, Defect) and issue.owner != ann",
        "issue.project.name = P or issue.sprints.name = S",
        "not (issue.priority = High and issue.labels = red)",
        "issue.releases.name = R and issue.id = US1",
        "issue.created < 30d and issue.lastUpdate > 1d and issue.storyPoints >= 3",
        "issue.description contains 'log in' and not (issue.comments.comment contains later)",
        "issue.rawIssue.Notes contains 'a note'",
        "issue.comments.user = ann or issue.relations.type = PARENT",
    ],
)
def test_common_queries_ask_indexes_and_no_issue_one_by_one(engine: sa.Engine, text: str) -> None:
    longer = item(1, description="to log in", comments=[{"comment": "x"}], rawIssue={"Notes": "a note " * 50})
    with engine.connect() as connection:
        write_issues(connection, "t", prepare_issues([longer], source="R", tenant_id="n", tracker_id="t", uploaded=1))
        asked: list[str] = []

        def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
            asked.append(statement)

        sa.event.listen(engine, "before_cursor_execute", note)
        matching(connection, parse(text), now=NOW)
        sa.event.remove(engine, "before_cursor_execute", note)
        connection.rollback()
    assert not [each for each in asked if "dql_matches" in each or "issue_contents" in each]


def test_ages_are_counted_to_the_millisecond(engine: sa.Engine) -> None:
    items = [item(number, created=NOW_MS - DAY_MS + number - 3, lastUpdate=NOW_MS) for number in range(6)]
    with engine.connect() as connection:
        write_issues(connection, "t", prepare_issues(items, source="R", tenant_id="n", tracker_id="t", uploaded=1))
        for text in ("issue.created < 1d", "issue.created <= 1d", "issue.created > 1d", "issue.created >= 1d"):
            for now in (NOW, NOW + timedelta(microseconds=500)):
                found = set(matching(connection, parse(text), now=now))
                assert len(found) == sum(matches(parse(text), each, now=now) for each in items)
        connection.rollback()
