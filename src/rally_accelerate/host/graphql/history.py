"""The history of a dot as Accelerate's clients read it: events whose values are boxed by their kind."""

from collections.abc import Mapping
from typing import Any

from ariadne import ObjectType, UnionType

from rally_accelerate.host.changes import changes_of, name_of
from rally_accelerate.host.past import plain
from rally_accelerate.host.store.issues import StoredIssue

#: Fields whose whole numbers are instants (accelerate-api-notes.md#issue-history).
INSTANTS = frozenset({"lastupdate", "created", "resolved", "duedate", "releasedate", "starttime", "endtime"})

#: What tells the members of ``ObjectArray`` apart; a step has neither.
MEMBERS = (("Comment", "comment"), ("Review", "body"))


def bind() -> list[ObjectType | UnionType]:
    """Return the types that box the values of a history."""
    content = ObjectType("HistoryContent")
    for side in ("from", "to"):
        content.set_field(side, _boxing(side))
    value = UnionType("HistoryValue", lambda box, *_: box["__typename"])
    entry = UnionType("ObjectArray", lambda each, *_: _member(each))
    return [content, value, entry]


def events(issue: StoredIssue) -> list[dict[str, Any]]:
    """Return the stored changes of an issue, oldest first."""
    return [
        {
            # The words for the kinds of events are not public; these are assumed.
            "event": "update",
            "type": "issue",
            "source": issue.source,
            "timestamp": change.at,
            "content": {**change.content, "fieldtype": change.content.get("type")},
            "pullRequestIds": [],
            "buildIds": [],
            "deployIds": [],
        }
        for change in changes_of(issue.content)
    ]


def boxed(content: Mapping[str, Any], side: str) -> dict[str, Any] | None:
    """Return one side of a change in the box for its kind; None where it is empty.

    Args:
        content: The ``content`` of a history entry.
        side: ``from`` or ``to``.
    """
    value = content.get(side)
    match value:
        case None:
            return None
        case bool():
            return _box("StringBox", str(value).lower())
        case int() | float() if name_of(str(content.get("field") or "")).casefold() in INSTANTS:
            return _box("DateBox", value)
        case list() if value and all(isinstance(each, Mapping) and _has_member_key(each) for each in value):
            return _box("ObjectArrayBox", [{**each, "id": str(each.get("id") or "")} for each in value])
        case list():
            return _box("StringArrayBox", list(plain(value)))
        case _:
            return _box("StringBox", next(iter(plain(value)), ""))


def _boxing(side: str) -> Any:
    return lambda parent, _: boxed(parent, side)


def _box(kind: str, value: Any) -> dict[str, Any]:
    return {"__typename": kind, "value": value}


def _has_member_key(entry: Mapping[str, Any]) -> bool:
    return any(key in entry for _, key in MEMBERS) or {"status", "message"} <= set(entry)


def _member(entry: Mapping[str, Any]) -> str:
    return next((name for name, key in MEMBERS if key in entry), "Step")
