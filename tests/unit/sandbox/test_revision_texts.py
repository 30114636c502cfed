"""Revision texts follow the grammar, and the shapes tell the truth about them (rally-api-notes.md#revision-texts)."""

import re
from datetime import UTC, datetime

import pytest

from rally_sandbox.clock import Clock, format_iso, format_mountain_time, from_datetime, parse_instant, to_datetime
from rally_sandbox.item_columns import KINDS
from rally_sandbox.query import parse_query
from rally_sandbox.revision_search import match_shapes
from rally_sandbox.revision_text import LABELS, format_clause, format_description
from rally_sandbox.world import World

NOW = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)

_LABEL = "|".join(sorted(map(re.escape, LABELS.values()), key=len, reverse=True))
_CLAUSE = rf"(?:{_LABEL}) (?:changed from \[.*?\] to \[.*?\]|changed to \[.*?\]|added \[.*?\]|removed \[.*?\])"
_TEXT = re.compile(
    rf"Original revision|Moved to Recycle Bin|Recovered from Recycle Bin"
    rf"|(?:RANK moved (?:up|down)|{_CLAUSE})(?:, (?:RANK moved (?:up|down)|{_CLAUSE}))*",
    re.DOTALL,
)


def make(seed: int, items: int = 150) -> World:
    return World.create(seed, items, clock=Clock.frozen(NOW))


@pytest.mark.parametrize("seed", [3, 7, 99])
def test_every_text_follows_the_grammar(seed: int) -> None:
    world = make(seed)
    world.work(100)
    for kind in KINDS:
        for row in world.items(kind):
            for change in row["changes"]:
                assert _TEXT.fullmatch(change["text"]), change["text"]
                assert len(change["text"]) <= 4000


@pytest.mark.parametrize("seed", [3, 7, 99])
def test_shapes_know_how_each_clause_begins(seed: int) -> None:
    world = make(seed, 400)
    for index in range(400):
        item = world.item(index)
        shape = world.shapes.shapes[world.columns.shape[index]]
        assert len(shape.clause_prefixes) == len(item.changes)
        for beginnings, change in zip(shape.clause_prefixes, item.changes, strict=True):
            text = world.text(change)
            place = 0
            for beginning in sorted(beginnings, key=text.find):
                found = text.find(beginning, place)
                assert found >= 0, (beginning, text)
                place = found + 1


@pytest.mark.parametrize(
    "query",
    [
        '(Description contains "SCHEDULE STATE")',
        '(Description contains "schedule state changed")',
        '(Description !contains "RANK moved")',
        '((Description contains "OWNER") OR (Description contains "Original revision"))',
        "(RevisionNumber = 0)",
        '((Description contains "STATE") AND (RevisionNumber > 2))',
    ],
)
def test_shapes_know_which_rows_are_wanted(query: str) -> None:
    world = make(7, 200)
    numbers = match_shapes(world, [parse_query(query)])
    assert numbers is not None
    wanted = _python(query)
    for index in range(200):
        rows = [change.number for change in world.item(index).changes if wanted(change.number, world.text(change))]
        assert list(numbers[world.columns.shape[index]]) == rows


def _python(query: str):  # type: ignore[no-untyped-def]  # a lambda per case says it best  # noqa: ANN202
    return {
        '(Description contains "SCHEDULE STATE")': lambda _, text: "SCHEDULE STATE" in text,
        '(Description contains "schedule state changed")': lambda _, text: "SCHEDULE STATE changed" in text,
        '(Description !contains "RANK moved")': lambda _, text: "RANK moved" not in text,
        '((Description contains "OWNER") OR (Description contains "Original revision"))': lambda _, text: (
            "OWNER" in text or text == "Original revision"
        ),
        "(RevisionNumber = 0)": lambda number, _: number == 0,
        '((Description contains "STATE") AND (RevisionNumber > 2))': lambda number, text: (
            "state" in text.casefold() and number > 2
        ),
    }[query]


@pytest.mark.parametrize("text", ["to [", "Sample", "as CSV", "Sprint 01", "no such label", "[", "Mon"])
def test_words_that_values_may_hold_are_never_counted_by_shape(text: str) -> None:
    assert match_shapes(make(7, 20), [parse_query(f'(Description contains "{text}")')]) is None


def test_dates_in_texts_are_in_the_servers_zone() -> None:
    """In rally-api-notes.md#revision-texts, 15:03:16 MDT matches 21:03:16.145Z; and the two nights of the year."""
    assert (
        format_mountain_time(from_datetime(datetime(2018, 9, 11, 21, 3, 16, 145000, UTC)))
        == "Tue Sep 11 15:03:16 MDT 2018"
    )
    assert (
        format_mountain_time(from_datetime(datetime(2026, 3, 8, 8, 59, 59, tzinfo=UTC)))
        == "Sun Mar 08 01:59:59 MST 2026"
    )
    assert (
        format_mountain_time(from_datetime(datetime(2026, 3, 8, 9, 0, 0, tzinfo=UTC))) == "Sun Mar 08 03:00:00 MDT 2026"
    )
    assert (
        format_mountain_time(from_datetime(datetime(2026, 11, 1, 7, 59, 59, tzinfo=UTC)))
        == "Sun Nov 01 01:59:59 MDT 2026"
    )
    assert (
        format_mountain_time(from_datetime(datetime(2026, 11, 1, 8, 0, 0, tzinfo=UTC)))
        == "Sun Nov 01 01:00:00 MST 2026"
    )
    assert (
        format_mountain_time(from_datetime(datetime(2027, 1, 1, 3, 0, 0, tzinfo=UTC))) == "Thu Dec 31 20:00:00 MST 2026"
    )


def test_moments_are_written_and_read() -> None:
    moment = datetime(2017, 3, 16, 17, 23, 6, 674000, UTC)
    assert format_iso(from_datetime(moment)) == "2017-03-16T17:23:06.674Z"
    assert to_datetime(from_datetime(moment)) == moment
    assert parse_instant("2017-03-16T17:23:06.674Z") == from_datetime(moment)
    assert parse_instant("2017-03-16T10:23:06.674-07:00") == from_datetime(moment)
    assert parse_instant("2017-03-16") == from_datetime(datetime(2017, 3, 16, tzinfo=UTC))
    assert parse_instant("yesterday") is None


def test_clauses_read_like_the_captured_ones() -> None:
    assert format_clause("Blocked", True, False, name_of=str) == "BLOCKED changed from [true] to [false]"
    assert format_clause("ToDo", 1.0, 0.0, name_of=str) == "TO DO changed from [1.0] to [0.0]"
    assert (
        format_clause("BlockedReason", None, "waiting for API", name_of=str)
        == "BLOCKED REASON changed to [waiting for API]"
    )
    assert (
        format_clause("Notes", "<p>&nbsp;</p>", "Something", name_of=str)
        == "NOTES changed from [<p>&nbsp;</p>] to [Something]"
    )
    ready = ("Ready", False, True)
    rank = ("DragAndDropRank", 9, 5)
    assert format_description((ready, rank), str) == "RANK moved up, READY changed from [false] to [true]"
