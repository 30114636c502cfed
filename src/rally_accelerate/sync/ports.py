"""The protocols that a sync needs: source, sink, state and originals."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, Protocol

from rally_accelerate.accelerate.payload import Retirement
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Progress, Sent, Walk, Window
from rally_accelerate.model.report import Acknowledgement, Tally, Usage
from rally_accelerate.rally.records import (
    NamesPage,
    Page,
    Project,
    Record,
    RecycleBinEntry,
    Scope,
    TimeboxFacts,
    WorkItem,
    Workspace,
)
from rally_accelerate.rally.removed_item_values import RemovedItem


class Source(Protocol):
    """Source of work items. Read-only."""

    @property
    def usage(self) -> Usage:
        """Requests and bytes since the source was created."""
        ...

    async def open(self) -> Scope:
        """Log in, resolve workspace and projects, read the service's clock."""
        ...

    def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        """Yield the walk's items in pages, from ``walk.after`` on, ascending by ObjectID."""
        ...

    def count_fitting(self, records: Sequence[Record]) -> int:
        """Return how many of the first records fill a history request; 0 means that more are needed."""
        ...

    async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
        """Return the records with their history, in the same order."""
        ...

    def notices(self) -> tuple[str, ...]:
        """Return notices about the data that was read, each once."""
        ...

    async def timeboxes(self, scope: Scope, field: str, *, since: datetime, passed: Window) -> Sequence[TimeboxFacts]:
        """Return the timeboxes of a field that changed since an instant, or began or ended in a window."""
        ...

    async def names(self, scope: Scope, kind: str, ids: Sequence[int], *, after: int) -> NamesPage:
        """Return the current names of people or tags (``model.progress``), at most as many as one request returns.

        Args:
            scope: The scope of the sync.
            kind: ``PEOPLE`` or ``TAGS``.
            ids: Their ObjectIDs; the result can contain others.
            after: The ObjectID at which an earlier call ended, for lists that are too long for one request.
        """
        ...

    async def find_departed(self, scope: Scope, field: str, timeboxes: Sequence[int]) -> AbstractSet[int]:
        """Return the items that left one of the timeboxes, where the source can tell."""
        ...

    async def count(self, scope: Scope, kind: str, *, since: datetime | None = None) -> int:
        """Return how many items of a kind the scope has, or how many of them changed since an instant."""
        ...

    async def projects(self) -> tuple[Workspace, tuple[Project, ...]]:
        """Return the configured workspace and its projects that the user can see."""
        ...

    def value_notices(self) -> tuple[str, ...]:
        """Return notices about values that could not be read, each once; complete at the end of a sync."""
        ...

    async def find_visible(self, scope: Scope, ids: Sequence[int] | None = None) -> AbstractSet[int]:
        """Return the ObjectIDs of all visible items of the scope, or of those among ``ids``."""
        ...

    async def read_recycle_bin(self, scope: Scope, since: datetime) -> Sequence[RecycleBinEntry]:
        """Return the entries that were moved to the recycle bin since an instant."""
        ...

    async def recover_removed(
        self, scope: Scope, removed: Mapping[int, datetime], *, commented: Collection[int]
    ) -> Mapping[int, RemovedItem]:
        """Return the values of removed items that can still be read; ``commented`` had comments."""
        ...

    async def find_moved(self, scope: Scope, ids: Sequence[int]) -> Mapping[int, str]:
        """Return the project names of items that were moved out of the scope."""
        ...


class Sink(Protocol):
    """Target of issues. Delivering the same issue twice results in one issue."""

    @property
    def usage(self) -> Usage:
        """Requests and bytes since the sink was created."""
        ...

    async def open(self) -> None:
        """Resolve the integration; fail early if the sink cannot accept issues."""
        ...

    def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
        """Upload the issues in batches; each acknowledgement is final for its items."""
        ...

    def retire(self, retirements: Sequence[Retirement]) -> AsyncIterator[Acknowledgement]:
        """Give the issues of removed items their final status, each with its complete document."""
        ...

    async def read_back(
        self, external_ids: Sequence[str], *, projects: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return the stored fields of these issues, possibly fewer than were uploaded; unknown issues are absent."""
        ...


class State(Protocol):
    """State between syncs. ``commit`` is atomic."""

    async def load(self) -> Progress:
        """Return the progress of earlier syncs, or an empty one."""
        ...

    async def load_sent(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """Return the ledger entries of these items; unknown ones are absent."""
        ...

    async def list_versions(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """Return the version (``Sent.rules_version``) of uploaded items, by external ID.

        Args:
            ids: The items of interest, where reading all would be costly; the result can contain more. None means all.
        """
        ...

    async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the last upload of each item (``IssueDataItemIn``), where it is stored."""
        ...

    async def comments(self, external_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how many comments the last upload of each item had, where that is known."""
        ...

    async def commit(self, progress: Progress, sent: Mapping[str, Sent], uploaded: Sequence[Issue] = ()) -> None:
        """Store all of it in one durable transaction before returning.

        Args:
            progress: The new progress.
            sent: The ledger's new entries.
            uploaded: The issues that were uploaded.
        """
        ...


class Originals(Protocol):
    """Stored work items as they were read, so that changed rules can map them without reading Rally again."""

    async def keep(self, items: Sequence[WorkItem]) -> None:
        """Replace the stored items durably before returning."""
        ...

    def read_all(self) -> AsyncIterator[Sequence[WorkItem]]:
        """Yield all stored items in batches; unreadable ones are omitted."""
        ...


#: Called with fresh counts whenever they change.
Watch = Callable[[Tally], None]
