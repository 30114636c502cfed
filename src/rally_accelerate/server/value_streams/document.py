"""Schema and validation of value stream documents; all problems are reported at once with their paths."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rally_accelerate.config.load import LEVEL_KEYS
from rally_accelerate.dql.parser import parse
from rally_accelerate.errors import ConfigError, Problem, QueryError
from rally_accelerate.model.suggestions import MAX_EXPLAINED, find_similar
from rally_accelerate.model.text_folding import normalize_spaces
from rally_accelerate.server.value_streams.document_text import limit_problems, member

Check = Callable[[Any], Iterator[str]]

#: The ranks that priorities are mapped to, lowest first (accelerate-api-notes.md#value-stream-files).
RANKS = ("Lowest", "Low", "Medium", "High", "Highest")

#: Windows of time, and their days; None is all time (accelerate-api-notes.md#value-stream-files).
WINDOWS: Mapping[str, int | None] = {
    "HOUR24": 1,
    "DAY7": 7,
    "DAY30": 30,
    "DAY90": 90,
    "MONTH6": 182,
    "YEAR1": 365,
    "ALL": None,
}

#: A hundred years.
MOST_DAYS = 36_500

#: A pattern of more characters is no link rule that anybody wrote.
LONGEST_PATTERN = 1_000


def accept_anything(_: Any) -> Iterator[str]:
    """Accept any value."""
    yield from ()


def check_text(value: Any) -> Iterator[str]:
    """Check for a string or null."""
    if value is not None and not isinstance(value, str):
        yield f"must be a string, not {kind_of(value)}"


def check_name(value: Any) -> Iterator[str]:
    """Check for a string that is not empty."""
    if not isinstance(value, str):
        yield f"must be a string, not {kind_of(value)}"
    elif not value.strip():
        yield "must not be empty"


def check_query(value: Any) -> Iterator[str]:
    """Check for a valid query or null."""
    if value is None:
        return
    if not isinstance(value, str):
        yield f"must be a query string, not {kind_of(value)}"
        return
    try:
        parse(value)
    except QueryError as error:
        yield describe_query_error(error)


def describe_query_error(error: QueryError) -> str:
    """Return the message of a query error with its position."""
    expected = f"; expected: {', '.join(error.expected)}" if error.expected else ""
    return f"{error.message} (line {error.line}, column {error.column}){expected}"


def check_limit(value: Any) -> Iterator[str]:
    """Check for a whole number of at least 1, or null."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        yield f"must be a whole number of at least 1, or null for no limit, not {format_value(value)}"


def check_days(value: Any) -> Iterator[str]:
    """Check for a number of days, or null."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_DAYS:
        yield f"must be a number of days above 0 up to {MOST_DAYS:,}, or null for never, not {format_value(value)}"


def check_number(value: Any) -> Iterator[str]:
    """Check for a number or null."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        yield f"must be a number, not {kind_of(value)}"


def check_flag(value: Any) -> Iterator[str]:
    """Check for a boolean or null."""
    if value is not None and not isinstance(value, bool):
        yield f"must be a boolean, not {kind_of(value)}"


def check_list(value: Any) -> Iterator[str]:
    """Check for a list or null."""
    if value is not None and not isinstance(value, list):
        yield f"must be a list, not {kind_of(value)}"


def check_object(value: Any) -> Iterator[str]:
    """Check for an object or null."""
    if value is not None and not isinstance(value, dict):
        yield f"must be an object, not {kind_of(value)}"


def check_span(value: Any) -> Iterator[str]:
    """Check for an object, a list of objects (newer servers), or null."""
    if isinstance(value, list):
        if not all(isinstance(entry, dict) for entry in value):
            yield "must be a list of objects {start, end}"
    elif value is not None and not isinstance(value, dict):
        yield f"must be an object {{start, end}}, a list of them, or null, not {kind_of(value)}"


def check_window(value: Any) -> Iterator[str]:
    """Check for one of the time windows."""
    if value is not None and value not in WINDOWS:
        yield f"must be one of {', '.join(WINDOWS)}, not {format_value(value)}"


def check_pattern(value: Any) -> Iterator[str]:
    """Check for a regular expression or null."""
    if value is None:
        return
    if not isinstance(value, str):
        yield f"must be a regular expression string, not {kind_of(value)}"
    elif len(value) > LONGEST_PATTERN:
        yield f"is longer than {LONGEST_PATTERN} characters"
    else:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            place = f" (column {error.pos + 1})" if isinstance(error, re.error) and error.pos is not None else ""
            yield f"is not a valid regular expression: {error}{place}"


def check_priorities(value: Any) -> Iterator[str]:
    """Check for lists of priorities by rank, or null."""
    if value is None:
        return
    if not isinstance(value, dict):
        yield f"must be an object with a list of priorities for each rank, not {kind_of(value)}"
        return
    for rank, names in value.items():
        if rank not in RANKS:
            yield f"has the unknown rank {rank!r}; use {', '.join(RANKS)}"
        if not isinstance(names, list) or not all(isinstance(priority, str) for priority in names):
            yield f"must have a list of strings for {rank!r}"


def kind_of(value: Any) -> str:
    """Return the JSON type of a value with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def format_value(value: Any) -> str:
    """Return a value as messages show it."""
    return repr(value)[:60] if isinstance(value, str | int | float) else kind_of(value)


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


_GENERATED = Key(accept_anything, "Generated by the server; present in downloads.")

#: The tables by the path of their object.
TABLES: Mapping[str, Mapping[str, Key]] = {
    "": {
        "_id": _GENERATED,
        "pipelineId": _GENERATED,
        "tenantId": Key(check_text, "The tenant ID. HCL Accelerate requires it; this server fills it in."),
        "name": Key(
            check_text, "The name of a new value stream if you don't enter another one. Later imports don't rename it."
        ),
        "description": Key(check_text, "A description of the value stream."),
        "query": Key(check_query, "A query that all items of the value stream must match. Empty matches all items."),
        "phases": Key(check_list, "The phases, from left to right.", inside="phases[]"),
        "leadTime": Key(check_span, "The first and last stage of the lead time.", inside="leadTime"),
        "cycleTime": Key(check_span, "The first and last stage of the cycle time.", inside="leadTime"),
        "leadTimeChange": Key(
            check_span,
            "The first and last stage of the lead time for changes. Version 5 and later.",
            inside="leadTime",
        ),
        "devCycleTime": Key(
            check_span,
            "The first and last stage of the development cycle time. Version 5 and later.",
            inside="leadTime",
        ),
        "mappings": Key(check_object, "How field values are interpreted.", inside="mappings"),
        "integrations": Key(
            check_list,
            "The integrations that provide the items. An empty list means every integration of the tenant.",
            inside="integrations[]",
        ),
        "linkRules": Key(
            check_list,
            "Rules that link items of two integrations. Preserved, but not displayed.",
            inside="linkRules[]",
        ),
        "metrics": Key(check_list, "Metrics to compute. Preserved, but not displayed.", inside="metrics[]"),
        "metricsBar": Key(
            check_list, "Metrics to show above the map. Preserved, but not displayed.", inside="metricsBar[]"
        ),
        "ageThresholdDays": Key(
            check_days,
            f"Number of days without a status change after which an item gets an alert. The default is "
            f"{AGE_THRESHOLD_DAYS}; null turns the alert off. Specific to this server.",
        ),
    },
    "phases[]": {
        "name": Key(check_name, "The name of the phase, unique in the value stream.", required=True),
        "description": Key(check_text, "A description of the phase."),
        "stages": Key(check_list, "The stages, from left to right.", inside="phases[].stages[]"),
    },
    "phases[].stages[]": {
        "name": Key(check_name, "The name of the stage, unique in the value stream.", required=True),
        "description": Key(check_text, "A description of the stage."),
        "query": Key(
            check_query,
            "A query that selects the items of the stage. With null or an empty query, the stage has no items.",
        ),
        "wipLimit": Key(check_limit, "The work-in-progress limit; null for no limit."),
        "gates": Key(
            check_list,
            "Conditions for moving to the next stage. Preserved, but not displayed.",
            inside="phases[].stages[].gates[]",
        ),
        "targets": Key(check_list, "Targets of the stage. Preserved, but not displayed."),
        "showAlerts": Key(check_flag, "Whether the items of the stage show alerts. Version 5 and later."),
        "showSpeed": Key(check_flag, "Whether to show the speed of the stage. Version 5 and later."),
    },
    "phases[].stages[].gates[]": {
        "name": Key(check_name, "The name of the gate.", required=True),
        "description": Key(check_text, "A description of the gate."),
        "query": Key(check_query, "The condition."),
    },
    "leadTime": {
        "start": Key(check_text, "The name of the first stage."),
        "end": Key(check_text, "The name of the last stage."),
    },
    "mappings": {
        "priority": Key(check_priorities, "Lists of priority values for Lowest, Low, Medium, High and Highest."),
    },
    "integrations[]": {
        "name": Key(
            check_name,
            "The name of the integration. An entry with only a name refers to an existing integration.",
            required=True,
        ),
        "type": Key(check_text, "The ID of the plug-in, such as `ucv-ext-rally`."),
        "tenant_id": Key(check_text, "The tenant ID. The default is the tenant of the value stream."),
        "tenantId": Key(check_text, "Another spelling of `tenant_id`, used by some versions."),
        "properties": Key(check_object, "The settings. `****` keeps the stored secret."),
        "image": Key(
            check_text, "The version of the plug-in. Preserved, but ignored: this server uses its built-in version."
        ),
        "loggingLevel": Key(check_text, "The log level."),
        "disabled": Key(accept_anything, "Whether the integration is disabled."),
        "_id": _GENERATED,
        "status": _GENERATED,
        "startTime": _GENERATED,
        "latest": _GENERATED,
    },
    "linkRules[]": {
        "fromIntegrationName": Key(check_name, "The integration with the items to link from.", required=True),
        "toIntegrationName": Key(check_name, "The integration with the items to link to.", required=True),
        "fromField": Key(check_text, "The field that contains the ID of the other item, such as `pr.name`."),
        "toField": Key(check_text, "The field to compare it with, such as `issue.id`."),
        "pattern": Key(check_pattern, "A regular expression that extracts the ID."),
        "_id": _GENERATED,
        "fromIntegrationId": _GENERATED,
        "toIntegrationId": _GENERATED,
    },
    "metrics[]": {
        "name": Key(check_text, "The name of the metric."),
        "repeatEvery": Key(check_text, "How often to compute the metric, such as `24 hours`."),
        "repeatAt": Key(check_text, "When to compute the metric."),
        "metricDefinitionId": Key(check_text, "The ID of the metric."),
        "properties": Key(check_object, "The settings of the metric.", inside="metrics[].properties"),
    },
    "metrics[].properties": {
        "query": Key(check_query, "A query that selects the items to count."),
        "field": Key(check_text, "The field to count."),
    },
    "metricsBar[]": {
        "relativeTime": Key(check_window, "The time window: HOUR24, DAY7, DAY30, DAY90, MONTH6, YEAR1 or ALL."),
        "metricDefinitionId": Key(check_text, "The ID of the metric."),
        "name": Key(check_text, "The title."),
        "displayType": Key(check_text, "How to display the metric: bar or percent."),
        "calculationType": Key(check_text, "How to calculate the metric: mostRecent or trendMostRecent."),
        "index": Key(check_number, "The position."),
        "filters": Key(accept_anything, "Filters for the items to count."),
    },
}


#: Keys that name stages.
SPANS = ("leadTime", "cycleTime", "leadTimeChange", "devCycleTime")

#: Keys that hold what has names, or are such names.
SHAPES = frozenset(
    {"", "phases", "stages", "name", "integrations", "linkRules", "fromIntegrationName", "toIntegrationName"}
    | {*SPANS, "start", "end"}
)

#: Keys whose values are names.
NAMES = frozenset({"name", "start", "end", "fromIntegrationName", "toIntegrationName"})

#: More than these are no value stream that fits a page.
MOST_STAGES = 200
#: Each query and each pattern takes milliseconds to check.
MOST_EXPRESSIONS = 1_000
#: So many keys that are only kept are compared with the known ones.
MOST_UNKNOWN = 1_000


@dataclass(frozen=True, slots=True)
class Examination:
    """What an examination of a document found."""

    problems: tuple[Problem, ...]
    #: What is right but may not be meant, such as a key that is only kept.
    notices: tuple[str, ...]


def validate(document: Any) -> Examination:
    """Return the findings on a valid document.

    Raises:
        ConfigError: With every problem and its path.
    """
    examination = examine(document)
    if examination.problems:
        raise invalid_document(examination.problems)
    return examination


def invalid_document(problems: Sequence[Problem]) -> ConfigError:
    """Return the error for an invalid document, with all its problems."""
    count = len(problems)
    text = "1 problem" if count == 1 else f"{count} problems"
    return ConfigError(f"the value stream has {text}", problems=limit_problems(problems))


def examine(document: Any) -> Examination:
    """Everything that is wrong or strange in a document, without looking beyond it."""
    if not isinstance(document, dict):
        text = f"must be an object with phases and integrations, not {kind_of(document)}"
        return Examination((Problem("", text),), ())
    if isinstance(document.get("data"), dict) and not TABLES[""].keys() & document.keys():
        text = "is an API response; provide the object inside data, with phases and integrations"
        return Examination((Problem("data", text),), ())
    if sum(1 for _ in islice(_expressions(document, ""), MOST_EXPRESSIONS + 1)) > MOST_EXPRESSIONS:
        text = f"has more than {MOST_EXPRESSIONS:,} queries and patterns; the limit is {MOST_STAGES} stages"
        return Examination((Problem("", text),), ())
    problems = [*_validate_keys(document, "", "")]
    # What follows reads names: it must be able to rely on shapes, whatever is wrong with a query or a limit.
    if not any(map(_disturbs, problems)):
        problems += [*_check_duplicates(document), *_check_spans(document), *_check_link_rules(document)]
    return Examination(tuple(problems), tuple(_unknown_key_hints(document)))


def plain_names(document: Any) -> Any:
    """Return a document whose names have plain spaces and no invisible characters, as copied from a web page."""
    return _plain_names(document, "") if isinstance(document, dict) else document


def _plain_names(document: Mapping[str, Any], table: str) -> dict[str, Any]:
    normalized: dict[str, Any] = {}
    for name, value in document.items():
        key = TABLES[table].get(name)
        inside = key.inside if key is not None else ""
        match value:
            case str() if name in NAMES:
                normalized[name] = normalize_spaces(value)
            case dict() if inside:
                normalized[name] = _plain_names(value, inside)
            case list() if inside:
                normalized[name] = [
                    _plain_names(entry, inside) if isinstance(entry, dict) else entry for entry in value
                ]
            case _:
                normalized[name] = value
    return normalized


def can_check_integrations(problems: Sequence[Problem]) -> bool:
    """Return whether the integrations of a document can be checked despite its problems."""
    return not any(problem.path in {"", "tenantId"} or problem.path.startswith("integrations") for problem in problems)


def _disturbs(problem: Problem) -> bool:
    last = problem.path.rpartition(".")[2]
    return last.endswith("]") or last in SHAPES


def phases_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each phase with its path."""
    for number, phase in enumerate(document.get("phases") or ()):
        yield f"phases[{number}]", phase


def stages_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each stage with its path, from left to right."""
    for path, phase in phases_of(document):
        for number, stage in enumerate(phase.get("stages") or ()):
            yield f"{path}.stages[{number}]", stage


def integrations_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each integration with its path."""
    for number, integration in enumerate(document.get("integrations") or ()):
        yield f"integrations[{number}]", integration


def suggest_names(name: str, known: list[str]) -> str:
    """Return the end of a sentence that suggests similar names, or lists the available ones."""
    known = list(dict.fromkeys(known))
    folded = {candidate.casefold(): candidate for candidate in known}
    close = find_similar(name.casefold(), folded)
    if close:
        return f"; did you mean {' or '.join(repr(folded[similar]) for similar in close)}?"
    if not known:
        return "; none exists yet"
    return f"; available: {', '.join(map(repr, known[:10]))}{' and more' if len(known) > 10 else ''}"  # noqa: PLR2004 - a sentence, not a list


def _validate_keys(document: Mapping[str, Any], path: str, table: str) -> Iterator[Problem]:
    keys = TABLES[table]
    for name, key in keys.items():
        if name not in document:
            if key.required:
                yield Problem(member(path, name), "is missing")
            continue
        value, where = document[name], member(path, name)
        wrong = list(key.check(value))
        yield from (Problem(where, text) for text in wrong)
        if wrong or not key.inside:
            continue
        if isinstance(value, list):
            for number, inner in enumerate(value):
                if isinstance(inner, dict):
                    yield from _validate_keys(inner, f"{where}[{number}]", key.inside)
                else:
                    yield Problem(f"{where}[{number}]", f"must be an object, not {kind_of(inner)}")
        elif isinstance(value, dict):
            yield from _validate_keys(value, where, key.inside)


def _expressions(document: Mapping[str, Any], table: str) -> Iterator[str]:
    """Yield every query and every pattern."""
    for name, key in TABLES[table].items():
        match document.get(name):
            case str(text) if key.check in {check_query, check_pattern}:
                yield text
            case dict(inner) if key.inside:
                yield from _expressions(inner, key.inside)
            case list(each) if key.inside:
                for inner in each:
                    if isinstance(inner, dict):
                        yield from _expressions(inner, key.inside)


def _check_duplicates(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _find_duplicates("phase", phases_of(document))
    yield from _find_duplicates("stage", stages_of(document))
    yield from _find_duplicates("integration", integrations_of(document))
    if sum(1 for _ in stages_of(document)) > MOST_STAGES:
        yield Problem("phases", f"contain more than {MOST_STAGES} stages")


def _find_duplicates(what: str, named: Iterator[tuple[str, Mapping[str, Any]]]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for path, entry in named:
        name = entry["name"].strip().casefold()
        if name in first:
            yield Problem(f"{path}.name", f"duplicate {what} {entry['name']!r}; first defined at {first[name]}")
        else:
            first[name] = path


def _check_spans(document: Mapping[str, Any]) -> Iterator[Problem]:
    names = [stage["name"] for _, stage in stages_of(document)]
    known = {name.strip() for name in names}
    explained = 0
    for key in SPANS:
        spans = document.get(key)
        for number, span_of_stages in enumerate(spans if isinstance(spans, list) else [spans] if spans else []):
            path = f"{key}[{number}]" if isinstance(spans, list) else key
            for end in ("start", "end"):
                name = span_of_stages.get(end)
                if name and name.strip() not in known:
                    explained += 1
                    close = suggest_names(name, names) if explained <= MAX_EXPLAINED else ""
                    yield Problem(f"{path}.{end}", f"there is no stage {name!r}{close}")


def _check_link_rules(document: Mapping[str, Any]) -> Iterator[Problem]:
    names = [integration["name"].strip() for _, integration in integrations_of(document)]
    known = set(names)
    explained = 0
    for number, rule in enumerate(document.get("linkRules") or ()):
        for end in ("fromIntegrationName", "toIntegrationName"):
            if (name := rule[end].strip()) not in known:
                explained += 1
                close = suggest_names(name, names) if explained <= MAX_EXPLAINED else ""
                text = f"the value stream has no integration {name!r}{close}"
                yield Problem(f"linkRules[{number}].{end}", text)


def _unknown_key_hints(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a hint for each unknown key that is similar to a known one."""
    for where, name, table in islice(_unknown(document, "", ""), MOST_UNKNOWN):
        by_fold = {key.casefold(): key for key in TABLES[table]}
        meant = find_similar(name.casefold(), by_fold, n=1, cutoff=0.8)
        # Every spelling of the logging level is understood.
        if meant and not (table == "integrations[]" and name.casefold() in LEVEL_KEYS):
            yield f"{where} is an unknown key; did you mean {by_fold[meant[0]]}?"


def _unknown(document: Mapping[str, Any], path: str, table: str) -> Iterator[tuple[str, str, str]]:
    """Yield the path, the name and the table of each key that is only kept."""
    keys = TABLES[table]
    for name, value in document.items():
        where = member(path, name)
        key = keys.get(name)
        if key is None:
            yield where, name, table
        elif key.inside and isinstance(value, list):
            for number, inner in enumerate(value):
                if isinstance(inner, dict):
                    yield from _unknown(inner, f"{where}[{number}]", key.inside)
        elif key.inside and isinstance(value, dict):
            yield from _unknown(value, where, key.inside)


#: Keys whose entries are counted, and what one of them is called.
LISTS = {"metrics": "metric", "metricsBar": "entry of the metrics bar", "linkRules": "link rule"}

PLURALS = {"entry of the metrics bar": "entries of the metrics bar"}


def describe_unsupported(document: Mapping[str, Any]) -> str:
    """Return the parts that the map does not display with their counts; empty if there are none.

    Args:
        document: Of a value stream; it is right.
    """
    return ", ".join(
        f"{count} {word if count == 1 else PLURALS.get(word, word + 's')}"
        for word, count in _count_unsupported(document)
    )


def _count_unsupported(document: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for key, word in LISTS.items():
        if some := document.get(key):
            yield word, len(some)
    stages = [stage for _, stage in stages_of(document)]
    for key, word in (("gates", "gate"), ("targets", "target")):
        if count := sum(len(stage.get(key) or ()) for stage in stages):
            yield word, count
