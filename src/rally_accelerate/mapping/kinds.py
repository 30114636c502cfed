"""What Rally's kinds of item are called, where their status stands and where their page is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rally_accelerate.mapping import fields
from rally_accelerate.model.issue import NormalizedType

PORTFOLIO = "portfolioitem"


@dataclass(frozen=True, slots=True)
class Kind:
    """The fixed facts of one kind of item.

    See rally-api-notes.md#pages-for-people, rally-api-notes.md#attributes and rally-api-notes.md#states-and-choices.
    """

    #: The type word that Accelerate shows.
    name: str
    #: The path segment of the item's page in the web app.
    page: str
    #: The field that holds the status.
    status: str


SCHEDULABLE = "ScheduleState"
STATEFUL = "State"

KINDS = {
    "hierarchicalrequirement": Kind("Story", "userstory", SCHEDULABLE),
    "defect": Kind("Defect", "defect", SCHEDULABLE),
    "defectsuite": Kind("Defect Suite", "defectsuite", SCHEDULABLE),
    "task": Kind("Task", "task", STATEFUL),
    "testcase": Kind("Test Case", "testcase", "LastVerdict"),
    "testset": Kind("Test Set", "testset", SCHEDULABLE),
    "risk": Kind("Risk", "risk", STATEFUL),
}


def kind_of(wire_name: str, row: Mapping[str, Any], *, defect_status: str = "ScheduleState") -> Kind:
    """The facts of an item's kind; an unknown kind gets sensible ones, never an error.

    Args:
        wire_name: The name that was asked for, lower case.
        row: The item's fields: a portfolio item's level is named there.
        defect_status: Which field is a defect's status.
    """
    if wire_name.startswith(PORTFOLIO):
        # ``_type`` is PortfolioItem/<Level>, and levels carry names of the workspace's own
        # (rally-api-notes.md#envelopes, rally-api-notes.md#portfolio-levels).
        level = str(row.get("_type") or wire_name).rpartition("/")[2]
        shown = fields.text(row, "PortfolioItemTypeName") or level
        return Kind(shown, f"{PORTFOLIO}/{level.lower()}", STATEFUL)
    if wire_name == "defect" and defect_status == "State":
        return Kind("Defect", "defect", STATEFUL)
    if wire_name in KINDS:
        return KINDS[wire_name]
    word = str(row.get("_type") or wire_name)
    return Kind(word, wire_name, SCHEDULABLE if "ScheduleState" in row else STATEFUL)


def normalized(wire_name: str, row: Mapping[str, Any]) -> NormalizedType:
    """The portfolio's lowest level is a feature, the levels above are epics, the rest is other work.

    The lowest level has ordinal 0 and is the only one with user stories (rally-api-notes.md#portfolio-levels); where
    neither is known, the usual name of the lowest level decides.
    """
    if not wire_name.startswith(PORTFOLIO):
        return NormalizedType.OTHER
    level = fields.reference(row, "PortfolioItemType") or {}
    ordinal = fields.number(level, "Ordinal")
    if ordinal is not None:
        lowest = ordinal == 0
    else:
        word = str(row.get("_type") or wire_name).rpartition("/")[2].lower()
        lowest = "UserStories" in row or word == "feature"
    return NormalizedType.FEATURE if lowest else NormalizedType.EPIC
