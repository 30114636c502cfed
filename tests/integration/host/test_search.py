"""Searching the store: every field, every order, page by page."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rally_accelerate.dql.parse import parse
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.issues import Issues
from rally_accelerate.host.store.search import FACETS, Search, Sort, Wanted
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
    await Issues(database).take(source="RALLY", tracker_id="t", tenant_id="n", items=items)
    yield Search(database)
    await database.close()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), "12345"),
        (Wanted(tenant_id="n"), "12345"),
        (Wanted(tenant_id="other"), ""),
        (Wanted(tracker_ids=("t",)), "12345"),
        (Wanted(types=("Defect",)), "3"),
        (Wanted(types=("Defect", "Story"), owners=("Ann",)), "13"),
        (Wanted(statuses=("Done",)), "2"),
        (Wanted(priorities=("High",)), "1"),
        (Wanted(projects=("P",)), "3"),
        (Wanted(sprints=("Sprint 1",)), "2"),
        (Wanted(releases=("R1",)), "3"),
        (Wanted(labels=("red",)), "14"),
        (Wanted(text="übung"), "1"),
        (Wanted(text="zebra"), "4"),
        (Wanted(text="US3"), "3"),
        (Wanted(queries=(parse("issue.rawIssue.risk = high"),)), "2"),
        (Wanted(queries=(parse("issue.owner = ann"), parse("issue.type = defect"))), "3"),
    ],
)
async def test_a_search_finds_what_it_says(search: Search, wanted: Wanted, expected: str) -> None:
    found = await search.page(wanted, now=NOW, sort=Sort.UPDATED, descending=False)
    assert "".join(row.external_id for row in found.rows) == expected
    assert found.after == ""
    assert await search.count(wanted, now=NOW) == len(expected)


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("descending", [True, False])
async def test_pages_hold_each_issue_once_in_order_and_what_has_no_value_last(
    search: Search, sort: Sort, descending: bool
) -> None:
    whole = (await search.page(Wanted(), now=NOW, sort=sort, descending=descending)).rows
    found, after = [], ""
    for _ in range(3):
        some = await search.page(Wanted(), now=NOW, sort=sort, descending=descending, after=after, limit=2)
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
    found = await search.facets(Wanted(owners=("Ann",)), now=NOW)
    assert tuple(found) == FACETS
    assert sorted(found["type"]) == [("Defect", 1), ("Story", 1)]
    assert found["owner"] == [("Ann", 2)]
    assert found["release"] == [("R1", 1)]
    assert found["sprint"] == []


async def test_a_stage_tells_how_long_its_issues_stand_in_it(search: Search) -> None:
    stage = await search.stage(Wanted(queries=(parse("issue.status = Defined and issue.owner != Ann"),)), now=NOW)
    assert stage.count == 2
    assert [row.external_id for row in stage.dots] == ["5", "4"]
    assert stage.average_age_ms == (99_950_000 + 100_000_000) / 2
    assert (await search.stage(Wanted(statuses=("nowhere",)), now=NOW)).average_age_ms is None


async def test_every_upload_and_removal_raises_the_mark(search: Search) -> None:
    store = Issues(search._database)
    before = await search.change_mark()
    await store.take(source="RALLY", tracker_id="t", tenant_id="n", items=[item(9)])
    between = await search.change_mark()
    await store.remove("t")
    assert before < between < await search.change_mark()
