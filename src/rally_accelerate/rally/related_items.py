"""What stands around items: their discussions, the timeboxes they were in, and the items they refer to."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from rally_accelerate.errors import NotFoundError, RejectedError
from rally_accelerate.rally.history_fields import TIMEBOXES
from rally_accelerate.rally.keyset_paging import Listing, Row, next_rows, rows_of, walk
from rally_accelerate.rally.name_resolver import Names
from rally_accelerate.rally.query import any_of
from rally_accelerate.rally.records import Around, Named, Past, PastSource, Post, Record, Timebox, WorkItem, person_name
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.timeboxes import Milestones, carried
from rally_accelerate.rally.wsapi import WSAPI, Request, object_id, parse_instant, ref_id

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


logger = logging.getLogger(__name__)

#: References to other items. Fetched by themselves: in the fetch list of whole items each would bring all its own
#: fields along, row after row (rally-api-notes.md#fetch).
_REFERENCES = ("Parent", "PortfolioItem", "Requirement", "WorkProduct", "TestCase")
#: What is in them revisions tell by FormattedID; where they do not, it takes a request for each item that has any.
#: Children are told by themselves, as theirs is the parent. The kind of the members is the item's own unless named.
_COLLECTIONS = {"Predecessors": "", "Successors": "", "Duplicates": "defect", "DefectSuites": "defectsuite"}

#: Keeps the address below its limit.
_KEYS_IN_A_QUERY = 40


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
        self._discussions = Discussions(caller, workspace=workspace) if posts else None
        self._links = links
        self._milestones = Milestones(caller, workspace=workspace)
        #: ObjectIDs by kind and FormattedID, and what was asked for and not found.
        self._by_key: dict[str, dict[str, int]] = defaultdict(dict)
        self._unknown: dict[str, set[str]] = defaultdict(set)

    async def of(self, records: Sequence[Record], pasts: Sequence[Past]) -> list[WorkItem]:
        """The items with their pasts and what stands around them, in the same order."""
        pasts = await self._linked(records, pasts) if self._links else [replace(past, links={}) for past in pasts]
        await self._names.ensure_items({"PortfolioItem": _referred(pasts, "PortfolioItem")})
        posts = await self._posts(records)
        milestones = await self._milestones.of(record.fields for record in records)
        return [
            WorkItem(
                record=record,
                past=past,
                around=Around(
                    posts=tuple(posts.get(record.object_id, ())),
                    timeboxes=self._timeboxes(past),
                    items=self._items(past),
                    milestones={each: milestones[each] for each in carried(record.fields) if each in milestones},
                ),
            )
            for record, past in zip(records, pasts, strict=True)
        ]

    async def _posts(self, records: Sequence[Record]) -> Posts:
        """Read the discussions, and name authors whose stubs carry no name."""
        if self._discussions is None:
            return {}
        posts = await self._discussions.of(records)
        nameless = {each.user_id for its in posts.values() for each in its if not each.user and each.user_id}
        if not nameless:
            return posts
        names = await self._names.people(nameless)
        return {
            item: [replace(each, user=each.user or names.get(each.user_id or 0, "")) for each in its]
            for item, its in posts.items()
        }

    async def _linked(self, records: Sequence[Record], pasts: Sequence[Past]) -> list[Past]:
        """The pasts with links; Lookback tells them, for the others they are asked for."""
        silent = [record for record, past in zip(records, pasts, strict=True) if past.source is not PastSource.LOOKBACK]
        if not silent:
            return list(pasts)
        words = {record.object_id: past.linked for record, past in zip(records, pasts, strict=True)}
        links: dict[int, dict[str, tuple[int, ...]]] = {}
        for kind in dict.fromkeys(record.kind for record in silent):
            ids = [record.object_id for record in silent if record.kind == kind]
            links.update(await self._references(kind, ids, words))
        return [
            replace(past, links=links.get(record.object_id, {}), linked={})
            if past.source is not PastSource.LOOKBACK
            else past
            for record, past in zip(records, pasts, strict=True)
        ]

    async def _references(
        self, kind: str, ids: Sequence[int], words: Mapping[int, Mapping[str, tuple[str, ...]]]
    ) -> Mapping[int, dict[str, tuple[int, ...]]]:
        fetch = ("ObjectID", *_REFERENCES, *_COLLECTIONS)
        listing = Listing(kind=kind, fetch=fetch, workspace=self._workspace)
        wanted = set(ids)
        found: dict[int, dict[str, tuple[int, ...]]] = {}
        silent: list[tuple[int, str, str]] = []
        spoken: list[tuple[int, str, str]] = []
        async for row in rows_of(self._caller, listing, ids):
            its_id = ref_id(row)
            if its_id is None or its_id not in wanted:
                continue
            found[its_id] = {
                name: (other,) for name in _REFERENCES if (other := ref_id(row.get(name) or {})) is not None
            }
            for name in _COLLECTIONS:
                value = row.get(name)
                count = (object_id(value.get("Count")) or 0) if isinstance(value, Mapping) else 0
                if count:
                    told = len(words.get(its_id, {}).get(name, ())) == count
                    (spoken if told else silent).append((its_id, name, str(row.get("_type") or kind)))
        wanted_keys: dict[str, set[str]] = defaultdict(set)
        for its_id, name, _ in spoken:
            wanted_keys[_COLLECTIONS[name] or kind].update(words[its_id][name])
        known = {each: await self._ids_of(each, keys) for each, keys in wanted_keys.items()}
        for its_id, name, its_kind in spoken:
            keys, ids_by_key = words[its_id][name], known[_COLLECTIONS[name] or kind]
            if all(key in ids_by_key for key in keys):
                found[its_id][name] = tuple(sorted(ids_by_key[key] for key in keys))
            else:
                silent.append((its_id, name, its_kind))
        members = await asyncio.gather(*(self._members(*each) for each in silent))
        for (its_id, name, _), others in zip(silent, members, strict=True):
            found[its_id][name] = others
        return found

    async def _ids_of(self, kind: str, keys: Iterable[str]) -> Mapping[str, int]:
        """ObjectIDs by FormattedID, as far as the workspace shows such items; each is asked for once in a run."""
        known = self._by_key[kind]
        unknown = sorted(set(keys) - known.keys() - self._unknown[kind])
        for start in range(0, len(unknown), _KEYS_IN_A_QUERY):
            part = unknown[start : start + _KEYS_IN_A_QUERY]
            listing = Listing(
                kind=kind,
                fetch=("ObjectID", "FormattedID"),
                where=(any_of("FormattedID", part),),
                workspace=self._workspace,
            )
            try:
                async for page in walk(self._caller, listing):
                    # Some servers compare digits only (rally-api-notes.md#formatted-ids): whoever has another prefix is
                    # not meant.
                    known.update((str(row.get("FormattedID")), its_id) for its_id, row in page.rows)
            except (NotFoundError, RejectedError) as error:
                logger.info("%s cannot be found by FormattedID: %s", kind, error)
            self._unknown[kind].update(set(part) - known.keys())
        return known

    async def _members(self, its_id: int, name: str, kind: str) -> tuple[int, ...]:
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
            answer = await self._caller.read(Request(f"{WSAPI}/{kind}/{its_id}/{name}", params))
        except (NotFoundError, RejectedError) as error:
            logger.info("%s of %d cannot be read: %s", name, its_id, error)
            return ()
        rows = answer.data.get("Results")
        return tuple(other for row in rows if (other := ref_id(row)) is not None) if isinstance(rows, list) else ()

    def _timeboxes(self, past: Past) -> Mapping[int, Timebox]:
        found: dict[int, Timebox] = {}
        for _, _, field, before, after, _ in past.changes:
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
