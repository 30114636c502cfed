"""What an existing integration's settings become."""

from typing import Any

import pytest

from rally_accelerate.config.legacy_settings import Fate, inherited

#: As the plug-in's page prints it, misspellings included, and as a download has it.
OF_THE_PAGE: dict[str, Any] = {
    "type": "ucv-ext-rally",
    "name": "my-rally",
    "tenant_id": "5ade13625558f2c6688d15ce",
    "logginglevel": "info",
    "image": "ucv-ext-rally:1.0.43",
    "status": "online",
    "properties": {
        "baseUrl": "",
        "username": "my_username",
        "password": "****",
        "workspace": "Workspace1",
        "projects": ["Sample Project"],
        "logLevel": "info",
        "proxyServer": "proxy.example:8080",
        "proxyUsername": "proxy_server_user_name",
        "proxyPassword": "****",
        "ucvAccessKey": "****",
        "projcts": ["x"],
    },
}


def fates(raw: dict[str, Any]) -> dict[str, Fate]:
    return {each.path: each.fate for each in inherited(raw)}


def test_the_pages_own_sample_is_understood() -> None:
    found = fates(OF_THE_PAGE)
    assert found["logginglevel"] is Fate.DEPRECATED
    assert found["image"] is Fate.IGNORED
    assert found["properties.logLevel"] is Fate.DEPRECATED
    assert found["properties.password"] is Fate.MASKED
    assert found["properties.ucvAccessKey"] is Fate.DEPRECATED
    assert found["properties.workspace"] is Fate.KEPT
    assert found["properties.projcts"] is Fate.IGNORED
    # User and password are enough, but an API key would be better.
    assert found["properties.apiKey"] is Fate.MISSING
    texts = {each.path: each.text for each in inherited(OF_THE_PAGE)}
    assert "did you mean projects?" in texts["properties.projcts"]
    assert "1 projects" in texts["properties.projects"]


@pytest.mark.parametrize(
    ("properties", "path", "word"),
    [
        ({"apiKey": "k"}, "", ""),
        ({}, "properties.apiKey", "no credentials"),
        ({"username": "u"}, "properties.apiKey", "no credentials"),
        ({"apiKey": "k", "username": "u", "password": "p"}, "properties.password", "the API key is used"),
        ({"apiKey": "k", "proxyPassword": "p"}, "properties.proxyServer", "no proxy"),
        ({"apiKey": "k", "APITOKEN": "k"}, "properties.APITOKEN", "read as apiKey"),
        ({"apiKey": "k", "projects": ""}, "properties.projects", "every project"),
        ({"apiKey": "k", "projects": "A, B*"}, "properties.projects", "any characters: B*"),
        ({"apiKey": "k", "projects": [{}]}, "properties.projects", "cannot be read"),
        ({"apiKey": "k", "includeChildProjects": "true"}, "properties.includeChildProjects", "of this plug-in's own"),
    ],
)
def test_each_setting_gets_its_sentence(properties: dict[str, Any], path: str, word: str) -> None:
    found = [each for each in inherited({"name": "x", "properties": properties}) if each.path == path]
    assert any(word in each.text for each in found) if path else not found


def test_a_masked_proxy_password_may_be_an_empty_one() -> None:
    found = inherited({"name": "x", "properties": {"apiKey": "****", "proxyPassword": "****"}})
    assert not [each for each in found if each.path == "properties.proxyServer"]


def test_a_reference_by_name_says_that_it_is_one() -> None:
    (last,) = [each for each in inherited({"name": "x"}) if each.fate is Fate.MISSING]
    assert "refers to the integration by its name only" in last.text


@pytest.mark.parametrize(
    ("properties", "environment", "fate", "text"),
    [
        ({}, (), Fate.MISSING, "no credentials"),
        ({}, ("accelerateUrl",), Fate.MISSING, "no credentials"),
        ({}, ("apiKey",), Fate.KEPT, "taken from RALLY_API_KEY"),
        ({"apiKey": ""}, ("apiKey",), Fate.KEPT, "taken from RALLY_API_KEY"),
        ({"username": "u"}, ("password",), Fate.KEPT, "RALLY_PASSWORD"),
        ({}, ("username", "password"), Fate.KEPT, "RALLY_USERNAME"),
        ({}, ("username",), Fate.MISSING, "no credentials"),
    ],
)
def test_credentials_of_the_environment_are_not_called_missing(
    properties: dict[str, str], environment: tuple[str, ...], fate: Fate, text: str
) -> None:
    found = inherited({"name": "x", "properties": properties}, environment=environment)
    assert [each.fate for each in found if text in each.text] == [fate]
    assert fate is Fate.MISSING or not [each for each in found if each.fate is Fate.MISSING]
