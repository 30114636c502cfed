"""Settings with very many unknown names: the first are explained, the rest is counted, and nothing takes long."""

import difflib
import time
from collections.abc import Callable
from typing import Any

import pytest

from rally_accelerate.config import item_queries
from rally_accelerate.config.load import from_platform, normalised
from rally_accelerate.config.value_parsers import MOST_LISTED, as_list
from rally_accelerate.mapping.rule_checks import MAX_TYPES
from rally_accelerate.mapping.rules import find_rule_problems
from rally_accelerate.model.suggestions import LONGEST, MOST_COMPARED, MOST_EXPLAINED, alike

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
    notices = from_platform(given, {"name": "a"}).notices
    assert len(compared) == MOST_EXPLAINED == len(notices) - 1
    assert notices[0] == "the property projcts0 is not known and is ignored; did you mean projects?"
    assert notices[-1] == "59,980 more properties are not known and are ignored"
    compared.clear()
    assert len(normalised(given)) == MANY + 1
    assert len(compared) <= MOST_EXPLAINED


def test_a_name_that_nobody_would_type_is_not_compared(compared: list[str]) -> None:
    assert alike("x" * (LONGEST + 1), ["x" * LONGEST]) == []
    assert alike("", ["x"]) == []
    assert alike("projcts", ["p" * (LONGEST + 1), "projects"]) == ["projects"]
    assert alike("aaaa", [*map(str, range(MOST_COMPARED)), "aaaa"]) == []
    (notice,) = from_platform({"apiKey": "x", "p" * 1_000_000: 1}, {"name": "a"}).notices
    assert notice == f"the property {'p' * LONGEST}… is not known and is ignored"
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
            find_rule_problems(settings) if path != "types" else find_rule_problems({"types": many[:MOST_LISTED]})
        )
        number = MOST_LISTED if path == "types" else MANY
        assert (f"properties.{path}", f"names {number:,} types; there are at most 500") in [
            (each.path, each.text) for each in problems
        ]
    assert not compared
    # Each type is compared once, however many rules name it, and the first faults are told.
    rules = [{"type": fitting}] * 300
    assert len(find_rule_problems({"fieldMapping": rules})) == MOST_EXPLAINED
    assert len(compared) <= 3 * MAX_TYPES


def test_the_number_of_properties_has_a_limit() -> None:
    assert not find_rule_problems({f"of the server {number}": 1 for number in range(500)})
    (problem,) = find_rule_problems({f"of the server {number}": 1 for number in range(MANY)})
    assert (problem.path, problem.text) == ("properties", "has 60,000 names; there are at most 500")
    # What several checks find is told once.
    assert len(find_rule_problems({"types": ["Storry"] * (MAX_TYPES + 1)})) <= 1


def test_a_list_has_a_limit() -> None:
    assert len(as_list(list(range(MOST_LISTED)))) == MOST_LISTED
    with pytest.raises(ValueError, match="lists 10,001 texts; there are at most 10,000"):
        as_list(",".join(map(str, range(MOST_LISTED + 1))))


def test_a_filter_has_a_limit() -> None:
    assert item_queries.as_query("a" * item_queries.LONGEST)
    with pytest.raises(ValueError, match="has 100,001 characters; there are at most 100,000"):
        item_queries.as_query("a" * (item_queries.LONGEST + 1))


LONG_QUERIES: list[tuple[str, Callable[[str], Any]]] = [
    ("a" + " " * 99_000 + "b", item_queries.as_query),
    ("x\n" + " " * 99_000 + "b", item_queries.as_query),
    ("a b" * 33_000, item_queries.as_query),
    ("a\n" * 50_000, item_queries.as_query),
    ("a" * 200_000, lambda text: list(item_queries.fields_of(text))),
    ("a." * 100_000, lambda text: list(item_queries.fields_of(text))),
    ("a" + " " * 200_000, lambda text: list(item_queries.fields_of(text))),
]


@pytest.mark.parametrize(("text", "read"), LONG_QUERIES, ids=range(len(LONG_QUERIES)))
def test_a_long_filter_is_read_in_time_that_grows_with_its_length(text: str, read: Callable[[str], Any]) -> None:
    # Takes 0.1 s; with a look at the rest of the text for each character, a minute.
    begun = time.process_time()
    read(text)
    assert time.process_time() - begun < 3
