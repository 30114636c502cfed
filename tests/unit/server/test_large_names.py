"""Objects with very many keys, as nobody writes them but an attacker, are read in the time that their size takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rally_accelerate.dql.index_terms import build_facts
from rally_accelerate.errors import ConfigError
from rally_accelerate.server.value_streams.document_text import MOST_PROBLEMS, parse_document

MANY = 45_000

#: Seconds of the processor: hundreds of times what it takes, and a fraction of what comparing all with all takes.
ENOUGH = 20.0


@contextmanager
def bounded() -> Iterator[None]:
    """Fail when this takes more of the processor than anybody should be able to ask for."""
    before = time.process_time()
    yield
    assert time.process_time() - before < ENOUGH


def test_names_that_come_twice_are_told_without_comparing_all_with_all() -> None:
    text = "{" + ",".join(f'"k{number}":1,"k{number}":1' for number in range(MANY)) + "}"
    with bounded(), pytest.raises(ConfigError) as caught:
        parse_document(text)
    assert len(caught.value.problems) == MOST_PROBLEMS + 1
    assert str(caught.value.problems[0]) == "k0: is a duplicate key; keep only one"
    assert f"{MANY - MOST_PROBLEMS:,} more" in str(caught.value.problems[-1])


def test_an_issue_whose_names_differ_in_case_alone_is_indexed_in_bounded_time() -> None:
    held = {f"k{number}": 1 for number in range(MANY)} | {"K1": 2}
    with bounded():
        assert list(build_facts({"rawIssue": held}))
