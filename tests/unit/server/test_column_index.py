"""A column tells which issues have a value, and how many, whatever was put where before."""

from collections import Counter

import orjson
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.server.store.column_index import Column, make_list_column, make_text_column
from rally_accelerate.server.store.issue_sets import from_numbers, iterate_numbers

SIZE = 12
ONES = st.sampled_from([None, "", "Red", "red", "Blue", *(f"v{number}" for number in range(300))])
LISTS = st.lists(st.sampled_from(["Red", "red", "Blue", "Straße", "STRASSE"]), max_size=3)
PUTS = st.lists(st.tuples(st.integers(0, SIZE - 1), ONES), max_size=40)


def filled(column: Column, puts: list[tuple[int, str | None]], *, others: int) -> Column:
    """A column with values put one after the other, and as many others as it may have."""
    column.extend(SIZE + 1)
    column.put([SIZE] * others, [f'["other {number}"]' for number in range(others)])
    for number, held in puts:
        column.put([number], [held])
    return column


@given(PUTS, st.sampled_from([0, 250, 255, 256, 400]), st.sets(st.integers(0, SIZE - 1)))
def test_texts_are_found_and_counted(puts: list[tuple[int, str | None]], others: int, some: set[int]) -> None:
    column, now = filled(make_text_column(), puts, others=others), dict(puts)
    for wanted in ("Red", "red", "v1", ""):
        expected = {number for number, held in now.items() if held == wanted != ""}
        assert set(iterate_numbers(column.find_values([wanted]))) == expected
    assert column.count_values(from_numbers(some, SIZE + 1)) == Counter(
        held for number, held in now.items() if held and number in some
    )


@given(st.lists(st.tuples(st.integers(0, SIZE - 1), LISTS), max_size=20), st.sampled_from([0, 300]))
def test_names_in_lists_are_one_whatever_their_case(puts: list[tuple[int, list[str]]], others: int) -> None:
    column = filled(make_list_column(), [(number, orjson.dumps(held).decode()) for number, held in puts], others=others)
    now = {number: {each.casefold() for each in held} for number, held in puts}
    assert set(iterate_numbers(column.find_values(["STRASSE"]))) == {
        number for number, held in now.items() if "strasse" in held
    }
    counted = column.count_values(from_numbers(range(SIZE), SIZE + 1))
    assert {name.casefold(): count for name, count in counted.items()} == Counter(
        each for held in now.values() for each in held
    )


@given(PUTS, st.sampled_from([0, 255, 300]), st.sets(st.integers(0, SIZE)))
def test_what_is_kept_of_a_column_is_that_of_the_issues_alone(
    puts: list[tuple[int, str | None]], others: int, there: set[int]
) -> None:
    column, again = filled(make_text_column(), puts, others=others), make_text_column()
    members = from_numbers(there, SIZE + 1)
    held, codes = column.export(members)
    again.restore(held, codes)
    assert again.count_values(members) == column.count_values(members)
    # Nothing of those that are gone.
    assert len(held) <= len(there)
    for each in (column, again):
        each.put([3], ["new"])
    assert again.find_values(["new"]) == column.find_values(["new"]) == from_numbers([3], SIZE + 1)
