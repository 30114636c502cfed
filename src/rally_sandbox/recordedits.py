"""Edits of records that are no work items: projects, timeboxes, milestones, people and tags."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rally_sandbox.instants import from_datetime, mountain
from rally_sandbox.records import Record
from rally_sandbox.schema import type_of

#: Attributes that are kept as milliseconds and given as ISO texts.
DATES = frozenset({"StartDate", "EndDate", "ReleaseStartDate", "ReleaseDate", "TargetDate"})


def changed(record: Record, given: Mapping[str, Any]) -> str:
    """Give a record other values; return the text of the revision.

    Args:
        record: Changed in place.
        given: By attribute name; dates as ISO texts.

    Raises:
        KeyError: The type has no such attribute.
        ValueError: A date cannot be read.
    """
    kind = type_of(record.type)
    known = kind.attributes if kind is not None else {}
    # Every record is shown under a name, whatever the attribute is called.
    if unknown := given.keys() - known.keys() - {"Name"}:
        raise KeyError(f"{record.type} has no attribute {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {
        name: from_datetime(datetime.fromisoformat(value)) if name in DATES and value is not None else value
        for name, value in given.items()
    }
    clauses: list[str] = []
    for name, value in values.items():
        # The shown name of a user is another attribute.
        attribute = "DisplayName" if name == "Name" and record.type == "User" else name
        before = record.name if name == "Name" else record.values.get(attribute)
        clauses.append(f"{_label(name)} changed from [{_shown(name, before)}] to [{_shown(name, value)}]")
        record.values[attribute] = value
        if name == "Name":
            record.name = value
    return ", ".join(clauses)


def _label(name: str) -> str:
    """Return an attribute's name as revisions have it: ``END DATE``."""
    return "".join(f" {char}" if char.isupper() and place else char for place, char in enumerate(name)).upper()


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    return mountain(value) if name in DATES else str(value)
