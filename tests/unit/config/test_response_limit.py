"""The operator's limit of ``answerMaxBytes``."""

from collections.abc import Iterator
from typing import Any

import pytest

from rally_accelerate.config.load import validate_integration
from rally_accelerate.config.response_limit import (
    LARGEST_DEFAULT,
    LEAST,
    compute_limit,
    get_default_limit,
    set_answer_limit,
)
from rally_accelerate.errors import ConfigError


@pytest.fixture
def limited() -> Iterator[None]:
    set_answer_limit(500_000_000)
    yield
    set_answer_limit(None)


def settings(most: int) -> dict[str, Any]:
    return {"name": "n", "properties": {"baseUrl": "https://r.example", "apiKey": "k", "answerMaxBytes": most}}


@pytest.mark.usefixtures("limited")
def test_a_value_above_the_limit_is_refused_with_the_limit_and_the_option() -> None:
    with pytest.raises(ConfigError) as refused:
        validate_integration(settings(500_000_001))
    (problem,) = refused.value.problems
    assert "answerMaxBytes" in str(problem)
    assert "is above 500,000,000 bytes, the limit of this server" in str(problem)
    assert "serve --answer-limit" in str(problem)
    assert validate_integration(settings(500_000_000)).properties.answer_max_bytes == 500_000_000


def test_without_a_server_there_is_no_such_limit() -> None:
    assert validate_integration(settings(10_000_000_000)).properties.answer_max_bytes == 10_000_000_000


@pytest.mark.parametrize(
    ("memory", "limit"),
    [(512_000_000, LEAST), (8_000_000_000, 500_000_000), (1 << 40, LARGEST_DEFAULT)],
)
def test_the_default_follows_the_memory(memory: int, limit: int) -> None:
    assert compute_limit(memory) == limit


def test_this_machine_has_a_default() -> None:
    assert LEAST <= get_default_limit() <= LARGEST_DEFAULT
