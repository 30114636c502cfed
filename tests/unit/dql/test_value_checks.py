"""One walk over a query for everybody who looks at its comparisons."""

from rally_accelerate.dql.ast import EVERYTHING, iterate_comparisons
from rally_accelerate.dql.parser import parse


def test_every_comparison_is_found_in_the_order_of_the_text() -> None:
    query = parse("issue.a = 1 OR NOT (issue.b.c = 2 AND NOT pr.d = 3) AND issue.a = 4")
    assert query is not None
    found = [(each.item, each.path, each.values[0].text) for each in iterate_comparisons(query)]
    assert found == [("issue", ("a",), "1"), ("issue", ("b", "c"), "2"), ("pr", ("d",), "3"), ("issue", ("a",), "4")]


def test_a_query_for_everything_compares_nothing() -> None:
    assert list(iterate_comparisons(EVERYTHING)) == []
