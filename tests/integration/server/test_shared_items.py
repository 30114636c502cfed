"""Integrations that share items: each marks, restores and checks its own issues, in whatever order they run."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from rally_accelerate.config.load import validate_integration
from rally_accelerate.plugin import arguments
from rally_accelerate.plugin import run as plugin_run
from rally_accelerate.plugin.protocol import DONE
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.dry_run import verify
from rally_accelerate.sync.wiring import Target, connect, load_rules
from rally_sandbox.clock import Clock
from rally_sandbox.server import SANDBOX_API_KEY, serve
from rally_sandbox.world import World
from support.container import build_event_arguments
from support.server_client import TENANT, ServerClient, open_server

REMOVED = {"Deleted", "Moved out"}

#: Positions of teams: one project, two with that one among them, the whole workspace.
SCOPES: Mapping[str, tuple[int, ...]] = {"one": (0,), "two": (0, 1), "all": ()}

#: What can happen to an item: it is deleted or restored, or its project becomes that of another team.
STEPS = ("delete", "restore", "0", "1", "2")


@dataclass
class Shared:
    """A company, a server, and integrations whose scopes overlap."""

    world: World
    asked: ServerClient
    url: str
    by_plugin: bool
    transport: httpx2.ASGITransport
    scopes: dict[str, tuple[int, ...]] = field(default_factory=lambda: dict(SCOPES))
    given: dict[str, Any] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    last_run: dict[str, int] = field(default_factory=dict)

    async def prepare(self) -> None:
        """Add the integrations."""
        for name in SCOPES:
            self.ids[name] = await self.asked.host.add_integration({"name": name, "properties": self._properties(name)})

    async def run(self, name: str) -> None:
        """Run one integration, which has to succeed."""
        if not self.by_plugin:
            report = await self.asked.host._runner.run(self.ids[name])
            assert report.outcome.value == "complete", report
            return
        state = {
            "lastRun": self.last_run.get(name, 0),
            "trackerId": self.ids[name],
            "tenantId": TENANT,
            "apiServerUrl": "http://127.0.0.1/release-events-api",
        }
        properties = {**self._properties(name), "_userAccessKey": self.asked.key}
        _, _, process, velocity = build_event_arguments(
            {"state": state, "properties": properties, "loggingLevel": "WARN"}
        )
        given = arguments.validate(arguments.read(process, velocity, passphrase=""))
        assert await plugin_run._Event(given).run() == DONE
        self.last_run[name] = round(time.time() * 1000)

    async def settle(self, order: str) -> None:
        """Let everything be noticed, believed and done: a move takes a listing of everything, which is due once a day."""
        for hours in (26, 0, 0):
            self.world.clock.advance(timedelta(hours=hours, minutes=10))
            for name in order.split():
                await self.run(name)

    async def held(self, name: str, item: int) -> Mapping[str, Any] | None:
        """Return the issue of an item that one integration has."""
        found = await self.asked.host.stores.issues.get(self.ids[name], str(item))
        return found.content if found else None

    async def differences(self, name: str) -> list[str]:
        """Return what the command verify finds of one integration."""
        integration = validate_integration({"name": name, "tenant_id": TENANT, "properties": self._properties(name)})
        target = Target("http://127.0.0.1", SecretStr(self.asked.key), transport=self.transport)
        async with connect(integration, target=target, limiters=LimiterPool()) as connected:
            rules, _ = await load_rules(connected.source, integration.properties)
            found = await verify(connected.source, connected.sink, rules, removed=REMOVED)
            assert connected.sink.tracker_id == self.ids[name]
        assert found.compared.issues
        return list(found.compared.differences)

    def _properties(self, name: str) -> dict[str, Any]:
        teams = self.world.company.teams
        projects = [str(teams[position].project.object_id) for position in self.scopes[name]]
        chosen = {"projects": projects} if projects else {}
        return {"baseUrl": self.url, "apiKey": SANDBOX_API_KEY, **chosen, **self.given}


@asynccontextmanager
async def shared(folder: Path, monkeypatch: pytest.MonkeyPatch, *, by_plugin: bool) -> AsyncIterator[Shared]:
    """A small company whose clock is moved by hand."""
    world = World.create(5, 20, clock=Clock.frozen(datetime(2026, 3, 4, 12, tzinfo=UTC)))
    with serve(world) as rally:
        async with open_server(folder / "host.sqlite") as asked:
            transport = httpx2.ASGITransport(app=asked.host.build_app())
            make: Callable[..., Target] = lambda _, key: Target("http://127.0.0.1", key, transport=transport)  # noqa: E731
            monkeypatch.setattr(plugin_run, "Target", make)
            its = Shared(world, asked, rally.url, by_plugin, transport)
            await its.prepare()
            yield its


@dataclass
class Life:
    """What becomes of one item."""

    item: int
    steps: tuple[str, ...]
    team: int = 0
    deleted: bool = False

    def live(self, world: World, step: str) -> None:
        """Let a step happen, if it can."""
        if step == "delete" and not self.deleted:
            world.delete(self.item)
            self.deleted = True
        elif step == "restore" and self.deleted:
            world.restore(self.item)
            self.deleted = False
        elif step.isdigit() and not self.deleted:
            self.team = int(step)
            world.edit(self.item, {"Project": world.company.teams[self.team].project})

    def seen_by(self, name: str) -> bool:
        """Return whether a scope shows the item."""
        return not self.deleted and (not SCOPES[name] or self.team in SCOPES[name])


@pytest.mark.parametrize(("by_plugin", "order"), [(False, "one two all"), (True, "two one all")])
async def test_each_integration_has_its_own_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_plugin: bool, order: str
) -> None:
    async with shared(tmp_path, monkeypatch, by_plugin=by_plugin) as its:
        first = its.world.company.teams[0].project
        lives = [
            Life(its.world.create_item("story", project=first).object_id, steps) for steps in product(STEPS, STEPS)
        ]
        its.world.clock.advance(timedelta(minutes=10))
        await its.settle(order)
        for number in range(2):
            for life in lives:
                life.live(its.world, life.steps[number])
            await its.settle(order)
            for life, name in product(lives, SCOPES):
                held = await its.held(name, life.item)
                assert held is not None, (life, name)
                told = (life, name, held["status"], held["history"])
                assert (held["status"] not in REMOVED) is life.seen_by(name), told
                statuses = [entry["content"] for entry in held["history"] if entry["content"]["field"] == "status"]
                assert not statuses or statuses[-1]["to"] == held["status"], told
                if life.deleted and life.team in SCOPES[name] and life.steps[0] == "delete":
                    assert held["status"] == "Deleted", told
        assert {name: await its.differences(name) for name in SCOPES} == {name: [] for name in SCOPES}


async def test_a_project_that_leaves_the_settings_of_the_plug_in_is_marked_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shared(tmp_path, monkeypatch, by_plugin=True) as its:
        teams = its.world.company.teams
        items = [its.world.create_item("story", project=team.project).object_id for team in teams[:2]]
        its.world.clock.advance(timedelta(minutes=10))

        async def statuses() -> list[str]:
            await its.settle("two")
            return [held["status"] for item in items if (held := await its.held("two", item)) is not None]

        first = await statuses()
        its.scopes["two"] = (1,)
        assert await statuses() == ["Moved out", first[1]]
        its.world.delete(items[1])
        assert await statuses() == ["Moved out", "Deleted"]
        its.scopes["two"] = (0, 1)
        assert await statuses() == [first[0], "Deleted"]


async def test_own_rules_fill_the_issue_of_a_removed_item_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shared(tmp_path, monkeypatch, by_plugin=True) as its:
        sources = {"risk": "Risk Level", "points": "Plan Estimate", "sprint": "Iteration"}
        its.given["fieldMapping"] = [
            {"type": "*", "fieldMapping": {f"extended.{name}": label for name, label in sources.items()}}
        ]
        team = its.world.company.teams[0]
        values = {"c_RiskLevel": "High", "PlanEstimate": 5, "Iteration": team.sprints[2].object_id}
        item = its.world.create_item("story", project=team.project, **values).object_id
        its.world.clock.advance(timedelta(minutes=10))
        await its.settle("all")
        before = await its.held("all", item)
        assert before is not None
        assert {"risk", "points", "sprint"} <= before["rawIssue"].keys()
        its.world.delete(item)
        await its.settle("all")
        after = await its.held("all", item)
        assert after is not None
        assert after["status"] == "Deleted"
        assert after["rawIssue"] == before["rawIssue"]


async def test_a_renamed_sprint_reaches_the_issues_of_every_integration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shared(tmp_path, monkeypatch, by_plugin=True) as its:
        team = its.world.company.teams[0]
        sprint = team.sprints[-1]
        item = its.world.create_item("story", project=team.project, Iteration=sprint.object_id).object_id
        its.world.clock.advance(timedelta(minutes=10))
        await its.settle("one all")
        its.world.edit_record("Iteration", sprint, Name="Called otherwise")
        its.world.clock.advance(timedelta(minutes=5))
        for name in ("one", "all"):
            await its.run(name)
            held = await its.held(name, item)
            assert held is not None
            assert [each["name"] for each in held["sprints"]] == ["Called otherwise"]
            assert await its.differences(name) == []
