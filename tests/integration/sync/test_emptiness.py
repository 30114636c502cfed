"""An integration that never brought an item says why, with what to do, and asks for the cause once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import stamina

from rally_accelerate.config.load import validated
from rally_accelerate.mapping.rules import rules_of
from rally_accelerate.model.report import SyncReport
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.preview import PreviewSink
from rally_accelerate.sync.sample import sample
from rally_accelerate.sync.state import MemoryState
from rally_accelerate.sync.wiring import plans_of
from rally_sandbox.serving import SANDBOX_API_KEY, Sandbox, serve
from rally_sandbox.world import World


@pytest.fixture(scope="module")
def rally() -> Iterator[Sandbox]:
    """One simulator for all cases; its world does not change."""
    with serve(World.create(seed=11, items=80)) as sandbox, stamina.set_testing(True, attempts=3):
        yield sandbox


async def run(rally: Sandbox, state: MemoryState | None = None, **given: Any) -> SyncReport:
    properties = validated(
        {"name": "n", "properties": {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, "historySource": "none", **given}}
    ).properties
    async with RallyClient(properties, limiters=LimiterPool()) as client:
        return await sync_once(
            client,
            PreviewSink(keep=10**6),
            MemoryState() if state is None else state,
            rules_of(properties),
            lambda: datetime.now(UTC),
            plans=plans_of(properties.model_copy(update={"removed_status": ("keep",)})),
        )


CAUSES = [
    ({"projects": "Sample Company Delivery"}, ["58", "Team Cobalt", "child projects have", "includeChildProjects"]),
    ({"query": '(Name = "no such name")'}, ["extra filter (query) excludes all", "Without it there are 58 items"]),
    ({"projects": "Platform, Customer's Corner", "query": '(Name = "none")'}, ["child projects have"]),
    ({"initialSyncDate": "2999-01-01"}, ["none changed since initialSyncDate", "earlier date"]),
    ({"types": "DefectSuite", "projects": "Team Cobalt"}, ["among stories and defects", "Check types"]),
]


@pytest.mark.parametrize(("given", "said"), CAUSES)
async def test_the_cause_is_computed(rally: Sandbox, given: dict[str, Any], said: list[str]) -> None:
    report = await run(rally, **given)
    assert report.failure is None
    assert report.tally.read == 0
    for words in said:
        assert words in report.empty
    assert report.as_dict()["empty"] == report.empty


async def test_the_cause_is_asked_for_once_for_the_same_settings(rally: Sandbox) -> None:
    state = MemoryState()
    given = {"query": '(Name = "no such name")'}
    first = await run(rally, state, **given)
    second = await run(rally, state, **given)
    assert second.empty == first.empty != ""
    assert second.rally.requests < first.rally.requests
    other = await run(rally, state, **given, projects="Team Cobalt")
    assert other.empty not in {"", first.empty}
    filled = await run(rally, state)
    assert (filled.empty, filled.tally.read > 0) == ("", True)
    assert (await run(rally, state, **given)).empty == ""


async def test_who_holds_items_already_is_asked_nothing(rally: Sandbox) -> None:
    state = MemoryState()
    full = await run(rally, state)
    assert full.empty == ""
    quiet = await run(rally, state, query='(Name = "no such name")')
    assert quiet.empty == ""


async def test_a_preview_says_it_too(rally: Sandbox) -> None:
    properties = validated(
        {"name": "n", "properties": {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, "query": '(Name = "none")'}}
    ).properties
    async with RallyClient(properties, limiters=LimiterPool()) as client:
        shown = await sample(client, rules_of(properties), count=5)
    assert shown.issues == []
    assert "extra filter (query) excludes all" in shown.notices[0]


async def test_closed_projects_are_named() -> None:
    with serve(World.create(seed=11, items=80)) as sandbox:
        for name in ("Team Dune", 'Team "Quartz"', "Mobile, Web and Desk"):
            sandbox.world.close_project(name)
        sandbox.world.close_project(100000242694)
        report = await run(sandbox, projects="Payments & Billing")
    assert "Team Dune" in report.empty
    assert "are closed" in report.empty
