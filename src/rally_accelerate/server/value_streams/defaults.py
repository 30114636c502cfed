"""Initial documents of value streams: default phases, or phases built from the statuses of issues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.server.permissions import SYSTEM_ACTOR
from rally_accelerate.server.store.issue_search import IssueFilter
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.value_streams import StoredValueStream
from rally_accelerate.server.value_streams.importer import Importer

#: The phases of the vendor's default file (accelerate-api-notes.md#value-stream-files).
PHASES = ("Planning", "Development", "Deployment")

#: Where a status most probably belongs, by its lower case without blanks and dashes; Rally's own among them.
_PHASE_OF = {
    **dict.fromkeys(
        ("idea", "backlog", "new", "submitted", "queue", "open", "defined", "ready", "todo", "undefined", "reopened"),
        "Planning",
    ),
    **dict.fromkeys(
        ("inprogress", "doing", "developing", "inreview", "review", "completed", "fixed", "merged", "testing"),
        "Development",
    ),
    **dict.fromkeys(
        ("accepted", "released", "releasedtoproduction", "done", "closed", "dev", "qa", "prod", "deployed"),
        "Deployment",
    ),
}

#: Their order within a phase.
_ORDER = {name: number for number, name in enumerate(_PHASE_OF)}

#: Statuses of items that are gone (``removedStatus``): they belong nowhere.
_REMOVED = {"deleted", "movedout"}

#: Statuses of work that is done, whatever comes after: there the lead time ends.
_DONE = {"accepted", "done", "closed"}

#: The work-in-progress limits of the default file.
_LIMITS = {"In Progress": 10, "In Review": 5}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the last step of the wizard."""

    status: str
    #: Empty: not on the map.
    phase: str
    stage: str
    wip_limit: int | None = None


def suggest_rows(statuses: Sequence[str]) -> list[Row]:
    """Return a suggested phase and stage for each status, in workflow order."""
    rows = [Row(status, _phase(status), status) for status in statuses]
    places = {phase: number for number, phase in enumerate((*PHASES, ""))}
    return sorted(rows, key=lambda row: (places[row.phase], _ORDER.get(_plain(row.status), len(_ORDER)), row.status))


def build_document(
    rows: Sequence[Row], *, description: str, tenant_id: str, integrations: Sequence[str]
) -> dict[str, Any]:
    """Build the document from the rows of the wizard: one stage per name, with all its statuses.

    Args:
        rows: In the order of the stages.
        description: Of the value stream.
        tenant_id: Its tenant.
        integrations: Names of integrations that exist.
    """
    statuses: dict[tuple[str, str], list[str]] = {}
    limits: dict[tuple[str, str], int | None] = {}
    for row in rows:
        if row.phase and row.stage:
            key = (row.phase, row.stage)
            statuses.setdefault(key, []).append(row.status)
            limits[key] = limits.get(key) or row.wip_limit
    phases: list[dict[str, Any]] = []
    for name in dict.fromkeys(phase for phase, _ in statuses):
        stages = [
            _stage(stage, f"issue.status {_condition(values)}", limits[phase, stage])
            for (phase, stage), values in statuses.items()
            if phase == name
        ]
        phases.append({"name": name, "description": "", "stages": stages})
    done = next(
        (stage for (_, stage), values in statuses.items() if any(_plain(status) in _DONE for status in values)), ""
    )
    return _document(phases, description=description, tenant_id=tenant_id, integrations=integrations, done=done)


def default(*, description: str, tenant_id: str) -> dict[str, Any]:
    """Return the vendor's default file, with stages for the usual statuses of Rally and other trackers."""
    stages: Mapping[str, Sequence[tuple[str, Sequence[str]]]] = {
        "Planning": (
            ("Backlog", ("Idea", "Undefined", "Submitted", "Backlog", "New")),
            ("Queue", ("Defined", "Open", "Ready", "To Do")),
        ),
        "Development": (
            ("In Progress", ("In-Progress", "In Progress")),
            ("In Review", ("Completed", "In Review", "Fixed")),
            ("Merged", ("Accepted", "Merged")),
        ),
        "Deployment": (
            ("DEV", ("DEV",)),
            ("QA", ("QA",)),
            ("PROD", ("Released", "Done", "Closed")),
        ),
    }
    phases = [
        {
            "name": phase,
            "description": "",
            "stages": [
                _stage(name, f"issue.status {_condition(values)}", _LIMITS.get(name)) for name, values in inside
            ],
        }
        for phase, inside in stages.items()
    ]
    document = _document(phases, description=description, tenant_id=tenant_id, integrations=())
    return {
        **document,
        "leadTime": {"start": "Backlog", "end": "PROD"},
        "cycleTime": {"start": "In Progress", "end": "PROD"},
    }


def empty(*, description: str, tenant_id: str) -> dict[str, Any]:
    """Return a document without stages."""
    return _document([], description=description, tenant_id=tenant_id, integrations=())


def _document(
    phases: Sequence[Mapping[str, Any]],
    *,
    description: str,
    tenant_id: str,
    integrations: Sequence[str],
    done: str = "",
) -> dict[str, Any]:
    names = [stage["name"] for phase in phases for stage in phase["stages"]]
    development = [stage["name"] for phase in phases if phase["name"] == "Development" for stage in phase["stages"]]
    return {
        "tenantId": tenant_id,
        "description": description,
        "query": "",
        "phases": list(phases),
        "leadTime": {"start": names[0], "end": done or names[-1]} if names else None,
        "cycleTime": {"start": development[0], "end": done or names[-1]} if development else None,
        "mappings": None,
        "integrations": [{"name": name} for name in integrations],
        "linkRules": [],
        "metrics": [],
        "metricsBar": [],
    }


def _stage(name: str, query: str, wip_limit: int | None) -> dict[str, Any]:
    return {
        "name": name,
        "description": "",
        "query": query,
        "wipLimit": wip_limit,
        "gates": [],
        "targets": [],
    }


def _condition(values: Sequence[str]) -> str:
    """Return the end of a condition that compares a field with one or more values."""
    if len(values) == 1:
        return f"= {_quote_string(values[0])}"
    return f"IN ({', '.join(map(_quote_string, values))})"


def _quote_string(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _phase(status: str) -> str:
    plain = _plain(status)
    return "" if plain in _REMOVED else _PHASE_OF.get(plain, "Development")


def _plain(status: str) -> str:
    return "".join(character for character in status.casefold() if character.isalnum())


#: Limits that a team might have set.
LIMITS = {"In-Progress": 10, "Completed": 25}

#: Issues of a sample, or of a Rally that is looked at for the first time, may be a year old.
AGE_DAYS = 365


async def first_stream(stores: Stores, importing: Importer, integration_id: str) -> StoredValueStream | None:
    """Create a value stream if none exists; return None if one exists or there is nothing to draw it from.

    Args:
        stores: Where issues and value streams are.
        importing: Takes the drawing as it takes any file.
        integration_id: Whose issues it shows.
    """
    integration = await stores.integrations.by_id(integration_id)
    if integration is None or await stores.streams.exists():
        return None
    search = IssueFilter(tenant_id=integration.tenant_id, tracker_ids=(integration_id,))
    facets = await stores.search.count_facets(search, now=datetime.now(UTC), fields=("status",))
    rows = [
        replace(row, wip_limit=LIMITS.get(row.status))
        for row in suggest_rows([status for status, _ in facets["status"]])
    ]
    document = build_document(
        rows,
        description="The progress of your work by status.",
        tenant_id=integration.tenant_id,
        integrations=[integration.name],
    )
    if not document["phases"]:
        return None
    name = integration.name.replace("-", " ").capitalize()
    return await importing.create({**document, "ageThresholdDays": AGE_DAYS}, actor=SYSTEM_ACTOR, name=name)
