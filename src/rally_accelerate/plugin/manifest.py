"""The manifest that Accelerate stores when the plug-in is installed.

See accelerate-api-notes.md#manifest and accelerate-api-notes.md#property-types.

It is made from the settings model and kept beside this file as ``manifest.json``: the container prints that file
without importing anything else, as answering takes a tenth of the time then. A test compares the two.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rally_accelerate.config.form import list_form_fields
from rally_accelerate.config.model import (
    DESCRIPTION,
    DISPLAY_NAME,
    EVENT,
    EVENT_DESCRIPTION,
    INTERVAL_MINUTES,
    PLUGIN_ID,
)

FILE = Path(__file__).with_name("manifest.json")

#: Prefixes of FormattedIDs (rally-api-notes.md#formatted-ids) in names of branches, commits and pull requests; one
#: capture group, as the link rules of a value stream need it.
ID_PATTERN = r"\b((?:US|DE|DS|TA|TC|TS|F|I|T)[0-9]+)\b"


def manifest() -> dict[str, Any]:
    """Return the manifest, without image and version, which the platform adds at installation."""
    return {
        "pluginId": PLUGIN_ID,
        "displayName": DISPLAY_NAME,
        "description": DESCRIPTION,
        "categories": ["ALM"],
        "features": {"deltaTimeSync": True},
        "idRegExp": ID_PATTERN,
        "properties": properties(),
        "scheduledEvents": [
            {
                "name": EVENT,
                "description": EVENT_DESCRIPTION,
                "interval": INTERVAL_MINUTES,
            }
        ],
        "endpoints": [],
        "taskDefinitions": [],
        "eventTriggers": [],
        "qualityHandlers": [],
        "automationTasks": [],
    }


def properties() -> list[dict[str, Any]]:
    """Return the properties in the order of the form; hidden ones are never required."""
    entries = []
    for field in list_form_fields():
        if not field.inside:
            continue
        one: dict[str, Any] = {
            "name": field.name,
            "label": field.label,
            "type": field.kind,
            "description": field.description,
            "required": field.required,
        }
        default = _default(field.default)
        if default is not None:
            one["defaultValue"] = default
        if field.hidden:
            one["hidden"] = True
        entries.append(one)
    return entries


def _default(value: Any) -> str | bool | None:
    """Return a default as a form shows it; empty and compound defaults are omitted."""
    match value:
        case bool():
            return value
        case str() if value:
            return value
        case _:
            return None


def render() -> str:
    """Return the output of ``getManifest``: JSON, indented by two spaces."""
    return json.dumps(manifest(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(render())
    sys.stdout.write(render())
