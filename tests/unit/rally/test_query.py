"""Queries are strictly binary, have no redundant parentheses, and say what they mean."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.errors import QueryError
from rally_accelerate.rally.query import And, Condition, Or, Raw, any_of

A, B, C = (Condition(name, "=", 1) for name in "ABC")


def test_one_operand_stands_for_itself() -> None:
    assert And((Or((A,)),)).render() == "(A = 1)"


def test_three_operands_are_joined_two_by_two() -> None:
    assert And((A, B, C)).render() == "(((A = 1) AND (B = 1)) AND (C = 1))"


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="operand"):
        And(()).render()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (2.5, "2.5"),
        ("In-Progress", '"In-Progress"'),
        ("a (b) & c%", '"a (b) & c%"'),
        (datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC), '"2026-01-02T03:04:05.006Z"'),
    ],
)
def test_literals(value: Any, text: Any) -> None:
    assert Condition("Name", "!=", value).render() == f"(Name != {text})"


def test_a_double_quote_cannot_be_expressed_and_is_told() -> None:
    with pytest.raises(QueryError, match="double quote") as caught:
        Condition("Name", "=", 'say "hi"').render()
    assert caught.value.column == 5


@pytest.mark.parametrize(("field", "operator"), [("A B", "="), ("A)", "="), ("", "="), ("A", "OR"), ("A", "in")])
def test_a_wrong_field_or_operator_is_a_bug(field: Any, operator: Any) -> None:
    with pytest.raises(ValueError, match="is no"):
        Condition(field, operator, 1).render()


leaves = st.integers(0, 9).map(lambda number: Condition("F", ">=", number))
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, min_size=1, max_size=5).flatmap(
        lambda parts: st.sampled_from([And(tuple(parts)), Or(tuple(parts))])
    ),
    max_leaves=40,
)


def strict(text: Any, place: Any = 0) -> Any:
    """A reader of Rally's grammar (rally-api-notes.md#query-language): where an operand ends, or a failure."""
    leaf = re.compile(r"\(F >= \d\)").match(text, place)
    if leaf:
        return leaf.end()
    assert text[place] == "("
    place = strict(text, place + 1)
    joint = re.compile(r" (AND|OR) ").match(text, place)
    assert joint, "a redundant pair of parentheses"
    place = strict(text, joint.end())
    assert text[place] == ")", "more than two operands"
    return place + 1


@given(trees)
def test_every_tree_obeys_the_strict_grammar(tree: Any) -> None:
    text = tree.render()
    assert strict(text) == len(text)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200))
def test_a_long_list_nests_only_a_few_levels(values: Any) -> None:
    text = any_of("ObjectID", values).render()
    assert len(text) - len(text.lstrip("(")) <= 10
    assert [int(value) for value in re.findall(r"= (\d+)", text)] == values


@pytest.mark.parametrize(
    ("text", "operand"),
    [
        ("(A = 1)", "(A = 1)"),
        ("A = 1", "(A = 1)"),
        ("  ((A = 1))  ", "(A = 1)"),
        ("(((A = 1)))", "(A = 1)"),
        ("(A = 1) AND (B = 2)", "((A = 1) AND (B = 2))"),
        ("((A = 1) AND (B = 2))", "((A = 1) AND (B = 2))"),
        ('(Name = "a) AND (b")', '(Name = "a) AND (b")'),
        ('Name = "(("', '(Name = "((")'),
        ("((A = 1) OR (B = 1)) AND (C = 1)", "(((A = 1) OR (B = 1)) AND (C = 1))"),
    ],
)
def test_a_users_filter_becomes_exactly_one_operand(text: Any, operand: Any) -> None:
    assert Raw(text).render() == operand
    assert And((A, Raw(text))).render() == f"((A = 1) AND {operand})"


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("(A = 1", 1, "not closed"),
        ("((A = 1)", 1, "not closed"),
        ("  (A = 1))", 10, "no opening"),
        (")(", 1, "no opening"),
        ('(A = "x)', 6, "quote"),
        ("   ", 1, "empty"),
    ],
)
def test_a_users_filter_that_does_not_pair_up_is_told_with_its_column(text: Any, column: Any, message: Any) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        Raw(text).render()
    assert caught.value.column == column
