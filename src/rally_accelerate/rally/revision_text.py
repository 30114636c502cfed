"""Parser of revision texts: returns clauses, or "unparsed" instead of a guess. No I/O.

See rally-api-notes.md#revision-texts, rally-api-notes.md#revision-examples and rally-api-notes.md#ambiguous-texts.

The texts are written for people: nothing is escaped, and a value can contain anything, even a text that looks like the
next clause. A text is parsed only when it has one reading:

- Every position that looks like the beginning of a clause is one: at the beginning, or after ``, ``
  that follows ``]``, ``up``, ``down`` or ``changed``; it has an upper-case label and one of the known verbs.
- All of the text must be consumed, and the brackets inside each value must be balanced wherever another split
  would be possible. A value that ends in ``:]``, for example, next to other clauses has two readings: then the
  text stays unparsed.
- If that fails because a value looks like a beginning, every combination of beginnings is tried. The text is parsed
  when only one of them consumes it, or only one has values with balanced brackets and none has more clauses.
- Of a truncated text, the clauses before the last one are parsed. The last one stays unparsed, complete or not, because
  its value can continue after the end, unless its values never look like clauses.

Not recognizable: a value that contains a complete clause between closing and opening brackets.
"""

import html
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from rally_accelerate.rally.records import FieldChange

#: Descriptions are truncated here (rally-api-notes.md#revision-texts), so a text of this length can lack its end.
MAX_DESCRIPTION_LENGTH = 4000

#: Maximum number of possible beginnings that are tried in every combination; the time grows with their square. A text
#: with more stays unparsed.
MAX_STARTS = 40

#: Replaces a value above about 1985 characters (rally-api-notes.md#revision-texts).
TOO_LONG = "value too long to display"


class Verb(StrEnum):
    """The kind of change in a clause."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One clause; values are unchanged, including HTML entities."""

    #: The field's display label in upper case, whole: ``STATE`` is never found in ``SCHEDULE STATE``.
    label: str
    #: None when the text lacks it; an empty text when the value was empty.
    before: str | None
    after: str | None
    verb: Verb = Verb.CHANGED


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text about an event without a field, for example ``Original revision``."""

    text: str


@dataclass(frozen=True, slots=True)
class Cut:
    """The end of a truncated text, after the last complete clause."""

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

#: A label has no lower-case letters and no brackets; it can have digits, punctuation and any script.
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
            like the beginning of a clause is recognized where the text alone has more than one
            reading.
        short: Labels of fields whose values never look like clauses, such as states, flags and dates. They are parsed
            even where a later value of a truncated text has more than one reading.
        known: Known values of the item that look like clauses, as they appear in texts.
    """
    for value in sorted(known, key=len, reverse=True):
        if value in text and (around := _parse_around(text, value, labels, short, known)) is not None:
            return around
    if _SENTENCES.fullmatch(text):
        return (Sentence(text),)
    starts = _find_starts(text)
    if _is_full(text):
        return _parse_before_cut(text, starts, short)
    clauses = _parse_clauses(text, starts)
    if isinstance(clauses, Unparsed) and is_cut(text):
        return _parse_before_cut(text, starts, short)
    if isinstance(clauses, Unparsed) and (only := _find_only_reading(text, starts)):
        return only
    if isinstance(clauses, Unparsed) and labels:
        labelled = [start for start in starts if _label_at(text, start) in labels]
        if labelled != starts:
            clauses = _parse_clauses(text, labelled)
    return clauses


def looks_like_clause(value: str) -> bool:
    """Return whether a value contains the beginning of a clause and can be mistaken for one."""
    if not any(end in value for end in ("], ", "up, ", "down, ", "changed, ")):
        return False
    return any(match_.start() > 0 for match_ in _START.finditer(value))


def _parse_around(
    text: str, value: str, labels: Collection[str], short: Collection[str], known: Collection[str]
) -> Clauses | None:
    """Parse a text with a placeholder for a value; return None if that fails."""
    # Rally's texts do not hold this character, which is for private use.
    mark = "\ue0f0" * (1 + text.count("\ue0f0"))
    others = [other for other in known if other != value]
    clauses = parse(text.replace(value, mark), labels=labels, short=short, known=others)
    if isinstance(clauses, Unparsed):
        return None

    def restore(part: str | None) -> str | None:
        return part if part is None else part.replace(mark, value)

    return tuple(
        replace(clause, before=restore(clause.before), after=restore(clause.after))
        if isinstance(clause, Change)
        else replace(clause, text=clause.text.replace(mark, value))
        for clause in clauses
    )


def is_cut(text: str) -> bool:
    """Return whether a description can be truncated: it has the maximum length, or ends inside a value."""
    ended = text.endswith(("]", "changed", "moved up", "moved down"))
    return _is_full(text) or (_START.match(text) is not None and not ended)


def _is_full(text: str) -> bool:
    if len(text) * 2 < MAX_DESCRIPTION_LENGTH:
        return False
    # Java counts a character outside of the basic plane as two.
    return len(text) + sum(char > "\uffff" for char in text) >= MAX_DESCRIPTION_LENGTH


def _parse_before_cut(text: str, starts: Sequence[int], short: Collection[str]) -> Clauses | Unparsed:
    """Parse the complete clauses of a truncated text."""
    nothing = Unparsed(text, "the text may have been cut")
    if not starts or starts[0] != 0:
        return nothing
    if (end := _find_short_end(text, starts[-1], short)) is not None:
        complete = _parse_clauses(text[:end], starts, alone=False)
        if not isinstance(complete, Unparsed):
            return (*complete, Cut(text[end:].removeprefix(",").strip()))
    if len(starts) == 1:
        return nothing
    if not _is_clause_prefix(text[starts[-1] :]):
        # The last possible beginning is inside a value, which can have begun in any free text before.
        free = next((index for index, start in enumerate(starts) if _label_at(text, start) not in short), None)
        starts = starts if free is None else starts[: free + 1]
        if len(starts) == 1:
            return nothing
    last = starts[-1]
    clauses = _parse_clauses(text[: last - len(", ")], starts[:-1], alone=False)
    return nothing if isinstance(clauses, Unparsed) else (*clauses, Cut(text[last:]))


def _find_short_end(text: str, start: int, short: Collection[str]) -> int | None:
    """Return where the last clause ends if it is complete and its values never imitate clauses; None otherwise."""
    if _label_at(text, start) not in short or not _is_clause_prefix(text[start:]):
        return None
    end = text.rfind("]") + 1
    clause = _clause_readings(text[start:end])
    return end if end > start and len(clause) == 1 and _has_values(clause[0]) else None


def _is_clause_prefix(part: str) -> bool:
    """Return whether a text can be the beginning of one truncated clause with paired brackets."""
    start = _START.match(part)
    assert start is not None  # the caller found a beginning here
    values = 2 if start[0].endswith(" from [") else 1
    remainder = part[start.end() :] if start[0].endswith("[") else ""
    for value in range(values):
        end = _find_closing(remainder)
        if end is None:
            return True
        following, remainder = remainder[end:], remainder[end + len(_BETWEEN) :]
        if value < values - 1 and not following.startswith(_BETWEEN):
            return _BETWEEN.startswith(following)
    # The value has ended, so that at most the beginning of another clause's label follows.
    return re.fullmatch(r"\](?:,(?: [^\[\]a-z]*[a-z ]{0,14})?)?", following) is not None


def _find_closing(value: str) -> int | None:
    """Return the position of the first unmatched closing bracket, if there is one."""
    depth = 0
    for position, char in enumerate(value):
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth < 0:
                return position
    return None


def unescape(value: str) -> str:
    """Resolve the HTML entities of a value, not its markup (texts are HTML, rally-api-notes.md#revision-texts)."""
    return html.unescape(value)


def _find_starts(text: str) -> list[int]:
    return [match_.start() for match_ in _START.finditer(text) if _is_label(match_["label"])]


def _label_at(text: str, start: int) -> str:
    match_ = _START.match(text, start)
    return match_["label"] if match_ else ""


def _is_label(word: str) -> bool:
    # Lower case of any script, not only of ours, shows that it is a value's text.
    return word == word.strip() and word == word.upper() and any(char.isalnum() for char in word)


def _parse_clauses(text: str, starts: Sequence[int], *, alone: bool | None = None) -> Clauses | Unparsed:
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
        natural = [choice for choice in choices if _is_balanced(choice)]
        if len(natural) == 1:
            clauses.append(natural[0])
        elif alone and len(choices) == 1:
            clauses.append(choices[0])
        else:
            return Unparsed(text, "the text has more than one reading")
    return tuple(clauses)


def _find_only_reading(text: str, starts: Sequence[int]) -> Clauses | None:
    """Return the only possible reading of a text with values that look like clauses; None for several."""
    if not starts or starts[0] != 0 or len(starts) > MAX_STARTS:
        return None
    ends = [*(start - len(", ") for start in starts[1:]), len(text)]
    # What follows each beginning, from the last one on: all readings and the natural ones, and the most clauses.
    every, natural, most = [_Readings(1, ())], [_Readings(1, ())], [0]
    for at in reversed(range(len(starts))):
        ways: list[tuple[Change, int]] = []
        for end in range(at, len(starts)):
            next_index = len(starts) - 1 - end
            if every[next_index].total:
                ways.extend((choice, next_index) for choice in _clause_readings(text[starts[at] : ends[end]]))
        most.append(max((1 + most[next_index] for _, next_index in ways), default=0))
        natural.append(_combine([way for way in ways if _is_balanced(way[0])], natural))
        every.append(_combine(ways, every))
    if every[-1].total == 1:
        return every[-1].first
    return natural[-1].first if natural[-1].total == 1 and len(natural[-1].first) == most[-1] else None


class _Readings(NamedTuple):
    """The number of readings of a part of a text, and the first of them."""

    total: int
    first: tuple[Change, ...]


def _combine(ways: Sequence[tuple[Change, int]], following: Sequence[_Readings]) -> _Readings:
    first = next(((choice, *following[index].first) for choice, index in ways if following[index].total), ())
    return _Readings(sum(following[index].total for _, index in ways), first)


def _clause_readings(part: str) -> list[Change]:
    """Return every way to read a text as exactly one clause."""
    match_ = _CLAUSE.fullmatch(part)
    if not match_ or not _is_label(match_["label"]):
        return []
    label = match_["label"]
    match match_.lastgroup:
        case "both":
            inner = match_["both"]
            cuts = [cut.start() for cut in re.finditer(rf"(?={re.escape(_BETWEEN)})", inner)]
            return [Change(label, inner[:cut], inner[cut + len(_BETWEEN) :]) for cut in cuts]
        case "to":
            change = Change(label, None, match_["to"])
        case "added":
            change = Change(label, None, match_["added"], Verb.ADDED)
        case "removed":
            change = Change(label, match_["removed"], None, Verb.REMOVED)
        case "moved":
            change = Change(label, None, match_["moved"], Verb.MOVED)
        case _:
            change = Change(label, None, None)
    return [change]


def _has_values(change: Change) -> bool:
    return change.verb is not Verb.MOVED and not (change.before is None and change.after is None)


def _is_balanced(change: Change) -> bool:
    return all(_has_paired_brackets(value) for value in (change.before, change.after) if value is not None)


def _has_paired_brackets(value: str) -> bool:
    return _find_closing(value) is None and value.count("[") == value.count("]")


class UnknownClause(NamedTuple):
    """A clause with an unknown label, which can be a former label of a tracked field."""

    position: int
    before: str
    after: str


class RenameTracker:
    """Tracker of renamed values in one item's changes, from the newest to the oldest.

    Args:
        present: The current values of fields; other fields are ignored.
        foreign: Clauses under unknown labels.
    """

    def __init__(self, present: Mapping[str, str], foreign: Sequence[UnknownClause]) -> None:
        #: Whether every change leads to the next one, and the newest to the current value, as far as they are known.
        self.is_consistent = True
        self._fields = present.keys()
        #: Values that the next save started from, by field; others are unknown.
        self._expected = dict(present)
        #: Today's names by former ones.
        self._names: dict[str, dict[str, str]] = {name: {} for name in present}
        self._foreign = foreign
        #: In which save the expected value was seen; None for the present one.
        self._seen: dict[str, int | None] = dict.fromkeys(present)

    def forget(self, field: str | None = None) -> None:
        """Forget the state of one field, or of all fields."""
        for name in self._fields if field is None else self._fields & {field}:
            self._expected.pop(name, None)
            self._names[name] = {}

    def translate(self, change: FieldChange, position: int) -> FieldChange:
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
            # The meaning of each name is unknown, so later results can be wrong as well.
            self.is_consistent = False
            self.forget(name)
            before, after = change.before, change.after
        self._expected[name], self._seen[name] = before, position
        return change._replace(before=before, after=after)

    def _may_have_changed(self, field: str, position: int, before: str, after: str) -> bool:
        """Return whether a clause with an unknown label can explain a change of a value between two saves."""
        seen = self._seen[field]
        return any(
            (clause.before == before or clause.after == after)
            for clause in self._foreign
            if clause.position >= position and (seen is None or clause.position <= seen)
        )
