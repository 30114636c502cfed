"""Stages that an item passed through, computed from its history. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from rally_accelerate.dql.evaluator import matches
from rally_accelerate.server.issue_history import (
    FIELD_NAMES,
    Change,
    find_pending_status_change,
    find_raw_name,
    list_changes,
    parse_references,
)
from rally_accelerate.server.value_streams.layout import Layout, Stage

#: What the wire holds as a list of objects, as a list of texts, and as a number.
TIMEBOXES = frozenset({"sprint", "release"})
LISTS = frozenset({"labels", "components"})
NUMBERS = frozenset({"storyPoints", "businessValue"})


@dataclass(frozen=True, slots=True)
class Event:
    """One change, or the creation."""

    at: datetime
    who: str
    #: Empty for the creation.
    field: str
    before: Any = None
    after: Any = None
    #: False where the history does not tell it yet: then it had happened by this instant, and who did it is unknown.
    is_recorded: bool = True


@dataclass(frozen=True, slots=True)
class Visit:
    """A stretch of time in one stage, and what happened then."""

    #: None outside every stage.
    stage: Stage | None
    entered: datetime
    #: None for the one that lasts.
    ended: datetime | None
    #: Oldest first.
    events: tuple[Event, ...]


def find_stage(layout: Layout, issue: Mapping[str, Any], *, now: datetime) -> Stage | None:
    """Return the last stage that an issue matches, or None."""
    if not matches(layout.query, issue, now=now):
        return None
    hits = (
        stage for stage in reversed(layout.stages) if stage.query is not None and matches(stage.query, issue, now=now)
    )
    return next(hits, None)


def find_visits(layout: Layout, issue: Mapping[str, Any], *, now: datetime) -> list[Visit]:
    """Return the stages that an issue was in, oldest first; an event belongs to the stage that it led to.

    The queries of the stages are evaluated on the issue as it was after each change. Changes of one instant are one
    change. Fields without a history have their current value. A change of status that is not in the history yet is
    placed at the latest possible instant.

    Args:
        layout: The value stream's.
        issue: The issue with its history, under the wire's names.
        now: Instant of the present state.
    """
    states = list(_states(issue))
    stage_visits: list[Visit] = []
    for number, (at, events, state) in enumerate(states):
        is_last = number == len(states) - 1
        # Ages count from the instant of the change, for what holds now from now.
        stage = find_stage(layout, state, now=now if is_last else at)
        # Nothing was in a stage for no time: an item that is changed as it is made was made like this.
        former_events = stage_visits.pop().events if stage_visits and stage_visits[-1].entered == at else ()
        happened = (*former_events, *events)
        if stage_visits and stage_visits[-1].stage == stage:
            former = stage_visits.pop()
            stage_visits.append(Visit(stage, former.entered, None, (*former.events, *happened)))
        else:
            if stage_visits:
                former = stage_visits.pop()
                stage_visits.append(Visit(former.stage, former.entered, at, former.events))
            stage_visits.append(Visit(stage, at, None, happened))
    return stage_visits


def _states(issue: Mapping[str, Any]) -> Iterable[tuple[datetime, list[Event], Mapping[str, Any]]]:
    """Yield each time with its events and the issue after them, oldest first, starting with its creation."""
    late = _late_change(issue)
    changes = (
        list_changes(issue) if late is None else sorted((*list_changes(issue), late), key=lambda change: change.at)
    )
    timed_changes = [(at, change) for change in changes if (at := _instant(change.at)) is not None]
    batches = [(at, [change for _, change in some]) for at, some in groupby(timed_changes, key=lambda one: one[0])]
    # From the present backwards each change is undone.
    states = [dict(issue)]
    for _, changes in reversed(batches):
        state = dict(states[-1])
        for change in reversed(changes):
            _undo(state, change, issue)
        states.append(state)
    states.reverse()
    created = _instant(issue.get("created")) or (batches[0][0] if batches else datetime.fromtimestamp(0, UTC))
    # A first entry that is older than the creation (a clock that was wrong) must not put it later.
    start = min([created, *(at for at, _ in batches[:1])])
    first = [Event(start, str(issue.get("creator") or ""), "")]
    yield start, first, states[0]
    for (at, changes), state in zip(batches, states[1:], strict=True):
        yield (
            at,
            [_event(at, change, is_recorded=change is not late) for change in changes if not change.is_accompanying],
            state,
        )


def _late_change(issue: Mapping[str, Any]) -> Change | None:
    """Return the status change that the history does not include yet."""
    late = find_pending_status_change(issue)
    if late is None:
        return None
    return Change(late.at, "status", {"field": "status", "from": late.before, "to": late.after})


def _event(at: datetime, change: Change, *, is_recorded: bool) -> Event:
    content = change.content
    who = content.get("userDisplayName") or content.get("user") or ""
    return Event(at, str(who), str(content["field"]), content.get("from"), content.get("to"), is_recorded)


def _undo(state: dict[str, Any], change: Change, issue: Mapping[str, Any]) -> None:
    field, former = change.field, change.content.get("from")
    if field not in FIELD_NAMES:
        raw: Any = state.get("rawIssue")
        if (name := find_raw_name(raw, field)) is not None:
            state["rawIssue"] = {**raw, name: former}
        return
    if field in TIMEBOXES:
        former = [_timebox(reference, issue.get(FIELD_NAMES[field] or field)) for reference in parse_references(former)]
    elif field in LISTS:
        former = former if isinstance(former, list) else [former] if former else []
    elif field == "project":
        former = former if isinstance(former, Mapping) else {"name": former}
    elif field in NUMBERS:
        former = _number(former)
    state[FIELD_NAMES[field] or field] = former


def _timebox(reference: Mapping[str, Any], known: Any) -> Mapping[str, Any]:
    """Return a sprint or release of the past with the id that the issue has for it, so that queries find it by both."""
    if reference.get("id"):
        return reference
    named = (
        timebox
        for timebox in known or ()
        if isinstance(timebox, Mapping) and timebox.get("name") == reference.get("name")
    )
    timebox_id = next((timebox["id"] for timebox in named if timebox.get("id")), None)
    return reference if timebox_id is None else {**reference, "id": timebox_id}


def _number(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _instant(value: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def latest_first(stage_visits: Sequence[Visit]) -> list[Visit]:
    """Return the visits with the newest first, and the newest event of each first."""
    return [
        Visit(visit.stage, visit.entered, visit.ended, tuple(reversed(visit.events)))
        for visit in reversed(stage_visits)
    ]
