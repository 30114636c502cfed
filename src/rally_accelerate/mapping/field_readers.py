"""Tolerant readers of single Rally fields; missing, null or partial values never fail a work item."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from rally_accelerate.model.issue import Project
from rally_accelerate.rally.records import name_or_id

Fields = Mapping[str, Any]


def read_text(fields: Fields, name: str) -> str:
    """Return a field as text without surrounding white space; empty if it is not set.

    Ratings may be unset as null, as an empty text or as the word None (rally-api-notes.md#empty-values): the word is a
    value that people see, so it is kept here and dropped by ``read_rating``.
    """
    match fields.get(name):
        case None:
            return ""
        case str() as value:
            return value.strip()
        case bool() as value:
            return "true" if value else "false"
        case int() | float() as value:
            return f"{value:g}" if isinstance(value, float) else str(value)
        case dict() as value:
            return get_name(value)
        case _:
            return ""


def read_rating(fields: Fields, name: str) -> str | None:
    """Return the value of a drop-down, or None if nothing is selected."""
    value = read_text(fields, name)
    return None if value in {"", "None"} else value


def read_number(fields: Fields, name: str) -> float | None:
    """Return a quantity as a float; Rally sends 3, 3.0 or, in old responses, text (rally-api-notes.md#numbers)."""
    match fields.get(name):
        case bool():
            return None
        case int() | float() as value:
            return float(value)
        case str() as value:
            try:
                return float(value)
            except ValueError:
                return None
        case _:
            return None


def read_boolean(fields: Fields, name: str) -> bool | None:
    """Return a boolean, or None if Rally sends no boolean."""
    value = fields.get(name)
    return value if isinstance(value, bool) else None


def read_datetime(fields: Fields, name: str) -> datetime | None:
    """Return a date as aware UTC, or None if it is missing or malformed."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def read_reference(fields: Fields, name: str) -> Fields | None:
    """Return the object that a field refers to, or None."""
    value = fields.get(name)
    return value if isinstance(value, dict) else None


def get_object_id(reference_fields: Fields) -> str:
    """Return the ObjectID of a referenced object as text, from its field or its ref; empty if it has neither."""
    object_id = reference_fields.get("ObjectID")
    if object_id is not None:
        return str(object_id)
    # Refs are compared by path: hosts differ, compact answers are relative (rally-api-notes.md#references).
    tail = urlsplit(str(reference_fields.get("_ref") or "")).path.rstrip("/").rpartition("/")[2]
    return tail.removesuffix(".js")


def get_name(reference_fields: Fields) -> str:
    """Return the name of an object, or an empty text."""
    for name in ("Name", "_refObjectName"):
        value = reference_fields.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def read_person_name(fields: Fields, name: str) -> str | None:
    """Return the name of a user, or the best substitute for a deleted one; None if there is neither."""
    user = read_reference(fields, name)
    return (name_or_id(user) or None) if user is not None else None


def read_person_id(fields: Fields, name: str) -> str:
    """Return the ObjectID of a user as text; empty if there is no user or only a name."""
    user = read_reference(fields, name)
    return get_object_id(user) if user is not None else ""


def read_names(fields: Fields, name: str) -> tuple[str, ...]:
    """Return the names of the members of a collection that Rally sends inline (tags and milestones).

    See rally-api-notes.md#collections.
    """
    collection = read_reference(fields, name)
    if collection is None:
        return ()
    members = collection.get("_tagsNameArray")
    if not isinstance(members, list):
        return ()
    member_names = (str(member.get("Name") or "").strip() for member in members if isinstance(member, dict))
    return tuple(sorted({member for member in member_names if member}))


def read_project(fields: Fields) -> Project | None:
    """Return the project of a work item, or None."""
    project = read_reference(fields, "Project")
    if project is None:
        return None
    name, object_id = get_name(project), get_object_id(project)
    return Project(id=object_id, name=name or object_id, key=object_id) if object_id else None
