"""Rally's objects under Rally's names, before mapping."""

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
    """One row of a query, unmapped."""

    #: The wire name of the query, lower case: ``hierarchicalrequirement``, ``portfolioitem/feature``.
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
    """One saved change of one object, with Rally's description (rally-api-notes.md#reading-revisions)."""

    history_id: int
    number: int
    instant: datetime
    #: Display name at the time of reading; empty when Rally no longer knows the user.
    user: str
    description: str
    #: The user's ObjectID; None when the revision lacks it.
    user_id: int | None = None


class TimeboxValue(NamedTuple):
    """A timebox as a historical value: its id and its name at that time."""

    #: None where the source has only the name and several timeboxes share it.
    object_id: int | None
    name: str


#: A historical value of a field, in the same format for all sources: texts, drop-downs, people, projects and parents
#: as text (empty when unset), flags as ``true`` and ``false``, numbers as their shortest text, collections as sorted
#: names, timeboxes as ``TimeboxValue`` or None.
FieldValue = str | tuple[str, ...] | TimeboxValue | None

#: Pseudo-field for deletion and restoration in changes: ``false`` to ``true`` and back.
RECYCLED = "Recycled"


class FieldChange(NamedTuple):
    """A change of one field of one item."""

    #: Milliseconds since 1970.
    at: int
    #: Display name; empty when unknown.
    user: str
    #: Rally's element name, for example ``ScheduleState``, or ``RECYCLED``.
    field: str
    before: FieldValue
    after: FieldValue
    #: The user's ObjectID, which distinguishes people with the same name; None when unknown.
    user_id: int | None = None


class UnparsedChange(NamedTuple):
    """A change whose text cannot be parsed unambiguously."""

    #: Milliseconds since 1970.
    at: int
    user: str
    text: str
    #: The user's ObjectID; None when it is not known.
    user_id: int | None = None


class HistorySource(StrEnum):
    """The source of a history."""

    LOOKBACK = "lookback"
    REVISIONS = "revisions"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemHistory:
    """The history of an item since its creation, oldest change first."""

    source: HistorySource = HistorySource.NONE
    changes: tuple[FieldChange, ...] = ()
    unread: tuple[UnparsedChange, ...] = ()
    #: The creator of the item; empty when the history lacks it.
    creator: str = ""
    #: The creator's ObjectID; None when it is not known.
    creator_id: int | None = None
    #: False when the source lacks the item's last change, so that the history must be read again soon.
    up_to_date: bool = True
    #: False when the source returns only a part of the history.
    whole: bool = True
    #: ObjectIDs of other items by the field that refers to them, such as ``Predecessors``, if the source has them.
    links: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    #: FormattedIDs of linked items in revision texts, by collection, until their ObjectIDs are known.
    linked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


NO_HISTORY = ItemHistory()


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One post of a discussion (rally-api-notes.md#discussions)."""

    object_id: int
    user: str
    created: datetime
    updated: datetime
    #: Rich text, as Rally has it.
    text: str
    #: The author's ObjectID; None when the post lacks it.
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
    """Facts of an iteration, a release or a milestone that affect its items."""

    object_id: int
    name: str
    #: ObjectID of its project, if it has one.
    project: int | None
    #: Start and end, where they affect the issues of its items.
    start: datetime | None
    end: datetime | None
    #: Changes when a fact that issues contain changes.
    digest: str


class NamesPage(NamedTuple):
    """Current names of some people or tags."""

    #: By ObjectID.
    names: Mapping[int, str]
    #: The ObjectID that the list was read up to; 0 at its end.
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """A milestone of an item (rally-api-notes.md#timeboxes)."""

    object_id: int
    #: FormattedID, for example MI7.
    key: str
    name: str
    target: datetime | None = None
    #: The name of its target project; empty for none.
    project: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelatedObjects:
    """The related objects of an item: its discussion, the timeboxes of its history, and other items."""

    posts: tuple[Post, ...] = ()
    #: By ObjectID.
    timeboxes: Mapping[int, Timebox] = field(default_factory=dict)
    #: FormattedIDs and names of items that this one refers to, by ObjectID.
    items: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    #: The current milestones of the item, by ObjectID.
    milestones: Mapping[int, Milestone] = field(default_factory=dict)


NO_RELATED_OBJECTS = RelatedObjects()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A record with its history and related objects."""

    record: Record
    past: ItemHistory = NO_HISTORY
    around: RelatedObjects = NO_RELATED_OBJECTS


class RecycleBinEntry(NamedTuple):
    """An entry of the recycle bin (rally-api-notes.md#recycle-bin)."""

    #: ObjectID of the deleted item.
    object_id: int
    instant: datetime
    #: Display name of the user who deleted it; empty when unknown.
    user: str
    #: That user's ObjectID; None when unknown.
    user_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows of one kind, ascending by ObjectID."""

    records: tuple[Record, ...]
    #: The last ObjectID of the page; the next page starts after it.
    after: int
    #: True when the walk ends with this page.
    last: bool
    #: How many rows remained when this page was read, including its rows.
    remaining: int
    #: Notices: rows that could not be read, warnings of the service.
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A Rally workspace."""

    object_id: int
    name: str
    open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Rally project and its parent."""

    object_id: int
    name: str
    parent: int | None = None
    open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The workspace, projects and types to read, resolved to ids."""

    workspace: Workspace
    #: Empty for all projects of the workspace.
    projects: tuple[Project, ...]
    kinds: tuple[str, ...]
    #: An extra condition in Rally's syntax for every type without a separate one, or empty.
    query: str
    #: The service's clock when the scope was resolved.
    now: datetime
    #: ObjectIDs of the open projects that the user can see, if all projects are read; else empty.
    visible: frozenset[int] = frozenset()
    #: Names of the projects to read, by ObjectID.
    names: Mapping[int, str] = field(default_factory=dict)
    #: Known closed projects of the workspace.
    closed: tuple[Project, ...] = ()
    #: Notices: closed projects, patterns that match little.
    notices: tuple[str, ...] = ()
    #: Extra conditions of single types, by wire name; an empty one excludes nothing.
    queries: Mapping[str, str] = field(default_factory=dict)

    def query_of(self, kind: str) -> str:
        """Return the extra condition of a type, or an empty text."""
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
        """A text that changes when cursors of an earlier scope become invalid."""
        queries = "".join(f";query of {kind}={text}" for kind, text in sorted(self.queries.items()))
        return f"workspace={self.workspace.object_id};query={self.query}{queries}"


#: What ``person_name`` reads; to be fetched wherever users come along with other objects.
PERSON_FIELDS = ("DisplayName", "FirstName", "LastName", "UserName", "EmailAddress")


def person_name(user: Mapping[str, Any]) -> str:
    """Return the display name of a user, or the best other name; empty if it has no name.

    A display name may be empty or blank: then the first and last name are used, else the user name, else the email
    address. Stubs, including those of deleted users, have only ``_refObjectName``, which is the display
    name (rally-api-notes.md#references).

    Args:
        user: A user as an object, or as a stub.
    """
    display_name = "DisplayName" if "DisplayName" in user else "_refObjectName"
    full = " ".join(part for name in ("FirstName", "LastName") if (part := _text(user, name)))
    candidates = (_text(user, display_name), full, _text(user, "UserName"), _text(user, "EmailAddress"))
    return next(filter(None, candidates), "") or _text(user, "_refObjectName")


def name_or_id(user: Mapping[str, Any]) -> str:
    """Return the best name of a user; for a user without any name, one based on the ObjectID."""
    oid = ref_id(user)
    return person_name(user) or (placeholder_name(oid) if oid is not None else "")


def placeholder_name(oid: int) -> str:
    """Return the name for a user without any name."""
    return f"User {oid}"


def _text(user: Mapping[str, Any], name: str) -> str:
    """Return an attribute without surrounding space; empty when nothing of it is visible."""
    value = user.get(name)
    if not isinstance(value, str):
        return ""
    # Separators, controls and invisible characters such as U+200B make no name.
    return value.strip() if any(unicodedata.category(char)[0] not in "CZ" for char in value) else ""


_WORK_ITEM: pydantic.TypeAdapter[WorkItem] = pydantic.TypeAdapter(WorkItem)

#: Rows repeat the same names over and over: the quickest level makes a fifth of them, the best one hardly less.
COMPRESSION_LEVEL = 1


def to_bytes(item: WorkItem) -> bytes:
    """Serialize an item with its history and related objects."""
    return zlib.compress(_WORK_ITEM.dump_json(item), COMPRESSION_LEVEL)


def from_bytes(content: bytes) -> WorkItem:
    """Deserialize an item that ``to_bytes`` serialized.

    Raises:
        ValueError: The bytes were not written by ``to_bytes``.
    """
    try:
        return _WORK_ITEM.validate_json(zlib.decompress(content))
    except zlib.error as error:
        raise ValueError(str(error)) from error
