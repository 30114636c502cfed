"""Fields with a history, their names in both sources, and the common format of their values. No I/O.

Lookback knows fields by element name and references by ObjectID; revisions know upper-case display labels and names
(rally-api-notes.md#revision-texts, rally-api-notes.md#snapshots). Both are converted to ``records.FieldValue``, so
that later code does not depend on the source.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Shape(StrEnum):
    """The type of a field's values."""

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


#: The fields whose values are timeboxes. Lookback has their names where WSAPI has not.
TIMEBOXES = {"Iteration": Shape.ITERATION, "Release": Shape.RELEASE}


@dataclass(frozen=True, slots=True)
class TrackedField:
    """A field whose history is read."""

    name: str
    shape: Shape
    #: Upper-case display labels in revision texts.
    labels: tuple[str, ...]


def _field(name: str, shape: Shape, *labels: str) -> TrackedField:
    return TrackedField(name, shape, labels or (label_of(name),))


def label_of(name: str) -> str:
    """Return the upper-case display label of an element name: ``PlanEstimate`` becomes ``PLAN ESTIMATE``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.removeprefix("c_")).upper()


#: Built-in fields, in the order in which changes of one save are listed.
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

#: A portfolio item's size is a separate type of object in Lookback, which omits the names.
_NOT_IN_LOOKBACK = frozenset({"PreliminaryEstimate"})

#: Dates in revision texts, in the server's own zone (rally-api-notes.md#revision-texts), so far MST or MDT.
_JAVA_DATE = re.compile(
    r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2}) (?P<time>\d\d:\d\d:\d\d) (?P<zone>[A-Z]+)"
    r" (?P<year>\d{4})",
    re.ASCII,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ZONES = {"UTC": "Z", "GMT": "Z", "MST": "-07:00", "MDT": "-06:00"}

#: Numbers in revision texts are followed by their unit (rally-api-notes.md#revision-texts).
_NUMBER = re.compile(r"\s*(-?\d+(?:\.\d+)?)(?:\s.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TrackedFields:
    """The fields whose changes are read in one run."""

    fields: tuple[TrackedField, ...]

    @classmethod
    def of(cls, custom: tuple[TrackedField, ...] = ()) -> "TrackedFields":
        """Return the built-in fields followed by custom ones."""
        return cls((*BUILT_IN, *custom))

    @property
    def in_lookback(self) -> tuple[TrackedField, ...]:
        """The fields that snapshots contain."""
        return tuple(field for field in self.fields if field.name not in _NOT_IN_LOOKBACK)

    @property
    def by_label(self) -> dict[str, TrackedField]:
        """The fields by their labels in revision texts."""
        return {label: field for field in self.fields for label in field.labels}


def number_text(value: object) -> str:
    """Format a quantity as briefly as possible: 3, 3.0 and ``3.0 Points`` become ``3``; other texts are unchanged."""
    match value:
        case None | "":
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value:.10g}"
        case str():
            match_ = _NUMBER.fullmatch(value)
            return f"{float(match_[1]):.10g}" if match_ else value
        case _:
            return str(value)


def flag_text(value: object) -> str:
    """Format a flag as ``true`` or ``false``; unset counts as false."""
    return "true" if value is True or value == "true" else "false"


def date_text(value: object) -> str:
    """Format a date as UTC, to the second, which is the precision of revisions; other texts are unchanged."""
    text = str(value or "").strip()
    match_ = _JAVA_DATE.fullmatch(text)
    if match_ and match_["zone"] in _ZONES and match_["month"] in _MONTHS:
        month = _MONTHS.index(match_["month"]) + 1
        iso = f"{match_['year']}-{month:02}-{int(match_['day']):02}T{match_['time']}{_ZONES[match_['zone']]}"
    else:
        iso = text
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return text
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment.tzinfo is not None else text


def choice_text(value: object) -> str:
    """Format the value of a drop-down; all of Rally's forms of "unset" are empty (rally-api-notes.md#empty-values)."""
    if value is None:
        return ""
    text = (value if isinstance(value, str) else str(value)).strip()
    return "" if text == "None" else text


def item_id_in(text: str) -> str:
    """Return the FormattedID in a text such as ``US12: its name``; any other text is returned unchanged."""
    match_ = re.match(r"([^\s:]*\d+)(?=: )", text)
    return match_[1] if match_ else text
