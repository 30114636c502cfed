"""An editor who cannot read a secret cannot lead it to another reader in two edits, whichever way the edits take."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rally_accelerate.config.load import validate_integration
from rally_accelerate.server.web.integration_form import from_stored, raw_of
from support.server_client import TENANT, ServerClient
from support.value_streams import board

SECRET = "planted-secret-1"
LIST = "/settings/integrations"
START = {"baseUrl": "https://rally.example", "apiKey": SECRET}
OWN_PROXY = {"proxyServer": "http://evil.example:80"}

EDIT = "mutation($d: ID!, $i: EditIntegrationInput!) { editIntegration(_id: $d, input: $i) { _id } }"
CREATE = f"""
mutation($name: String!, $workflow: JSON) {{
  createValueStream(name: $name, tenantId: "{TENANT}", team: {{ id: "1", name: "Default" }}, workflow: $workflow) {{
    __typename ... on WorkflowUploadError {{ errors }}
  }}
}}
"""

#: Makes one edit of the integration's settings with the secret masked, and returns what the answer says.
Edit = Callable[[ServerClient, str, dict[str, Any]], Awaitable[str]]


async def by_graphql(asked: ServerClient, its_id: str, properties: dict[str, Any]) -> str:
    answer = await asked.graphql(EDIT, d=its_id, i={"tenantId": TENANT, "properties": {**properties, "apiKey": "****"}})
    return answer.text


async def by_form(asked: ServerClient, its_id: str, properties: dict[str, Any]) -> str:
    typed = {f"properties.{name}": str(value).lower() for name, value in properties.items() if name != "apiKey"}
    defaults = {"properties.verifyTls": "true", "properties.verifyAccelerateTls": "true"}
    answer = await asked.http.post(f"{LIST}/{its_id}/edit", data={"name": "sample", **defaults, **typed})
    return answer.text


async def by_import(asked: ServerClient, its_id: str, properties: dict[str, Any]) -> str:
    entry = {"type": "ucv-ext-rally", "name": "sample", "properties": {**properties, "apiKey": "****"}}
    name = f"Stream {its_id} {len(properties)} {properties}"
    answer = await asked.graphql(CREATE, name=name[:100], workflow={**board(), "integrations": [entry]})
    return answer.text


@pytest.mark.parametrize("edit", [by_graphql, by_import])
@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "http://evil.example"},
        {"proxy_server": "http://evil.example:80", "verify_tls": False},
        {"ca_bundle": "-----BEGIN CERTIFICATE-----"},
        {"BASEURL": "http://evil.example"},
    ],
    ids=["address", "proxy without verification", "own authority", "other case"],
)
async def test_no_other_name_of_a_setting_leads_the_secret_elsewhere(
    asked: ServerClient, edit: Edit, change: dict[str, Any]
) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "disabled": True, "properties": START})
    await edit(asked, its_id, {**START, **change})
    after = await asked.host.stores.integrations.by_id(its_id)
    assert after is not None
    settings = validate_integration(after.raw).properties
    assert settings.base_url == START["baseUrl"]
    assert (settings.proxy_server, settings.verify_tls, settings.ca_bundle) == ("", True, "")


async def test_the_address_that_the_form_shows_is_the_one_that_is_used(asked: ServerClient) -> None:
    planted = {"name": "sample", "disabled": True, "properties": {**START, "base_url": "http://evil.example"}}
    its_id = await asked.host.add_integration(planted)
    stored = await asked.host.stores.integrations.by_id(its_id)
    assert stored is not None
    assert validate_integration(raw_of(from_stored(stored), stored)).properties.base_url == START["baseUrl"]


@pytest.mark.parametrize("edit", [by_graphql, by_form, by_import])
async def test_credentials_inside_the_address_of_a_proxy_need_to_be_entered_again(
    asked: ServerClient, edit: Edit
) -> None:
    start = {**START, "proxyServer": "https://bob:planted-secret-2@proxy.example:443"}
    its_id = await asked.host.add_integration({"name": "sample", "disabled": True, "properties": start})
    shown = "https://proxy.example:443" if edit is by_form else "****"
    properties = {"baseUrl": START["baseUrl"], "apiKey": "****", "proxyServer": shown}
    assert "must be entered again" not in await edit(asked, its_id, {**properties, "workspace": "Other"})
    answer = await edit(asked, its_id, {**properties, "workspace": "Other", "verifyTls": False})
    assert "must be entered again, because" in answer.replace("\n", " ")
    assert ("in this URL must be entered again" in answer) is (edit is by_form)
    after = await asked.host.stores.integrations.by_id(its_id)
    assert after is not None
    assert after.properties["proxyServer"] == start["proxyServer"]
    assert after.properties.get("verifyTls", True) is True


@pytest.mark.parametrize("edit", [by_graphql, by_form, by_import])
@pytest.mark.parametrize(
    "second",
    [{"verifyTls": False}, {"caBundle": "-----BEGIN CERTIFICATE-----"}, {"clientCertificate": "/tmp/own.pem"}],
    ids=["verification off", "own authority", "own client certificate"],
)
async def test_a_proxy_and_then_weaker_verification_need_the_secret(
    asked: ServerClient, edit: Edit, second: dict[str, Any]
) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "disabled": True, "properties": START})
    refused = "must be entered again"
    # A proxy sees only encrypted bytes of a verified connection.
    assert refused not in await edit(asked, its_id, {**START, **OWN_PROXY})
    found = await asked.host.stores.integrations.by_id(its_id)
    assert found is not None
    assert found.properties["proxyServer"] == OWN_PROXY["proxyServer"]
    assert refused in await edit(asked, its_id, {**START, **OWN_PROXY, **second})
    after = await asked.host.stores.integrations.by_id(its_id)
    assert after is not None
    assert after.properties == found.properties
    assert after.properties["apiKey"] == SECRET
