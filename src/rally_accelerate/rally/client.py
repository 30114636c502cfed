"""Rally's verbs: open, changed, history, count. Reads only; ``transport.OnlyReads`` sees to it."""

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
from rally_accelerate.rally.current_names import names_now
from rally_accelerate.rally.history_fields import PastField, PastFields
from rally_accelerate.rally.item_filters import Filters, explained, filters_of, require_parsable
from rally_accelerate.rally.keyset_paging import judge, listing_of, listings_of, next_rows, to_records, walk
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.query import Condition
from rally_accelerate.rally.records import (
    Binned,
    NamesPage,
    Page,
    Project,
    Record,
    Scope,
    TimeboxFacts,
    WorkItem,
    Workspace,
)
from rally_accelerate.rally.removed_item_values import Remains
from rally_accelerate.rally.scope import every_project, find_place
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.timeboxes import changed_timeboxes
from rally_accelerate.rally.transport import http_client, notices_of, tls_context
from rally_accelerate.rally.type_definitions import Attribute, attributes_of, types_of, values_of
from rally_accelerate.rally.type_names import TypeNames
from rally_accelerate.rally.wsapi import ref_id

if TYPE_CHECKING:
    from rally_accelerate.rally.history import Pasts
    from rally_accelerate.rally.related_items import Surroundings
import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


class LookAhead:
    """Every look-ahead of one owner, so that it can stop them all.

    A consumer may merely forget its iterator, which Python then closes at a time of its own; the owner's end
    must not wait for that.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def over(self, source: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """The values of a source, each fetched while the one before is in use.

        Args:
            source: Where the values come from; closed at the end, also when the consumer stops early.
        """
        task = self._begin(source)
        try:
            while (value := await task) is not None:
                held, value = [value], None
                task = self._begin(source)
                # Handed over, not shared: while the next value is awaited, nothing here keeps this one in memory.
                yield held.pop()
        finally:
            await _gone(task)
            await source.aclose()

    async def stop(self) -> None:
        """Cancel what is running and wait until it is gone."""
        await _gone(*self._running)

    def _begin(self, source: AsyncGenerator[T]) -> asyncio.Task[T | None]:
        async def step() -> T | None:
            return await anext(source, None)

        task = asyncio.create_task(step())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


async def _gone(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    # What they brought or failed with is nobody's any more.
    await asyncio.gather(*tasks, return_exceptions=True)


logger = logging.getLogger(__name__)


class RallyClient:
    """One integration's view of Rally; an async context manager, and a ``Source`` of ``sync/ports.py``.

    Args:
        properties: The validated settings.
        limiters: Shared by everything in this process that asks Rally.
        clock: The present instant, aware UTC; used only where the service's answers carry no ``Date``.
        context: From ``tls.tls_context``, if it has been made already.
        budget: The time that the run may lose to failures; None gives this client ``retrySeconds`` of its own.
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
        self._entered: Caller | None = None
        self._pasts: Pasts | None = None
        self._surroundings: Surroundings | None = None
        #: What was opened last.
        self._scope: Scope | None = None
        #: The workspace that both of them read in.
        self._read_in: int | None = None
        self._more: dict[str, Sequence[str]] = {}
        self._past_fields = PastFields.of()
        self._rests: tuple[PastField, ...] = ()
        self._ahead = LookAhead()
        self._opened_early: Scope | None = None
        #: By the ObjectID of the workspace.
        self._types: dict[int, TypeNames] = {}

    async def __aenter__(self) -> Self:
        """Make the connections' settings; nothing is sent yet.

        Raises:
            ConfigError: A certificate file, key or proxy cannot be used.
        """
        async with AsyncExitStack() as stack:
            context = self._context or await tls_context(self._properties)
            http = await stack.enter_async_context(http_client(self._properties, context))
            limiter = stack.enter_context(self._limiters.share(self._properties))
            self._entered = Caller(http, limiter, self._properties, self._budget)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop what is under way and close the connections."""
        await self._ahead.stop()
        await self._stack.aclose()

    @property
    def usage(self) -> Usage:
        """What has been spent since the client was entered."""
        return self._caller.usage

    async def open(self) -> Scope:
        """Log in, resolve workspace and projects, read the service's clock.

        Raises:
            ConfigError: Workspace or projects cannot be resolved.
            QueryError: The extra filter's parentheses or quotes do not pair up.
            RallyAccelerateError: Whatever else Rally or the way to it answers.
        """
        scope, self._opened_early = self._opened_early, None
        return scope or await self._open()

    async def open_early(self) -> Scope:
        """Open for questions that a run depends on; the run's own ``open`` then asks nothing again.

        Raises:
            RallyAccelerateError: As ``open``.
        """
        if self._opened_early is None:
            self._opened_early = await self._open()
        return self._opened_early

    async def _open(self) -> Scope:
        properties = self._properties
        notices = notices_of(properties)
        for notice in notices:
            logger.info("%s", notice)
        # Checked before anything is asked, so that its fault is told at once.
        require_parsable(properties.query)
        place = await find_place(self._caller, properties)
        kinds, doubts = await self._kinds(place.workspace.object_id)
        filters = await self._filters(place.workspace.object_id, kinds)
        scope = Scope(
            workspace=place.workspace,
            projects=place.projects,
            visible=place.visible,
            names=place.names,
            closed=place.closed,
            kinds=kinds,
            query=filters.rest,
            queries=filters.own,
            now=self._now(place.now, notices),
            notices=(*notices, *place.notices, *doubts, *filters.notices),
        )
        self._scope = scope
        return scope

    async def projects(self) -> tuple[Workspace, tuple[Project, ...]]:
        """The workspace of the settings and all of its projects that the user sees.

        Raises:
            RallyAccelerateError: As ``open``.
        """
        return await every_project(self._caller, self._properties)

    async def definitions(self, scope: Scope) -> Mapping[str, Sequence[Attribute]]:
        """The attributes of every type of the scope, as the workspace defines them, by wire name.

        Raises:
            NotFoundError: The workspace lacks a type.
        """
        workspace = scope.workspace.object_id
        types = await self.types(workspace)
        return await attributes_of(self._caller, workspace=workspace, types=types, kinds=scope.kinds)

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
        return await values_of(self._caller, workspace=workspace, types=types, fields=fields)

    async def types(self, workspace: int) -> TypeNames:
        """The types of a workspace by their names; read once.

        Raises:
            RallyAccelerateError: Rally, or the way to it, fails.
        """
        if workspace not in self._types:
            self._types[workspace] = await types_of(self._caller, workspace=workspace)
        return self._types[workspace]

    async def _kinds(self, workspace: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the wire names of the types to read, and what is worth telling about them."""
        written = self._properties.types
        if set(written) <= set(DEFAULT_KINDS):
            # What nobody has written needs no looking up: a quiet run costs few requests.
            return tuple(dict.fromkeys(written)), ()
        try:
            types = await self.types(workspace)
        except (AccessDeniedError, NotFoundError, RejectedError) as error:
            return self._properties.kinds, (f"The names of types could not be looked up in Rally: {error}",)
        if not types.definitions:
            return self._properties.kinds, ()
        return types.kinds(written, path="properties.types")

    async def _filters(self, workspace: int, kinds: Sequence[str]) -> Filters:
        queries = self._properties.query
        kind_of: Callable[[str], str] = as_kind
        if isinstance(queries, dict) and not {as_kind(name) for name in queries} <= {*kinds, OTHERS}:
            with suppress(AccessDeniedError, NotFoundError, RejectedError):
                types = await self.types(workspace)
                kind_of = types.kind if types.definitions else as_kind
        return filters_of(queries, kinds=kinds, kind_of=kind_of)

    async def _explained(self, scope: Scope, kind: str, error: RejectedError) -> RallyAccelerateError:
        """Return why Rally refuses to filter a type: its own words name neither the other types nor a remedy."""
        query = scope.query_of(kind)
        if not query:
            return error
        try:
            attributes = await self.definitions(scope)
            types = await self.types(scope.workspace.object_id)
        except RallyAccelerateError:
            return error
        shown = {each.kind: each.display_name or each.name or each.path for each in types.definitions}
        return explained(query, kind, attributes, shown) or error

    def carry(
        self, names: Mapping[str, Sequence[str]], past: Sequence[PastField], *, rests: Sequence[PastField] = ()
    ) -> None:
        """Read further fields from now on.

        Args:
            names: Element names to fetch, by wire name of the type.
            past: Fields whose changes are told besides the built-in ones.
            rests: Fields that are read of removed items besides those.
        """
        self._rests = tuple(rests)
        self._more = dict(names)
        self._past_fields = PastFields.of(tuple(past))
        self._read_in = None

    def _now(self, said: datetime | None, notices: list[str]) -> datetime:
        if said is not None:
            return said
        if self._clock is None:
            raise UnexpectedResponseError(
                "The answers carry no Date header, so changes could be missed.",
                hint="A proxy on the way removes the Date header; let it through.",
            )
        notices.append("Rally's answers carry no Date header: this machine's clock is used, and must be right.")
        return self._clock()

    def changed(self, scope: Scope, walk: Walk) -> AsyncGenerator[Page]:
        """The walk's items, page by page, ascending by ObjectID; the next page is fetched while one is in use.

        The last page may be empty.
        """
        return self._ahead.over(self._pages(scope, walk))

    async def _pages(self, scope: Scope, its_walk: Walk) -> AsyncGenerator[Page]:
        try:
            async for page in self._unexplained(scope, its_walk):
                yield page
        except RejectedError as error:
            raise await self._explained(scope, its_walk.kind, error) from error

    async def _unexplained(self, scope: Scope, its_walk: Walk) -> AsyncGenerator[Page]:
        more = self._more.get(its_walk.kind, ())
        listings = listings_of(scope, its_walk, page_size=self._properties.page_size, more=more)
        if not listings:
            yield Page(records=(), after=its_walk.after, last=True, left=0)
        after, told = its_walk.after, set[str]()
        later = sum(items for _, items in listings)
        for number, (listing, items) in enumerate(listings, start=1):
            later -= items
            async for rows in walk(self._caller, listing, after=after):
                after = rows.after
                records, oddities = to_records(its_walk.kind, rows.rows)
                if its_walk.carrying:
                    records = _within(scope, records)
                # The same warning comes with every page; once is enough.
                fresh = [text for text in dict.fromkeys((*rows.notices, *oddities)) if text not in told]
                told.update(fresh)
                last, left = rows.last and number == len(listings), rows.left + later
                page = [Page(records=records, after=after, last=last, left=left, notices=tuple(fresh))]
                # Handed over, not shared: see ``keyset.walk``.
                del rows, records
                yield page.pop()

    async def timeboxes(self, scope: Scope, field: str, *, since: datetime, passed: Window) -> Sequence[TimeboxFacts]:
        """Return the timeboxes that changed since an instant, or began or ended in a window."""
        return await changed_timeboxes(self._caller, scope, field, since=since, passed=passed)

    async def names(self, scope: Scope, kind: str, ids: Sequence[int], *, after: int) -> NamesPage:
        """Return what some people or tags are called now, in one request."""
        return await names_now(self._caller, scope, kind, ids, after=after)

    async def left(self, scope: Scope, field: str, timeboxes: Sequence[int]) -> AbstractSet[int]:
        """Return the items that left one of some timeboxes, as far as that can be found out."""
        pasts, _ = self._readers(scope)
        return await pasts.left(field, timeboxes)

    async def find(self, scope: Scope, key: str) -> Record | None:
        """The item of a FormattedID, or None when the scope has none."""
        for kind in scope.kinds:
            projects = tuple(project.object_id for project in scope.projects)
            its_walk = Walk(kind=kind, projects=projects, started_at=scope.now)
            listing = listing_of(scope, its_walk, self._more.get(kind, ()))
            listing = replace(listing, where=(Condition("FormattedID", "=", key), *listing.where))
            rows = await next_rows(self._caller, listing)
            records, _ = to_records(kind, rows.rows)
            for record in records:
                # Prefixes are not unique over types, and some servers compare digits only
                # (rally-api-notes.md#formatted-ids).
                if record.key.casefold() == key.casefold():
                    return record
        return None

    def fits(self, records: Sequence[Record]) -> int:
        """How many of these records, from the first on, fill a request for their history; 0 waits for more."""
        return self._readers(self._scope)[0].fits(records) if self._scope is not None else len(records)

    async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
        """The records with their past and what stands around them, in the same order."""
        pasts, surroundings = self._readers(scope)
        items = await surroundings.of(records, await pasts.of(records))
        self._caller.oddities.name(records)
        return items

    def told(self) -> tuple[str, ...]:
        """Sentences about the history that are worth telling, each once."""
        return self._pasts.notices() if self._pasts is not None else ()

    def oddities(self) -> tuple[str, ...]:
        """Sentences about what could not be read as it should, each once; complete at the end of a run."""
        return self._caller.oddities.take()

    def _readers(self, scope: Scope) -> "tuple[Pasts, Surroundings]":
        if self._pasts is None or self._surroundings is None or self._read_in != scope.workspace.object_id:
            # With the first item: most runs in a container have none, and start for their few requests alone.
            from rally_accelerate.rally.history import Pasts  # noqa: PLC0415
            from rally_accelerate.rally.related_items import Surroundings  # noqa: PLC0415

            properties = self._properties
            self._read_in = scope.workspace.object_id
            self._pasts = Pasts(self._caller, properties, scope, self._past_fields, rests=self._rests)
            self._surroundings = Surroundings(
                self._caller,
                workspace=scope.workspace.object_id,
                names=self._pasts.names,
                posts=properties.comments,
                links=properties.relations,
            )
        return self._pasts, self._surroundings

    async def shown(self, scope: Scope, ids: Sequence[int] | None = None) -> set[int]:
        """ObjectIDs of the items that the scope shows now, or of those among ``ids``; complete, or an error."""
        return await deletions.shown(self._caller, scope, ids)

    async def binned(self, scope: Scope, since: datetime) -> list[Binned]:
        """What was put into the recycle bin since an instant."""
        return await deletions.binned(self._caller, scope, since)

    async def elsewhere(self, scope: Scope, ids: Sequence[int]) -> Mapping[int, str]:
        """The project's name of each of these items that is still there, only not in the scope."""
        return await deletions.elsewhere(self._caller, scope, ids)

    async def remains(
        self, scope: Scope, removed: Mapping[int, datetime], *, commented: Collection[int]
    ) -> Mapping[int, Remains]:
        """Put together again what Rally still tells of items that the scope no longer shows.

        Args:
            scope: The workspace and the types.
            removed: When each item was seen to be removed, by ObjectID.
            commented: The items that had comments.

        Raises:
            RallyAccelerateError: Rally, or the way to it, fails.
        """
        # Rarely needed, and only after items were read.
        from rally_accelerate.rally import removed_items  # noqa: PLC0415

        found = await removed_items.readable(self._caller, scope, removed.keys(), history=self.history, more=self._more)
        rest = {item: at for item, at in removed.items() if item not in found}
        pasts, _ = self._readers(scope)
        lost = await removed_items.snapshotted(self._caller, scope, rest, pasts=pasts, commented=commented)
        return {**found, **lost}

    async def fed_until(self, scope: Scope) -> datetime | None:
        """How far Lookback's feed has come; None when it does not say.

        Raises:
            RallyAccelerateError: Lookback cannot be used.
        """
        pasts, _ = self._readers(scope)
        return await pasts.fed_until()

    async def count(self, scope: Scope, kind: str, *, since: datetime | None = None) -> int:
        """Return how many items of a kind the scope has, or changed since an instant, by Rally's own count."""
        projects = tuple(project.object_id for project in scope.projects)
        its_walk = Walk(kind=kind, projects=projects, window=Window(since), started_at=scope.now)
        listing = listing_of(scope, its_walk)
        # There is no call that only counts (rally-api-notes.md#paging).
        try:
            answer = await self._caller.read(listing.request(after=0, size=1))
        except RejectedError as error:
            raise await self._explained(scope, kind, error) from error
        return judge(answer.data, kind=kind, after=0, asked_for=1).left

    @property
    def _caller(self) -> Caller:
        if self._entered is None:
            raise RuntimeError("RallyClient is used outside of its context")
        return self._entered


def _within(scope: Scope, records: Sequence[Record]) -> tuple[Record, ...]:
    """Return the records in the projects of a scope: a walk by timebox has no room for the projects in its address."""
    projects = {project.object_id for project in scope.projects}
    return tuple(each for each in records if not projects or ref_id(each.fields.get("Project")) in projects)
