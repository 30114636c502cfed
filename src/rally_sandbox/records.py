"""The objects of a subscription that are not work items: users, projects, timeboxes, tags, states and so on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
    #: What references show as ``_refObjectName`` and revision texts as value.
    name: str
    workspace: "Record | None" = None
    version: int = 1
    #: 0 when the type has no history.
    history_id: int = 0
    #: The name before any renaming; what texts of the generated past show.
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
    """A reference to the work item at ``index``; resolved when somebody asks, so that items stay lazy."""

    index: int


def uuid_of(object_id: int) -> str:
    """A stable ObjectUUID, derived from the ObjectID so that it needs no memory."""
    text = f"{(object_id * 0x9E3779B97F4A7C15F39CC0605CEDC835) & _ALL_BITS:032x}"
    # The digits that say "version 4" and "variant 1".
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


_ALL_BITS = (1 << 128) - 1
