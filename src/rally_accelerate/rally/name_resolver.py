"""What ids are called, and were called: people, timeboxes, projects, flow states, tags and other items.

Most names come with the items themselves and cost nothing; the rest is asked for in bulk, each id once in a run. What
was renamed is told by the renamed thing's own revisions, so a name is a dated fact where Rally can tell it.
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
from rally_accelerate.rally.keyset_paging import HISTORY_ID, Listing, chunks, walk
from rally_accelerate.rally.query import Condition, any_of
from rally_accelerate.rally.records import PERSON_FIELDS, Record, Timebox, nameless, person_name
from rally_accelerate.rally.revision_text import Change, Unparsed, parse, unescape
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.wsapi import object_id, parse_instant, ref_id

logger = logging.getLogger(__name__)

#: The endpoint of each shape, and what is fetched of it.
_ENDPOINTS = {
    # ``/user`` alone is who asks; the list has the plural (rally-api-notes.md#addresses).
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

#: Where the items behind a field stand. A work product is a story or a defect: whatever is not found in the first
#: place is looked for in the next (rally-api-notes.md#attributes).
_ITEM_ENDPOINTS = {
    "PortfolioItem": (PORTFOLIO,),
    "Parent": ("hierarchicalrequirement", PORTFOLIO),
    "Requirement": ("hierarchicalrequirement",),
    "WorkProduct": ("hierarchicalrequirement", "defect"),
}
#: A reference of the workspace's own may lead to any kind.
_ANYWHERE = ("hierarchicalrequirement", "defect", PORTFOLIO, "task", "testcase")
_ITEM_FIELDS = ("ObjectID", "FormattedID", "Name")

#: Kinds whose renaming is looked for in their own revisions: these names stand in issues' histories.
_DATED = (Shape.ITERATION, Shape.RELEASE, Shape.PROJECT)

#: Where items carry named things, for learning by the way.
_CARRIED = {
    "Owner": Shape.PERSON,
    "CreatedBy": Shape.PERSON,
    "SubmittedBy": Shape.PERSON,
    "Project": Shape.PROJECT,
    "Iteration": Shape.ITERATION,
    "Release": Shape.RELEASE,
}

#: What names, dates and renamings are told from.
_REMEMBERED = (
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

#: When more ids than this are unknown, the whole list is read if it is not much longer.
FEW = 40
MOST_LISTED = 10_000

#: So many items are remembered by name, the latest ones and those that were needed last: a large workspace must not
#: take more memory than a small one.
MOST_REMEMBERED = 20_000

#: Keeps the address below its limit, for names of ordinary length.
NAMES_IN_A_QUERY = 20

#: Later than any renaming.
_TODAY = 2**62

#: Revision 0 is the creation: a thing of this version was never renamed.
_NEVER_CHANGED = 1


class Names:
    """Names of one workspace, learned in the course of one run.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
    """

    def __init__(self, caller: Caller, *, workspace: int) -> None:
        self._caller = caller
        self._workspace = workspace
        #: Walks that run side by side need the same names: the second one waits for the first one's answers, else it
        #: would take what was asked for already as known, and tell other names than in another run.
        self._turns = asyncio.Lock()
        self._rows: dict[Shape, dict[int, Mapping[str, Any]]] = defaultdict(dict)
        #: Timeboxes that were asked for, with the rows that they were made of.
        self._timeboxes: dict[tuple[Shape, int], tuple[Mapping[str, Any], Timebox]] = {}
        #: Names as they are shown, once they were asked for.
        self._shown: dict[Shape, dict[int, str]] = defaultdict(dict)
        self._items: dict[int, tuple[str, str]] = {}
        #: The whole portfolio, once it was listed; nothing of it is forgotten.
        self._portfolio: dict[int, tuple[str, str]] = {}
        #: Ids that were asked for and not found: deleted, or not to be seen.
        self._gone: dict[Shape | str, set[int]] = defaultdict(set)
        #: Old names by id, newest first: valid before the instant in milliseconds.
        self._former: dict[Shape, dict[int, list[tuple[int, str]]]] = defaultdict(dict)
        #: Lists that were begun, and those that were read to their end; of items the portfolio is meant.
        self._listed: set[Shape] = set()
        self._complete: set[Shape] = set()
        #: What was needed before: a second need shows that more will follow.
        self._needed: set[Shape] = set()
        #: Names of timeboxes that were asked for.
        self._asked: dict[Shape, set[str]] = defaultdict(set)

    def learn(self, records: Iterable[Record]) -> None:
        """Take the names that items bring along."""
        #: What the page's records share (``rows.to_records``) is looked at once.
        seen: set[int] = set()
        for record in records:
            fields = record.fields
            self._items[record.object_id] = (record.key, str(fields.get("Name") or ""))
            for name, shape in _CARRIED.items():
                value = fields.get(name)
                if value is None or id(value) in seen:
                    continue
                seen.add(id(value))
                if isinstance(value, Mapping) and (its_id := ref_id(value)) is not None:
                    self._note(shape, its_id, value)
            for name, shape in (("Tags", Shape.TAGS), ("Milestones", Shape.MILESTONES)):
                collection = fields.get(name)
                members = collection.get("_tagsNameArray") if isinstance(collection, Mapping) else None
                for member in members if isinstance(members, list) else ():
                    if isinstance(member, Mapping) and (its_id := ref_id(member)) is not None:
                        self._note(shape, its_id, member)
        for its_id in list(islice(self._items, max(0, len(self._items) - MOST_REMEMBERED))):
            del self._items[its_id]

    def _note(self, shape: Shape, its_id: int, row: Mapping[str, Any]) -> None:
        rows = self._rows[shape]
        if its_id not in rows:
            rows[its_id] = _named(row)

    def tell(self, shape: Shape, names: Mapping[int, str]) -> None:
        """Take names that another source tells."""
        for its_id, name in names.items():
            self._rows[shape].setdefault(its_id, {"ObjectID": its_id, "Name": name})

    async def ensure(self, wanted: Mapping[Shape, Iterable[int]], *, many: bool = False) -> None:
        """Know these ids, and what the dated ones among them were called before; unknown ones stay unknown.

        Args:
            wanted: The ids by shape.
            many: Whether others will follow: then whole lists are read at once.
        """
        async with self._turns:
            for shape, ids in wanted.items():
                if shape not in _ENDPOINTS:
                    continue
                unknown = sorted(set(ids) - self._rows[shape].keys() - self._gone[shape])
                if unknown:
                    await self._fetch(shape, unknown, many=many)
            for shape in _DATED:
                if shape in wanted:
                    await self._date(shape, [each for each in wanted[shape] if each in self._rows[shape]])

    async def people(self, ids: Iterable[int]) -> Mapping[int, str]:
        """Return what these users are called; who is not known is left out."""
        wanted = set(ids)
        await self.ensure({Shape.PERSON: wanted})
        found = {its_id: self.at(Shape.PERSON, its_id, 0) for its_id in wanted}
        return {its_id: name for its_id, name in found.items() if name}

    async def ensure_items(self, wanted: Mapping[str, Iterable[int]]) -> None:
        """Know FormattedID and name of these items, by the field that refers to them."""
        async with self._turns:
            for field, of_field in wanted.items():
                ids = set(of_field)
                for its_id in ids & self._items.keys():
                    # Needed now: among those that are forgotten last.
                    self._items[its_id] = self._items.pop(its_id)
                for endpoint in _ITEM_ENDPOINTS.get(field, _ANYWHERE):
                    unknown = sorted(ids - self._items.keys() - self._portfolio.keys() - self._gone[endpoint])
                    if not unknown:
                        break
                    if len(unknown) > FEW and endpoint == PORTFOLIO:
                        await self._list_portfolio()
                        unknown = sorted(set(unknown) - self._portfolio.keys())
                    if Shape.ITEM not in self._complete or endpoint != PORTFOLIO:
                        _note_items(self._items, await self._by_ids(endpoint, _ITEM_FIELDS, unknown))
                    self._gone[endpoint].update(set(unknown) - self._items.keys())

    async def _list_portfolio(self) -> None:
        """Read the whole portfolio once, unless it is very large: it is small beside the items below it."""
        if Shape.ITEM in self._listed:
            return
        self._listed.add(Shape.ITEM)
        async for page in walk(self._caller, self._listing(PORTFOLIO, _ITEM_FIELDS)):
            _note_items(self._portfolio, (row for _, row in page.rows))
            if page.left > MOST_LISTED:
                return
        self._complete.add(Shape.ITEM)

    def at(self, shape: Shape, its_id: int, instant: int) -> str:
        """What an id was called just before an instant in milliseconds; nameless ids are told as they are.

        Just before: a change that takes a thing away shows the name that it had then.
        """
        if shape is Shape.ITEM:
            return (self.item(its_id) or (str(its_id), ""))[0]
        former = self._former[shape].get(its_id)
        for until, name in reversed(former or ()):
            if instant < until:
                return name
        shown = self._shown[shape]
        known = shown.get(its_id)
        if known is None:
            row = self._rows[shape].get(its_id)
            if row is None:
                return nameless(its_id) if shape is Shape.PERSON else str(its_id)
            known = self._name(shape, row)
            if shape is Shape.PERSON:
                known = known or nameless(its_id)
            shown[its_id] = known
        return known

    def item(self, its_id: int) -> tuple[str, str] | None:
        """FormattedID and name of an item, if they are known."""
        return self._items.get(its_id) or self._portfolio.get(its_id)

    def timebox(self, shape: Shape, its_id: int) -> Timebox | None:
        """An iteration or release, if it is known."""
        row = self._rows[shape].get(its_id)
        if row is None:
            return None
        known = self._timeboxes.get((shape, its_id))
        # A whole list may have brought a fuller row since.
        if known is None or known[0] is not row:
            known = self._timeboxes[shape, its_id] = (row, self._timebox(shape, its_id, row))
        return known[1]

    def _timebox(self, shape: Shape, its_id: int, row: Mapping[str, Any]) -> Timebox:
        start, end = ("StartDate", "EndDate") if shape is Shape.ITERATION else ("ReleaseStartDate", "ReleaseDate")
        project = row.get("Project")
        return Timebox(
            object_id=its_id,
            name=self._name(shape, row),
            start=parse_instant(row.get(start)),
            end=parse_instant(row.get(end)),
            state=str(row.get("State") or ""),
            theme=str(row.get("Theme") or ""),
            project=_shown(project) if isinstance(project, Mapping) else "",
            project_id=ref_id(project) if isinstance(project, Mapping) else None,
        )

    async def timeboxes_named(self, shape: Shape, names: Iterable[str]) -> Mapping[str, list[Timebox]]:
        """Every iteration or release of the workspace that bears one of these names today."""
        endpoint, fetch = _ENDPOINTS[shape]
        async with self._turns:
            # A double quote has no escape in Rally's grammar (rally-api-notes.md#query-language): such a name cannot be
            # asked for.
            unknown = sorted({name for name in names if '"' not in name} - self._asked[shape])
            if len(unknown) > FEW:
                await self._list(shape)
            if shape not in self._complete:
                self._asked[shape].update(unknown)
                for start in range(0, len(unknown), NAMES_IN_A_QUERY):
                    listing = self._listing(endpoint, fetch, any_of("Name", unknown[start : start + NAMES_IN_A_QUERY]))
                    async for page in walk(self._caller, listing):
                        self._rows[shape].update((its_id, _named(row)) for its_id, row in page.rows)
        found: dict[str, list[Timebox]] = defaultdict(list)
        for its_id, row in self._rows[shape].items():
            timebox = self.timebox(shape, its_id)
            if timebox is not None and timebox.project:
                found[self._name(shape, row)].append(timebox)
        return found

    def every(self, shape: Shape, its_id: int) -> set[str]:
        """Return every name that an id has or had, as far as that is known."""
        return {self.at(shape, its_id, _TODAY), *(name for _, name in self._former[shape].get(its_id, ()))}

    async def timeboxes_of(self, shape: Shape, projects: AbstractSet[int]) -> list[Timebox]:
        """Return every iteration or release of some projects, whose former names are known from then on.

        Empty where the workspace has too many of them.
        """
        async with self._turns:
            await self._list(shape)
            if shape not in self._complete:
                return []
            ids = [its_id for its_id, row in self._rows[shape].items() if ref_id(row.get("Project") or {}) in projects]
            await self._date(shape, ids)
        return [timebox for its_id in ids if (timebox := self.timebox(shape, its_id)) is not None]

    async def _fetch(self, shape: Shape, unknown: list[int], *, many: bool) -> None:
        endpoint, fetch = _ENDPOINTS[shape]
        if many or len(unknown) > FEW or shape in self._needed:
            await self._list(shape)
        self._needed.add(shape)
        if shape in self._complete:
            self._gone[shape].update(set(unknown) - self._rows[shape].keys())
            return
        unknown = sorted(set(unknown) - self._rows[shape].keys())
        for row in await self._by_ids(endpoint, fetch, unknown):
            its_id = ref_id(row)
            if its_id is not None:
                self._rows[shape][its_id] = _named(row)
        self._gone[shape].update(set(unknown) - self._rows[shape].keys())

    async def _list(self, shape: Shape) -> None:
        """Read the whole list once, unless it is very long."""
        if shape in self._listed:
            return
        self._listed.add(shape)
        endpoint, fetch = _ENDPOINTS[shape]
        async for page in walk(self._caller, self._listing(endpoint, fetch)):
            self._rows[shape].update((its_id, _named(row)) for its_id, row in page.rows)
            if page.left > MOST_LISTED:
                return
        self._complete.add(shape)

    async def _by_ids(self, endpoint: str, fetch: tuple[str, ...], ids: list[int]) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        taken = len(self._listing(endpoint, fetch).request(after=10**13, size=2000).target) + 300
        try:
            for part in chunks(ids, taken=taken, field="ObjectID"):
                async for page in walk(self._caller, self._listing(endpoint, fetch, any_of("ObjectID", part))):
                    rows.extend(row for _, row in page.rows)
        except (NotFoundError, RejectedError) as error:
            # A server without such a type: the names stay unknown, nothing else is lost.
            logger.info("names of %s cannot be read: %s", endpoint, error)
        return rows

    async def _date(self, shape: Shape, ids: Iterable[int]) -> None:
        """Read when these were renamed, each id once in a run."""
        former = self._former[shape]
        histories: dict[int, int] = {}
        for its_id in ids:
            row = self._rows[shape][its_id]
            if its_id in former:
                continue
            former[its_id] = []
            history = ref_id(row.get("RevisionHistory"))
            if history is not None and (object_id(row.get("VersionId")) or 2) > _NEVER_CHANGED:
                histories[history] = its_id
        if not histories:
            return
        fetch = ("ObjectID", "CreationDate", "Description", "RevisionHistory")
        words = Condition("Description", "contains", "NAME changed from")
        frame = self._listing("revision", fetch, any_of(HISTORY_ID, [0]), words)
        taken = len(frame.request(after=10**13, size=2000).target) + 300
        for part in chunks(sorted(histories), taken=taken):
            listing = self._listing("revision", fetch, any_of(HISTORY_ID, part), words)
            async for page in walk(self._caller, listing):
                for _, row in page.rows:
                    self._note_renaming(shape, histories, row)
        for its_id in histories.values():
            former[its_id].sort(reverse=True)

    def _note_renaming(self, shape: Shape, histories: Mapping[int, int], row: Mapping[str, Any]) -> None:
        its_id = histories.get(ref_id(row.get("RevisionHistory")) or 0)
        instant = parse_instant(row.get("CreationDate"))
        clauses = parse(str(row.get("Description") or ""))
        if its_id is None or instant is None or isinstance(clauses, Unparsed):
            return
        for clause in clauses:
            if isinstance(clause, Change) and clause.label == "NAME" and clause.before:
                until = round(instant.timestamp() * 1000)
                self._former[shape][its_id].append((until, unescape(clause.before)))

    def _listing(self, endpoint: str, fetch: tuple[str, ...], *where: Any) -> Listing:
        # People belong to the subscription, everything else to the workspace (rally-api-notes.md#scope).
        workspace = None if endpoint == "users" else self._workspace
        return Listing(kind=endpoint, fetch=fetch, where=where, workspace=workspace)

    def _name(self, shape: Shape, row: Mapping[str, Any]) -> str:
        if shape is Shape.PERSON:
            return person_name(row)
        return _shown(row)


def _named(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is needed of a row: Rally expands whatever it refers to, which would be most of what is remembered."""
    kept = {name: row[name] for name in _REMEMBERED if name in row}
    if (history := ref_id(row.get("RevisionHistory"))) is not None:
        kept["RevisionHistory"] = {"ObjectID": history}
    if isinstance(project := row.get("Project"), Mapping):
        kept["Project"] = {"ObjectID": ref_id(project), "Name": _shown(project)}
    return kept


def _shown(row: Mapping[str, Any]) -> str:
    return str(row.get("Name") or row.get("_refObjectName") or "").strip()


def _note_items(items: dict[int, tuple[str, str]], rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        its_id = ref_id(row)
        if its_id is not None:
            items[its_id] = (str(row.get("FormattedID") or its_id), str(row.get("Name") or ""))
