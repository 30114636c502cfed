"""The types of Rally work items: their names, status fields and pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from rally_accelerate.config.value_parsers import as_kind
from rally_accelerate.mapping import field_readers
from rally_accelerate.model.issue import NormalizedType

PORTFOLIO = "portfolioitem"


@dataclass(frozen=True, slots=True)
class Kind:
    """The fixed properties of one type of work item.

    See rally-api-notes.md#pages-for-people, rally-api-notes.md#attributes and rally-api-notes.md#states-and-choices.
    """

    #: The type word that Accelerate shows.
    name: str
    #: The path segment of the item's page in the web app.
    page: str
    #: The field that holds the status.
    status: str


SCHEDULE_STATE = "ScheduleState"
STATE = "State"

KINDS = {
    "hierarchicalrequirement": Kind("Story", "userstory", SCHEDULE_STATE),
    "defect": Kind("Defect", "defect", SCHEDULE_STATE),
    "defectsuite": Kind("Defect Suite", "defectsuite", SCHEDULE_STATE),
    "task": Kind("Task", "task", STATE),
    "testcase": Kind("Test Case", "testcase", "LastVerdict"),
    "testset": Kind("Test Set", "testset", SCHEDULE_STATE),
    "risk": Kind("Risk", "risk", STATE),
}


def get_kind(wire_name: str, row: Mapping[str, Any], *, defect_status: str = "ScheduleState") -> Kind:
    """Return the properties of a type; an unknown type gets defaults, never an error.

    Args:
        wire_name: The requested type, lower case.
        row: The item's fields: a portfolio item's level is named there.
        defect_status: Which field is a defect's status.
    """
    if wire_name.startswith(PORTFOLIO):
        # ``_type`` is PortfolioItem/<Level>, and levels carry names of the workspace's own
        # (rally-api-notes.md#envelopes, rally-api-notes.md#portfolio-levels).
        level = str(row.get("_type") or wire_name).rpartition("/")[2]
        type_name = field_readers.read_text(row, "PortfolioItemTypeName") or level
        return Kind(type_name, f"{PORTFOLIO}/{level.lower()}", STATE)
    if wire_name == "defect" and defect_status == "State":
        return Kind("Defect", "defect", STATE)
    if wire_name in KINDS:
        return KINDS[wire_name]
    word = str(row.get("_type") or wire_name)
    return Kind(word, wire_name, SCHEDULE_STATE if "ScheduleState" in row else STATE)


def normalize_type(wire_name: str, row: Mapping[str, Any]) -> NormalizedType:
    """Return feature for the lowest portfolio level, epic for higher levels, and other for everything else.

    The lowest level has ordinal 0 and is the only one with user stories (rally-api-notes.md#portfolio-levels); where
    neither is known, the usual name of the lowest level decides.
    """
    if not wire_name.startswith(PORTFOLIO):
        return NormalizedType.OTHER
    level = field_readers.read_reference(row, "PortfolioItemType") or {}
    ordinal = field_readers.read_number(level, "Ordinal")
    if ordinal is not None:
        lowest = ordinal == 0
    else:
        word = str(row.get("_type") or wire_name).rpartition("/")[2].lower()
        lowest = "UserStories" in row or word == "feature"
    return NormalizedType.FEATURE if lowest else NormalizedType.EPIC


#: Every type.
ANY = "*"
#: Every level of the portfolio.
_LEVELS = f"{PORTFOLIO}/"


class Closeness(IntEnum):
    """How closely a rule's type names an item's type."""

    ANY = 0
    #: One word for all levels of the portfolio.
    FAMILY = 1
    EXACT = 2


@dataclass(frozen=True, slots=True)
class ItemType:
    """One type of work item with all its names."""

    #: Wire names, the most specific first: from the row, then as requested.
    kinds: tuple[str, ...]
    #: Every name that rules may call it by, folded by ``fold_type_name``.
    names: frozenset[str]

    def match_types(self, types: tuple[str, ...]) -> Closeness | None:
        """Return how closely any of a rule's types names this one; None if they name other types.

        Args:
            types: Folded by ``fold_type_name``.
        """
        if any(type_name in self.names for type_name in types):
            return Closeness.EXACT
        if PORTFOLIO in types and self.kinds[0].startswith(PORTFOLIO):
            return Closeness.FAMILY
        return Closeness.ANY if ANY in types else None


def build_item_type(kind: str, row: Mapping[str, Any] | None = None, *other_names: str) -> ItemType:
    """Return the type of a work item with all its names.

    Args:
        kind: The wire name of the requested type, lower case.
        row: The item: ``_type`` is the exact level when all of the portfolio was asked for
            (rally-api-notes.md#envelopes, rally-api-notes.md#portfolio-levels).
        other_names: Further names, for example the one that settings replace ours with.
    """
    row_type = (row or {}).get("_type")
    kinds = tuple(
        dict.fromkeys(fold_type_name(word) for word in (row_type, kind) if isinstance(word, str) and word.strip())
    ) or ("",)
    # Asking for the portfolio is not being called so: the family's word stays less close than a level's name.
    # A level can be shown under the name that another level has on the wire: that is the other one's.
    others = (
        {key for key in map(fold_type_name, other_names) if key.startswith(_LEVELS)}
        if kinds[0].startswith(_LEVELS)
        else set()
    )
    keys = (*kinds, *(key for key in map(fold_type_name, other_names) if key in kinds or key not in others))
    names = {type_name for type_name in keys if type_name and type_name not in {ANY, PORTFOLIO}}
    names |= {type_name.rpartition("/")[2] for type_name in names}
    return ItemType(kinds, frozenset(names))


def fold_type_name(written: str) -> str:
    """Return the form of a type's name for comparisons: Story, User Story and HierarchicalRequirement are equal."""
    return as_kind("".join(written.split()))


def get_type_name(type_names: Mapping[str, str], default: str, item_type: ItemType) -> str:
    """Return the name of a type in Accelerate: from the settings, or the default.

    Args:
        type_names: The setting ``typeNames``: new names by any of the type's names.
        default: What the type is called without it.
        item_type: The type under all its names.
    """
    if not type_names:
        return default
    by_name = (new for old, new in type_names.items() if fold_type_name(old) in item_type.names)
    return type_names.get(default) or next(by_name, default)
