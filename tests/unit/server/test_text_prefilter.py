"""What is passed over unread holds nothing that is sought."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.dql.evaluator import matches
from rally_accelerate.dql.parser import parse
from rally_accelerate.server.store.sqlite import cannot_contain, make_needle, to_json
from support.models import NOW

LETTERS = st.text('sSkK\u017f\u212aeE1 -_aﬁßẞŉi\u0130\u0307\n"\\é', max_size=6)
VALUES = LETTERS | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@given(LETTERS, VALUES)
def test_what_holds_a_text_is_never_passed_over(text: str, held: object) -> None:
    sought = make_needle(text)
    told = text.replace("\\", "\\\\").replace("'", "\\'")
    issue = {"description": held}
    if sought and matches(parse(f"issue.description contains '{told}'"), issue, now=NOW):
        assert not cannot_contain(to_json(issue).encode(), sought)
        assert not cannot_contain(json.dumps(issue).encode(), sought)


@pytest.mark.parametrize("text", ["e", "1e5", "", "é", 'a"b', "a\\b", "a\nb"])
def test_what_json_may_write_otherwise_is_not_looked_for(text: str) -> None:
    assert make_needle(text) == b""


def test_a_text_that_is_not_there_is_passed_over() -> None:
    assert cannot_contain(to_json({"description": "Übung macht den Meister"}).encode(), make_needle("Login"))
