"""History of items: from Lookback in bulk, or from revisions where Lookback is not available.

One Lookback request brings up to 20,000 snapshots, whichever items they belong to
(rally-api-notes.md#lookback-requests), so items are batched until they fill a request. Histories that Lookback refuses,
has not received yet or returns only in part are read from revisions.
"""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from rally_accelerate.config.model import Properties
from rally_accelerate.errors import RallyAccelerateError, RejectedError
from rally_accelerate.rally import lookback, removed_item_values, revision_changes
from rally_accelerate.rally.history_fields import TIMEBOXES, Shape, TrackedField, TrackedFields, choice_text
from rally_accelerate.rally.name_resolver import NameResolver
from rally_accelerate.rally.records import (
    NO_HISTORY,
    HistorySource,
    ItemHistory,
    Record,
    Revision,
    Scope,
    Timebox,
    name_or_id,
)
from rally_accelerate.rally.revision_changes import CLOCK_TOLERANCE, VersionAgreement, find_links
from rally_accelerate.rally.revision_history import RevisionHistoryReader
from rally_accelerate.rally.revision_text import looks_like_clause
from rally_accelerate.rally.session import SNAPSHOT, Session, largest_page
from rally_accelerate.rally.type_definitions import LabelReader
from rally_accelerate.rally.wsapi import Request, ref_id

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Assumed number of snapshots of an item whose version is unknown.
TYPICAL_SNAPSHOTS = 10

#: Fraction of a request that must be filled before it is sent; items of the next page would rarely fit into the rest.
MIN_FILL = 0.9

#: Answers of this size are read one after the other: each takes tens of megabytes while it is read.
MAX_PARALLEL_ANSWERS = 1

ITEMS_BETWEEN_PAUSES = 200

#: Changes are there after 15 to 60 seconds (rally-api-notes.md#lookback-availability): what is not there after so long,
#: revisions tell.
MAX_LAG = timedelta(minutes=30)

#: For how many seconds a failing Lookback is tried again before revisions take its place.
LOOKBACK_RETRY_SECONDS = 20.0

#: So many items at once are a first sync: more of them will need more names.
FIRST_SYNC_ITEMS = 500

PARTIAL_HISTORY = (
    "Lookback returns only a part of some items' history, because this user cannot see all of their projects. Their "
    "revisions are read instead."
)

LOOKBACK_LATE = (
    "Lookback is more than 30 minutes behind, or has lost changes. The history of items that changed since then is "
    "read from revisions."
)


class HistoryReader:
    """Reader of the history of items in one run.

    Args:
        session: Sends requests to Rally.
        properties: The validated settings.
        scope: Where the items are.
        fields: The tracked fields.
        rests: Further fields that are read of removed items.
    """

    def __init__(
        self,
        session: Session,
        properties: Properties,
        scope: Scope,
        fields: TrackedFields,
        *,
        removed_item_fields: Sequence[TrackedField] = (),
    ) -> None:
        self._session = session
        self._workspace = scope.workspace.object_id
        self._fields = fields
        tracked = {field.name for field in fields.fields}
        self._removed_item_fields = tuple(field for field in removed_item_fields if field.name not in tracked)
        self._source = properties.history_source
        self._links = properties.relations
        self._page_size = largest_page(SNAPSHOT, properties)
        self._histories = RevisionHistoryReader(
            session, workspace=self._workspace, page_size=largest_page("revision", properties)
        )
        self._labels = LabelReader(session, workspace=self._workspace, fields=fields)
        self._semaphore = asyncio.Semaphore(MAX_PARALLEL_ANSWERS)
        self._agreement = VersionAgreement()
        #: Texts of the run's items, and names of what they refer to, that look like clauses of revisions.
        self._imitations: set[str] = set()
        #: Why Lookback is no longer used in this run; empty while it is.
        self._lookback_failure = ""
        self._notices: list[str] = []
        #: Why the history of some items was not read from Lookback; each reason is reported once.
        self._reasons: set[str] = set()
        self._overdue_before = scope.now - MAX_LAG
        # With revisions at hand, a failing Lookback must not hold up everything.
        self._patience = LOOKBACK_RETRY_SECONDS if self._source == "auto" else math.inf
        #: Closed projects whose timeboxes have no names yet.
        self._closed: Sequence[int] = sorted(project.object_id for project in scope.closed)
        self.names = NameResolver(session, workspace=self._workspace)
        self.names.add_names(Shape.PROJECT, {project.object_id: project.name for project in scope.closed})

    @property
    def _uses_lookback(self) -> bool:
        return self._source in {"auto", "lookback"} and not self._lookback_failure

    def take_notices(self) -> tuple[str, ...]:
        """Return the notices that were not returned before."""
        notices, self._notices = tuple(self._notices), []
        return notices

    async def read_feed_time(self) -> datetime | None:
        """Return the time up to which Lookback has received changes; None when it is not reported.

        Raises:
            RallyAccelerateError: Lookback cannot be used.
        """
        nothing = partial(lookback.snapshots_request, self._workspace, [0], fields=self._fields)
        answer = await self._session.read(nothing(start=0, size=1))
        snapshots = lookback.Snapshots()
        snapshots.add_page(answer.data)
        return snapshots.feed_time

    def fits(self, records: Sequence[Record]) -> int:
        """Return how many of the first items fill one request for their history; 0 when more would fit."""
        if not self._uses_lookback:
            return len(records)
        weight = 0
        for count, record in enumerate(records):
            weight += (record.revision.version or TYPICAL_SNAPSHOTS) + 1
            if weight > self._page_size:
                return max(1, count)
        return len(records) if weight >= MIN_FILL * self._page_size else 0

    async def read(self, records: Sequence[Record]) -> list[ItemHistory]:
        """Read the history of each item, in the same order."""
        self.names.add_records(records)
        if self._source == "none":
            return [NO_HISTORY] * len(records)
        histories: dict[int, ItemHistory] = {}
        if self._uses_lookback:
            histories = await self._from_lookback(records)
        missing = [record for record in records if record.object_id not in histories]
        if missing:
            histories.update(await self._from_revisions(missing))
        return [histories[record.object_id] for record in records]

    async def _from_lookback(self, records: Sequence[Record]) -> dict[int, ItemHistory]:
        """Read histories from Lookback; leave out items whose history is not complete there."""
        reader = lookback.SnapshotReader(self._fields)
        async with self._semaphore:
            if self._lookback_failure:
                return {}
            snapshots = await self._try_lookback(self._query_snapshots([record.object_id for record in records]))
            if snapshots is None:
                return {}
            # Rows are released item by item: they are many times as large as their summary.
            condensed: dict[int, lookback.SnapshotSummary] = {}
            for item in list(snapshots.by_item):
                summary = _summarize(reader, snapshots.by_item.pop(item))
                if summary is not None:
                    condensed[item] = summary
        await self.names.load(reader.ids.by_shape, many=len(records) >= FIRST_SYNC_ITEMS)
        await self.names.load_items(reader.ids.items)
        if await self._try_lookback(self._name_timeboxes(reader.ids, condensed)) is None:
            return {}
        histories: dict[int, ItemHistory] = {}
        for number, record in enumerate(records, start=1):
            item_history = self._build_history(reader, record, condensed.get(record.object_id), snapshots.feed_time)
            reason = self._fallback_reason(record, item_history)
            if not reason or self._source == "lookback":
                histories[record.object_id] = item_history
            elif reason not in self._reasons:
                self._reasons.add(reason)
                self._notices.append(reason)
            if number % ITEMS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
        return histories

    def _fallback_reason(self, record: Record, item_history: ItemHistory) -> str:
        """Return why an item's history must be read from revisions; an empty text if Lookback has it."""
        if not item_history.whole:
            return PARTIAL_HISTORY
        # A recent change arrives by the next run; an old one might never arrive.
        return "" if item_history.up_to_date or record.revision.updated_at > self._overdue_before else LOOKBACK_LATE

    def _build_history(
        self,
        reader: lookback.SnapshotReader,
        record: Record,
        condensed: lookback.SnapshotSummary | None,
        fed_until: datetime | None,
    ) -> ItemHistory:
        updated_at = record.revision.updated_at
        if condensed is None:
            # Created after the last data that Lookback received; or Lookback never had it, and revisions are needed.
            late = fed_until is not None and fed_until < updated_at + CLOCK_TOLERANCE
            return ItemHistory(source=HistorySource.LOOKBACK, up_to_date=False, whole=late)
        if fed_until is None:
            fed = condensed.updated_at >= round((updated_at - CLOCK_TOLERANCE).timestamp() * 1000)
        else:
            fed = fed_until >= updated_at
        return reader.to_history(condensed, self.names.name_at, up_to_date=fed)

    async def _try_lookback(self, query: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of a Lookback query; None if Lookback failed and is not used again in this run."""
        try:
            return await query
        except RallyAccelerateError as error:
            if self._source == "lookback":
                raise
            self._lookback_failure = str(error)
            self._notices.append(f"Lookback cannot be used, so the history is read from revisions: {error}")
            return None

    async def _name_timeboxes(
        self, ids: lookback.ReferencedIds, condensed: Mapping[int, lookback.SnapshotSummary]
    ) -> bool:
        """Read from Lookback the names of timeboxes that WSAPI does not return: those of closed projects."""
        unknown = self._find_unnamed(ids)
        if unknown and self._closed:
            closed, self._closed = self._closed, ()
            await self._name_closed_timeboxes(closed)
            unknown = self._find_unnamed(ids)
        items = sorted(item for item, summary in condensed.items() if summary.was_in(unknown)) if unknown else []
        if items:
            for row in await self._read_rows(
                partial(lookback.timebox_names_request, self._workspace, items, sorted(unknown))
            ):
                summary = condensed.get(row.get("ObjectID") or 0)
                for field, shape in TIMEBOXES.items() if summary else ():
                    entered = summary.find_timebox(lookback.milliseconds(row["_ValidFrom"]), field) if summary else None
                    if entered in unknown and isinstance(name := row.get(field), str):
                        self.names.add_names(shape, {entered: name})
        for shape in TIMEBOXES.values():
            self.names.add_names(shape, {oid: str(oid) for oid in ids.by_shape[shape] & unknown})
        return True

    def _find_unnamed(self, ids: lookback.ReferencedIds) -> set[int]:
        return {
            oid
            for shape in TIMEBOXES.values()
            for oid in ids.by_shape[shape]
            if self.names.find_timebox(shape, oid) is None
        }

    async def _name_closed_timeboxes(self, projects: Sequence[int]) -> None:
        """Read the name of every timebox of closed projects at once, unless they have very many snapshots."""
        ask = partial(lookback.timeboxes_of_projects_request, self._workspace, projects)
        rows = [
            await self._read_rows(partial(ask, hydrated=hydrated), most=self._page_size) for hydrated in (True, False)
        ]
        named = {(row.get("ObjectID"), row.get("_ValidFrom")): row for row in rows[0]}
        for row in rows[1]:
            same = named.get((row.get("ObjectID"), row.get("_ValidFrom")), {})
            for field, shape in TIMEBOXES.items():
                oid, name = row.get(field), same.get(field)
                if isinstance(oid, int) and isinstance(name, str):
                    self.names.add_names(shape, {oid: name})

    async def _read_rows(self, ask: Callable[..., Request], *, most: int | None = None) -> list[lookback.SnapshotRow]:
        """Read the rows of a query; with ``most``, stop after about that many rows."""
        rows: list[lookback.SnapshotRow] = []
        received = 0
        while True:
            answer, _ = await self._session.read_page(
                SNAPSHOT, partial(_at_size, ask, received), patience=self._patience, doubtful=lookback.is_doubtful
            )
            results = answer.data.get("Results")
            results = results if isinstance(results, list) else []
            received += len(results)
            rows.extend(row for row in results if lookback.is_dated(row))
            if not results or not answer.data.get("HasMore") or (most is not None and received >= most):
                return rows

    async def find_departed_items(self, field: str, timeboxes: Sequence[int]) -> set[int]:
        """Return the items that left one of some timeboxes; none if Lookback is not available."""
        if not self._uses_lookback:
            return set()
        try:
            rows = await self._read_rows(partial(lookback.departures_request, self._workspace, field, timeboxes))
        except RallyAccelerateError as error:
            logger.info("items that left a timebox cannot be found: %s", error)
            return set()
        return {row["ObjectID"] for row in rows if isinstance(row.get("ObjectID"), int)}

    async def read_snapshots(self, ids: Sequence[int]) -> removed_item_values.SnapshotFeed:
        """Read the snapshots of items that queries no longer return.

        Raises:
            RallyAccelerateError: Lookback cannot be used.
        """
        if self._source not in {"auto", "lookback"}:
            raise RejectedError(f"Lookback is not asked, because historySource is {self._source}")
        if self._lookback_failure:
            raise RejectedError(f"Lookback cannot be used: {self._lookback_failure}")
        reader, tracked = lookback.SnapshotReader(self._fields), (*self._fields.in_lookback, *self._removed_item_fields)
        texts = (
            *removed_item_values.UNTRACKED_CHOICES,
            *(field.name for field in self._removed_item_fields if field.shape is Shape.CHOICE),
        )
        extra_fields = (*removed_item_values.EXTRA_FIELDS, *(field.name for field in self._removed_item_fields))
        condensed: dict[int, lookback.SnapshotSummary] = {}
        newest: dict[int, lookback.SnapshotRow] = {}
        async with self._semaphore:
            snapshots = await self._query_snapshots(ids, extra_fields=extra_fields, texts=texts)
        for item, rows in snapshots.by_item.items():
            summary = _summarize(reader, rows)
            if summary is not None and summary.complete and removed_item_values.parse_kind(rows[-1]):
                # Reading has put them in order.
                condensed[item], newest[item] = summary, rows[-1]
        for row in newest.values():
            by_shape, items = removed_item_values.collect_ids(row, tracked)
            for shape, some in by_shape.items():
                reader.ids.by_shape[shape].update(some)
            for field, some in items.items():
                reader.ids.items[field].update(some)
        await self.names.load(reader.ids.by_shape)
        await self.names.load_items(reader.ids.items)
        await self._name_timeboxes(reader.ids, condensed)
        histories = {
            item: removed_item_values.SnapshotItem(
                kind=removed_item_values.parse_kind(newest[item]),
                fields=removed_item_values.to_query_fields(newest[item], tracked, self.names, at=summary.updated_at),
                past=replace(
                    reader.to_history(summary, self.names.name_at, up_to_date=True),
                    up_to_date=True,
                    links=summary.links if self._links else {},
                ),
                updated_at=datetime.fromtimestamp(summary.updated_at / 1000, UTC),
                ended_at=removed_item_values.parse_end(newest[item]),
            )
            for item, summary in condensed.items()
        }
        return removed_item_values.SnapshotFeed(
            items=histories,
            incomplete=snapshots.by_item.keys() - histories.keys(),
            feed_time=snapshots.feed_time,
            has_hidden_projects=snapshots.unauthorized,
        )

    async def _query_snapshots(
        self, ids: Sequence[int], *, extra_fields: Sequence[str] = (), texts: Sequence[str] = ()
    ) -> lookback.Snapshots:
        snapshots = lookback.Snapshots()
        ask = partial(
            lookback.snapshots_request, self._workspace, ids, fields=self._fields, more=extra_fields, texts=texts
        )
        more = True
        while more:
            start = snapshots.rows
            answer, _ = await self._session.read_page(
                SNAPSHOT,
                partial(_at_size, ask, start),
                patience=self._patience,
                doubtful=lookback.is_doubtful,
            )
            more = snapshots.add_page(answer.data)
        return snapshots

    async def _from_revisions(self, records: Sequence[Record]) -> dict[int, ItemHistory]:
        by_kind: dict[str, list[Record]] = {}
        for record in records:
            by_kind.setdefault(record.kind, []).append(record)
        histories: dict[int, ItemHistory] = {}
        for kind, kind_records in by_kind.items():
            histories.update(await self._from_revisions_of_kind(kind_records, await self._labels.read(kind)))
        return histories

    async def _from_revisions_of_kind(self, records: Sequence[Record], fields: TrackedFields) -> dict[int, ItemHistory]:
        self._imitations.update(
            text for record in records for text in _iterate_texts(record) if looks_like_clause(text)
        )
        by_history = await self._histories.read(records)
        revisions = [by_history.get(ref_id(record.fields.get("RevisionHistory")) or 0, ()) for record in records]
        revisions = await self._add_authors(revisions)
        resolve_timebox = await self._make_timebox_resolver(records, revisions, fields)
        reader = revision_changes.RevisionReader(fields, resolve_timebox)
        histories: dict[int, ItemHistory] = {}
        for number, (record, item_revisions) in enumerate(zip(records, revisions, strict=True), start=1):
            project = revision_changes.ProjectAt(_name(record, "Project"), ref_id(record.fields.get("Project") or {}))
            state = record.revision
            item_history = reader.read(
                item_revisions,
                project=project,
                collections=_collections(record),
                present=_current_values(record, self._fields),
                newest=self._agreement.judge(item_revisions, updated_at=state.updated_at, version=state.version),
                texts=self._imitations,
            )
            histories[record.object_id] = (
                replace(item_history, linked=find_links(item_revisions)) if self._links else item_history
            )
            if number % ITEMS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
        return histories

    async def _add_authors(self, revisions: Sequence[Sequence[Revision]]) -> list[Sequence[Revision]]:
        """Look up the names of authors whose stubs have none; sends no request if all have one."""
        nameless = {
            revision.user_id
            for item_revisions in revisions
            for revision in item_revisions
            if not revision.user and revision.user_id is not None
        }
        if not nameless:
            return list(revisions)
        names = await self.names.load_people(nameless)
        return [
            [
                replace(revision, user=names.get(revision.user_id or 0, "")) if not revision.user else revision
                for revision in item_revisions
            ]
            for item_revisions in revisions
        ]

    async def _make_timebox_resolver(
        self, records: Sequence[Record], revisions: Sequence[Sequence[Revision]], fields: TrackedFields
    ) -> revision_changes.TimeboxResolver:
        """Return a function that identifies timeboxes by their name at the time when an item entered or left them."""
        names_by_item = [revision_changes.collect_timebox_names(item_revisions, fields) for item_revisions in revisions]
        known: dict[tuple[Shape, str], list[Timebox]] = defaultdict(list)
        for shape in {shape for names in names_by_item for shape, some in names.items() if some}:
            requested = {name for names in names_by_item for name in names.get(shape, ())}
            timeboxes_by_name = await self.names.find_timeboxes(shape, requested)
            timeboxes = {timebox.object_id: timebox for some in timeboxes_by_name.values() for timebox in some}
            # An object with this name today can have had another name then, and the other way round.
            await self.names.load({shape: timeboxes})
            here = {
                (timebox.project_id, name)
                for name, some in timeboxes_by_name.items()
                for timebox in some
                if self.names.all_names(shape, timebox.object_id) == {name}
            }
            renamed = {
                project
                for record, names in zip(records, names_by_item, strict=True)
                if (project := ref_id(record.fields.get("Project") or {})) is not None
                if any((project, name) not in here for name in names.get(shape, ()))
            }
            if renamed:
                timeboxes |= {timebox.object_id: timebox for timebox in await self.names.list_timeboxes(shape, renamed)}
            for oid, box in timeboxes.items():
                for name in self.names.all_names(shape, oid):
                    known[shape, name].append(box)

        def which(shape: Shape, name: str, project: revision_changes.ProjectAt, at: int) -> int | None:
            # A timebox of another project that has the name need not be meant.
            matches = [
                timebox.object_id
                for timebox in known.get((shape, name), ())
                if (
                    timebox.project == project.name
                    if project.object_id is None
                    else timebox.project_id == project.object_id
                )
                if self.names.name_at(shape, timebox.object_id, at) == name
            ]
            return matches[0] if len(matches) == 1 else None

        return which


def _summarize(reader: lookback.SnapshotReader, rows: list[lookback.SnapshotRow]) -> lookback.SnapshotSummary | None:
    """Summarize the snapshots of an item; return None if they cannot be read, so that revisions are read instead."""
    try:
        return reader.summarize(rows)
    except (KeyError, TypeError, ValueError) as error:
        # One item's odd snapshots must not stop the others (accelerate-api-notes.md#reported-problems).
        logger.info("snapshots of %s cannot be read: %s", rows[0].get("ObjectID"), error)
        return None


def _at_size(ask: Callable[..., Request], start: int, size: int) -> Request:
    return ask(start=start, size=size)


def _name(record: Record, field: str) -> str:
    value = record.fields.get(field)
    return str(value.get("Name") or value.get("_refObjectName") or "") if isinstance(value, Mapping) else ""


def _collections(record: Record) -> dict[str, list[str]]:
    """Return the current members of the item's collections; unknown ones are left out."""
    collections: dict[str, list[str]] = {}
    for field in ("Tags", "Milestones"):
        value: Any = record.fields.get(field)
        members = value.get("_tagsNameArray") if isinstance(value, Mapping) else None
        if isinstance(members, list):
            collections[field] = [str(member.get("Name") or "") for member in members if isinstance(member, Mapping)]
        elif value is None or (isinstance(value, Mapping) and value.get("Count") == 0):
            collections[field] = []
    return collections


def _iterate_texts(record: Record) -> Iterator[str]:
    """Yield the current texts of an item, and the names of the objects that it refers to."""
    for value in record.fields.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            members = value.get("_tagsNameArray")
            named = (value, *(members if isinstance(members, list) else ()))
            names = [part.get(key) for part in named if isinstance(part, Mapping) for key in ("Name", "_refObjectName")]
            yield from (name for name in names if isinstance(name, str))


def _current_values(record: Record, fields: TrackedFields) -> dict[str, str]:
    """Return the current values of drop-downs, people and texts, in the format of historical values."""
    values: dict[str, str] = {}
    for field in fields.fields:
        value = record.fields.get(field.name)
        if isinstance(value, Mapping):
            person = field.shape is Shape.PERSON
            value = name_or_id(value) if person else value.get("Name") or value.get("_refObjectName")
        if field.name not in record.fields or not (value is None or isinstance(value, str)):
            continue
        if field.shape in revision_changes.RENAMED:
            values[field.name] = choice_text(value)
        elif field.shape is Shape.TEXT:
            values[field.name] = value or ""
    return values
