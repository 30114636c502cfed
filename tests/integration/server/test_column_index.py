"""What columns tell of a query is what it means, for every field that they answer."""

from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from rally_accelerate.dql.ast import Comparison
from rally_accelerate.dql.evaluator import matches
from rally_accelerate.dql.parser import parse
from rally_accelerate.server.store.column_index import QUERYABLE_PATHS, ColumnIndex
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.issue_sets import iterate_numbers
from rally_accelerate.server.store.issues import Issues
from support.issues import item

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TEXTS = (
    "Red",
    "red",
    "RED ",
    "straße",
    "\u212a",
    "2026-03-10",
    "2026-03-09T11:00:00+01:00",
    "3",
    "1e999",
    "nan",
    "True",
    "R\u200bed",
    "a\u00a0\u2013 b",
    "a - b",
)
VALUES = (*(f"'{text}'" for text in TEXTS), "3", "2026-03-10", "1d", "k", "true")
LEAVES = [
    *("{} {} {}".format(*each) for each in product(("{}",), ("=", "!=", "<", "<=", ">", ">=", "contains"), VALUES)),
    "{} in (red, 3)",
]


def with_text(path: tuple[str, ...], text: str | None) -> dict[str, Any]:
    """The field of a path."""
    if path == ("project", "name"):
        return {"project": {"id": "red", "key": "3", "name": text}}
    return {path[0]: text}


@pytest.mark.parametrize("path", QUERYABLE_PATHS)
async def test_columns_tell_what_is_meant(tmp_path: Path, path: tuple[str, ...]) -> None:
    database = await Database.open(tmp_path / "a.sqlite")
    needed = path[0] in {"type", "status"}
    texts = (*TEXTS, "") if needed else (*TEXTS, "", None)
    items = [{**item(number), **with_text(path, text)} for number, text in enumerate(texts)]
    await Issues(database).store_upload(source="R", tracker_id="t", tenant_id="n", items=items)
    columns = ColumnIndex()
    async with database.reading() as connection:
        await columns.refresh(connection)
    await database.close()
    asked = 0
    for leaf in LEAVES:
        for name in {".".join(path), ".".join(path).upper()}:
            query = parse("issue." + leaf.format(name))
            assert isinstance(query, Comparison)
            found = columns.find_matching(query, now=NOW)
            # What depends on the hour is not kept.
            assert (found is None) is leaf.endswith("1d")
            if found is not None:
                asked += 1
                expected = [number for number, each in enumerate(items, 1) if matches(query, each, now=NOW)]
                assert list(iterate_numbers(found)) == expected, query
    assert asked > len(VALUES)
