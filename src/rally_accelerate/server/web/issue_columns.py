"""Columns of issue lists, on the page and in files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.server.store.issue_search import IssueRow, Sort

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class RenderContext:
    """What a column's value may need beside its row."""

    #: Names of integrations by their ids.
    names: Mapping[str, str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    label: str
    #: How the page shows its values: text, name, badge, figure, list, instant or age.
    kind: str
    value: Callable[[IssueRow, RenderContext], Any]
    sort: Sort | None = None

    @property
    def is_figure(self) -> bool:
        """Whether it stands on the right, and its largest value comes first."""
        return self.kind in {"figure", "age"}


COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column("id", "ID", "id", lambda row, _: row.display_id, Sort.ID),
        Column("name", "Name", "name", lambda row, _: row.name, Sort.NAME),
        Column("type", "Type", "text", lambda row, _: row.type, Sort.TYPE),
        Column("status", "Status", "badge", lambda row, _: row.status, Sort.STATUS),
        Column(
            "age", "In status", "age", lambda row, context: context.now.timestamp() * 1000 - row.status_since, Sort.AGE
        ),
        Column("priority", "Priority", "text", lambda row, _: row.priority, Sort.PRIORITY),
        Column("points", "Points", "figure", lambda row, _: row.story_points, Sort.POINTS),
        Column("owner", "Owner", "text", lambda row, _: row.owner, Sort.OWNER),
        Column("creator", "Creator", "text", lambda row, _: row.creator),
        Column("project", "Project", "text", lambda row, _: row.project, Sort.PROJECT),
        Column("sprint", "Sprint", "list", lambda row, _: row.sprints),
        Column("release", "Release", "list", lambda row, _: row.releases),
        Column("labels", "Labels", "list", lambda row, _: row.labels),
        Column("created", "Created", "instant", lambda row, _: row.created, Sort.CREATED),
        Column("updated", "Updated", "instant", lambda row, _: row.last_update, Sort.UPDATED),
        Column("changes", "Changes", "figure", lambda row, _: row.changes),
        Column(
            "integration", "Integration", "text", lambda row, context: context.names.get(row.tracker_id, row.tracker_id)
        ),
        Column("address", "Address", "link", lambda row, _: row.url),
    )
}

#: In the order of the page, as a view's own are.
USUAL = ("id", "name", "type", "status", "age", "priority", "points", "owner", "project", "updated")

#: What spreadsheets take for a formula when a cell begins with it; the last four are the wide forms of the first.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def select_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Return the named columns in page order; the default columns if no name is known."""
    known = tuple(column for name, column in COLUMNS.items() if name in names)
    return known or tuple(COLUMNS[name] for name in USUAL)


def as_cell(column: Column, row: IssueRow, context: RenderContext) -> str:
    """Return a value for a spreadsheet, which never evaluates it as a formula."""
    value = column.value(row, context)
    match column.kind:
        case "instant":
            return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        case "age":
            return f"{value / DAY_MS:.2f}"
        case "figure":
            return "" if value is None else f"{value:g}"
        case "list":
            return escape_formula(", ".join(value))
        case _:
            return escape_formula(value or "")


def heading(column: Column) -> str:
    """Return the heading of a column in a file, with its unit."""
    return f"{column.label} (days)" if column.kind == "age" else column.label


def escape_formula(text: str) -> str:
    """Escape a text that a spreadsheet would evaluate: uploaded names can contain formulas."""
    return f"'{text}" if text.startswith(FORMULAS) else text


def as_object(row: IssueRow, context: RenderContext) -> dict[str, Any]:
    """Return a row as JSON, independent of the selected columns; times are milliseconds since 1970."""
    return {
        "tracker": row.tracker_id,
        "key": row.external_id,
        "id": row.display_id,
        "name": row.name,
        "type": row.type,
        "status": row.status,
        "statusSince": row.status_since,
        "priority": row.priority or "",
        "storyPoints": row.story_points,
        "owner": row.owner or "",
        "creator": row.creator or "",
        "project": row.project or "",
        "sprints": list(row.sprints),
        "releases": list(row.releases),
        "labels": list(row.labels),
        "created": row.created,
        "lastUpdate": row.last_update,
        "changes": row.changes,
        "integration": context.names.get(row.tracker_id, "elsewhere"),
        "url": row.url,
    }
