"""Every key of a value stream's file that is known here: what it means and what it may hold.

Keys and shapes are facts on the vendor's files (accelerate-api-notes.md#value-stream-files,
accelerate-api-notes.md#integrations-in-the-file, accelerate-api-notes.md#link-patterns); a key of ours says so. The
reference page is made from these tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rally_accelerate.host.streams import checks
from rally_accelerate.host.streams.checks import Check

#: After how many days without a change of status an item is too old, unless the file says otherwise [assumed].
AGE_THRESHOLD_DAYS = 30


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an object."""

    check: Check
    meaning: str
    required: bool = False
    #: Which table describes the objects inside: those of a list, or the one that stands there.
    inside: str = ""


_MADE = Key(checks.anything, "Made by the host, in downloads.")

#: The tables by the path of their object.
TABLES: Mapping[str, Mapping[str, Key]] = {
    "": {
        "_id": _MADE,
        "pipelineId": _MADE,
        "tenantId": Key(checks.text, "The tenant. HCL Accelerate requires it; here it is filled in."),
        "name": Key(checks.text, "The name of a new value stream that is given no other one. Later it is only kept."),
        "description": Key(checks.text, "What the value stream is about."),
        "query": Key(checks.query, "A query that every item must match, whatever its stage asks for; empty for all."),
        "phases": Key(checks.listed, "The phases, from left to right.", inside="phases[]"),
        "leadTime": Key(checks.span, "From which stage to which the lead time counts.", inside="leadTime"),
        "cycleTime": Key(checks.span, "The same for the cycle time.", inside="leadTime"),
        "leadTimeChange": Key(checks.span, "The same for changes; servers from version 5.", inside="leadTime"),
        "devCycleTime": Key(checks.span, "The same for development; servers from version 5.", inside="leadTime"),
        "mappings": Key(checks.mapping, "What values mean.", inside="mappings"),
        "integrations": Key(
            checks.listed,
            "Where items come from; an empty list means every integration of the tenant.",
            inside="integrations[]",
        ),
        "linkRules": Key(
            checks.listed,
            "Which items of two integrations belong together; kept, not drawn here.",
            inside="linkRules[]",
        ),
        "metrics": Key(checks.listed, "Metrics to compute; kept, not drawn here.", inside="metrics[]"),
        "metricsBar": Key(checks.listed, "Metrics to show above the map; kept, not drawn here.", inside="metricsBar[]"),
        "ageThresholdDays": Key(
            checks.days,
            f"After how many days without a change of status an item is too old: {AGE_THRESHOLD_DAYS} if it is "
            "missing, null for never. A key of this host.",
        ),
    },
    "phases[]": {
        "name": Key(checks.name, "The phase's name, once in the value stream.", required=True),
        "description": Key(checks.text, "What happens in it."),
        "stages": Key(checks.listed, "Its stages, from left to right.", inside="phases[].stages[]"),
    },
    "phases[].stages[]": {
        "name": Key(checks.name, "The stage's name, once in the value stream.", required=True),
        "description": Key(checks.text, "What happens in it."),
        "query": Key(checks.query, "Which items are in it; null or empty holds none."),
        "wipLimit": Key(checks.limit, "How many items should be in it at most; null for no limit."),
        "gates": Key(
            checks.listed,
            "What must be true before an item goes on; kept, not drawn here.",
            inside="phases[].stages[].gates[]",
        ),
        "targets": Key(checks.listed, "Targets of the stage; kept, not drawn here."),
        "showAlerts": Key(checks.flag, "false hides the rings of its items; servers from version 5."),
        "showSpeed": Key(checks.flag, "Whether its speed is shown; servers from version 5."),
    },
    "phases[].stages[].gates[]": {
        "name": Key(checks.name, "The gate's name.", required=True),
        "description": Key(checks.text, "What it is for."),
        "query": Key(checks.query, "What must be true."),
    },
    "leadTime": {
        "start": Key(checks.text, "The name of the stage where it begins."),
        "end": Key(checks.text, "The name of the stage where it ends."),
    },
    "mappings": {
        "priority": Key(checks.priorities, "Lists of priorities for Lowest, Low, Medium, High and Highest."),
    },
    "integrations[]": {
        "name": Key(checks.name, "The integration's name; alone it refers to one that exists.", required=True),
        "type": Key(checks.text, "The id of its plug-in, such as `ucv-ext-rally`."),
        "tenant_id": Key(checks.text, "Its tenant; that of the value stream if it is missing."),
        "tenantId": Key(checks.text, "The same, as some versions write it."),
        "properties": Key(checks.mapping, "Its settings; `****` keeps the secret that is stored."),
        "image": Key(checks.text, "The version of the plug-in to use; kept, as this host has one."),
        "loggingLevel": Key(checks.text, "How much its log tells."),
        "disabled": Key(checks.anything, "true keeps it from running."),
        "_id": _MADE,
        "status": _MADE,
        "startTime": _MADE,
        "latest": _MADE,
    },
    "linkRules[]": {
        "fromIntegrationName": Key(checks.name, "The integration whose items point to others.", required=True),
        "toIntegrationName": Key(checks.name, "The integration that they point to.", required=True),
        "fromField": Key(checks.text, "The field that holds the other's id, such as `pr.name`."),
        "toField": Key(checks.text, "The field that must equal it, such as `issue.id`."),
        "pattern": Key(checks.pattern, "A regular expression that finds the id."),
        "_id": _MADE,
        "fromIntegrationId": _MADE,
        "toIntegrationId": _MADE,
    },
    "metrics[]": {
        "name": Key(checks.text, "The metric's name."),
        "repeatEvery": Key(checks.text, "How often it is computed, such as `24 hours`."),
        "repeatAt": Key(checks.text, "When."),
        "metricDefinitionId": Key(checks.text, "Which metric it is."),
        "properties": Key(checks.mapping, "Its settings.", inside="metrics[].properties"),
    },
    "metrics[].properties": {
        "query": Key(checks.query, "Which items count."),
        "field": Key(checks.text, "Which field is counted."),
    },
    "metricsBar[]": {
        "relativeTime": Key(checks.window, "The window of time: HOUR24, DAY7, DAY30, DAY90, MONTH6, YEAR1 or ALL."),
        "metricDefinitionId": Key(checks.text, "Which metric it is."),
        "name": Key(checks.text, "Its title."),
        "displayType": Key(checks.text, "bar or percent."),
        "calculationType": Key(checks.text, "mostRecent or trendMostRecent."),
        "index": Key(checks.number, "Its place."),
        "filters": Key(checks.anything, "Which items count."),
    },
}
