"""Watches the names of projects, people and tags that items carry: renaming them changes no item.

Digests of the names that were uploaded are remembered and compared with the current names; the items that carry another
name now are sent again. Their walks are remembered as unfinished before they begin, so that a run that is killed is
continued. Names of projects come with the projects of every run. People and tags have no date of change: where items
carry any, their names are asked for now and then, one request each. Milestones are watched as timeboxes are.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rally_accelerate.model.progress import PEOPLE, PROJECTS, TAGS, NameWatch, Progress, Walk
from rally_accelerate.rally.current_names import tag_name
from rally_accelerate.rally.records import Record, Scope, person_name
from rally_accelerate.rally.wsapi import parse_ref, ref_id
from rally_accelerate.sync import plan, side_jobs
from rally_accelerate.sync.ports import Source

#: A quiet run is to stay small, and names change seldom.
EVERY = timedelta(minutes=15)

#: So many names of each kind are remembered, the latest ones.
MOST_REMEMBERED = 20_000

#: So many renamed things are named in a notice.
MOST_NAMED = 5

_JOBS = {PEOPLE: side_jobs.PEOPLE, TAGS: side_jobs.TAGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The renamed things since the last run."""

    progress: Progress
    notices: tuple[str, ...] = ()


async def watch_names(source: Source, progress: Progress, scope: Scope) -> Watched:
    """Return the progress with the walks over items whose projects, people or tags were renamed.

    A service that refuses or fails does not end the run: the job is put off, with a notice.

    Args:
        source: Where names are.
        progress: What ``plan.valid_progress`` returned.
        scope: What is read.
    """
    watch = progress.names or NameWatch()
    watch, renamed, walks = _of_projects(watch, scope, since=progress.since)
    notices: list[str] = []
    for kind, job in _JOBS.items():
        if not _is_due(watch, kind, now=scope.now):
            continue
        if side_jobs.is_deferred(progress, job, now=scope.now):
            notices.append(side_jobs.deferral_notice(job, progress.deferred[job]))
            continue
        ids = sorted(watch.seen[kind])
        try:
            page = await source.names(scope, kind, ids, after=watch.after.get(kind, 0))
        except side_jobs.FAILURES as error:
            progress = side_jobs.defer(progress, job, error, now=scope.now)
            notices.append(side_jobs.deferral_notice(job, progress.deferred[job]))
            continue
        progress = side_jobs.mark_done(progress, job)
        found = _renamed(watch.seen[kind], page.names)
        walks += plan.walks_carrying_in(scope, watch.places.get(kind, ()), list(found), since=progress.since)
        renamed = {**renamed, **found}
        watch = replace(
            watch,
            seen={**watch.seen, kind: {**watch.seen[kind], **_digests(found)}},
            compared={**watch.compared, kind: scope.now},
            after={**watch.after, kind: page.after},
        )
    progress = replace(progress, names=watch, unfinished=(*progress.unfinished, *walks))
    return Watched(progress=progress, notices=(*notices, *_notices(list(renamed.values()))))


def record_names(progress: Progress, records: Iterable[Record], *, now: datetime) -> Progress:
    """Return the progress with the people and tags that items carry; their names are watched from now on.

    A name that is known already stays as it was: were it replaced by that of one item, the others would keep theirs.

    Args:
        progress: The current progress.
        records: Items as they are read, of one type.
        now: The source's time before they were read.
    """
    watch = progress.names
    if watch is None:
        return progress
    names: dict[str, dict[int, str]] = {PEOPLE: {}, TAGS: {}}
    places: dict[str, set[tuple[str, str]]] = {PEOPLE: set(), TAGS: set()}
    #: What the page's records share (``rows.to_records``) is looked at once.
    looked_at: set[int] = set()
    for record in records:
        for name, value in record.fields.items():
            if not isinstance(value, Mapping) or id(value) in looked_at:
                continue
            looked_at.add(id(value))
            kind, learned_names = _reference_name(name, value)
            if learned_names:
                names[kind].update(learned_names)
                places[kind].add((record.kind, name))
    for kind, some in names.items():
        known, known_places = watch.seen.get(kind, {}), watch.places.get(kind, frozenset())
        new = _digests({its_id: name for its_id, name in some.items() if its_id not in known})
        if new or not places[kind] <= known_places:
            watch = replace(
                watch,
                seen={**watch.seen, kind: _latest({**known, **new})},
                places={**watch.places, kind: known_places | places[kind]},
                compared={kind: now, **watch.compared},
            )
    return progress if watch is progress.names else replace(progress, names=watch)


def _of_projects(
    watch: NameWatch, scope: Scope, *, since: datetime | None
) -> tuple[NameWatch, Mapping[int, str], tuple[Walk, ...]]:
    known = watch.seen.get(PROJECTS, {})
    digests = _digests(scope.names)
    if digests.items() <= known.items():
        return watch, {}, ()
    found = _renamed(known, scope.names)
    walks = plan.walks_carrying_in(scope, [(kind, "Project") for kind in scope.kinds], list(found), since=since)
    # Those that left the scope stay known: they may come back under another name.
    return replace(watch, seen={**watch.seen, PROJECTS: _latest({**known, **digests})}), found, walks


def _is_due(watch: NameWatch, kind: str, *, now: datetime) -> bool:
    last = watch.compared.get(kind)
    # A clock that was far ahead once must not put it off for years.
    return bool(watch.seen.get(kind)) and (last is None or not timedelta(0) <= now - last < EVERY)


def _reference_name(field: str, value: Mapping[str, object]) -> tuple[str, Mapping[int, str]]:
    """Return which people or tags a value of an item names, by ObjectID."""
    if field == "Tags":
        members = value.get("_tagsNameArray")
        names = [entry for entry in members if isinstance(entry, Mapping)] if isinstance(members, list) else []
        return TAGS, {its_id: tag_name(entry) for entry in names if (its_id := ref_id(entry)) is not None}
    ref = parse_ref(value.get("_ref"))
    if ref is None or ref.type != "user":
        return PEOPLE, {}
    return PEOPLE, {ref.object_id: person_name(value)}


def _renamed(known: Mapping[int, str], names: Mapping[int, str]) -> dict[int, str]:
    return {its_id: name for its_id, name in names.items() if its_id in known and known[its_id] != _digest(name)}


def _digests(names: Mapping[int, str]) -> dict[int, str]:
    return {its_id: _digest(name) for its_id, name in names.items()}


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]


def _latest(seen: Mapping[int, str]) -> Mapping[int, str]:
    return dict(list(seen.items())[-MOST_REMEMBERED:]) if len(seen) > MOST_REMEMBERED else seen


def _notices(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - MOST_NAMED:,} more" if len(unique) > MOST_NAMED else ""
    return (f"Renamed in Rally: {', '.join(unique[:MOST_NAMED])}{more}. Their items are uploaded again.",)
