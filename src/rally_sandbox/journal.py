"""A work item and the journal of its changes, the one story from which revision texts are told."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rally_sandbox.records import Record, Values

#: A field with its old and its new value; None is unset. For collections one set names one element: added when the
#: old value is None, removed when the new one is.
Set = tuple[str, Any, Any]

COLLECTIONS = frozenset({"Tags", "Milestones"})


class Change(NamedTuple):
    """One save of one item: a revision, and later one snapshot."""

    #: 0 is the creation.
    number: int
    object_id: int
    #: Milliseconds.
    at: int
    user: Record
    sets: tuple[Set, ...]
    #: The revision text when it was fixed at the time of the save; None when names have not changed since.
    text: str | None = None


@dataclass(slots=True, eq=False)
class Item:
    """One work item as it is now, and how it became so."""

    index: int
    type: str
    object_id: int
    history_id: int
    created: int
    workspace: Record
    values: Values
    #: The values at creation; the changes lead from them to ``values``.
    initial: Values = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Shown as ``_refObjectName``."""
        return str(self.values["Name"])

    @property
    def updated(self) -> int:
        """LastUpdateDate in milliseconds: when the last revision was written."""
        return self.changes[-1].at

    @property
    def version(self) -> int:
        """VersionId: rises by one with each change."""
        return len(self.changes)

    @property
    def deleted(self) -> bool:
        """Whether the item lies in the recycle bin, or was purged from it."""
        return bool(self.values["Recycled"])


def apply(values: Values, sets: tuple[Set, ...]) -> None:
    """Replay one change on ``values``."""
    for name, old, new in sets:
        if name not in COLLECTIONS:
            values[name] = new
        elif old is None:
            values[name] = (*values[name], new)
        else:
            values[name] = tuple(each for each in values[name] if each is not old)
