"""Any view of the issues as a file, whole, written while it is read."""

import csv
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from rally_accelerate.host.store.search import Row, Search
from rally_accelerate.host.web.issue_columns import Told, as_cell, as_object, heading
from rally_accelerate.host.web.issue_views import View

#: So many rows are read at once.
AT_ONCE = 500


class Files:
    """Writes views; a file holds nothing in memory but the rows that were just read.

    Args:
        search: Where the rows are read.
        view: Which; from its beginning, or from where its page begins.
        told: What values need beside their rows.
    """

    def __init__(self, search: Search, view: View, told: Told) -> None:
        self._search = search
        self._view = view
        self._told = told
        self._more = ""

    async def as_csv(self) -> AsyncIterator[bytes]:
        """CSV (RFC 4180) in UTF-8, with a row of headings, in the view's columns."""
        columns = self._view.columns
        yield _line([heading(column) for column in columns])
        async for rows in self._pages():
            yield b"".join(_line([as_cell(column, row, self._told) for column in columns]) for row in rows)

    async def as_json(self, around: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """One JSON object: what is given, the rows as ``issues``, and as ``more`` where a limit ended them."""
        yield orjson.dumps(dict(around))[:-1] + (b"," if around else b"") + b'"issues":['
        first = True
        async for rows in self._pages():
            text = b",".join(orjson.dumps(as_object(row, self._told)) for row in rows)
            yield text if first else b"," + text
            first = False
        yield b'],"more":' + orjson.dumps(self._more) + b"}"

    async def _pages(self) -> AsyncIterator[list[Row]]:
        view, after, left = self._view, self._view.after, self._view.limit
        wanted = view.wanted()
        while left is None or left > 0:
            found = await self._search.page(
                wanted,
                now=self._told.now,
                sort=view.sort,
                descending=view.descending,
                after=after,
                limit=AT_ONCE if left is None else min(left, AT_ONCE),
            )
            if found.rows:
                yield found.rows
            after = found.after
            if not after:
                return
            left = None if left is None else left - len(found.rows)
        self._more = replace(view, after=after).address("/issues.json")


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode("utf-8", "replace")
