"""Settings with very many unknown names: the first are explained, the rest is counted, and nothing takes long."""

import difflib
import time
from collections.abc import Callable
from typing import Any

import pytest

from rally_accelerate.config import item_queries
from rally_accelerate.config.load import load_from_platform, normalize_properties
from rally_accelerate.config.value_parsers import MAX_LIST_LENGTH, as_list
from rally_accelerate.mapping.rule_checks import MAX_TYPES
from rally_accelerate.mapping.rules import find_rule_problems
from rally_accelerate.model.suggestions import MAX_COMPARED, MAX_EXPLAINED, MAX_NAME_LENGTH, find_similar

MANY = 60_000


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that suggestions were looked for."""
    names: list[str] = []
    original = difflib.get_close_matches

    def counted(word: str, possibilities: Any, n: int = 3, cutoff: float = 0.6) -> list[str]:
        names.append(word)
        return original(word, possibilities, n, cutoff)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    return names


def test_the_first_unknown_properties_are_explained(compared: list[str]) -> None:
    given = {"apiKey": "x", **{f"projcts{number}": 1 for number in range(MANY)}}
    notices = load_from_platform(given, {"name": "a"}).notices
    assert len(compared) == MAX_EXPLAINED == len(notices) - 1
    assert notices[0] == "the property projcts0 is not known and is ignored; did you mean projects?"
    assert notices[-1] == "59,980 more properties are not known and are ignored"
    compared.clear()
    assert len(normalize_properties(given)) == MANY + 1
    assert len(compared) <= MAX_EXPLAINED


def test_a_name_that_nobody_would_type_is_not_compared(compared: list[str]) -> None:
    assert find_similar("x" * (MAX_NAME_LENGTH + 1), ["x" * MAX_NAME_LENGTH]) == []
    assert find_similar("", ["x"]) == []
    assert find_similar("projcts", ["p" * (MAX_NAME_LENGTH + 1), "projects"]) == ["projects"]
    assert find_similar("aaaa", [*map(str, range(MAX_COMPARED)), "aaaa"]) == []
    (notice,) = load_from_platform({"apiKey": "x", "p" * 1_000_000: 1}, {"name": "a"}).notices
    assert notice == f"the property {'p' * MAX_NAME_LENGTH}… is not known and is ignored"
    assert len(compared) == 2


def test_the_number_of_types_has_a_limit(compared: list[str]) -> None:
    many = [f"Storry{number}" for number in range(MANY)]
    fitting = many[:MAX_TYPES]
    for settings, path in (
        ({"types": many}, "types"),
        ({"fieldMapping": {"type": many}}, "fieldMapping"),
        ({"typeNames": dict.fromkeys(many, "x")}, "typeNames"),
    ):
        problems = (
            find_rule_problems(settings) if path != "types" else find_rule_problems({"types": many[:MAX_LIST_LENGTH]})
        )
        number = MAX_LIST_LENGTH if path == "types" else MANY
        assert (f"properties.{path}", f"names {number:,} types; there are at most 500") in [
            (each.path, each.text) for each in problems
        ]
    assert not compared
    # Each type is compared once, however many rules name it, and the first faults are told.
    rules = [{"type": fitting}] * 300
    assert len(find_rule_problems({"fieldMapping": rules})) == MAX_EXPLAINED
    assert len(compared) <= 3 * MAX_TYPES


def test_the_number_of_properties_has_a_limit() -> None:
    assert not find_rule_problems({f"of the server {number}": 1 for number in range(500)})
    (problem,) = find_rule_problems({f"of the server {number}": 1 for number in range(MANY)})
    assert (problem.path, problem.text) == ("properties", "has 60,000 names; there are at most 500")
    # What several checks find is told once.
    assert len(find_rule_problems({"types": ["Storry"] * (MAX_TYPES + 1)})) <= 1


def test_a_list_has_a_limit() -> None:
    assert len(as_list(list(range(MAX_LIST_LENGTH)))) == MAX_LIST_LENGTH
    with pytest.raises(ValueError, match="lists 10,001 texts; there are at most 10,000"):
        as_list(",".join(map(str, range(MAX_LIST_LENGTH + 1))))


def test_a_filter_has_a_limit() -> None:
    assert item_queries.as_query("a" * item_queries.MAX_LENGTH)
    with pytest.raises(ValueError, match="has 100,001 characters; there are at most 100,000"):
        item_queries.as_query("a" * (item_queries.MAX_LENGTH + 1))


LONG_QUERIES: list[tuple[str, Callable[[str], Any]]] = [
    ("a" + " " * 99_000 + "b", item_queries.as_query),
    ("x\n" + " " * 99_000 + "b", item_queries.as_query),
    ("a b" * 33_000, item_queries.as_query),
    ("a\n" * 50_000, item_queries.as_query),
    ("a" * 200_000, lambda text: list(item_queries.list_fields(text))),
    ("a." * 100_000, lambda text: list(item_queries.list_fields(text))),
    ("a" + " " * 200_000, lambda text: list(item_queries.list_fields(text))),
]


@pytest.mark.parametrize(("text", "read"), LONG_QUERIES, ids=range(len(LONG_QUERIES)))
def test_a_long_filter_is_read_in_time_that_grows_with_its_length(text: str, read: Callable[[str], Any]) -> None:
    # Takes 0.1 s; with a look at the rest of the text for each character, a minute.
    begun = time.process_time()
    read(text)
    assert time.process_time() - begun < 3
