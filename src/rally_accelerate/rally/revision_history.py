"""The past of many items in few requests: revisions by ranges of history ids, shared between walks.

Stories and defects are walked side by side, and their histories' ids interleave. So a range that one walk
reads is kept for a while, and a neighbour asks only for what it does not cover. The decisions are in
``stretches.py``.
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
from rally_accelerate.rally.keyset_paging import Listing, Row, next_rows, walk
from rally_accelerate.rally.query import Expression
from rally_accelerate.rally.records import Record, Revision, person_name
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.wsapi import object_id, parse_instant, ref_id

logger = logging.getLogger(__name__)

#: So many revisions are kept for neighbours; some 500 bytes each.
MOST_KEPT = 40_000

ByHistory = Mapping[int, Sequence[Revision]]


@dataclass(slots=True, eq=False)
class _Stretch:
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


class Histories:
    """Reads the past of one workspace's items.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
        page_size: The largest page.
    """

    def __init__(self, caller: Caller, *, workspace: int, page_size: int) -> None:
        self._caller = caller
        self._workspace = workspace
        self._page_size = page_size
        self._kept: list[_Stretch] = []
        #: Rows for each id of a range, as last seen: tells beforehand where a range will not pay.
        self._density: float | None = None

    async def of(self, records: Sequence[Record]) -> ByHistory:
        """Every revision of the records, by the ObjectID of their RevisionHistory, in no order."""
        updated = {
            key: record.revision.updated_at
            for record in records
            if (key := ref_id(record.fields.get("RevisionHistory"))) is not None
        }
        return await self._past(updated) if updated else {}

    async def _past(self, updated: Mapping[int, datetime]) -> ByHistory:
        wanted = sorted(updated)
        kept = self._kept
        # Waiting for a neighbour comes after starting the own part, so two walks can never wait for each
        # other.
        lists: list[int] = []
        own: list[tuple[_Stretch, tuple[int, ...]]] = []
        for group in keyset_paging.gaps(wanted, [(each.low, each.high) for each in kept]):
            if self._pays(group):
                stretch = _Stretch(group[0], group[-1])
                kept.append(stretch)
                own.append((stretch, group))
            else:
                lists.extend(group)
        covered = set(wanted).difference(lists, *(group for _, group in own))
        parts: list[Coroutine[Any, Any, ByHistory]] = [self._fill(stretch, group) for stretch, group in own]
        shared = [each for each in kept if any(map(each.covers, covered))]
        found: dict[int, Sequence[Revision]] = {}
        for part in await _together([*parts, self._listed(lists)]):
            found.update(part)
        stale: list[int] = []
        for stretch in shared:
            await stretch.done.wait()
        for history in sorted(covered):
            serving = next(
                (
                    each
                    for each in shared
                    if each.covers(history) and keyset_paging.is_fresh(updated[history], each.answered_at)
                ),
                None,
            )
            if serving is None:
                stale.append(history)
            else:
                found[history] = serving.by_history.get(history, ())
        found.update(await self._listed(stale))
        self._forget()
        return found

    def _pays(self, group: Sequence[int]) -> bool:
        """Whether a range is worth trying for these ids, as far as can be told before."""
        lists = len(self._chunks(group))
        if lists <= 1:
            return False
        if self._density is None:
            return True
        rows = self._density * (group[-1] - group[0] + 1)
        return keyset_paging.range_is_cheaper(list_requests=lists, rows_left=rows, page_size=self._page_size)

    async def _fill(self, stretch: _Stretch, group: Sequence[int]) -> ByHistory:
        """Read a range, or give it up for lists when its first answer shows that they are cheaper."""
        try:
            listing = self._listing(keyset_paging.range_condition(stretch.low, stretch.high))
            first_page = await next_rows(self._caller, listing)
            self._density = first_page.left / (stretch.high - stretch.low + 1)
            past = _Past()
            past.add(row for _, row in first_page.rows)
            if not first_page.last:
                lists = len(self._chunks(group))
                left = first_page.left - past.rows
                if not keyset_paging.range_is_cheaper(list_requests=lists, rows_left=left, page_size=self._page_size):
                    return await self._listed(group)
                async for page in walk(self._caller, listing, after=first_page.after):
                    past.add(row for _, row in page.rows)
            # Set together and last: a neighbour sees a whole range or none.
            stretch.by_history, stretch.rows = past.by_history, past.rows
            stretch.answered_at = first_page.date
            return {history: stretch.by_history.get(history, ()) for history in group}
        finally:
            if stretch.answered_at is None:
                self._kept.remove(stretch)
            stretch.done.set()

    async def _listed(self, histories: Sequence[int]) -> ByHistory:
        """Exactly these histories, by lists of ids."""

        async def read(ids: tuple[int, ...]) -> ByHistory:
            listing = self._listing(keyset_paging.list_condition(ids))
            past = _Past()
            async for page in walk(self._caller, listing):
                past.add(row for _, row in page.rows)
            return past.by_history

        found: dict[int, Sequence[Revision]] = dict.fromkeys(histories, ())
        for part in await _together([read(ids) for ids in self._chunks(histories)]):
            found.update(part)
        return found

    def _chunks(self, histories: Sequence[int]) -> list[tuple[int, ...]]:
        # Measured with the longest list's frame: another operand and the id that the walk may stand at.
        frame = self._listing(keyset_paging.range_condition(0, 1))
        taken = len(frame.request(after=10**13, size=self._page_size).target) + len("https://") + 253
        return keyset_paging.chunks(histories, taken=taken)

    def _listing(self, where: Expression) -> Listing:
        return Listing(
            kind="revision",
            fetch=REVISION_FIELDS,
            # The project scope does not matter to revisions (rally-api-notes.md#reading-revisions).
            where=(where,),
            workspace=self._workspace,
        )

    def _forget(self) -> None:
        """Drop the oldest finished ranges beyond the limit."""
        kept = self._kept
        rows = sum(each.rows for each in kept)
        for each in list(kept):
            if rows <= MOST_KEPT:
                return
            if each.done.is_set():
                kept.remove(each)
                rows -= each.rows


async def _together(parts: Sequence[Coroutine[Any, Any, ByHistory]]) -> list[ByHistory]:
    """All results; when one fails the others are stopped, and its error is raised as it is."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Past:
    """Revisions by the history they belong to, taken from rows page by page: the rows are many times as large."""

    def __init__(self) -> None:
        self.by_history: defaultdict[int, list[Revision]] = defaultdict(list)
        #: How many rows were taken in.
        self.rows = 0
        #: One text for each person, not one for each row.
        self._users: dict[str, str] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in; a revision without a history or a time tells nothing."""
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
