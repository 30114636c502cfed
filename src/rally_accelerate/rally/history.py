"""The past of items: from Lookback in bulk where it can be had, from revisions where it cannot.

One Lookback request brings up to 20,000 snapshots, whichever items they belong to
(rally-api-notes.md#lookback-requests), so items are put together until they fill one. What Lookback refuses, has not
got yet or shows only in part is told by revisions.
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
from rally_accelerate.rally.history_fields import TIMEBOXES, PastField, PastFields, Shape, choice_text
from rally_accelerate.rally.name_resolver import Names
from rally_accelerate.rally.records import NO_PAST, Past, PastSource, Record, Revision, Scope, Timebox, name_or_id
from rally_accelerate.rally.revision_changes import CLOCKS, Agreement, linked
from rally_accelerate.rally.revision_history import Histories
from rally_accelerate.rally.revision_text import imitates
from rally_accelerate.rally.session import SNAPSHOT, Caller, largest_page
from rally_accelerate.rally.type_definitions import Labels
from rally_accelerate.rally.wsapi import Request, ref_id

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: How many snapshots an item is taken to have when its version does not tell.
USUAL_SNAPSHOTS = 10

#: So full a request is worth sending; more items of the next page would rarely fit.
FULL = 0.9

#: Answers of this size are read one after the other: each takes tens of megabytes while it is read.
ANSWERS_AT_ONCE = 1

ITEMS_BETWEEN_PAUSES = 200

#: Changes are there after 15 to 60 seconds (rally-api-notes.md#lookback-availability): what is not there after so long,
#: revisions tell.
LONGEST_LAG = timedelta(minutes=30)

#: For how many seconds a failing Lookback is tried again before revisions take its place.
LOOKBACK_PATIENCE = 20.0

#: So many items at once are a first sync: more of them will need more names.
MANY = 500

PARTLY = (
    "Lookback shows some items' past only in part, because it touches projects that this user may not see; their "
    "revisions are read instead."
)

LATE = (
    "Lookback lags behind by more than half an hour, or has lost changes; the history of what changed since is read "
    "from revisions."
)


class Pasts:
    """Reads the past of one run's items.

    Args:
        caller: Asks Rally.
        properties: The validated settings.
        scope: Where the items are.
        fields: What is tracked.
        rests: What is read of removed items besides that.
    """

    def __init__(
        self,
        caller: Caller,
        properties: Properties,
        scope: Scope,
        fields: PastFields,
        *,
        rests: Sequence[PastField] = (),
    ) -> None:
        self._caller = caller
        self._workspace = scope.workspace.object_id
        self._fields = fields
        tracked = {field.name for field in fields.fields}
        self._rests = tuple(field for field in rests if field.name not in tracked)
        self._wanted = properties.history_source
        self._links = properties.relations
        self._page_size = largest_page(SNAPSHOT, properties)
        self._histories = Histories(caller, workspace=self._workspace, page_size=largest_page("revision", properties))
        self._labels = Labels(caller, workspace=self._workspace, fields=fields)
        self._turns = asyncio.Semaphore(ANSWERS_AT_ONCE)
        self._agreement = Agreement()
        #: Texts of the run's items, and names of what they refer to, that look like clauses of revisions.
        self._imitations: set[str] = set()
        #: Why Lookback is not asked any more; empty while it is.
        self._given_up = ""
        self._told: list[str] = []
        #: Why some items' past was not taken from Lookback; each reason is told once.
        self._reasons: set[str] = set()
        self._overdue_before = scope.now - LONGEST_LAG
        # With revisions at hand, a failing Lookback must not hold up everything.
        self._patience = LOOKBACK_PATIENCE if self._wanted == "auto" else math.inf
        #: Closed projects whose timeboxes nobody has named yet.
        self._closed: Sequence[int] = sorted(project.object_id for project in scope.closed)
        self.names = Names(caller, workspace=self._workspace)
        self.names.tell(Shape.PROJECT, {project.object_id: project.name for project in scope.closed})

    @property
    def _by_lookback(self) -> bool:
        return self._wanted in {"auto", "lookback"} and not self._given_up

    def notices(self) -> tuple[str, ...]:
        """What is worth telling once per run, and has not been asked for yet."""
        told, self._told = tuple(self._told), []
        return told

    async def fed_until(self) -> datetime | None:
        """How far Lookback's feed has come; None when it does not say.

        Raises:
            RallyAccelerateError: Lookback cannot be used.
        """
        nothing = partial(lookback.question, self._workspace, [0], fields=self._fields)
        answer = await self._caller.read(nothing(start=0, size=1))
        told = lookback.Snapshots()
        told.take(answer.data)
        return told.fed_until

    def fits(self, records: Sequence[Record]) -> int:
        """How many of these items, from the first on, fill one request for their past; 0 when more would fit."""
        if not self._by_lookback:
            return len(records)
        weight = 0
        for count, record in enumerate(records):
            weight += (record.revision.version or USUAL_SNAPSHOTS) + 1
            if weight > self._page_size:
                return max(1, count)
        return len(records) if weight >= FULL * self._page_size else 0

    async def of(self, records: Sequence[Record]) -> list[Past]:
        """The past of each item, in the same order."""
        self.names.learn(records)
        if self._wanted == "none":
            return [NO_PAST] * len(records)
        found: dict[int, Past] = {}
        if self._by_lookback:
            found = await self._from_lookback(records)
        lacking = [record for record in records if record.object_id not in found]
        if lacking:
            found.update(await self._from_revisions(lacking))
        return [found[record.object_id] for record in records]

    async def _from_lookback(self, records: Sequence[Record]) -> dict[int, Past]:
        """What Lookback can tell whole; nothing about the others."""
        reader = lookback.Reader(self._fields)
        async with self._turns:
            if self._given_up:
                return {}
            told = await self._asked(self._snapshots([record.object_id for record in records]))
            if told is None:
                return {}
            # Rows are let go of item by item: they are many times as large as what is kept.
            condensed: dict[int, lookback.Condensed] = {}
            for item in list(told.by_item):
                its = _condensed(reader, told.by_item.pop(item))
                if its is not None:
                    condensed[item] = its
        await self.names.ensure(reader.ids.by_shape, many=len(records) >= MANY)
        await self.names.ensure_items(reader.ids.items)
        if await self._asked(self._name_timeboxes(reader.ids, condensed)) is None:
            return {}
        found: dict[int, Past] = {}
        for number, record in enumerate(records, start=1):
            past = self._past(reader, record, condensed.get(record.object_id), told.fed_until)
            reason = self._unfit(record, past)
            if not reason or self._wanted == "lookback":
                found[record.object_id] = past
            elif reason not in self._reasons:
                self._reasons.add(reason)
                self._told.append(reason)
            if number % ITEMS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
        return found

    def _unfit(self, record: Record, past: Past) -> str:
        """Why revisions have to tell an item's past, or nothing."""
        if not past.whole:
            return PARTLY
        # A change of just now is on its way, and completed in the next run; an old one may never come.
        return "" if past.up_to_date or record.revision.updated_at > self._overdue_before else LATE

    def _past(
        self,
        reader: lookback.Reader,
        record: Record,
        condensed: lookback.Condensed | None,
        fed_until: datetime | None,
    ) -> Past:
        updated_at = record.revision.updated_at
        if condensed is None:
            # Created after the feed's end; or Lookback never had it, and then revisions must tell.
            late = fed_until is not None and fed_until < updated_at + CLOCKS
            return Past(source=PastSource.LOOKBACK, up_to_date=False, whole=late)
        if fed_until is None:
            fed = condensed.latest >= round((updated_at - CLOCKS).timestamp() * 1000)
        else:
            fed = fed_until >= updated_at
        return reader.past(condensed, self.names.at, up_to_date=fed)

    async def _asked(self, asking: Coroutine[Any, Any, T]) -> T | None:
        """What Lookback answers, or None when it is given up for this run."""
        try:
            return await asking
        except RallyAccelerateError as error:
            if self._wanted == "lookback":
                raise
            self._given_up = str(error)
            self._told.append(f"Lookback cannot be used, so the history is read from revisions: {error}")
            return None

    async def _name_timeboxes(self, ids: lookback.Ids, condensed: Mapping[int, lookback.Condensed]) -> bool:
        """Let Lookback tell the names of timeboxes that WSAPI does not show: those of closed projects."""
        unknown = self._nameless(ids)
        if unknown and self._closed:
            closed, self._closed = self._closed, ()
            await self._name_closed(closed)
            unknown = self._nameless(ids)
        items = sorted(item for item, its in condensed.items() if its.was_in(unknown)) if unknown else []
        if items:
            for row in await self._rows(partial(lookback.naming_question, self._workspace, items, sorted(unknown))):
                its = condensed.get(row.get("ObjectID") or 0)
                for field, shape in TIMEBOXES.items() if its else ():
                    entered = its.entered(lookback.milliseconds(row["_ValidFrom"]), field) if its else None
                    if entered in unknown and isinstance(name := row.get(field), str):
                        self.names.tell(shape, {entered: name})
        for shape in TIMEBOXES.values():
            self.names.tell(shape, {its_id: str(its_id) for its_id in ids.by_shape[shape] & unknown})
        return True

    def _nameless(self, ids: lookback.Ids) -> set[int]:
        return {
            its_id
            for shape in TIMEBOXES.values()
            for its_id in ids.by_shape[shape]
            if self.names.timebox(shape, its_id) is None
        }

    async def _name_closed(self, projects: Sequence[int]) -> None:
        """Name every timebox of closed projects at once, unless there are very many snapshots in them."""
        ask = partial(lookback.closed_question, self._workspace, projects)
        told = [await self._rows(partial(ask, hydrated=hydrated), most=self._page_size) for hydrated in (True, False)]
        named = {(row.get("ObjectID"), row.get("_ValidFrom")): row for row in told[0]}
        for row in told[1]:
            same = named.get((row.get("ObjectID"), row.get("_ValidFrom")), {})
            for field, shape in TIMEBOXES.items():
                its_id, name = row.get(field), same.get(field)
                if isinstance(its_id, int) and isinstance(name, str):
                    self.names.tell(shape, {its_id: name})

    async def _rows(self, ask: Callable[..., Request], *, most: int | None = None) -> list[lookback.SnapshotRow]:
        """The rows of a question; with ``most``, no more than so many, and perhaps not all."""
        rows: list[lookback.SnapshotRow] = []
        came = 0
        while True:
            answer, _ = await self._caller.page(
                SNAPSHOT, partial(_at_size, ask, came), patience=self._patience, doubtful=lookback.is_doubtful
            )
            found = answer.data.get("Results")
            found = found if isinstance(found, list) else []
            came += len(found)
            rows.extend(row for row in found if lookback.is_dated(row))
            if not found or not answer.data.get("HasMore") or (most is not None and came >= most):
                return rows

    async def left(self, field: str, timeboxes: Sequence[int]) -> set[int]:
        """Return the items that left one of some timeboxes, as far as Lookback can be asked."""
        if not self._by_lookback:
            return set()
        try:
            rows = await self._rows(partial(lookback.left_question, self._workspace, field, timeboxes))
        except RallyAccelerateError as error:
            logger.info("items that left a timebox cannot be found: %s", error)
            return set()
        return {row["ObjectID"] for row in rows if isinstance(row.get("ObjectID"), int)}

    async def snapshotted(self, ids: Sequence[int]) -> removed_item_values.Feed:
        """Read what Lookback has of items that queries no longer show.

        Raises:
            RallyAccelerateError: Lookback cannot be used.
        """
        if self._wanted not in {"auto", "lookback"}:
            raise RejectedError(f"Lookback is not asked, because historySource is {self._wanted}")
        if self._given_up:
            raise RejectedError(f"Lookback cannot be used: {self._given_up}")
        reader, tracked = lookback.Reader(self._fields), (*self._fields.in_lookback, *self._rests)
        texts = (
            *removed_item_values.UNTRACKED_CHOICES,
            *(field.name for field in self._rests if field.shape is Shape.CHOICE),
        )
        also = (*removed_item_values.ALSO_ASKED, *(field.name for field in self._rests))
        condensed: dict[int, lookback.Condensed] = {}
        newest: dict[int, lookback.SnapshotRow] = {}
        async with self._turns:
            told = await self._snapshots(ids, also=also, texts=texts)
        for item, rows in told.by_item.items():
            its = _condensed(reader, rows)
            if its is not None and its.whole and removed_item_values.kind_in(rows[-1]):
                # Reading has put them in order.
                condensed[item], newest[item] = its, rows[-1]
        for row in newest.values():
            by_shape, items = removed_item_values.ids_in(row, tracked)
            for shape, some in by_shape.items():
                reader.ids.by_shape[shape].update(some)
            for field, some in items.items():
                reader.ids.items[field].update(some)
        await self.names.ensure(reader.ids.by_shape)
        await self.names.ensure_items(reader.ids.items)
        await self._name_timeboxes(reader.ids, condensed)
        found = {
            item: removed_item_values.Snapshotted(
                kind=removed_item_values.kind_in(newest[item]),
                fields=removed_item_values.fields_in(newest[item], tracked, self.names, at=its.latest),
                past=replace(
                    reader.past(its, self.names.at, up_to_date=True),
                    up_to_date=True,
                    links=its.links if self._links else {},
                ),
                newest=datetime.fromtimestamp(its.latest / 1000, UTC),
                ended=removed_item_values.ended_at(newest[item]),
            )
            for item, its in condensed.items()
        }
        return removed_item_values.Feed(
            items=found, partly=told.by_item.keys() - found.keys(), until=told.fed_until, hides=told.unauthorized
        )

    async def _snapshots(
        self, ids: Sequence[int], *, also: Sequence[str] = (), texts: Sequence[str] = ()
    ) -> lookback.Snapshots:
        told = lookback.Snapshots()
        ask = partial(lookback.question, self._workspace, ids, fields=self._fields, more=also, texts=texts)
        more = True
        while more:
            start = told.rows
            answer, _ = await self._caller.page(
                SNAPSHOT,
                partial(_at_size, ask, start),
                patience=self._patience,
                doubtful=lookback.is_doubtful,
            )
            more = told.take(answer.data)
        return told

    async def _from_revisions(self, records: Sequence[Record]) -> dict[int, Past]:
        by_kind: dict[str, list[Record]] = {}
        for record in records:
            by_kind.setdefault(record.kind, []).append(record)
        found: dict[int, Past] = {}
        for kind, its in by_kind.items():
            found.update(await self._from_revisions_of(its, await self._labels.of(kind)))
        return found

    async def _from_revisions_of(self, records: Sequence[Record], fields: PastFields) -> dict[int, Past]:
        self._imitations.update(text for record in records for text in _texts(record) if imitates(text))
        by_history = await self._histories.of(records)
        revisions = [by_history.get(ref_id(record.fields.get("RevisionHistory")) or 0, ()) for record in records]
        revisions = await self._with_authors(revisions)
        which = await self._which_timebox(records, revisions, fields)
        reader = revision_changes.Reader(fields, which)
        found: dict[int, Past] = {}
        for number, (record, its) in enumerate(zip(records, revisions, strict=True), start=1):
            project = revision_changes.Place(_name(record, "Project"), ref_id(record.fields.get("Project") or {}))
            state = record.revision
            past = reader.past(
                its,
                project=project,
                collections=_collections(record),
                present=_present(record, self._fields),
                newest=self._agreement.newest(its, updated_at=state.updated_at, version=state.version),
                texts=self._imitations,
            )
            found[record.object_id] = replace(past, linked=linked(its)) if self._links else past
            if number % ITEMS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
        return found

    async def _with_authors(self, revisions: Sequence[Sequence[Revision]]) -> list[Sequence[Revision]]:
        """Name the authors whose stubs carry no name; costs nothing where all of them do."""
        nameless = {each.user_id for its in revisions for each in its if not each.user and each.user_id is not None}
        if not nameless:
            return list(revisions)
        names = await self.names.people(nameless)
        return [
            [replace(each, user=names.get(each.user_id or 0, "")) if not each.user else each for each in its]
            for its in revisions
        ]

    async def _which_timebox(
        self, records: Sequence[Record], revisions: Sequence[Sequence[Revision]], fields: PastFields
    ) -> revision_changes.WhichTimebox:
        """Return how to tell timeboxes by what they were called when an item came into them or left them."""
        told = [revision_changes.timebox_names(its, fields) for its in revisions]
        known: dict[tuple[Shape, str], list[Timebox]] = defaultdict(list)
        for shape in {shape for names in told for shape, some in names.items() if some}:
            wanted = {name for names in told for name in names.get(shape, ())}
            today = await self.names.timeboxes_named(shape, wanted)
            boxes = {each.object_id: each for some in today.values() for each in some}
            # What has the name today may have had another one then, and what had it then may have another one today.
            await self.names.ensure({shape: boxes})
            here = {
                (each.project_id, name)
                for name, some in today.items()
                for each in some
                if self.names.every(shape, each.object_id) == {name}
            }
            renamed = {
                project
                for record, names in zip(records, told, strict=True)
                if (project := ref_id(record.fields.get("Project") or {})) is not None
                if any((project, name) not in here for name in names.get(shape, ()))
            }
            if renamed:
                boxes |= {each.object_id: each for each in await self.names.timeboxes_of(shape, renamed)}
            for its_id, box in boxes.items():
                for name in self.names.every(shape, its_id):
                    known[shape, name].append(box)

        def which(shape: Shape, name: str, place: revision_changes.Place, at: int) -> int | None:
            # A timebox of another project that has the name need not be meant.
            found = [
                each.object_id
                for each in known.get((shape, name), ())
                if (each.project == place.name if place.object_id is None else each.project_id == place.object_id)
                if self.names.at(shape, each.object_id, at) == name
            ]
            return found[0] if len(found) == 1 else None

        return which


def _condensed(reader: lookback.Reader, rows: list[lookback.SnapshotRow]) -> lookback.Condensed | None:
    """What is left of an item's snapshots; None where they are none that anybody knows, so that revisions tell."""
    try:
        return reader.condensed(rows)
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
    """Return the members that the item's collections have now; those that Rally does not tell are left out."""
    found: dict[str, list[str]] = {}
    for field in ("Tags", "Milestones"):
        value: Any = record.fields.get(field)
        members = value.get("_tagsNameArray") if isinstance(value, Mapping) else None
        if isinstance(members, list):
            found[field] = [str(member.get("Name") or "") for member in members if isinstance(member, Mapping)]
        elif value is None or (isinstance(value, Mapping) and value.get("Count") == 0):
            found[field] = []
    return found


def _texts(record: Record) -> Iterator[str]:
    """Return the texts that an item has now, and the names of what it refers to."""
    for value in record.fields.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            members = value.get("_tagsNameArray")
            named = (value, *(members if isinstance(members, list) else ()))
            names = [each.get(key) for each in named if isinstance(each, Mapping) for key in ("Name", "_refObjectName")]
            yield from (name for name in names if isinstance(name, str))


def _present(record: Record, fields: PastFields) -> dict[str, str]:
    """Return what drop-downs, people and texts are now, in the form of the past's values."""
    found: dict[str, str] = {}
    for field in fields.fields:
        value = record.fields.get(field.name)
        if isinstance(value, Mapping):
            person = field.shape is Shape.PERSON
            value = name_or_id(value) if person else value.get("Name") or value.get("_refObjectName")
        if field.name not in record.fields or not (value is None or isinstance(value, str)):
            continue
        if field.shape in revision_changes.RENAMED:
            found[field.name] = choice_text(value)
        elif field.shape is Shape.TEXT:
            found[field.name] = value or ""
    return found
