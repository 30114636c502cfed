"""What an existing integration's settings mean here: pure sentences about a downloaded file.

A download has its secrets masked (accelerate-api-notes.md#integrations-in-the-file), and may come from any version of
the plug-in that this one takes the place of; nothing in it is an error for that.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rally_accelerate.config.load import LEVEL_KEYS, MASKED, PROPERTY_NAMES, name_of_property
from rally_accelerate.config.model import Properties
from rally_accelerate.config.property_suggestions import property_meant
from rally_accelerate.config.value_parsers import as_list

#: What the plug-in that we take the place of knows (accelerate-api-notes.md#ucv-ext-rally); the rest is ours.
_OF_THE_PAGE = (
    "apiKey",
    "projects",
    "password",
    "baseUrl",
    "username",
    "workspace",
    "proxyServer",
    "proxyUsername",
    "proxyPassword",
    "ucvAccessKey",
)


class Fate(StrEnum):
    """What becomes of a setting."""

    KEPT = "kept"
    DEPRECATED = "deprecated"
    MASKED = "masked"
    IGNORED = "ignored"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Inherited:
    """One setting of an existing integration."""

    #: Where it is, for example ``properties.projects``.
    path: str
    fate: Fate
    #: What it means here, or what to do.
    text: str


def inherited(raw: Mapping[str, Any], *, environment: Collection[str] = ()) -> list[Inherited]:
    """Return what becomes of each setting of an integration, in the file's order, and what is missing at the end.

    Args:
        raw: One element of a value stream's ``integrations``.
        environment: Names of the properties that the environment gives.
    """
    given = raw.get("properties")
    properties: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    found = [*_envelope(raw)]
    for key, value in properties.items():
        found.append(_property(key, value))
    found.extend(_missing(raw, properties, environment))
    return found


def _envelope(raw: Mapping[str, Any]) -> Iterator[Inherited]:
    for key, value in raw.items():
        lower = key.lower()
        if key == "properties":
            continue
        if lower in LEVEL_KEYS:
            if key == "loggingLevel":
                yield Inherited(key, Fate.KEPT, f"{value}")
            else:
                yield Inherited(key, Fate.DEPRECATED, f"{value}: read as loggingLevel; write it so")
        elif key == "image":
            yield Inherited(
                key, Fate.IGNORED, f"{value} is the plug-in to be replaced: take it out, or name the new image"
            )
        elif key in {"name", "type", "_id"}:
            yield Inherited(key, Fate.KEPT, f"{value}")
        elif lower in {"tenant_id", "tenantid"}:
            same = key == "tenant_id"
            text = f"{value}" if same else f"{value}: read as tenant_id, as older versions write it"
            yield Inherited(key, Fate.KEPT if same else Fate.DEPRECATED, text)
        elif key == "disabled":
            yield Inherited(key, Fate.KEPT, "a disabled integration is not run" if value else "no")
        else:
            yield Inherited(key, Fate.IGNORED, "the platform's own; it makes it anew")


def _property(key: str, value: Any) -> Inherited:  # noqa: PLR0911 - a table of cases, first match wins
    path = f"properties.{key}"
    name = name_of_property(key)
    if key.lower() in LEVEL_KEYS:
        return Inherited(path, Fate.DEPRECATED, "read as the logging level; write loggingLevel beside properties")
    if name is None:
        suggested = property_meant(key, PROPERTY_NAMES)
        meant = f"; did you mean {suggested}?" if suggested else ""
        return Inherited(path, Fate.IGNORED, f"it is not known here{meant}")
    if name == "ucvAccessKey":
        text = "servers since 2.4.0 make a key for each integration by themselves; needed only where none is made"
        return Inherited(path, Fate.DEPRECATED, text)
    if isinstance(value, str) and MASKED.match(value):
        text = "masked in the download; the platform keeps the value while the integration itself is kept"
        return Inherited(path, Fate.MASKED, text)
    if value in (None, "", []):
        return Inherited(path, Fate.KEPT, _meaning_of_nothing(name))
    if name == "projects":
        return Inherited(path, Fate.KEPT, _projects(value))
    if key != name:
        return Inherited(path, Fate.DEPRECATED, f"read as {name}; write it so")
    return Inherited(path, Fate.KEPT, _label(name))


def _meaning_of_nothing(name: str) -> str:
    if name == "projects":
        return "empty: every project of the workspace that the user sees"
    if name == "workspace":
        return "empty: the user's default workspace"
    return "empty"


def _projects(value: Any) -> str:
    try:
        names = as_list(value)
    except ValueError:
        return "cannot be read as a list"
    if not isinstance(names, tuple):
        return "cannot be read as a list"
    patterns = [name for name in names if re.search(r"[*?]", name)]
    text = f"{len(names)} projects, without the projects below them (includeChildProjects)"
    return f"{text}; * and ? stand for any characters: {', '.join(patterns)}" if patterns else text


def _label(name: str) -> str:
    field = next(field for key, field in Properties.model_fields.items() if (field.alias or key) == name)
    extra = field.json_schema_extra
    label = str(extra["label"]) if isinstance(extra, dict) else name
    return label if name in _OF_THE_PAGE else f"{label} (a property of this plug-in's own)"


def _missing(
    raw: Mapping[str, Any], properties: Mapping[str, Any], environment: Collection[str]
) -> Iterator[Inherited]:
    names = {name_of_property(key) for key, value in properties.items() if value not in (None, "")}
    if "properties" not in raw:
        yield Inherited(
            "properties", Fate.MISSING, "the file refers to the integration by its name only; download it whole"
        )
        return
    has_login = "apiKey" in names or {"username", "password"} <= names
    if not has_login and "apiKey" in environment:
        yield Inherited("properties.apiKey", Fate.KEPT, "not in the file; taken from RALLY_API_KEY in the environment")
    elif not has_login and {"username", "password"} <= {*names, *environment}:
        text = "not in the file; RALLY_USERNAME and RALLY_PASSWORD in the environment are used"
        yield Inherited("properties.username", Fate.KEPT, text)
    elif not has_login:
        yield Inherited("properties.apiKey", Fate.MISSING, "no credentials for Rally; an API key is best")
    elif "apiKey" in names and "password" in names:
        yield Inherited("properties.password", Fate.IGNORED, "the API key is used where both are given")
    elif "apiKey" not in names:
        text = "user and password are used; subscriptions with single sign-on take API keys only"
        yield Inherited("properties.apiKey", Fate.MISSING, text)
    # What is masked may be empty: a download masks every secret.
    shown = {name_of_property(key) for key, value in properties.items() if value and not MASKED.match(str(value))}
    if {"proxyUsername", "proxyPassword"} & shown and "proxyServer" not in names:
        yield Inherited("properties.proxyServer", Fate.MISSING, "credentials of a proxy are given, but no proxy")
