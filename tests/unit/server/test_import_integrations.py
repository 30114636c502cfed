"""The integrations of a value stream's file: validated as everywhere, secrets kept, and never sent to another address."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.value_streams.importer import IntegrationPlan, plan_integrations

TENANT = "tenant-1"


def stored(name: str = "rally", **properties: Any) -> StoredIntegration:
    return StoredIntegration(
        id="a" * 24,
        tenant_id=TENANT,
        name=name,
        type="ucv-ext-rally",
        display_name=name,
        logging_level="INFO",
        disabled=False,
        show_hidden=False,
        properties={"baseUrl": "https://rally.example", "apiKey": "secret-1", **properties},
        state=None,
        event_states={},
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def asked(*entries: dict[str, Any], known: tuple[StoredIntegration, ...] = (), before: Any = None) -> IntegrationPlan:
    return plan_integrations({"integrations": list(entries)}, tenant_id=TENANT, known=known, before=before)


def said(found: IntegrationPlan) -> dict[str, str]:
    return {problem.path: problem.text for problem in found.problems}


def whole(name: str = "rally", **properties: Any) -> dict[str, Any]:
    return {"name": name, "type": "ucv-ext-rally", "properties": properties}


def test_a_whole_entry_adds_an_integration() -> None:
    found = asked(
        {
            "type": "@velocity/ucv-ext-rally",
            "name": " my-rally ",
            "logginglevel": "debug",
            "image": "x:1.2.3",
            "ourOwn": 7,
            "properties": {"BASEURL": "https://rally.example/", "apiToken": "k", "projects": "A, B", "unheardOf": "v"},
        }
    )
    (write,) = found.writes
    assert found.problems == ()
    assert (write.name, write.id) == ("my-rally", "")
    assert write.values["tenant_id"] == TENANT
    assert write.values["loggingLevel"] == "DEBUG"
    assert write.values["properties"] == {
        "baseUrl": "https://rally.example/",
        "apiKey": "k",
        "projects": "A, B",
        "unheardOf": "v",
    }
    # No setting is kept in the document.
    assert found.entries == ({"name": "my-rally", "image": "x:1.2.3", "ourOwn": 7},)
    assert "unheardOf" in found.notices[0]


def test_a_logging_level_that_is_none_is_told_with_its_path() -> None:
    entry = {
        "type": "ucv-ext-rally",
        "name": "my-rally",
        "loggingLevel": "verbose",
        "properties": {"baseUrl": "https://rally.example/", "apiKey": "k"},
    }
    (notice,) = asked(entry).notices
    assert notice.startswith("integrations[0]: the logging level 'verbose' is not known, so info is used")


def test_a_name_alone_refers_to_one_that_exists() -> None:
    found = asked({"name": "rally"}, known=(stored(),))
    assert found.entries == ({"name": "rally", "_id": "a" * 24},)
    assert found.writes == ()
    assert "did you mean 'rally'" in said(asked({"name": "raly"}, known=(stored(),)))["integrations[0].name"]
    assert "add it on the Integrations page first" in said(asked({"name": "raly"}))["integrations[0].name"]
    # Of another tenant it does not exist.
    assert said(asked({"name": "rally", "tenant_id": "tenant-2"}, known=(stored(),)))


def test_a_name_alone_can_switch_it_off() -> None:
    (write,) = asked({"name": "rally", "disabled": "true"}, known=(stored(),)).writes
    assert (write.id, dict(write.values), write.changed) == ("a" * 24, {"disabled": True}, ("disabled",))
    assert "integrations[0].disabled" in said(asked({"name": "rally", "disabled": "perhaps"}, known=(stored(),)))


def test_a_masked_secret_keeps_its_value_and_changes_nothing() -> None:
    same = whole(baseUrl="https://rally.example", apiKey="****")
    assert asked(same, known=(stored(),)).writes == ()
    (write,) = asked(whole(baseUrl="https://rally.example", apiKey="****", projects=["A"]), known=(stored(),)).writes
    assert write.values["properties"]["apiKey"] == "secret-1"
    assert write.changed == ("projects",)


def test_a_masked_secret_that_stands_for_nothing_is_refused() -> None:
    assert "no stored value exists" in said(asked(whole(apiKey="****")))["integrations[0].properties.apiKey"]
    found = said(asked(whole(baseUrl="https://rally.example", apiKey="*****", password="****"), known=(stored(),)))
    assert list(found) == ["integrations[0].properties.password"]


@pytest.mark.parametrize("address", ["https://evil.example", ""])
def test_a_kept_secret_does_not_follow_another_address(address: str) -> None:
    found = asked(whole(baseUrl=address, apiKey="****"), known=(stored(),))
    assert "must be entered again" in said(found)["integrations[0].properties.apiKey"]
    assert found.writes == ()


def test_a_masked_address_is_the_stored_one() -> None:
    known = stored(proxyServer="http://u:p@proxy.example:1", proxyUsername="u", proxyPassword="secret-2")
    entry = whole(
        baseUrl="https://rally.example",
        apiKey="****",
        proxyServer="****",
        proxyUsername="u",
        proxyPassword="****",
    )
    assert asked(entry, known=(known,)).writes == ()
    assert asked(entry, known=(known,)).problems == ()


def test_every_fault_of_every_entry_is_told() -> None:
    found = said(
        asked(
            {"name": "one", "type": "ucv-ext-rally", "properties": {"baseUrl": "ftp://x", "apiKey": "k"}},
            {"name": "two", "properties": {"pageSize": 9000, "apiKey": "${RALLY_API_KEY}"}},
            {"name": "three", "type": "ucv-ext-rally"},
        )
    )
    assert set(found) == {
        "integrations[0].properties.baseUrl",
        "integrations[1].properties.apiKey",
        "integrations[1].properties.pageSize",
        "integrations[2].name",
    }
    assert "RALLY_API_KEY" in found["integrations[1].properties.apiKey"]
    assert "provide its properties" in found["integrations[2].name"]


def test_another_tool_s_integration_is_kept_with_its_secrets() -> None:
    entry = {
        "name": "jira",
        "type": "ucv-ext-jira",
        "properties": {"baseUrl": "https://j", "token": "t-1"},
        "_id": "b" * 24,
    }
    first = asked(entry)
    assert first.entries == (entry,)
    assert "this server doesn't run" in first.notices[0]
    again = {**entry, "status": "Online", "properties": {"baseUrl": "https://j", "token": "****"}}
    assert asked(again, before={"integrations": list(first.entries)}).entries == (entry,)
    assert asked({"name": "jira"}, before={"integrations": list(first.entries)}).entries == (entry,)
    # Downloaded from another server: this plug-in does not run here, so that nothing needs its secret.
    elsewhere = asked(again)
    assert (elsewhere.problems, elsewhere.entries[0]["properties"]) == ((), {"baseUrl": "https://j", "token": None})
    assert "token is masked in the file and treated as missing" in elsewhere.notices[1]


def test_what_was_renamed_or_removed_since_an_older_version_is_found_or_told() -> None:
    older = {"name": "rally", "_id": "a" * 24}
    assert asked(older, known=(stored("renamed"),)).entries == (older,)
    gone = asked(older, before={"integrations": [older]})
    assert gone.entries == (older,)
    assert "was deleted" in gone.notices[0]
    assert said(asked(older))


def test_what_the_settings_lack_together_is_told_with_what_is_wrong_in_one() -> None:
    found = said(asked(whole("a", baseUrl="https://rally.example", pageSize="many")))
    assert {"integrations[0].properties.pageSize", "integrations[0].properties.apiKey"} == set(found)
    assert found["integrations[0].properties.apiKey"].startswith("no credentials")


def test_mapping_rules_that_a_run_would_refuse_are_refused_in_a_file() -> None:
    rules = [{"type": "Storry", "valueMapping": {"statuss": {"Done": ["Accepted"]}}}]
    problems = said(asked(whole(apiKey="k", fieldMapping=rules)))
    assert 'did you mean "Story"' in problems["integrations[0].properties.fieldMapping[0].type"]
    assert 'did you mean "status"' in problems["integrations[0].properties.fieldMapping[0].valueMapping.statuss"]


@pytest.mark.parametrize("given", ["ucv-ext-raly", "UCV-EXT-RALLY", "rally"])
def test_a_misspelt_type_is_named(given: str) -> None:
    (notice,) = asked({"name": "r", "type": given, "properties": {}}).notices
    assert notice.endswith("; did you mean ucv-ext-rally?")
    (notice,) = asked({"name": "r", "type": "ucv-ext-jira", "properties": {}}).notices
    assert notice.endswith("it is preserved in the file")


def test_a_reference_where_there_is_no_integration_says_what_to_do() -> None:
    text = said(asked({"name": "nowhere"}))["integrations[0].name"]
    assert text == (
        "no integration is named 'nowhere'; add it on the Integrations page first, or provide its type and properties"
    )
