"""Current and former names of ids: people, timeboxes, projects, flow states, tags and other items.

Most names are included in the items and need no request; the others are read in bulk, each id once in a run. Revisions
of renamed objects provide their former names with dates.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

from rally_accelerate.errors import NotFoundError, RejectedError
from rally_accelerate.rally.history_fields import Shape
from rally_accelerate.rally.keyset_paging import HISTORY_ID, Listing, chunks, read_pages
from rally_accelerate.rally.query import Condition, any_of
from rally_accelerate.rally.records import PERSON_FIELDS, Record, Timebox, person_name, placeholder_name
from rally_accelerate.rally.revision_text import Change, Unparsed, parse, unescape
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.wsapi import object_id, parse_instant, ref_id

logger = logging.getLogger(__name__)

#: The endpoint and the fields of each shape.
_ENDPOINTS = {
    # ``/user`` is the current user; the list has the plural (rally-api-notes.md#addresses).
    Shape.PERSON: ("users", ("ObjectID", *PERSON_FIELDS)),
    Shape.PROJECT: ("project", ("ObjectID", "Name", "VersionId", "RevisionHistory")),
    Shape.ITERATION: (
        "iteration",
        ("ObjectID", "Name", "StartDate", "EndDate", "State", "Theme", "Project", "VersionId", "RevisionHistory"),
    ),
    Shape.RELEASE: (
        "release",
        (
            "ObjectID",
            "Name",
            "ReleaseStartDate",
            "ReleaseDate",
            "State",
            "Theme",
            "Project",
            "VersionId",
            "RevisionHistory",
        ),
    ),
    Shape.TAGS: ("tag", ("ObjectID", "Name")),
    Shape.MILESTONES: ("milestone", ("ObjectID", "Name", "FormattedID")),
}

PORTFOLIO = "portfolioitem"

#: Endpoints of the items that a field refers to. A work product is a story or a defect: items that the first endpoint
#: lacks are looked up in the next one (rally-api-notes.md#attributes).
_ITEM_ENDPOINTS = {
    "PortfolioItem": (PORTFOLIO,),
    "Parent": ("hierarchicalrequirement", PORTFOLIO),
    "Requirement": ("hierarchicalrequirement",),
    "WorkProduct": ("hierarchicalrequirement", "defect"),
}
#: A custom reference can point to any kind.
_ANYWHERE = ("hierarchicalrequirement", "defect", PORTFOLIO, "task", "testcase")
_ITEM_FIELDS = ("ObjectID", "FormattedID", "Name")

#: Shapes whose former names are read from revisions, because issues' histories contain them.
_RENAMABLE = (Shape.ITERATION, Shape.RELEASE, Shape.PROJECT)

#: Fields of items whose values include names.
_REFERENCE_FIELDS = {
    "Owner": Shape.PERSON,
    "CreatedBy": Shape.PERSON,
    "SubmittedBy": Shape.PERSON,
    "Project": Shape.PROJECT,
    "Iteration": Shape.ITERATION,
    "Release": Shape.RELEASE,
}

#: Fields of rows that names, dates and renames are read from.
_CACHED_FIELDS = (
    *PERSON_FIELDS,
    "Name",
    "_refObjectName",
    "VersionId",
    "StartDate",
    "EndDate",
    "ReleaseStartDate",
    "ReleaseDate",
    "State",
    "Theme",
)

#: If more ids than this are unknown, the entire list is read if it is not much longer.
MAX_LOOKUPS = 40
MAX_LISTED = 10_000

#: Cached names of items: the latest and the most recently used ones, so that memory does not grow with the workspace.
MAX_CACHED_ITEMS = 20_000

#: Keeps the address below its limit, for names of ordinary length.
MAX_NAMES_IN_QUERY = 20

#: Later than any renaming.
_FAR_FUTURE = 2**62

#: Revision 0 is the creation: an object of this version was never renamed.
_INITIAL_VERSION = 1


class NameResolver:
    """Names of the objects of one workspace, cached for one run.

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
    """

    def __init__(self, session: Session, *, workspace: int) -> None:
        self._session = session
        self._workspace = workspace
        #: Concurrent walks need the same names: the second one waits for the results of the first one. Otherwise it
        #: would treat pending names as unknown, and results would differ between runs.
        self._lock = asyncio.Lock()
        self._rows: dict[Shape, dict[int, Mapping[str, Any]]] = defaultdict(dict)
        #: Timeboxes, with the rows that they were built from.
        self._timeboxes: dict[tuple[Shape, int], tuple[Mapping[str, Any], Timebox]] = {}
        #: Display names that were computed before.
        self._display_names: dict[Shape, dict[int, str]] = defaultdict(dict)
        self._items: dict[int, tuple[str, str]] = {}
        #: The entire portfolio, once it is listed; it is never evicted.
        self._portfolio: dict[int, tuple[str, str]] = {}
        #: Ids that were looked up and not found: deleted, or without access.
        self._missing: dict[Shape | str, set[int]] = defaultdict(set)
        #: Old names by id, newest first: valid before the instant in milliseconds.
        self._former: dict[Shape, dict[int, list[tuple[int, str]]]] = defaultdict(dict)
        #: Lists whose reading has begun, and complete ones; for items, the list is the portfolio.
        self._listed: set[Shape] = set()
        self._complete: set[Shape] = set()
        #: Shapes that were looked up before: a second lookup means that more will follow.
        self._needed: set[Shape] = set()
        #: Names of timeboxes that were looked up.
        self._requested_names: dict[Shape, set[str]] = defaultdict(set)

    def add_records(self, records: Iterable[Record]) -> None:
        """Add the names that items contain."""
        #: What the page's records share (``keyset_paging.to_records``) is looked at once.
        seen: set[int] = set()
        for record in records:
            fields = record.fields
            self._items[record.object_id] = (record.key, str(fields.get("Name") or ""))
            for name, shape in _REFERENCE_FIELDS.items():
                value = fields.get(name)
                if value is None or id(value) in seen:
                    continue
                seen.add(id(value))
                if isinstance(value, Mapping) and (oid := ref_id(value)) is not None:
                    self._add_row(shape, oid, value)
            for name, shape in (("Tags", Shape.TAGS), ("Milestones", Shape.MILESTONES)):
                collection = fields.get(name)
                members = collection.get("_tagsNameArray") if isinstance(collection, Mapping) else None
                for member in members if isinstance(members, list) else ():
                    if isinstance(member, Mapping) and (oid := ref_id(member)) is not None:
                        self._add_row(shape, oid, member)
        for oid in list(islice(self._items, max(0, len(self._items) - MAX_CACHED_ITEMS))):
            del self._items[oid]

    def _add_row(self, shape: Shape, oid: int, row: Mapping[str, Any]) -> None:
        rows = self._rows[shape]
        if oid not in rows:
            rows[oid] = _trim_row(row)

    def add_names(self, shape: Shape, names: Mapping[int, str]) -> None:
        """Add names from another source."""
        for oid, name in names.items():
            self._rows[shape].setdefault(oid, {"ObjectID": oid, "Name": name})

    async def load(self, ids_by_shape: Mapping[Shape, Iterable[int]], *, many: bool = False) -> None:
        """Look up the names of ids and, where objects can be renamed, their former names.

        Args:
            ids_by_shape: The ids by shape.
            many: Whether others will follow, so that entire lists are read.
        """
        async with self._lock:
            for shape, ids in ids_by_shape.items():
                if shape not in _ENDPOINTS:
                    continue
                unknown = sorted(set(ids) - self._rows[shape].keys() - self._missing[shape])
                if unknown:
                    await self._fetch(shape, unknown, many=many)
            for shape in _RENAMABLE:
                if shape in ids_by_shape:
                    await self._load_former_names(
                        shape, [oid for oid in ids_by_shape[shape] if oid in self._rows[shape]]
                    )

    async def load_people(self, ids: Iterable[int]) -> Mapping[int, str]:
        """Return the names of users; unknown users are left out."""
        requested = set(ids)
        await self.load({Shape.PERSON: requested})
        names = {oid: self.name_at(Shape.PERSON, oid, 0) for oid in requested}
        return {oid: name for oid, name in names.items() if name}

    async def load_items(self, ids_by_field: Mapping[str, Iterable[int]]) -> None:
        """Look up FormattedID and name of items, by the field that refers to them."""
        async with self._lock:
            for field, of_field in ids_by_field.items():
                ids = set(of_field)
                for oid in ids & self._items.keys():
                    # Recently used, so evicted last.
                    self._items[oid] = self._items.pop(oid)
                for endpoint in _ITEM_ENDPOINTS.get(field, _ANYWHERE):
                    unknown = sorted(ids - self._items.keys() - self._portfolio.keys() - self._missing[endpoint])
                    if not unknown:
                        break
                    if len(unknown) > MAX_LOOKUPS and endpoint == PORTFOLIO:
                        await self._load_portfolio()
                        unknown = sorted(set(unknown) - self._portfolio.keys())
                    if Shape.ITEM not in self._complete or endpoint != PORTFOLIO:
                        _add_items(self._items, await self._read_by_ids(endpoint, _ITEM_FIELDS, unknown))
                    self._missing[endpoint].update(set(unknown) - self._items.keys())

    async def _load_portfolio(self) -> None:
        """Read the entire portfolio once, unless it is very large; it is small compared with the items below it."""
        if Shape.ITEM in self._listed:
            return
        self._listed.add(Shape.ITEM)
        async for page in read_pages(self._session, self._listing(PORTFOLIO, _ITEM_FIELDS)):
            _add_items(self._portfolio, (row for _, row in page.rows))
            if page.remaining > MAX_LISTED:
                return
        self._complete.add(Shape.ITEM)

    def name_at(self, shape: Shape, oid: int, instant: int) -> str:
        """Return the name of an id just before an instant in milliseconds; the id itself when the name is unknown.

        A change that removes an object needs the name before the change.
        """
        if shape is Shape.ITEM:
            return (self.find_item(oid) or (str(oid), ""))[0]
        former = self._former[shape].get(oid)
        for until, name in reversed(former or ()):
            if instant < until:
                return name
        names = self._display_names[shape]
        known = names.get(oid)
        if known is None:
            row = self._rows[shape].get(oid)
            if row is None:
                return placeholder_name(oid) if shape is Shape.PERSON else str(oid)
            known = self._name_of(shape, row)
            if shape is Shape.PERSON:
                known = known or placeholder_name(oid)
            names[oid] = known
        return known

    def find_item(self, oid: int) -> tuple[str, str] | None:
        """FormattedID and name of an item, if they are known."""
        return self._items.get(oid) or self._portfolio.get(oid)

    def find_timebox(self, shape: Shape, oid: int) -> Timebox | None:
        """Return an iteration or release, if it is known."""
        row = self._rows[shape].get(oid)
        if row is None:
            return None
        known = self._timeboxes.get((shape, oid))
        # A more complete row can have been read with a list since.
        if known is None or known[0] is not row:
            known = self._timeboxes[shape, oid] = (row, self._build_timebox(shape, oid, row))
        return known[1]

    def _build_timebox(self, shape: Shape, oid: int, row: Mapping[str, Any]) -> Timebox:
        start, end = ("StartDate", "EndDate") if shape is Shape.ITERATION else ("ReleaseStartDate", "ReleaseDate")
        project = row.get("Project")
        return Timebox(
            object_id=oid,
            name=self._name_of(shape, row),
            start=parse_instant(row.get(start)),
            end=parse_instant(row.get(end)),
            state=str(row.get("State") or ""),
            theme=str(row.get("Theme") or ""),
            project=_display_name(project) if isinstance(project, Mapping) else "",
            project_id=ref_id(project) if isinstance(project, Mapping) else None,
        )

    async def find_timeboxes(self, shape: Shape, names: Iterable[str]) -> Mapping[str, list[Timebox]]:
        """Read every iteration or release of the workspace that has one of these names today."""
        endpoint, fetch = _ENDPOINTS[shape]
        async with self._lock:
            # A double quote has no escape in Rally's grammar (rally-api-notes.md#query-language): such a name cannot be
            # queried.
            unknown = sorted({name for name in names if '"' not in name} - self._requested_names[shape])
            if len(unknown) > MAX_LOOKUPS:
                await self._load_list(shape)
            if shape not in self._complete:
                self._requested_names[shape].update(unknown)
                for start in range(0, len(unknown), MAX_NAMES_IN_QUERY):
                    listing = self._listing(
                        endpoint, fetch, any_of("Name", unknown[start : start + MAX_NAMES_IN_QUERY])
                    )
                    async for page in read_pages(self._session, listing):
                        self._rows[shape].update((oid, _trim_row(row)) for oid, row in page.rows)
        timeboxes: dict[str, list[Timebox]] = defaultdict(list)
        for oid, row in self._rows[shape].items():
            timebox = self.find_timebox(shape, oid)
            if timebox is not None and timebox.project:
                timeboxes[self._name_of(shape, row)].append(timebox)
        return timeboxes

    def all_names(self, shape: Shape, oid: int) -> set[str]:
        """Return every known current or former name of an id."""
        return {self.name_at(shape, oid, _FAR_FUTURE), *(name for _, name in self._former[shape].get(oid, ()))}

    async def list_timeboxes(self, shape: Shape, projects: AbstractSet[int]) -> list[Timebox]:
        """Read every iteration or release of some projects, with their former names.

        Empty where the workspace has too many of them.
        """
        async with self._lock:
            await self._load_list(shape)
            if shape not in self._complete:
                return []
            ids = [oid for oid, row in self._rows[shape].items() if ref_id(row.get("Project") or {}) in projects]
            await self._load_former_names(shape, ids)
        return [timebox for oid in ids if (timebox := self.find_timebox(shape, oid)) is not None]

    async def _fetch(self, shape: Shape, unknown: list[int], *, many: bool) -> None:
        endpoint, fetch = _ENDPOINTS[shape]
        if many or len(unknown) > MAX_LOOKUPS or shape in self._needed:
            await self._load_list(shape)
        self._needed.add(shape)
        if shape in self._complete:
            self._missing[shape].update(set(unknown) - self._rows[shape].keys())
            return
        unknown = sorted(set(unknown) - self._rows[shape].keys())
        for row in await self._read_by_ids(endpoint, fetch, unknown):
            oid = ref_id(row)
            if oid is not None:
                self._rows[shape][oid] = _trim_row(row)
        self._missing[shape].update(set(unknown) - self._rows[shape].keys())

    async def _load_list(self, shape: Shape) -> None:
        """Read the entire list once, unless it is very long."""
        if shape in self._listed:
            return
        self._listed.add(shape)
        endpoint, fetch = _ENDPOINTS[shape]
        async for page in read_pages(self._session, self._listing(endpoint, fetch)):
            self._rows[shape].update((oid, _trim_row(row)) for oid, row in page.rows)
            if page.remaining > MAX_LISTED:
                return
        self._complete.add(shape)

    async def _read_by_ids(self, endpoint: str, fetch: tuple[str, ...], ids: list[int]) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        base_length = len(self._listing(endpoint, fetch).request(after=10**13, size=2000).target) + 300
        try:
            for part in chunks(ids, base_length=base_length, field="ObjectID"):
                async for page in read_pages(self._session, self._listing(endpoint, fetch, any_of("ObjectID", part))):
                    rows.extend(row for _, row in page.rows)
        except (NotFoundError, RejectedError) as error:
            # A server without such a type: the names stay unknown, nothing else is lost.
            logger.info("names of %s cannot be read: %s", endpoint, error)
        return rows

    async def _load_former_names(self, shape: Shape, ids: Iterable[int]) -> None:
        """Read the former names of ids, each id once in a run."""
        former = self._former[shape]
        histories: dict[int, int] = {}
        for oid in ids:
            row = self._rows[shape][oid]
            if oid in former:
                continue
            former[oid] = []
            history = ref_id(row.get("RevisionHistory"))
            if history is not None and (object_id(row.get("VersionId")) or 2) > _INITIAL_VERSION:
                histories[history] = oid
        if not histories:
            return
        fetch = ("ObjectID", "CreationDate", "Description", "RevisionHistory")
        words = Condition("Description", "contains", "NAME changed from")
        frame = self._listing("revision", fetch, any_of(HISTORY_ID, [0]), words)
        base_length = len(frame.request(after=10**13, size=2000).target) + 300
        for part in chunks(sorted(histories), base_length=base_length):
            listing = self._listing("revision", fetch, any_of(HISTORY_ID, part), words)
            async for page in read_pages(self._session, listing):
                for _, row in page.rows:
                    self._add_former_name(shape, histories, row)
        for oid in histories.values():
            former[oid].sort(reverse=True)

    def _add_former_name(self, shape: Shape, histories: Mapping[int, int], row: Mapping[str, Any]) -> None:
        oid = histories.get(ref_id(row.get("RevisionHistory")) or 0)
        instant = parse_instant(row.get("CreationDate"))
        clauses = parse(str(row.get("Description") or ""))
        if oid is None or instant is None or isinstance(clauses, Unparsed):
            return
        for clause in clauses:
            if isinstance(clause, Change) and clause.label == "NAME" and clause.before:
                until = round(instant.timestamp() * 1000)
                self._former[shape][oid].append((until, unescape(clause.before)))

    def _listing(self, endpoint: str, fetch: tuple[str, ...], *where: Any) -> Listing:
        # People belong to the subscription, everything else to the workspace (rally-api-notes.md#scope).
        workspace = None if endpoint == "users" else self._workspace
        return Listing(kind=endpoint, fetch=fetch, where=where, workspace=workspace)

    def _name_of(self, shape: Shape, row: Mapping[str, Any]) -> str:
        if shape is Shape.PERSON:
            return person_name(row)
        return _display_name(row)


def _trim_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the needed fields of a row; the objects that Rally expands in it would take most of the memory."""
    trimmed = {name: row[name] for name in _CACHED_FIELDS if name in row}
    if (history := ref_id(row.get("RevisionHistory"))) is not None:
        trimmed["RevisionHistory"] = {"ObjectID": history}
    if isinstance(project := row.get("Project"), Mapping):
        trimmed["Project"] = {"ObjectID": ref_id(project), "Name": _display_name(project)}
    return trimmed


def _display_name(row: Mapping[str, Any]) -> str:
    return str(row.get("Name") or row.get("_refObjectName") or "").strip()


def _add_items(items: dict[int, tuple[str, str]], rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        oid = ref_id(row)
        if oid is not None:
            items[oid] = (str(row.get("FormattedID") or oid), str(row.get("Name") or ""))
