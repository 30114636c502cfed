"""Types, projects, fields and states go by the names that people see, in settings, rules and checks alike."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.cli.output import show_error
from rally_accelerate.config.load import validate_integration
from rally_accelerate.errors import ConfigError
from rally_accelerate.mapping.issue import map_work_item
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.records import Scope
from rally_accelerate.sync.connection_check import Finding, Link, run_checks
from rally_accelerate.sync.state import MemoryState
from rally_accelerate.sync.wiring import rules_with_cache
from rally_sandbox.clock import Clock
from rally_sandbox.server import SANDBOX_API_KEY, Sandbox, serve
from rally_sandbox.world import World

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def rally() -> Iterator[Sandbox]:
    world = World.create(3, 60, clock=Clock.frozen(BEGIN))
    world.relabel("PortfolioItem/Feature", "Business Outcome")
    world.relabel("PortfolioItem/Initiative", "Feature")
    with serve(world) as running:
        yield running


def opened(rally: Sandbox, **given: Any) -> Scope:
    integration = validate_integration(
        {"name": "x", "properties": {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, **given}}
    )

    async def run() -> Scope:
        async with RallyClient(integration.properties, limiters=LimiterPool()) as client:
            return await client.open()

    return asyncio.run(run())


def mapped(rally: Sandbox, state: MemoryState, **given: Any) -> list[Issue]:
    """Every item of the settings as the rules make it."""
    integration = validate_integration(
        {"name": "x", "properties": {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, **given}}
    )

    async def run() -> list[Issue]:
        async with RallyClient(integration.properties, limiters=LimiterPool()) as client:
            rules: Rules = await rules_with_cache(client, integration.properties, state)
            scope = await client.open()
            found = []
            for kind in scope.kinds:
                async for page in client.read_changes(scope, Walk(kind=kind, projects=(), started_at=scope.now)):
                    found += await client.history(scope, page.records)
            return [issue for item in found if isinstance(issue := map_work_item(item, rules), Issue)]

    return asyncio.run(run())


def test_renamed_levels_are_found_by_what_people_see(rally: Sandbox) -> None:
    scope = opened(rally, types="Business\u00a0Outcome, Feature, user story")
    assert scope.kinds == ("portfolioitem/feature", "portfolioitem/initiative", "hierarchicalrequirement")


def test_the_default_types_cost_no_request(rally: Sandbox) -> None:
    rally.stats.reset()
    assert opened(rally).kinds == ("hierarchicalrequirement", "defect")
    assert opened(rally, types="Story, Defect").kinds == ("hierarchicalrequirement", "defect")
    assert "typedefinition" not in rally.stats.requests


def test_an_unknown_type_stops_a_run_and_a_check_with_a_suggestion(
    rally: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r'"Busines Outcom" is no type .*did you mean "Business Outcome"') as refused:
        opened(rally, types=["Busines Outcom"])
    show_error(refused.value)
    assert capsys.readouterr().err.count("is no type of work item") == 1
    given = {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, "types": ["Milestone", "Defect"]}
    integration = validate_integration({"name": "x", "properties": given})

    async def run() -> list[Finding]:
        return [each async for each in run_checks(integration, target=None, limiters=LimiterPool())]

    *passed, finding, _ = asyncio.run(run())
    assert not any(each.error for each in passed)
    link, text = finding.link, finding.text
    assert (link, passed[-1].link) == (Link.TYPES, Link.PROJECTS)
    assert (
        '"Milestone" is a type of Rally, but not one of work items; there are Business Outcome (PortfolioItem/' in text
    )


def test_rules_and_new_names_speak_of_types_as_people_do(rally: Sandbox) -> None:
    given = {
        "types": "Business Outcome, Feature, Defect",
        "typeNames": {"business outcome": "Goal", "DEFECT": "Bug"},
        "fieldMapping": [
            {"type": "Business Outcomes", "valueMapping": {"labels": {"lowest": [{"Name": "/./"}]}}},
            {"type": "Feature", "valueMapping": {"labels": {"highest": [{"formatted\u00a0ID": "/./"}]}}},
        ],
    }
    state = MemoryState()
    for _ in range(2):
        issues = mapped(rally, state, **given)
        labels = {
            (issue.display_id.rstrip("0123456789"), issue.type, label)
            for issue in issues
            for label in ("lowest", "highest")
            if label in issue.labels
        }
        assert labels == {("F", "Goal", "lowest"), ("I", "Feature", "highest")}
        assert {issue.type for issue in issues} == {"Goal", "Feature", "Bug"}


@pytest.mark.parametrize("setting", ["fieldMapping", "typeNames"])
def test_rules_for_types_that_the_workspace_lacks_are_refused(rally: Sandbox, setting: str) -> None:
    rule = {"fieldMapping": [{"type": "Theme", "fieldMapping": {"epic": "Name"}}], "typeNames": {"Capability": "Epic"}}
    with pytest.raises(ConfigError) as refused:
        mapped(rally, MemoryState(), types="PortfolioItem", **{setting: rule[setting]})
    (problem,) = refused.value.problems
    assert problem.path == {"fieldMapping": "properties.fieldMapping[0].type"}.get(setting, f"properties.{setting}")
    assert "is no type of work item in this workspace" in problem.text


def test_projects_are_found_despite_typography(rally: Sandbox) -> None:
    names = ["team\u00a0amber", "team \u201cquartz\u201d", "Customer\u2019s Corner // \u00e9quipe\u2003\u00c9t\u00e9"]
    scope = opened(rally, projects=names)
    assert {project.name for project in scope.projects} == {"Team Amber", 'Team "Quartz"', "Équipe Été"}
