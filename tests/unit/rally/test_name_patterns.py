"""Patterns of ``*`` and ``?``: the usual meaning, and one step for each character of a text."""

import itertools
import re
import sys
from typing import Any

import pytest

from rally_accelerate.rally.scope import WildcardPattern, match_all


def words(letters: str, longest: int) -> list[str]:
    return ["".join(each) for length in range(longest + 1) for each in itertools.product(letters, repeat=length)]


def test_every_short_pattern_means_what_a_regular_expression_of_it_means() -> None:
    texts = words("ab\n", 4)
    for pattern in words("ab*?", 5):
        pieces = {"*": ".*", "?": "."}
        theirs = re.compile("".join(pieces.get(char, char) for char in pattern), re.DOTALL)
        expected = [position for position, text in enumerate(texts) if theirs.fullmatch(text)]
        assert match_all(pattern, texts) == expected, pattern


@pytest.mark.parametrize("pattern", ["[ab]", "a.b", "{a,b}", "!(a)", "(", "^a$"])
def test_nothing_else_is_special(pattern: str) -> None:
    assert match_all(pattern, [pattern, "a", "ab", "axb"]) == [0]


def test_a_pattern_longer_than_every_text_is_not_compiled() -> None:
    wildcards = WildcardPattern("?" * 1_000_000, longest=38)
    assert not wildcards.match("a" * 38)
    assert match_all("*" * 1_000_000, ["", "Größe 😀"]) == [0, 1]
    assert match_all("x", []) == []


@pytest.mark.parametrize("pattern", ["*?" * 14 + "#", "*a" * 19 + "#", "*" * 100 + "#"])
def test_each_character_takes_one_step(pattern: str) -> None:
    """Where the backtracking engine took fifteen seconds for 38 characters, there is one step for each."""
    lines = 0

    def count(*_: Any) -> Any:
        nonlocal lines
        lines += 1
        return count

    text = "Payments Platform - Squad Berlin (EMEA)".replace(" ", "a") * 6
    wildcards = WildcardPattern(pattern, longest=len(text))
    traced = sys.gettrace()
    sys.settrace(count)
    try:
        assert not wildcards.match(text)
    finally:
        sys.settrace(traced)
    assert lines < 4 * len(text) + 20
