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
from rally_accelerate.model.text_folding import fold, normalize_typography

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
#: A number of more days is not an age.
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


def check_values(item: str, path: Sequence[str], operator: Operator, literals: Sequence[Literal]) -> None:
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
    for literal in literals:
        problem = _check_form(literal, operator, written)
        if not problem and field in _DATES.get(item, ()):
            problem = _check_date(literal, operator, written)
        elif not problem and (is_count or field in _NUMBERS.get(item, ())):
            problem = _check_number(literal, operator, written)
        elif not problem and field in _FLAGS.get(item, ()):
            problem = _check_flag(literal, operator, written)
        elif not problem and operator not in _EQUALITIES | {Operator.CONTAINS}:
            problem = _check_order(literal)
        if problem:
            raise QueryError(problem, line=literal.line, column=literal.column)


def _check_form(literal: Literal, operator: Operator, field: str) -> str:
    """Return the problem of a value that does not depend on the field; empty for none."""
    text = normalize_typography(literal.value.text)
    if not text.strip():
        missing, there = f"{field}.count = 0", f"{field}.count != 0"
        return f"an empty value matches nothing; write {missing} for issues without a value, {there} for those with one"
    if entity := _ENTITY.search(text):
        return f"{entity[0]!r} is an HTML entity; write the character itself"
    if literal.is_twice:
        inner = text.strip()[1:-1].strip()
        escaped = "\\'" + inner + "\\'" if text.strip()[0] == "'" else f'\\"{inner}\\"'
        return f"the value is in quotes twice; write {_quote(inner)}, or '{escaped}' if the inner ones are part of it"
    if _has_wildcard(text):
        return f"there are no wildcards; write {_without_wildcards(text, operator, field)}"
    return _check_bare_form(literal, text, field) if literal.bare else ""


def _without_wildcards(text: str, operator: Operator, field: str) -> str:
    sought = text.strip("*%")
    if not sought.strip():
        return f"{field}.count != 0 for issues with a value, {field}.count = 0 for those without one"
    if operator is Operator.CONTAINS:
        return "the text without them: CONTAINS finds it anywhere"
    return f"{field} contains {_quote(sought)} instead"


def _check_bare_form(literal: Literal, text: str, field: str) -> str:
    """Return the problem of a value without quotes; empty for none."""
    if text.lower() in _NO_VALUES:
        return f"{literal.value.text} is no value; write {field}.count = 0 for issues without one"
    if _PERCENT_ENCODED.search(text):
        return f"{literal.value.text!r} is encoded as in a web address; write the characters themselves, in quotes"
    stray = next((mark for mark in (text[-1], text[0]) if mark in _STRAY_ENDS), "")
    if not stray:
        return ""
    clean = _quote(text.strip(_STRAY_ENDS) or text)
    return f"{stray!r} does not belong here; write {clean}, or put the value in quotes if {stray!r} is part of it"


def _has_wildcard(text: str) -> bool:
    """Return whether a value is a pattern; ``100%`` is a share, and ``2 * 3`` a text."""
    if len(text) < 2:  # noqa: PLR2004 - a mark alone is a value
        return text == "*"
    stars = text.startswith("*") or text.endswith("*")
    begins, ends = text.startswith("%"), text.endswith("%") and not text[-2].isdigit() and text[-2] != " "
    return stars or (begins and not text[1].isdigit() and text[1] != " ") or ends


def _quote(text: str) -> str:
    return text if re.fullmatch(r"[\w.-]+", text) else f"'{text}'"


def _check_date(literal: Literal, operator: Operator, field: str) -> str:
    value = literal.value
    if operator is Operator.CONTAINS:
        return f"{field} is a date and contains no text; write {field} >= 2026-01-01 and {field} < 2027-01-01"
    if value.number is not None:
        return _check_epoch(normalize_typography(value.text), value.number, field)
    if operator in _EQUALITIES:
        return _check_equal_date(value, field)
    if value.instant is not None or value.age is not None:
        return ""
    if _AGE.fullmatch(normalize_typography(value.text)):
        return f"write {''.join(normalize_typography(value.text).split())} without quotes: in quotes it is a text"
    return (
        f"{value.text!r} is neither a date nor an age; write a date as 2026-01-31 and an age as 7d "
        "(units: s, m, h, d, w), without a sign"
    )


def _check_equal_date(value: Value, field: str) -> str:
    if value.instant is not None and _DAY.fullmatch(day := normalize_typography(value.text)):
        return f"{field} is a moment, not a day; write {field} >= {day}, and {field} < with the day after"
    if value.instant is not None:
        return ""
    return f"{field} is a date; compare it with < or >, for example {field} > 2026-01-31 or {field} < 7d"


def _check_epoch(text: str, number: float, field: str) -> str:
    """Return the problem of a number that is compared with a date: it must be milliseconds since 1970."""
    if _EARLIEST <= number <= _LATEST:
        return ""
    meant = _parse_compact_date(text) or _suggest_instant(number)
    if not meant and text.isdecimal() and 0 < number <= _MOST_DAYS:
        meant = f"{int(number)}d for an age of {int(number)} days, or a date such as 2026-01-31"
    return f"{text} is no date; {field} is compared with a date or an age: write {meant or '2026-01-31, or 7d'}"


def _parse_compact_date(text: str) -> str:
    """Return the date that is written without hyphens, or nothing."""
    form = _COMPACT.get(len(text))
    # Shorter forms would be read as well.
    if form is None or not (text.isascii() and text.isdecimal()):
        return ""
    try:
        date = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return ""
    if not _FIRST_YEAR - 100 <= date.year <= _LAST_YEAR:
        return ""
    return f"{date:%Y-%m-%d}" if len(text) <= len("20260131") else f"{date:%Y-%m-%dT%H:%M:%SZ}"


def _suggest_instant(number: float) -> str:
    """Return the instant that a number in another unit than milliseconds stands for, or nothing."""
    for unit, divisor in _EPOCHS.items():
        if _EARLIEST <= number / divisor * 1000 <= _LATEST:
            instant = datetime.fromtimestamp(number / divisor, UTC)
            return f"{instant:%Y-%m-%dT%H:%M:%SZ} if {unit} since 1970 are meant"
    return ""


def _check_number(literal: Literal, operator: Operator, field: str) -> str:
    if operator is Operator.CONTAINS:
        return f"{field} is a number; compare it with = != < <= > >="
    if literal.value.number is None:
        return f"{literal.value.text!r} is no number; {field} is compared with numbers such as 5 or 2.5"
    return ""


def _check_flag(literal: Literal, operator: Operator, field: str) -> str:
    if operator in _EQUALITIES and fold(literal.value.text) in {"true", "false"}:
        return ""
    return f"{field} is true or false; write {field} = true or {field} = false"


def _check_order(literal: Literal) -> str:
    """Return the problem of a bound of a field whose type is not known; empty for none."""
    value = literal.value
    if literal.bare and _SIGNED_AGE.fullmatch(normalize_typography(value.text)):
        return f"an age has no sign; write {normalize_typography(value.text)[1:]}"
    if value.instant is None and value.number is None and _OTHER_DATE.fullmatch(normalize_typography(value.text)):
        return f"{value.text!r} is no date of the form 2026-01-31; texts in order would not be dates in order"
    return ""
