"""A work item of Rally as an issue of Accelerate.

Nothing that Rally leaves out, empties or renames makes an item fail: every field has an honest fallback. An item is
skipped only when there is nothing to know it by.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from rally_accelerate.mapping import field_readers
from rally_accelerate.mapping.history import history_of
from rally_accelerate.mapping.item_types import Kind, item_type, kind_of, normalized, renamed
from rally_accelerate.mapping.rich_text import readable
from rally_accelerate.mapping.rule_engine import RICH, remapped
from rally_accelerate.mapping.rules import CustomField, Rules
from rally_accelerate.model.issue import UNKNOWN_PERSON, Comment, Issue, Relation, RelationType, Release, Sprint
from rally_accelerate.model.report import Skipped
from rally_accelerate.rally.records import Milestone, Named, PastValue, Record, WorkItem, nameless

#: The newest posts are kept as long as their texts stay within so many characters: one item must not fill an upload.
COMMENT_CHARACTERS = 100_000

#: Which reference is whose kind of relation (rally-api-notes.md#attributes); of several parents the nearest comes
#: first.
_PARENTS = ("Parent", "Requirement", "WorkProduct", "PortfolioItem")
_RELATED = ("Predecessors", "Successors", "Duplicates", "DefectSuites", "TestCase")


def comments_of(item: WorkItem, *, site: str = "") -> tuple[Comment, ...]:
    """Return the discussion as readable text, oldest first; of a very long one the newest part."""
    kept: list[Comment] = []
    left = COMMENT_CHARACTERS
    for post in sorted(item.around.posts, key=lambda post: (post.created, post.object_id), reverse=True):
        text = readable(post.text, site=site)
        left -= len(text)
        if left < 0 and kept:
            break
        kept.append(
            Comment(
                id=str(post.object_id),
                user=post.user or (nameless(post.user_id) if post.user_id is not None else UNKNOWN_PERSON),
                created=post.created,
                updated=post.updated,
                text=text[:COMMENT_CHARACTERS],
            )
        )
    return tuple(reversed(kept))


def relations_of(item: WorkItem) -> tuple[Relation, ...]:
    """Parents, children and related items by their ``_id``, each once, in a fixed order."""
    links = item.past.links
    if not links:
        return ()
    found: dict[str, Relation] = {}
    for names, relation in (
        (_PARENTS, RelationType.PARENT),
        (("Children",), RelationType.CHILD),
        (_RELATED, RelationType.RELATED),
    ):
        for name in names:
            for its_id in sorted(links.get(name, ())):
                if its_id != item.record.object_id:
                    found.setdefault(str(its_id), Relation(id=str(its_id), type=relation))
    return tuple(found.values())


def epic_of(item: WorkItem) -> str | None:
    """The FormattedID of the portfolio item above, whatever its level is called."""
    for its_id in item.past.links.get("PortfolioItem", ()):
        known = item.around.items.get(its_id)
        if known is not None:
            return known[0]
    return None


#: What is shown in an issue's details besides (``additionalInfo``).
_DETAILS = ("Environment", "BlockedReason", "Package")


def extras_of(row: field_readers.Fields) -> Mapping[str, Any]:
    """The newer fields that Rally's own data fills, by Accelerate's names.

    Severity and impact need rules: their words are the server's (``SEV1`` to ``SEV5``), and nobody but the user knows
    which of Rally's they are.
    """
    resolved: datetime | None = field_readers.instant(row, "AcceptedDate") or field_readers.instant(row, "ClosedDate")
    value = field_readers.number(row, "UserBusinessValue")
    details = {name: text for name in _DETAILS if (text := field_readers.text(row, name))}
    found = {
        "resolved": resolved,
        "resolution": field_readers.rating(row, "Resolution"),
        "businessValue": value,
        "additionalInfo": details or None,
    }
    return {name: each for name, each in found.items() if each is not None}


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
    present = field_readers.reference(row, "Iteration")
    present_id = field_readers.object_id(present) if present is not None else ""
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
    start, end = field_readers.instant(present, "StartDate"), field_readers.instant(present, "EndDate")
    current = Sprint(
        id=present_id,
        name=field_readers.name_of(present) or present_id,
        start=start,
        end=end,
        description=_theme(field_readers.text(present, "Theme")),
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
    release = field_readers.reference(item.record.fields, "Release")
    if release is None or not field_readers.object_id(release):
        return ()
    its_id = field_readers.object_id(release)
    return (
        Release(
            id=its_id,
            name=field_readers.name_of(release) or its_id,
            description=_theme(field_readers.text(release, "Theme")),
            date=field_readers.instant(release, "ReleaseDate"),
            released=field_readers.text(release, "State") == RELEASED if "State" in release else None,
        ),
    )


def states_of(item: WorkItem) -> Mapping[str, str]:
    """The states of the present iteration and release, which the upload has no fields for."""
    states = {
        f"{name}State": field_readers.text(timebox, "State")
        for name in ("Iteration", "Release")
        if (timebox := field_readers.reference(item.record.fields, name)) is not None
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


#: Shown where Rally gives an item no state: the upload requires a status (accelerate-api-notes.md#issue-fields).
NO_STATUS = "None"

#: The Rally field that fills a field of an issue without rules; the status depends on the item's type.
DEFAULT_SOURCES = {
    "name": "Name",
    "description": "Description",
    "type": "the item's type (_type)",
    "normalizedType": "the item's type (_type)",
    "priority": "Priority",
    "storyPoints": "PlanEstimate",
    "labels": "Tags",
    "epic": "the portfolio item above (PortfolioItem)",
    "sprints": "Iteration",
    "resolved": "AcceptedDate or ClosedDate",
    "resolution": "Resolution",
    "businessValue": "UserBusinessValue",
}

#: So many characters of one text are kept beside the mapped fields.
LONGEST_KEPT = 2_000

#: What is kept beside the mapped fields, for ``issue.rawIssue.<name>`` in stage queries.
KEPT_ASIDE = (
    "ScheduleState",
    "FlowState",
    "State",
    "Severity",
    "Environment",
    "Resolution",
    "Blocked",
    "BlockedReason",
    "Ready",
    "Expedite",
    "AcceptedDate",
    "InProgressDate",
    "OpenedDate",
    "ClosedDate",
    "FlowStateChangedDate",
)


def to_issue(item: WorkItem, rules: Rules, *, now: datetime | None = None) -> Issue | Skipped:
    """The issue that an item becomes, or why it becomes none.

    Args:
        item: A record with its past.
        rules: How the integration wants it mapped.
        now: Rally's clock, for what depends on the time: whether a sprint is active. None is the item's last change.
    """
    record = item.record
    row = record.fields
    if not record.object_id:
        return Skipped(record.key, "Rally gave no ObjectID, so the item cannot be told from others")
    kind = kind_of(record.kind, row, defect_status=rules.defect_status)
    created = field_readers.instant(row, "CreationDate") or record.revision.updated_at
    status = _status(row, kind)
    releases = releases_of(item)
    owner, owner_id = _person(row, "Owner")
    creator, creator_id = _creator(item)
    issue = Issue(
        external_id=str(record.object_id),
        display_id=record.key,
        revision=record.revision,
        name=field_readers.text(row, "Name") or record.key,
        description=readable(field_readers.text(row, "Description"), site=rules.web_url),
        status=status,
        url=_page(record, kind, rules),
        type=renamed(rules.type_names, kind.name, item_type(record.kind, row, kind.name)),
        normalized_type=normalized(record.kind, row),
        creator=creator or UNKNOWN_PERSON,
        owner=owner or None,
        created=created,
        last_update=field_readers.instant(row, "LastUpdateDate") or record.revision.updated_at,
        priority=field_readers.rating(row, "Priority"),
        story_points=field_readers.number(row, "PlanEstimate"),
        labels=field_readers.names_in(row, "Tags"),
        components=_components(row),
        project=field_readers.project_of(row),
        epic=epic_of(item),
        sprints=sprints_of(item, now=now or record.revision.updated_at),
        releases=releases,
        # Assumed: the ids of the versions that ``releases`` describes, as an issue's fix versions are elsewhere. The
        # schema says no more than a list of texts (accelerate-api-notes.md#issue-fields), and Rally's only version is
        # the release.
        version_ids=tuple(release.id for release in releases),
        comments=comments_of(item, site=rules.web_url),
        relations=relations_of(item),
        history=history_of(
            item.past,
            kind,
            status=status,
            removed=rules.removed_status,
            site=rules.web_url,
            rich={each.name for each in rules.custom if each.attribute_type == RICH},
        ),
        raw={
            **states_of(item),
            **_milestones(item),
            **_sprint_changes(item),
            **_kept_aside(row, rules.custom, site=rules.web_url),
            **_ids(ownerId=owner_id, creatorId=creator_id),
        },
    )
    if rules.newer_fields:
        issue = replace(issue, extras=extras_of(row))
    if not rules.compiled.rules.entries:
        return issue
    its = item_type(record.kind, row, kind.name, issue.type)
    found = remapped(rules.compiled, its, row, issue, site=rules.web_url)
    return replace(
        found.issue,
        extras={**issue.extras, **found.extras} if rules.newer_fields else {},
        raw={**found.issue.raw, **found.extended},
    )


def default_sources(record: Record, rules: Rules) -> Mapping[str, str]:
    """Return the Rally field that fills each field of an issue without rules, by target."""
    kind = kind_of(record.kind, record.fields, defect_status=rules.defect_status)
    states = (kind.status, "ScheduleState", "State")
    return {
        **DEFAULT_SOURCES,
        "status": next((name for name in states if field_readers.text(record.fields, name)), kind.status),
    }


def _status(row: field_readers.Fields, kind: Kind) -> str:
    # A portfolio item's state is a reference, everybody else's a text (rally-api-notes.md#states-and-choices); ``text``
    # reads both.
    return (
        field_readers.text(row, kind.status)
        or field_readers.text(row, "ScheduleState")
        or field_readers.text(row, "State")
        or NO_STATUS
    )


def _page(record: Record, kind: Kind, rules: Rules) -> str:
    # The page for people, never the API address: a wrong link from the dot was reported
    # (accelerate-api-notes.md#reported-problems).
    return f"{rules.web_url}/#/detail/{kind.page}/{record.object_id}"


def _person(row: field_readers.Fields, name: str) -> tuple[str, str]:
    """Return a user's name and ObjectID as text; both are empty without a user."""
    return field_readers.person(row, name) or "", field_readers.person_id(row, name)


def _creator(item: WorkItem) -> tuple[str, str]:
    """Return the creator's name and ObjectID as text; empty when they are not known."""
    # CreatedBy is null on old artifacts; the user of the first revision made the item (rally-api-notes.md#users).
    row, past = item.record.fields, item.past
    by_past = (past.creator, "" if past.creator_id is None else str(past.creator_id))
    candidates = (_person(row, "CreatedBy"), by_past, _person(row, "SubmittedBy"))
    return next((each for each in candidates if each[0]), ("", ""))


def _ids(**ids: str) -> Mapping[str, str]:
    return {name: its_id for name, its_id in ids.items() if its_id}


def _components(row: field_readers.Fields) -> tuple[str, ...]:
    # Rally's nearest thing to a component is the Package of a schedulable item (rally-api-notes.md#attributes).
    package = field_readers.text(row, "Package")
    return (package,) if package else ()


def _sprint_changes(item: WorkItem) -> Mapping[str, Any]:
    changes = sprint_changes_of(item)
    return {"IterationChanges": changes} if changes else {}


def _milestones(item: WorkItem) -> Mapping[str, Any]:
    found = milestones_of(item)
    return {"MilestoneDetails": [dict(each) for each in found]} if found else {}


def _kept_aside(row: field_readers.Fields, custom: Iterable[CustomField] = (), *, site: str = "") -> Mapping[str, Any]:
    kept: dict[str, Any] = {}
    rich = {each.name for each in custom if each.attribute_type == RICH}
    for name in (*KEPT_ASIDE, *(each.name for each in custom)):
        value = row.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, int | float):
            kept[name] = value
            continue
        text = field_readers.text(row, name)
        if text := readable(text, site=site) if name in rich else text:
            # Kept small: a long text has its place in the description.
            kept[name] = text[:LONGEST_KEPT]
    if milestones := field_readers.names_in(row, "Milestones"):
        kept["Milestones"] = list(milestones)
    return kept
