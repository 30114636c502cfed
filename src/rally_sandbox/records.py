"""The objects of a subscription that are not work items: users, projects, timeboxes, tags, states and so on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Values = dict[str, Any]


@dataclass(slots=True, eq=False)
class Record:
    """One object.

    ``values`` maps attribute names to plain values; dates are milliseconds, references are other entities, collections
    are ``Group``. Only ``World`` changes a record.
    """

    #: As in ``_type``: the ElementName, or the TypePath of a portfolio type.
    type: str
    object_id: int
    values: Values
    #: Milliseconds.
    created: int
    #: The ``_refObjectName`` of references, and the value in revision texts.
    name: str
    workspace: "Record | None" = None
    version: int = 1
    #: 0 when the type has no history.
    history_id: int = 0
    #: The name before any renaming, as in the texts of the generated history.
    first_name: str = field(init=False)

    def __post_init__(self) -> None:
        self.first_name = self.name


@dataclass(frozen=True, slots=True)
class Group:
    """A collection attribute: its element type as ``_type``, and its members, entities or indexes of work items."""

    type: str
    members: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to the work item at ``index``; resolved on demand, so that items stay lazy."""

    index: int


def make_uuid(object_id: int) -> str:
    """Return a stable ObjectUUID, derived from the ObjectID so that it needs no memory."""
    text = f"{(object_id * 0x9E3779B97F4A7C15F39CC0605CEDC835) & _ALL_BITS:032x}"
    # The digits that say "version 4" and "variant 1".
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


_ALL_BITS = (1 << 128) - 1


#: A field with its old and new value; None is unset. For collections, one change concerns one element: it was added if
#: the old value is None, and removed if the new value is None.
FieldChange = tuple[str, Any, Any]

COLLECTIONS = frozenset({"Tags", "Milestones"})


class Change(NamedTuple):
    """One save of one item: a revision, and later one snapshot."""

    #: 0 is the creation.
    number: int
    object_id: int
    #: Milliseconds.
    at: int
    user: Record
    field_changes: tuple[FieldChange, ...]
    #: The revision text at the time of the save; None if it can be generated because names have not changed.
    text: str | None = None


@dataclass(slots=True, eq=False)
class Item:
    """One work item with its current values and its history."""

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
        """Whether the item is in the recycle bin or was purged from it."""
        return bool(self.values["Recycled"])


@dataclass(slots=True, eq=False)
class History:
    """The RevisionHistory of an item or record."""

    owner: Item | Record
    type: str = "RevisionHistory"
    name: str = ""
    version: int = 1

    @property
    def object_id(self) -> int:
        """ObjectID."""
        return self.owner.history_id

    @property
    def created(self) -> int:
        """Milliseconds."""
        return self.owner.created

    @property
    def workspace(self) -> Record | None:
        """Where the owner belongs."""
        return self.owner.workspace


@dataclass(slots=True, eq=False)
class RevisionRow:
    """One revision of an item or record."""

    owner: Item | Record
    change: Change
    type: str = "Revision"
    version: int = 1

    @property
    def name(self) -> str:
        """The revision number, because revisions have no name."""
        return str(self.change.number)

    @property
    def object_id(self) -> int:
        """ObjectID."""
        return self.change.object_id

    @property
    def created(self) -> int:
        """Milliseconds."""
        return self.change.at

    @property
    def workspace(self) -> Record | None:
        """Where the owner belongs."""
        return self.owner.workspace


Entity = Item | Record | RevisionRow | History


def apply_changes(values: Values, field_changes: tuple[FieldChange, ...]) -> None:
    """Replay one change on ``values``."""
    for name, old, new in field_changes:
        if name not in COLLECTIONS:
            values[name] = new
        elif old is None:
            values[name] = (*values[name], new)
        else:
            values[name] = tuple(element for element in values[name] if element is not old)
