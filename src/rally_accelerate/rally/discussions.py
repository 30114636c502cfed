"""The discussions of items: all of the workspace's at once where that is little, else those of the items at hand."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.keyset import Listing, Row, next_rows, walk
from rally_accelerate.rally.people import person_name
from rally_accelerate.rally.records import Post, Record
from rally_accelerate.rally.selection import rows_of
from rally_accelerate.rally.wire import object_id, parse_instant, ref_id

_FIELDS = ("ObjectID", "Artifact", "User", "Text", "CreationDate", "LastUpdateDate")

#: So many items at once are a first sync: others will follow, and what is said about them.
MANY = 200

#: So many posts are read as a whole and kept; some kilobyte each at most, as long ones are few.
MOST_LISTED = 10_000

Posts = Mapping[int, Sequence[Post]]


class Discussions:
    """Reads discussions of one workspace in the course of one run.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
    """

    def __init__(self, caller: Caller, *, workspace: int) -> None:
        self._caller = caller
        self._listing = Listing(kind="conversationpost", fetch=_FIELDS, workspace=workspace)
        #: Every post by item, once they were listed.
        self._kept: Posts = {}
        self._tried = False
        self._turn = asyncio.Lock()

    async def of(self, records: Sequence[Record]) -> Posts:
        """The posts of the records, by ObjectID of the item, in no order."""
        counts = {record.object_id: count for record in records if (count := _count(record))}
        if counts and len(records) >= MANY:
            await self._list()
        # A post may have come after the list was read: the item itself tells how many there are.
        found = {item: self._kept[item] for item, count in counts.items() if len(self._kept.get(item, ())) == count}
        lacking = counts.keys() - found.keys()
        rows = [row async for row in rows_of(self._caller, self._listing, sorted(lacking), field="Artifact.ObjectID")]
        return {**found, **_by_item(rows, lacking)}

    async def _list(self) -> None:
        """Read every post of the workspace, once in a run, unless there are very many."""
        async with self._turn:
            if self._tried:
                return
            self._tried = True
            first = await next_rows(self._caller, self._listing)
            if first.left > MOST_LISTED:
                return
            rows = [row for _, row in first.rows]
            if not first.last:
                async for page in walk(self._caller, self._listing, after=first.after):
                    rows.extend(row for _, row in page.rows)
            self._kept = _by_item(rows)


async def posts_of(caller: Caller, *, workspace: int, items: Sequence[int]) -> Posts:
    """Return the posts of some items, by ObjectID of the item, in no order.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
        items: ObjectIDs of the items.
    """
    listing = Listing(kind="conversationpost", fetch=_FIELDS, workspace=workspace)
    rows = [row async for row in rows_of(caller, listing, items, field="Artifact.ObjectID")]
    return _by_item(rows, items)


def _by_item(rows: Sequence[Row], wanted: Collection[int] | None = None) -> Posts:
    found: dict[int, list[Post]] = defaultdict(list)
    for row in rows:
        item, its_id = ref_id(row.get("Artifact")), ref_id(row)
        created = parse_instant(row.get("CreationDate"))
        if item is None or (wanted is not None and item not in wanted) or its_id is None or created is None:
            continue
        user = row.get("User")
        found[item].append(
            Post(
                object_id=its_id,
                user=person_name(user) if isinstance(user, Mapping) else "",
                created=created,
                updated=parse_instant(row.get("LastUpdateDate")) or created,
                text=str(row.get("Text") or ""),
                user_id=ref_id(user),
            )
        )
    return found


def _count(record: Record) -> int:
    value = record.fields.get("Discussion")
    return (object_id(value.get("Count")) or 0) if isinstance(value, Mapping) else 0
