"""Page of an issue: fields, history, related issues, and the issue as of a past time."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate.server.issue_history import (
    Value,
    compute_state_at,
    find_pending_status_change,
    list_former_sprints,
    normalize_field_name,
    to_texts,
)
from rally_accelerate.server.store.issue_search import Link, LinkFinder
from rally_accelerate.server.store.issue_writer import find_status_start
from rally_accelerate.server.store.issues import StoredIssue
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.tables import to_ms
from rally_accelerate.server.web.routing import role_route
from rally_accelerate.server.web.templating import as_instant, not_found, quote_segment, render_page

#: A piece of a sentence: whether it is a value, and its text.
Piece = tuple[bool, str]

LABELS = {
    "storyPoints": "Story points",
    "businessValue": "Business value",
    "lastUpdate": "Last update",
    "revision": "Other changes",
    "id": "ID",
}

#: What people say of a field: when it gets a value, when one follows another, and when it loses its value. ``{0}`` is
#: the value before, ``{1}`` the one after.
SENTENCES: Mapping[str, tuple[str, str, str]] = {
    "status": ("set the status to {1}", "moved it from {0} to {1}", "cleared the status (was {0})"),
    "owner": ("assigned it to {1}", "reassigned it from {0} to {1}", "unassigned {0}"),
    "sprint": ("added it to {1}", "moved it from {0} to {1}", "removed it from {0}"),
    "release": ("added it to {1}", "moved it from {0} to {1}", "removed it from {0}"),
    "storyPoints": ("estimated it at {1}", "changed the estimate from {0} to {1}", "cleared the estimate (was {0})"),
    "project": ("added it to {1}", "moved it from {0} to {1}", "removed it from {0}"),
    "name": ("named it {1}", "renamed it from {0} to {1}", "cleared the name (was {0})"),
    "parent": ("set the parent to {1}", "changed the parent from {0} to {1}", "cleared the parent (was {0})"),
    "blockedReason": ("set the blocked reason: {1}", "changed the blocked reason: {1}", "cleared the blocked reason"),
    "revision": ("noted: {1}", "noted: {1}", "removed the note {0}"),
}

#: Fields that are one of two, and what people say when they become it.
SWITCHES = {
    "blocked": ("blocked it", "unblocked it"),
    "ready": ("marked it ready", "marked it not ready"),
    "expedite": ("marked it for expediting", "removed the expedite mark"),
    "flagged": ("flagged it", "removed the flag"),
}

#: Texts that are too long for a sentence are named, not told.
LONG = frozenset({"description", "notes", "acceptanceCriteria"})

#: Lists that usually have one element: a change of it is a move, not an addition and a removal.
ONE_AT_A_TIME = frozenset({"sprint", "release"})

#: Longer values are cut in a sentence.
LONGEST = 200

#: What is said of any other field.
DEFAULT_SENTENCES = ("set {2} to {1}", "changed {2} from {0} to {1}", "cleared {2} (was {0})")


def label(field: str) -> str:
    """Return the display name of a field: ``flowState`` becomes Flow state."""
    if known := LABELS.get(field):
        return known
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", field.removeprefix("c_")).replace("_", " ").strip()
    return f"{words[:1].upper()}{words[1:].lower()}" or field


def describe_change(content: Mapping[str, Any]) -> list[Piece]:
    """Describe a change without its author and time, as pieces to concatenate."""
    field = normalize_field_name(str(content.get("field") or ""))
    before, after = to_texts(content.get("from")), to_texts(content.get("to"))
    if field in SWITCHES and {*before, *after} <= {"true", "false"}:
        return [(False, SWITCHES[field][0 if after == ("true",) else 1])]
    if field in LONG:
        return [(False, f"changed the {label(field).lower()}")]
    is_list = content.get("type") == "stringArray" and not (
        field in ONE_AT_A_TIME and max(len(before), len(after)) == 1
    )
    if is_list or field in {"labels", "milestones", "components"}:
        return _describe_list_change(label(field).lower(), before, after)
    forms = SENTENCES.get(field, DEFAULT_SENTENCES)
    form = forms[0] if not before else forms[1] if after else forms[2]
    if not before and not after:
        return [(False, f"updated {label(field)}")]
    return _fill_template(form, _truncate(before), _truncate(after), label(field) or "a field")


def _describe_list_change(name: str, before: Value, after: Value) -> list[Piece]:
    added = [value for value in after if value not in before]
    removed = [value for value in before if value not in after]
    pieces: list[Piece] = []
    for verb, values in (("added", added), ("removed", removed)):
        if values:
            pieces += [(False, f"{' and ' if pieces else ''}{verb} {name} "), (True, _truncate(tuple(values)))]
    return pieces or [(False, f"updated {name}")]


def _fill_template(form: str, *values: str) -> list[Piece]:
    pieces: list[Piece] = []
    for part in re.split(r"(\{[012]\})", form):
        if part.startswith("{"):
            pieces.append((part != "{2}", values[int(part[1])]))
        elif part:
            pieces.append((False, part))
    return pieces


def _truncate(value: Value) -> str:
    text = ", ".join(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


EPOCH = datetime.fromtimestamp(0, UTC)

#: The number of changes shown before the link to the rest.
MOST_CHANGES = 300

#: What an upload may leave out, of what the page shows.
OPTIONAL = (
    "owner",
    "priority",
    "storyPoints",
    "epic",
    "project",
    "sprints",
    "releases",
    "labels",
    "components",
    "versionIds",
    "description",
    "rawIssue",
    "relations",
    "comments",
    "additionalInfo",
)

SPRINT = ("id", "name", "startTime", "endTime")
RELEASE = ("id", "name", "released", "releaseDate")
COMMENT = ("user", "created", "updated", "comment")

#: How far a value of the past is known, for people.
SOURCE_LABELS = {
    "told": "From the history",
    "gap": "The history has a gap at this point",
    "untold": "No recorded changes",
    "lost": "Not recorded",
}

#: The kinds of links, for people.
KINDS = {"PARENT": "Parents", "CHILD": "Children", "RELATED": "Other"}


class IssuePage:
    """The page of one issue."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._links = LinkFinder(stores.database, stores.search)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [role_route("/issues/{tracker:str}/{id:str}", self.detail)]

    async def detail(self, request: Request) -> Response:
        """Show an issue."""
        tracker = unquote(request.path_params["tracker"])
        external_id = unquote(request.path_params["id"].removesuffix(".json"))
        stored = await self._stores.issues.get(tracker, external_id)
        if stored is None:
            return not_found(request, "this issue")
        integration = await self._stores.integrations.by_id(tracker)
        address = f"/issues/{quote_segment(tracker)}/{quote_segment(external_id)}"
        now = datetime.now(UTC)
        past, fault = _past(stored.content, request.query_params.get("as-of", ""))
        history = stored.content["history"]
        issue = _with_optional_fields(stored.content)
        data = {
            "title": f"{stored.content['id']} {stored.content['name']}",
            "issue": issue,
            "details": _details(issue),
            "age": to_ms(now) - find_status_start(stored.content, history),
            "late": find_pending_status_change(stored.content),
            "integration": {"name": integration.name if integration else tracker, "known": integration is not None},
            "tracker": tracker,
            "uploaded": stored.uploaded,
            "execution": await self._run_of(stored),
            "relations": _group_links(tracker, await self._links.find_links(tracker, stored.content, now=now)),
            "address": address,
            "past": past,
            "fault": fault,
            "sure": SOURCE_LABELS,
            **_history(history, address, request),
        }
        return render_page(request, "issue.html", data, status=400 if fault else 200)

    async def _run_of(self, stored: StoredIssue) -> str:
        """Return the run that wrote an issue; empty for other uploads and for runs that are no longer stored."""
        run = await self._stores.executions.get(stored.execution_id) if stored.execution_id else None
        return run.id if run is not None else ""


def _with_optional_fields(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the issue with None for missing optional fields, also inside its lists."""
    issue = {**dict.fromkeys(OPTIONAL), **content}
    for name, inner in (("sprints", SPRINT), ("releases", RELEASE), ("comments", COMMENT)):
        issue[name] = [{**dict.fromkeys(inner), **element} for element in issue[name] or () if element]
    former = list_former_sprints(content)
    for each, sprint in zip((one for one in content.get("sprints") or () if one), issue["sprints"], strict=True):
        sprint["former"] = each in former
    return issue


def _details(issue: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the label and value of each simple field that has a value."""
    project, points = issue["project"] or {}, issue["storyPoints"]
    values = (
        ("Status", issue["status"]),
        ("Type", issue["type"]),
        ("Kind", str(issue.get("normalizedType") or "").replace("_", " ").lower()),
        ("Owner", issue["owner"] or "Unassigned"),
        ("Creator", issue["creator"]),
        ("Priority", issue["priority"]),
        ("Story points", f"{points:g}" if points is not None else ""),
        ("Project", project.get("name") or project.get("key") or project.get("id")),
        ("Epic", issue["epic"]),
        ("Labels", _join_values(issue["labels"])),
        ("Components", _join_values(issue["components"])),
        ("Versions", _join_values(issue["versionIds"])),
        ("Severity", issue.get("severity")),
        ("Impact", issue.get("impact")),
        ("Resolution", issue.get("resolution")),
        ("Resolved", _day(issue.get("resolved"))),
        ("Business value", f"{issue['businessValue']:g}" if issue.get("businessValue") is not None else ""),
    )
    return [(name, str(value)) for name, value in values if value]


def _history(history: Sequence[Mapping[str, Any]], address: str, request: Request) -> dict[str, Any]:
    """Return the changes by day, newest first, and the fields that changed."""
    query = request.query_params
    field, everything = query.get("field", ""), "all" in query
    known = [(normalize_field_name(str((entry.get("content") or {}).get("field") or "")), entry) for entry in history]
    # An instant of another tool's is no longer known to be right: entries are told in the order of their instants.
    known.sort(key=lambda one: int(one[1].get("timestamp") or 0), reverse=True)
    counts = Counter(name for name, _ in known if name)
    matching = [entry for name, entry in known if not field or name == field]
    some = matching if everything else matching[:MOST_CHANGES]
    other_parameters = [(name, value) for name, value in query.multi_items() if name not in {"field", "all"}]
    days: dict[str, list[dict[str, Any]]] = {}
    for entry in some:
        instant = int(entry.get("timestamp") or 0)
        # Not by seconds as a fraction: the link must lead to this very millisecond.
        moment = EPOCH + timedelta(milliseconds=instant)
        content = entry.get("content") or {}
        user = content.get("userDisplayName") or content.get("user") or ""
        entries = days.setdefault(f"{moment:%Y-%m-%d}", [])
        if not entries or (entries[-1]["instant"], entries[-1]["user"]) != (instant, user):
            # Changes of one user at one instant are one edit.
            entries.append(
                {
                    "instant": instant,
                    "time": f"{moment:%H:%M}",
                    "as_of": f"{moment:%Y-%m-%dT%H:%M:%S.%f}"[:-3],
                    "user": user,
                    "changes": [],
                }
            )
        entries[-1]["changes"].append(
            {
                "field": content.get("field"),
                "from": content.get("from"),
                "to": content.get("to"),
                "sentence": describe_change(content),
            }
        )
    return {
        "days": [{"day": day, "entries": entries} for day, entries in days.items()],
        "field": field,
        "fields": [
            {
                "field": name,
                "label": label(name),
                "count": count,
                "chosen": name == field,
                "address": f"{address}?{urlencode([*other_parameters, ('field', name)])}",
            }
            for name, count in counts.most_common()
        ],
        "left_out": len(matching) - len(some),
        "whole": f"{address}?{urlencode(other_parameters)}" if other_parameters else address,
        "all_days": f"{address}?{urlencode([*other_parameters, *([('field', field)] if field else []), ('all', '1')])}",
    }


def _past(issue: Mapping[str, Any], text: str) -> tuple[dict[str, Any] | None, str]:
    """Return the issue as of a time, or the problem with the entered time."""
    if not text.strip():
        return None, ""
    try:
        moment = datetime.fromisoformat(text.strip())
        instant = to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        # With an offset it may lie before the year 1 or after the year 9999.
        time_in_utc = EPOCH + timedelta(milliseconds=instant)
    except (ValueError, OverflowError):
        return None, f"{text!r} is not a valid date and time. Use a format such as 2026-01-31T12:00."
    past = compute_state_at(issue, instant)
    fields = [
        {
            "field": one.field,
            "label": label(one.field),
            "value": one.value,
            "now": one.now,
            "differs": one.differs or one.sure == "lost",
            "sure": one.sure.value,
        }
        for one in past.fields
    ]
    fields.sort(key=lambda one: not one["differs"])
    return {
        "asked": f"{time_in_utc:%Y-%m-%dT%H:%M:%S}",
        "instant": instant,
        "existed": past.existed,
        "changed": sum(bool(one["differs"]) for one in fields),
        "fields": fields,
    }, ""


def _group_links(tracker: str, links: Sequence[Link]) -> list[dict[str, Any]]:
    """Return the related issues by kind of link."""
    groups = []
    for kind, name in KINDS.items():
        issues = [
            {
                "id": one.display_id or one.external_id,
                "name": one.name,
                "status": one.status,
                "address": f"/issues/{quote_segment(tracker)}/{quote_segment(one.external_id)}"
                if one.display_id
                else "",
            }
            for one in links
            if one.kind == kind
        ]
        if issues:
            groups.append({"kind": kind, "label": name, "issues": issues})
    return groups


def _join_values(values: Sequence[Any] | None) -> str:
    return ", ".join(str(value) for value in values or () if value)


def _day(value: Any) -> str:
    return "" if value is None else f"{as_instant(value):%Y-%m-%d}"
