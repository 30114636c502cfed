"""Marks what is gone, at the end of a run that read everything it wanted (decisions: ``removal.py``).

Every run asks the recycle bin, one request; what it names is looked for in the next run, by id. Once a day everything
is listed: that finds what was moved out, closed away or hidden. So a deletion is told within two runs, a move within a
day, and a quiet cycle costs one request more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rally_accelerate.accelerate.retire import Retirement
from rally_accelerate.config.model import Properties
from rally_accelerate.model.issue import UNKNOWN_PERSON
from rally_accelerate.model.progress import Progress, Sent
from rally_accelerate.model.report import Skipped
from rally_accelerate.rally.records import Binned, Scope
from rally_accelerate.sync.ports import Sink, Source, State
from rally_accelerate.sync.removal import Cap, Decision, Reason, Sighting, decide, listing_is_due

#: Marks the ledger's entries of issues that were told as gone; an item that comes back is news by it.
GONE = " gone"


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
    #: Whether somebody approved that more than the cap goes in this run.
    approved: bool = False


def removal_of(properties: Properties) -> Removal:
    """What an integration's properties say."""
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
    """What became of what is gone."""

    progress: Progress
    removed: int = 0
    #: Items that would have gone, had they not been too many.
    withheld: int = 0
    skipped: tuple[Skipped, ...] = ()
    notices: tuple[str, ...] = ()


async def settle(
    source: Source,
    sink: Sink,
    state: State,
    progress: Progress,
    *,
    scope: Scope,
    removal: Removal,
    looked_at: datetime | None,
) -> Settled:
    """Look for what is gone, and tell Accelerate.

    Args:
        source: Where items come from.
        sink: Where issues are.
        state: Whose ledger says what is held.
        progress: As it is after the run's walks.
        scope: What was read.
        removal: The integration's wishes.
        looked_at: When an earlier run looked into the recycle bin; None when none did.

    Raises:
        RallyAccelerateError: A listing failed: then nothing is decided.
    """
    now = scope.now
    if removal.statuses is None:
        return Settled(progress=replace(progress, missing={}, listed_at=now))
    if progress.listed_at is None:
        # What is held was read in this very run.
        progress = replace(progress, listed_at=now)
    bin_entries = {each.object_id: each for each in await source.binned(scope, looked_at)} if looked_at else {}
    full = listing_is_due(progress.listed_at, now=now, every=removal.every)
    if not (full or bin_entries or progress.missing):
        # A quiet run does not even look through the ledger.
        return Settled(progress=progress)
    marks = await state.held(None if full else bin_entries.keys() | progress.missing.keys())
    gone = {int(key) for key, mark in marks.items() if mark.endswith(GONE)}
    held = {int(key) for key in marks} - gone
    looked_for = held | gone if full else set(progress.missing) & held
    seen = await source.shown(scope, None if full else sorted(looked_for)) if looked_for else set()
    decision = decide(
        Sighting(held=held, gone=gone, looked_for=looked_for, seen=seen, binned=bin_entries.keys()),
        progress.missing,
        now=now,
    )
    progress = replace(progress, missing=decision.suspected, listed_at=now if full else progress.listed_at)
    if decision.returned:
        # Shown again without having changed: to be read by their ids, whatever kind they are.
        owed = {(kind, item) for kind in scope.kinds for item in decision.returned}
        progress = replace(progress, owed=progress.owed | owed)
    confirmed, everything = len(decision.confirmed), len(held)
    if not full and removal.cap.stops(confirmed, held=everything):
        # What was told may have been a part only.
        everything = len(await state.held())
    if removal.cap.stops(confirmed, held=everything) and not removal.approved:
        return Settled(
            # They stay suspected, so that an approved run can take them.
            progress=replace(progress, missing={**progress.missing, **dict.fromkeys(decision.confirmed, now)}),
            withheld=confirmed,
            notices=(_too_many(confirmed, everything, removal.cap),),
        )
    return await _tell(source, sink, state, progress, scope=scope, removal=removal, found=(decision, bin_entries))


async def _tell(
    source: Source,
    sink: Sink,
    state: State,
    progress: Progress,
    *,
    scope: Scope,
    removal: Removal,
    found: tuple[Decision, Mapping[int, Binned]],
) -> Settled:
    decision, bin_entries = found
    going = sorted(decision.confirmed)
    if not going or removal.statuses is None:
        return Settled(progress=progress)
    unknown = [item for item in going if item not in bin_entries]
    if unknown:
        # The bin was asked for a short time only: what it named in an earlier run is looked up again.
        earlier = await source.binned(scope, scope.now - removal.every - timedelta(days=1))
        bin_entries = {**{each.object_id: each for each in earlier}, **bin_entries}
    places = await source.elsewhere(scope, [item for item in going if item not in bin_entries])
    retirements = [_retirement(item, bin_entries.get(item), removal.statuses, scope.now) for item in going]
    sent = await state.known([str(item) for item in going])
    removed = 0
    skipped: list[Skipped] = []
    async for receipt in sink.retire(retirements):
        delivered = {
            key: Sent(sent[key].revision, f"{sent[key].rules_version.removesuffix(GONE)}{GONE}")
            for key in (*receipt.delivered, *(key for key, _ in receipt.refused))
            if key in sent
        }
        removed += len(receipt.delivered)
        skipped.extend(skip for _, skip in receipt.refused)
        await state.commit(progress, delivered)
    names = _moved(places)
    return Settled(progress=progress, removed=removed, skipped=tuple(skipped), notices=names)


def _retirement(item: int, entry: Binned | None, statuses: Mapping[Reason, str], now: datetime) -> Retirement:
    reason = Reason.DELETED if entry is not None else Reason.MOVED_OUT
    return Retirement(
        external_id=str(item),
        status=statuses[reason],
        instant=entry.instant if entry is not None else now,
        user=(entry.user if entry is not None else "") or UNKNOWN_PERSON,
    )


def _moved(places: Mapping[int, str]) -> tuple[str, ...]:
    names = sorted({name for name in places.values() if name})
    if not names:
        return ()
    return (f"{len(places)} items left the scope and are now in: {', '.join(names[:5])}.",)


def _too_many(going: int, held: int, cap: Cap) -> str:
    return (
        f"{going:,} of {held:,} items are gone, more than {cap.items} and {cap.share:.0%} at once: nothing was marked "
        "as gone. Check workspace, projects, types, query and the rights of the Rally user; if it is right, run once "
        "with --approve-removal or approveRemoval."
    )
