"""Searching the store: every field, every order, page by page."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.dql.parser import parse
from rally_accelerate.server.store import pagination
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.issue_search import FACETS, IssueFilter, IssueRow, Search, Sort
from rally_accelerate.server.store.issue_writer import extract_words, parse_search_words
from rally_accelerate.server.store.issues import Issues
from rally_accelerate.server.store.tables import issues
from support.issues import change, item

NOW = datetime.fromtimestamp(1_700_100_000, UTC)


@pytest.fixture
async def search(tmp_path: Path) -> AsyncIterator[Search]:
    """Five issues."""
    database = await Database.open(tmp_path / "x.sqlite")
    items = [
        item(1, priority="High", owner="Ann", labels=["Red", "blue"], storyPoints=3.0, description="The Übung fails"),
        item(2, owner="Bob", sprints=[{"id": "1", "name": "Sprint 1"}], status="Done", rawIssue={"Risk": "High"}),
        item(3, owner="Ann", releases=[{"id": "1", "name": "R1"}], type="Defect", project={"name": "P", "key": "7"}),
        item(4, labels=["RED"], comments=[{"comment": "like a Zebra"}], storyPoints=1.0),
        item(5, history=[{**change("a", "Defined"), "timestamp": 1_700_000_050_000}]),
    ]
    await Issues(database).store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=items)
    yield Search(database)
    await database.close()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (IssueFilter(), "12345"),
        (IssueFilter(tenant_id="n"), "12345"),
        (IssueFilter(tenant_id="other"), ""),
        (IssueFilter(tracker_ids=("t",)), "12345"),
        (IssueFilter(types=("Defect",)), "3"),
        (IssueFilter(types=("Defect", "Story"), owners=("Ann",)), "13"),
        (IssueFilter(statuses=("Done",)), "2"),
        (IssueFilter(priorities=("High",)), "1"),
        (IssueFilter(projects=("P",)), "3"),
        (IssueFilter(sprints=("Sprint 1",)), "2"),
        (IssueFilter(releases=("R1",)), "3"),
        (IssueFilter(labels=("red",)), "14"),
        (IssueFilter(text="übung"), "1"),
        (IssueFilter(text="zebra"), "4"),
        (IssueFilter(text="US3"), "3"),
        (IssueFilter(queries=(parse("issue.rawIssue.risk = high"),)), "2"),
        (IssueFilter(queries=(parse("issue.owner = ann"), parse("issue.type = defect"))), "3"),
    ],
)
async def test_a_search_finds_what_it_says(search: Search, wanted: IssueFilter, expected: str) -> None:
    found = await search.page(wanted, now=NOW, sort=Sort.UPDATED, descending=False)
    assert "".join(row.external_id for row in found.rows) == expected
    assert found.after == ""
    assert await search.count(wanted, now=NOW) == len(expected)


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("descending", [True, False])
async def test_pages_hold_each_issue_once_in_order_and_what_has_no_value_last(
    search: Search, sort: Sort, descending: bool
) -> None:
    whole = (await search.page(IssueFilter(), now=NOW, sort=sort, descending=descending)).rows
    found, after = [], ""
    for _ in range(3):
        some = await search.page(IssueFilter(), now=NOW, sort=sort, descending=descending, after=after, limit=2)
        found += some.rows
        after = some.after
    assert after == ""
    assert found == whole
    assert len(found) == 5
    if sort is Sort.POINTS:
        assert [row.story_points for row in whole][:2] == ([3.0, 1.0] if descending else [1.0, 3.0])
        assert [row.story_points for row in whole][2:] == [None] * 3
    if sort is Sort.AGE:
        assert whole[-1 if descending else 0].external_id == "5"


async def test_facets_count_the_values_of_what_was_found(search: Search) -> None:
    found = await search.count_facets(IssueFilter(owners=("Ann",)), now=NOW)
    assert tuple(found) == FACETS
    assert sorted(found["type"]) == [("Defect", 1), ("Story", 1)]
    assert found["owner"] == [("Ann", 2)]
    assert found["release"] == [("R1", 1)]
    assert found["sprint"] == []


async def test_a_stage_tells_how_long_its_issues_stand_in_it(search: Search) -> None:
    stage = await search.summarize_stage(
        IssueFilter(queries=(parse("issue.status = Defined and issue.owner != Ann"),)), now=NOW
    )
    assert stage.count == 2
    assert [row.external_id for row in stage.dots] == ["5", "4"]
    assert stage.average_age_ms == (99_950_000 + 100_000_000) / 2
    assert (await search.summarize_stage(IssueFilter(statuses=("nowhere",)), now=NOW)).average_age_ms is None


async def test_every_upload_and_removal_raises_the_mark(search: Search) -> None:
    store = Issues(search._database)
    before = await search.read_change_counter()
    await store.store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=[item(9)])
    between = await search.read_change_counter()
    await store.remove("t")
    assert before < between < await search.read_change_counter()


TYPED = [
    '"',
    "'",
    "*",
    "AND",
    "a AND",
    "(",
    ")",
    "NEAR(b c)",
    "{q}",
    "\0",
    "\\",
    "🦓",
    "a" * 9000,
    "OR OR",
    "q:w",
    "^q",
    "-q",
    "-",
]


@pytest.mark.parametrize("text", TYPED)
async def test_whatever_people_type_is_words_and_no_syntax(search: Search, text: str) -> None:
    assert await search.count(IssueFilter(text=text), now=NOW) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SAMPLE sto", "12345"),
        ("ubung", "1"),
        ("ÜBUNG*", "1"),
        ("(zebra)", "4"),
        ("zebra übung", ""),
        ("ann", "13"),
        ("blue", "1"),
    ],
)
async def test_words_are_found_by_their_beginnings_whatever_their_case_and_accents(
    search: Search, text: str, expected: str
) -> None:
    found = await search.page(IssueFilter(text=text), now=NOW, descending=False)
    assert "".join(row.external_id for row in found.rows) == expected


async def test_the_issue_of_which_the_text_is_the_id_comes_first_and_once(search: Search) -> None:
    store = Issues(search._database)
    more = [item(number, name=f"like US1 number {number}") for number in range(10, 20)]
    await store.store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=more)
    found, after = [], ""
    for _ in range(6):
        some = await search.page(IssueFilter(text="us1"), now=NOW, after=after, limit=2)
        found += [row.display_id for row in some.rows]
        after = some.after
    assert found == ["US1", *(f"US{number}" for number in range(19, 9, -1))]
    assert after == ""


@given(st.text(max_size=40))
def test_words_are_split_alike_for_the_index_and_for_the_question(text: str) -> None:
    words = extract_words({"id": "US1", "name": text}).split(" ")
    assert set(parse_search_words(text)) <= set(words)
    assert all(word.isalnum() for word in parse_search_words(text))


@pytest.mark.parametrize("sort", Sort)
async def test_a_key_that_somebody_made_up_or_of_another_order_begins_at_the_first_page(
    search: Search, sort: Sort
) -> None:
    whole = await search.page(IssueFilter(), now=NOW, sort=sort)
    other = (await search.page(IssueFilter(), now=NOW, sort=sort, descending=False, limit=2)).after
    values: list[Any] = [{}, None, True, 10**30, [1]]
    inside = [
        [*json.loads(base64.urlsafe_b64decode(other + "=="))[:1], True, 1, value, number]
        for value in values
        for number in (0, -1, 10**30, "x")
    ]
    made_up = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in inside]
    for key in (other, "x", "é", "\0", "a" * 5000, "W10", *made_up):
        assert (await search.page(IssueFilter(), now=NOW, sort=sort, after=key)).rows == whole.rows
        await search.page(IssueFilter(statuses=("Defined",)), now=NOW, sort=sort, after=key)


async def test_large_sets_are_paged_as_small_ones_are(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = IssueFilter(statuses=("Defined",))
    for sort in Sort:
        for descending in (True, False):
            found: dict[int, list[IssueRow]] = {}
            for few in (0, 10_000):
                monkeypatch.setattr(pagination, "SMALL_SET_SIZE", few)
                found[few], after = [], ""
                for _ in range(4):
                    some = await search.page(wanted, now=NOW, sort=sort, descending=descending, after=after, limit=1)
                    found[few] += some.rows
                    after = some.after
            assert found[0] == found[10_000]
            assert {row.external_id for row in found[0]} == set("1345")


async def test_what_was_counted_is_counted_anew_when_issues_changed_or_are_gone(search: Search) -> None:
    store = Issues(search._database)
    is_done = IssueFilter(queries=(parse("issue.status = done"),))
    assert await search.count(is_done, now=NOW) == 1
    await store.store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=[item(1, status="Done")])
    await store.store_upload(
        source="RALLY", tracker_id="u", tenant_id="n", items=[item(1, status="Done", name="a zebra")]
    )
    assert await search.count(is_done, now=NOW) == 3
    assert dict((await search.count_facets(IssueFilter(), now=NOW, fields=("status",)))["status"]) == {
        "Done": 3,
        "Defined": 3,
    }
    await store.remove("t")
    assert await search.count(is_done, now=NOW) == await search.count(IssueFilter(), now=NOW) == 1
    assert await search.count(IssueFilter(text="zebra"), now=NOW) == 1
    assert await search.count_facets(IssueFilter(), now=NOW, fields=("status",)) == {"status": [("Done", 1)]}
    await store.remove("u")
    assert await search.count(IssueFilter(), now=NOW) == await search.count(IssueFilter(text="zebra"), now=NOW) == 0


async def test_pages_are_read_while_somebody_writes_for_long(search: Search) -> None:
    store = Issues(search._database)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def write_for_long() -> None:
        async with search._database.writing() as connection:
            await connection.execute(sa.update(issues).values(status="Written"))
            begun.set()
            await ended.wait()

    writer = asyncio.create_task(write_for_long())
    await begun.wait()
    upload = asyncio.create_task(store.store_upload(source="R", tracker_id="t", tenant_id="n", items=[item(9)]))
    for _ in range(20):
        assert {row.status for row in (await search.page(IssueFilter(), now=NOW)).rows} == {"Defined", "Done"}
        assert await search.count(IssueFilter(text="zebra", statuses=("Defined",)), now=NOW) == 1
        assert (await store.get("t", "1")) is not None
    assert not upload.done()
    ended.set()
    await asyncio.gather(writer, upload)
    assert await search.count(IssueFilter(), now=NOW) == 6


async def test_an_issue_that_loses_its_values_is_found_by_none_of_them(search: Search) -> None:
    store = Issues(search._database)
    await store.store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=[item(1)])
    for wanted in (
        IssueFilter(labels=("red",), owners=("Ann",)),
        IssueFilter(text="übung"),
        IssueFilter(queries=(parse("issue.labels = blue or issue.priority = high or issue.storyPoints = 3"),)),
    ):
        assert await search.count(wanted, now=NOW) == 0


async def test_numbers_that_are_given_again_after_a_removal_are_of_other_issues(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.sqlite")
    store, search = Issues(database), Search(database)
    wanted = IssueFilter(queries=(parse("issue.owner = ann"),))

    async def upload(tracker: str, *owners: str) -> None:
        items = [item(number, owner=owner) for number, owner in enumerate(owners)]
        await store.store_upload(source="R", tracker_id=tracker, tenant_id="n", items=items)

    await upload("a", "Ann", "Bob")
    await upload("b", "Ann", "Ann", "Bob")
    assert await search.count(wanted, now=NOW) == 3
    await store.remove("b")
    assert await search.count(wanted, now=NOW) == 1
    await upload("c", "Bob", "Bob", "Ann", "Ann")
    assert await search.count(wanted, now=NOW) == 3
    assert await search.count(IssueFilter(queries=(parse("issue.owner != ann"),)), now=NOW) == 3
    await database.close()
