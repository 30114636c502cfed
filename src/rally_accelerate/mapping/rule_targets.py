"""The fields of an issue that rules can set, and the values that they accept.

Names are those of the upload (accelerate-api-notes.md#issue-fields); ``severity``, ``impact``, ``resolution``,
``resolved``, ``changeType`` and ``businessValue`` exist on newer servers only, so callers check the server's version
before sending them.
"""

import math
from datetime import datetime

from rally_accelerate.mapping import field_readers
from rally_accelerate.model.issue import NormalizedType
from rally_accelerate.model.suggestions import suggest_names

#: What a target may hold once rules are applied.
Value = str | float | datetime | tuple[str, ...] | None

TEXTS = ("name", "description", "status", "type", "priority", "resolution", "epic", "changeType")
LISTS = ("labels", "sprints")
NUMBERS = ("storyPoints", "businessValue")
INSTANTS = ("resolved",)
#: One value outside these and the server rejects the whole upload (accelerate-api-notes.md#issue-fields).
CHOICES = {
    "severity": tuple(f"SEV{level}" for level in range(1, 6)),
    "impact": tuple(f"IMPACT{level}" for level in range(1, 6)),
    "normalizedType": tuple(normalized_type.value for normalized_type in NormalizedType),
}
TARGETS = (*TEXTS, *LISTS, *NUMBERS, *INSTANTS, *CHOICES)

#: An issue always has these: an empty source leaves them as they are.
NEVER_EMPTY = frozenset({"name", "status", "type", "normalizedType"})

#: Targets with this prefix accept any name.
EXTENDED = "extended."
_IDENTITY = frozenset({"id", "_id"})


def parse_target(written: str, *, suggest: bool = True) -> str:
    """Return the target for a name; case does not matter.

    Args:
        written: The name as written.
        suggest: Whether names like an unknown one are looked for.

    Raises:
        ValueError: It names none; the message is a sentence without subject.
    """
    name = written.strip()
    if name.casefold() in _IDENTITY:
        raise ValueError("cannot be mapped: it identifies the item")
    if name.casefold().startswith(EXTENDED):
        segment = name[len(EXTENDED) :]
        if not segment.strip() or segment != segment.strip() or "." in segment or "*" in segment:
            raise ValueError("needs one name after the dot, for example extended.riskLevel")
        return EXTENDED + segment
    target = {target_name.casefold(): target_name for target_name in TARGETS}.get(name.casefold())
    if target is None:
        near = suggest_names(name, TARGETS) if suggest else ""
        raise ValueError(
            f"is not a field that can be mapped{near}; there are {', '.join(TARGETS)} and {EXTENDED}<name>"
        )
    return target


def convert_value(target: str, text: str) -> Value:
    """Convert a text to the type of a target; members of a list are converted one by one.

    Raises:
        ValueError: It cannot be; the message is a sentence without subject.
    """
    if target in NUMBERS:
        return _parse_number(text)
    if target in INSTANTS:
        return _parse_datetime(text)
    if target in CHOICES:
        choice = {allowed.casefold(): allowed for allowed in CHOICES[target]}.get(text.strip().casefold())
        if choice is None:
            raise ValueError(f"is none of {', '.join(CHOICES[target])}")
        return choice
    return text


def _parse_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is no number") from None
    if not math.isfinite(number):
        # Python reads nan and infinity; JSON has neither.
        raise ValueError("is no number")
    return number


def _parse_datetime(text: str) -> datetime:
    try:
        moment = field_readers.read_datetime({"instant": text.strip()}, "instant")
    except OverflowError:
        # A date at the very edge of the calendar has no UTC.
        moment = None
    if moment is None:
        raise ValueError("is not a date such as 2026-01-31T12:00:00Z")
    return moment
