"""One issue: its fields, its history, what it is related to, where it came from, and what it was at any instant."""

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
from rally_accelerate.server.web.routing import routed
from rally_accelerate.server.web.templating import as_instant, missing, page, segment

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
SAID: Mapping[str, tuple[str, str, str]] = {
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
OTHERWISE = ("set {2} to {1}", "changed {2} from {0} to {1}", "cleared {2} (was {0})")


def label(field: str) -> str:
    """A field's name as people write it: ``flowState`` is Flow state."""
    if known := LABELS.get(field):
        return known
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", field.removeprefix("c_")).replace("_", " ").strip()
    return f"{words[:1].upper()}{words[1:].lower()}" or field


def sentence(content: Mapping[str, Any]) -> list[Piece]:
    """What happened, without who and when: pieces that are put behind each other."""
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
        return _of_a_list(label(field).lower(), before, after)
    forms = SAID.get(field, OTHERWISE)
    form = forms[0] if not before else forms[1] if after else forms[2]
    if not before and not after:
        return [(False, f"updated {label(field)}")]
    return _filled(form, _told(before), _told(after), label(field) or "a field")


def _of_a_list(name: str, before: Value, after: Value) -> list[Piece]:
    added = [each for each in after if each not in before]
    gone = [each for each in before if each not in after]
    pieces: list[Piece] = []
    for verb, values in (("added", added), ("removed", gone)):
        if values:
            pieces += [(False, f"{' and ' if pieces else ''}{verb} {name} "), (True, _told(tuple(values)))]
    return pieces or [(False, f"updated {name}")]


def _filled(form: str, *values: str) -> list[Piece]:
    pieces: list[Piece] = []
    for part in re.split(r"(\{[012]\})", form):
        if part.startswith("{"):
            pieces.append((part != "{2}", values[int(part[1])]))
        elif part:
            pieces.append((False, part))
    return pieces


def _told(value: Value) -> str:
    text = ", ".join(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


EPOCH = datetime.fromtimestamp(0, UTC)

#: So many changes are shown before the rest is asked for.
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
SURE = {
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
        """Its address."""
        return [routed("/issues/{tracker:str}/{id:str}", self.one)]

    async def one(self, request: Request) -> Response:
        """One issue."""
        tracker = unquote(request.path_params["tracker"])
        its_id = unquote(request.path_params["id"].removesuffix(".json"))
        found = await self._stores.issues.get(tracker, its_id)
        if found is None:
            return missing(request, "this issue")
        integration = await self._stores.integrations.by_id(tracker)
        address = f"/issues/{segment(tracker)}/{segment(its_id)}"
        now = datetime.now(UTC)
        past, fault = _past(found.content, request.query_params.get("as-of", ""))
        history = found.content["history"]
        issue = _whole(found.content)
        data = {
            "title": f"{found.content['id']} {found.content['name']}",
            "issue": issue,
            "details": _details(issue),
            "age": to_ms(now) - find_status_start(found.content, history),
            "late": find_pending_status_change(found.content),
            "integration": {"name": integration.name if integration else tracker, "known": integration is not None},
            "tracker": tracker,
            "uploaded": found.uploaded,
            "execution": await self._run_of(found),
            "relations": _groups(tracker, await self._links.find_links(tracker, found.content, now=now)),
            "address": address,
            "past": past,
            "fault": fault,
            "sure": SURE,
            **_history(history, address, request),
        }
        return page(request, "issue.html", data, status=400 if fault else 200)

    async def _run_of(self, found: StoredIssue) -> str:
        """The run that wrote it; empty where it was uploaded from elsewhere, or where the run is no longer kept."""
        run = await self._stores.executions.get(found.execution_id) if found.execution_id else None
        return run.id if run is not None else ""


def _whole(content: Mapping[str, Any]) -> dict[str, Any]:
    """The issue with everything that the page looks for; lists may hold things that lack what is optional in them."""
    issue = {**dict.fromkeys(OPTIONAL), **content}
    for name, inner in (("sprints", SPRINT), ("releases", RELEASE), ("comments", COMMENT)):
        issue[name] = [{**dict.fromkeys(inner), **each} for each in issue[name] or () if each]
    former = list_former_sprints(content)
    for each, sprint in zip((one for one in content.get("sprints") or () if one), issue["sprints"], strict=True):
        sprint["former"] = each in former
    return issue


def _details(issue: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every simple field that has a value, under the names that people have for them."""
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
        ("Labels", _joined(issue["labels"])),
        ("Components", _joined(issue["components"])),
        ("Versions", _joined(issue["versionIds"])),
        ("Severity", issue.get("severity")),
        ("Impact", issue.get("impact")),
        ("Resolution", issue.get("resolution")),
        ("Resolved", _day(issue.get("resolved"))),
        ("Business value", f"{issue['businessValue']:g}" if issue.get("businessValue") is not None else ""),
    )
    return [(name, str(value)) for name, value in values if value]


def _history(history: Sequence[Mapping[str, Any]], address: str, request: Request) -> dict[str, Any]:
    """The changes by day, newest first, and the fields that changed."""
    given = request.query_params
    field, everything = given.get("field", ""), "all" in given
    known = [(normalize_field_name(str((entry.get("content") or {}).get("field") or "")), entry) for entry in history]
    # An instant of another tool's is no longer known to be right: entries are told in the order of their instants.
    known.sort(key=lambda one: int(one[1].get("timestamp") or 0), reverse=True)
    counts = Counter(name for name, _ in known if name)
    wanted = [entry for name, entry in known if not field or name == field]
    some = wanted if everything else wanted[:MOST_CHANGES]
    kept = [(name, value) for name, value in given.multi_items() if name not in {"field", "all"}]
    days: dict[str, list[dict[str, Any]]] = {}
    for entry in some:
        instant = int(entry.get("timestamp") or 0)
        # Not by seconds as a fraction: the link must lead to this very millisecond.
        moment = EPOCH + timedelta(milliseconds=instant)
        content = entry.get("content") or {}
        user = content.get("userDisplayName") or content.get("user") or ""
        entries = days.setdefault(f"{moment:%Y-%m-%d}", [])
        if not entries or (entries[-1]["instant"], entries[-1]["user"]) != (instant, user):
            # What somebody changed at one instant was one act.
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
                "sentence": sentence(content),
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
                "address": f"{address}?{urlencode([*kept, ('field', name)])}",
            }
            for name, count in counts.most_common()
        ],
        "left_out": len(wanted) - len(some),
        "whole": f"{address}?{urlencode(kept)}" if kept else address,
        "all_days": f"{address}?{urlencode([*kept, *([('field', field)] if field else []), ('all', '1')])}",
    }


def _past(issue: Mapping[str, Any], asked: str) -> tuple[dict[str, Any] | None, str]:
    """What the issue was at an instant, or what is wrong with the text of the instant."""
    if not asked.strip():
        return None, ""
    try:
        moment = datetime.fromisoformat(asked.strip())
        instant = to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        # With an offset it may lie before the year 1 or after the year 9999.
        shown = EPOCH + timedelta(milliseconds=instant)
    except (ValueError, OverflowError):
        return None, f"{asked!r} is not a valid date and time. Use a format such as 2026-01-31T12:00."
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
        "asked": f"{shown:%Y-%m-%dT%H:%M:%S}",
        "instant": instant,
        "existed": past.existed,
        "changed": sum(bool(one["differs"]) for one in fields),
        "fields": fields,
    }, ""


def _groups(tracker: str, links: Sequence[Link]) -> list[dict[str, Any]]:
    """What an issue is related to, by kind."""
    found = []
    for kind, name in KINDS.items():
        issues = [
            {
                "id": one.display_id or one.external_id,
                "name": one.name,
                "status": one.status,
                "address": f"/issues/{segment(tracker)}/{segment(one.external_id)}" if one.display_id else "",
            }
            for one in links
            if one.kind == kind
        ]
        if issues:
            found.append({"kind": kind, "label": name, "issues": issues})
    return found


def _joined(values: Sequence[Any] | None) -> str:
    return ", ".join(str(each) for each in values or () if each)


def _day(value: Any) -> str:
    return "" if value is None else f"{as_instant(value):%Y-%m-%d}"
