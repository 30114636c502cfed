"""The names under which rules may speak of an item's type, and which of two rules is the more specific."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from rally_accelerate.config.values import as_kind

#: Every type.
ANY = "*"
#: Every level of the portfolio.
PORTFOLIO = "portfolioitem"
_LEVELS = f"{PORTFOLIO}/"


class Closeness(IntEnum):
    """How closely a rule's type names an item's type."""

    ANY = 0
    #: One word for all levels of the portfolio.
    FAMILY = 1
    EXACT = 2


@dataclass(frozen=True, slots=True)
class ItemType:
    """One type of item under all its names."""

    #: Wire names, the most precise first: what the row says, what was asked for.
    kinds: tuple[str, ...]
    #: Every name that rules may call it by, folded by ``type_key``.
    names: frozenset[str]

    def closeness(self, types: tuple[str, ...]) -> Closeness | None:
        """How closely any of a rule's types names this one; None when they mean others.

        Args:
            types: Folded by ``type_key``.
        """
        if any(each in self.names for each in types):
            return Closeness.EXACT
        if PORTFOLIO in types and self.kinds[0].startswith(PORTFOLIO):
            return Closeness.FAMILY
        return Closeness.ANY if ANY in types else None


def item_type(kind: str, row: Mapping[str, Any] | None = None, *shown: str) -> ItemType:
    """The type of an item.

    Args:
        kind: The wire name that was asked for, lower case.
        row: The item: ``_type`` is the exact level when all of the portfolio was asked for
            (rally-api-notes.md#envelopes, rally-api-notes.md#portfolio-levels).
        shown: Further names, for example the one that settings replace ours with.
    """
    said = (row or {}).get("_type")
    kinds = tuple(dict.fromkeys(type_key(word) for word in (said, kind) if isinstance(word, str) and word.strip())) or (
        "",
    )
    # Asking for the portfolio is not being called so: the family's word stays less close than a level's name.
    # A level can be shown under the name that another level has on the wire: that is the other one's.
    others = {key for key in map(type_key, shown) if key.startswith(_LEVELS)} if kinds[0].startswith(_LEVELS) else set()
    keys = (*kinds, *(key for key in map(type_key, shown) if key in kinds or key not in others))
    names = {each for each in keys if each and each not in {ANY, PORTFOLIO}}
    names |= {each.rpartition("/")[2] for each in names}
    return ItemType(kinds, frozenset(names))


def type_key(written: str) -> str:
    """A type's name in the form that is compared: Story, User Story and HierarchicalRequirement are one."""
    return as_kind("".join(written.split()))


def renamed(type_names: Mapping[str, str], shown: str, its: ItemType) -> str:
    """What settings call a type in Accelerate; what it is called anyway when they do not.

    Args:
        type_names: The setting ``typeNames``: new names by any of the type's names.
        shown: What the type is called without it.
        its: The type under all its names.
    """
    if not type_names:
        return shown
    by_name = (new for old, new in type_names.items() if type_key(old) in its.names)
    return type_names.get(shown) or next(by_name, shown)
