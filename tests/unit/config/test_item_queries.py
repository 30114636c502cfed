"""The extra filter: one query or one for each type, as object or as text, and nothing that a value holds is a type."""

from typing import Any

import pytest

from rally_accelerate.config.form import format_value
from rally_accelerate.config.item_queries import as_query, find_entity, format_query, list_fields, normalize_query
from rally_accelerate.config.load import validate_integration
from rally_accelerate.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, ""),
        (" ", ""),
        ("{}", ""),
        ('(A = "b")', '(A = "b")'),
        ("Name contains foo: bar", "Name contains foo: bar"),
        ("Name = http://x", "Name = http://x"),
        ('(Name = "a\nDefect: b")', '(Name = "a\nDefect: b")'),
        ('*: (A = "b")', '(A = "b")'),
        ('Defect: (A = "b")', {"Defect": '(A = "b")'}),
        ('Defect : A = "b: c";\n User Story: (B = "d")', {"Defect": 'A = "b: c"', "User Story": '(B = "d")'}),
        ('Défaut: (A = "b"), PortfolioItem/Épic: (B = 1)', {"Défaut": '(A = "b")', "PortfolioItem/Épic": "(B = 1)"}),
        ("(A = 1)\nDefect: (B = 2)", {"*": "(A = 1)", "Defect": "(B = 2)"}),
        ("Task: (A = 1)\nDefect:", {"Task": "(A = 1)"}),
        ('(A = "b")\nAND (B = 1)', '(A = "b")\nAND (B = 1)'),
        ("State in Open, Fixed", "State in Open, Fixed"),
        ("ObjectID in (1, 2)", "ObjectID in (1, 2)"),
        ("State in Open, Fixed\nTask: (A = 1)", {"*": "State in Open, Fixed", "Task": "(A = 1)"}),
        ('{"Defect": "(A = 1)", "*": null, "Task": " "}', {"Defect": "(A = 1)"}),
        ({"Defect": "(A = 1)", "*": "(B = 2)"}, {"Defect": "(A = 1)", "*": "(B = 2)"}),
    ],
)
def test_queries_are_read_and_shown_alike(written: Any, read: Any) -> None:
    found = as_query(written)
    assert found == read
    assert as_query(found) == read
    assert as_query(format_query(found)) == read
    assert as_query(format_value("query", found)) == read


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{", "is not valid JSON"),
        (["(A = 1)"], "must be a query such as"),
        ({"Defect": 1}, 'must have a query as text for the type "Defect"'),
        ({"": "(A = 1)"}, "has a query without a type"),
        ('Defect (Priority = "Low")', 'needs a colon after the type "Defect": Defect: (Priority = "Low")'),
        ("User Story(A = 1)", 'needs a colon after the type "User Story": User Story: (A = 1)'),
        ("* (A = 1)", "needs a colon after the type"),
        ("Defect: (A = 1)\nTask (B = 2);", "Task: (B = 2)"),
        ("Defect, Story: (A = 1)", 'no query for the type "Defect"; each type needs its own line'),
        ("Task: (A = 1)\nDefect; Story: (A = 1)", 'no query for the type "Defect"'),
        ("Defect\nStory: (A = 1)", "Defect: (\u2026), and below it Story: (\u2026)"),
        ("Defect, Story (A = 1)", "needs a colon"),
        ("Defect: (A = 1)\nDefect: (B = 2)", 'has two queries for "Defect"'),
    ],
)
def test_what_is_no_filter_is_refused(written: Any, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        validate_integration({"name": "x", "properties": {"apiKey": "k", "query": written}})
    assert [(each.path, told in each.text) for each in refused.value.problems] == [("properties.query", True)]


def test_quotes_and_blanks_of_web_pages_are_those_of_the_grammar_but_inside_values() -> None:
    assert normalize_query("(A\u00a0= \u201cb\u201d)") == '(A = "b")'
    assert normalize_query('(A = "\u201cb\u201d\u00a0c")') == '(A = "\u201cb\u201d\u00a0c")'


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("(A = \u2018b c\u2019)", '(A = "b c")'),
        ("(A = 'b c')", '(A = "b c")'),
        ("(A contains \u201ab\u2018)", '(A contains "b")'),
        ("(A contains \u00ab\u00a0b\u00a0\u00bb)", '(A contains "b")'),
        ("(A = \u201cO\u2019Brien\u201d)", '(A = "O\u2019Brien")'),
        ("(A = \u2018O\u2019Brien\u2019)", '(A = "O\u2019Brien")'),
        ("(A = \u201eb\u201c)", '(A = "b")'),
        ('(A = \u201cb")', '(A = "b")'),
        ("((A = \u201cb (c) d\u201d) AND (B = \u2018e\u2019))", '((A = "b (c) d") AND (B = "e"))'),
        ("(A\u2009\uff1e\u202f1)", "(A > 1)"),
        ("(A\u200b != null)\ufeff", "(A != null)"),
        ('(A = "it\u2019s") ', '(A = "it\u2019s") '),
        ('(A = "b', '(A = "b'),
    ],
)
def test_quotes_and_spaces_of_any_kind_are_understood(written: str, expected: str) -> None:
    assert normalize_query(written) == expected


def test_an_html_entity_is_found_outside_of_values() -> None:
    assert find_entity("(A = &quot;b&quot;)") == ("&quot;", 5)
    assert find_entity('(A = "R&amp;D")') is None


def test_the_fields_of_a_query_are_found_outside_of_values() -> None:
    query = '((Priority = "A = b") AND (c_X contains "z")) OR ((Iteration.Name != null) AND (Größe<=3))'
    assert list(list_fields(query)) == ["Priority", "c_X", "Iteration.Name", "Größe"]
