"""The mapping of a Rally work item to an issue of Accelerate.

Missing, empty or renamed data in Rally never fails a work item: every field has a fallback. An item is skipped only if
it has no ObjectID.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from rally_accelerate.mapping import field_readers
from rally_accelerate.mapping.history import map_history
from rally_accelerate.mapping.item_types import Kind, build_item_type, get_kind, get_type_name, normalize_type
from rally_accelerate.mapping.rich_text import convert_html_to_text
from rally_accelerate.mapping.rule_engine import RICH_TEXT_TYPE, remap_issue
from rally_accelerate.mapping.rules import CustomField, Rules
from rally_accelerate.model.issue import UNKNOWN_PERSON, Comment, Issue, Relation, RelationType, Release, Sprint
from rally_accelerate.model.report import Skipped
from rally_accelerate.rally.records import FieldValue, Milestone, Record, TimeboxValue, WorkItem, placeholder_name

#: The maximum length of all comments of an issue; the newest are uploaded. One item must not fill an upload.
MAX_COMMENT_CHARACTERS = 100_000

#: Which reference is whose kind of relation (rally-api-notes.md#attributes); of several parents the nearest comes
#: first.
_PARENTS = ("Parent", "Requirement", "WorkProduct", "PortfolioItem")
_RELATED = ("Predecessors", "Successors", "Duplicates", "DefectSuites", "TestCase")


def map_comments(item: WorkItem, *, site: str = "") -> tuple[Comment, ...]:
    """Return the discussion as readable text, oldest first; of a very long one the newest part."""
    comments: list[Comment] = []
    remaining = MAX_COMMENT_CHARACTERS
    for post in sorted(item.around.posts, key=lambda post: (post.created, post.object_id), reverse=True):
        text = convert_html_to_text(post.text, site=site)
        remaining -= len(text)
        if remaining < 0 and comments:
            break
        comments.append(
            Comment(
                id=str(post.object_id),
                user=post.user or (placeholder_name(post.user_id) if post.user_id is not None else UNKNOWN_PERSON),
                created=post.created,
                updated=post.updated,
                text=text[:MAX_COMMENT_CHARACTERS],
            )
        )
    return tuple(reversed(comments))


def map_relations(item: WorkItem) -> tuple[Relation, ...]:
    """Return parents, children and related items by their ``_id``, without duplicates, in a fixed order."""
    links = item.past.links
    if not links:
        return ()
    relations: dict[str, Relation] = {}
    for names, relation in (
        (_PARENTS, RelationType.PARENT),
        (("Children",), RelationType.CHILD),
        (_RELATED, RelationType.RELATED),
    ):
        for name in names:
            for object_id in sorted(links.get(name, ())):
                if object_id != item.record.object_id:
                    relations.setdefault(str(object_id), Relation(id=str(object_id), type=relation))
    return tuple(relations.values())


def find_epic(item: WorkItem) -> str | None:
    """Return the FormattedID of the parent portfolio item, whatever its level is called."""
    for object_id in item.past.links.get("PortfolioItem", ()):
        known = item.around.items.get(object_id)
        if known is not None:
            return known[0]
    return None


#: Additional fields in the details of an issue (``additionalInfo``).
_ADDITIONAL_INFO_FIELDS = ("Environment", "BlockedReason", "Package")


def map_newer_fields(row: field_readers.Fields) -> Mapping[str, Any]:
    """Return the fields for newer servers that Rally's data fills, by Accelerate's names.

    Severity and impact need rules: only the user knows which values of Rally correspond to the server's ``SEV1`` to
    ``SEV5``.
    """
    resolved: datetime | None = field_readers.read_datetime(row, "AcceptedDate") or field_readers.read_datetime(
        row, "ClosedDate"
    )
    value = field_readers.read_number(row, "UserBusinessValue")
    details = {name: text for name in _ADDITIONAL_INFO_FIELDS if (text := field_readers.read_text(row, name))}
    fields = {
        "resolved": resolved,
        "resolution": field_readers.read_rating(row, "Resolution"),
        "businessValue": value,
        "additionalInfo": details or None,
    }
    return {name: field for name, field in fields.items() if field is not None}


#: Release.State when it is out; Planning and Active come before (rally-api-notes.md#states-and-choices).
RELEASED_STATE = "Accepted"

#: The maximum length of a theme, and the maximum number of milestones of an issue.
MAX_THEME_LENGTH = 500
MAX_MILESTONES = 50


def map_sprints(item: WorkItem, *, now: datetime) -> tuple[Sprint, ...]:
    """Return the former sprints in the order in which the item left them, then the current one.

    Args:
        item: The item with its past.
        now: Which instant counts as now for ``active``. Items of a sprint that begins or ends are sent again, so that
            what was sent stays true.
    """
    row = item.record.fields
    iteration = field_readers.read_reference(row, "Iteration")
    current_id = field_readers.get_object_id(iteration) if iteration is not None else ""
    former: dict[str, Sprint] = {}
    for _, _, field, before, _, _ in item.past.changes:
        if field != "Iteration" or not isinstance(before, TimeboxValue) or before.object_id is None:
            continue
        sprint_id = str(before.object_id)
        if sprint_id == current_id:
            continue
        former.pop(sprint_id, None)
        known = item.around.timeboxes.get(before.object_id)
        former[sprint_id] = Sprint(
            id=sprint_id,
            name=known.name if known else before.name,
            start=known.start if known else None,
            end=known.end if known else None,
            description=_format_theme(known.theme) if known else "",
            active=False,
            former=True,
        )
    if iteration is None or not current_id:
        return tuple(former.values())
    start, end = field_readers.read_datetime(iteration, "StartDate"), field_readers.read_datetime(iteration, "EndDate")
    current = Sprint(
        id=current_id,
        name=field_readers.get_name(iteration) or current_id,
        start=start,
        end=end,
        description=_format_theme(field_readers.read_text(iteration, "Theme")),
        active=start <= now <= end if start and end else None,
    )
    return (*former.values(), current)


def map_sprint_changes(item: WorkItem) -> list[Mapping[str, str | None]]:
    """Return when the item entered and left sprints, by the ids in ``sprints``.

    The history tells sprints by the names of their day, which are not unique and change when a sprint is renamed. With
    ids, what a sprint began with, gained, lost and handed on follows from what is uploaded. An empty id is no sprint,
    None is one whose id is not known.
    """
    return [
        {"at": str(at), "from": _get_sprint_id(before), "to": _get_sprint_id(after)}
        for at, _, field, before, after, _ in item.past.changes
        if field == "Iteration"
    ]


def _get_sprint_id(value: FieldValue) -> str | None:
    if not isinstance(value, TimeboxValue):
        return ""
    return None if value.object_id is None else str(value.object_id)


def map_releases(item: WorkItem) -> tuple[Release, ...]:
    """Return the release that the item is planned for."""
    release = field_readers.read_reference(item.record.fields, "Release")
    if release is None or not field_readers.get_object_id(release):
        return ()
    release_id = field_readers.get_object_id(release)
    return (
        Release(
            id=release_id,
            name=field_readers.get_name(release) or release_id,
            description=_format_theme(field_readers.read_text(release, "Theme")),
            date=field_readers.read_datetime(release, "ReleaseDate"),
            released=field_readers.read_text(release, "State") == RELEASED_STATE if "State" in release else None,
        ),
    )


def map_timebox_states(item: WorkItem) -> Mapping[str, str]:
    """Return the states of the current iteration and release, which the upload has no fields for."""
    states = {
        f"{name}State": field_readers.read_text(timebox, "State")
        for name in ("Iteration", "Release")
        if (timebox := field_readers.read_reference(item.record.fields, name)) is not None
    }
    return {name: state for name, state in states.items() if state}


def map_milestones(item: WorkItem) -> tuple[Mapping[str, str], ...]:
    """Return the milestones of the item by target date; those without a date come last."""
    milestones = sorted(item.around.milestones.values(), key=_get_sort_key)
    return tuple(
        {name: value for name, value in _format_milestone(milestone) if value}
        for milestone in milestones[:MAX_MILESTONES]
    )


def _get_sort_key(milestone: Milestone) -> tuple[float, str, str]:
    return (milestone.target.timestamp() if milestone.target else math.inf, milestone.name, milestone.key)


def _format_milestone(milestone: Milestone) -> tuple[tuple[str, str], ...]:
    target = milestone.target
    return (
        ("id", milestone.key),
        ("name", milestone.name),
        ("targetDate", target.strftime("%Y-%m-%dT%H:%M:%SZ") if target else ""),
        ("targetProject", milestone.project),
    )


def _format_theme(text: str) -> str:
    return convert_html_to_text(text)[:MAX_THEME_LENGTH]


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

#: The maximum length of a text in ``rawIssue``.
MAX_RAW_TEXT_LENGTH = 2_000

#: The fields that are uploaded unmapped, for ``issue.rawIssue.<name>`` in stage queries.
RAW_FIELDS = (
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


def map_work_item(item: WorkItem, rules: Rules, *, now: datetime | None = None) -> Issue | Skipped:
    """Return the issue for a work item, or why the item is skipped.

    Args:
        item: A record with its past.
        rules: How the integration wants it mapped.
        now: Rally's clock, for what depends on the time: whether a sprint is active. None is the item's last change.
    """
    record = item.record
    row = record.fields
    if not record.object_id:
        return Skipped(record.key, "Rally sent no ObjectID, so the item cannot be identified")
    kind = get_kind(record.kind, row, defect_status=rules.defect_status)
    created = field_readers.read_datetime(row, "CreationDate") or record.revision.updated_at
    status = _map_status(row, kind)
    releases = map_releases(item)
    owner, owner_id = _read_person(row, "Owner")
    creator, creator_id = _find_creator(item)
    issue = Issue(
        external_id=str(record.object_id),
        display_id=record.key,
        revision=record.revision,
        name=field_readers.read_text(row, "Name") or record.key,
        description=convert_html_to_text(field_readers.read_text(row, "Description"), site=rules.web_url),
        status=status,
        url=_build_url(record, kind, rules),
        type=get_type_name(rules.type_names, kind.name, build_item_type(record.kind, row, kind.name)),
        normalized_type=normalize_type(record.kind, row),
        creator=creator or UNKNOWN_PERSON,
        owner=owner or None,
        created=created,
        last_update=field_readers.read_datetime(row, "LastUpdateDate") or record.revision.updated_at,
        priority=field_readers.read_rating(row, "Priority"),
        story_points=field_readers.read_number(row, "PlanEstimate"),
        labels=field_readers.read_names(row, "Tags"),
        components=_map_components(row),
        project=field_readers.read_project(row),
        epic=find_epic(item),
        sprints=map_sprints(item, now=now or record.revision.updated_at),
        releases=releases,
        # Assumed: the ids of the versions that ``releases`` describes, as an issue's fix versions are elsewhere. The
        # schema says no more than a list of texts (accelerate-api-notes.md#issue-fields), and Rally's only version is
        # the release.
        version_ids=tuple(release.id for release in releases),
        comments=map_comments(item, site=rules.web_url),
        relations=map_relations(item),
        history=map_history(
            item.past,
            kind,
            status=status,
            removed=rules.removed_status,
            site=rules.web_url,
            rich={custom_field.name for custom_field in rules.custom if custom_field.attribute_type == RICH_TEXT_TYPE},
        ),
        raw={
            **map_timebox_states(item),
            **_build_raw_milestones(item),
            **_build_raw_sprint_changes(item),
            **_build_raw_fields(row, rules.custom, site=rules.web_url),
            **_omit_empty(ownerId=owner_id, creatorId=creator_id),
        },
    )
    if rules.newer_fields:
        issue = replace(issue, extras=map_newer_fields(row))
    if not rules.compiled.rules.entries:
        return issue
    mapped_type = build_item_type(record.kind, row, kind.name, issue.type)
    remapped = remap_issue(rules.compiled, mapped_type, row, issue, site=rules.web_url)
    return replace(
        remapped.issue,
        extras={**issue.extras, **remapped.extras} if rules.newer_fields else {},
        raw={**remapped.issue.raw, **remapped.extended},
    )


def get_default_sources(record: Record, rules: Rules) -> Mapping[str, str]:
    """Return the Rally field that fills each field of an issue without rules, by target."""
    kind = get_kind(record.kind, record.fields, defect_status=rules.defect_status)
    states = (kind.status, "ScheduleState", "State")
    return {
        **DEFAULT_SOURCES,
        "status": next((name for name in states if field_readers.read_text(record.fields, name)), kind.status),
    }


def _map_status(row: field_readers.Fields, kind: Kind) -> str:
    # The state of a portfolio item is a reference, that of other types a text (rally-api-notes.md#states-and-choices);
    # ``read_text`` reads both.
    return (
        field_readers.read_text(row, kind.status)
        or field_readers.read_text(row, "ScheduleState")
        or field_readers.read_text(row, "State")
        or NO_STATUS
    )


def _build_url(record: Record, kind: Kind, rules: Rules) -> str:
    # The page for people, never the API address: a wrong link from the dot was reported
    # (accelerate-api-notes.md#reported-problems).
    return f"{rules.web_url}/#/detail/{kind.page}/{record.object_id}"


def _read_person(row: field_readers.Fields, name: str) -> tuple[str, str]:
    """Return a user's name and ObjectID as text; both are empty without a user."""
    return field_readers.read_person_name(row, name) or "", field_readers.read_person_id(row, name)


def _find_creator(item: WorkItem) -> tuple[str, str]:
    """Return the creator's name and ObjectID as text; empty when they are not known."""
    # CreatedBy is null on old artifacts; the user of the first revision made the item (rally-api-notes.md#users).
    row, past = item.record.fields, item.past
    by_past = (past.creator, "" if past.creator_id is None else str(past.creator_id))
    candidates = (_read_person(row, "CreatedBy"), by_past, _read_person(row, "SubmittedBy"))
    return next((candidate for candidate in candidates if candidate[0]), ("", ""))


def _omit_empty(**ids: str) -> Mapping[str, str]:
    return {name: object_id for name, object_id in ids.items() if object_id}


def _map_components(row: field_readers.Fields) -> tuple[str, ...]:
    # Rally's nearest thing to a component is the Package of a schedulable item (rally-api-notes.md#attributes).
    package = field_readers.read_text(row, "Package")
    return (package,) if package else ()


def _build_raw_sprint_changes(item: WorkItem) -> Mapping[str, Any]:
    changes = map_sprint_changes(item)
    return {"IterationChanges": changes} if changes else {}


def _build_raw_milestones(item: WorkItem) -> Mapping[str, Any]:
    milestones = map_milestones(item)
    return {"MilestoneDetails": [dict(milestone) for milestone in milestones]} if milestones else {}


def _build_raw_fields(
    row: field_readers.Fields, custom: Iterable[CustomField] = (), *, site: str = ""
) -> Mapping[str, Any]:
    raw: dict[str, Any] = {}
    rich = {custom_field.name for custom_field in custom if custom_field.attribute_type == RICH_TEXT_TYPE}
    for name in (*RAW_FIELDS, *(custom_field.name for custom_field in custom)):
        value = row.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, int | float):
            raw[name] = value
            continue
        text = field_readers.read_text(row, name)
        if text := convert_html_to_text(text, site=site) if name in rich else text:
            # Long texts belong in the description.
            raw[name] = text[:MAX_RAW_TEXT_LENGTH]
    if milestones := field_readers.read_names(row, "Milestones"):
        raw["Milestones"] = list(milestones)
    return raw
