"""Refuse comparisons that can never match because of how their value is written.

A value that is not what its author meant finds nothing, and an empty list looks like an answer. Each check names what
to write instead. What is a date, a number or a flag is known for the fields of the published types
(accelerate-api-notes.md#issue-fields); of other fields only the form of the value is judged.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rally_accelerate.dql.ast import Operator, Value
from rally_accelerate.errors import QueryError
from rally_accelerate.model.text_folding import fold, plain

_DATES = {
    "issue": frozenset(
        {
            *("created", "lastupdate", "resolved", "sprints.starttime", "sprints.endtime", "sprints.completetime"),
            *("releases.releasedate", "comments.created", "comments.updated", "history.timestamp"),
        }
    ),
    "pr": frozenset({"created", "lastupdate", "merged"}),
    "commit": frozenset({"created"}),
    "build": frozenset({"starttime", "endtime"}),
}
_NUMBERS = {"issue": frozenset({"storypoints", "businessvalue"}), "pr": frozenset({"number"})}
_FLAGS = {
    "issue": frozenset({"sprints.active", "releases.released", "releases.archived"}),
    "pr": frozenset({"draft"}),
}
#: Below these the names are the users' own: one may be called ``count``.
_FREE = frozenset({"rawissue", "extended", "additionalinfo"})

_EQUALITIES = frozenset({Operator.EQUAL, Operator.UNEQUAL, Operator.AMONG})

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
#: A date of another form than ISO 8601, or an ISO date that does not exist: only the former are looked at in texts.
_OTHER_DATE = re.compile(r"\d{4}[./]\d{1,2}[./]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{4}-\d{1,2}-\d{1,2}([T ].*)?")
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{1,6}|#x[0-9a-f]{1,5});", re.IGNORECASE)
_PERCENT_ENCODED = re.compile(r"%[0-9a-f]{2}", re.IGNORECASE)
#: Marks that end a sentence, a line of code or a list; a value that has one must be in quotes.
_STRAY_ENDS = ";:.?|&^~#{}[]\\"
_AGE = re.compile(r"\d{1,6} ?(s|min|m|h|d|w)", re.IGNORECASE)
_SIGNED_AGE = re.compile(r"[+-]\d{1,6}(s|min|m|h|d|w)", re.IGNORECASE)
#: The years that a number of milliseconds since 1970 is believed in. Numbers of days, years, seconds and microseconds,
#: and dates without hyphens, are all outside.
_FIRST_YEAR, _LAST_YEAR = 2000, 2200
_EARLIEST, _LATEST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000 for year in (_FIRST_YEAR, _LAST_YEAR))
#: How dates are written without hyphens.
_COMPACT = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
#: Units of other instants since 1970, and how many of them make a second.
_EPOCHS = {"seconds": 1, "microseconds": 10**6, "nanoseconds": 10**9}
#: An age of more days is not meant.
_MOST_DAYS = 1000
_NO_VALUES = frozenset({"null", "nil", "undefined"})


@dataclass(frozen=True, slots=True)
class Literal:
    """A value with the form and the place in which it was written."""

    value: Value
    bare: bool
    #: 1-based.
    line: int
    column: int
    #: Whether its quotes hold a text that is in quotes again.
    is_twice: bool = False


def check(item: str, path: Sequence[str], operator: Operator, literals: Sequence[Literal]) -> None:
    """Refuse the values of a comparison that can never match.

    Args:
        item: ``issue``, ``pr`` and so on, in lower case.
        path: The field's name, and those inside it, as written.
        operator: How they are compared.
        literals: The values.

    Raises:
        QueryError: At the first such value.
    """
    field = ".".join(map(fold, path))
    written = f"{item}.{'.'.join(path)}"
    is_count = len(path) > 1 and fold(path[-1]) == "count" and fold(path[0]) not in _FREE
    for each in literals:
        problem = _form(each, operator, written)
        if not problem and field in _DATES.get(item, ()):
            problem = _date(each, operator, written)
        elif not problem and (is_count or field in _NUMBERS.get(item, ())):
            problem = _number(each, operator, written)
        elif not problem and field in _FLAGS.get(item, ()):
            problem = _flag(each, operator, written)
        elif not problem and operator not in _EQUALITIES | {Operator.CONTAINS}:
            problem = _order(each)
        if problem:
            raise QueryError(problem, line=each.line, column=each.column)


def _form(each: Literal, operator: Operator, field: str) -> str:
    """Return what is wrong with a value whatever the field is, or nothing."""
    text = plain(each.value.text)
    if not text.strip():
        missing, there = f"{field}.count = 0", f"{field}.count != 0"
        return f"an empty value matches nothing; write {missing} for issues without a value, {there} for those with one"
    if entity := _ENTITY.search(text):
        return f"{entity[0]!r} is an HTML entity; write the character itself"
    if each.is_twice:
        inner = text.strip()[1:-1].strip()
        kept = "\\'" + inner + "\\'" if text.strip()[0] == "'" else f'\\"{inner}\\"'
        return f"the value is in quotes twice; write {_quoted(inner)}, or '{kept}' if the inner ones are part of it"
    if _has_wildcard(text):
        return f"there are no wildcards; write {_without_wildcards(text, operator, field)}"
    return _bare_form(each, text, field) if each.bare else ""


def _without_wildcards(text: str, operator: Operator, field: str) -> str:
    sought = text.strip("*%")
    if not sought.strip():
        return f"{field}.count != 0 for issues with a value, {field}.count = 0 for those without one"
    if operator is Operator.CONTAINS:
        return "the text without them: CONTAINS finds it anywhere"
    return f"{field} contains {_quoted(sought)} instead"


def _bare_form(each: Literal, text: str, field: str) -> str:
    """Return what is wrong with a value without quotes, or nothing."""
    if text.lower() in _NO_VALUES:
        return f"{each.value.text} is no value; write {field}.count = 0 for issues without one"
    if _PERCENT_ENCODED.search(text):
        return f"{each.value.text!r} is encoded as in a web address; write the characters themselves, in quotes"
    stray = next((mark for mark in (text[-1], text[0]) if mark in _STRAY_ENDS), "")
    if not stray:
        return ""
    clean = _quoted(text.strip(_STRAY_ENDS) or text)
    return f"{stray!r} does not belong here; write {clean}, or put the value in quotes if {stray!r} is part of it"


def _has_wildcard(text: str) -> bool:
    """Return whether a value is a pattern; ``100%`` is a share, and ``2 * 3`` a text."""
    if len(text) < 2:  # noqa: PLR2004 - a mark alone is a value
        return text == "*"
    stars = text.startswith("*") or text.endswith("*")
    begins, ends = text.startswith("%"), text.endswith("%") and not text[-2].isdigit() and text[-2] != " "
    return stars or (begins and not text[1].isdigit() and text[1] != " ") or ends


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w.-]+", text) else f"'{text}'"


def _date(each: Literal, operator: Operator, field: str) -> str:
    value = each.value
    if operator is Operator.CONTAINS:
        return f"{field} is a date and contains no text; write {field} >= 2026-01-01 and {field} < 2027-01-01"
    if value.number is not None:
        return _epoch(plain(value.text), value.number, field)
    if operator in _EQUALITIES:
        return _equal_date(value, field)
    if value.instant is not None or value.age is not None:
        return ""
    if _AGE.fullmatch(plain(value.text)):
        return f"write {''.join(plain(value.text).split())} without quotes: in quotes it is a text"
    return (
        f"{value.text!r} is neither a date nor an age; write a date as 2026-01-31 and an age as 7d "
        "(units: s, m, h, d, w), without a sign"
    )


def _equal_date(value: Value, field: str) -> str:
    if value.instant is not None and _DAY.fullmatch(day := plain(value.text)):
        return f"{field} is a moment, not a day; write {field} >= {day}, and {field} < with the day after"
    if value.instant is not None:
        return ""
    return f"{field} is a date; compare it with < or >, for example {field} > 2026-01-31 or {field} < 7d"


def _epoch(text: str, number: float, field: str) -> str:
    """Return what is wrong with a number that a date is compared with: it can only be milliseconds since 1970."""
    if _EARLIEST <= number <= _LATEST:
        return ""
    meant = _compact(text) or _of_epoch(number)
    if not meant and text.isdecimal() and 0 < number <= _MOST_DAYS:
        meant = f"{int(number)}d for an age of {int(number)} days, or a date such as 2026-01-31"
    return f"{text} is no date; {field} is compared with a date or an age: write {meant or '2026-01-31, or 7d'}"


def _compact(text: str) -> str:
    """Return the date that is written without hyphens, or nothing."""
    form = _COMPACT.get(len(text))
    # Shorter forms would be read as well.
    if form is None or not (text.isascii() and text.isdecimal()):
        return ""
    try:
        found = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return ""
    if not _FIRST_YEAR - 100 <= found.year <= _LAST_YEAR:
        return ""
    return f"{found:%Y-%m-%d}" if len(text) <= len("20260131") else f"{found:%Y-%m-%dT%H:%M:%SZ}"


def _of_epoch(number: float) -> str:
    """Return the instant that a number in another unit than milliseconds stands for, or nothing."""
    for unit, divisor in _EPOCHS.items():
        if _EARLIEST <= number / divisor * 1000 <= _LATEST:
            instant = datetime.fromtimestamp(number / divisor, UTC)
            return f"{instant:%Y-%m-%dT%H:%M:%SZ} if {unit} since 1970 are meant"
    return ""


def _number(each: Literal, operator: Operator, field: str) -> str:
    if operator is Operator.CONTAINS:
        return f"{field} is a number; compare it with = != < <= > >="
    if each.value.number is None:
        return f"{each.value.text!r} is no number; {field} is compared with numbers such as 5 or 2.5"
    return ""


def _flag(each: Literal, operator: Operator, field: str) -> str:
    if operator in _EQUALITIES and fold(each.value.text) in {"true", "false"}:
        return ""
    return f"{field} is true or false; write {field} = true or {field} = false"


def _order(each: Literal) -> str:
    """Return what is wrong with a bound of a field whose type is not known."""
    value = each.value
    if each.bare and _SIGNED_AGE.fullmatch(plain(value.text)):
        return f"an age has no sign; write {plain(value.text)[1:]}"
    if value.instant is None and value.number is None and _OTHER_DATE.fullmatch(plain(value.text)):
        return f"{value.text!r} is no date of the form 2026-01-31; texts in order would not be dates in order"
    return ""
