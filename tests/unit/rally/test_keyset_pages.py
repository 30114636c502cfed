"""What is told about a page: counts, warnings, and errors that say what is wrong and what to do."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from rally_accelerate.errors import UnavailableError, UnexpectedResponseError
from rally_accelerate.rally.keyset_paging import (
    Listing,
    is_doubtful,
    parse_answer,
    parse_page,
    read_all,
    read_page,
    read_pages,
)
from rally_accelerate.rally.responses import Answer, Oddities
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.wsapi import Request

DATE = datetime(2026, 10, 21, tzinfo=UTC)


class Pages:
    """Answers with prepared pages, and keeps what it was asked."""

    def __init__(self, *pages: Mapping[str, Any], size: int = 2) -> None:
        self.pages = list(pages)
        self.size = size
        self.asked: list[Request] = []
        self.kinds: list[str] = []
        self.doubts: list[bool] = []
        self.oddities = Oddities()

    async def read_page(
        self, what: str, ask: Callable[[int], Request], *, doubtful: Callable[[Mapping[str, Any]], bool]
    ) -> tuple[Answer, int]:
        """Return the next page."""
        self.kinds.append(what)
        self.asked.append(ask(self.size))
        data = self.pages.pop(0)
        self.doubts.append(doubtful(data))
        return Answer(data, warnings=("slow",), date=DATE), self.size


def caller(pages: Pages) -> Session:
    """Return it as the type that the functions take."""
    return cast("Session", pages)


def page(*ids: int, total: int | None = None) -> dict[str, Any]:
    return {"Results": [{"ObjectID": each} for each in ids], "TotalResultCount": len(ids) if total is None else total}


LISTING = Listing(kind="defect", fetch=("A",))


async def test_a_walk_asks_behind_the_last_row_of_each_page() -> None:
    pages = Pages(page(1, 2, total=3), page(3))
    found = [each async for each in read_pages(caller(pages), LISTING)]
    assert [[key for key, _ in each.rows] for each in found] == [[1, 2], [3]]
    assert [each.remaining for each in found] == [3, 1]
    assert [each.params.get("query") for each in pages.asked] == [None, "(ObjectID > 2)"]
    assert {each.params["pagesize"] for each in pages.asked} == {"2"}
    assert pages.kinds == ["defect", "defect"]


async def test_a_walk_begins_where_it_is_told() -> None:
    pages = Pages(page(6))
    assert [each.after async for each in read_pages(caller(pages), LISTING, after=5)] == [6]
    assert pages.asked[0].params["query"] == "(ObjectID > 5)"
    assert pages.asked[0].path.endswith("/defect")


async def test_everything_is_every_page() -> None:
    assert [each.after for each in await read_all(caller(Pages(page(1, 2), page(3))), LISTING)] == [2, 3]


async def test_a_page_tells_when_it_was_answered_and_with_which_warnings() -> None:
    rows = await read_page(caller(Pages(page(1))), LISTING)
    assert (rows.date, rows.notices) == (DATE, ("Rally warns about defect: slow",))


async def test_a_page_without_a_start_begins_at_the_first_row() -> None:
    pages = Pages(page(1))
    assert (await read_page(caller(pages), LISTING)).after == 1
    assert "query" not in pages.asked[0].params


async def test_rows_before_the_start_are_refused() -> None:
    with pytest.raises(UnexpectedResponseError, match="ObjectID 5 after 5"):
        await read_page(caller(Pages(page(5))), LISTING, after=5)


async def test_announced_rows_that_do_not_come_are_told() -> None:
    pages = Pages(page(total=1234))
    rows = await read_page(caller(pages), LISTING)
    assert (rows.missing, rows.last, pages.doubts) == (1234, True, [True])
    (told,) = pages.oddities.take_notices()
    assert "1,234" in told
    assert "defect" in told


async def test_a_listing_that_must_be_complete_fails_when_announced_rows_do_not_come() -> None:
    complete = Listing(kind="defect", fetch=("A",), complete=True)
    with pytest.raises(UnavailableError, match="announces 1,234 more rows of defect but returns an empty page"):
        await read_page(caller(Pages(page(total=1234))), complete)
    assert (await read_page(caller(Pages(page(1))), complete)).missing == 0
    assert (await read_page(caller(Pages(page())), complete)).last


async def test_a_page_with_rows_lacks_nothing() -> None:
    pages = Pages(page(1, total=9))
    await read_page(caller(pages), LISTING)
    assert pages.doubts == [False]
    assert pages.oddities.take_notices() == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (page(total=1), True),
        (page(total=2), True),
        (page(), False),
        (page(1), False),
        ({"Results": []}, False),
        ({"TotalResultCount": 1}, True),
        ({"Results": None, "TotalResultCount": 1}, True),
    ],
)
def test_an_empty_page_is_doubtful_when_rows_are_announced(data: dict[str, Any], expected: bool) -> None:
    assert is_doubtful(data) is expected


async def test_rows_that_a_page_left_out_are_read_again() -> None:
    pages = Pages(page(1, 3, total=5), page(4, 5, total=2), page(1, 2, total=5), page(total=0))
    found = [each async for each in read_pages(caller(pages), LISTING)]
    assert [[key for key, _ in each.rows] for each in found] == [[1, 3], [2], [4, 5], []]
    assert [each.after for each in found] == [3, 3, 5, 5]
    assert [each.params.get("query") for each in pages.asked] == [None, "(ObjectID > 3)", None, "(ObjectID > 5)"]
    assert pages.oddities.take_notices() == ()


async def test_rows_that_are_left_out_for_good_are_told() -> None:
    pages = Pages(page(1, 3, total=5), page(4, 5, total=2), page(1, 3, total=5), page(total=0))
    found = [each async for each in read_pages(caller(pages), LISTING)]
    assert [[key for key, _ in each.rows] for each in found] == [[1, 3], [4, 5], []]
    (told,) = pages.oddities.take_notices()
    assert told.startswith("Rally announced 1 more rows of defect than it returned.")


async def test_a_listing_that_must_be_complete_fails_when_a_page_leaves_rows_out() -> None:
    complete = Listing(kind="defect", fetch=("A",), complete=True)
    pages = Pages(page(1, 3, total=5), page(4, 5, total=2), page(1, 3, total=5))
    with pytest.raises(UnavailableError, match="announces 1 more rows of defect than it returns"):
        await read_all(caller(pages), complete)


async def test_rows_that_left_the_listing_between_two_pages_are_no_fault() -> None:
    pages = Pages(page(1, 3, total=5), page(4, total=1), page(1, 3, total=3), page(total=0))
    found = [each async for each in read_pages(caller(pages), LISTING)]
    assert [[key for key, _ in each.rows] for each in found] == [[1, 3], [4]]
    assert pages.oddities.take_notices() == ()


@pytest.mark.parametrize("total", [None, "x", 0, 1])
async def test_a_count_that_cannot_be_right_asks_for_nothing_more(total: Any) -> None:
    first, second = page(1, 3, total=9), page(4, total=1)
    first["TotalResultCount"] = total
    pages = Pages(first, second)
    assert len([each async for each in read_pages(caller(pages), LISTING)]) == 2
    assert len(pages.asked) == 2


def test_rows_of_an_earlier_page_and_repeated_ones_are_passed_over() -> None:
    rows = parse_page(page(3, 4, 5, 5, 6), kind="defect", after=4, requested_size=5)
    assert [key for key, _ in rows.rows] == [5, 6]
    assert (rows.after, rows.received) == (6, 2)


def test_notices_about_rows_come_before_warnings() -> None:
    data = {"Results": [{"ObjectID": 1}, {"Name": "x"}, "y"], "TotalResultCount": 3}
    rows = parse_answer(Answer(data, warnings=("a", "b")), kind="defect", after=0, requested_size=5)
    assert rows.notices == (
        "2 rows of defect without ObjectID were left out.",
        "Rally warns about defect: a",
        "Rally warns about defect: b",
    )
    assert parse_answer(Answer(page(1)), kind="defect", after=0, requested_size=5).notices == ()


def test_counts_of_a_page() -> None:
    def counts(data: dict[str, Any]) -> tuple[int, int]:
        rows = parse_page(data, kind="defect", after=0, requested_size=5)
        return rows.remaining, rows.missing

    assert counts(page(1, 2, total=7)) == (7, 0)
    assert counts(page(1, 2, total=1)) == (2, 0)
    assert counts(page(total=3)) == (3, 3)
    assert counts(page()) == (0, 0)
    assert counts({"Results": []}) == (0, 0)


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ({}, "The answer for defect has no Results.", ""),
        ({"Results": [{"Name": "x"}, "y"]}, "None of the 2 rows of defect has an ObjectID.", ""),
        (
            page(3, 2),
            "Rally returned defect out of order: ObjectID 2 after 3.",
            "A proxy between here and Rally changes or repeats responses, as caching proxies do; bypass it.",
        ),
    ],
)
def test_an_answer_that_cannot_be_walked_is_explained(data: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UnexpectedResponseError, match=f"^{re.escape(message)}$") as caught:
        parse_page(data, kind="defect", after=0, requested_size=5)
    if hint:
        assert caught.value.hint == hint


def test_a_bare_reference_is_no_row() -> None:
    data = {"Results": [{"ObjectID": 1}, "https://eu1.rallydev.com/slm/webservice/v2.x/defect/77"]}
    rows = parse_page(data, kind="defect", after=0, requested_size=5)
    assert ([key for key, _ in rows.rows], rows.notices) == (
        [1],
        ("1 rows of defect without ObjectID were left out.",),
    )
