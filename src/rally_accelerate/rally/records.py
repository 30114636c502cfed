"""Rally's own shapes and names, read but not yet translated."""

import unicodedata
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import pydantic

from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally.wsapi import ref_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of a query, as it came."""

    #: The wire name that was asked for, lower case: ``hierarchicalrequirement``, ``portfolioitem/feature``.
    kind: str
    object_id: int
    revision: SourceRevision
    #: Every field of the row under Rally's own names.
    fields: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The id that people know, or the ObjectID where Rally gave none."""
        return str(self.fields.get("FormattedID") or self.object_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One saved change of one object as Rally describes it in words (rally-api-notes.md#reading-revisions)."""

    history_id: int
    number: int
    instant: datetime
    #: Display name at the time of reading; empty when Rally no longer knows the user.
    user: str
    description: str
    #: The user's ObjectID; None when the revision does not tell it.
    user_id: int | None = None


class Named(NamedTuple):
    """A timebox as a value of the past: which one, and what it was called then."""

    #: None where the source tells only the name and several bear it.
    object_id: int | None
    name: str


#: A field's value in the past, whatever the source, in one form for each kind of field: texts, drop-downs, people,
#: projects and parents as text (empty when unset), flags as ``true`` and ``false``, numbers as their shortest text,
#: collections as names in order, timeboxes as ``Named`` or None.
PastValue = str | tuple[str, ...] | Named | None

#: The name under which deletion and restoration stand among the changes: ``false`` to ``true`` and back.
RECYCLED = "Recycled"


class FieldChange(NamedTuple):
    """One field of one item took another value."""

    #: Milliseconds since 1970.
    at: int
    #: Display name; empty when nobody knows.
    user: str
    #: Rally's element name, for example ``ScheduleState``, or ``RECYCLED``.
    field: str
    before: PastValue
    after: PastValue
    #: The user's ObjectID, which tells people of one name apart; None when it is not known.
    user_id: int | None = None


class Unread(NamedTuple):
    """A change that is told in words which cannot be read without guessing."""

    #: Milliseconds since 1970.
    at: int
    user: str
    text: str
    #: The user's ObjectID; None when it is not known.
    user_id: int | None = None


class PastSource(StrEnum):
    """Where a past was read."""

    LOOKBACK = "lookback"
    REVISIONS = "revisions"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What became of an item since it was created, oldest first."""

    source: PastSource = PastSource.NONE
    changes: tuple[FieldChange, ...] = ()
    unread: tuple[Unread, ...] = ()
    #: Who made the item, where the past tells; else empty.
    creator: str = ""
    #: The creator's ObjectID; None when it is not known.
    creator_id: int | None = None
    #: False when the source has not come as far as the item's last change: to be read again soon.
    up_to_date: bool = True
    #: False when the source does not show every part of the past.
    whole: bool = True
    #: ObjectIDs of other items by the field that refers to them, where the past tells: ``Predecessors`` and the like.
    links: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    #: FormattedIDs of items that are linked by the past's own words, by collection; until their ObjectIDs are known.
    linked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


NO_PAST = Past()


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One post of a discussion (rally-api-notes.md#discussions)."""

    object_id: int
    user: str
    created: datetime
    updated: datetime
    #: Rich text, as Rally has it.
    text: str
    #: The author's ObjectID; None when the post does not tell it.
    user_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timebox:
    """An iteration or release that an item is or was in (rally-api-notes.md#timeboxes)."""

    object_id: int
    name: str
    start: datetime | None = None
    end: datetime | None = None
    state: str = ""
    #: Rich text, as Rally has it.
    theme: str = ""
    #: Its project's name and ObjectID.
    project: str = ""
    project_id: int | None = None


class TimeboxFacts(NamedTuple):
    """What of an iteration, a release or a milestone matters to the items that carry it."""

    object_id: int
    name: str
    #: ObjectID of its project, where it tells one.
    project: int | None
    #: When it begins and ends, where that alone changes what an item's issue says.
    start: datetime | None
    end: datetime | None
    #: Differs when a fact that is carried with items does.
    digest: str


class NamesPage(NamedTuple):
    """What some people or tags are called now."""

    #: By ObjectID.
    names: Mapping[int, str]
    #: The ObjectID that the list was read up to; 0 at its end.
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """A milestone that an item carries (rally-api-notes.md#timeboxes)."""

    object_id: int
    #: FormattedID, for example MI7.
    key: str
    name: str
    target: datetime | None = None
    #: The name of its target project; empty for none.
    project: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What stands around an item: its discussion, the timeboxes of its past, its place among other items."""

    posts: tuple[Post, ...] = ()
    #: By ObjectID.
    timeboxes: Mapping[int, Timebox] = field(default_factory=dict)
    #: FormattedIDs and names of items that this one refers to, by ObjectID.
    items: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    #: The milestones that the item carries now, by ObjectID.
    milestones: Mapping[int, Milestone] = field(default_factory=dict)


NOTHING_AROUND = Around()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A record with its past, and with what stands around it."""

    record: Record
    past: Past = NO_PAST
    around: Around = NOTHING_AROUND


class Binned(NamedTuple):
    """An entry of the recycle bin (rally-api-notes.md#recycle-bin)."""

    #: ObjectID of the deleted item.
    object_id: int
    instant: datetime
    #: Display name of who deleted it; empty when it is not told.
    user: str
    #: That user's ObjectID; None when it is not told.
    user_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows of one kind, ascending by ObjectID."""

    records: tuple[Record, ...]
    #: The last ObjectID that the page reached: the next one asks for greater ones.
    after: int
    #: True when the walk ends with this page.
    last: bool
    #: How many rows the source said were left when this page was made, itself included.
    left: int
    #: Sentences worth telling: rows that could not be read, warnings of the service.
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A Rally workspace."""

    object_id: int
    name: str
    open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Rally project and where it stands in its tree."""

    object_id: int
    name: str
    parent: int | None = None
    open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is to be read, resolved to ids."""

    workspace: Workspace
    #: Empty means the whole workspace.
    projects: tuple[Project, ...]
    kinds: tuple[str, ...]
    #: An extra condition in Rally's own syntax for every type that has none of its own, or empty.
    query: str
    #: The service's clock when the scope was resolved.
    now: datetime
    #: ObjectIDs of the open projects that the user sees, when the whole workspace is read; else empty.
    visible: frozenset[int] = frozenset()
    #: What the projects are called that are read, by ObjectID.
    names: Mapping[int, str] = field(default_factory=dict)
    #: Closed projects of the workspace, as far as they are known.
    closed: tuple[Project, ...] = ()
    #: Sentences worth telling: closed projects, patterns that match little.
    notices: tuple[str, ...] = ()
    #: Extra conditions of single types, by wire name; an empty one excludes nothing.
    queries: Mapping[str, str] = field(default_factory=dict)

    def query_of(self, kind: str) -> str:
        """The extra condition of a type, or empty."""
        return self.queries.get(kind, self.query)

    @property
    def is_filtered(self) -> bool:
        """Whether any type has an extra condition."""
        return any(self.query_of(kind) for kind in self.kinds)

    @property
    def unfiltered(self) -> "Scope":
        """The same without extra conditions."""
        return replace(self, query="", queries={})

    @property
    def signature(self) -> str:
        """Text that changes when cursors of an earlier scope mean nothing any more."""
        queries = "".join(f";query of {kind}={text}" for kind, text in sorted(self.queries.items()))
        return f"workspace={self.workspace.object_id};query={self.query}{queries}"


#: What ``person_name`` reads; to be fetched wherever users come along with other objects.
PERSON_FIELDS = ("DisplayName", "FirstName", "LastName", "UserName", "EmailAddress")


def person_name(user: Mapping[str, Any]) -> str:
    """Return the display name, or the best name that the object still has; empty when it has none.

    A display name may be empty or blank: then the first and last name stand for it, else the user name, else the e-mail
    address. Stubs, and all that is left of deleted users, carry nothing but ``_refObjectName``, which is the display
    name (rally-api-notes.md#references).

    Args:
        user: A user as an object, or as a stub.
    """
    shown = "DisplayName" if "DisplayName" in user else "_refObjectName"
    full = " ".join(part for name in ("FirstName", "LastName") if (part := _text(user, name)))
    candidates = (_text(user, shown), full, _text(user, "UserName"), _text(user, "EmailAddress"))
    return next(filter(None, candidates), "") or _text(user, "_refObjectName")


def name_or_id(user: Mapping[str, Any]) -> str:
    """Return the best name of a user, or one made of the ObjectID: a user without any name is never left out."""
    its_id = ref_id(user)
    return person_name(user) or (nameless(its_id) if its_id is not None else "")


def nameless(its_id: int) -> str:
    """Return what a user without any name is called."""
    return f"User {its_id}"


def _text(user: Mapping[str, Any], name: str) -> str:
    """Return an attribute without surrounding space; empty when nothing of it is visible."""
    value = user.get(name)
    if not isinstance(value, str):
        return ""
    # Separators, controls and invisible characters such as U+200B make no name.
    return value.strip() if any(unicodedata.category(char)[0] not in "CZ" for char in value) else ""


_WORK_ITEM: pydantic.TypeAdapter[WorkItem] = pydantic.TypeAdapter(WorkItem)

#: Rows repeat the same names over and over: the quickest level makes a fifth of them, the best one hardly less.
LEVEL = 1


def to_bytes(item: WorkItem) -> bytes:
    """An item with everything that belongs to it."""
    return zlib.compress(_WORK_ITEM.dump_json(item), LEVEL)


def from_bytes(kept: bytes) -> WorkItem:
    """The item that ``to_bytes`` was given.

    Raises:
        ValueError: The bytes are none of this program's.
    """
    try:
        return _WORK_ITEM.validate_json(zlib.decompress(kept))
    except zlib.error as error:
        raise ValueError(str(error)) from error
