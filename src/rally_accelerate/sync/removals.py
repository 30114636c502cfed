"""Detection and marking of removed items, at the end of a sync that read everything in its plan.

Every sync reads the recycle bin, with one request; the items it names are looked up by ID in the next sync. Once a day
all items are listed, which finds those that were moved out, closed or hidden. So a deletion is marked within two syncs
and a move within a day, at the cost of one request per sync.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from rally_accelerate.accelerate.integration_state import instant
from rally_accelerate.accelerate.payload import READ_BACK, READ_BACK_LISTS, Retirement, complete_document, item_in
from rally_accelerate.config.model import Properties
from rally_accelerate.mapping.rule_targets import EXTENDED
from rally_accelerate.mapping.rules import Rules, get_history_field, list_labels
from rally_accelerate.model.issue import UNKNOWN_PERSON, Issue, Project
from rally_accelerate.model.progress import REMOVED_MARK, Progress, Sent
from rally_accelerate.model.report import Skipped
from rally_accelerate.rally.records import RecycleBinEntry, Scope, WorkItem
from rally_accelerate.rally.removed_item_values import RemovedItem
from rally_accelerate.sync import side_jobs
from rally_accelerate.sync.ports import Sink, Source, State

NO_COMMENTS = "their comments can no longer be read"
NOT_RETURNED = "Accelerate does not return all fields of the issues"
OWN_RULES = "fieldMapping uses Rally fields that can no longer be read"

#: Targets of rules whose values come back from Accelerate.
_RETURNED = frozenset({"name", "description", "status", "type", "normalizedType", "priority", "storyPoints", "labels"})
_RETURNED_TOO = frozenset({"sprints", "epic"})


@dataclass(slots=True)
class Documents:
    """What became of a request for complete documents."""

    #: By ObjectID.
    complete: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    #: When an item was deleted, where Rally's history tells.
    deleted_at: dict[int, datetime] = field(default_factory=dict)
    #: Why there is no document.
    incomplete: dict[int, str] = field(default_factory=dict)
    #: Items whose history has not come as far yet: a later run will know.
    later: set[int] = field(default_factory=set)
    #: Items whose issues Accelerate does not hold.
    absent: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completer:
    """Makes complete documents in one run."""

    source: Source
    sink: Sink
    state: State
    rules: Rules
    scope: Scope
    #: Maps an item as the run does.
    mapped: Callable[[WorkItem], Issue | Skipped]
    #: ObjectIDs of projects that left the scope: there may be issues in them.
    former: Collection[int] = ()

    async def documents(self, removed: Mapping[int, datetime]) -> Documents:
        """Return what is known of the issues of some removed items.

        Args:
            removed: When each was seen to be removed, by ObjectID.

        Raises:
            RallyAccelerateError: Rally or Accelerate cannot be asked.
        """
        result = Documents()
        stored = await self.state.documents([str(item) for item in removed])
        result.complete.update((int(key), document) for key, document in stored.items())
        lacking = {item: at for item, at in removed.items() if item not in result.complete}
        if not lacking:
            return result
        projects = project_keys(self.scope, self.former)
        issues = await self.sink.read_back([str(item) for item in lacking], projects=projects)
        result.absent.update(item for item in lacking if str(item) not in issues)
        lacking = {item: at for item, at in lacking.items() if str(item) in issues}
        counts = await self.state.comments([str(item) for item in lacking])
        commented = {int(key) for key, count in counts.items() if count}
        unknown = {item for item in lacking if str(item) not in counts}
        # A history is complete when it reaches to what was uploaded last: the removal itself is known already.
        needed = {item: min(at, instant(issues[str(item)].get("lastUpdate")) or at) for item, at in lacking.items()}
        remains = await self.source.recover_removed(self.scope, needed, commented=commented | unknown)
        for item in lacking:
            self._complete(
                item,
                remains.get(item, RemovedItem()),
                issues[str(item)],
                comments=counts.get(str(item)),
                documents=result,
            )
        return result

    def _complete(
        self,
        item: int,
        remains: RemovedItem,
        existing: Mapping[str, Any],
        *,
        comments: int | None,
        documents: Documents,
    ) -> None:
        if remains.item is None:
            if remains.reason:
                documents.incomplete[item] = remains.reason
            else:
                documents.later.add(item)
            return
        if not remains.lists_comments and self._reads_more():
            # Snapshots alone do not tell what these rules read.
            documents.incomplete[item] = OWN_RULES
            return
        issue = self.mapped(remains.item)
        if isinstance(issue, Skipped):
            documents.incomplete[item] = issue.reason
        elif not {*READ_BACK, *READ_BACK_LISTS} <= existing.keys():
            documents.incomplete[item] = NOT_RETURNED
        elif not (remains.lists_comments or "comments" in existing) and (
            comments is None or len(issue.comments) < comments
        ):
            documents.incomplete[item] = NO_COMMENTS
        else:
            documents.complete[item] = complete_document(item_in(issue), existing)
            if remains.deleted_at is not None:
                documents.deleted_at[item] = remains.deleted_at

    def _reads_more(self) -> bool:
        """Return whether rules fill what Accelerate does not return from what snapshots do not tell."""
        compiled = self.rules.compiled
        for entry in compiled.rules.entries:
            beyond = {*entry.sources, *entry.values} - _RETURNED - _RETURNED_TOO
            if any(target.startswith(EXTENDED) or self.rules.newer_fields for target in beyond):
                labels = set(list_labels(entry))
                read = [path for paths in compiled.paths.values() for label, path in paths.items() if label in labels]
                if any(get_history_field(path) is None for path in read):
                    return True
        return False


def project_keys(scope: Scope, former: Collection[int] = ()) -> list[str]:
    """Return the keys under which Accelerate may hold issues of a scope, as ``mapping.issue`` makes them.

    Args:
        scope: What is read.
        former: ObjectIDs of projects that left the scope.
    """
    projects = {project.object_id for project in (*scope.projects, *scope.closed)} | scope.visible | set(former)
    return [str(entry) for entry in sorted(projects)]


#: ``removalCap`` unless it is set: both must be exceeded.
CAP_ITEMS = 50
CAP_SHARE = 0.05


class Reason(StrEnum):
    """Why an item is no longer shown."""

    DELETED = "deleted"
    #: It is in another project, or its project was closed or is not to be seen any more.
    MOVED_OUT = "moved out"


@dataclass(frozen=True, slots=True)
class Cap:
    """How many items can be marked as removed in one sync; more need approval."""

    items: int = CAP_ITEMS
    share: float = CAP_SHARE

    def is_exceeded(self, going: int, *, total: int) -> bool:
        """Return whether so many removals exceed the limit."""
        return going > self.items and going > self.share * total


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What the listings of one run showed."""

    #: Items that are held and not marked as gone.
    uploaded: AbstractSet[int]
    #: Items that are marked as gone.
    marked: AbstractSet[int]
    #: Which items a complete listing covered; the whole ledger, or the suspects only.
    looked_for: AbstractSet[int]
    #: Which of them it showed.
    seen: AbstractSet[int]
    #: Items that the recycle bin names.
    binned: AbstractSet[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from a sighting."""

    #: Missed for the second time.
    confirmed: frozenset[int]
    #: Missed for the first time, or named by the recycle bin, with the instant; to be looked for again.
    suspected: Mapping[int, datetime]
    #: Marked as gone, and there again.
    returned: frozenset[int]


def decide_removals(sighting: Sighting, suspected: Mapping[int, datetime], *, now: datetime) -> Decision:
    """Decide which items are removed, which are suspected, and which returned.

    Args:
        sighting: What was looked for in this run, and seen.
        suspected: Items missed in an earlier run, with the instant.
        now: The service's clock in this run.
    """
    missed = (sighting.looked_for & sighting.uploaded) - sighting.seen
    # Suspects were missed by another run. Instants do not part two runs: the clock tells whole seconds.
    confirmed = frozenset(missed & suspected.keys())
    rest = {item: suspected.get(item, now) for item in missed - confirmed}
    # The recycle bin's word is a suspicion: an item may have been restored meanwhile.
    rest |= {item: suspected.get(item, now) for item in (sighting.binned & sighting.uploaded) - sighting.looked_for}
    # What was not looked for stays what it was.
    rest |= {item: at for item, at in suspected.items() if item in sighting.uploaded - sighting.looked_for}
    return Decision(
        confirmed=confirmed, suspected=rest, returned=frozenset(sighting.marked & sighting.looked_for & sighting.seen)
    )


def listing_is_due(listed_at: datetime | None, *, now: datetime, every: timedelta) -> bool:
    """Return whether a full listing is due."""
    return listed_at is None or now - listed_at >= every


log = logging.getLogger(__name__)

#: So many items are named in a notice.
MAX_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """How an integration wants items treated that are gone."""

    #: The last status by reason; None leaves issues as they are.
    statuses: Mapping[Reason, str] | None = field(
        default_factory=lambda: {Reason.DELETED: "Deleted", Reason.MOVED_OUT: "Moved out"}
    )
    cap: Cap = field(default_factory=Cap)
    #: Time from one listing of everything to the next.
    every: timedelta = timedelta(days=1)
    #: Whether a user approved removing more than the cap in this run.
    approved: bool = False


def removal_settings(properties: Properties) -> Removal:
    """Return the removal settings of an integration."""
    words = properties.removed_status
    keep = [word.lower() for word in words] == ["keep"]
    items, share = properties.removal_cap
    return Removal(
        statuses=None if keep else {Reason.DELETED: words[0], Reason.MOVED_OUT: words[-1]},
        cap=Cap(items, share),
        every=timedelta(hours=properties.removal_check_hours),
        approved=properties.approve_removal,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The result of marking removed items."""

    progress: Progress
    #: The projects of the items whose issues were marked, one for each item.
    removed: Sequence[Project | None] = ()
    #: Items that would have gone, had they not been too many.
    withheld: int = 0
    notices: tuple[str, ...] = ()


async def mark_removed(
    progress: Progress, *, removal: Removal, looked_at: datetime | None, completer: Completer
) -> Settled:
    """Find removed items and give their issues a last status.

    A service that refuses or fails does not end the run: the job is put off, with a notice.

    Args:
        progress: As it is after the run's walks.
        removal: The integration's wishes.
        looked_at: When an earlier run looked into the recycle bin; None when none did.
        completer: Makes the documents that are uploaded; knows where items and issues are.
    """
    now = completer.scope.now
    if removal.statuses is None:
        return Settled(progress=replace(progress, missing={}, unmarked={}, deferred={}, listed_at=now))
    if side_jobs.is_deferred(progress, side_jobs.REMOVALS, now=now):
        return _finish(progress)
    settling = _Settling(
        source=completer.source,
        sink=completer.sink,
        state=completer.state,
        scope=completer.scope,
        progress=progress,
        removal=removal,
        completer=completer,
    )
    if looked_at is not None:
        looked_at = side_jobs.due_since(progress, side_jobs.REMOVALS, looked_at)
    try:
        return await settling.settle(looked_at)
    except side_jobs.FAILURES as error:
        return _finish(side_jobs.defer(progress, side_jobs.REMOVALS, error, now=now, since=looked_at))


@dataclass(slots=True, kw_only=True)
class _Settling:
    """What changes while removed items are looked for."""

    source: Source
    sink: Sink
    state: State
    progress: Progress
    scope: Scope
    removal: Removal
    completer: Completer
    #: Entries of the recycle bin, by ObjectID of the item.
    bin: dict[int, RecycleBinEntry] = field(default_factory=dict)
    removed: list[Project | None] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    async def settle(self, looked_at: datetime | None) -> Settled:
        now, every = self.scope.now, self.removal.every
        if self.progress.listed_at is None:
            # What is held was read in this very run.
            self.progress = replace(self.progress, listed_at=now)
        if looked_at is not None:
            await self._look_into_bin(looked_at)
        full = listing_is_due(self.progress.listed_at, now=now, every=every)
        if not (full or self.bin or self.progress.missing):
            # A quiet run does not even look through the ledger.
            return _finish(side_jobs.mark_done(self.progress, side_jobs.REMOVALS))
        marks = await self.state.list_versions(None if full else self.bin.keys() | self.progress.missing.keys())
        marked = {int(key) for key, mark in marks.items() if mark.endswith(REMOVED_MARK)}
        uploaded = {int(key) for key in marks} - marked
        looked_for = uploaded | marked if full else set(self.progress.missing) & uploaded
        seen = await self.source.find_visible(self.scope, None if full else sorted(looked_for)) if looked_for else set()
        suspected = self.progress.missing
        decision = decide_removals(
            Sighting(uploaded=uploaded, marked=marked, looked_for=looked_for, seen=seen, binned=self.bin.keys()),
            suspected,
            now=now,
        )
        unmarked = {
            item: reason
            for item, reason in self.progress.unmarked.items()
            if item not in seen and (item in uploaded or not full)
        }
        self.progress = replace(
            self.progress,
            missing=decision.suspected,
            unmarked=unmarked,
            listed_at=now if full else self.progress.listed_at,
        )
        if decision.returned:
            # Shown again without having changed: to be read by their ids, whatever kind they are.
            owed = {(kind, item) for kind in self.scope.kinds for item in decision.returned}
            self.progress = replace(self.progress, owed=self.progress.owed | owed)
        # What could not be marked before must not stop the others.
        going, everything = len(decision.confirmed - unmarked.keys()), len(uploaded)
        if not full and self.removal.cap.is_exceeded(going, total=everything):
            # What was told may have been a part only.
            everything = len(await self.state.list_versions())
        if self.removal.cap.is_exceeded(going, total=everything) and not self.removal.approved:
            # They stay suspected, so that an approved run can take them.
            missing = {**self.progress.missing, **dict.fromkeys(decision.confirmed, now)}
            progress = side_jobs.mark_done(replace(self.progress, missing=missing), side_jobs.REMOVALS)
            return _finish(progress, withheld=going, notices=[_limit_notice(going, everything, self.removal.cap)])
        if decision.confirmed:
            await self._mark({item: suspected.get(item, now) for item in sorted(decision.confirmed)})
        return _finish(
            side_jobs.mark_done(self.progress, side_jobs.REMOVALS), removed=self.removed, notices=self.notices
        )

    async def _look_into_bin(self, since: datetime) -> None:
        """Read the recycle bin, unless it was refused a short time ago."""
        now = self.scope.now
        if side_jobs.is_deferred(self.progress, side_jobs.BIN, now=now):
            return
        since = side_jobs.due_since(self.progress, side_jobs.BIN, since)
        try:
            entries = await self.source.read_recycle_bin(self.scope, since)
        except side_jobs.FAILURES as error:
            self.progress = side_jobs.defer(self.progress, side_jobs.BIN, error, now=now, since=since)
            return
        self.progress = side_jobs.mark_done(self.progress, side_jobs.BIN)
        self.bin.update((entry.object_id, entry) for entry in entries)

    async def _mark(self, missed: Mapping[int, datetime]) -> None:
        """Give the issues of removed items their last status, as far as complete documents can be made.

        Args:
            missed: When each item was missed for the first time, by ObjectID.
        """
        now, statuses = self.scope.now, self.removal.statuses or {}
        if any(item not in self.bin for item in missed):
            # The bin was asked for a short time only: what it named in an earlier run is looked up again.
            await self._look_into_bin(now - self.removal.every - timedelta(days=1))
        removed_at = {item: self.bin[item].instant if item in self.bin else at for item, at in missed.items()}
        documents = await self.completer.documents(removed_at)
        retirements: list[Retirement] = []
        for item, document in sorted(documents.complete.items()):
            entry, deleted_at = self.bin.get(item), documents.deleted_at.get(item)
            deleted = entry is not None or deleted_at is not None
            retirements.append(
                Retirement(
                    external_id=str(item),
                    status=statuses[Reason.DELETED if deleted else Reason.MOVED_OUT],
                    instant=removed_at[item] if entry is not None or deleted_at is None else deleted_at,
                    user=(entry.user if entry is not None else "") or UNKNOWN_PERSON,
                    user_id=str(entry.user_id) if entry is not None and entry.user_id is not None else "",
                    document=document,
                )
            )
        unmarked = {item: reason for item, reason in self.progress.unmarked.items() if item not in documents.absent}
        self.progress = replace(
            self.progress,
            unmarked={**unmarked, **documents.incomplete},
            missing={**self.progress.missing, **{item: missed[item] for item in documents.later}},
        )
        sent = await self.state.load_sent([str(item) for item in missed])
        await self.state.commit(self.progress, _removed_entries(sent, [str(item) for item in documents.absent]))
        async for receipt in self.sink.retire(retirements):
            refused = {int(key): skip.reason for key, skip in receipt.refused}
            accepted = {int(key) for key in receipt.delivered}
            unmarked = {item: reason for item, reason in self.progress.unmarked.items() if item not in accepted}
            self.progress = replace(self.progress, unmarked={**unmarked, **refused})
            self.removed.extend(_project_in(documents.complete[item]) for item in sorted(accepted))
            await self.state.commit(self.progress, _removed_entries(sent, receipt.delivered))
        await self._name_places([item for item in documents.complete if item not in self.bin])

    async def _name_places(self, items: Sequence[int]) -> None:
        """Tell where items are now that left the scope: a service that does not answer this is no obstacle."""
        try:
            places = await self.source.find_moved(self.scope, items) if items else {}
        except side_jobs.FAILURES as error:
            log.info("where removed items are now cannot be read: %s", error)
            return
        self.notices.extend(_moved_notices(places))


def _finish(
    progress: Progress, *, removed: Sequence[Project | None] = (), withheld: int = 0, notices: Sequence[str] = ()
) -> Settled:
    all_notices = (*notices, *_unmarked_notices(progress.unmarked), *side_jobs.deferral_notices(progress))
    return Settled(progress=progress, removed=removed, withheld=withheld, notices=all_notices)


def _project_in(document: Mapping[str, Any]) -> Project | None:
    """Return the project that an issue was uploaded with."""
    project = document.get("project")
    if not isinstance(project, Mapping) or not project.get("id"):
        return None
    return Project(id=str(project["id"]), name=str(project.get("name") or project["id"]))


def _removed_entries(sent: Mapping[str, Sent], keys: Iterable[str]) -> dict[str, Sent]:
    return {
        key: Sent(sent[key].revision, f"{sent[key].rules_version.removesuffix(REMOVED_MARK)}{REMOVED_MARK}")
        for key in keys
        if key in sent
    }


def _unmarked_notices(unmarked: Mapping[int, str]) -> tuple[str, ...]:
    """Return one sentence about the items whose issues are left unchanged."""
    if not unmarked:
        return ()
    listed = ", ".join(str(item) for item in sorted(unmarked)[:MAX_NAMED])
    more = f" and {len(unmarked) - MAX_NAMED} more" if len(unmarked) > MAX_NAMED else ""
    reasons = "; ".join(dict.fromkeys(reason.rstrip(".") for _, reason in sorted(unmarked.items())))
    return (f"Removed items whose issues could not be marked: {listed}{more} ({reasons}).",)


def _moved_notices(places: Mapping[int, str]) -> tuple[str, ...]:
    names = sorted({name for name in places.values() if name})
    if not names:
        return ()
    return (f"{len(places)} items moved out of the selected projects and are now in: {', '.join(names[:5])}.",)


def _limit_notice(going: int, total: int, cap: Cap) -> str:
    return (
        f"{going:,} of {total:,} items would be marked as removed, which exceeds the limit of {cap.items} items and "
        f"{cap.share:.0%} (removalCap). Nothing was marked. Check workspace, projects, types, query and the "
        "access of the Rally user. If the removal is right, run once with --approve-removal or approveRemoval."
    )
