"""Explanations of an existing integration's settings, from a downloaded file. No I/O.

Secrets in a download are masked (accelerate-api-notes.md#integrations-in-the-file), and the file can come from any
version of the plug-in that this one replaces; neither is an error.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rally_accelerate.config.load import LEVEL_KEYS, MASKED, PROPERTY_NAMES, get_property_name
from rally_accelerate.config.model import Properties
from rally_accelerate.config.property_suggestions import suggest_property
from rally_accelerate.config.value_parsers import as_list

#: The properties of the plug-in that this one replaces (accelerate-api-notes.md#ucv-ext-rally); the others are new.
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


class SettingStatus(StrEnum):
    """The handling of a setting after migration."""

    UNCHANGED = "kept"
    DEPRECATED = "deprecated"
    MASKED = "masked"
    IGNORED = "ignored"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class LegacySetting:
    """One setting of an existing integration."""

    #: Where it is, for example ``properties.projects``.
    path: str
    status: SettingStatus
    #: What it means here, or what to do.
    text: str


def explain_settings(raw: Mapping[str, Any], *, environment: Collection[str] = ()) -> list[LegacySetting]:
    """Return the handling of each setting in the order of the file, then the missing settings.

    Args:
        raw: One element of a value stream's ``integrations``.
        environment: Names of the properties that the environment gives.
    """
    raw_properties = raw.get("properties")
    properties: Mapping[str, Any] = raw_properties if isinstance(raw_properties, Mapping) else {}
    settings = [*_explain_envelope(raw)]
    for key, value in properties.items():
        settings.append(_explain_property(key, value))
    settings.extend(_find_missing(raw, properties, environment))
    return settings


def _explain_envelope(raw: Mapping[str, Any]) -> Iterator[LegacySetting]:
    for key, value in raw.items():
        lower = key.lower()
        if key == "properties":
            continue
        if lower in LEVEL_KEYS:
            if key == "loggingLevel":
                yield LegacySetting(key, SettingStatus.UNCHANGED, f"{value}")
            else:
                yield LegacySetting(key, SettingStatus.DEPRECATED, f"{value}: read as loggingLevel; write it so")
        elif key == "image":
            yield LegacySetting(
                key, SettingStatus.IGNORED, f"{value} is the plug-in to be replaced: take it out, or name the new image"
            )
        elif key in {"name", "type", "_id"}:
            yield LegacySetting(key, SettingStatus.UNCHANGED, f"{value}")
        elif lower in {"tenant_id", "tenantid"}:
            same = key == "tenant_id"
            text = f"{value}" if same else f"{value}: read as tenant_id, as older versions write it"
            yield LegacySetting(key, SettingStatus.UNCHANGED if same else SettingStatus.DEPRECATED, text)
        elif key == "disabled":
            yield LegacySetting(key, SettingStatus.UNCHANGED, "a disabled integration is not run" if value else "no")
        else:
            yield LegacySetting(key, SettingStatus.IGNORED, "managed by the platform, which sets it again")


def _explain_property(key: str, value: Any) -> LegacySetting:  # noqa: PLR0911 - a table of cases, first match wins
    path = f"properties.{key}"
    name = get_property_name(key)
    if key.lower() in LEVEL_KEYS:
        return LegacySetting(
            path, SettingStatus.DEPRECATED, "read as the logging level; write loggingLevel beside properties"
        )
    if name is None:
        suggested = suggest_property(key, PROPERTY_NAMES)
        meant = f"; did you mean {suggested}?" if suggested else ""
        return LegacySetting(path, SettingStatus.IGNORED, f"it is not known here{meant}")
    if name == "ucvAccessKey":
        text = "servers since 2.4.0 make a key for each integration by themselves; needed only where none is made"
        return LegacySetting(path, SettingStatus.DEPRECATED, text)
    if isinstance(value, str) and MASKED.match(value):
        text = "masked in the download; the platform keeps the value while the integration itself is kept"
        return LegacySetting(path, SettingStatus.MASKED, text)
    if value in (None, "", []):
        return LegacySetting(path, SettingStatus.UNCHANGED, _explain_empty_value(name))
    if name == "projects":
        return LegacySetting(path, SettingStatus.UNCHANGED, _explain_projects(value))
    if key != name:
        return LegacySetting(path, SettingStatus.DEPRECATED, f"read as {name}; write it so")
    return LegacySetting(path, SettingStatus.UNCHANGED, _get_label(name))


def _explain_empty_value(name: str) -> str:
    if name == "projects":
        return "empty: every project of the workspace that the user sees"
    if name == "workspace":
        return "empty: the user's default workspace"
    return "empty"


def _explain_projects(value: Any) -> str:
    try:
        names = as_list(value)
    except ValueError:
        return "cannot be read as a list"
    if not isinstance(names, tuple):
        return "cannot be read as a list"
    patterns = [name for name in names if re.search(r"[*?]", name)]
    text = f"{len(names)} projects, without the projects below them (includeChildProjects)"
    return f"{text}; * and ? stand for any characters: {', '.join(patterns)}" if patterns else text


def _get_label(name: str) -> str:
    field = next(field for key, field in Properties.model_fields.items() if (field.alias or key) == name)
    extra = field.json_schema_extra
    label = str(extra["label"]) if isinstance(extra, dict) else name
    return label if name in _OF_THE_PAGE else f"{label} (a property of this plug-in's own)"


def _find_missing(
    raw: Mapping[str, Any], properties: Mapping[str, Any], environment: Collection[str]
) -> Iterator[LegacySetting]:
    names = {get_property_name(key) for key, value in properties.items() if value not in (None, "")}
    if "properties" not in raw:
        yield LegacySetting(
            "properties",
            SettingStatus.MISSING,
            "the file refers to the integration by its name only; download it whole",
        )
        return
    has_login = "apiKey" in names or {"username", "password"} <= names
    if not has_login and "apiKey" in environment:
        yield LegacySetting(
            "properties.apiKey", SettingStatus.UNCHANGED, "not in the file; taken from RALLY_API_KEY in the environment"
        )
    elif not has_login and {"username", "password"} <= {*names, *environment}:
        text = "not in the file; RALLY_USERNAME and RALLY_PASSWORD in the environment are used"
        yield LegacySetting("properties.username", SettingStatus.UNCHANGED, text)
    elif not has_login:
        yield LegacySetting("properties.apiKey", SettingStatus.MISSING, "no credentials for Rally; an API key is best")
    elif "apiKey" in names and "password" in names:
        yield LegacySetting("properties.password", SettingStatus.IGNORED, "the API key is used where both are given")
    elif "apiKey" not in names:
        text = "user and password are used; subscriptions with single sign-on take API keys only"
        yield LegacySetting("properties.apiKey", SettingStatus.MISSING, text)
    # A masked value can be empty, because a download masks all secrets.
    unmasked = {get_property_name(key) for key, value in properties.items() if value and not MASKED.match(str(value))}
    if {"proxyUsername", "proxyPassword"} & unmasked and "proxyServer" not in names:
        yield LegacySetting(
            "properties.proxyServer", SettingStatus.MISSING, "credentials of a proxy are given, but no proxy"
        )
