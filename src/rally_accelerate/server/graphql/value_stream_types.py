"""A value stream in the vendor's shape: what its file may leave out is filled in where clients must not get null."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ariadne import ObjectType, UnionType

from rally_accelerate.dql.ast import EVERYTHING
from rally_accelerate.dql.evaluator import matches
from rally_accelerate.server.graphql.issue_resolvers import to_issue_data
from rally_accelerate.server.graphql.upload_resolver import make_issue_id
from rally_accelerate.server.issue_history import list_changes, normalize_field_name, to_texts
from rally_accelerate.server.store.issue_search import IssueRow, Sort
from rally_accelerate.server.store.issue_writer import find_status_start
from rally_accelerate.server.store.issues import StoredIssue
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.value_streams import StoredValueStream
from rally_accelerate.server.value_streams.board import BoardCache, MapFilter, build_search, trackers_of
from rally_accelerate.server.value_streams.document import phases_of
from rally_accelerate.server.value_streams.layout import NO_ALERTS, Layout, alerts_of, parse_layout
from rally_accelerate.server.value_streams.stage_history import find_stage

#: Fields whose whole numbers are instants (accelerate-api-notes.md#issue-history).
INSTANT_FIELDS = frozenset({"lastupdate", "created", "resolved", "duedate", "releasedate", "starttime", "endtime"})

#: What tells the members of ``ObjectArray`` apart; a step has neither.
MEMBER_TYPES = (("Comment", "comment"), ("Review", "body"))


def bind() -> list[ObjectType | UnionType]:
    """Return the types that box the values of a history."""
    content = ObjectType("HistoryContent")
    for side in ("from", "to"):
        content.set_field(side, _make_side_resolver(side))
    value = UnionType("HistoryValue", lambda box, *_: box["__typename"])
    entry = UnionType("ObjectArray", lambda item, *_: _get_member_type(item))
    return [content, value, entry]


def list_events(issue: StoredIssue) -> list[dict[str, Any]]:
    """Return the stored changes of an issue, oldest first."""
    return [
        {
            # The words for the kinds of events are not public; these are assumed.
            "event": "update",
            "type": "issue",
            "source": issue.source,
            "timestamp": change.at,
            "content": {**change.content, "fieldtype": change.content.get("type")},
            "pullRequestIds": [],
            "buildIds": [],
            "deployIds": [],
        }
        for change in list_changes(issue.content)
    ]


def box_value(content: Mapping[str, Any], side: str) -> dict[str, Any] | None:
    """Return one side of a change in the box for its kind; None where it is empty.

    Args:
        content: The ``content`` of a history entry.
        side: ``from`` or ``to``.
    """
    value = content.get(side)
    match value:
        case None:
            return None
        case bool():
            return _make_box("StringBox", str(value).lower())
        case int() | float() if normalize_field_name(str(content.get("field") or "")).casefold() in INSTANT_FIELDS:
            return _make_box("DateBox", value)
        case list() if value and all(isinstance(item, Mapping) and _has_member_key(item) for item in value):
            return _make_box("ObjectArrayBox", [{**item, "id": str(item.get("id") or "")} for item in value])
        case list():
            return _make_box("StringArrayBox", list(to_texts(value)))
        case _:
            return _make_box("StringBox", next(iter(to_texts(value)), ""))


def _make_side_resolver(side: str) -> Any:
    return lambda parent, _: box_value(parent, side)


def _make_box(kind: str, value: Any) -> dict[str, Any]:
    return {"__typename": kind, "value": value}


def _has_member_key(entry: Mapping[str, Any]) -> bool:
    return any(key in entry for _, key in MEMBER_TYPES) or {"status", "message"} <= set(entry)


def _get_member_type(entry: Mapping[str, Any]) -> str:
    return next((name for name, key in MEMBER_TYPES if key in entry), "Step")


#: Pages are walked to skip; so many items at once.
PAGE_SIZE = 500

#: So many of the latest issues are looked at for what timeboxes hold besides their names.
TIMEBOX_SAMPLE_SIZE = 200


class Particles:
    """Finds particles."""

    def __init__(self, stores: Stores, boards: BoardCache) -> None:
        self._stores = stores
        self._boards = boards

    async def list_by_stage(
        self, stream: StoredValueStream, stage_name: str, *, skip: int, limit: int, only: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        """Return the dots of a stage, the newest in it first; none where there is no such stage.

        Args:
            stream: The value stream.
            stage_name: The name of the stage.
            skip: How many to pass over.
            limit: How many at most.
            only: Only those of these ids.
        """
        layout = parse_layout(stream.document)
        stage = next((one for one in layout.stages if one.name == stage_name.strip()), None)
        if stage is None:
            return []
        if only is not None:
            keys = [
                (tracker, key)
                for tracker, _, key in (issue_id.rpartition(":") for issue_id in only[skip : skip + limit])
            ]
            here = [one for one in await self._stores.issues.get_many(keys) if _belongs_to(stream, one)]
            return [one for one in (_to_particle(item, layout) for item in here) if one["_stage"] == stage.name]
        now, after = datetime.now(UTC), ""
        rows: list[IssueRow] = []
        while len(rows) < skip + limit:
            size = min(PAGE_SIZE, skip + limit - len(rows))
            result = await self._boards.page(stream, stage, MapFilter(), now=now, after=after, limit=size)
            rows += result.rows
            after = result.after
            if not after:
                break
        return await self._load_particles(rows[skip : skip + limit], layout)

    async def get(
        self, particle_id: str, stream: StoredValueStream, *, stage_name: str | None = None, in_query: bool = False
    ) -> dict[str, Any] | None:
        """Return one dot of a value stream by its id, or None.

        Args:
            particle_id: Its id.
            stream: The value stream.
            stage_name: Only if it matches this stage's query; None for any or none.
            in_query: Only if it matches the query of the value stream.
        """
        result = await self.get_issue(particle_id, stream)
        if result is None:
            return None
        layout, now = parse_layout(stream.document), datetime.now(UTC)
        if in_query and not matches(layout.query, result.content, now=now):
            return None
        if stage_name is not None:
            stage = next((one for one in layout.stages if one.name == stage_name.strip()), None)
            if stage is None or stage.query is None or not matches(stage.query, result.content, now=now):
                return None
        return _to_particle(result, layout)

    async def get_issue(self, particle_id: str, stream: StoredValueStream) -> StoredIssue | None:
        """Return the issue of a dot, or None where the value stream has no such dot."""
        tracker, _, key = particle_id.rpartition(":")
        issue = await self._stores.issues.get(tracker, key)
        return issue if issue is not None and _belongs_to(stream, issue) else None

    async def find_positions(self, tenant_id: str, issue_id: str) -> list[dict[str, Any]]:
        """Return the stage of each value stream in which the issues of an id are.

        Args:
            tenant_id: The tenant.
            issue_id: Any id of an issue.
        """
        issues = await self._stores.issues.all_by_any_id(tenant_id, issue_id)
        if not issues:
            return []
        now = datetime.now(UTC)
        positions = []
        for stream in await self._stores.streams.all(tenant_id):
            layout = parse_layout(stream.document)
            for one in issues:
                stage = find_stage(layout, one.content, now=now) if _belongs_to(stream, one) else None
                if stage is not None:
                    positions.append({
                        "workflowId": stream.id,
                        "workflowName": stream.name,
                        "stageName": stage.name,
                        "particleId": make_issue_id(one.tracker_id, one.content["_id"]),
                    })  # fmt: skip
        return positions

    async def list_summaries(self, stream: StoredValueStream, stage_name: str, *, limit: int) -> list[dict[str, Any]]:
        """Return the newest dots of a stage as the map itself lists them."""
        result = await self.list_by_stage(stream, stage_name, skip=0, limit=limit, only=None)
        return [_to_summary(item) for item in result]

    async def find_matching_ids(
        self, stream: StoredValueStream, board_filter: MapFilter, *, with_stream_query: bool, limit: int
    ) -> list[str]:
        """Return the ids of the dots that a query matches, the latest update first.

        Args:
            stream: The value stream.
            board_filter: The query and the text.
            with_stream_query: Whether the value stream's own query must be matched too.
            limit: How many at most.
        """
        layout = parse_layout(stream.document)
        scope = layout if with_stream_query else layout.of_everything
        filters = build_search(stream, scope, board_filter, also=EVERYTHING)
        result = await self._stores.search.page(filters, now=datetime.now(UTC), sort=Sort.UPDATED, limit=limit)
        return [make_issue_id(row.tracker_id, row.external_id) for row in result.rows]

    async def load_timeboxes(self, stream: StoredValueStream, field: str) -> dict[str, Mapping[str, Any]]:
        """Return the ``sprints`` or ``releases`` of the latest issues of a value stream, whole, by their names."""
        layout = parse_layout(stream.document)
        filters = build_search(stream, layout, MapFilter(), also=EVERYTHING)
        page = await self._stores.search.page(
            filters, now=datetime.now(UTC), sort=Sort.UPDATED, limit=TIMEBOX_SAMPLE_SIZE
        )
        keys = [(row.tracker_id, row.external_id) for row in page.rows if getattr(row, field)]
        result: dict[str, Mapping[str, Any]] = {}
        for one in await self._stores.issues.get_many(keys):
            for timebox in one.content.get(field) or ():
                if timebox.get("name"):
                    result.setdefault(timebox["name"], timebox)
        return result

    async def _load_particles(self, rows: Sequence[IssueRow], layout: Layout) -> list[dict[str, Any]]:
        issues = await self._stores.issues.get_many([(row.tracker_id, row.external_id) for row in rows])
        return [_to_particle(one, layout) for one in issues]


def get_entry_id(entry: Mapping[str, Any]) -> str:
    """Return the id of an integration's entry; empty where it has none."""
    return str(entry.get("_id") or "")


def _belongs_to(stream: StoredValueStream, issue: StoredIssue) -> bool:
    trackers = trackers_of(stream.document)
    return issue.tenant_id == stream.tenant_id and (not trackers or issue.tracker_id in trackers)


def _to_particle(stored: StoredIssue, layout: Layout) -> dict[str, Any]:
    now, issue = datetime.now(UTC), stored.content
    since = find_status_start(issue, issue.get("history") or ())
    stage = find_stage(layout, issue, now=now)
    alerts = alerts_of(layout, stage, owner=issue.get("owner"), since=since, now=now) if stage else NO_ALERTS
    return {
        "_stage": stage.name if stage else "",
        "_since": since,
        "particleId": make_issue_id(stored.tracker_id, issue["_id"]),
        "issue": to_issue_data(stored)["issue"],
        **{name: [] for name in ("commit", "pullRequest", "build", "version", "deploy", "metricsData")},
        "metricsDataCount": 0,
        "lastVSMUpdate": stored.uploaded,
        "lastVSMEvent": next(reversed(list_events(stored)), None),
        "alerts": {
            "failedBuildIds": [],
            "failedDeployIds": [],
            "isUnassigned": alerts.is_unassigned,
            "isPastAgeThreshold": alerts.is_past_age_threshold,
        },
    }


def _to_summary(particle: Mapping[str, Any]) -> dict[str, Any]:
    issue = particle["issue"]
    releases, sprints = ([item["name"] for item in issue[name] if item.get("name")] for name in ("releases", "sprints"))
    return {
        "particleId": particle["particleId"],
        "type": "issue",
        "normalizedType": issue["normalizedType"],
        "colorAttribute": {
            "release": next(iter(releases), None),
            "releases": releases,
            "sprint": next(iter(sprints), None),
            "sprints": sprints,
            "type": issue["type"],
            "priority": issue.get("priority"),
        },
        "alert": any(particle["alerts"][name] for name in ("isUnassigned", "isPastAgeThreshold")),
        "owner": issue.get("owner"),
        "name": issue["name"],
        "id": issue["id"],
        "labels": [label for label in issue["labels"] if label],
        "features": [],
        # Since when it has its status [assumed to be what a stage counts a dot's age from].
        "startTime": particle["_since"],
    }


#: The words of the enums that a metric of the bar must have one of, and the one for a file that says nothing.
METRIC_CHOICES: Mapping[str, tuple[str, ...]] = {
    "relativeTime": ("ALL", "HOUR24", "DAY7", "DAY30", "DAY90", "MONTH6", "YEAR1"),
    "aggregationInterval": ("DAY", "MINUTE", "HOUR", "WEEK", "MONTH", "QUARTER", "YEAR"),
    "displayType": ("bar", "frequency", "percent", "count", "interval"),
    "calculationType": ("mostRecent", "average", "total", "trendMostRecent"),
}


def to_workflow(stream: StoredValueStream, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the vendor's ``Workflow``.

    Args:
        stream: The value stream.
        document: One of its versions, as it is downloaded.
    """
    integrations = document.get("integrations") or []
    ids = [get_entry_id(entry) for entry in integrations]
    spans = {
        name: _get_first_span(document.get(name))
        for name in ("leadTime", "cycleTime", "leadTimeChange", "devCycleTime")
    }
    return {
        "__typename": "Workflow",
        "_stream": stream,
        "_id": stream.id,
        "pipelineId": stream.pipeline_id,
        "tenantId": stream.tenant_id,
        "name": stream.name,
        "description": document.get("description"),
        "query": document.get("query"),
        "recalculating": False,
        "phases": [_to_phase(phase, stream) for _, phase in phases_of(document)],
        "environmentMap": [],
        "integrations": integrations,
        "integrationId": next(filter(None, ids), None),
        "integrationsCount": len(integrations),
        "created": stream.created,
        "lastUpdate": stream.last_update,
        "mappings": document.get("mappings"),
        **spans,
        "linkRules": [_to_link_rule(rule) for rule in document.get("linkRules") or ()],
        "metrics": [_to_metric(metric) for metric in document.get("metrics") or ()],
        "metricsBar": list_metrics_bar(document),
        "team": None if not stream.team else {name: str(stream.team.get(name) or "") for name in ("id", "name")},
        "features": [],
        "particleTypes": ["issue"],
    }


def list_metrics_bar(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the metrics of the bar: ``MetricFilter``, as there are no values here."""
    result = []
    for entry in document.get("metricsBar") or ():
        if isinstance(entry, Mapping):
            chosen = {
                name: entry[name] if entry.get(name) in words else words[0] for name, words in METRIC_CHOICES.items()
            }
            texts = {name: str(entry.get(name) or "") for name in ("name", "metricDefinitionId")}
            result.append({"__typename": "MetricFilter", **chosen, **texts})
    return result


def _to_phase(phase: Mapping[str, Any], stream: StoredValueStream) -> dict[str, Any]:
    return {**phase, "stages": [_to_stage(stage, stream) for stage in phase.get("stages") or ()]}


def _to_stage(stage: Mapping[str, Any], stream: StoredValueStream) -> dict[str, Any]:
    return {
        **stage,
        "_stream": stream,
        "gates": [_fill_texts(gate, "name", "query") for gate in stage.get("gates") or ()],
        "targets": [_to_text(target) for target in stage.get("targets") or ()],
    }


def _get_first_span(spans: Any) -> Any:
    """Return the first span where the file has several; its figures come with the metrics, which are not here."""
    return (spans[0] if spans else None) if isinstance(spans, list) else spans


def _to_link_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    ends = (f"{end}{what}" for end in ("from", "to") for what in ("IntegrationName", "IntegrationId", "Field"))
    return _fill_texts(rule, "_id", "pattern", *ends)


def _to_metric(metric: Any) -> dict[str, Any]:
    result = _fill_texts(metric, "name")
    properties = result.get("properties")
    return {**result, "properties": properties if isinstance(properties, Mapping) else None}


def _fill_texts(value: Any, *names: str) -> dict[str, Any]:
    """Return an object in which these are texts, empty where the file has none."""
    texts: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    return {**texts, **{name: str(texts.get(name) or "") for name in names}}


def _to_text(value: Any) -> str | None:
    return value if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False)


def select_timeboxes(
    timeboxes: list[dict[str, Any]], field: str, *, only: bool, count: int | None
) -> list[dict[str, Any]]:
    """Return the sprints or releases of a value stream that a client asks for.

    Args:
        timeboxes: All of them, commonest first.
        field: ``sprints`` or ``releases``.
        only: Whether the only criterion is given: active and most recent sprints, or most recent releases.
        count: How many at most of the most recent ones; None for one with the criterion, else for all.
    """
    if not only:
        return timeboxes if count is None else timeboxes[: max(count, 0)]
    date = "endTime" if field == "sprints" else "releaseDate"
    active = [timebox for timebox in timeboxes if timebox.get("active")]
    past = sorted(
        (timebox for timebox in timeboxes if not timebox.get("active")),
        key=lambda item: item.get(date) or 0,
        reverse=True,
    )
    return [*active, *past[: 1 if count is None else max(count, 0)]]
