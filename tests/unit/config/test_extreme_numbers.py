"""Numbers that no setting takes are refused in words, whatever form they come in."""

import pytest

from rally_accelerate.config.load import validate_integration
from rally_accelerate.config.model import Properties
from rally_accelerate.errors import ConfigError

NUMBERS = [field.alias or name for name, field in Properties.model_fields.items() if field.annotation in {int, float}]

EXTREMES = {
    "a text of 400 digits": "9" * 400,
    "a text of 5,000 digits": "9" * 5_000,
    "a text with a fraction": "9" * 400 + ".5",
    "a percentage of 400 digits": "9" * 400 + "%",
    "a number of 400 digits": 10**400,
    "a number of 5,000 digits": 10**5_000,
    "an exponent": "1e400",
    "infinity": float("inf"),
    "no number": float("nan"),
}


@pytest.mark.parametrize("value", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("name", [*NUMBERS, "removalCap", "initialSyncDate"])
def test_a_number_that_no_setting_takes_is_refused_in_words(name: str, value: object) -> None:
    raw = {"baseUrl": "http://127.0.0.1:9", "apiKey": "k", name: value}
    with pytest.raises(ConfigError) as caught:
        validate_integration({"type": "ucv-ext-rally", "name": "n", "properties": raw})
    (problem,) = caught.value.problems
    assert problem.path == f"properties.{name}"
    assert "set_int_max_str_digits" not in problem.text
    assert len(problem.text) < 200


@pytest.mark.parametrize("name", ["workspace", "projects"])
def test_a_number_with_too_many_digits_for_a_text_is_refused_in_words(name: str) -> None:
    raw = {"baseUrl": "http://127.0.0.1:9", "apiKey": "k", name: 10**5_000}
    with pytest.raises(ConfigError) as caught:
        validate_integration({"type": "ucv-ext-rally", "name": "n", "properties": raw})
    assert [problem.text for problem in caught.value.problems] == ["has too many digits"]


@pytest.mark.parametrize("value", [1e300, True, {}])
@pytest.mark.parametrize("name", ["removalCap", "removedStatus"])
def test_a_value_of_another_kind_is_refused_with_the_form_to_write(name: str, value: object) -> None:
    raw = {"baseUrl": "http://127.0.0.1:9", "apiKey": "k", name: value}
    with pytest.raises(ConfigError) as caught:
        validate_integration({"type": "ucv-ext-rally", "name": "n", "properties": raw})
    assert 'must be like "' in str(caught.value.problems[0])


def test_numbers_of_twelve_digits_are_read() -> None:
    raw = {"baseUrl": "http://127.0.0.1:9", "apiKey": "k", "removalCap": "999999999999, 12.5 %"}
    read = validate_integration({"type": "ucv-ext-rally", "name": "n", "properties": raw})
    assert read.properties.removal_cap == (999_999_999_999, 0.125)
