"""Since when an issue has its status, also where its history ends before it came into it."""

from typing import Any

import pytest

from rally_accelerate.server.issue_history import PendingStatusChange, find_pending_status_change
from rally_accelerate.server.store.issue_writer import find_status_start, summarize
from support.issues import item

CREATED = 1_700_000_000_000
UPDATED = CREATED + 9_000


def entry(at: int, before: Any, after: Any, field: str = "status") -> dict[str, Any]:
    return {"timestamp": str(CREATED + at), "content": {"field": field, "from": before, "to": after}}


def issue(*history: Any, status: str = "Completed", **more: Any) -> dict[str, Any]:
    return item(1, status=status, lastUpdate=UPDATED, history=list(history), **more)


def since(one: dict[str, Any]) -> int:
    return find_status_start(one, one["history"])


BEGUN = entry(1_000, "Defined", "In-Progress")
DONE = entry(2_000, "In-Progress", "Completed")


def test_a_history_that_leads_to_the_status_tells_since_when() -> None:
    one = issue(BEGUN, DONE, entry(3_000, "", "Ann", "owner"))
    assert find_pending_status_change(one) is None
    assert since(one) == CREATED + 2_000


def test_a_history_that_ends_before_the_change_leaves_the_last_update_as_the_latest_instant() -> None:
    one = issue(BEGUN, entry(3_000, "", "Ann", "owner"))
    assert find_pending_status_change(one) == PendingStatusChange(UPDATED, "In-Progress", "Completed")
    assert since(one) == UPDATED
    assert summarize(one, one["history"])["status_since"] == UPDATED
    # The next run brings the change.
    one["history"].append(entry(8_999, "In-Progress", "Completed"))
    assert find_pending_status_change(one) is None
    assert since(one) == CREATED + 8_999


@pytest.mark.parametrize("history", [(), (entry(1_000, "", "Ann", "owner"),), (entry(1_000, "1", "2", "revision"),)])
def test_without_a_status_in_its_history_it_has_it_since_its_creation(history: tuple[Any, ...]) -> None:
    one = issue(*history)
    assert find_pending_status_change(one) is None
    assert since(one) == CREATED


@pytest.mark.parametrize("after", ["completed", "COMPLETED ", {"name": "Completed"}, ["Completed"]])
def test_a_status_that_is_only_written_otherwise_is_the_same(after: Any) -> None:
    one = issue(BEGUN, entry(2_000, "In-Progress", after))
    assert find_pending_status_change(one) is None
    assert since(one) == CREATED + 2_000


@pytest.mark.parametrize("content", [{}, {"to": None}, {"to": ""}, {"to": []}])
def test_a_change_that_does_not_say_what_it_led_to_says_nothing_against_the_status(content: dict[str, Any]) -> None:
    untold = {"timestamp": CREATED + 2_000, "content": {"field": "Status", "from": "In-Progress", **content}}
    one = issue(BEGUN, untold)
    assert find_pending_status_change(one) is None
    assert since(one) == CREATED + 2_000


def test_the_order_in_which_a_tool_tells_its_changes_does_not_count() -> None:
    at_once = entry(2_000, "Completed", "Accepted"), entry(2_000, "In-Progress", "Completed")
    for history in ((DONE, BEGUN), (*at_once, BEGUN), (BEGUN, *reversed(at_once))):
        for status in ("Completed", "Accepted")[: len(history) - 1]:
            assert since(issue(*history, status=status)) == CREATED + 2_000


def test_nothing_is_to_come_where_the_history_reaches_the_last_update() -> None:
    # A rule may make the status out of other fields, whose changes are none of the status (mapping/rule_engine.py).
    one = issue(BEGUN, entry(9_000, "false", "true", "blocked"), status="Blocked")
    assert find_pending_status_change(one) is None
    assert since(one) == CREATED + 1_000
    # What could not be read may have been the very change, and what stands beside each change is none.
    for field in ("revision", "lastUpdate"):
        assert since(issue(BEGUN, entry(9_000, "", "x", field), status="Blocked")) == UPDATED


def test_a_last_update_that_is_missing_or_older_than_the_history_does_not_count() -> None:
    older = issue(BEGUN) | {"lastUpdate": CREATED}
    missing = {name: value for name, value in issue(BEGUN).items() if name != "lastUpdate"}
    assert since(older) == since(missing) == CREATED + 1_000


def test_broken_entries_are_passed_over() -> None:
    one = issue(None, "x", {"content": None}, {"timestamp": "soon", "content": {"field": "status", "to": "Idea"}})
    assert find_pending_status_change(one) is None
    assert since(one) == CREATED
