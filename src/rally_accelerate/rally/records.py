"""Rally's own shapes and names, read but not yet translated."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rally_accelerate.model.issue import SourceRevision


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
    """One saved change of one object as Rally describes it in words (rally-api.md 3.1)."""

    history_id: int
    number: int
    instant: datetime
    #: Display name at the time of reading; empty when Rally no longer knows the user.
    user: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A record with what is known of its past.

    ``revisions`` is None when the past was not asked for. Snapshots from Lookback will stand beside it: mapping
    takes the history of an item from whichever is there.
    """

    record: Record
    revisions: tuple[Revision, ...] | None = None


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
    #: An extra condition in Rally's own syntax, or empty.
    query: str
    #: The service's clock when the scope was resolved.
    now: datetime
    #: ObjectIDs of the open projects that the user sees, when the whole workspace is read; else empty.
    visible: frozenset[int] = frozenset()
    #: Sentences worth telling: closed projects, patterns that match little.
    notices: tuple[str, ...] = ()

    @property
    def signature(self) -> str:
        """Text that changes when cursors of an earlier scope mean nothing any more."""
        return f"workspace={self.workspace.object_id};query={self.query}"
