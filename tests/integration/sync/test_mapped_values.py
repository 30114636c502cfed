"""A check names the mapped values that their field does not have."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.config.load import validate_integration
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.connection_check import Finding, run_checks
from rally_sandbox.clock import Clock
from rally_sandbox.server import SANDBOX_API_KEY, Sandbox, serve
from rally_sandbox.world import World


@pytest.fixture(scope="module")
def rally() -> Iterator[Sandbox]:
    world = World.create(3, 60, clock=Clock.frozen(datetime(2026, 3, 2, 9, 0, tzinfo=UTC)))
    with serve(world) as running:
        yield running


def told(rally: Sandbox, *entries: dict[str, Any], **given: Any) -> list[str]:
    properties = {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, "fieldMapping": json.dumps(entries), **given}
    integration = validate_integration({"name": "x", "properties": properties})

    async def run() -> list[Finding]:
        return [each async for each in run_checks(integration, target=None, limiters=LimiterPool())]

    found = asyncio.run(run())
    assert not [each for each in found if each.error]
    return [each.text for each in found if "fieldMapping" in each.text and each.doubtful]


def mapped(kind: Any, target: str, values: Any, **sources: str) -> dict[str, Any]:
    return {"type": kind, "fieldMapping": sources, "valueMapping": {target: {"Done": values}}}


def test_values_that_a_field_lacks_are_named_with_a_suggestion(rally: Sandbox) -> None:
    (text,) = told(rally, mapped("Story", "status", ["Accepted", "Acepted", "/^Acep/", ""]))
    place = "fieldMapping[0].valueMapping.status.Done[1]"
    assert (
        text == f'{place}: ScheduleState of Story has no value "Acepted" now (did you mean "Accepted" or "Completed"?)'
    )


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (mapped("Defect", "status", "Fixd", status="State"), 'State of Defect has no value "Fixd"'),
        (
            mapped("Story", "status", [{"Schedule State": ["Accepted", "Acepted"]}]),
            "Done[0].Schedule State: ScheduleState",
        ),
        (mapped("*", "status", "Acepted"), 'has no value "Acepted"'),
        # Stories have no priority.
        (mapped("*", "priority", "Hihg"), 'Priority of Defect has no value "Hihg"'),
    ],
)
def test_values_are_those_of_the_field_that_is_read(rally: Sandbox, entry: dict[str, Any], word: str) -> None:
    (text,) = told(rally, entry)
    assert word in text


@pytest.mark.parametrize(
    "entry",
    [
        mapped("Defect", "status", ["Fixed", "none", None], status="State"),
        mapped("Story", "status", [" accepted ", "In-Progress"]),
        # Any text, other objects, and what another type has.
        mapped("Story", "name", "Nobody"),
        mapped("Story", "status", "x", status="Iteration.Name"),
        mapped(["Story", "Defect"], "priority", "High Attention"),
        {"type": "Story", "fieldMapping": {"status": "ScheduleState"}},
    ],
)
def test_nothing_is_said_of_values_that_can_be(rally: Sandbox, entry: dict[str, Any]) -> None:
    assert told(rally, entry) == []


def test_many_values_are_counted(rally: Sandbox) -> None:
    texts = told(rally, mapped("Story", "status", [f"Value {number}" for number in range(30)]))
    assert len(texts) == 21
    assert texts[-1] == "fieldMapping has 10 more values that their fields do not have now"
