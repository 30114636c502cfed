"""Watches the timeboxes that items carry: a sprint that is renamed, moved, closed or over changes no item.

The items that carry a changed timebox are sent again. Their walks are remembered as unfinished before they begin, so
that a run that is killed is continued. A quiet run costs a request each for iterations, releases and milestones, where
items carry any.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rally_accelerate.model.progress import TIMEBOX_FIELDS, Progress, TimeboxWatch, Walk, Window
from rally_accelerate.rally.records import Record, Scope, TimeboxFacts
from rally_accelerate.sync import plan, side_jobs
from rally_accelerate.sync.ports import Source

log = logging.getLogger(__name__)

#: Progress of an earlier version does not tell since when timeboxes are watched: so far back is looked.
FIRST_LOOK_BACK = timedelta(days=90)

#: Scheduling an item changes its timebox, too: the last facts of this many timeboxes are remembered to tell.
MOST_SEEN = 1_000

#: The fields whose former values come with an item.
FORMER_REPORTED = frozenset({"Iteration"})

#: So many changed timeboxes are named in a notice.
MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What became of the timeboxes since the last run."""

    progress: Progress
    notices: tuple[str, ...] = ()


async def watch_timeboxes(source: Source, progress: Progress, scope: Scope, *, overlap: timedelta) -> Watched:
    """Return the progress with the walks over items whose timeboxes changed.

    A service that refuses or fails does not end the run: the job is put off, with a notice.

    Args:
        source: Where timeboxes are.
        progress: What ``plan.valid_progress`` returned.
        scope: What is read.
        overlap: How far to look back behind the last look.
    """
    now, before = scope.now, progress.timeboxes
    if before is None and not (progress.cursors or progress.unfinished):
        # Everything is read in this run, as it is now.
        return Watched(progress=replace(progress, timeboxes=TimeboxWatch()))
    if before is None:
        before = TimeboxWatch(until=dict.fromkeys(TIMEBOX_FIELDS, now - FIRST_LOOK_BACK))
    if side_jobs.is_deferred(progress, side_jobs.TIMEBOXES, now=now):
        return Watched(progress=progress, notices=_put_off(progress))
    seen, until = dict(before.seen), dict(before.until)
    walks: list[Walk] = []
    changed: list[TimeboxFacts] = []
    try:
        for field, last in before.until.items():
            rows = await source.timeboxes(scope, field, since=last - overlap, passed=Window(last, now))
            until[field] = max(now, last)
            own = [box for box in rows if _matters(box, scope)]
            some = [box for box in own if _has_changed(box, seen) or _began_or_ended(box, last, now)]
            # A sprint that an item has left is shown with its name and dates, too; active it is no more.
            other = [box.object_id for box in own if _has_changed(box, seen)] if field in FORMER_REPORTED else []
            left_items = await source.find_departed(scope, field, other) if other else ()
            for box in rows:
                # The one seen last is forgotten last.
                seen.pop(box.object_id, None)
                seen[box.object_id] = box.digest
            walks += plan.walks_carrying(
                scope, field, [box.object_id for box in some], since=progress.since, removed=left_items
            )
            changed += some
    except side_jobs.FAILURES as error:
        put_off = side_jobs.defer(progress, side_jobs.TIMEBOXES, error, now=now)
        return Watched(progress=put_off, notices=_put_off(put_off))
    seen = dict(list(seen.items())[-MOST_SEEN:])
    watch = TimeboxWatch(until=until, seen=seen)
    done = side_jobs.mark_done(progress, side_jobs.TIMEBOXES)
    done = replace(done, timeboxes=watch, unfinished=(*done.unfinished, *walks))
    return Watched(progress=done, notices=_notices(changed))


def record_timeboxes(progress: Progress, records: Iterable[Record], *, now: datetime) -> Progress:
    """Return the progress with the fields in which items carry timeboxes; they are watched from now on.

    Args:
        progress: The current progress.
        records: Items as they are read.
        now: The source's time before they were read.
    """
    watch = progress.timeboxes
    if watch is None or not (unknown := set(TIMEBOX_FIELDS) - watch.until.keys()):
        return progress
    timeboxes = {field for record in records for field in unknown if _carries(record, field)}
    if not timeboxes:
        return progress
    return replace(progress, timeboxes=replace(watch, until={**watch.until, **dict.fromkeys(sorted(timeboxes), now)}))


def _carries(record: Record, field: str) -> bool:
    value = record.fields.get(field)
    # A collection tells how many members it has.
    return bool(value.get("Count", 1)) if isinstance(value, dict) else bool(value)


def _matters(facts: TimeboxFacts, scope: Scope) -> bool:
    # An item is scheduled in a timebox of its own project (rally-api-notes.md#timeboxes); milestones belong to several.
    projects = {project.object_id for project in scope.projects}
    return not projects or facts.project is None or facts.project in projects


def _has_changed(facts: TimeboxFacts, seen: Mapping[int, str]) -> bool:
    return seen.get(facts.object_id) != facts.digest


def _began_or_ended(facts: TimeboxFacts, since: datetime, now: datetime) -> bool:
    """Return whether a sprint became active, or is no longer."""
    began = facts.start is not None and since <= facts.start <= now
    ended = facts.end is not None and since <= facts.end < now
    return began or ended


def _put_off(progress: Progress) -> tuple[str, ...]:
    return (side_jobs.deferral_notice(side_jobs.TIMEBOXES, progress.deferred[side_jobs.TIMEBOXES]),)


def _notices(changed: Sequence[TimeboxFacts]) -> tuple[str, ...]:
    if not changed:
        return ()
    names = list(dict.fromkeys(box.name for box in changed))
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    listed = ", ".join(names[:MOST_NAMED])
    return (f"Timeboxes that changed, began or ended: {listed}{more}. Their items are uploaded again.",)
