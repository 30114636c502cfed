"""Pure: the changes that a history tells, read alike wherever its past is looked at.

Histories come from any plug-in: fields have several words, some entries are broken, and some say nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Fields of an issue under the names that histories have for them (accelerate-host.md 2.3), in the order of the page.
#: ``None`` is a field whose name is the same in both.
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

#: What changes with every change says nothing; vendor plug-ins tell it beside each (accelerate-host.md 2.3).
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
