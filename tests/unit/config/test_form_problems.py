"""All problems of a form are told at once, each at its field, also those that lie between two fields."""

from typing import Any

import pytest

from rally_accelerate.config.form import find_problems


def of(**properties: Any) -> dict[str, list[str]]:
    """The problems of some properties."""
    return find_problems({"name": "x", "properties": properties})


def test_what_is_right_has_none() -> None:
    assert of(apiKey="k") == {}
    assert of(username="u", password="p") == {}


def test_faults_in_fields_and_between_them_are_told_together() -> None:
    found = of(baseUrl="ftp://x", pageSize="many", proxyUsername="u", types="Story, ")
    assert set(found) == {
        "properties.baseUrl",
        "properties.pageSize",
        "properties.apiKey",
        "properties.proxyServer",
    }
    assert "no credentials" in found["properties.apiKey"][0]


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"username": "u"}, "properties.password"),
        ({"password": "p"}, "properties.username"),
        ({}, "properties.apiKey"),
        ({"apiKey": "k", "proxyUsername": "u"}, "properties.proxyServer"),
        ({"apiKey": "k", "maxRequestsInFlight": "99"}, "properties.maxRequestsInFlight"),
        ({"apiKey": "k", "fieldMapping": "{"}, "properties.fieldMapping"),
        ({"apiKey": "k", "projects": [["nested"]]}, "properties.projects"),
    ],
)
def test_each_stands_at_its_field(properties: dict[str, Any], field: str) -> None:
    assert list(of(**properties)) == [field]


def test_a_nameless_integration_is_told_beside_the_rest() -> None:
    assert set(find_problems({"name": "", "properties": {}})) == {"name", "properties.apiKey"}
