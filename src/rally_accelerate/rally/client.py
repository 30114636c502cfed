"""The Rally client. It only reads, which ``transport.ReadOnlyTransport`` enforces."""

import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rally_accelerate.config.item_queries import OTHERS
from rally_accelerate.config.model import DEFAULT_KINDS, Properties
from rally_accelerate.config.value_parsers import as_kind
from rally_accelerate.errors import (
    AccessDeniedError,
    NotFoundError,
    RallyAccelerateError,
    RejectedError,
    UnexpectedResponseError,
)
from rally_accelerate.model.progress import Walk, Window
from rally_accelerate.model.report import Usage
from rally_accelerate.model.time_budget import RetryBudget
from rally_accelerate.rally import deletions
from rally_accelerate.rally.current_names import read_current_names
from rally_accelerate.rally.history_fields import TrackedField, TrackedFields
from rally_accelerate.rally.item_filters import Filters, build_filters, explain_rejection, require_parsable
from rally_accelerate.rally.keyset_paging import (
    build_listing,
    build_listings,
    parse_page,
    read_page,
    read_pages,
    to_records,
)
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.query import Condition
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
from rally_accelerate.rally.scope import list_projects, resolve_location
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.timeboxes import read_changed_timeboxes
from rally_accelerate.rally.transport import connection_notices, make_client, tls_context
from rally_accelerate.rally.type_definitions import Attribute, read_allowed_values, read_attributes, read_types
from rally_accelerate.rally.type_names import TypeNames
from rally_accelerate.rally.wsapi import ref_id

if TYPE_CHECKING:
    from rally_accelerate.rally.history import HistoryReader
    from rally_accelerate.rally.related_items import RelatedObjectsReader
import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


class Prefetcher:
    """Prefetching of async iterators. Stopping it cancels every pending prefetch.

    A consumer can drop its iterator, which Python closes only at garbage collection; ``stop`` doesn't wait for that.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def iterate(self, source: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """Yield the values of a source, fetching each one while the previous one is in use.

        Args:
            source: Where the values come from; closed at the end, also when the consumer stops early.
        """
        task = self._fetch_next(source)
        try:
            while (value := await task) is not None:
                values, value = [value], None
                task = self._fetch_next(source)
                # Handed over, not shared: while the next value is awaited, nothing here keeps this one in memory.
                yield values.pop()
        finally:
            await _cancel_all(task)
            await source.aclose()

    async def stop(self) -> None:
        """Cancel the running tasks and wait until they end."""
        await _cancel_all(*self._running)

    def _fetch_next(self, source: AsyncGenerator[T]) -> asyncio.Task[T | None]:
        async def step() -> T | None:
            return await anext(source, None)

        task = asyncio.create_task(step())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


async def _cancel_all(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    # Their results and errors are no longer needed.
    await asyncio.gather(*tasks, return_exceptions=True)


logger = logging.getLogger(__name__)


class RallyClient:
    """One integration's view of Rally; an async context manager, and a ``Source`` of ``sync/ports.py``.

    Args:
        properties: The validated settings.
        limiters: The limiters that all Rally clients of this process share.
        clock: The present instant, aware UTC; used only where the service's answers carry no ``Date``.
        context: From ``transport.tls_context``, if it has been made already.
        budget: The time that the run may lose to failures; None uses ``retrySeconds`` for this client alone.
    """

    def __init__(
        self,
        properties: Properties,
        *,
        limiters: LimiterPool,
        clock: Callable[[], datetime] | None = None,
        context: ssl.SSLContext | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self._properties = properties
        self._budget = budget
        self._context = context
        self._limiters = limiters
        self._clock = clock
        self._stack = AsyncExitStack()
        self._active_session: Session | None = None
        self._history_reader: HistoryReader | None = None
        self._related_reader: RelatedObjectsReader | None = None
        #: What was opened last.
        self._scope: Scope | None = None
        #: The workspace that both of them read in.
        self._readers_workspace: int | None = None
        self._extra_fields: dict[str, Sequence[str]] = {}
        self._tracked_fields = TrackedFields.of()
        self._removed_item_fields: tuple[TrackedField, ...] = ()
        self._prefetcher = Prefetcher()
        self._early_scope: Scope | None = None
        #: By the ObjectID of the workspace.
        self._types: dict[int, TypeNames] = {}

    async def __aenter__(self) -> Self:
        """Prepare the connections; nothing is sent yet.

        Raises:
            ConfigError: A certificate file, key or proxy cannot be used.
        """
        async with AsyncExitStack() as stack:
            context = self._context or await tls_context(self._properties)
            http = await stack.enter_async_context(make_client(self._properties, context))
            limiter = stack.enter_context(self._limiters.acquire(self._properties))
            self._active_session = Session(http, limiter, self._properties, self._budget)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel pending requests and close the connections."""
        await self._prefetcher.stop()
        await self._stack.aclose()

    @property
    def usage(self) -> Usage:
        """Requests and bytes since the client was entered."""
        return self._session.usage

    async def open(self) -> Scope:
        """Log in, resolve workspace and projects, read the service's clock.

        Raises:
            ConfigError: Workspace or projects cannot be resolved.
            QueryError: The extra filter's parentheses or quotes do not pair up.
            RallyAccelerateError: Whatever else Rally or the way to it answers.
        """
        scope, self._early_scope = self._early_scope, None
        return scope or await self._open()

    async def open_early(self) -> Scope:
        """Open the scope before the run starts; the run's own ``open`` reuses the result.

        Raises:
            RallyAccelerateError: As ``open``.
        """
        if self._early_scope is None:
            self._early_scope = await self._open()
        return self._early_scope

    async def _open(self) -> Scope:
        properties = self._properties
        notices = connection_notices(properties)
        for notice in notices:
            logger.info("%s", notice)
        # Checked before the first request, so that an error is reported immediately.
        require_parsable(properties.query)
        location = await resolve_location(self._session, properties)
        kinds, doubts = await self._resolve_kinds(location.workspace.object_id)
        filters = await self._resolve_filters(location.workspace.object_id, kinds)
        scope = Scope(
            workspace=location.workspace,
            projects=location.projects,
            visible=location.visible,
            names=location.names,
            closed=location.closed,
            kinds=kinds,
            query=filters.rest,
            queries=filters.own,
            now=self._now(location.now, notices),
            notices=(*notices, *location.notices, *doubts, *filters.notices),
        )
        self._scope = scope
        return scope

    async def projects(self) -> tuple[Workspace, tuple[Project, ...]]:
        """Return the configured workspace and all its projects that the user can see.

        Raises:
            RallyAccelerateError: As ``open``.
        """
        return await list_projects(self._session, self._properties)

    async def definitions(self, scope: Scope) -> Mapping[str, Sequence[Attribute]]:
        """Return the attributes of every type of the scope, as the workspace defines them, by wire name.

        Raises:
            NotFoundError: The workspace lacks a type.
        """
        workspace = scope.workspace.object_id
        types = await self.types(workspace)
        return await read_attributes(self._session, workspace=workspace, types=types, kinds=scope.kinds)

    async def values(
        self, scope: Scope, fields: Mapping[str, Collection[str]]
    ) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """Read the values that fields can have, where they have a list of them.

        Args:
            scope: From ``open``.
            fields: Element names by wire name of their type; the result is by both.

        Raises:
            RallyAccelerateError: Rally, or the way to it, fails.
        """
        workspace = scope.workspace.object_id
        types = await self.types(workspace)
        return await read_allowed_values(self._session, workspace=workspace, types=types, fields=fields)

    async def types(self, workspace: int) -> TypeNames:
        """Return the types of a workspace by their names; they are read once.

        Raises:
            RallyAccelerateError: Rally, or the way to it, fails.
        """
        if workspace not in self._types:
            self._types[workspace] = await read_types(self._session, workspace=workspace)
        return self._types[workspace]

    async def _resolve_kinds(self, workspace: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the wire names of the types to read, and notices about them."""
        written = self._properties.types
        if set(written) <= set(DEFAULT_KINDS):
            # Default types need no lookup, which saves requests in runs without changes.
            return tuple(dict.fromkeys(written)), ()
        try:
            types = await self.types(workspace)
        except (AccessDeniedError, NotFoundError, RejectedError) as error:
            return self._properties.kinds, (f"Type names could not be read from Rally: {error}",)
        if not types.definitions:
            return self._properties.kinds, ()
        return types.resolve_all(written, path="properties.types")

    async def _resolve_filters(self, workspace: int, kinds: Sequence[str]) -> Filters:
        queries = self._properties.query
        kind_of: Callable[[str], str] = as_kind
        if isinstance(queries, dict) and not {as_kind(name) for name in queries} <= {*kinds, OTHERS}:
            with suppress(AccessDeniedError, NotFoundError, RejectedError):
                types = await self.types(workspace)
                kind_of = types.resolve if types.definitions else as_kind
        return build_filters(queries, kinds=kinds, kind_of=kind_of)

    async def _explain_rejection(self, scope: Scope, kind: str, error: RejectedError) -> RallyAccelerateError:
        """Explain why Rally cannot filter a type: its own message names neither the other types nor a remedy."""
        query = scope.query_of(kind)
        if not query:
            return error
        try:
            attributes = await self.definitions(scope)
            types = await self.types(scope.workspace.object_id)
        except RallyAccelerateError:
            return error
        labels = {
            definition.kind: definition.display_name or definition.name or definition.path
            for definition in types.definitions
        }
        return explain_rejection(query, kind, attributes, labels) or error

    def add_fields(
        self,
        names: Mapping[str, Sequence[str]],
        tracked: Sequence[TrackedField],
        *,
        removed_item_fields: Sequence[TrackedField] = (),
    ) -> None:
        """Read further fields from now on.

        Args:
            names: Element names to fetch, by wire name of the type.
            tracked: Fields whose history is read in addition to the built-in ones.
            removed_item_fields: Further fields that are read of removed items only.
        """
        self._removed_item_fields = tuple(removed_item_fields)
        self._extra_fields = dict(names)
        self._tracked_fields = TrackedFields.of(tuple(tracked))
        self._readers_workspace = None

    def _now(self, service_time: datetime | None, notices: list[str]) -> datetime:
        if service_time is not None:
            return service_time
        if self._clock is None:
            raise UnexpectedResponseError(
                "Rally's responses have no Date header, so changes could be missed.",
                hint="A proxy between here and Rally removes the Date header; configure it to keep the header.",
            )
        notices.append("Rally's responses have no Date header: this machine's clock is used, and must be correct.")
        return self._clock()

    def read_changes(self, scope: Scope, walk: Walk) -> AsyncGenerator[Page]:
        """Yield the items of a walk in pages, ascending by ObjectID, and fetch the next page while one is in use.

        The last page can be empty.
        """
        return self._prefetcher.iterate(self._read_pages_or_explain(scope, walk))

    async def _read_pages_or_explain(self, scope: Scope, walk: Walk) -> AsyncGenerator[Page]:
        try:
            async for page in self._read_pages(scope, walk):
                yield page
        except RejectedError as error:
            raise await self._explain_rejection(scope, walk.kind, error) from error

    async def _read_pages(self, scope: Scope, walk: Walk) -> AsyncGenerator[Page]:
        more = self._extra_fields.get(walk.kind, ())
        listings = build_listings(scope, walk, page_size=self._properties.page_size, more=more)
        if not listings:
            yield Page(records=(), after=walk.after, last=True, remaining=0)
        after, reported = walk.after, set[str]()
        later = sum(items for _, items in listings)
        for number, (listing, items) in enumerate(listings, start=1):
            later -= items
            async for rows in read_pages(self._session, listing, after=after):
                after = rows.after
                records, oddities = to_records(walk.kind, rows.rows)
                if walk.carrying:
                    records = _select_in_scope(scope, records)
                # The same warning comes with every page; once is enough.
                fresh = [text for text in dict.fromkeys((*rows.notices, *oddities)) if text not in reported]
                reported.update(fresh)
                last, remaining = rows.last and number == len(listings), rows.remaining + later
                page = [Page(records=records, after=after, last=last, remaining=remaining, notices=tuple(fresh))]
                # Handed over, not shared: see ``keyset_paging.read_pages``.
                del rows, records
                yield page.pop()

    async def timeboxes(self, scope: Scope, field: str, *, since: datetime, passed: Window) -> Sequence[TimeboxFacts]:
        """Return the timeboxes that changed since an instant, or began or ended in a window."""
        return await read_changed_timeboxes(self._session, scope, field, since=since, passed=passed)

    async def names(self, scope: Scope, kind: str, ids: Sequence[int], *, after: int) -> NamesPage:
        """Return the current names of some people or tags, in one request."""
        return await read_current_names(self._session, scope, kind, ids, after=after)

    async def find_departed(self, scope: Scope, field: str, timeboxes: Sequence[int]) -> AbstractSet[int]:
        """Return the items that left one of some timeboxes, as far as Lookback knows."""
        history_reader, _ = self._get_readers(scope)
        return await history_reader.find_departed_items(field, timeboxes)

    async def find(self, scope: Scope, key: str) -> Record | None:
        """Find the item with a FormattedID; return None when the scope has none."""
        for kind in scope.kinds:
            projects = tuple(project.object_id for project in scope.projects)
            walk = Walk(kind=kind, projects=projects, started_at=scope.now)
            listing = build_listing(scope, walk, self._extra_fields.get(kind, ()))
            listing = replace(listing, where=(Condition("FormattedID", "=", key), *listing.where))
            rows = await read_page(self._session, listing)
            records, _ = to_records(kind, rows.rows)
            for record in records:
                # Prefixes are not unique over types, and some servers compare digits only
                # (rally-api-notes.md#formatted-ids).
                if record.key.casefold() == key.casefold():
                    return record
        return None

    def count_fitting(self, records: Sequence[Record]) -> int:
        """Return how many of the first records fill a request for their history; 0 to wait for more."""
        return self._get_readers(self._scope)[0].fits(records) if self._scope is not None else len(records)

    async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
        """Read the history and the related objects of records; return them in the same order."""
        history_reader, related_reader = self._get_readers(scope)
        items = await related_reader.read(records, await history_reader.read(records))
        self._session.oddities.resolve_names(records)
        return items

    def notices(self) -> tuple[str, ...]:
        """Return notices about the history, without repeats."""
        return self._history_reader.take_notices() if self._history_reader is not None else ()

    def value_notices(self) -> tuple[str, ...]:
        """Return notices about unreadable data, without repeats; complete at the end of a run."""
        return self._session.oddities.take_notices()

    def _get_readers(self, scope: Scope) -> "tuple[HistoryReader, RelatedObjectsReader]":
        if (
            self._history_reader is None
            or self._related_reader is None
            or self._readers_workspace != scope.workspace.object_id
        ):
            # With the first item: most runs in a container have none, and start for their few requests alone.
            from rally_accelerate.rally.history import HistoryReader  # noqa: PLC0415
            from rally_accelerate.rally.related_items import RelatedObjectsReader  # noqa: PLC0415

            properties = self._properties
            self._readers_workspace = scope.workspace.object_id
            self._history_reader = HistoryReader(
                self._session, properties, scope, self._tracked_fields, removed_item_fields=self._removed_item_fields
            )
            self._related_reader = RelatedObjectsReader(
                self._session,
                workspace=scope.workspace.object_id,
                names=self._history_reader.names,
                posts=properties.comments,
                links=properties.relations,
            )
        return self._history_reader, self._related_reader

    async def find_visible(self, scope: Scope, ids: Sequence[int] | None = None) -> set[int]:
        """Return the ObjectIDs of all items in the scope, or of those among ``ids``; raise an error if incomplete."""
        return await deletions.find_visible(self._session, scope, ids)

    async def read_recycle_bin(self, scope: Scope, since: datetime) -> list[RecycleBinEntry]:
        """Return the items that were moved to the recycle bin since an instant."""
        return await deletions.read_recycle_bin(self._session, scope, since)

    async def find_moved(self, scope: Scope, ids: Sequence[int]) -> Mapping[int, str]:
        """Return the project name of each of these items that still exists outside the scope."""
        return await deletions.find_moved(self._session, scope, ids)

    async def recover_removed(
        self, scope: Scope, removed: Mapping[int, datetime], *, commented: Collection[int]
    ) -> Mapping[int, RemovedItem]:
        """Reconstruct items that are no longer in the scope from what Rally still returns.

        Args:
            scope: The workspace and the types.
            removed: When each item was seen to be removed, by ObjectID.
            commented: The items that had comments.

        Raises:
            RallyAccelerateError: Rally, or the way to it, fails.
        """
        # Rarely needed, and only after items were read.
        from rally_accelerate.rally import removed_items  # noqa: PLC0415

        readable = await removed_items.read_by_id(
            self._session, scope, removed.keys(), history=self.history, more=self._extra_fields
        )
        rest = {item: at for item, at in removed.items() if item not in readable}
        history_reader, _ = self._get_readers(scope)
        unreadable = await removed_items.read_from_snapshots(
            self._session, scope, rest, history_reader=history_reader, commented=commented
        )
        return {**readable, **unreadable}

    async def read_feed_time(self, scope: Scope) -> datetime | None:
        """Return the time up to which Lookback has received changes; None when it is not reported.

        Raises:
            RallyAccelerateError: Lookback cannot be used.
        """
        history_reader, _ = self._get_readers(scope)
        return await history_reader.read_feed_time()

    async def count(self, scope: Scope, kind: str, *, since: datetime | None = None) -> int:
        """Return how many items of a kind the scope has, or changed since an instant, by Rally's own count."""
        projects = tuple(project.object_id for project in scope.projects)
        walk = Walk(kind=kind, projects=projects, window=Window(since), started_at=scope.now)
        listing = build_listing(scope, walk)
        # There is no call that only counts (rally-api-notes.md#paging).
        try:
            answer = await self._session.read(listing.request(after=0, size=1))
        except RejectedError as error:
            raise await self._explain_rejection(scope, kind, error) from error
        return parse_page(answer.data, kind=kind, after=0, requested_size=1).remaining

    @property
    def _session(self) -> Session:
        if self._active_session is None:
            raise RuntimeError("RallyClient is used outside of its context")
        return self._active_session


def _select_in_scope(scope: Scope, records: Sequence[Record]) -> tuple[Record, ...]:
    """Return the records in the projects of a scope: the address of a walk by timebox has no room for projects."""
    projects = {project.object_id for project in scope.projects}
    return tuple(record for record in records if not projects or ref_id(record.fields.get("Project")) in projects)
