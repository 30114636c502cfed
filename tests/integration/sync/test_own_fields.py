"""Fields of the workspace's own, and fields under names of its own, have a whole history from either source."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.config.load import validate_integration
from rally_accelerate.errors import ConfigError
from rally_accelerate.model.progress import Learned, Progress
from rally_accelerate.model.report import SyncReport
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.dry_run import PreviewSink
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.state import MemoryState, StateFile
from rally_accelerate.sync.wiring import Target, connect, rules_with_cache
from rally_sandbox.clock import Clock
from rally_sandbox.server import SANDBOX_API_KEY, serve
from rally_sandbox.world import World

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SOURCES = ("lookback", "revisions")
OWN = [
    "Risk Level",
    "c_NeededBy",
    "Reviewer",
    "Regulatory",
    "Score",
    "Customer ref. no.",
    "Copied from",
    "First Sprint",
]


@pytest.fixture
def world() -> World:
    return World.create(3, 60, clock=Clock.frozen(BEGIN))


def hour(world: World) -> None:
    world.clock.advance(timedelta(hours=1))


async def synced(url: str, state: MemoryState, **given: Any) -> tuple[SyncReport, Mapping[str, dict[str, Any]]]:
    """A run as the doors connect it, and what it uploads by external id."""
    integration = validate_integration(
        {"name": "x", "properties": {"baseUrl": url, "apiKey": SANDBOX_API_KEY, **given}}
    )
    sink = PreviewSink(keep=10**6)
    target = Target("https://accelerate.invalid", SecretStr(""))
    async with connect(integration, target=target, limiters=LimiterPool()) as connected:
        rules = await rules_with_cache(connected.source, integration.properties, state)
        report = await sync_once(connected.source, sink, state, rules, lambda: datetime.now(UTC))
    assert report.failure is None, report.failure
    return report, {issue.external_id: item_in(issue) for issue in sink.issues}


def uploaded(world: World, source: str, **given: Any) -> tuple[SyncReport, Mapping[str, dict[str, Any]]]:
    hour(world)
    with serve(world) as rally:
        return asyncio.run(synced(rally.url, MemoryState(), historySource=source, **given))


def told(issue: Mapping[str, Any], *fields: str) -> list[tuple[str, Any, Any]]:
    contents = [entry["content"] for entry in issue["history"]]
    return [(each["field"], each["from"], each["to"]) for each in contents if not fields or each["field"] in fields]


@pytest.mark.parametrize("source", SOURCES)
def test_dates_people_items_and_plain_values_have_a_history(world: World, source: str) -> None:
    original = world.create_item("story", Name="The original")
    story = world.create_item("story", Name="The copy").object_id
    first, second = world.company.users[2], world.company.users[3]
    sprint = world.company.teams[0].sprints[4]
    for fields in (
        {"c_NeededBy": "2026-04-01T06:00:00.250Z", "c_Reviewer": first},
        {"c_NeededBy": "2026-07-01T06:00:00.000Z", "c_Reviewer": second, "c_Score": 1234567.5},
        {"c_RiskLevel": "Low [1]", "c_Regulatory": True, "c_Original": original, "c_FirstSprint": sprint},
        {"c_RiskLevel": "High, or unknown", "c_Regulatory": False, "c_CustomerReference": "A-1"},
        {"c_NeededBy": None, "c_Reviewer": None, "c_Original": None},
    ):
        hour(world)
        world.edit(story, fields)
    report, issues = uploaded(world, source, customFields=OWN)
    key = world.get_formatted_id(original)
    assert told(issues[str(story)]) == [
        ("NeededBy", "", "2026-04-01T06:00:00Z"),
        ("Reviewer", "", first.name),
        ("NeededBy", "2026-04-01T06:00:00Z", "2026-07-01T06:00:00Z"),
        ("Reviewer", first.name, second.name),
        ("Score", "", "1234567.5"),
        ("RiskLevel", "", "Low [1]"),
        ("Regulatory", "false", "true"),
        ("Original", "", key),
        ("FirstSprint", [], [sprint.name]),
        ("RiskLevel", "Low [1]", "High, or unknown"),
        ("Regulatory", "true", "false"),
        ("CustomerReference", "", "A-1"),
        ("NeededBy", "2026-07-01T06:00:00Z", ""),
        ("Reviewer", second.name, ""),
        ("Original", key, ""),
    ]
    assert report.tally.complete == len(issues)
    assert issues[str(story)]["rawIssue"]["c_RiskLevel"] == "High, or unknown"


@pytest.mark.parametrize("source", SOURCES)
def test_a_relabelled_field_keeps_its_history(world: World, source: str) -> None:
    story = world.create_item("story").object_id
    hour(world)
    world.edit(story, {"Ready": True, "Blocked": True, "PlanEstimate": 3, "c_RiskLevel": "Medium"})
    hour(world)
    for attribute, label in (("Ready", "Good to go"), ("PlanEstimate", "Size"), ("Iteration", "Sprint")):
        world.relabel(attribute, label)
    world.relabel("c_RiskLevel", "Danger")
    world.edit(story, {"Ready": False, "PlanEstimate": 5, "c_RiskLevel": "Low [1]"})
    hour(world)
    sprint = world.company.teams[0].sprints[4]
    world.edit(story, {"Iteration": sprint})
    report, issues = uploaded(world, source, customFields=["c_RiskLevel"])
    assert told(issues[str(story)], "ready", "storyPoints", "RiskLevel") == [
        ("storyPoints", "", "3"),
        ("ready", "false", "true"),
        ("RiskLevel", "", "Medium"),
        ("storyPoints", "3", "5"),
        ("ready", "true", "false"),
        ("RiskLevel", "Medium", "Low [1]"),
    ]
    assert [value for _, _, value in told(issues[str(story)], "sprint")] == [[sprint.name]]
    assert report.tally.complete == len(issues)


RULES = [{"type": "*", "fieldMapping": {"extended.risk": "Risk Level"}}]


def test_a_quiet_run_asks_for_no_definitions_and_a_change_of_rules_does(world: World) -> None:
    story = world.create_item("story", c_RiskLevel="Medium").object_id
    state = MemoryState()
    hour(world)
    with serve(world) as rally:
        asyncio.run(synced(rally.url, state, fieldMapping=RULES, customFields=["Needed By"]))
        hour(world)
        rally.stats.reset()
        asyncio.run(synced(rally.url, state, fieldMapping=RULES, customFields=["Needed By"]))
        watched = {"iteration": 1, "release": 1, "milestone": 1, "users": 1, "tag": 1}
        assert dict(rally.stats.requests) == {"project": 1, "hierarchicalrequirement": 1, "defect": 1, **watched}
        world.edit(story, {"c_RiskLevel": "Low [1]"})
        hour(world)
        _, issues = asyncio.run(synced(rally.url, state, fieldMapping=RULES, customFields=["Needed By"]))
        assert {key: issue["rawIssue"]["risk"] for key, issue in issues.items()} == {str(story): "Low [1]"}
        rally.stats.reset()
        asyncio.run(synced(rally.url, state, fieldMapping=RULES, customFields=["Reviewer"]))
        assert rally.stats.requests["typedefinition"] == 1


def test_a_relabelled_field_of_the_rules_is_noticed_within_a_day(world: World) -> None:
    state = MemoryState()
    rules = [{"type": "*", "fieldMapping": {"extended.ref": "Customer ref. no."}}]
    with serve(world) as rally:
        asyncio.run(synced(rally.url, state, fieldMapping=rules))
        world.relabel("c_CustomerReference", "Ticket")
        hour(world)
        asyncio.run(synced(rally.url, state, fieldMapping=rules))
        world.clock.advance(timedelta(days=1))
        with pytest.raises(ConfigError, match=r"is called .Customer ref\. no\."):
            asyncio.run(synced(rally.url, state, fieldMapping=rules))


async def test_what_was_learned_comes_back_from_the_state_file(tmp_path: Path) -> None:
    learned = Learned(key="k", at=BEGIN, definitions={"defect": (("c_A", "A", "STRING", True, ""),)})
    with StateFile(tmp_path / "state.sqlite") as file:
        await file.of("a").commit(Progress(learned=learned), {})
    with StateFile(tmp_path / "state.sqlite") as file:
        assert (await file.of("a").load()).learned == learned
