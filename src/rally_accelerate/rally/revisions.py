"""Revision texts to clauses, or "unparsed", never a guess; pure (rally-api.md 3.2 to 3.4).

The texts are made for people: nothing is escaped, and a value may hold anything, even what looks like the
next clause. A text is read only when it can be read in one way:

- Every place that looks like the beginning of a clause is one. It stands at the beginning, or behind ``, ``
  that follows ``]``, ``up``, ``down`` or ``changed``; it has an upper-case label and one of the known verbs.
- The whole text must be consumed so, and the brackets inside each value must pair up wherever another split
  would be possible. A value that ends in ``:]``, say, beside other clauses leaves two readings: then none is
  taken.
- Where that leads nowhere because a value imitates a beginning, every choice of beginnings is tried, and the text is
  read when only one of them leads to its end.

What cannot be told by anybody: a value that spells out a complete clause between its own brackets' ends.
"""

import html
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, product

#: Descriptions are cut here (rally-api.md 3.2), so a text of this length may lack its end.
LONGEST_DESCRIPTION = 4000

#: So many places that look like beginnings are tried in every combination; a longer text stays unparsed.
MOST_STARTS_TRIED = 7

#: Stands in the place of a value above about 1985 characters (rally-api.md 3.2).
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
class Unparsed:
    """A text that has no reading, or more than one; it stays one change."""

    text: str
    reason: str


Clauses = tuple[Change | Sentence, ...]

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


def parse(text: str, *, labels: Collection[str] = ()) -> Clauses | Unparsed:
    """The clauses of a revision's description, or the text as one unparsed change.

    Args:
        text: ``Revision.Description``.
        labels: Every label that can occur, in upper case, if they are known: then a place that only looks
            like the beginning of a clause is told from a real one where the text alone leaves more than one
            reading.
    """
    if _SENTENCES.fullmatch(text):
        return (Sentence(text),)
    if len(text) >= LONGEST_DESCRIPTION:
        return Unparsed(text, "the text may have been cut")
    starts = _starts(text)
    found = _read(text, starts)
    if isinstance(found, Unparsed) and (only := _only_reading(text, starts)):
        return only
    if isinstance(found, Unparsed) and labels:
        known = [start for start in starts if _label_at(text, start) in labels]
        if known != starts:
            found = _read(text, known)
    return found


def unescape(value: str) -> str:
    """A value with its HTML entities resolved (texts are HTML, rally-api.md 3.2); markup stays."""
    return html.unescape(value)


def _starts(text: str) -> list[int]:
    return [found.start() for found in _START.finditer(text) if _is_label(found["label"])]


def _label_at(text: str, start: int) -> str:
    found = _START.match(text, start)
    return found["label"] if found else ""


def _is_label(word: str) -> bool:
    # Lower case of any script, not only of ours, shows that it is a value's text.
    return word == word.strip() and word == word.upper() and any(char.isalnum() for char in word)


def _read(text: str, starts: Sequence[int]) -> Clauses | Unparsed:
    if not starts or starts[0] != 0:
        return Unparsed(text, "the text does not begin with a known form")
    ends = [start - len(", ") for start in starts[1:]] + [len(text)]
    readings = [_clause_readings(text[start:end]) for start, end in zip(starts, ends, strict=True)]
    if not all(readings):
        return Unparsed(text, "a part of the text has no known form")
    # One value alone can only end at the end: its text has one reading whatever its brackets do. Several
    # values could also be fewer, longer ones: only values whose brackets pair up cannot be parts of a longer
    # one that does.
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
    """The reading of a text that has no other, though a value in it imitates a beginning; None where there are more."""
    if not starts or starts[0] != 0 or len(starts) > MOST_STARTS_TRIED:
        return None
    found: list[Clauses] = []
    for count in range(len(starts)):
        for chosen in combinations(starts[1:], count):
            ends = [start - len(", ") for start in chosen] + [len(text)]
            parts = [_clause_readings(text[start:end]) for start, end in zip((0, *chosen), ends, strict=True)]
            found.extend(product(*parts))
            if len(found) > 1:
                return None
    return found[0] if found else None


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
    depth = 0
    for char in value:
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth < 0:
                return False
    return depth == 0
