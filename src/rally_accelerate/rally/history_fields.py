"""Which fields have a history, how the two sources spell them, and the one form that their values take; pure.

Lookback knows fields by element name and references by ObjectID; revisions know upper-case display labels and names
(rally-api-notes.md#revision-texts, rally-api-notes.md#snapshots). Both end in the forms of ``records.PastValue``, so
that nothing behind this room knows which source it was.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Shape(StrEnum):
    """What a field's values are."""

    TEXT = "text"
    #: A drop-down or state: text in revisions, an id in Lookback unless hydrated.
    CHOICE = "choice"
    FLAG = "flag"
    DATE = "date"
    NUMBER = "number"
    PERSON = "person"
    PROJECT = "project"
    FLOW_STATE = "flowstate"
    ITERATION = "iteration"
    RELEASE = "release"
    TAGS = "tag"
    MILESTONES = "milestone"
    #: Another work item.
    ITEM = "item"


#: The fields whose values are timeboxes. Lookback tells their names where WSAPI cannot.
TIMEBOXES = {"Iteration": Shape.ITERATION, "Release": Shape.RELEASE}


@dataclass(frozen=True, slots=True)
class PastField:
    """One field whose changes are told."""

    name: str
    shape: Shape
    #: Upper-case display labels in revision texts.
    labels: tuple[str, ...]


def _field(name: str, shape: Shape, *labels: str) -> PastField:
    return PastField(name, shape, labels or (label_of(name),))


def label_of(name: str) -> str:
    """The display label of an element name in upper case: ``PlanEstimate`` becomes ``PLAN ESTIMATE``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.removeprefix("c_")).upper()


#: Built-in fields, in the order in which changes of one save are told.
BUILT_IN = (
    _field("ScheduleState", Shape.CHOICE),
    _field("State", Shape.CHOICE),
    _field("FlowState", Shape.FLOW_STATE),
    _field("LastVerdict", Shape.CHOICE),
    _field("Owner", Shape.PERSON),
    _field("Priority", Shape.CHOICE),
    _field("Severity", Shape.CHOICE),
    _field("Resolution", Shape.CHOICE),
    _field("PlanEstimate", Shape.NUMBER),
    _field("PreliminaryEstimate", Shape.TEXT),
    _field("Iteration", Shape.ITERATION),
    _field("Release", Shape.RELEASE),
    _field("Tags", Shape.TAGS),
    _field("Milestones", Shape.MILESTONES),
    _field("Project", Shape.PROJECT),
    _field("Parent", Shape.ITEM),
    # The label follows the name of the lowest portfolio level, "Feature" by default
    # (rally-api-notes.md#portfolio-levels, rally-api-notes.md#revision-examples).
    _field("PortfolioItem", Shape.ITEM, "PORTFOLIO ITEM", "FEATURE"),
    _field("Requirement", Shape.ITEM, "REQUIREMENT", "USER STORY"),
    _field("WorkProduct", Shape.ITEM),
    _field("Name", Shape.TEXT),
    _field("Blocked", Shape.FLAG),
    _field("BlockedReason", Shape.TEXT),
    _field("Ready", Shape.FLAG),
    _field("Expedite", Shape.FLAG),
)

#: A portfolio item's size is an object of its own kind in Lookback, whose names it does not tell.
_NOT_IN_LOOKBACK = frozenset({"PreliminaryEstimate"})

#: Dates in revision texts, in the server's own zone (rally-api-notes.md#revision-texts), so far MST or MDT.
_JAVA_DATE = re.compile(
    r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2}) (?P<time>\d\d:\d\d:\d\d) (?P<zone>[A-Z]+)"
    r" (?P<year>\d{4})",
    re.ASCII,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ZONES = {"UTC": "Z", "GMT": "Z", "MST": "-07:00", "MDT": "-06:00"}

#: Where people write numbers, the unit stands behind them (rally-api-notes.md#revision-texts).
_NUMBER = re.compile(r"\s*(-?\d+(?:\.\d+)?)(?:\s.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PastFields:
    """The fields whose changes are read in one run."""

    fields: tuple[PastField, ...]

    @classmethod
    def of(cls, custom: tuple[PastField, ...] = ()) -> "PastFields":
        """The built-in fields and those of the workspace's own."""
        return cls((*BUILT_IN, *custom))

    @property
    def in_lookback(self) -> tuple[PastField, ...]:
        """Those that snapshots can tell."""
        return tuple(each for each in self.fields if each.name not in _NOT_IN_LOOKBACK)

    @property
    def by_label(self) -> dict[str, PastField]:
        """By what revision texts call them."""
        return {label: each for each in self.fields for label in each.labels}


def number_text(value: object) -> str:
    """A quantity in its shortest form: 3, 3.0 and ``3.0 Points`` are all ``3``; what is no number stays as it is."""
    match value:
        case None | "":
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value:.10g}"
        case str():
            found = _NUMBER.fullmatch(value)
            return f"{float(found[1]):.10g}" if found else value
        case _:
            return str(value)


def flag_text(value: object) -> str:
    """``true`` or ``false``; unset counts as false."""
    return "true" if value is True or value == "true" else "false"


def date_text(value: object) -> str:
    """A date in one form and to the second, as UTC: revisions tell no more; what is no date stays as it is."""
    text = str(value or "").strip()
    told = _JAVA_DATE.fullmatch(text)
    if told and told["zone"] in _ZONES and told["month"] in _MONTHS:
        month = _MONTHS.index(told["month"]) + 1
        iso = f"{told['year']}-{month:02}-{int(told['day']):02}T{told['time']}{_ZONES[told['zone']]}"
    else:
        iso = text
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return text
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment.tzinfo is not None else text


def choice_text(value: object) -> str:
    """A drop-down's value; nothing chosen is empty, however Rally spells it (rally-api-notes.md#empty-values)."""
    if value is None:
        return ""
    text = (value if isinstance(value, str) else str(value)).strip()
    return "" if text == "None" else text


def item_id_in(text: str) -> str:
    """The FormattedID of an item that a revision text shows as ``US12: its name``; else the text itself."""
    found = re.match(r"([^\s:]*\d+)(?=: )", text)
    return found[1] if found else text
