"""Revision texts to clauses, or "unparsed", never a guess; pure.

See rally-api-notes.md#revision-texts, rally-api-notes.md#revision-examples and rally-api-notes.md#ambiguous-texts.

The texts are made for people: nothing is escaped, and a value may hold anything, even what looks like the
next clause. A text is read only when it can be read in one way:

- Every place that looks like the beginning of a clause is one. It stands at the beginning, or behind ``, ``
  that follows ``]``, ``up``, ``down`` or ``changed``; it has an upper-case label and one of the known verbs.
- The whole text must be consumed so, and the brackets inside each value must pair up wherever another split
  would be possible. A value that ends in ``:]``, say, beside other clauses leaves two readings: then none is
  taken.
- Where that leads nowhere because a value imitates a beginning, every choice of beginnings is tried. The text is read
  when only one of them leads to its end, or only one has values whose brackets pair up and none has more clauses.
- Of a text that was cut, wherever that was, the clauses in front of the last one are read. The last one stays unread,
  complete or not, because its value may continue behind the cut, unless its values never imitate clauses.

What cannot be told by anybody: a value that spells out a complete clause between its own brackets' ends.
"""

import html
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from rally_accelerate.rally.records import FieldChange

#: Descriptions are cut here (rally-api-notes.md#revision-texts), so a text of this length may lack its end.
LONGEST_DESCRIPTION = 4000

#: So many places that look like beginnings are tried in every combination; the work grows with their square. A longer
#: text stays unparsed.
MOST_STARTS_TRIED = 40

#: Stands in the place of a value above about 1985 characters (rally-api-notes.md#revision-texts).
TOO_LONG = "value too long to display"


class Verb(StrEnum):
    """What a clause says."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One clause; values are as they came, HTML entities included."""

    #: The field's display label in upper case, whole: ``STATE`` is never found in ``SCHEDULE STATE``.
    label: str
    #: None when the text does not say; an empty text when it says empty.
    before: str | None
    after: str | None
    verb: Verb = Verb.CHANGED


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text that tells of an event without naming a field, for example ``Original revision``."""

    text: str


@dataclass(frozen=True, slots=True)
class Cut:
    """The end of a text that was cut: what follows the last complete clause."""

    text: str


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A text that has no reading, or more than one; it stays one change."""

    text: str
    reason: str


#: Only the last one may be ``Cut``.
Clauses = tuple[Change | Sentence | Cut, ...]

_SENTENCES = re.compile(
    r"Original revision|Original story creation|Moved to Recycle\b.*|Recovered from Recycle\b.*", re.DOTALL
)

#: A label has no lower-case letters and no brackets; it may have digits, punctuation and any script.
_LABEL = r"(?P<label>[^\[\]a-z\s][^\[\]a-z\n]{0,127}?)"
_VERBS = r"(?: changed from \[| changed to \[| added \[| removed \[| changed(?=, |$)| moved (?:up|down)(?=, |$))"
_START = re.compile(rf"(?:\A|(?<=\], )|(?<=\bup, )|(?<=\bdown, )|(?<=\bchanged, )){_LABEL}{_VERBS}")
_CLAUSE = re.compile(
    rf"{_LABEL} (?:changed from \[(?P<both>.*)\]|changed to \[(?P<to>.*)\]"
    r"|added \[(?P<added>.*)\]|removed \[(?P<removed>.*)\]"
    r"|(?P<bare>changed)|moved (?P<moved>up|down))",
    re.DOTALL,
)
_BETWEEN = "] to ["


def parse(
    text: str, *, labels: Collection[str] = (), short: Collection[str] = (), known: Collection[str] = ()
) -> Clauses | Unparsed:
    """Return the clauses of a revision's description, or the text as one unparsed change.

    Args:
        text: ``Revision.Description``.
        labels: Every label that can occur, in upper case, if they are known: then a place that only looks
            like the beginning of a clause is told from a real one where the text alone leaves more than one
            reading.
        short: Labels of fields whose values never imitate clauses, such as states, flags and dates. They are read even
            where a later value of a cut text leaves more than one reading.
        known: Values that imitate clauses and that the item is known to have had, as they stand in texts.
    """
    for value in sorted(known, key=len, reverse=True):
        if value in text and (around := _around(text, value, labels, short, known)) is not None:
            return around
    if _SENTENCES.fullmatch(text):
        return (Sentence(text),)
    starts = _starts(text)
    if _is_full(text):
        return _before_the_cut(text, starts, short)
    found = _read(text, starts)
    if isinstance(found, Unparsed) and is_cut(text):
        return _before_the_cut(text, starts, short)
    if isinstance(found, Unparsed) and (only := _only_reading(text, starts)):
        return only
    if isinstance(found, Unparsed) and labels:
        labelled = [start for start in starts if _label_at(text, start) in labels]
        if labelled != starts:
            found = _read(text, labelled)
    return found


def imitates(value: str) -> bool:
    """Return whether a value spells out the beginning of a clause, so that its text may be taken for clauses."""
    if not any(end in value for end in ("], ", "up, ", "down, ", "changed, ")):
        return False
    return any(found.start() > 0 for found in _START.finditer(value))


def _around(
    text: str, value: str, labels: Collection[str], short: Collection[str], known: Collection[str]
) -> Clauses | None:
    """Read a text with a mark in the place of a value; None where that leads nowhere."""
    # Rally's texts do not hold this character, which is for private use.
    mark = "\ue0f0" * (1 + text.count("\ue0f0"))
    others = [each for each in known if each != value]
    found = parse(text.replace(value, mark), labels=labels, short=short, known=others)
    if isinstance(found, Unparsed):
        return None

    def whole(part: str | None) -> str | None:
        return part if part is None else part.replace(mark, value)

    return tuple(
        replace(each, before=whole(each.before), after=whole(each.after))
        if isinstance(each, Change)
        else replace(each, text=each.text.replace(mark, value))
        for each in found
    )


def is_cut(text: str) -> bool:
    """Return whether a description may lack its end: it is as long as Rally lets one be, or ends inside a value."""
    ended = text.endswith(("]", "changed", "moved up", "moved down"))
    return _is_full(text) or (_START.match(text) is not None and not ended)


def _is_full(text: str) -> bool:
    if len(text) * 2 < LONGEST_DESCRIPTION:
        return False
    # Java counts a character outside of the basic plane as two.
    return len(text) + sum(char > "\uffff" for char in text) >= LONGEST_DESCRIPTION


def _before_the_cut(text: str, starts: Sequence[int], short: Collection[str]) -> Clauses | Unparsed:
    """Read the complete clauses of a cut text."""
    nothing = Unparsed(text, "the text may have been cut")
    if not starts or starts[0] != 0:
        return nothing
    if (end := _end_of_short(text, starts[-1], short)) is not None:
        whole = _read(text[:end], starts, alone=False)
        if not isinstance(whole, Unparsed):
            return (*whole, Cut(text[end:].removeprefix(",").strip()))
    if len(starts) == 1:
        return nothing
    if not _is_begun(text[starts[-1] :]):
        # The last place that looks like a beginning is inside a value, which may have begun in any free text before.
        free = next((place for place, start in enumerate(starts) if _label_at(text, start) not in short), None)
        starts = starts if free is None else starts[: free + 1]
        if len(starts) == 1:
            return nothing
    last = starts[-1]
    found = _read(text[: last - len(", ")], starts[:-1], alone=False)
    return nothing if isinstance(found, Unparsed) else (*found, Cut(text[last:]))


def _end_of_short(text: str, start: int, short: Collection[str]) -> int | None:
    """Return where the last clause ends if it is complete and its values never imitate clauses; None otherwise."""
    if _label_at(text, start) not in short or not _is_begun(text[start:]):
        return None
    end = text.rfind("]") + 1
    clause = _clause_readings(text[start:end])
    return end if end > start and len(clause) == 1 and _has_values(clause[0]) else None


def _is_begun(part: str) -> bool:
    """Whether a text can be the beginning of one clause that was cut, with brackets that pair up."""
    start = _START.match(part)
    assert start is not None  # the caller found a beginning here
    values = 2 if start[0].endswith(" from [") else 1
    rest = part[start.end() :] if start[0].endswith("[") else ""
    for value in range(values):
        end = _closing(rest)
        if end is None:
            return True
        behind, rest = rest[end:], rest[end + len(_BETWEEN) :]
        if value < values - 1 and not behind.startswith(_BETWEEN):
            return _BETWEEN.startswith(behind)
    # The value has ended, so that at most the beginning of another clause's label follows.
    return re.fullmatch(r"\](?:,(?: [^\[\]a-z]*[a-z ]{0,14})?)?", behind) is not None


def _closing(value: str) -> int | None:
    """Return the place of the bracket that closes a value's own, if there is one."""
    depth = 0
    for place, char in enumerate(value):
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth < 0:
                return place
    return None


def unescape(value: str) -> str:
    """A value with its HTML entities resolved (texts are HTML, rally-api-notes.md#revision-texts); markup stays."""
    return html.unescape(value)


def _starts(text: str) -> list[int]:
    return [found.start() for found in _START.finditer(text) if _is_label(found["label"])]


def _label_at(text: str, start: int) -> str:
    found = _START.match(text, start)
    return found["label"] if found else ""


def _is_label(word: str) -> bool:
    # Lower case of any script, not only of ours, shows that it is a value's text.
    return word == word.strip() and word == word.upper() and any(char.isalnum() for char in word)


def _read(text: str, starts: Sequence[int], *, alone: bool | None = None) -> Clauses | Unparsed:
    if not starts or starts[0] != 0:
        return Unparsed(text, "the text does not begin with a known form")
    ends = [start - len(", ") for start in starts[1:]] + [len(text)]
    readings = [_clause_readings(text[start:end]) for start, end in zip(starts, ends, strict=True)]
    if not all(readings):
        return Unparsed(text, "a part of the text has no known form")
    # One value alone can only end at the end: its text has one reading whatever its brackets do. Several
    # values could also be fewer, longer ones: only values whose brackets pair up cannot be parts of a longer
    # one that does.
    if alone is None:
        alone = sum(1 for choices in readings if _has_values(choices[0])) <= 1
    clauses: list[Change] = []
    for choices in readings:
        natural = [choice for choice in choices if _balanced(choice)]
        if len(natural) == 1:
            clauses.append(natural[0])
        elif alone and len(choices) == 1:
            clauses.append(choices[0])
        else:
            return Unparsed(text, "the text has more than one reading")
    return tuple(clauses)


def _only_reading(text: str, starts: Sequence[int]) -> Clauses | None:
    """Return the one reading that a text can have although a value in it imitates a beginning; None for several."""
    if not starts or starts[0] != 0 or len(starts) > MOST_STARTS_TRIED:
        return None
    ends = [*(start - len(", ") for start in starts[1:]), len(text)]
    # What follows each beginning, from the last one on: all readings and the natural ones, and the most clauses.
    every, natural, most = [_Found(1, ())], [_Found(1, ())], [0]
    for at in reversed(range(len(starts))):
        ways: list[tuple[Change, int]] = []
        for place in range(at, len(starts)):
            behind = len(starts) - 1 - place
            if every[behind].readings:
                ways.extend((choice, behind) for choice in _clause_readings(text[starts[at] : ends[place]]))
        most.append(max((1 + most[behind] for _, behind in ways), default=0))
        natural.append(_joined([way for way in ways if _balanced(way[0])], natural))
        every.append(_joined(ways, every))
    if every[-1].readings == 1:
        return every[-1].first
    return natural[-1].first if natural[-1].readings == 1 and len(natural[-1].first) == most[-1] else None


class _Found(NamedTuple):
    """How many readings a part of a text has, and the first of them."""

    readings: int
    first: tuple[Change, ...]


def _joined(ways: Sequence[tuple[Change, int]], behind: Sequence[_Found]) -> _Found:
    first = next(((choice, *behind[place].first) for choice, place in ways if behind[place].readings), ())
    return _Found(sum(behind[place].readings for _, place in ways), first)


def _clause_readings(part: str) -> list[Change]:
    """Every way to read one clause that begins and ends where the part does."""
    found = _CLAUSE.fullmatch(part)
    if not found or not _is_label(found["label"]):
        return []
    label = found["label"]
    match found.lastgroup:
        case "both":
            inner = found["both"]
            cuts = [cut.start() for cut in re.finditer(rf"(?={re.escape(_BETWEEN)})", inner)]
            return [Change(label, inner[:cut], inner[cut + len(_BETWEEN) :]) for cut in cuts]
        case "to":
            change = Change(label, None, found["to"])
        case "added":
            change = Change(label, None, found["added"], Verb.ADDED)
        case "removed":
            change = Change(label, found["removed"], None, Verb.REMOVED)
        case "moved":
            change = Change(label, None, found["moved"], Verb.MOVED)
        case _:
            change = Change(label, None, None)
    return [change]


def _has_values(change: Change) -> bool:
    return change.verb is not Verb.MOVED and not (change.before is None and change.after is None)


def _balanced(change: Change) -> bool:
    return all(_pairs_up(value) for value in (change.before, change.after) if value is not None)


def _pairs_up(value: str) -> bool:
    return _closing(value) is None and value.count("[") == value.count("]")


class Foreign(NamedTuple):
    """A clause of a field that is not known by its label: the label may be a former one of a tracked field."""

    position: int
    before: str
    after: str


class Renaming:
    """Goes through one item's changes from the newest to the oldest.

    Args:
        present: What fields hold now; only those fields are looked at.
        foreign: Clauses under unknown labels.
    """

    def __init__(self, present: Mapping[str, str], foreign: Sequence[Foreign]) -> None:
        #: Whether every change leads to the next one, and the newest to the present value, as far as they are known.
        self.closed = True
        self._fields = present.keys()
        #: What the next save found, by field; unknown where there is nothing.
        self._expected = dict(present)
        #: Today's names by former ones.
        self._names: dict[str, dict[str, str]] = {name: {} for name in present}
        self._foreign = foreign
        #: In which save the expected value was seen; None for the present one.
        self._seen: dict[str, int | None] = dict.fromkeys(present)

    def forget(self, field: str | None = None) -> None:
        """Infer nothing across this place, for one field or for all."""
        for name in self._fields if field is None else self._fields & {field}:
            self._expected.pop(name, None)
            self._names[name] = {}

    def of(self, change: FieldChange, position: int) -> FieldChange:
        """Return a change with today's names.

        Args:
            change: The next older one.
            position: That of its save.
        """
        name = change.field
        if name not in self._fields or not isinstance(change.before, str) or not isinstance(change.after, str):
            return change
        names, expected = self._names[name], self._expected.get(name)
        after = names.get(change.after, change.after)
        if expected and after and after != expected:
            if self._may_have_changed(name, position, change.after, expected):
                self.forget(name)
                names, after = self._names[name], change.after
            else:
                names[change.after] = after = expected
        before = names.get(change.before, change.before)
        merged = before == after and change.before != change.after
        # A current name that appears in a change from before it was given belonged to another value.
        reused = not {change.before, change.after}.isdisjoint(set(names.values()) - names.keys())
        if merged or reused:
            # Which value each name meant is not known, so that what was told since may be wrong as well.
            self.closed = False
            self.forget(name)
            before, after = change.before, change.after
        self._expected[name], self._seen[name] = before, position
        return change._replace(before=before, after=after)

    def _may_have_changed(self, field: str, position: int, left: str, found: str) -> bool:
        """Whether a clause under an unknown label leads from one value to another between two saves."""
        seen = self._seen[field]
        return any(
            (each.before == left or each.after == found)
            for each in self._foreign
            if each.position >= position and (seen is None or each.position <= seen)
        )
