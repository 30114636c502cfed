"""Checks of single values of a value stream's file: each says what is wrong, as the end of a sentence."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rally_accelerate.dql.parse import parse
from rally_accelerate.errors import QueryError

Check = Callable[[Any], Iterator[str]]

#: The ranks that priorities are mapped to, lowest first (accelerate-api-notes.md#value-stream-files).
RANKS = ("Lowest", "Low", "Medium", "High", "Highest")

#: Windows of time, and their days; None is all time (accelerate-api-notes.md#value-stream-files).
WINDOWS: Mapping[str, int | None] = {
    "HOUR24": 1,
    "DAY7": 7,
    "DAY30": 30,
    "DAY90": 90,
    "MONTH6": 182,
    "YEAR1": 365,
    "ALL": None,
}

#: A hundred years.
MOST_DAYS = 36_500

#: A pattern of more characters is no link rule that anybody wrote.
LONGEST_PATTERN = 1_000


def anything(_: Any) -> Iterator[str]:
    """Whatever stands there is right."""
    yield from ()


def text(value: Any) -> Iterator[str]:
    """A text, or null."""
    if value is not None and not isinstance(value, str):
        yield f"must be a text, not {kind_of(value)}"


def name(value: Any) -> Iterator[str]:
    """A text that is not empty."""
    if not isinstance(value, str):
        yield f"must be a text, not {kind_of(value)}"
    elif not value.strip():
        yield "must not be empty"


def query(value: Any) -> Iterator[str]:
    """A query that can be read, or null."""
    if value is None:
        return
    if not isinstance(value, str):
        yield f"must be a query as a text, not {kind_of(value)}"
        return
    try:
        parse(value)
    except QueryError as error:
        yield told(error)


def told(error: QueryError) -> str:
    """What is wrong with a query, and where."""
    expected = f"; there could be: {', '.join(error.expected)}" if error.expected else ""
    return f"{error.message} (line {error.line}, column {error.column}){expected}"


def limit(value: Any) -> Iterator[str]:
    """A whole number from 1, or null."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        yield f"must be a whole number from 1, or null for no limit, not {shown(value)}"


def days(value: Any) -> Iterator[str]:
    """A number of days, or null."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_DAYS:
        yield f"must be a number of days from above 0 to {MOST_DAYS:,}, or null for never, not {shown(value)}"


def number(value: Any) -> Iterator[str]:
    """A number, or null."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        yield f"must be a number, not {kind_of(value)}"


def flag(value: Any) -> Iterator[str]:
    """True, false or null."""
    if value is not None and not isinstance(value, bool):
        yield f"must be true or false, not {kind_of(value)}"


def listed(value: Any) -> Iterator[str]:
    """A list, or null."""
    if value is not None and not isinstance(value, list):
        yield f"must be a list, not {kind_of(value)}"


def mapping(value: Any) -> Iterator[str]:
    """An object, or null."""
    if value is not None and not isinstance(value, dict):
        yield f"must be an object, not {kind_of(value)}"


def span(value: Any) -> Iterator[str]:
    """An object, a list of objects (newer servers), or null."""
    if isinstance(value, list):
        if not all(isinstance(each, dict) for each in value):
            yield "must be a list of objects {start, end}"
    elif value is not None and not isinstance(value, dict):
        yield f"must be an object {{start, end}}, a list of them, or null, not {kind_of(value)}"


def window(value: Any) -> Iterator[str]:
    """One of the windows of time."""
    if value is not None and value not in WINDOWS:
        yield f"must be one of {', '.join(WINDOWS)}, not {shown(value)}"


def pattern(value: Any) -> Iterator[str]:
    """A regular expression, or null."""
    if value is None:
        return
    if not isinstance(value, str):
        yield f"must be a regular expression as a text, not {kind_of(value)}"
    elif len(value) > LONGEST_PATTERN:
        yield f"is longer than {LONGEST_PATTERN} characters"
    else:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            place = f" (column {error.pos + 1})" if isinstance(error, re.error) and error.pos is not None else ""
            yield f"is no regular expression: {error}{place}"


def priorities(value: Any) -> Iterator[str]:
    """Lists of priorities under their ranks, or null."""
    if value is None:
        return
    if not isinstance(value, dict):
        yield f"must be an object with a list of priorities for each rank, not {kind_of(value)}"
        return
    for rank, names in value.items():
        if rank not in RANKS:
            yield f"has {rank!r}, which is none of {', '.join(RANKS)}"
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            yield f"must hold a list of texts under {rank!r}"


def kind_of(value: Any) -> str:
    """What a value is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def shown(value: Any) -> str:
    """A value as a message shows it."""
    return repr(value)[:60] if isinstance(value, str | int | float) else kind_of(value)
