"""The issue as Accelerate understands it, before it is put on the wire.

Field meanings follow accelerate-api-notes.md#issue-fields and accelerate-api-notes.md#issue-history; names here are
Python's, the wire names live in ``accelerate/payload.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

#: The word that names this source to Accelerate.
SOURCE = "RALLY"

#: Shown where the source cannot say who created an item: the field is required (accelerate-api-notes.md#issue-fields).
UNKNOWN_PERSON = "unknown"


class NormalizedType(StrEnum):
    """The three kinds of item that every server version knows (accelerate-api-notes.md#issue-fields)."""

    EPIC = "EPIC"
    FEATURE = "FEATURE"
    OTHER = "OTHER"


class RelationType(StrEnum):
    """How another item relates to this one."""

    PARENT = "PARENT"
    CHILD = "CHILD"
    RELATED = "RELATED"


@dataclass(frozen=True, slots=True, order=True)
class SourceRevision:
    """Which state of an item this is, in the source's own count; orders older before newer.

    Rally raises ``VersionId`` with each change and moves ``LastUpdateDate`` on edits; either alone may
    stand still, so both are kept (rally-api-notes.md#item-versions).
    """

    updated_at: datetime
    version: int = 0

    def __str__(self) -> str:
        return f"{self.updated_at.isoformat()}#{self.version}"

    @classmethod
    def parse(cls, text: str) -> "SourceRevision":
        """Read back what ``str()`` wrote."""
        instant, _, version = text.rpartition("#")
        return cls(datetime.fromisoformat(instant), int(version))


#: A value as the schema's JSON takes it: a text or a list of texts. Objects are read back as comments, reviews or
#: steps (accelerate-api-notes.md#issue-history), so references are sent as their names.
HistoryValue = str | list[str]


class HistoryEntry(NamedTuple):
    """One change of one field (accelerate-api-notes.md#issue-history); there are ten and more of them for each item."""

    instant: datetime
    field: str
    before: HistoryValue
    after: HistoryValue
    user: str = UNKNOWN_PERSON
    #: ``string``, ``integer`` or ``stringArray``.
    type: str = "string"
    #: The user's id in the source, which stays through renamings; empty when it is not known.
    user_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprint:
    """A Rally iteration."""

    id: str
    name: str
    start: datetime | None = None
    end: datetime | None = None
    description: str = ""
    url: str = ""
    active: bool | None = None
    #: Whether the item is no longer planned for it.
    former: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A Rally release."""

    id: str
    name: str
    description: str = ""
    archived: bool | None = None
    released: bool | None = None
    date: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Rally project."""

    id: str
    name: str
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """One post of an item's discussion."""

    id: str
    user: str
    created: datetime
    updated: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Another item, by its external id, and how it relates."""

    id: str
    type: RelationType


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One work item in Accelerate's words; instants are aware UTC."""

    #: The stable id in the source: Rally's ObjectID as text.
    external_id: str
    #: The id that people know, for example US123.
    display_id: str
    name: str
    status: str
    url: str
    created: datetime
    last_update: datetime
    type: str
    #: Which state of the source item this was made from.
    revision: SourceRevision
    creator: str = UNKNOWN_PERSON
    owner: str | None = None
    description: str = ""
    normalized_type: NormalizedType = NormalizedType.OTHER
    priority: str | None = None
    story_points: float | None = None
    labels: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    version_ids: tuple[str, ...] = ()
    epic: str | None = None
    project: Project | None = None
    sprints: tuple[Sprint, ...] = ()
    releases: tuple[Release, ...] = ()
    comments: tuple[Comment, ...] = ()
    relations: tuple[Relation, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    #: Data from the source that no other field holds, for ``issue.rawIssue.<x>`` queries.
    raw: Mapping[str, Any] = field(default_factory=dict)
    #: Fields that only newer servers take, by their names there; instants are aware UTC.
    extras: Mapping[str, Any] = field(default_factory=dict)
