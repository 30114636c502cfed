"""A work item of Rally as an issue of Accelerate.

Nothing that Rally leaves out, empties or renames makes an item fail: every field has an honest fallback. An item is
skipped only when there is nothing to know it by.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from rally_accelerate.mapping import fields
from rally_accelerate.mapping.around import comments_of, epic_of, relations_of
from rally_accelerate.mapping.customs import CustomField
from rally_accelerate.mapping.history import history_of
from rally_accelerate.mapping.itemtypes import item_type, renamed
from rally_accelerate.mapping.kinds import Kind, kind_of, normalized
from rally_accelerate.mapping.newer import extras_of
from rally_accelerate.mapping.onto import remapped
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.mapping.sources import RICH
from rally_accelerate.mapping.text import readable
from rally_accelerate.mapping.timeboxes import milestones_of, releases_of, sprint_changes_of, sprints_of, states_of
from rally_accelerate.model.issue import UNKNOWN_PERSON, Issue
from rally_accelerate.model.report import Skipped
from rally_accelerate.rally.records import Record, WorkItem

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
    created = fields.instant(row, "CreationDate") or record.revision.updated_at
    status = _status(row, kind)
    releases = releases_of(item)
    owner, owner_id = _person(row, "Owner")
    creator, creator_id = _creator(item)
    issue = Issue(
        external_id=str(record.object_id),
        display_id=record.key,
        revision=record.revision,
        name=fields.text(row, "Name") or record.key,
        description=readable(fields.text(row, "Description"), site=rules.web_url),
        status=status,
        url=_page(record, kind, rules),
        type=renamed(rules.type_names, kind.name, item_type(record.kind, row, kind.name)),
        normalized_type=normalized(record.kind, row),
        creator=creator or UNKNOWN_PERSON,
        owner=owner or None,
        created=created,
        last_update=fields.instant(row, "LastUpdateDate") or record.revision.updated_at,
        priority=fields.rating(row, "Priority"),
        story_points=fields.number(row, "PlanEstimate"),
        labels=fields.names_in(row, "Tags"),
        components=_components(row),
        project=fields.project_of(row),
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
        "status": next((name for name in states if fields.text(record.fields, name)), kind.status),
    }


def _status(row: fields.Fields, kind: Kind) -> str:
    # A portfolio item's state is a reference, everybody else's a text (rally-api-notes.md#states-and-choices); ``text``
    # reads both.
    return fields.text(row, kind.status) or fields.text(row, "ScheduleState") or fields.text(row, "State") or NO_STATUS


def _page(record: Record, kind: Kind, rules: Rules) -> str:
    # The page for people, never the API address: a wrong link from the dot was reported
    # (accelerate-api-notes.md#reported-problems).
    return f"{rules.web_url}/#/detail/{kind.page}/{record.object_id}"


def _person(row: fields.Fields, name: str) -> tuple[str, str]:
    """Return a user's name and ObjectID as text; both are empty without a user."""
    return fields.person(row, name) or "", fields.person_id(row, name)


def _creator(item: WorkItem) -> tuple[str, str]:
    """Return the creator's name and ObjectID as text; empty when they are not known."""
    # CreatedBy is null on old artifacts; the user of the first revision made the item (rally-api-notes.md#users).
    row, past = item.record.fields, item.past
    by_past = (past.creator, "" if past.creator_id is None else str(past.creator_id))
    candidates = (_person(row, "CreatedBy"), by_past, _person(row, "SubmittedBy"))
    return next((each for each in candidates if each[0]), ("", ""))


def _ids(**ids: str) -> Mapping[str, str]:
    return {name: its_id for name, its_id in ids.items() if its_id}


def _components(row: fields.Fields) -> tuple[str, ...]:
    # Rally's nearest thing to a component is the Package of a schedulable item (rally-api-notes.md#attributes).
    package = fields.text(row, "Package")
    return (package,) if package else ()


def _sprint_changes(item: WorkItem) -> Mapping[str, Any]:
    changes = sprint_changes_of(item)
    return {"IterationChanges": changes} if changes else {}


def _milestones(item: WorkItem) -> Mapping[str, Any]:
    found = milestones_of(item)
    return {"MilestoneDetails": [dict(each) for each in found]} if found else {}


def _kept_aside(row: fields.Fields, custom: Iterable[CustomField] = (), *, site: str = "") -> Mapping[str, Any]:
    kept: dict[str, Any] = {}
    rich = {each.name for each in custom if each.attribute_type == RICH}
    for name in (*KEPT_ASIDE, *(each.name for each in custom)):
        value = row.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, int | float):
            kept[name] = value
            continue
        text = fields.text(row, name)
        if text := readable(text, site=site) if name in rich else text:
            # Kept small: a long text has its place in the description.
            kept[name] = text[:LONGEST_KEPT]
    if milestones := fields.names_in(row, "Milestones"):
        kept["Milestones"] = list(milestones)
    return kept
