"""Names are remembered within bounds, those that are needed longest."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally import names as module
from rally_accelerate.rally.names import Names
from rally_accelerate.rally.records import Record


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
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)
    names = Names(NobodyAsked(), workspace=1)  # type: ignore[arg-type]
    names.learn(records([1, 2, 3]))
    await names.ensure_items({"Parent": [1]})
    names.learn(records([4]))
    assert names.item(1) == ("DE1", "x")
    assert names.item(2) is None
    names.learn(records(range(10, 30)))
    assert [key for key in range(40) if names.item(key)] == [27, 28, 29]
