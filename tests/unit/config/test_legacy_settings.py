"""What an existing integration's settings become."""

from typing import Any

import pytest

from rally_accelerate.config.legacy_settings import SettingStatus, explain_settings

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


def fates(raw: dict[str, Any]) -> dict[str, SettingStatus]:
    return {each.path: each.status for each in explain_settings(raw)}


def test_the_pages_own_sample_is_understood() -> None:
    found = fates(OF_THE_PAGE)
    assert found["logginglevel"] is SettingStatus.DEPRECATED
    assert found["image"] is SettingStatus.IGNORED
    assert found["properties.logLevel"] is SettingStatus.DEPRECATED
    assert found["properties.password"] is SettingStatus.MASKED
    assert found["properties.ucvAccessKey"] is SettingStatus.DEPRECATED
    assert found["properties.workspace"] is SettingStatus.UNCHANGED
    assert found["properties.projcts"] is SettingStatus.IGNORED
    # User and password are enough, but an API key would be better.
    assert found["properties.apiKey"] is SettingStatus.MISSING
    texts = {each.path: each.text for each in explain_settings(OF_THE_PAGE)}
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
    found = [each for each in explain_settings({"name": "x", "properties": properties}) if each.path == path]
    assert any(word in each.text for each in found) if path else not found


def test_a_masked_proxy_password_may_be_an_empty_one() -> None:
    found = explain_settings({"name": "x", "properties": {"apiKey": "****", "proxyPassword": "****"}})
    assert not [each for each in found if each.path == "properties.proxyServer"]


def test_a_reference_by_name_says_that_it_is_one() -> None:
    (last,) = [each for each in explain_settings({"name": "x"}) if each.status is SettingStatus.MISSING]
    assert "refers to the integration by its name only" in last.text


@pytest.mark.parametrize(
    ("properties", "environment", "fate", "text"),
    [
        ({}, (), SettingStatus.MISSING, "no credentials"),
        ({}, ("accelerateUrl",), SettingStatus.MISSING, "no credentials"),
        ({}, ("apiKey",), SettingStatus.UNCHANGED, "taken from RALLY_API_KEY"),
        ({"apiKey": ""}, ("apiKey",), SettingStatus.UNCHANGED, "taken from RALLY_API_KEY"),
        ({"username": "u"}, ("password",), SettingStatus.UNCHANGED, "RALLY_PASSWORD"),
        ({}, ("username", "password"), SettingStatus.UNCHANGED, "RALLY_USERNAME"),
        ({}, ("username",), SettingStatus.MISSING, "no credentials"),
    ],
)
def test_credentials_of_the_environment_are_not_called_missing(
    properties: dict[str, str], environment: tuple[str, ...], fate: SettingStatus, text: str
) -> None:
    found = explain_settings({"name": "x", "properties": properties}, environment=environment)
    assert [each.status for each in found if text in each.text] == [fate]
    assert fate is SettingStatus.MISSING or not [each for each in found if each.status is SettingStatus.MISSING]
