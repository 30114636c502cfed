"""From files and the environment to validated settings. The only reader of ``os.environ``.

Layers, each filling in what the ones before it leave empty:

1. options of the command line,
2. the file: a value stream's JSON with an ``integrations`` section, or only that section,
3. the environment: ``RALLY_URL``, ``RALLY_API_KEY``, ``RALLY_USERNAME``, ``RALLY_PASSWORD``, ``RALLY_WORKSPACE``,
   ``RALLY_PROJECTS``, ``ACCELERATE_URL``, ``ACCELERATE_ACCESS_KEY``,
4. the defaults of the model.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rally_accelerate.config.model import DEFAULT_TENANT, PLUGIN_ID, Integration, Properties
from rally_accelerate.config.property_suggestions import means_plugin, property_meant
from rally_accelerate.config.value_parsers import as_boolean, doubted_level
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.model.lenient_json import REPLACEMENT, JsonDecodeError, decode_json, decode_text
from rally_accelerate.model.suggestions import MOST_EXPLAINED, shortened
from rally_accelerate.model.text_folding import plain

ENVIRONMENT = {
    "RALLY_URL": "baseUrl",
    "RALLY_API_KEY": "apiKey",
    "RALLY_USERNAME": "username",
    "RALLY_PASSWORD": "password",
    "RALLY_WORKSPACE": "workspace",
    "RALLY_PROJECTS": "projects",
    "ACCELERATE_URL": "accelerateUrl",
    "ACCELERATE_ACCESS_KEY": "ucvAccessKey",
}

#: Credentials from the environment are of no use beside those of the file, and would win over them.
_CREDENTIALS = ("apiKey", "username", "password")

#: Keys that carry the logging level in the wild, lower case (accelerate-api-notes.md#logging-levels).
LEVEL_KEYS = {"logginglevel", "loglevel", "logging_level", "log_level"}

#: What the platform names differently from the page (accelerate-api-notes.md#property-values); the first one given
#: wins.
_PROPERTY_ALIASES = {"_useraccesskey": "ucvAccessKey", "apitoken": "apiKey", "url": "baseUrl"}

#: The names of the properties, by their lower case.
PROPERTY_NAMES = {name.lower(): name for name in (field.alias or key for key, field in Properties.model_fields.items())}

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: A secret in a download, or copied from a page.
MASKED = re.compile(r"^\s*(?:\*{3,}|[•●∙·⋅]{3,})\s*$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """One integration, and what is worth telling about how it was given."""

    integration: Integration
    notices: tuple[str, ...] = ()


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ConfigError: It cannot be read or is no JSON; the place of the fault is named.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no file {path}",
            hint="Give the JSON file of a value stream, or of its integrations section.",
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return decode_json(content, keep_numbers=True).data
    except JsonDecodeError as error:
        text = decode_text(content)
        if not text.strip():
            raise ConfigError(
                f"{path} is empty.", hint="Give the JSON file of a value stream, or of its integrations section."
            ) from None
        raise ConfigError(
            f"{path} is not valid JSON: line {error.line}, column {error.column}: {error.reason}",
            hint=_json_hint(text, error),
        ) from None


# A table of places reads better than one exit.
def _json_hint(text: str, error: JsonDecodeError) -> str:  # noqa: PLR0911
    """What to do about a fault in a JSON file, by what is at its place."""
    before, here = text[: error.position].rstrip(), text[error.position : error.position + 2]
    if here[:1] in {*"“”„‟«»‘’"}:  # noqa: RUF001 - these very characters
        return f'There is a typographic quote ({here[:1]}); JSON takes straight ones ("). Word processors replace them.'
    if here[:1] == "'":
        return "Use double quotes; JSON takes no single ones."
    if here in {"//", "/*"} or here[:1] == "#":
        return "Remove the comment; JSON has none."
    if here[:1] in {*"}]"} and before.endswith(","):
        return f"Remove the comma before {here[:1]}."
    if error.ended:
        return "The file ends too early: a quote, bracket or brace is not closed, or the file was cut off."
    if text.lstrip()[:1] not in {*'{["'}:
        return "The file is no JSON. Give the JSON file of a value stream, or of its integrations section."
    return "Braces or a comma are often missing around an integration; any JSON editor shows the place."


def integrations(
    document: Any,
    *,
    origin: str,
    name: str = "",
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Loaded]:
    """Every enabled Rally integration of a document, validated; all problems are told at once.

    Args:
        document: A value stream map, an object with ``integrations``, a list of integrations, or one of them.
        origin: Where the document came from, for messages.
        name: Only the integration of this name.
        overrides: Properties that win over the document's.
        environment: Variables to read; those of the process when None.

    Raises:
        ConfigError: With every problem, its path and its source.
    """
    variables = os.environ if environment is None else environment
    found = [(path, raw) for path, raw in _sections(document) if _is_ours(raw)]
    if name:
        found = [(path, raw) for path, raw in found if str(raw.get("name", "")).strip() == name]
    elif len(found) > 1:
        found = [(path, raw) for path, raw in found if not _is_reference(raw)]
    if not found:
        raise _nothing_found(document, origin=origin, name=name)
    # What is switched off need not be right.
    found = [(path, raw) for path, raw in found if not _is_disabled(raw)]
    problems: list[Problem] = []
    loaded: list[Loaded] = []
    for path, raw in found:
        try:
            loaded.append(_one(raw, path=path, origin=origin, overrides=overrides or {}, variables=variables))
        except ConfigError as error:
            problems.extend(error.problems)
    problems.extend(_doubles(loaded, origin))
    if problems:
        raise ConfigError(f"{origin}: the settings have {_count(problems)}", problems=problems)
    if loaded and not name and (strays := tuple(_misspelled(document))):
        loaded[0] = replace(loaded[0], notices=(*loaded[0].notices, *strays))
    return loaded


def _misspelled(document: Any) -> Iterator[str]:
    for path, raw in _sections(document):
        given = raw.get("type", PLUGIN_ID)
        if isinstance(given, str) and not _is_ours(raw) and means_plugin(given):
            yield f"{path}type is {shortened(given)!r}, which is left out; did you mean {PLUGIN_ID}?"


def disabled_names(document: Any) -> list[tuple[str, str]]:
    """Name and tenant of every Rally integration that a document switches off."""
    return [
        (str(raw.get("name", "")).strip(), str(raw.get("tenant_id") or raw.get("tenantId") or DEFAULT_TENANT))
        for _, raw in _sections(document)
        if _is_ours(raw) and _is_disabled(raw)
    ]


def sections(document: Any) -> list[Mapping[str, Any]]:
    """Every Rally integration of a document as it is written, switched on or off."""
    return [raw for _, raw in _sections(document) if _is_ours(raw)]


def from_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The properties that the environment gives."""
    variables = os.environ if environment is None else environment
    return {prop: variables[name] for name, prop in ENVIRONMENT.items() if variables.get(name, "").strip()}


def state_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where a user's programs keep their state (XDG base directories)."""
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_STATE_HOME") or ""
    folder = Path(base) if base else Path(variables.get("HOME") or str(Path.home())) / ".local" / "state"
    return folder / "rally-accelerate"


def validated(raw: Mapping[str, Any], *, path: str = "", origin: str = "") -> Integration:
    """One integration from plain values.

    Raises:
        ConfigError: With every problem.
    """
    try:
        return Integration.model_validate(raw)
    except ValidationError as error:
        problems = [_problem(detail, path=path, origin=origin) for detail in error.errors(include_input=False)]
        raise ConfigError(f"the settings have {_count(problems)}", problems=problems) from None


def from_platform(properties: Mapping[str, Any], envelope: Mapping[str, Any]) -> Loaded:
    """One integration from what the platform hands to its plug-in container.

    Args:
        properties: Values by the manifest's names, and what the platform adds
            (accelerate-api-notes.md#property-values).
        envelope: What belongs to the integration itself: name, ids, logging level.

    Raises:
        ConfigError: With every problem.
    """
    notices: list[str] = []
    known, level = _known_properties(properties, notices)
    candidate: dict[str, Any] = {**envelope, "properties": _layered(known)}
    candidate["loggingLevel"] = candidate.get("loggingLevel") or _chosen_level(level, notices)
    return Loaded(validated(candidate), tuple(notices))


def _one(
    raw: Mapping[str, Any],
    *,
    path: str,
    origin: str,
    overrides: Mapping[str, Any],
    variables: Mapping[str, str],
) -> Loaded:
    problems: list[Problem] = []
    notices: list[str] = []
    values, level = _split_level(raw)
    given = values.pop("properties", None)
    if not isinstance(given, Mapping):
        text = "is only a reference by name; give the whole integration" if given is None else "must be an object"
        problems.append(Problem(f"{path}properties", text, origin))
        given = {}
    properties, inner_level = _known_properties(given, notices)
    for key in list(properties):
        properties[key] = _expanded(properties[key], f"{path}properties.{key}", variables, problems, origin)
        if isinstance(properties[key], str) and MASKED.match(properties[key]):
            text = "is masked as in a download; enter the real value, or ${NAME} to take it from the environment"
            problems.append(Problem(f"{path}properties.{key}", text, origin))
    values = {key: _expanded(value, f"{path}{key}", variables, problems, origin) for key, value in values.items()}
    notices.extend(
        f"{where} holds characters that cannot be read ({REPLACEMENT}); enter it again and save the file as UTF-8"
        for where in _unreadable({**values, "properties": properties}, path.rstrip("."))
    )
    merged = _layered(overrides, properties, from_environment(variables))
    candidate = {**values, "properties": merged}
    if chosen := _chosen_level(level or inner_level, notices):
        candidate["loggingLevel"] = chosen
    try:
        integration = validated(candidate, path=path, origin=origin)
    except ConfigError as error:
        # A value that could not be expanded is told once, not again as an invalid value.
        told = {problem.path for problem in problems}
        problems.extend(problem for problem in error.problems if problem.path not in told)
    if problems:
        raise ConfigError(f"{origin}: the settings have {_count(problems)}", problems=problems)
    return Loaded(integration, tuple(notices))


def _unreadable(value: Any, path: str) -> Iterator[str]:
    """The paths of texts with characters that the reader of the file had to replace."""
    match value:
        case str() if REPLACEMENT in value:
            yield path
        case list():
            for number, inner in enumerate(value):
                yield from _unreadable(inner, f"{path}[{number}]")
        case dict():
            for name, inner in value.items():
                yield from _unreadable(inner, f"{path}.{name}" if path else str(name))


def _sections(document: Any) -> list[tuple[str, Mapping[str, Any]]]:
    match document:
        case {"integrations": list() as listed}:
            prefix = "integrations"
        case list() as listed:
            prefix = ""
        case {"properties": _} | {"type": _, "name": _}:
            return [("", document)]
        case _:
            return []
    return [(f"{prefix}[{number}].", raw) for number, raw in enumerate(listed) if isinstance(raw, Mapping)]


def _is_ours(raw: Mapping[str, Any]) -> bool:
    # A value stream names integrations of other tools as well; those without a type are references by name.
    return raw.get("type", PLUGIN_ID) in (PLUGIN_ID, f"@velocity/{PLUGIN_ID}")


def _is_disabled(raw: Mapping[str, Any]) -> bool:
    try:
        return as_boolean(raw.get("disabled", False)) is True
    except ValueError:
        # Told by the validation, with its path.
        return False


def _is_reference(raw: Mapping[str, Any]) -> bool:
    return "properties" not in raw


def _split_level(raw: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    values = {key: value for key, value in raw.items() if key.lower() not in LEVEL_KEYS}
    levels = [value for key, value in raw.items() if key.lower() in LEVEL_KEYS and value]
    # Some host versions write the tenant without the underscore (accelerate-api-notes.md#integrations-in-the-file).
    if "tenant_id" not in values and "tenantId" in values:
        values["tenant_id"] = values.pop("tenantId")
    if values.get("type") == f"@velocity/{PLUGIN_ID}":
        values["type"] = PLUGIN_ID
    return values, (levels[0] if levels else None)


def _chosen_level(level: Any, notices: list[str]) -> Any:
    # Not refused: Accelerate takes such an integration, too, and reads info (accelerate-api-notes.md#logging-levels).
    if doubt := doubted_level(level):
        notices.append(doubt)
    return level


def _known_properties(given: Mapping[str, Any], notices: list[str]) -> tuple[dict[str, Any], Any]:
    properties: dict[str, Any] = {}
    level: Any = None
    unknown: list[str] = []
    # The platform's own key comes first: vendor plug-ins take it before the hand-entered one.
    for key, value in sorted(given.items(), key=lambda pair: pair[0].lower() != "_useraccesskey"):
        lower = key.lower()
        if lower in LEVEL_KEYS:
            level = level or value
        elif name := name_of_property(key):
            if properties.get(name) in (None, ""):
                properties[name] = value
        else:
            unknown.append(key)
    for key in unknown[:MOST_EXPLAINED]:
        suggested = property_meant(key, PROPERTY_NAMES)
        meant = f"; did you mean {suggested}?" if suggested else ""
        notices.append(f"the property {shortened(key)} is not known and is ignored{meant}")
    if len(unknown) > MOST_EXPLAINED:
        notices.append(f"{len(unknown) - MOST_EXPLAINED:,} more properties are not known and are ignored")
    return properties, level


def normalised(given: Mapping[str, Any]) -> dict[str, Any]:
    """Properties under the names of the model, whatever spelling they came in; unknown ones as they are."""
    known, _ = _known_properties(given, [])
    spelt = {key for key in given if name_of_property(key) is None and key.lower() not in LEVEL_KEYS}
    return {**known, **{key: given[key] for key in spelt}}


def spelt(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """One element of an ``integrations`` section under the names of the model, whatever spelling it came in.

    Args:
        raw: As it is written; its ``properties`` are an object or missing.

    Returns:
        What belongs to the integration, its properties with unknown ones as they are, and what is worth telling.
    """
    notices: list[str] = []
    values, level = _split_level(raw)
    given = values.pop("properties", None) or {}
    _, inner_level = _known_properties(given, notices)
    if chosen := _chosen_level(level or inner_level, notices):
        values["loggingLevel"] = chosen
    return values, {name: value for name, value in normalised(given).items() if value not in (None, "", [])}, notices


def unexpanded(value: Any) -> str:
    """The first variable of the environment that a value asks for; empty for none."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    found = (_VARIABLE.search(text) for text in texts if isinstance(text, str))
    return next((match[1] for match in found if match), "")


def name_of_property(key: str) -> str | None:
    """The model's name of a property, whatever spelling it is given in; None when it is not known."""
    lower = plain(key).strip().lower()
    return PROPERTY_NAMES.get(lower) or _PROPERTY_ALIASES.get(lower)


def _expanded(value: Any, path: str, variables: Mapping[str, str], problems: list[Problem], origin: str) -> Any:
    match value:
        case str():
            for name in _VARIABLE.findall(value):
                if name not in variables:
                    text = f"asks for the environment variable {name}, which is not set"
                    problems.append(Problem(path, text, origin))
            # What is not set stays as it is written: its absence is told once, and not again as an empty value.
            return _VARIABLE.sub(lambda match: variables.get(match[1], match[0]), value)
        case list():
            return [
                _expanded(item, f"{path}[{number}]", variables, problems, origin) for number, item in enumerate(value)
            ]
        case dict():
            return {key: _expanded(item, f"{path}.{key}", variables, problems, origin) for key, item in value.items()}
        case _:
            return value


def _layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        has_credentials = any(merged.get(name) for name in _CREDENTIALS)
        for name, value in layer.items():
            # A form sends every field, also those that nobody filled in.
            if value in (None, "", []) or merged.get(name) not in (None, "", [], ()):
                continue
            if has_credentials and name in _CREDENTIALS:
                continue
            merged[name] = value
    return merged


def _problem(detail: ErrorDetails, *, path: str, origin: str) -> Problem:
    where = ".".join(str(part) for part in detail["loc"])
    text = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        text = "is missing"
    elif detail["type"] == "string_unicode":
        text = "holds a character that is none; was it copied whole?"
    elif detail["type"] in {"string_type", "int_parsing", "float_parsing", "literal_error"}:
        text = text[0].lower() + text[1:]
    return Problem(f"{path}{where}", text, origin)


def _doubles(loaded: Sequence[Loaded], origin: str) -> list[Problem]:
    names = [one.integration.name for one in loaded]
    doubled = sorted(name for name, times in Counter(names).items() if times > 1)
    return [Problem("integrations", f"the name {name!r} is used more than once", origin) for name in doubled]


def _nothing_found(document: Any, *, origin: str, name: str) -> ConfigError:
    sections = _sections(document)
    ours = [str(raw.get("name")) for _, raw in sections if _is_ours(raw)]
    if name and ours:
        return ConfigError(
            f"{origin}: there is no Rally integration named {name!r}",
            hint=f"It has: {', '.join(sorted(ours))}.",
        )
    types = sorted({str(raw.get("type", "without a type")) for _, raw in sections})
    if types:
        has = f"it has integrations of other types: {', '.join(types)}"
        if any(means_plugin(each) for each in types):
            has += f" (did you mean {PLUGIN_ID}?)"
    elif isinstance(document, Mapping) and "integrations" in document:
        # In the file of a value stream this means all of them, which are only known to the server.
        has = "its integrations section is empty"
    elif isinstance(document, Mapping) and "data" in document:
        has = "it is an answer of an API (data), not the JSON file of a value stream"
    else:
        has = "it has no integrations section"
    return ConfigError(
        f"{origin}: there is no Rally integration; {has}",
        hint=f'Give {{"integrations": [{{"type": "{PLUGIN_ID}", "name": "my-rally", "properties": {{…}}}}]}}.',
    )


def _count(problems: Sequence[Problem]) -> str:
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
