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
    """Where work items come from. Only reads."""

    @property
    def usage(self) -> Usage:
        """What has been spent since the source was made."""
        ...

    async def open(self) -> Scope:
        """Log in, resolve workspace and projects, read the service's clock."""
        ...

    def changed(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        """Yield the walk's items in pages, from ``walk.after`` on, ascending by ObjectID."""
        ...

    def fits(self, records: Sequence[Record]) -> int:
        """Return how many of the first records fill a history request; 0 means that more are needed."""
        ...

    async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
        """Return the records with their history, in the same order."""
        ...

    def told(self) -> tuple[str, ...]:
        """Return notices about what was read, each once."""
        ...

    async def timeboxes(self, scope: Scope, field: str, *, since: datetime, passed: Window) -> Sequence[TimeboxFacts]:
        """Return the timeboxes of a field that changed since an instant, or began or ended in a window."""
        ...

    async def names(self, scope: Scope, kind: str, ids: Sequence[int], *, after: int) -> NamesPage:
        """Return what some people or tags (``model.progress``) are called now, as far as one request tells.

        Args:
            scope: What is read.
            kind: ``PEOPLE`` or ``TAGS``.
            ids: Their ObjectIDs; others may come as well.
            after: Where an earlier call ended in a list that is too long for one request.
        """
        ...

    async def left(self, scope: Scope, field: str, timeboxes: Sequence[int]) -> AbstractSet[int]:
        """Return the items that left one of some timeboxes, as far as that can be found out."""
        ...

    async def count(self, scope: Scope, kind: str, *, since: datetime | None = None) -> int:
        """Return how many items of a kind the scope has, or how many of them changed since an instant."""
        ...

    async def projects(self) -> tuple[Workspace, tuple[Project, ...]]:
        """Return the configured workspace and its projects that the user can see."""
        ...

    def oddities(self) -> tuple[str, ...]:
        """Return notices about values that could not be read, each once; complete at the end of a sync."""
        ...

    async def shown(self, scope: Scope, ids: Sequence[int] | None = None) -> AbstractSet[int]:
        """Return the ObjectIDs of all visible items of the scope, or of those among ``ids``."""
        ...

    async def binned(self, scope: Scope, since: datetime) -> Sequence[RecycleBinEntry]:
        """Return what was moved to the recycle bin since an instant."""
        ...

    async def remains(
        self, scope: Scope, removed: Mapping[int, datetime], *, commented: Collection[int]
    ) -> Mapping[int, RemovedItem]:
        """Return what can still be read of removed items; ``commented`` had comments."""
        ...

    async def elsewhere(self, scope: Scope, ids: Sequence[int]) -> Mapping[int, str]:
        """Return the project names of items that were moved out of the scope."""
        ...


class Sink(Protocol):
    """Where issues go. Delivering the same issue twice leaves one issue."""

    @property
    def usage(self) -> Usage:
        """What has been spent since the sink was made."""
        ...

    async def open(self) -> None:
        """Find out whose issues these are; fail early when the sink cannot take any."""
        ...

    def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
        """Send the issues in parcels; each receipt is final for its items."""
        ...

    def retire(self, retirements: Sequence[Retirement]) -> AsyncIterator[Acknowledgement]:
        """Give issues whose items are gone their last status, each with its whole document."""
        ...

    async def read_back(
        self, external_ids: Sequence[str], *, projects: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return what can be read back of these issues, which may be less than was sent; unknown ones are absent."""
        ...


class State(Protocol):
    """What is remembered between runs. ``commit`` is all or nothing."""

    async def load(self) -> Progress:
        """Return the progress of earlier runs, or an empty one."""
        ...

    async def load_sent(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """Return the ledger entries of these items; unknown ones are absent."""
        ...

    async def list_versions(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """Return the version (``Sent.rules_version``) of uploaded items, by external ID.

        Args:
            ids: The items that matter, where telling of all would be a labour; more may be told. None means all.
        """
        ...

    async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the last upload of each item (``IssueDataItemIn``), where it is kept."""
        ...

    async def comments(self, external_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how many comments the last upload of each item had, where that is known."""
        ...

    async def commit(self, progress: Progress, sent: Mapping[str, Sent], uploaded: Sequence[Issue] = ()) -> None:
        """Remember all of it together, durably, before returning.

        Args:
            progress: How far the work has come.
            sent: The ledger's new entries.
            uploaded: The issues that were uploaded.
        """
        ...


class Originals(Protocol):
    """Work items as they were read, kept where there is room: other rules map them without asking Rally again."""

    async def keep(self, items: Sequence[WorkItem]) -> None:
        """Remember the items in place of what was kept of them before, durably, before returning."""
        ...

    def read_all(self) -> AsyncIterator[Sequence[WorkItem]]:
        """Yield all stored items in batches; unreadable ones are omitted."""
        ...


#: Called with fresh counts whenever they change.
Watch = Callable[[Tally], None]
