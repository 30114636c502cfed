"""The progress of an integration: windows, walks, cursors and delivered revisions.

Instants are the source's own time (its ``Date`` header), not ours, so that a wrong clock here loses nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rally_accelerate.model.issue import SourceRevision

#: Represents all projects of the workspace in place of a project's ObjectID.
ALL_PROJECTS = 0

#: How far a window overlaps the previous one, because nodes can disagree and an index can lag
#: (rally-api-notes.md#indexing-lag).
DEFAULT_OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Window:
    """A range of changes: at or after ``since`` and before ``until``; None is no bound."""

    since: datetime | None = None
    until: datetime | None = None


def get_next_window(cursor: datetime | None, *, overlap: timedelta = DEFAULT_OVERLAP) -> Window:
    """Return the window after a cursor: everything at first, then the changes since the cursor, with an overlap."""
    return Window() if cursor is None else Window(cursor - overlap)


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """One kind of item in one project: the unit whose coverage is remembered."""

    kind: str
    project: int = ALL_PROJECTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One passage by ascending ObjectID over one kind of item in some projects."""

    kind: str
    #: ObjectIDs of the projects, ascending; empty means the whole workspace.
    projects: tuple[int, ...] = ()
    window: Window = field(default_factory=Window)
    #: The source's time when this walk first began; the cursor moves there when it ends.
    started_at: datetime
    #: The last ObjectID that is safely delivered; 0 at the beginning.
    after: int = 0
    #: If given, the walk reads exactly these items: the pending retries of earlier runs.
    only: tuple[int, ...] = ()
    #: For a first walk over the whole workspace: the projects that were visible all along.
    covers: tuple[int, ...] = ()
    #: Whether this is an extra walk, which moves no cursor and is not resumed.
    aside: bool = False
    #: When given, the walk asks for the items that carry one of these in a field, or for those in ``only`` that carried
    #: one, and they are sent again: ObjectIDs of timeboxes, projects, tags or people.
    carrying: tuple[int, ...] = ()
    field: str = ""

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes that this walk covers when it has reached its end."""
        if self.only or self.aside or self.carrying:
            return ()
        return tuple(Lane(self.kind, project) for project in (*(self.projects or (ALL_PROJECTS,)), *self.covers))


@dataclass(frozen=True, slots=True)
class Sent:
    """What was last delivered of one item: the source's revision under which mapping rules."""

    revision: SourceRevision
    rules_version: str


#: Marks the entries of removed issues in the ledger, so that a restored item counts as changed.
REMOVED_MARK = " gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """A side job that was refused, and is not tried again for a while."""

    #: The source's time before which it is not tried again.
    until: datetime
    #: How often it has failed in a row.
    failures: int = 1
    #: What the service said.
    reason: str = ""
    #: The instant since which it has not been done; None where that does not matter.
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a workspace's own definitions say about the fields that the settings name, remembered for a while."""

    #: What it holds for: workspace, types and the settings that name fields.
    key: str
    #: The source's time when it was learned.
    at: datetime
    #: By type: element name, display name, attribute type, whether it is the workspace's own, what it refers to.
    definitions: Mapping[str, tuple[tuple[str, str, str, bool, str], ...]] = field(default_factory=dict)
    #: The wire names of the types that the settings speak of, by name as written.
    types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Empty:
    """Why nothing was ever imported; without a key, something was."""

    #: The settings that the cause holds for.
    key: str = ""
    #: Sentences for people; empty when no cause was found.
    cause: str = ""


#: Kinds of things whose names are uploaded with items and that Rally does not list by date of change.
PROJECTS, PEOPLE, TAGS = "projects", "people", "tags"

#: The fields in which items carry timeboxes, and milestones.
TIMEBOX_FIELDS = ("Iteration", "Release", "Milestones")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeboxWatch:
    """What is known of the timeboxes that items carry."""

    #: By field in which items carried any, the source's time until which changes were looked for.
    until: Mapping[str, datetime] = field(default_factory=dict)
    #: What the timeboxes were like that were seen last, as digests by ObjectID.
    seen: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameWatch:
    """What projects, people and tags were called whose names are uploaded with items; everything by kind of those."""

    #: Digests of names by ObjectID.
    seen: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    #: In which fields of which types of items they were found.
    places: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    #: The source's time when names were last compared.
    compared: Mapping[str, datetime] = field(default_factory=dict)
    #: The ObjectID up to which a long list has been compared; 0 begins again.
    after: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Everything the next run needs to know, apart from the ledger."""

    #: What the cursors are valid for: workspace and extra filter. A change of scope discards them.
    scope: str = ""
    #: Under which mapping rules the cursors were reached. A change maps and uploads everything again.
    rules_version: str = ""
    #: The data that was read for these rules; other rules that need no more data can map the stored items.
    read_with: frozenset[str] = frozenset()
    #: Per lane, the instant up to which every change has been delivered.
    cursors: Mapping[Lane, datetime] = field(default_factory=dict)
    #: Walks that started and did not finish, with their positions.
    unfinished: tuple[Walk, ...] = ()
    #: Pending retries: items that could not be delivered, as (kind, ObjectID).
    owed: frozenset[tuple[str, int]] = frozenset()
    #: Items that a listing missed, or the recycle bin named, with the instant: to be looked for again.
    missing: Mapping[int, datetime] = field(default_factory=dict)
    #: When everything was listed for the last time.
    listed_at: datetime | None = None
    #: From which instant on items were read at all; None is from the beginning.
    since: datetime | None = None
    #: Side jobs that were refused, by name.
    deferred: Mapping[str, Deferral] = field(default_factory=dict)
    #: Removed items whose issues stay as they are, with the reason: no complete document can be made.
    unmarked: Mapping[int, str] = field(default_factory=dict)
    #: The request for a resync that was fulfilled and that the platform could not clear.
    resynced: datetime | None = None
    #: So that a quiet run need not ask for definitions.
    learned: Learned | None = None
    #: Why nothing was ever imported; None if it is not known yet.
    empty: Empty | None = None
    #: ObjectIDs of projects that were read once and left the scope.
    former: frozenset[int] = frozenset()
    #: None in progress of earlier versions.
    timeboxes: TimeboxWatch | None = None
    #: None in progress of earlier versions, and where there is no room for it.
    names: NameWatch | None = None
