"""Pure: the changes that a history tells, read alike wherever its past is looked at.

Histories come from any plug-in: fields have several words, some entries are broken, and some say nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Fields of an issue under the names that histories have for them (accelerate-api-notes.md#issue-history), in the order
#: of the page. ``None`` is a field whose name is the same in both.
PRESENT: Mapping[str, str | None] = {
    "name": None,
    "type": None,
    "status": None,
    "owner": None,
    "priority": None,
    "storyPoints": None,
    "project": None,
    "sprint": "sprints",
    "release": "releases",
    "labels": None,
    "components": None,
    "epic": None,
    "severity": None,
    "impact": None,
    "resolution": None,
    "businessValue": None,
    "description": None,
}

#: Other words that histories have for a field, as far as they are known.
ALIASES = {
    "displayname": "name",
    "releases": "release",
    "sprints": "sprint",
    "storypoints": "storyPoints",
    "tags": "labels",
}

#: What changes with every change says nothing; vendor plug-ins tell it beside each
#: (accelerate-api-notes.md#issue-history).
UNSAID = frozenset({"lastupdate", "revision"})


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one field."""

    #: Milliseconds since 1970; changes at the instant itself have happened.
    at: int
    #: The one name that we have for the field.
    field: str
    content: Mapping[str, Any]

    @property
    def says_nothing(self) -> bool:
        """Whether it only accompanies another one."""
        return self.field.casefold() in UNSAID


def changes_of(issue: Mapping[str, Any]) -> list[Change]:
    """What the history of an issue tells, oldest first; of one instant in the order in which it is told."""
    return sorted(_told(issue.get("history") or ()), key=lambda change: change.at)


def former_sprints(issue: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the sprints in an issue that it is no longer planned for.

    An uploaded issue has its present and its former sprints in one list. Nothing in the published schema tells them
    apart (accelerate-api-notes.md#sprints), so the last change of the sprint does: what it led to is the present one.
    An issue whose history has no such change has only present sprints. Issues that an earlier version of this connector
    uploaded mark former sprints with ``previous: true``.
    """
    sprints = [each for each in issue.get("sprints") or () if isinstance(each, Mapping)]
    if any(each.get("previous") is True for each in sprints):
        return [each for each in sprints if each.get("previous") is True]
    last = next((each for each in reversed(changes_of(issue)) if each.field == "sprint" and "to" in each.content), None)
    if last is None:
        return []
    led_to = references(last.content["to"])
    ids, names = ({each[key] for each in led_to if each.get(key)} for key in ("id", "name"))
    present = [each for each in sprints if (each.get("id") in ids if ids else each.get("name") in names)]
    if led_to and not present:
        # It was renamed after the change: the present sprint is the last in the list.
        present = sprints[-1:]
    return [each for each in sprints if not any(each is one for one in present)]


def references(value: Any) -> list[Mapping[str, Any]]:
    """Return what a history says a field referred to, as objects with a ``name``, an ``id`` or both.

    Histories name references in texts and lists of texts; earlier versions of this connector sent objects.
    """
    listed = value if isinstance(value, list | tuple) else [value]
    found = (each if isinstance(each, Mapping) else {"name": str(each)} for each in listed if each not in (None, ""))
    return [each for each in found if each]


def name_of(field: str) -> str:
    """One name for a field that histories have several words for."""
    return ALIASES.get(field.casefold(), field)


def raw_name(raw: Any, field: str) -> str | None:
    """Under which name a raw issue holds a field that histories tell of; None where it does not."""
    folded = _folded(field)
    return next((name for name in raw if _folded(str(name)) == folded), None) if isinstance(raw, Mapping) else None


def instant_of(value: Any) -> int | None:
    """An instant in milliseconds, however it is written; None where it is none."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _folded(name: str) -> str:
    # Custom fields have a prefix in the raw issue that histories leave out.
    return name.casefold().removeprefix("c_")


def _told(history: Iterable[Any]) -> Iterable[Change]:
    for entry in history:
        content = entry.get("content") if isinstance(entry, Mapping) else None
        field = str(content.get("field") or "") if isinstance(content, Mapping) else ""
        at = instant_of(entry.get("timestamp")) if field else None
        # Broken entries of other plug-ins are passed over.
        if isinstance(content, Mapping) and at is not None:
            yield Change(at, name_of(field), content)
