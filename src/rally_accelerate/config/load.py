"""Loading of settings from files and the environment. The only module that reads ``os.environ``.

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
from rally_accelerate.config.property_suggestions import resembles_plugin, suggest_property
from rally_accelerate.config.value_parsers import as_boolean, explain_unknown_level
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.model.lenient_json import REPLACEMENT, JsonDecodeError, decode_json, decode_text
from rally_accelerate.model.suggestions import MAX_EXPLAINED, shorten
from rally_accelerate.model.text_folding import normalize_typography

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

#: Credentials from the environment are ignored if the file has some; otherwise they would override them.
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
    """One integration with notices about its settings."""

    integration: Integration
    notices: tuple[str, ...] = ()


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

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
            hint=_get_json_hint(text, error),
        ) from None


# A table of places reads better than one exit.
def _get_json_hint(text: str, error: JsonDecodeError) -> str:  # noqa: PLR0911
    """Return what to do about an error in a JSON file, by the text at its position."""
    before, here = text[: error.position].rstrip(), text[error.position : error.position + 2]
    if here[:1] in {*"“”„‟«»‘’"}:  # noqa: RUF001 - these very characters
        return f'There is a typographic quote ({here[:1]}); JSON takes straight ones ("). Word processors replace them.'
    if here[:1] == "'":
        return "Use double quotes; JSON takes no single ones."
    if here in {"//", "/*"} or here[:1] == "#":
        return "Remove the comment; JSON has none."
    if here[:1] in {*"}]"} and before.endswith(","):
        return f"Remove the comma before {here[:1]}."
    if error.is_truncated:
        return "The file ends too early: a quote, bracket or brace is not closed, or the file was cut off."
    if text.lstrip()[:1] not in {*'{["'}:
        return "The file is no JSON. Give the JSON file of a value stream, or of its integrations section."
    return "Braces or a comma are often missing around an integration; any JSON editor shows the place."


def load_integrations(
    document: Any,
    *,
    origin: str,
    name: str = "",
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Loaded]:
    """Return all enabled Rally integrations of a document, validated; all problems are reported at once.

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
    sections = [(path, raw) for path, raw in _find_sections(document) if _is_ours(raw)]
    if name:
        sections = [(path, raw) for path, raw in sections if str(raw.get("name", "")).strip() == name]
    elif len(sections) > 1:
        sections = [(path, raw) for path, raw in sections if not _is_reference(raw)]
    if not sections:
        raise _build_empty_error(document, origin=origin, name=name)
    # What is switched off need not be right.
    sections = [(path, raw) for path, raw in sections if not _is_disabled(raw)]
    problems: list[Problem] = []
    loaded: list[Loaded] = []
    for path, raw in sections:
        try:
            loaded.append(_load_one(raw, path=path, origin=origin, overrides=overrides or {}, variables=variables))
        except ConfigError as error:
            problems.extend(error.problems)
    problems.extend(_find_duplicates(loaded, origin))
    if problems:
        raise ConfigError(f"{origin}: the settings have {_format_count(problems)}", problems=problems)
    if loaded and not name and (strays := tuple(_find_misspelled_types(document))):
        loaded[0] = replace(loaded[0], notices=(*loaded[0].notices, *strays))
    return loaded


def _find_misspelled_types(document: Any) -> Iterator[str]:
    for path, raw in _find_sections(document):
        type_name = raw.get("type", PLUGIN_ID)
        if isinstance(type_name, str) and not _is_ours(raw) and resembles_plugin(type_name):
            yield f"{path}type is {shorten(type_name)!r}, which is left out; did you mean {PLUGIN_ID}?"


def list_disabled(document: Any) -> list[tuple[str, str]]:
    """Return name and tenant of each disabled Rally integration of a document."""
    return [
        (str(raw.get("name", "")).strip(), str(raw.get("tenant_id") or raw.get("tenantId") or DEFAULT_TENANT))
        for _, raw in _find_sections(document)
        if _is_ours(raw) and _is_disabled(raw)
    ]


def list_sections(document: Any) -> list[Mapping[str, Any]]:
    """Return all Rally integrations of a document as written, enabled or not."""
    return [raw for _, raw in _find_sections(document) if _is_ours(raw)]


def read_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the properties that environment variables set."""
    variables = os.environ if environment is None else environment
    return {prop: variables[name] for name, prop in ENVIRONMENT.items() if variables.get(name, "").strip()}


def get_state_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder for the user's state (XDG base directories)."""
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_STATE_HOME") or ""
    folder = Path(base) if base else Path(variables.get("HOME") or str(Path.home())) / ".local" / "state"
    return folder / "rally-accelerate"


def validate_integration(raw: Mapping[str, Any], *, path: str = "", origin: str = "") -> Integration:
    """Return one integration from plain values.

    Raises:
        ConfigError: With every problem.
    """
    try:
        return Integration.model_validate(raw)
    except ValidationError as error:
        problems = [_build_problem(detail, path=path, origin=origin) for detail in error.errors(include_input=False)]
        raise ConfigError(f"the settings have {_format_count(problems)}", problems=problems) from None


def load_from_platform(properties: Mapping[str, Any], envelope: Mapping[str, Any]) -> Loaded:
    """Return one integration from the values that the platform passes to its plug-in container.

    Args:
        properties: Values by the manifest's names, and what the platform adds
            (accelerate-api-notes.md#property-values).
        envelope: What belongs to the integration itself: name, ids, logging level.

    Raises:
        ConfigError: With every problem.
    """
    notices: list[str] = []
    known, level = _split_properties(properties, notices)
    candidate: dict[str, Any] = {**envelope, "properties": _merge_layers(known)}
    candidate["loggingLevel"] = candidate.get("loggingLevel") or _check_level(level, notices)
    return Loaded(validate_integration(candidate), tuple(notices))


def _load_one(
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
    raw_properties = values.pop("properties", None)
    if not isinstance(raw_properties, Mapping):
        text = (
            "is only a reference by name; give the whole integration" if raw_properties is None else "must be an object"
        )
        problems.append(Problem(f"{path}properties", text, origin))
        raw_properties = {}
    properties, inner_level = _split_properties(raw_properties, notices)
    for key in list(properties):
        properties[key] = _expand(properties[key], f"{path}properties.{key}", variables, problems, origin)
        if isinstance(properties[key], str) and MASKED.match(properties[key]):
            text = "is masked as in a download; enter the real value, or ${NAME} to take it from the environment"
            problems.append(Problem(f"{path}properties.{key}", text, origin))
    values = {key: _expand(value, f"{path}{key}", variables, problems, origin) for key, value in values.items()}
    notices.extend(
        f"{where} holds characters that cannot be read ({REPLACEMENT}); enter it again and save the file as UTF-8"
        for where in _find_unreadable({**values, "properties": properties}, path.rstrip("."))
    )
    merged = _merge_layers(overrides, properties, read_environment(variables))
    candidate = {**values, "properties": merged}
    if chosen := _check_level(level or inner_level, notices):
        candidate["loggingLevel"] = chosen
    try:
        integration = validate_integration(candidate, path=path, origin=origin)
    except ConfigError as error:
        # A value that could not be expanded is reported once, not again as an invalid value.
        reported = {problem.path for problem in problems}
        problems.extend(problem for problem in error.problems if problem.path not in reported)
    if problems:
        raise ConfigError(f"{origin}: the settings have {_format_count(problems)}", problems=problems)
    return Loaded(integration, tuple(notices))


def _find_unreadable(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of texts with characters that the file reader had to replace."""
    match value:
        case str() if REPLACEMENT in value:
            yield path
        case list():
            for number, inner in enumerate(value):
                yield from _find_unreadable(inner, f"{path}[{number}]")
        case dict():
            for name, inner in value.items():
                yield from _find_unreadable(inner, f"{path}.{name}" if path else str(name))


def _find_sections(document: Any) -> list[tuple[str, Mapping[str, Any]]]:
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
        # The validation reports it with its path.
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


def _check_level(level: Any, notices: list[str]) -> Any:
    # Not refused: Accelerate takes such an integration, too, and reads info (accelerate-api-notes.md#logging-levels).
    if doubt := explain_unknown_level(level):
        notices.append(doubt)
    return level


def _split_properties(raw: Mapping[str, Any], notices: list[str]) -> tuple[dict[str, Any], Any]:
    properties: dict[str, Any] = {}
    level: Any = None
    unknown: list[str] = []
    # The platform's own key comes first: vendor plug-ins take it before the hand-entered one.
    for key, value in sorted(raw.items(), key=lambda pair: pair[0].lower() != "_useraccesskey"):
        lower = key.lower()
        if lower in LEVEL_KEYS:
            level = level or value
        elif name := get_property_name(key):
            if properties.get(name) in (None, ""):
                properties[name] = value
        else:
            unknown.append(key)
    for key in unknown[:MAX_EXPLAINED]:
        suggested = suggest_property(key, PROPERTY_NAMES)
        meant = f"; did you mean {suggested}?" if suggested else ""
        notices.append(f"the property {shorten(key)} is not known and is ignored{meant}")
    if len(unknown) > MAX_EXPLAINED:
        notices.append(f"{len(unknown) - MAX_EXPLAINED:,} more properties are not known and are ignored")
    return properties, level


def normalize_properties(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties under the names of the model; unknown ones are unchanged."""
    known, _ = _split_properties(raw, [])
    unknown = {key for key in raw if get_property_name(key) is None and key.lower() not in LEVEL_KEYS}
    return {**known, **{key: raw[key] for key in unknown}}


def normalize_integration(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Normalize the names in one element of an ``integrations`` section.

    Args:
        raw: The element as written; its ``properties`` are an object or missing.

    Returns:
        The values of the integration itself, its properties (unknown ones are unchanged), and notices.
    """
    notices: list[str] = []
    values, level = _split_level(raw)
    raw_properties = values.pop("properties", None) or {}
    _, inner_level = _split_properties(raw_properties, notices)
    if chosen := _check_level(level or inner_level, notices):
        values["loggingLevel"] = chosen
    return (
        values,
        {name: value for name, value in normalize_properties(raw_properties).items() if value not in (None, "", [])},
        notices,
    )


def find_variable(value: Any) -> str:
    """Return the first environment variable that a value refers to, or an empty text."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    matches = (_VARIABLE.search(text) for text in texts if isinstance(text, str))
    return next((match[1] for match in matches if match), "")


def get_property_name(key: str) -> str | None:
    """Return the model's name of a property in any spelling; None if it is not known."""
    lower = normalize_typography(key).strip().lower()
    return PROPERTY_NAMES.get(lower) or _PROPERTY_ALIASES.get(lower)


def _expand(value: Any, path: str, variables: Mapping[str, str], problems: list[Problem], origin: str) -> Any:
    match value:
        case str():
            for name in _VARIABLE.findall(value):
                if name not in variables:
                    text = f"uses the environment variable {name}, which is not set"
                    problems.append(Problem(path, text, origin))
            # Unset variables stay as written, so that they are not also reported as empty values.
            return _VARIABLE.sub(lambda match: variables.get(match[1], match[0]), value)
        case list():
            return [
                _expand(item, f"{path}[{number}]", variables, problems, origin) for number, item in enumerate(value)
            ]
        case dict():
            return {key: _expand(item, f"{path}.{key}", variables, problems, origin) for key, item in value.items()}
        case _:
            return value


def _merge_layers(*layers: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        has_credentials = any(merged.get(name) for name in _CREDENTIALS)
        for name, value in layer.items():
            # A form sends all fields, including empty ones.
            if value in (None, "", []) or merged.get(name) not in (None, "", [], ()):
                continue
            if has_credentials and name in _CREDENTIALS:
                continue
            merged[name] = value
    return merged


def _build_problem(detail: ErrorDetails, *, path: str, origin: str) -> Problem:
    where = ".".join(str(part) for part in detail["loc"])
    text = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        text = "is missing"
    elif detail["type"] == "string_unicode":
        text = "contains an invalid character; copy it again"
    elif detail["type"] in {"string_type", "int_parsing", "float_parsing", "literal_error"}:
        text = text[0].lower() + text[1:]
    return Problem(f"{path}{where}", text, origin)


def _find_duplicates(loaded: Sequence[Loaded], origin: str) -> list[Problem]:
    names = [one.integration.name for one in loaded]
    doubled = sorted(name for name, times in Counter(names).items() if times > 1)
    return [Problem("integrations", f"the name {name!r} is used more than once", origin) for name in doubled]


def _build_empty_error(document: Any, *, origin: str, name: str) -> ConfigError:
    sections = _find_sections(document)
    ours = [str(raw.get("name")) for _, raw in sections if _is_ours(raw)]
    if name and ours:
        return ConfigError(
            f"{origin}: no Rally integration named {name!r}",
            hint=f"It has: {', '.join(sorted(ours))}.",
        )
    types = sorted({str(raw.get("type", "without a type")) for _, raw in sections})
    if types:
        has = f"it has integrations of other types: {', '.join(types)}"
        if any(resembles_plugin(type_name) for type_name in types):
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


def _format_count(problems: Sequence[Problem]) -> str:
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
