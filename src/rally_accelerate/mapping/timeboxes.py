"""Sprints and releases: the present ones from the item, the former ones from its past."""

import math
from collections.abc import Mapping
from datetime import datetime

from rally_accelerate.mapping import fields
from rally_accelerate.mapping.text import readable
from rally_accelerate.model.issue import Release, Sprint
from rally_accelerate.rally.records import Milestone, Named, PastValue, WorkItem

#: Release.State when it is out; Planning and Active come before (rally-api-notes.md#states-and-choices).
RELEASED = "Accepted"

#: So many characters of a theme come with each issue, and so many milestones.
LONGEST_THEME = 500
MOST_MILESTONES = 50


def sprints_of(item: WorkItem, *, now: datetime) -> tuple[Sprint, ...]:
    """The former sprints in the order in which they were left, then the present one.

    Args:
        item: The item with its past.
        now: Which instant counts as now for ``active``. Items of a sprint that begins or ends are sent again, so that
            what was sent stays true.
    """
    row = item.record.fields
    present = fields.reference(row, "Iteration")
    present_id = fields.object_id(present) if present is not None else ""
    found: dict[str, Sprint] = {}
    for _, _, field, left, _, _ in item.past.changes:
        if field != "Iteration" or not isinstance(left, Named) or left.object_id is None:
            continue
        its_id = str(left.object_id)
        if its_id == present_id:
            continue
        found.pop(its_id, None)
        known = item.around.timeboxes.get(left.object_id)
        found[its_id] = Sprint(
            id=its_id,
            name=known.name if known else left.name,
            start=known.start if known else None,
            end=known.end if known else None,
            description=_theme(known.theme) if known else "",
            active=False,
            former=True,
        )
    if present is None or not present_id:
        return tuple(found.values())
    start, end = fields.instant(present, "StartDate"), fields.instant(present, "EndDate")
    current = Sprint(
        id=present_id,
        name=fields.name_of(present) or present_id,
        start=start,
        end=end,
        description=_theme(fields.text(present, "Theme")),
        active=start <= now <= end if start and end else None,
    )
    return (*found.values(), current)


def sprint_changes_of(item: WorkItem) -> list[Mapping[str, str | None]]:
    """Return when the item came into sprints and left them, by the ids that ``sprints`` have.

    The history tells sprints by the names of their day, which are not unique and change when a sprint is renamed. With
    ids, what a sprint began with, gained, lost and handed on follows from what is uploaded. An empty id is no sprint,
    None is one whose id is not known.
    """
    return [
        {"at": str(at), "from": _sprint_id(left), "to": _sprint_id(came)}
        for at, _, field, left, came, _ in item.past.changes
        if field == "Iteration"
    ]


def _sprint_id(value: PastValue) -> str | None:
    if not isinstance(value, Named):
        return ""
    return None if value.object_id is None else str(value.object_id)


def releases_of(item: WorkItem) -> tuple[Release, ...]:
    """The release that the item is planned for."""
    release = fields.reference(item.record.fields, "Release")
    if release is None or not fields.object_id(release):
        return ()
    its_id = fields.object_id(release)
    return (
        Release(
            id=its_id,
            name=fields.name_of(release) or its_id,
            description=_theme(fields.text(release, "Theme")),
            date=fields.instant(release, "ReleaseDate"),
            released=fields.text(release, "State") == RELEASED if "State" in release else None,
        ),
    )


def states_of(item: WorkItem) -> Mapping[str, str]:
    """The states of the present iteration and release, which the upload has no fields for."""
    states = {
        f"{name}State": fields.text(timebox, "State")
        for name in ("Iteration", "Release")
        if (timebox := fields.reference(item.record.fields, name)) is not None
    }
    return {name: state for name, state in states.items() if state}


def milestones_of(item: WorkItem) -> tuple[Mapping[str, str], ...]:
    """The milestones that the item carries, the next date first; those without a date last."""
    known = sorted(item.around.milestones.values(), key=_order)
    return tuple({name: value for name, value in _milestone(each) if value} for each in known[:MOST_MILESTONES])


def _order(milestone: Milestone) -> tuple[float, str, str]:
    return (milestone.target.timestamp() if milestone.target else math.inf, milestone.name, milestone.key)


def _milestone(milestone: Milestone) -> tuple[tuple[str, str], ...]:
    target = milestone.target
    return (
        ("id", milestone.key),
        ("name", milestone.name),
        ("targetDate", target.strftime("%Y-%m-%dT%H:%M:%SZ") if target else ""),
        ("targetProject", milestone.project),
    )


def _theme(text: str) -> str:
    return readable(text)[:LONGEST_THEME]
