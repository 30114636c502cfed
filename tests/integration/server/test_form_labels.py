"""Types and filters in the form: by the names that people see, and refused at their fields."""

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.processes import Simulator, start_simulator
from support.server_client import TENANT, ServerClient

NEW = "/settings/integrations/new"
TICKED = {f"properties.{name}": "true" for name in ("comments", "relations", "verifyTls", "verifyAccelerateTls")}


@pytest.fixture(scope="module")
def rally() -> Iterator[Simulator]:
    """One simulator whose lowest portfolio level has a name of its own."""
    with start_simulator("--items", "60") as running:
        running.post("relabel", {"attribute": "PortfolioItem/Feature", "label": "Business Outcome"})
        yield running


def typed(rally: Simulator, **more: str) -> dict[str, str]:
    settings = {"baseUrl": rally.url, "apiKey": rally.key, **more}
    return {"name": "sample", **TICKED, **{f"properties.{name}": text for name, text in settings.items()}}


async def tried(asked: ServerClient, form: dict[str, str]) -> dict[str, Any]:
    """What the connection test says of each link."""
    answer = await asked.http.post(NEW, data={"do": "test", **form})
    assert answer.status_code == 303, answer.text
    for trial in asked.host.dry_runs._dry_runs.values():
        if trial.task is not None:
            await trial.task
    findings = (await asked.http.get(f"{answer.headers['location']}.json")).json()["trial"]["findings"]
    return {each["link"]: each["text"] for each in findings}


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("types", "Storry, Defect", '"Storry" is no type of work item'),
        ("typeNames", '{"Defct": "Bug"}', '"Defct" is no type of work item'),
        ("query", "Defect: (Priority = 1", "Defect: A parenthesis is not closed. (column 1)"),
        ("query", "Defct: (Priority = 1)", 'did you mean "Defect"'),
        ("query", "{", "is not valid JSON"),
        ("fieldMapping", '[{"type": "Storry"}]', '[0].type: "Storry" is no type'),
    ],
)
async def test_names_that_cannot_be_right_are_refused_at_their_field(
    asked: ServerClient, rally: Simulator, field: str, text: str, told: str
) -> None:
    answer = await asked.http.post(NEW, data=typed(rally, **{field: text}))
    assert answer.status_code == 422
    (fault,) = re.findall(r'class="fault"[^>]*>(.*?)</', answer.text, re.DOTALL)
    assert told in html.unescape(fault)


async def test_the_connection_test_looks_names_up(asked: ServerClient, rally: Simulator) -> None:
    wrong = await tried(asked, typed(rally, types="Business Outcom, Iteration"))
    assert 'did you mean "Business Outcome"' in wrong["types"]
    assert '"Iteration" is a type of Rally, but not one of work items' in wrong["types"]
    right = await tried(asked, typed(rally, types="Business Outcome, Defect", query='Defect: (Priority = "Low")'))
    assert "types" not in right
    assert "would be synced" in right["items"]


async def test_a_filter_for_each_type_is_saved_and_shown_as_it_was_typed(asked: ServerClient, rally: Simulator) -> None:
    text = 'Defect: (Priority = "Low")\n*: (Ready = true)'
    answer = await asked.http.post(NEW, data=typed(rally, query=text, teamId="t-1"))
    assert answer.status_code == 303
    found = await asked.host.stores.integrations.by_name("sample", TENANT)
    assert found is not None
    page = html.unescape((await asked.http.get(f"/settings/integrations/{found.id}/edit")).text)
    assert text in page
    assert 'value="t-1"' in page
