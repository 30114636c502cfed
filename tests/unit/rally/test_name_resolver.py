"""Names are remembered within bounds, those that are needed longest, and told alike to all who ask."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally import name_resolver as module
from rally_accelerate.rally.history_fields import Shape
from rally_accelerate.rally.name_resolver import NameResolver
from rally_accelerate.rally.records import Record
from rally_accelerate.rally.responses import Answer
from rally_accelerate.rally.wsapi import Request


class NobodyAsked:
    """No request is expected."""

    async def read(self, request: Any) -> Any:
        """Fail."""
        raise AssertionError(request)


def records(keys: Sequence[int]) -> list[Record]:
    revision = SourceRevision(datetime(2026, 1, 1, tzinfo=UTC), 1)
    return [
        Record(kind="defect", object_id=key, revision=revision, fields={"FormattedID": f"DE{key}", "Name": "x"})
        for key in keys
    ]


async def test_what_is_needed_now_is_forgotten_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED_ITEMS", 3)
    names = NameResolver(NobodyAsked(), workspace=1)  # type: ignore[arg-type]
    names.add_records(records([1, 2, 3]))
    await names.load_items({"Parent": [1]})
    names.add_records(records([4]))
    assert names.find_item(1) == ("DE1", "x")
    assert names.find_item(2) is None
    names.add_records(records(range(10, 30)))
    assert [key for key in range(40) if names.find_item(key)] == [27, 28, 29]


class AnswersLate:
    """Two iterations of one name; the answer comes when others have had their turn."""

    def __init__(self) -> None:
        self.asked = 0

    async def read_page(self, what: str, ask: Callable[[int], Request], **more: object) -> tuple[Answer, int]:
        """The page."""
        del what, more
        ask(2000)
        self.asked += 1
        for _ in range(5):
            await asyncio.sleep(0)
        rows = [
            {"ObjectID": key, "Name": "Sprint 1", "Project": {"ObjectID": key + 10, "Name": f"Team {key}"}}
            for key in (1, 2)
        ]
        return Answer({"Results": rows, "TotalResultCount": 2}), 2000


async def test_walks_side_by_side_are_told_the_same() -> None:
    rally = AnswersLate()
    names = NameResolver(rally, workspace=1)  # type: ignore[arg-type]
    told = await asyncio.gather(*(names.find_timeboxes(Shape.ITERATION, ["Sprint 1"]) for _ in range(2)))
    assert [[timebox.object_id for timebox in each["Sprint 1"]] for each in told] == [[1, 2], [1, 2]]
    assert rally.asked == 1
