"""The last upload of a removed item: complete, with one more entry of history."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from rally_accelerate.accelerate.payload import Retirement, complete_document, pack_retirement

AT = datetime(2026, 3, 1, tzinfo=UTC)


def status(before: str, after: str) -> dict[str, Any]:
    """An entry of history."""
    content = {"field": "status", "type": "string", "from": before, "to": after, "user": "u", "userDisplayName": "u"}
    return {"timestamp": "1", "content": content}


def last(document: dict[str, Any], word: str = "Deleted") -> dict[str, Any]:
    """What is uploaded."""
    packed = pack_retirement(
        Retirement(external_id="1", status=word, instant=AT, user="Sample User", document=document)
    )
    found: dict[str, Any] = orjson.loads(packed.body)
    return found


def test_the_status_and_one_entry_are_added_and_nothing_is_lost() -> None:
    document = {
        "_id": "1",
        "id": "US1",
        "status": "Defined",
        "history": [
            status("Idea", "Defined"),
            {"timestamp": "2", "content": {"field": "owner", "from": "", "to": "x"}},
        ],
        "comments": [{"id": "5"}],
        "relations": [{"id": "9", "type": "PARENT"}],
        "rawIssue": {"Ready": True},
    }
    found = last(document)
    entry = found["history"].pop()
    assert found == {**document, "status": "Deleted"}
    assert (entry["content"]["from"], entry["content"]["to"]) == ("Defined", "Deleted")
    assert entry["timestamp"] == str(round(AT.timestamp() * 1000))


def test_the_entry_leads_from_the_status_that_the_history_ends_with() -> None:
    found = last({"status": "Older", "history": [status("Older", "Accepted")]})
    assert found["history"][-1]["content"]["from"] == "Accepted"


@pytest.mark.parametrize("history", [[], [status("A", "Deleted")]])
def test_an_issue_that_has_its_last_status_already_gets_no_second_entry(history: list[Any]) -> None:
    assert last({"status": "Deleted", "history": history})["history"] == history


def test_what_accelerate_returns_completes_a_document_and_takes_nothing_away() -> None:
    document = {"_id": "1", "name": "rebuilt", "history": [1], "comments": [2], "relations": [3], "rawIssue": {"a": 4}}
    held = {
        "name": "held",
        "owner": None,
        "labels": ["a", None],
        "components": None,
        "sprints": [{"_id": "x", "id": "s", "name": "S", "previous": "?", "active": True, "url": None}],
        "releases": None,
        "project": {"id": "p", "key": "p", "name": None},
        "history": [],
        "comments": [],
        "rawIssue": None,
    }
    assert complete_document(document, held) == {
        "_id": "1",
        "name": "held",
        "owner": None,
        "labels": ["a"],
        "components": [],
        "sprints": [{"id": "s", "name": "S", "active": True}],
        "releases": [],
        "project": {"id": "p", "key": "p"},
        "history": [1],
        "comments": [2],
        "relations": [3],
        "rawIssue": {"a": 4},
    }
