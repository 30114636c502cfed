"""Team and Teamspace of the vendor's newer plug-in are known, kept and sent nowhere."""

from typing import Any

import pytest

from rally_accelerate.config.form import list_form_fields
from rally_accelerate.config.load import load_integrations, normalize_properties
from rally_accelerate.plugin.manifest import manifest
from rally_accelerate.server.web.integration_form import empty, from_request, raw_of


@pytest.mark.parametrize(
    ("given", "read"),
    [("t-1", "t-1"), (17, "17"), (None, ""), (["a", "b"], "a, b"), ({"_id": "t-1", "name": "A"}, "t-1"), ({}, "")],
)
def test_both_are_read_without_a_notice_whatever_their_shape(given: Any, read: str) -> None:
    properties = {"apiKey": "k", "teamId": given, "TEAMSPACEID": given}
    (one,) = load_integrations({"name": "a", "properties": properties}, origin="f", environment={})
    assert (one.integration.properties.team_id, one.integration.properties.teamspace_id) == (read, read)
    assert one.notices == ()
    assert normalize_properties(properties)["teamspaceId"] == given or given in (None, "")


def test_forms_show_them_and_lose_nothing() -> None:
    shown = {each.name: each for each in list_form_fields()}
    assert shown["teamId"].hidden
    assert shown["teamspaceId"].label == "Teamspace"
    assert {"teamId", "teamspaceId"} <= {each["name"] for each in manifest()["properties"]}
    typed = from_request({**empty().values, "name": "a", "properties.teamId": "t-1"}, None)
    assert raw_of(typed, None)["properties"]["teamId"] == "t-1"
