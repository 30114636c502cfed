"""Queries as people paste and mistype them: each means what it says or is refused with a place, none finds nothing."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from rally_accelerate.dql.evaluator import matches
from rally_accelerate.dql.parser import parse
from rally_accelerate.errors import QueryError
from support.models import NOW

#: What an issue has.
HELD = [
    "Done",
    "In Progress",
    "In-Progress",
    "O'Brien",
    "50%",
    "v1.2",
    "R&D",
    "2026-01-31 plan",
    "größer",
    "Phase 1 - a",
]

#: How people write a value; some of these forms cannot hold every value and must be refused then.
QUOTES = [
    *("{}", "'{}'", '"{}"', "\u201c{}\u201d", "\u201e{}\u201c", "\u201d{}\u201d", "\u2018{}\u2019", "\u201a{}\u2018", "\u2019{}\u2019"),
    *("\u00ab{}\u00bb", "\u00bb{}\u00ab", "\u00ab\u00a0{}\u00a0\u00bb", "\u00ab {} \u00bb", "\u2039{}\u203a", "\u301d{}\u301e", "\uff02{}\uff02"),
    *("`{}`", "\u00b4{}\u00b4", "\u2032{}\u2032", "\u2033{}\u2033", '\u201c{}"', '"{}\u201d', "\u2018{}'", "'{}\u2019"),
    # Not closed, not opened, doubled, of two kinds.
    *("\u201c{}", "{}\u201d", "'{}", "{}'", '"{}', '{}"', "''{}''", '""{}""', "\"{}'", "'{}\"", "\u201c{}\u2019", "\u00ab{}\u201d"),
    *("[{}]", "{{{}}}", "({})", "<{}>", "{};", "'{}';", "{}.", "{},", "{}:", "&quot;{}&quot;", "{}&nbsp;", "*{}*", "%{}%", "{}*"),
    *("\u300c{}\u300d", "\u300e{}\u300f", "\uff62{}\uff63", "{}\u300d", "\u300c{}", "'\"{}\"'", "\"'{}'\"", "\u201c'{}'\u201d", '\\"{}\\"'),
]  # fmt: skip

#: What stands where white space may.
SPACES = [" ", "\u00a0", "\u202f", "\u3000", "\u200b \ufeff", "\n\t"]

#: How the characters of a value change on their way through word processors and web pages.
CHANGES: list[Callable[[str], str]] = [
    str,
    lambda text: text.replace(" ", "\u00a0"),
    lambda text: text.replace("-", "\u2011").replace("'", "\u2019"),
    lambda text: text.replace("-", "\u2013"),
    "\u200b".join,
    lambda text: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text),
]

FORMS = ["issue.status{0}={0}{1}", "issue.status{0}in{0}({0}{1}{0})", "issue.status{0}contains{0}{1}"]


def outcome(text: str, issue: dict[str, Any]) -> bool | QueryError:
    found: bool | QueryError
    try:
        found = matches(parse(text), issue, now=NOW)
    except QueryError as error:
        found = error
    if isinstance(found, QueryError):
        assert 1 <= found.line <= text.count("\n") + 1, text
        assert 1 <= found.column <= len(text) + 1, text
        assert str(found)
    return found


def test_no_pasted_query_finds_nothing_in_silence() -> None:
    found, refused = 0, 0
    for held, quotes, space, form in product(HELD, QUOTES, SPACES, FORMS):
        for change in CHANGES:
            text = form.format(space, quotes.format(change(held)))
            match outcome(text, {"status": held}):
                case True:
                    found += 1
                    # And nothing else.
                    assert outcome(text, {"status": "something else"}) is False, text
                case QueryError():
                    refused += 1
                case _:
                    pytest.fail(f"{text!r} finds nothing and says nothing")
    assert found > 10_000
    assert refused > 10_000


@pytest.mark.parametrize("held", ["Done", "In Progress", "In-Progress", "O'Brien", "R&D", "größer"])
@pytest.mark.parametrize("quotes", QUOTES[1:20])
def test_every_pair_of_quotes_delimits_a_value(held: str, quotes: str) -> None:
    if quotes[0] == "'" and "'" in held:
        return
    assert outcome(f"issue.status = {quotes.format(held)}", {"status": held}) is True


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("issue.created > {}", 1_800_000_000_000),
        ("issue.storyPoints >= {}", 5.0),
        ("issue.rawIssue.due < {}", "2025-01-01"),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        *("2026-01-31", "2026\u201301\u201331", "2026\u221201\u221231", "'2026-01-31'", "\u201c2026-01-31\u201d", "2026-01-31T10:00"),
        *("31.01.2026", "01/31/2026", "2026/01/31", "2026-1-31", "2026-13-01", "31-01-2026", "today", "yesterday", "now"),
        *("-7d", "7days", "7 d", "'7d'", "1y", "2,5", "2.5", "\u22122", "five", "1,000", "1 000", "5 points", "''", "null"),
    ],
)  # fmt: skip
def test_dates_and_numbers_are_read_or_refused(text: str, held: Any, value: str) -> None:
    """Whatever a bound is, some value lies on either side of it: two that no value parts mean that it was not read."""
    _, name, *rest = text.split(maxsplit=1)[0].split(".")
    low, high = ("-1e18", "zzzz") if isinstance(held, str) else (-1e18, 1e18)

    def issue(at: Any) -> dict[str, Any]:
        return {name: {rest[0]: at}} if rest else {name: at}

    results = [outcome(text.format(value), issue(each)) for each in (low, high)]
    assert isinstance(results[0], QueryError) or results[0] is not results[1], results


@pytest.mark.parametrize("form", ["issue.created > {}", "issue.created != '{}'", "not issue.sprints.endTime in ({})"])
@pytest.mark.parametrize(
    ("number", "word"),
    [
        *(("2026", "write 2026-01-01"), ("202602", "write 2026-02-01"), ("20260131", "write 2026-01-31")),
        *(("202601311530", "write 2026-01-31T15:30:00Z"), ("20260131153059", "write 2026-01-31T15:30:59Z")),
        *(("1735689600", "2025-01-01T00:00:00Z if seconds"), ("1735689600000000", "if microseconds")),
        *(("1735689600000000000", "if nanoseconds"), ("1735689600.5", "if seconds"), ("7", "write 7d for an age of 7 days")),
        *(("0", "write 2026-01-31, or 7d"), ("2.5", "write 2026-01-31"), ("-7", "7d"), ("20261301", "write 2026-01-31")),
        *(("9999", "write 2026-01-31"), ("946684799999", "write 2026-01-31"), ("7258118400001", "write 2026-01-31")),
    ],
)  # fmt: skip
def test_numbers_that_are_no_instants_are_refused(form: str, number: str, word: str) -> None:
    text = form.format(number)
    found = outcome(text, {})
    assert isinstance(found, QueryError), text
    assert word in str(found)
    assert text[found.column - 1 :].lstrip("'").startswith(number)


@pytest.mark.parametrize("number", ["946684800000", "1735689600000", "'1735689600000'", "7258118400000"])
def test_milliseconds_since_1970_are_instants(number: str) -> None:
    assert outcome(f"issue.created > {number}", {"created": 7_258_118_400_001}) is True
    assert outcome(f"issue.created > {number}", {"created": 946_684_800_000}) is False


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("issue.status <> Done", "use !=, not <>"),
        ("issue.status => Done", "use >=, not =>"),
        ("issue.status =~ Done", "use CONTAINS, not ="),
        ("issue.status \uff1d Done", "use ="),
        ("issue.status\u2260Done", "use !="),
        ("issue.status = a && issue.type = b", "use AND"),
        ("issue.status = a || issue.type = b", "use OR"),
        ("issue.status like Done", "use CONTAINS"),
        ("issue.status = Done;", "write Done"),
        ("issue.name = 'Login*'", "issue.name contains Login"),
        ("issue.name contains '*Login*'", "without them"),
        ("issue.owner = ''", "issue.owner.count = 0"),
        ("issue.owner = null", "issue.owner.count = 0"),
        ("issue.owner = \u201c\u201d", "issue.owner.count = 0"),
        ("issue.created = 2026-01-31", "issue.created >= 2026-01-31"),
        ("issue.created < '7d'", "without quotes"),
        ("issue.created contains 2026", "is a date"),
        ("issue.storyPoints = five", "is no number"),
        ("issue.storyPoints > 2,5", "with a point"),
        ("issue.labels.count = many", "is no number"),
        ("issue.sprints.active = yes", "true or false"),
        ("issue.status = &quot;Done&quot;", "HTML entity"),
        ("issue.status = *", "write issue.status.count != 0"),
        ("issue.name contains '**'", "write issue.name.count != 0"),
        ("issue.status = Done or Open", "write issue.status IN (Done, Open)"),
        ("issue.status = Done or Open or Closed", "write issue.status IN (Done, Open, Closed)"),
        ("(issue.status = Done or Open) and issue.owner = x", "write issue.status IN (Done, Open)"),
        ("issue.owner = x and issue.status = Done or In Progress", "write issue.status IN (Done, 'In Progress')"),
        ("issue.status = Done or Not Started", "write issue.status IN (Done, 'Not Started')"),
        ('issue.status = "Done" or "Open" or issue.owner = x', 'write issue.status IN ("Done", "Open")'),
        (
            "issue.status = \u201cDone\u201d, \u201cOpen\u201d",
            "write issue.status IN (\u201cDone\u201d, \u201cOpen\u201d)",
        ),
        ("issue.status = Done, Open", "write issue.status IN (Done, Open)"),
        ("issue.status != Done and Open", "write issue.status NOT IN (Done, Open)"),
        ("issue.labels = a and b", "write issue.labels = a and issue.labels = b"),
        ("issue.name contains a or b", "write issue.name contains a or issue.name contains b"),
        ("issue.storyPoints > 3 and < 5", "write issue.storyPoints > 3 and issue.storyPoints < 5"),
        ('issue.status = ""Done""', "one pair of quotes: 'Done'"),
        ("issue.status = ''In Progress''", "one pair of quotes: 'In Progress'"),
        ("issue.status = '\"Done\"'", "write Done"),
        ('issue.name = "He said "hi" twice"', "put a backslash before quotes"),
        ('issue.status = \\"Done\\"', "without backslashes"),
        ("issue.status in [Done, In Progress]", "in parentheses: IN (Done, 'In Progress')"),
        ('issue.status not in {"a,b"}', 'in parentheses: NOT IN ("a,b")'),
        ("issue.status in Done", "in parentheses: IN (Done)"),
        ("issue.status in (Done; Open)", "with commas"),
        ("issue.status in (Done,)", "at least one value"),
        ("issue.status = (Done)", "without parentheses"),
        ("issue.status not Done", "use !="),
        ("issue . status = Done", "write issue.status without spaces"),
        ("issue status = Done", "write issue.status without spaces"),
        ("issue.created > 7 d", "write 7d without a space"),
        ("issue.created > '7 d'", "write 7d without quotes"),
        ("issue.status = In%20Progress", "web address"),
    ],
)
def test_what_was_meant_is_told(text: str, word: str) -> None:
    found = outcome(text, {})
    assert isinstance(found, QueryError), text
    assert word in str(found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'In\u0020Progress'", "In Progress"),
        (r"'\ud83d\ude00 \u00e4'", "\U0001f600 ä"),
        # Half a character, and none that a database holds.
        (r"'\ud83d'", r"\ud83d"),
        (r"'\u0000'", r"\u0000"),
        (r"'\u12'", r"\u12"),
        (r"'C:\temp\new'", r"C:\temp\new"),
        (r"'O\'Brien \\ x'", r"O'Brien \ x"),
        (r"'\\u0020'", r"\u0020"),
        (r'"\"Done\""', '"Done"'),
        ('\'"Login" or "Logout"\'', '"Login" or "Logout"'),
    ],
)
def test_escapes_are_read_and_other_backslashes_kept(text: str, value: str) -> None:
    assert outcome(f"issue.name = {text}", {"name": value}) is True


def test_quotes_that_are_meant_are_found() -> None:
    refusal = outcome("issue.name contains '\"Done\"'", {"name": 'Not "Done" yet'})
    assert r"""write Done, or '\"Done\"' if""" in str(refusal)
    assert outcome(r"""issue.name contains '\"Done\"'""", {"name": 'Not "Done" yet'}) is True
    assert outcome(r"""issue.name contains '\"Done\"'""", {"name": "Done"}) is False
    assert outcome("issue.name contains '\"\"'", {"name": 'an empty "" text'}) is True
