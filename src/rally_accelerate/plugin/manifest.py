"""The manifest that Accelerate stores when the plug-in is installed (accelerate-host.md 1.9, 1.10).

It is made from the settings model and kept beside this file as ``manifest.json``: the container prints that file
without importing anything else, as answering takes a tenth of the time then. A test compares the two.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rally_accelerate.config.model import PLUGIN_ID, Properties

FILE = Path(__file__).with_name("manifest.json")

EVENT = "syncRallyDataEvent"
MINUTES = 5

#: Prefixes of FormattedIDs (rally-api.md 2.2) in names of branches, commits and pull requests; one capture group, as
#: the link rules of a value stream need it.
ID_PATTERN = r"\b((?:US|DE|DS|TA|TC|TS|F|I|T)[0-9]+)\b"

#: Labels of the page mark these with a star.
REQUIRED = ("baseUrl",)


def manifest() -> dict[str, Any]:
    """The manifest; without an image and a version, which the platform adds at the installation."""
    return {
        "pluginId": PLUGIN_ID,
        "displayName": "Rally",
        "description": "Imports stories, defects and other work items from a Rally server as issues, with their whole "
        "history, and keeps them up to date.",
        "categories": ["ALM"],
        "features": {"deltaTimeSync": True},
        "idRegExp": ID_PATTERN,
        "properties": properties(),
        "scheduledEvents": [
            {
                "name": EVENT,
                "description": "Queries the Rally server for stories and defects to import into HCL Accelerate issues. "
                "If the Rally data already exists as an issue, the issue is updated.",
                "interval": MINUTES,
            }
        ],
        "endpoints": [],
        "taskDefinitions": [],
        "eventTriggers": [],
        "qualityHandlers": [],
        "automationTasks": [],
    }


def properties() -> list[dict[str, Any]]:
    """The properties in the order of the form; hidden ones are never required."""
    found = []
    for name, field in Properties.model_fields.items():
        extra = field.json_schema_extra
        alias = field.alias or name
        if not isinstance(extra, dict) or not extra["inside"]:
            continue
        one: dict[str, Any] = {
            "name": alias,
            "label": extra["label"],
            "type": extra["kind"],
            "description": field.description,
            "required": alias in REQUIRED,
        }
        default = _default(field.get_default(call_default_factory=True))
        if default is not None:
            one["defaultValue"] = default
        if extra["hidden"]:
            one["hidden"] = True
        found.append(one)
    return found


def _default(value: Any) -> str | bool | None:
    """A default as a form shows it; an empty one, and a compound one, are left to the program."""
    match value:
        case bool():
            return value
        case str() if value:
            return value
        case _:
            return None


def rendered() -> str:
    """What ``getManifest`` prints: JSON with an indentation of two."""
    return json.dumps(manifest(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered())
    sys.stdout.write(rendered())
