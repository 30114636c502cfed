"""The query grammar of rally-api-notes.md#query-language, strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_sandbox.errors import QueryError
from rally_sandbox.query import OPERATORS, BooleanOperation, Condition, Query, parse_query

_names = st.from_regex(r"[A-Z][A-Za-z_]{0,8}(\.[A-Z][A-Za-z]{0,8})?", fullmatch=True)
_quoted = st.builds(
    lambda path, operator, value: Condition(tuple(path.split(".")), operator, value, quoted=True),
    _names,
    st.sampled_from(OPERATORS),
    st.text(st.characters(exclude_characters='"', codec="utf-8"), max_size=20),
)
_bare = st.builds(
    lambda path, operator, value: Condition(tuple(path.split(".")), operator, value),
    _names,
    st.sampled_from(OPERATORS),
    st.from_regex(r"[A-Za-z0-9:/.,-]{1,12}", fullmatch=True).filter(lambda text: not text.startswith("today")),
)
_queries = st.recursive(
    _quoted | _bare,
    lambda inner: st.builds(BooleanOperation, inner, st.sampled_from(("AND", "OR")), inner),
    max_leaves=12,
)


@given(_queries)
def test_every_query_reads_back_as_itself(query: Query) -> None:
    assert parse_query(str(query)) == query


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("((A = 1) AND (B = 2) AND (C = 3))", 'expected ")" but saw "AND" instead.'),
        ("((A = 1))", 'expected "AND" or "OR" but saw ")" instead.'),
        ("(A = 1) AND (B = 2)", 'but saw "AND" instead.'),
        ("A = 1", 'expected "(" but saw "A" instead.'),
        ("(A = 1", 'expected ")" but saw "" instead.'),
        ("((A = 1) and (B = 2))", 'but saw "and" instead.'),
        ("(A ~ 1)", 'Unknown operator "~"'),
        ("(A like 1)", 'Unknown operator "like"'),
        ("(A=1)", "Error parsing expression"),
        ("(A = two words)", 'expected ")" but saw "words" instead.'),
        ('(A = "cut)', "Error parsing expression"),
        ("(A. = 1)", "Error parsing expression"),
        ("()", "Error parsing expression"),
        ("", "Error parsing expression"),
        ("(" * 5000, "nested too deeply"),
    ],
)
def test_what_the_grammar_forbids_is_refused_in_its_words(text: str, message: str) -> None:
    with pytest.raises(QueryError) as refusal:
        parse_query(text)
    assert str(refusal.value).startswith("Could not parse: ")
    assert message in str(refusal.value)


def test_parentheses_and_percent_signs_inside_quotes_are_text() -> None:
    assert parse_query('(Name = "a (b) & 100% ~ c")') == Condition(("Name",), "=", "a (b) & 100% ~ c", quoted=True)


def test_a_quoted_null_is_a_text() -> None:
    assert parse_query("(Owner = null)") == Condition(("Owner",), "=", "null")
    assert not Condition(("Owner",), "=", "null", quoted=True).is_null


def test_a_day_may_be_counted_from_today() -> None:
    assert parse_query("(StartDate <= today + 2)") == Condition(("StartDate",), "<=", "today + 2")
    assert parse_query('(StartDate <= "today")') == Condition(("StartDate",), "<=", "today", quoted=True)


def test_operators_are_read_in_any_case() -> None:
    assert parse_query('(ScheduleState In "Defined,Accepted")') == Condition(
        ("ScheduleState",), "in", "Defined,Accepted", quoted=True
    )
