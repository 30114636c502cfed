"""Revisions of many items in few requests: by ranges of history ids that concurrent walks share.

Stories and defects are read concurrently, and the ids of their histories interleave. So a range that one walk
reads is cached, and another walk reads only ids outside of it. The conditions are in ``keyset_paging.py``.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rally_accelerate.rally import keyset_paging
from rally_accelerate.rally.fetch_fields import REVISION_FIELDS
from rally_accelerate.rally.keyset_paging import Listing, Row, read_page, read_pages
from rally_accelerate.rally.query import Expression
from rally_accelerate.rally.records import Record, Revision, person_name
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.wsapi import object_id, parse_instant, ref_id

logger = logging.getLogger(__name__)

#: Maximum number of cached revisions, about 500 bytes each.
MAX_CACHED_ROWS = 40_000

ByHistory = Mapping[int, Sequence[Revision]]


@dataclass(slots=True, eq=False)
class _Range:
    """A range of history ids that is being read, or has been."""

    low: int
    high: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    #: The service's clock at the first answer; None until then, and when the range was given up.
    answered_at: datetime | None = None
    by_history: ByHistory = field(default_factory=dict)
    rows: int = 0

    def covers(self, history: int) -> bool:
        return self.low <= history <= self.high


class RevisionHistoryReader:
    """Reader of the revisions of one workspace's items.

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
        page_size: The largest page.
    """

    def __init__(self, session: Session, *, workspace: int, page_size: int) -> None:
        self._session = session
        self._workspace = workspace
        self._page_size = page_size
        self._ranges: list[_Range] = []
        #: Rows per id in the last range, to predict where a range is more expensive than lists.
        self._density: float | None = None

    async def read(self, records: Sequence[Record]) -> ByHistory:
        """Read every revision of records, by the ObjectID of their RevisionHistory, unordered."""
        updated = {
            key: record.revision.updated_at
            for record in records
            if (key := ref_id(record.fields.get("RevisionHistory"))) is not None
        }
        return await self._read_histories(updated) if updated else {}

    async def _read_histories(self, updated: Mapping[int, datetime]) -> ByHistory:
        requested = sorted(updated)
        ranges = self._ranges
        # Each walk starts its own part before it waits for others, so two walks never wait for each other.
        lists: list[int] = []
        own: list[tuple[_Range, tuple[int, ...]]] = []
        for group in keyset_paging.gaps(
            requested, [(history_range.low, history_range.high) for history_range in ranges]
        ):
            if self._is_range_worthwhile(group):
                history_range = _Range(group[0], group[-1])
                ranges.append(history_range)
                own.append((history_range, group))
            else:
                lists.extend(group)
        covered = set(requested).difference(lists, *(group for _, group in own))
        parts: list[Coroutine[Any, Any, ByHistory]] = [
            self._read_range(history_range, group) for history_range, group in own
        ]
        shared = [history_range for history_range in ranges if any(map(history_range.covers, covered))]
        revisions: dict[int, Sequence[Revision]] = {}
        for part in await _gather([*parts, self._read_lists(lists)]):
            revisions.update(part)
        stale: list[int] = []
        for history_range in shared:
            await history_range.done.wait()
        for history in sorted(covered):
            serving = next(
                (
                    history_range
                    for history_range in shared
                    if history_range.covers(history)
                    and keyset_paging.is_fresh(updated[history], history_range.answered_at)
                ),
                None,
            )
            if serving is None:
                stale.append(history)
            else:
                revisions[history] = serving.by_history.get(history, ())
        revisions.update(await self._read_lists(stale))
        self._evict()
        return revisions

    def _is_range_worthwhile(self, group: Sequence[int]) -> bool:
        """Return whether reading a range is likely to be cheaper than lists for these ids."""
        lists = len(self._chunks(group))
        if lists <= 1:
            return False
        if self._density is None:
            return True
        rows = self._density * (group[-1] - group[0] + 1)
        return keyset_paging.range_is_cheaper(list_requests=lists, remaining_rows=rows, page_size=self._page_size)

    async def _read_range(self, history_range: _Range, group: Sequence[int]) -> ByHistory:
        """Read a range, or use lists of ids if the first response shows that they take fewer requests."""
        try:
            listing = self._listing(keyset_paging.range_condition(history_range.low, history_range.high))
            first_page = await read_page(self._session, listing)
            self._density = first_page.remaining / (history_range.high - history_range.low + 1)
            collector = _RevisionCollector()
            collector.add(row for _, row in first_page.rows)
            if not first_page.last:
                lists = len(self._chunks(group))
                remaining = first_page.remaining - collector.rows
                if not keyset_paging.range_is_cheaper(
                    list_requests=lists, remaining_rows=remaining, page_size=self._page_size
                ):
                    return await self._read_lists(group)
                async for page in read_pages(self._session, listing, after=first_page.after):
                    collector.add(row for _, row in page.rows)
            # Set together and last: other walks see a complete range or none.
            history_range.by_history, history_range.rows = collector.by_history, collector.rows
            history_range.answered_at = first_page.date
            return {history: history_range.by_history.get(history, ()) for history in group}
        finally:
            if history_range.answered_at is None:
                self._ranges.remove(history_range)
            history_range.done.set()

    async def _read_lists(self, histories: Sequence[int]) -> ByHistory:
        """Read exactly these histories, by lists of ids."""

        async def read(ids: tuple[int, ...]) -> ByHistory:
            listing = self._listing(keyset_paging.list_condition(ids))
            collector = _RevisionCollector()
            async for page in read_pages(self._session, listing):
                collector.add(row for _, row in page.rows)
            return collector.by_history

        revisions: dict[int, Sequence[Revision]] = dict.fromkeys(histories, ())
        for part in await _gather([read(ids) for ids in self._chunks(histories)]):
            revisions.update(part)
        return revisions

    def _chunks(self, histories: Sequence[int]) -> list[tuple[int, ...]]:
        # Measured with the longest possible query: another operand and the id after which a page begins.
        frame = self._listing(keyset_paging.range_condition(0, 1))
        base_length = len(frame.request(after=10**13, size=self._page_size).target) + len("https://") + 253
        return keyset_paging.chunks(histories, base_length=base_length)

    def _listing(self, where: Expression) -> Listing:
        return Listing(
            kind="revision",
            fetch=REVISION_FIELDS,
            # The project scope does not matter to revisions (rally-api-notes.md#reading-revisions).
            where=(where,),
            workspace=self._workspace,
        )

    def _evict(self) -> None:
        """Remove the oldest complete ranges above the limit."""
        ranges = self._ranges
        rows = sum(history_range.rows for history_range in ranges)
        for history_range in list(ranges):
            if rows <= MAX_CACHED_ROWS:
                return
            if history_range.done.is_set():
                ranges.remove(history_range)
                rows -= history_range.rows


async def _gather(parts: Sequence[Coroutine[Any, Any, ByHistory]]) -> list[ByHistory]:
    """Return all results; if one coroutine fails, cancel the others and raise its error."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _RevisionCollector:
    """Revisions by their history, converted page by page, because rows are many times as large."""

    def __init__(self) -> None:
        self.by_history: defaultdict[int, list[Revision]] = defaultdict(list)
        #: How many rows were taken in.
        self.rows = 0
        #: One text for each person, not one for each row.
        self._users: dict[str, str] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows; revisions without a history or a date are skipped."""
        unreadable = 0
        for row in rows:
            self.rows += 1
            history, instant = ref_id(row.get("RevisionHistory")), parse_instant(row.get("CreationDate"))
            if history is None or instant is None:
                unreadable += 1
                continue
            user = row.get("User")
            name = person_name(user) if isinstance(user, Mapping) else ""
            self.by_history[history].append(
                Revision(
                    history_id=history,
                    number=object_id(row.get("RevisionNumber")) or 0,
                    instant=instant,
                    user=self._users.setdefault(name, name),
                    description=str(row.get("Description") or ""),
                    user_id=ref_id(user),
                )
            )
        if unreadable:
            logger.warning("%d revisions without history or date were left out", unreadable)
