"""An integration that never brought an item says why, with what to do, and asks for the cause once."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import stamina

from rally_accelerate.config.load import validate_integration
from rally_accelerate.config.model import Integration
from rally_accelerate.mapping.rules import build_rules
from rally_accelerate.model.report import SyncReport
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.connection_check import Link, run_checks
from rally_accelerate.sync.dry_run import PreviewSink, read_sample
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.state import MemoryState
from rally_accelerate.sync.wiring import plans_of
from rally_sandbox.server import SANDBOX_API_KEY, Sandbox, serve
from rally_sandbox.world import World
from support.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def rally() -> Iterator[Sandbox]:
    """One simulator for all cases; its world does not change."""
    with serve(World.create(seed=11, items=80)) as sandbox, stamina.set_testing(True, attempts=3):
        yield sandbox


def integration(rally: Sandbox, **given: Any) -> Integration:
    properties = {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, "historySource": "none", **given}
    return validate_integration({"name": "n", "properties": properties})


async def run(rally: Sandbox, state: MemoryState | None = None, **given: Any) -> SyncReport:
    properties = integration(rally, **given).properties
    async with RallyClient(properties, limiters=LimiterPool()) as client:
        return await sync_once(
            client,
            PreviewSink(keep=10**6),
            MemoryState() if state is None else state,
            build_rules(properties),
            lambda: datetime.now(UTC),
            plans=plans_of(properties.model_copy(update={"removed_status": ("keep",)})),
        )


async def told_everywhere(rally: Sandbox, **given: Any) -> str:
    """Return the cause as a run tells it; a check and a preview must tell the same."""
    report = await run(rally, **given)
    assert report.failure is None
    assert report.tally.read == 0
    assert report.as_dict()["empty"] == report.empty
    wanted = integration(rally, **given)
    findings = [each async for each in run_checks(wanted, target=None, limiters=LimiterPool())]
    doubts = [each.text for each in findings if each.link is Link.ITEMS and each.doubtful]
    assert doubts[-1] == report.empty
    async with RallyClient(wanted.properties, limiters=LimiterPool()) as client:
        since = wanted.properties.initial_sync_date
        shown = await read_sample(client, build_rules(wanted.properties), count=5, since=since)
    assert shown.issues == []
    assert shown.notices[0] == report.empty
    return report.empty


CAUSES = [
    ({"projects": "Sample Company Delivery"}, ["58", "Team Cobalt", "child projects have", "includeChildProjects"]),
    ({"query": '(Name = "no such name")'}, ["filter (query) excludes all items", "Without it there are 58 items"]),
    ({"projects": "Platform, Customer's Corner", "query": '(Name = "none")'}, ["child projects have"]),
    ({"initialSyncDate": "2999-01-01"}, ["none changed since initialSyncDate", "earlier date"]),
    ({"types": "DefectSuite", "projects": "Team Cobalt"}, ["among stories and defects", "Check types"]),
]


@pytest.mark.parametrize(("given", "said"), CAUSES)
async def test_the_cause_is_computed(rally: Sandbox, given: dict[str, Any], said: list[str]) -> None:
    empty = await told_everywhere(rally, **given)
    for words in said:
        assert words in empty


@pytest.fixture
def rights(rally: Sandbox) -> Iterator[Callable[[list[str] | None], None]]:
    """Lets the user see only some projects, until the test ends."""

    def restrict(projects: list[str] | None) -> None:
        httpx2.post(
            f"{rally.url}/_sandbox/rights", json={"projects": projects}, timeout=PATIENCE_SECONDS
        ).raise_for_status()

    yield restrict
    restrict(None)


NO_RIGHTS = [
    ([], {"workspace": "Sample Company"}, ["sees no project of the workspace Sample Company", "viewer access"]),
    (["Sample Company Delivery"], {}, ["sees 1 project of the workspace", "no items there", "viewer access"]),
    (
        ["Sample Company Delivery", "Platform"],
        {"projects": "Sample Company Delivery"},
        ["none in Sample Company Delivery, and none in child projects", "viewer access"],
    ),
]


@pytest.mark.parametrize(("visible", "given", "said"), NO_RIGHTS)
async def test_items_that_the_user_may_not_read_are_missing_and_the_rights_are_named(
    rally: Sandbox,
    rights: Callable[[list[str] | None], None],
    visible: list[str],
    given: dict[str, Any],
    said: list[str],
) -> None:
    rights(visible)
    empty = await told_everywhere(rally, **given)
    for words in said:
        assert words in empty


async def test_a_project_that_the_user_may_not_read_is_unknown_and_the_rights_are_named(
    rally: Sandbox, rights: Callable[[list[str] | None], None]
) -> None:
    rights(["Team Birch"])
    report = await run(rally, projects="Team Amber")
    assert report.failure is not None
    assert 'no project is called "Team Amber"' in str(report.failure)
    assert "not allowed to read" in report.failure.hint
    findings = [
        each
        async for each in run_checks(integration(rally, projects="Team Amber"), target=None, limiters=LimiterPool())
    ]
    (broken,) = [each for each in findings if each.error]
    assert (broken.link, "not allowed to read" in str(broken.error and broken.error.hint)) == (Link.PROJECTS, True)


async def test_rights_that_are_given_later_change_the_cause(
    rally: Sandbox, rights: Callable[[list[str] | None], None]
) -> None:
    state = MemoryState()
    rights(["Platform"])
    before = (await run(rally, state)).empty
    rights(["Platform", "Sample Company Delivery"])
    after = (await run(rally, state)).empty
    assert "1 project " in before
    assert "2 projects " in after
    rights(None)
    assert (await run(rally, state)).tally.read > 0


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


async def test_closed_projects_are_named() -> None:
    with serve(World.create(seed=11, items=80)) as sandbox:
        for name in ("Team Dune", 'Team "Quartz"', "Mobile, Web and Desk"):
            sandbox.world.close_project(name)
        sandbox.world.close_project(100000242694)
        empty = await told_everywhere(sandbox, projects="Payments & Billing")
    assert "Team Dune" in empty
    assert "are closed" in empty
