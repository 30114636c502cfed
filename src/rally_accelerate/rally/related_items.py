"""Related objects of items: discussions, timeboxes of their history, and linked items."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from rally_accelerate.errors import NotFoundError, RejectedError
from rally_accelerate.rally.history_fields import TIMEBOXES
from rally_accelerate.rally.keyset_paging import Listing, Row, read_page, read_pages, read_rows
from rally_accelerate.rally.name_resolver import NameResolver
from rally_accelerate.rally.query import any_of
from rally_accelerate.rally.records import (
    HistorySource,
    ItemHistory,
    Post,
    Record,
    RelatedObjects,
    Timebox,
    TimeboxValue,
    WorkItem,
    person_name,
)
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.timeboxes import MilestoneReader, milestone_ids
from rally_accelerate.rally.wsapi import WSAPI, Request, object_id, parse_instant, ref_id

_FIELDS = ("ObjectID", "Artifact", "User", "Text", "CreationDate", "LastUpdateDate")

#: This many items at once indicate a first sync, so that all discussions will be needed.
FIRST_SYNC_ITEMS = 200

#: Maximum number of posts that are read at once and cached, at most about a kilobyte each.
MAX_LISTED = 10_000

Posts = Mapping[int, Sequence[Post]]


class DiscussionReader:
    """Reader of the discussions of one workspace in one run.

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
    """

    def __init__(self, session: Session, *, workspace: int) -> None:
        self._session = session
        self._listing = Listing(kind="conversationpost", fetch=_FIELDS, workspace=workspace)
        #: All posts by item, once they are listed.
        self._all_posts: Posts = {}
        self._is_listed = False
        self._lock = asyncio.Lock()

    async def read(self, records: Sequence[Record]) -> Posts:
        """Read the posts of records, by ObjectID of the item, unordered."""
        counts = {record.object_id: count for record in records if (count := _count_posts(record))}
        if counts and len(records) >= FIRST_SYNC_ITEMS:
            await self._load_list()
        # Posts can be added after the list was read, so the counts of the items are compared.
        posts = {
            item: self._all_posts[item] for item, count in counts.items() if len(self._all_posts.get(item, ())) == count
        }
        missing = counts.keys() - posts.keys()
        rows = [
            row async for row in read_rows(self._session, self._listing, sorted(missing), field="Artifact.ObjectID")
        ]
        return {**posts, **_group_by_item(rows, missing)}

    async def _load_list(self) -> None:
        """Read every post of the workspace once in a run, unless there are very many."""
        async with self._lock:
            if self._is_listed:
                return
            self._is_listed = True
            first = await read_page(self._session, self._listing)
            if first.remaining > MAX_LISTED:
                return
            rows = [row for _, row in first.rows]
            if not first.last:
                async for page in read_pages(self._session, self._listing, after=first.after):
                    rows.extend(row for _, row in page.rows)
            self._all_posts = _group_by_item(rows)


async def read_posts(session: Session, *, workspace: int, items: Sequence[int]) -> Posts:
    """Return the posts of some items, by ObjectID of the item, in no order.

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
        items: ObjectIDs of the items.
    """
    listing = Listing(kind="conversationpost", fetch=_FIELDS, workspace=workspace)
    rows = [row async for row in read_rows(session, listing, items, field="Artifact.ObjectID")]
    return _group_by_item(rows, items)


def _group_by_item(rows: Sequence[Row], item_ids: Collection[int] | None = None) -> Posts:
    posts: dict[int, list[Post]] = defaultdict(list)
    for row in rows:
        item, oid = ref_id(row.get("Artifact")), ref_id(row)
        created = parse_instant(row.get("CreationDate"))
        if item is None or (item_ids is not None and item not in item_ids) or oid is None or created is None:
            continue
        user = row.get("User")
        posts[item].append(
            Post(
                object_id=oid,
                user=person_name(user) if isinstance(user, Mapping) else "",
                created=created,
                updated=parse_instant(row.get("LastUpdateDate")) or created,
                text=str(row.get("Text") or ""),
                user_id=ref_id(user),
            )
        )
    return posts


def _count_posts(record: Record) -> int:
    value = record.fields.get("Discussion")
    return (object_id(value.get("Count")) or 0) if isinstance(value, Mapping) else 0


logger = logging.getLogger(__name__)

#: References to other items. Fetched separately: in the fetch list of items, Rally would expand each with all its
#: fields, in every row (rally-api-notes.md#fetch).
_REFERENCES = ("Parent", "PortfolioItem", "Requirement", "WorkProduct", "TestCase")
#: Revisions have their members by FormattedID; where they do not, each item that has any needs a request. Children are
#: not read, because they refer to their parent. The kind of the members is the kind of the item unless named.
_COLLECTIONS = {"Predecessors": "", "Successors": "", "Duplicates": "defect", "DefectSuites": "defectsuite"}

#: Keeps the address below its limit.
_MAX_KEYS_IN_QUERY = 40


class RelatedObjectsReader:
    """Reader of the related objects of items.

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
        names: Names of other objects.
        posts: Whether to read discussions.
        links: Whether to read relations.
    """

    def __init__(self, session: Session, *, workspace: int, names: NameResolver, posts: bool, links: bool) -> None:
        self._session = session
        self._workspace = workspace
        self._names = names
        self._discussions = DiscussionReader(session, workspace=workspace) if posts else None
        self._links = links
        self._milestones = MilestoneReader(session, workspace=workspace)
        #: ObjectIDs by kind and FormattedID, and FormattedIDs that were not found.
        self._by_key: dict[str, dict[str, int]] = defaultdict(dict)
        self._unknown: dict[str, set[str]] = defaultdict(set)

    async def read(self, records: Sequence[Record], histories: Sequence[ItemHistory]) -> list[WorkItem]:
        """Read the related objects of records; return work items in the same order."""
        histories = (
            await self._add_links(records, histories)
            if self._links
            else [replace(item_history, links={}) for item_history in histories]
        )
        await self._names.load_items({"PortfolioItem": _collect_links(histories, "PortfolioItem")})
        posts = await self._read_posts(records)
        milestones = await self._milestones.read(record.fields for record in records)
        return [
            WorkItem(
                record=record,
                past=item_history,
                around=RelatedObjects(
                    posts=tuple(posts.get(record.object_id, ())),
                    timeboxes=self._collect_timeboxes(item_history),
                    items=self._collect_items(item_history),
                    milestones={
                        milestone: milestones[milestone]
                        for milestone in milestone_ids(record.fields)
                        if milestone in milestones
                    },
                ),
            )
            for record, item_history in zip(records, histories, strict=True)
        ]

    async def _read_posts(self, records: Sequence[Record]) -> Posts:
        """Read the discussions, and look up authors whose stubs have no name."""
        if self._discussions is None:
            return {}
        posts = await self._discussions.read(records)
        nameless = {
            post.user_id for item_posts in posts.values() for post in item_posts if not post.user and post.user_id
        }
        if not nameless:
            return posts
        names = await self._names.load_people(nameless)
        return {
            item: [replace(post, user=post.user or names.get(post.user_id or 0, "")) for post in item_posts]
            for item, item_posts in posts.items()
        }

    async def _add_links(self, records: Sequence[Record], histories: Sequence[ItemHistory]) -> list[ItemHistory]:
        """Add links to histories: Lookback includes them, for other sources they are read."""
        without_links = [
            record
            for record, item_history in zip(records, histories, strict=True)
            if item_history.source is not HistorySource.LOOKBACK
        ]
        if not without_links:
            return list(histories)
        linked_keys = {
            record.object_id: item_history.linked for record, item_history in zip(records, histories, strict=True)
        }
        links: dict[int, dict[str, tuple[int, ...]]] = {}
        for kind in dict.fromkeys(record.kind for record in without_links):
            ids = [record.object_id for record in without_links if record.kind == kind]
            links.update(await self._read_links(kind, ids, linked_keys))
        return [
            replace(item_history, links=links.get(record.object_id, {}), linked={})
            if item_history.source is not HistorySource.LOOKBACK
            else item_history
            for record, item_history in zip(records, histories, strict=True)
        ]

    async def _read_links(
        self, kind: str, ids: Sequence[int], linked_keys: Mapping[int, Mapping[str, tuple[str, ...]]]
    ) -> Mapping[int, dict[str, tuple[int, ...]]]:
        fetch = ("ObjectID", *_REFERENCES, *_COLLECTIONS)
        listing = Listing(kind=kind, fetch=fetch, workspace=self._workspace)
        requested = set(ids)
        links: dict[int, dict[str, tuple[int, ...]]] = {}
        without_keys: list[tuple[int, str, str]] = []
        with_keys: list[tuple[int, str, str]] = []
        async for row in read_rows(self._session, listing, ids):
            oid = ref_id(row)
            if oid is None or oid not in requested:
                continue
            links[oid] = {name: (other,) for name in _REFERENCES if (other := ref_id(row.get(name) or {})) is not None}
            for name in _COLLECTIONS:
                value = row.get(name)
                count = (object_id(value.get("Count")) or 0) if isinstance(value, Mapping) else 0
                if count:
                    is_complete = len(linked_keys.get(oid, {}).get(name, ())) == count
                    (with_keys if is_complete else without_keys).append((oid, name, str(row.get("_type") or kind)))
        keys_by_kind: dict[str, set[str]] = defaultdict(set)
        for oid, name, _ in with_keys:
            keys_by_kind[_COLLECTIONS[name] or kind].update(linked_keys[oid][name])
        known = {linked_kind: await self._resolve_keys(linked_kind, keys) for linked_kind, keys in keys_by_kind.items()}
        for oid, name, item_kind in with_keys:
            keys, ids_by_key = linked_keys[oid][name], known[_COLLECTIONS[name] or kind]
            if all(key in ids_by_key for key in keys):
                links[oid][name] = tuple(sorted(ids_by_key[key] for key in keys))
            else:
                without_keys.append((oid, name, item_kind))
        members = await asyncio.gather(*(self._read_members(*arguments) for arguments in without_keys))
        for (oid, name, _), others in zip(without_keys, members, strict=True):
            links[oid][name] = others
        return links

    async def _resolve_keys(self, kind: str, keys: Iterable[str]) -> Mapping[str, int]:
        """Return ObjectIDs by FormattedID, as far as the items are visible; each is looked up once in a run."""
        known = self._by_key[kind]
        unknown = sorted(set(keys) - known.keys() - self._unknown[kind])
        for start in range(0, len(unknown), _MAX_KEYS_IN_QUERY):
            part = unknown[start : start + _MAX_KEYS_IN_QUERY]
            listing = Listing(
                kind=kind,
                fetch=("ObjectID", "FormattedID"),
                where=(any_of("FormattedID", part),),
                workspace=self._workspace,
            )
            try:
                async for page in read_pages(self._session, listing):
                    # Some servers compare digits only (rally-api-notes.md#formatted-ids): items with
                    # another prefix are ignored.
                    known.update((str(row.get("FormattedID")), oid) for oid, row in page.rows)
            except (NotFoundError, RejectedError) as error:
                logger.info("%s cannot be found by FormattedID: %s", kind, error)
            self._unknown[kind].update(set(part) - known.keys())
        return known

    async def _read_members(self, oid: int, name: str, kind: str) -> tuple[int, ...]:
        # The workspace is sent although the item implies it: without it users of several workspaces got nothing
        # (rally-api-notes.md#scope).
        params = {
            "workspace": f"/workspace/{self._workspace}",
            "fetch": "ObjectID",
            "order": "ObjectID",
            "start": "1",
            "pagesize": "2000",
        }
        try:
            answer = await self._session.read(Request(f"{WSAPI}/{kind}/{oid}/{name}", params))
        except (NotFoundError, RejectedError) as error:
            logger.info("%s of %d cannot be read: %s", name, oid, error)
            return ()
        rows = answer.data.get("Results")
        return tuple(other for row in rows if (other := ref_id(row)) is not None) if isinstance(rows, list) else ()

    def _collect_timeboxes(self, item_history: ItemHistory) -> Mapping[int, Timebox]:
        timeboxes: dict[int, Timebox] = {}
        for _, _, field, before, after, _ in item_history.changes:
            shape = TIMEBOXES.get(field)
            if shape is None:
                continue
            for value in (before, after):
                if isinstance(value, TimeboxValue) and value.object_id is not None:
                    known = self._names.find_timebox(shape, value.object_id)
                    if known is not None:
                        timeboxes[value.object_id] = known
        return timeboxes

    def _collect_items(self, item_history: ItemHistory) -> Mapping[int, tuple[str, str]]:
        return {
            oid: known
            for oid in item_history.links.get("PortfolioItem", ())
            if (known := self._names.find_item(oid)) is not None
        }


def _collect_links(histories: Sequence[ItemHistory], name: str) -> set[int]:
    return {oid for item_history in histories for oid in item_history.links.get(name, ())}
