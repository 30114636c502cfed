"""What stands around items: their discussions, the timeboxes they were in, and the items they refer to."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rally_accelerate.errors import NotFound, Rejected
from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.keyset import Listing
from rally_accelerate.rally.names import Names
from rally_accelerate.rally.pastfields import TIMEBOXES
from rally_accelerate.rally.records import Around, Named, Past, PastSource, Post, Record, Timebox, WorkItem
from rally_accelerate.rally.selection import rows_of
from rally_accelerate.rally.wire import WSAPI, Request, object_id, parse_instant, ref_id

logger = logging.getLogger(__name__)

_POST_FIELDS = ("ObjectID", "Artifact", "User", "Text", "CreationDate", "LastUpdateDate")

#: References to other items. Fetched by themselves: in the fetch list of whole items each would bring all its own
#: fields along, row after row (rally-api.md 1.5).
_REFERENCES = ("Parent", "PortfolioItem", "Requirement", "WorkProduct", "TestCase")
#: A request for each item that has members: few have. Children are told by themselves, as theirs is the parent.
_COLLECTIONS = ("Predecessors", "Successors", "Duplicates", "DefectSuites")


class Surroundings:
    """Reads what stands around items.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
        names: What is known of other things.
        posts: Whether discussions are wanted.
        links: Whether relations are wanted.
    """

    def __init__(self, caller: Caller, *, workspace: int, names: Names, posts: bool, links: bool) -> None:
        self._caller = caller
        self._workspace = workspace
        self._names = names
        self._posts = posts
        self._links = links

    async def of(self, records: Sequence[Record], pasts: Sequence[Past]) -> list[WorkItem]:
        """The items with their pasts and what stands around them, in the same order."""
        pasts = await self._linked(records, pasts) if self._links else [replace(past, links={}) for past in pasts]
        await self._names.ensure_items({"PortfolioItem": _referred(pasts, "PortfolioItem")})
        posts = await self._discussions(records) if self._posts else {}
        return [
            WorkItem(
                record=record,
                past=past,
                around=Around(
                    posts=tuple(posts.get(record.object_id, ())),
                    timeboxes=self._timeboxes(past),
                    items=self._items(past),
                ),
            )
            for record, past in zip(records, pasts, strict=True)
        ]

    async def _discussions(self, records: Sequence[Record]) -> Mapping[int, list[Post]]:
        wanted = {record.object_id for record in records if _count(record, "Discussion")}
        found: dict[int, list[Post]] = defaultdict(list)
        listing = Listing(kind="conversationpost", fetch=_POST_FIELDS, workspace=self._workspace)
        async for row in rows_of(self._caller, listing, sorted(wanted), field="Artifact.ObjectID"):
            item, its_id = ref_id(row.get("Artifact")), ref_id(row)
            created = parse_instant(row.get("CreationDate"))
            if item not in wanted or its_id is None or created is None:
                continue
            user = row.get("User")
            found[item].append(
                Post(
                    object_id=its_id,
                    user=str(user.get("_refObjectName") or "") if isinstance(user, Mapping) else "",
                    created=created,
                    updated=parse_instant(row.get("LastUpdateDate")) or created,
                    text=str(row.get("Text") or ""),
                )
            )
        return found

    async def _linked(self, records: Sequence[Record], pasts: Sequence[Past]) -> list[Past]:
        """The pasts with links; Lookback tells them, for the others they are asked for."""
        silent = [record for record, past in zip(records, pasts, strict=True) if past.source is not PastSource.LOOKBACK]
        if not silent:
            return list(pasts)
        links: dict[int, dict[str, tuple[int, ...]]] = {}
        for kind in dict.fromkeys(record.kind for record in silent):
            ids = [record.object_id for record in silent if record.kind == kind]
            links.update(await self._references(kind, ids))
        return [
            replace(past, links=links.get(record.object_id, {})) if past.source is not PastSource.LOOKBACK else past
            for record, past in zip(records, pasts, strict=True)
        ]

    async def _references(self, kind: str, ids: Sequence[int]) -> Mapping[int, dict[str, tuple[int, ...]]]:
        fetch = ("ObjectID", *_REFERENCES, *_COLLECTIONS)
        listing = Listing(kind=kind, fetch=fetch, workspace=self._workspace)
        wanted = set(ids)
        found: dict[int, dict[str, tuple[int, ...]]] = {}
        collections: list[tuple[int, str, str]] = []
        async for row in rows_of(self._caller, listing, ids):
            its_id = ref_id(row)
            if its_id is None or its_id not in wanted:
                continue
            found[its_id] = {
                name: (other,) for name in _REFERENCES if (other := ref_id(row.get(name) or {})) is not None
            }
            for name in _COLLECTIONS:
                value = row.get(name)
                if isinstance(value, Mapping) and (object_id(value.get("Count")) or 0) > 0:
                    collections.append((its_id, name, str(row.get("_type") or kind)))
        members = await asyncio.gather(*(self._members(*each) for each in collections))
        for (its_id, name, _), others in zip(collections, members, strict=True):
            found[its_id][name] = others
        return found

    async def _members(self, its_id: int, name: str, kind: str) -> tuple[int, ...]:
        # The workspace is sent although the item implies it: without it users of several workspaces got nothing
        # (rally-api.md 1.6, KB000047750).
        params = {
            "workspace": f"/workspace/{self._workspace}",
            "fetch": "ObjectID",
            "order": "ObjectID",
            "start": "1",
            "pagesize": "2000",
        }
        try:
            answer = await self._caller.read(Request(f"{WSAPI}/{kind}/{its_id}/{name}", params))
        except (NotFound, Rejected) as error:
            logger.info("%s of %d cannot be read: %s", name, its_id, error)
            return ()
        rows = answer.data.get("Results")
        return tuple(other for row in rows if (other := ref_id(row)) is not None) if isinstance(rows, list) else ()

    def _timeboxes(self, past: Past) -> Mapping[int, Timebox]:
        found: dict[int, Timebox] = {}
        for _, _, field, before, after in past.changes:
            shape = TIMEBOXES.get(field)
            if shape is None:
                continue
            for value in (before, after):
                if isinstance(value, Named) and value.object_id is not None:
                    known = self._names.timebox(shape, value.object_id)
                    if known is not None:
                        found[value.object_id] = known
        return found

    def _items(self, past: Past) -> Mapping[int, tuple[str, str]]:
        return {
            its_id: known
            for its_id in past.links.get("PortfolioItem", ())
            if (known := self._names.item(its_id)) is not None
        }


def _referred(pasts: Sequence[Past], name: str) -> set[int]:
    return {its_id for past in pasts for its_id in past.links.get(name, ())}


def _count(record: Record, name: str) -> int:
    value = record.fields.get(name)
    return (object_id(value.get("Count")) or 0) if isinstance(value, Mapping) else 0
