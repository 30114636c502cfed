"""A value stream in the vendor's shape: what its file may leave out is filled in where clients must not get null."""

import json
from collections.abc import Mapping
from typing import Any

from rally_accelerate.host.graphql.particles import id_of
from rally_accelerate.host.store.streams import StoredStream
from rally_accelerate.host.streams.document import phases_of

#: The words of the enums that a metric of the bar must have one of, and the one for a file that says nothing.
METRIC_WORDS: Mapping[str, tuple[str, ...]] = {
    "relativeTime": ("ALL", "HOUR24", "DAY7", "DAY30", "DAY90", "MONTH6", "YEAR1"),
    "aggregationInterval": ("DAY", "MINUTE", "HOUR", "WEEK", "MONTH", "QUARTER", "YEAR"),
    "displayType": ("bar", "frequency", "percent", "count", "interval"),
    "calculationType": ("mostRecent", "average", "total", "trendMostRecent"),
}


def workflow(stream: StoredStream, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the vendor's ``Workflow``.

    Args:
        stream: The value stream.
        document: One of its versions, as it is downloaded.
    """
    integrations = document.get("integrations") or []
    ids = [id_of(entry) for entry in integrations]
    spans = {name: _span(document.get(name)) for name in ("leadTime", "cycleTime", "leadTimeChange", "devCycleTime")}
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
        "phases": [_phase(phase, stream) for _, phase in phases_of(document)],
        "environmentMap": [],
        "integrations": integrations,
        "integrationId": next(filter(None, ids), None),
        "integrationsCount": len(integrations),
        "created": stream.created,
        "lastUpdate": stream.last_update,
        "mappings": document.get("mappings"),
        **spans,
        "linkRules": [_rule(rule) for rule in document.get("linkRules") or ()],
        "metrics": [_metric(metric) for metric in document.get("metrics") or ()],
        "metricsBar": metrics_bar(document),
        "team": None if not stream.team else {name: str(stream.team.get(name) or "") for name in ("id", "name")},
        "features": [],
        "particleTypes": ["issue"],
    }


def metrics_bar(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the metrics of the bar: ``MetricFilter``, as there are no values here."""
    found = []
    for entry in document.get("metricsBar") or ():
        if isinstance(entry, Mapping):
            chosen = {
                name: entry[name] if entry.get(name) in words else words[0] for name, words in METRIC_WORDS.items()
            }
            texts = {name: str(entry.get(name) or "") for name in ("name", "metricDefinitionId")}
            found.append({"__typename": "MetricFilter", **chosen, **texts})
    return found


def _phase(phase: Mapping[str, Any], stream: StoredStream) -> dict[str, Any]:
    return {**phase, "stages": [_stage(stage, stream) for stage in phase.get("stages") or ()]}


def _stage(stage: Mapping[str, Any], stream: StoredStream) -> dict[str, Any]:
    return {
        **stage,
        "_stream": stream,
        "gates": [_texts(gate, "name", "query") for gate in stage.get("gates") or ()],
        "targets": [_text(target) for target in stage.get("targets") or ()],
    }


def _span(given: Any) -> Any:
    """Return the first span where the file has several; its figures come with the metrics, which are not here."""
    return (given[0] if given else None) if isinstance(given, list) else given


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    ends = (f"{end}{what}" for end in ("from", "to") for what in ("IntegrationName", "IntegrationId", "Field"))
    return _texts(rule, "_id", "pattern", *ends)


def _metric(metric: Any) -> dict[str, Any]:
    found = _texts(metric, "name")
    properties = found.get("properties")
    return {**found, "properties": properties if isinstance(properties, Mapping) else None}


def _texts(given: Any, *names: str) -> dict[str, Any]:
    """Return an object in which these are texts, empty where the file has none."""
    held: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    return {**held, **{name: str(held.get(name) or "") for name in names}}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False)


def chosen_timeboxes(
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
    active = [each for each in timeboxes if each.get("active")]
    past = sorted(
        (each for each in timeboxes if not each.get("active")), key=lambda each: each.get(date) or 0, reverse=True
    )
    return [*active, *past[: 1 if count is None else max(count, 0)]]
