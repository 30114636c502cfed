"""What a page says, and when a walk ends."""

from typing import Any

import pytest

from rally_accelerate.errors import UnexpectedResponseError
from rally_accelerate.rally.keyset_paging import Listing, parse_page
from rally_accelerate.rally.query import Condition


def page(ids: Any, *, total: Any = None, granted: Any = 100) -> Any:
    return {
        "Results": [{"ObjectID": each} for each in ids],
        "TotalResultCount": len(ids) if total is None else total,
        "PageSize": granted,
    }


def verdict(data: Any, *, after: Any = 0, asked_for: Any = 100) -> Any:
    return parse_page(data, kind="defect", after=after, requested_size=asked_for)


def test_an_empty_page_is_the_last() -> None:
    assert verdict(page([], total=7), after=5).last
    assert verdict(page([]), after=5).after == 5


def test_a_short_page_is_the_last_unless_more_is_said_to_be_left() -> None:
    assert verdict(page([1, 2])).last
    assert not verdict(page([1, 2], total=3)).last


def test_a_full_page_is_never_the_last_whatever_the_count_says() -> None:
    assert not verdict(page(range(1, 101), total=100)).last


def test_the_granted_size_counts_not_the_asked_one() -> None:
    assert not verdict(page(range(1, 21), total=20, granted=20), asked_for=2000).last


def test_a_missing_count_does_not_lose_rows() -> None:
    full = {"Results": [{"ObjectID": 1}, {"ObjectID": 2}]}
    assert not parse_page(full, kind="defect", after=0, requested_size=2).last
    assert parse_page(full, kind="defect", after=0, requested_size=3).last


@pytest.mark.parametrize("ids", [[6, 5], [5, 6, 5], [5, 4], [3], [4], [4, 4]])
def test_rows_that_do_not_ascend_are_refused(ids: Any) -> None:
    """A page of nothing but earlier rows would loop for ever."""
    with pytest.raises(UnexpectedResponseError, match="out of order"):
        verdict(page(ids), after=4)


def test_repeated_rows_do_not_make_a_page_full() -> None:
    assert verdict(page([3, 4, 5, 6], total=2), after=4, asked_for=4).last
    assert verdict(page([3, 4], total=0), after=4).last
    assert not verdict(page([4, 5, 5], total=2), after=4).last


def test_a_row_without_id_is_left_out_and_told() -> None:
    data = page([1, 2, 3])
    data["Results"][1] = {"Name": "x"}
    rows = verdict(data)
    assert [key for key, _ in rows.rows] == [1, 3]
    assert "1 rows" in rows.notices[0]


def test_a_row_with_a_ref_only_is_kept() -> None:
    data = {"Results": [{"_ref": "https://eu1.rallydev.com/slm/webservice/v2.x/defect/77"}]}
    assert verdict(data).after == 77


def test_rows_without_any_id_cannot_be_walked() -> None:
    with pytest.raises(UnexpectedResponseError):
        verdict({"Results": [{"Name": "x"}, "y"]})


def test_no_results_is_no_query_result() -> None:
    with pytest.raises(UnexpectedResponseError):
        verdict({"TotalResultCount": 0})


def test_the_request_names_its_whole_scope() -> None:
    request = Listing(kind="defect", fetch=("A", "B"), where=(Condition("X", "=", 1),), workspace=7).request(
        after=5, size=10
    )
    assert request.params == {
        "workspace": "/workspace/7",
        "project": "null",
        "projectScopeUp": "false",
        "projectScopeDown": "false",
        "fetch": "A,B",
        "query": "((ObjectID > 5) AND (X = 1))",
        "order": "ObjectID",
        "start": "1",
        "pagesize": "10",
        "compact": "false",
    }
    first = Listing(kind="defect", fetch=("A",), project=3).request(after=0, size=10)
    assert first.params["project"] == "/project/3"
    assert "query" not in first.params
    assert "workspace" not in first.params
