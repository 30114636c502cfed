"""What Accelerate holds, compared with what would be uploaded, field by field.

Only fields that the server returns can be compared. No published version of Accelerate returns histories, comments,
raw issues or relations (accelerate-api-notes.md#reading-issues-back); the embedded server does.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from rally_accelerate.accelerate.client import AccelerateClient
from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.accelerate.platform import instant
from rally_accelerate.model.issue import Issue

#: Fields that are kept as a digest: their values are long, and what differs in them is not shown.
LONG = frozenset({"description", "history", "comments", "relations", "rawIssue", "additionalInfo"})

#: Fields with an instant, also inside of sprints, releases and comments.
DATES = frozenset(
    {"created", "lastUpdate", "resolved", "startTime", "endTime", "completeTime", "releaseDate", "updated"}
)

#: Fields that come from the history, so they are open while the source has not got the last changes.
FROM_HISTORY = frozenset({"history", "sprints", "relations", "epic"})

#: What the fields that are counted consist of.
COUNTED = {"history": "changes", "comments": "comments", "relations": "relations"}

#: How fields are called in a difference; all others by their own name.
NAMES = {"history": "history", "rawIssue": "raw issue", "storyPoints": "story points", "lastUpdate": "last update"}

#: The fields that are reported first, in this order.
FIRST = {name: place for place, name in enumerate(("status", "name", "type", "owner", "priority", "history"))}

#: Longer values are cut in a difference.
LONGEST = 80


class Digest(NamedTuple):
    """A long value: equal ones have the same digest."""

    digest: str
    #: How many elements a list has.
    length: int


@dataclass(frozen=True, slots=True)
class Expected:
    """An issue as it would be uploaded, as much of it as is compared."""

    display_id: str
    #: The key of the project that it is in.
    project: str
    #: Comparable values by field.
    values: Mapping[str, Any]


@dataclass(slots=True)
class Compared:
    """What a comparison found."""

    #: How many of the expected issues Accelerate holds.
    issues: int = 0
    #: One sentence for each issue that differs, is missing, or should not be there.
    differences: list[str] = field(default_factory=list)
    #: Fields that are uploaded and that the server does not return.
    unreadable: tuple[str, ...] = ()


def expected(issue: Issue, *, without: Collection[str] = ()) -> Expected:
    """Return what an issue is compared by.

    Args:
        issue: As it would be uploaded.
        without: Fields that are not compared.
    """
    values = {name: comparable(name, value) for name, value in item_in(issue).items() if name not in without}
    return Expected(issue.display_id, issue.project.key if issue.project else "", values)


def comparable(name: str, value: Any) -> Any:
    """Return a value in the one form that it has on both sides.

    Servers answer instants as numbers or texts, lists in their own order, and what is empty as null, as an empty text
    or as an empty list.
    """
    if value is None or value in ("", [], {}):
        return None
    if name in LONG:
        form = _ordered(value) if name == "relations" else _plain(value)
        written = orjson.dumps(form, option=orjson.OPT_SORT_KEYS, default=str)
        digest = hashlib.blake2b(written, digest_size=16).hexdigest()
        return Digest(digest, len(value) if isinstance(value, list) else 1)
    return _ordered(value) if isinstance(value, list) else _plain(value, name)


async def compare(
    sink: AccelerateClient,
    wanted: Mapping[str, Expected],
    *,
    whole: bool,
    removed: Collection[str] = (),
) -> Compared:
    """Compare what Accelerate holds with what it should hold.

    Args:
        sink: Open.
        wanted: What it should hold, by external id.
        whole: Whether it should hold nothing else.
        removed: Statuses of issues that are marked as removed: those are rightly there without being expected.

    Raises:
        RallyAccelerateError: The server cannot be asked, or its answer has another form than the published one.
    """
    readable = await sink.readable_fields()
    sent = {name for each in wanted.values() for name in each.values}
    found = Compared(unreadable=tuple(sorted(sent - readable)))
    faults: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    held: set[str] = set()
    async for issue in sink.held(sorted({each.project for each in wanted.values() if each.project})):
        key = str(issue.get("_id"))
        names.setdefault(key, str(issue.get("id") or key))
        if key in held:
            faults.setdefault(key, []).append("is there twice")
            continue
        held.add(key)
        if key in wanted:
            found.issues += 1
            if told := _differences(wanted[key], issue, readable):
                faults.setdefault(key, []).append(told)
        elif whole and issue.get("status") not in removed:
            faults.setdefault(key, []).append("is in Accelerate, but not among the items of this integration")
    for key in wanted.keys() - held:
        names[key] = wanted[key].display_id
        faults[key] = ["is missing in Accelerate"]
    found.differences = [f"{names[key]}: {'; '.join(faults[key])}" for key in sorted(faults, key=_by_number)]
    return found


def _differences(wanted: Expected, issue: Mapping[str, Any], readable: Collection[str]) -> str:
    told = []
    # What people look at first comes first.
    for name in sorted(wanted.values.keys() & set(readable), key=lambda each: (FIRST.get(each, len(FIRST)), each)):
        value = wanted.values[name]
        there = comparable(name, issue.get(name))
        if name == "normalizedType" and there is None:
            continue
        if there != value:
            told.append(_difference(name, value, there))
    return "; ".join(told)


def _difference(name: str, value: Any, there: Any) -> str:
    what = NAMES.get(name, name)
    if isinstance(value, Digest) or isinstance(there, Digest):
        counts = [each.length if isinstance(each, Digest) else 0 for each in (there, value)]
        if name in COUNTED and counts[0] != counts[1]:
            return f"its {what} has {counts[0]} {COUNTED[name]} in Accelerate, and should have {counts[1]}"
        return f"its {what} differs"
    return f"its {what} is {_shown(there)} in Accelerate, and should be {_shown(value)}"


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    text = repr(value) if isinstance(value, str | int | float) else _words(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _words(value: Any) -> str:
    match value:
        case list() | tuple():
            return ", ".join(map(_words, value))
        case Mapping():
            return ", ".join(f"{name} {inner}" for name, inner in value.items())
        case _:
            return str(value)


def _plain(value: Any, name: str = "") -> Any:
    """Return a value without what is empty, with every instant in milliseconds and every number as a float."""
    match value:
        case Mapping():
            inner = {str(key): _plain(each, str(key)) for key, each in value.items()}
            return {key: each for key, each in inner.items() if each not in (None, "", [], {})}
        case list():
            return [_plain(each, name) for each in value if each is not None]
        case bool():
            return value
        case _ if name in DATES or name == "timestamp":
            moment = instant(value)
            return round(moment.timestamp() * 1000) if moment is not None else value
        case int():
            return float(value)
        case _:
            return value


def _ordered(value: Any) -> list[Any]:
    """Return a list whose order says nothing, in one order."""
    key: Callable[[Any], str] = lambda each: str(each.get("id") if isinstance(each, Mapping) else each)  # noqa: E731
    return sorted((_plain(each) for each in value if each is not None), key=key)


def _by_number(key: str) -> tuple[int, int | str]:
    return (0, int(key)) if key.isdecimal() else (1, key)
