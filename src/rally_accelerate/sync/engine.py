"""The sync engine: one sync from the first request to the report. Read this first.

    1 plan            plan.walks(progress, scope)            Walk
    2 read            source.read_changes(scope, walk)       Page of Record
    3 filter          _needs_upload(walk, record, sent)      Record
    4 read history    source.history(scope, records)         WorkItem, as many records as fit into one request
    5 map             mapping.map_work_item(item, rules)     Issue or Skipped
    6 upload          sink.deliver(issues)                   Acknowledgement after Acknowledgement
    7 commit          state.commit(progress, sent)           only after the acknowledgement
    8 report          SyncReport

Readers run concurrently and pass finished pages to one uploader through a short queue, so that reading, mapping and
uploading overlap and memory is bounded by the pages in flight. With a single uploader, two states of one item can never
overtake each other. The delivery guarantees are described in docs/explanation/delivery.md.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby

from rally_accelerate.errors import NotFoundError, QueryError, RallyAccelerateError, RejectedError
from rally_accelerate.mapping.field_readers import read_project
from rally_accelerate.mapping.history_check import Verdict
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Issue, Project, SourceRevision
from rally_accelerate.model.progress import DEFAULT_OVERLAP, REMOVED_MARK, Progress, Sent, Walk, Window
from rally_accelerate.model.report import (
    MAX_NAMED_SKIPS,
    PROJECT_COUNTS,
    Acknowledgement,
    ProjectResult,
    Skipped,
    SyncReport,
    Tally,
)
from rally_accelerate.rally.records import Page, Record, Scope, WorkItem
from rally_accelerate.sync import name_watch, plan, timebox_watch
from rally_accelerate.sync.empty_sync import examine
from rally_accelerate.sync.mapper import Batch, Gathered, Mapper, Portion
from rally_accelerate.sync.ports import Originals, Sink, Source, State, Watch
from rally_accelerate.sync.removals import Completer, Removal, mark_removed


def can_reuse_originals(progress: Progress, scope: Scope, rules: Rules) -> bool:
    """Return whether the rules changed, and the stored originals contain all fields that the new rules read."""
    same = progress.scope == scope.signature and progress.rules_version != rules.version
    return same and bool(progress.read_with) and rules.needed_data <= progress.read_with


async def read_outdated(originals: Originals, state: State, rules: Rules) -> AsyncIterator[Sequence[WorkItem]]:
    """Yield batches of stored originals whose issues were mapped by other rules.

    An issue that is marked as gone keeps its last status: its item is no longer what it was when it was kept.
    """
    async for items in originals.read_all():
        ledger = await state.load_sent([str(item.record.object_id) for item in items])
        marks = {key: sent.rules_version for key, sent in ledger.items()}
        some = [item for item in items if _is_outdated(marks.get(str(item.record.object_id)), rules)]
        if some:
            yield some


async def has_outdated_issues(state: State, progress: Progress, rules: Rules) -> bool:
    """Return whether issues mapped by other rules remain whose originals are not stored."""
    owed = {str(item) for _, item in progress.owed}
    marks = await state.list_versions()
    return any(_is_outdated(mark, rules) and key not in owed for key, mark in marks.items())


def _is_outdated(mark: str | None, rules: Rules) -> bool:
    return mark is not None and not mark.startswith(rules.version) and not mark.endswith(REMOVED_MARK)


#: Stands for the project of an item that names none.
NO_PROJECT = Project(id="", name="")


class Account:
    """The account of one run.

    Args:
        watch: Called with the counts whenever they change.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        self._watch = watch
        self.tally = Tally()
        #: At most ``MAX_NAMED_SKIPS`` of them; the tally has the whole number.
        self.skipped: list[Skipped] = []
        self._names: dict[str, str] = {}
        self._counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(PROJECT_COUNTS, 0))

    def count(self, **more: int | Sequence[Project | None]) -> None:
        """Add to the counts of the tally.

        Args:
            more: By the count's name: how many items, or their projects where the count is kept per project.
        """
        sums: dict[str, int] = {}
        for name, added in more.items():
            sums[name] = getattr(self.tally, name) + (added if isinstance(added, int) else len(added))
            for project in () if isinstance(added, int) else added:
                owner = project or NO_PROJECT
                # A project that was renamed has two names in one run: the last one counts.
                self._names[owner.id] = owner.name
                self._counts[owner.id][name] += 1
        self.tally = replace(self.tally, **sums)
        if self._watch is not None:
            self._watch(self.tally)

    def skip(self, skips: Iterable[tuple[Project | None, Skipped]]) -> None:
        """Count items that are left out, with their projects, and name the first ones."""
        for project, skip in skips:
            self.count(skipped=[project])
            if len(self.skipped) < MAX_NAMED_SKIPS:
                self.skipped.append(skip)

    def projects(self) -> tuple[ProjectResult, ...]:
        """Return the result of every project in which anything was read or done, by name."""
        order = sorted(self._counts, key=lambda its_id: (self._names[its_id].casefold(), its_id))
        return tuple(ProjectResult(id=one, name=self._names[one], **self._counts[one]) for one in order)


log = logging.getLogger(__name__)

#: Pages that wait between readers and deliverer.
PAGES_WAITING = 1

#: Walks that are read side by side: each holds a page, and one ahead.
WALKS_AT_ONCE = 3

#: When more items than this are refused in one run, the fault is not in the items.
MOST_REFUSED = 200

#: Marks the ledger's entries of issues whose history the source had not finished.
HISTORY_DUE = " history due"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """Tasks of a sync in addition to importing changes."""

    #: Items that changed before are not wanted; None wants every item.
    since: datetime | None = None
    #: How to treat what is gone; None leaves it as it is.
    removal: Removal | None = None
    #: Send everything in this window again, whether it is news or not.
    again: Window | None = None


async def sync_once(
    source: Source,
    sink: Sink,
    state: State,
    rules: Rules,
    clock: Callable[[], datetime],
    *,
    overlap: timedelta = DEFAULT_OVERLAP,
    plans: Plans | None = None,
    originals: Originals | None = None,
    watch: Watch | None = None,
) -> SyncReport:
    """Bring the sink up to date with the source, once.

    Args:
        source: Where items come from.
        sink: Where issues go.
        state: What earlier runs did; moves on only after receipts.
        rules: How items become issues.
        clock: The present instant, aware UTC; for the report only, cursors follow the source's own clock.
        overlap: How far to look back behind each cursor.
        plans: What else is wanted; None reads everything and marks nothing as gone.
        originals: Where items are kept as they were read, for other rules to map; None keeps nothing.
        watch: Told fresh counts whenever they change.

    Returns:
        The whole account. A failure that the product can explain is in ``report.failure`` together with what
        was done before it; anything else is a bug and travels.
    """
    run_plans = plans or Plans()
    run = _Run(
        source,
        sink,
        state,
        rules,
        rules.version,
        overlap=overlap,
        plans=run_plans,
        originals=originals,
        account=Account(watch),
        mapper=Mapper(rules),
    )
    started_at, started = clock(), time.monotonic()
    before = (source.usage, sink.usage)
    try:
        await run.go()
    except* RallyAccelerateError as errors:
        run.failure = run.failure or _first(errors)
    run.notices.extend(source.value_notices())
    return SyncReport(
        started_at=started_at,
        seconds=time.monotonic() - started,
        tally=run.account.tally,
        projects=run.account.projects(),
        skipped=tuple(run.account.skipped),
        rally=source.usage - before[0],
        accelerate=sink.usage - before[1],
        notices=tuple(dict.fromkeys(run.notices)),
        failure=run.failure,
        empty=run.progress.empty.cause if run.progress.empty and run.failure is None else "",
    )


def _is_newer(item: Record | Issue, sent: Sent | None, rules_version: str) -> bool:
    """Return whether the sink does not hold this revision, mapped by these rules.

    Keyed by revision, not by content: an edit from A to B and back to A whose middle was uploaded but not
    remembered would otherwise leave B in the sink for ever.
    """
    # An older revision than the one sent is the answer of a node that lags behind, or of a slower walk.
    return sent is None or sent.rules_version != rules_version or sent.revision < item.revision


@dataclass(slots=True)
class _Run:
    """Mutable state of one sync."""

    source: Source
    sink: Sink
    state: State
    rules: Rules
    rules_version: str
    overlap: timedelta = field(kw_only=True)
    plans: Plans = field(kw_only=True)
    originals: Originals | None = field(kw_only=True)
    account: Account = field(kw_only=True)
    mapper: Mapper = field(kw_only=True)
    notices: list[str] = field(default_factory=list)
    failure: RallyAccelerateError | None = None
    progress: Progress = field(default_factory=Progress)
    refused: int = 0
    #: What this run sent with an unfinished history.
    sent_unfinished: dict[str, SourceRevision] = field(default_factory=dict)
    #: While everything is sent again, the ledger stops nothing.
    again: bool = False
    #: Whether items are sent again because of what they carry, and what has been sent since: once is enough.
    resends: bool = False
    sent_now: set[str] = field(default_factory=set)
    came: set[tuple[str, int]] = field(default_factory=set)
    queue: asyncio.Queue[Batch | None] = field(default_factory=lambda: asyncio.Queue(PAGES_WAITING))

    async def go(self) -> None:
        """Read, map and deliver every walk of this run."""
        await self.sink.open()
        scope = await self.source.open()
        self.mapper.now = scope.now
        self.notices.extend(scope.notices)
        if self.plans.since is not None and self.plans.since > scope.now:
            self.notices.append(
                f"initialSyncDate {self.plans.since:%Y-%m-%d} is in the future. Nothing is synced until then."
            )
        self.progress = await self.state.load()
        if self.originals is not None and can_reuse_originals(self.progress, scope, self.rules):
            await self._map_originals(scope, self.originals)
            if self.failure is not None:
                return
        self.progress = plan.valid_progress(
            self.progress, scope, rules_version=self.rules_version, reads=self.rules.needed_data
        )
        reached = plan.read_until(self.progress, scope)
        looked_at = reached - self.overlap if reached is not None else None
        if not self.progress.cursors and not self.progress.unfinished:
            self.progress = replace(self.progress, since=self.plans.since)
        await self._watch_references(scope)
        walks = plan.walks(self.progress, scope, overlap=self.overlap)
        resumed = {plan.identity(walk) for walk in self.progress.unfinished if walk.lanes}
        await self._walk(scope, walks)
        if resumed and self.failure is None:
            # A resumed walk ends at the clock of the run that began it: catch up with what changed since.
            current = frozenset(lane for walk in walks if plan.identity(walk) not in resumed for lane in walk.lanes)
            await self._walk(scope, plan.walks(self.progress, scope, overlap=self.overlap, without=current))
        await self._reach_back(scope)
        if self.plans.again is not None and self.failure is None:
            self.again = True
            await self._walk(scope, plan.walks_over(scope, self.plans.again))
            self.again = False
        if self.plans.removal is not None and self.failure is None:
            await self._mark_removed(scope, self.plans.removal, looked_at)
        if self.failure is None:
            self.progress = await examine(
                self.source, self.state, self.progress, scope, read=self.account.tally.read, since=self.plans.since
            )

    async def _watch_references(self, scope: Scope) -> None:
        """Plan to send the items again whose timeboxes changed, or whose projects, people or tags were renamed."""
        before = self.progress.unfinished
        boxes = await timebox_watch.watch_timeboxes(self.source, self.progress, scope, overlap=self.overlap)
        named = await name_watch.watch_names(self.source, boxes.progress, scope)
        self.notices.extend((*boxes.notices, *named.notices))
        self.progress = named.progress
        planned = self.progress.unfinished != before
        self.resends = any(walk.carrying for walk in self.progress.unfinished)
        if planned:
            # From here on, a run that is killed is continued.
            await self.state.commit(self.progress, {})

    async def _reach_back(self, scope: Scope) -> None:
        """Read the items between the former and an earlier initial sync date."""
        before, since = self.progress.since, self.plans.since
        if self.failure is not None or before is None or (since is not None and since >= before):
            return
        await self._walk(scope, plan.walks_over(scope, Window(since, before)))
        if self.failure is None:
            self.progress = replace(self.progress, since=since)
            await self.state.commit(self.progress, {})

    async def _mark_removed(self, scope: Scope, removal: Removal, looked_at: datetime | None) -> None:
        make = Completer(
            source=self.source,
            sink=self.sink,
            state=self.state,
            rules=self.rules,
            scope=scope,
            mapped=self.mapper.map_item,
            former=self.progress.former,
        )
        settled = await mark_removed(self.progress, removal=removal, looked_at=looked_at, completer=make)
        self.progress = settled.progress
        self.notices.extend(settled.notices)
        self.account.count(removed=settled.removed, withheld=settled.withheld)
        await self.state.commit(self.progress, {})

    async def _map_originals(self, scope: Scope, originals: Originals) -> None:
        """Under changed rules, map again what is kept; what is not is left for Rally to be asked."""
        await self._round([self._read_originals(scope, originals)])
        if self.failure is None and not await has_outdated_issues(self.state, self.progress, self.rules):
            self.progress = replace(self.progress, rules_version=self.rules_version, read_with=self.rules.needed_data)
            await self.state.commit(self.progress, {})

    async def _read_originals(self, scope: Scope, originals: Originals) -> None:
        mapped = 0
        async for items in read_outdated(originals, self.state, self.rules):
            mapped += len(items)
            for kind, some in groupby(sorted(items, key=_kind), key=_kind):
                walk = Walk(kind=kind, started_at=scope.now, aside=True)
                # Nothing that is owed is settled by an item that may be older.
                await self.queue.put(await self.mapper.map_batch(walk, list(some), Portion(items=(), fresh=())))
        self.notices.append(f"The rules have changed: {mapped:,} items were mapped again from what is kept here.")

    async def _walk(self, scope: Scope, walks: Sequence[Walk]) -> None:
        slots = asyncio.Semaphore(WALKS_AT_ONCE)
        await self._round([self._read(scope, walk, slots) for walk in walks])

    async def _round(self, readings: Sequence[Coroutine[None, None, None]]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver_all())
            try:
                async with asyncio.TaskGroup() as readers:
                    for reading in readings:
                        readers.create_task(reading)
            except* RallyAccelerateError as errors:
                # What was read whole is still delivered; the next run begins behind it.
                self.failure = _first(errors)
            await self.queue.put(None)

    async def _read(self, scope: Scope, walk: Walk, slots: asyncio.Semaphore) -> None:
        self.account.count(uncounted=1)
        announced = await self._expected_count(scope, walk) if slots.locked() else 0
        self.account.count(expected=announced, uncounted=-1 if announced else 0)
        async with slots:
            first = True
            gathered = Gathered()
            async for page in self._pages(scope, walk):
                if first:
                    self.account.count(expected=page.remaining - announced, uncounted=0 if announced else -1)
                    first = False
                await self._take(walk, gathered, page)
                after, last = page.after, page.last
                # Rally's rows are many times as large as what became of them: let go of them before waiting.
                del page
                while portion := gathered.portion(self.source, after=after, last=last):
                    parcel = await self._prepare(scope, walk, portion)
                    del portion
                    await self.queue.put(parcel)
                    del parcel

    async def _pages(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        """Yield a walk's pages; a kind whose items cannot be queried by what they carry has none."""
        try:
            async for page in self.source.read_changes(scope, walk):
                yield page
        except (RejectedError, NotFoundError, QueryError) as error:
            if not walk.carrying:
                raise
            log.info("%s cannot be queried by %s: %s", walk.kind, walk.field, error)
            yield Page(records=(), after=walk.after, last=True, remaining=0)

    async def _expected_count(self, scope: Scope, walk: Walk) -> int:
        """Return how many items a walk has that waits for others, or 0.

        In a first sync alone: there it takes long until the walk begins, and the total would be unknown until then.
        """
        projects = tuple(project for project in scope.projects if project.object_id in walk.projects)
        if walk.only or walk.after or walk.window != Window() or len(projects) != len(walk.projects):
            return 0
        try:
            return await self.source.count(replace(scope, projects=projects), walk.kind)
        except RallyAccelerateError as error:
            # The walk itself will tell.
            log.debug("items cannot be counted: %s", error)
            return 0

    async def _take(self, walk: Walk, gathered: Gathered, page: Page) -> None:
        self.notices.extend(page.notices)
        ledger = await self.state.load_sent([str(record.object_id) for record in page.records])
        self.progress = timebox_watch.record_timeboxes(self.progress, page.records, now=walk.started_at)
        self.progress = name_watch.record_names(self.progress, page.records, now=walk.started_at)
        fresh = [
            record
            for record in page.records
            if self._needs_upload(walk, record, str(record.object_id), ledger.get(str(record.object_id)))
        ]
        news_of = {record.object_id for record in fresh}
        self.account.count(
            read=[read_project(record.fields) for record in page.records],
            unchanged=[read_project(record.fields) for record in page.records if record.object_id not in news_of],
            ready=len(page.records) - len(fresh),
        )
        gathered.add(page.records, fresh)

    async def _prepare(self, scope: Scope, walk: Walk, portion: Portion) -> Batch:
        items = await self.source.history(scope, portion.fresh) if portion.fresh else []
        self.account.count(ready=len(items))
        self.notices.extend(self.source.notices())
        if self.originals is not None and items:
            # Before the ledger knows of them: what is kept is never older than what was sent.
            await self.originals.keep(items)
        return await self.mapper.map_batch(walk, items, portion)

    async def _deliver_all(self) -> None:
        while (parcel := await self.queue.get()) is not None:
            await self._deliver(parcel)

    async def _deliver(self, parcel: Batch) -> None:
        walk = parcel.walk
        # Another walk may have delivered a newer state of the same item since this page was read.
        ledger = await self.state.load_sent([issue.external_id for issue in parcel.issues])
        issues = [
            issue
            for issue in parcel.issues
            if self._needs_upload(walk, issue, issue.external_id, ledger.get(issue.external_id))
            # What is owed is read by its id, and perhaps as a change as well: once is enough.
            if self.sent_unfinished.get(issue.external_id) != issue.revision
        ]
        by_id = {issue.external_id: issue for issue in issues}
        self.account.count(unchanged=[one.project for one in parcel.issues if one.external_id not in by_id])
        owed = self._owed_after(parcel)
        owed |= {(walk.kind, item) for item in parcel.skipped}
        owed |= {(walk.kind, int(key)) for key in parcel.due if key in self.sent_unfinished}
        self.account.skip(parcel.skipped.values())
        async for receipt in self.sink.deliver(issues):
            owed |= self._record_rejections(walk.kind, receipt, by_id)
            sent = {key: self._ledger_entry(by_id[key], due=key in parcel.due) for key in receipt.delivered}
            if self.resends:
                self.sent_now.update(receipt.delivered)
            unfinished = {key: by_id[key].revision for key in receipt.delivered if key in parcel.due}
            self.sent_unfinished |= unfinished
            owed |= {(walk.kind, int(key)) for key in unfinished}
            histories = Counter(parcel.verdicts[key] for key in sent)
            self.account.count(
                uploaded=[by_id[key].project for key in sent],
                complete=histories[Verdict.COMPLETE],
                incomplete=[by_id[key].project for key in sent if parcel.verdicts[key] is Verdict.INCOMPLETE],
                awaited=sum(parcel.verdicts[key] is Verdict.INCOMPLETE for key in unfinished),
                unverifiable=histories[Verdict.UNVERIFIABLE],
            )
            await self.state.commit(self.progress, sent, [by_id[key] for key in sent])
        progress = replace(self.progress, owed=frozenset(owed))
        if parcel.last:
            self.progress = plan.finish(progress, walk)
        else:
            self.progress = plan.advance(progress, walk, after=parcel.after)
        await self.state.commit(self.progress, {})

    def _needs_upload(self, walk: Walk, item: Record | Issue, key: str, sent: Sent | None) -> bool:
        """Return whether an item is to be sent: it is news, or sent again."""
        if self.again or _is_newer(item, sent, self.rules_version):
            return True
        # A node that lags behind may show an older revision here as well.
        newer = sent is not None and sent.revision > item.revision
        return bool(walk.carrying) and not newer and key not in self.sent_now

    def _ledger_entry(self, issue: Issue, *, due: bool) -> Sent:
        # What was sent with an unfinished history is news again whenever it is read, until it is finished.
        return Sent(issue.revision, f"{self.rules_version}{HISTORY_DUE}" if due else self.rules_version)

    def _owed_after(self, parcel: Batch) -> set[tuple[str, int]]:
        """Return the pending retries after this page, before its own rejections."""
        walk = parcel.walk
        settled = {(walk.kind, item) for item in parcel.items}
        if walk.only and not walk.carrying:
            self.came |= settled
            if parcel.last:
                # What was asked for by id and did not come is no longer there.
                settled |= {(walk.kind, item) for item in walk.only} - self.came
        return set(self.progress.owed) - settled

    def _record_rejections(
        self, kind: str, receipt: Acknowledgement, issues: Mapping[str, Issue]
    ) -> set[tuple[str, int]]:
        self.account.skip((issues[key].project, skip) for key, skip in receipt.refused)
        self.refused += len(receipt.refused)
        if self.refused > MOST_REFUSED:
            last = receipt.refused[-1][1]
            raise RejectedError(
                f"Accelerate rejected more than {MOST_REFUSED} items; the last one, {last.key}: {last.reason}",
                hint="This many rejections point to the server or the settings, not to the items.",
            )
        return {(kind, int(external_id)) for external_id, _ in receipt.refused}


def _kind(item: WorkItem) -> str:
    return item.record.kind


def _first(errors: BaseExceptionGroup[RallyAccelerateError]) -> RallyAccelerateError:
    """Return the first error of a group, at any depth."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
