"""What is left of removed items, as the simulator tells it: the whole past, and nothing that is not sure."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.config.model import Properties
from rally_accelerate.mapping.issue import map_work_item
from rally_accelerate.mapping.rules import Rules, build_rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.records import Scope, WorkItem
from rally_accelerate.rally.removed_item_values import LOOKBACK_EMPTY
from support.processes import Simulator, start_simulator

TYPES = ("hierarchicalrequirement", "defect", "task", "portfolioitem/feature")


@pytest.fixture(scope="module")
def rally() -> Iterator[Simulator]:
    """A small company."""
    with start_simulator("--items", "120") as running:
        yield running


def settings(rally: Simulator, **more: Any) -> Properties:
    """Settings for the company, with every kind of item."""
    given = {"baseUrl": rally.url, "apiKey": rally.key, "types": list(TYPES), **more}
    return Properties.model_validate(given)


def mapped(item: WorkItem, rules: Rules) -> dict[str, Any]:
    """The document of an item."""
    issue = map_work_item(item, rules)
    assert isinstance(issue, Issue)
    document: dict[str, Any] = json.loads(json.dumps(item_in(issue)))
    document["relations"] = sorted(document["relations"], key=str)
    return document


async def read(client: RallyClient, scope: Scope) -> dict[int, WorkItem]:
    """Everything that the scope shows, by ObjectID."""
    found: dict[int, WorkItem] = {}
    for kind in scope.kinds:
        projects = tuple(project.object_id for project in scope.projects)
        async for page in client.read_changes(scope, Walk(kind=kind, projects=projects, started_at=scope.now)):
            for item in await client.history(scope, page.records):
                found[item.record.object_id] = item
    return found


async def test_a_deleted_item_of_every_type_has_its_whole_history_raw_issue_and_relations(rally: Simulator) -> None:
    properties = settings(rally)
    rules = build_rules(properties)
    async with RallyClient(properties, limiters=LimiterPool()) as client:
        scope = await client.open()
        before = await read(client, scope)
        chosen: list[int] = []
        for kind in TYPES:
            chosen += [key for key, item in before.items() if item.record.kind == kind and item.past.changes][:2]
        documents = {key: mapped(before[key], rules) for key in chosen}
        assert any(document["relations"] for document in documents.values())
        assert any(document["rawIssue"] for document in documents.values())
        for key in chosen:
            rally.post("delete", {"objectId": key})
        rally.post("clock", {"advance_seconds": 600})
    async with RallyClient(properties, limiters=LimiterPool()) as client:
        scope = await client.open()
        found = await client.recover_removed(
            scope, dict.fromkeys(chosen, scope.now - timedelta(seconds=300)), commented=chosen
        )
        for key in chosen:
            remains = found[key]
            assert remains.item is not None, (remains.reason, before[key].record.kind)
            assert remains.deleted_at is not None
            again = mapped(remains.item, rules)
            if before[key].record.kind == "task":
                # A task is in the timeboxes of its story; its own snapshots do not tell them.
                for name in ("IterationState", "ReleaseState"):
                    documents[key]["rawIssue"].pop(name, None)
            for name in ("history", "rawIssue", "relations", "id", "status"):
                assert again[name] == documents[key][name], (name, before[key].record.kind)


async def test_a_feed_that_has_not_come_as_far_is_waited_for(rally: Simulator) -> None:
    properties = settings(rally)
    async with RallyClient(properties, limiters=LimiterPool()) as client:
        scope = await client.open()
        key = next(iter(await read(client, scope)))
        rally.post("delete", {"objectId": key})
        scope = await client.open()
        found = await client.recover_removed(scope, {key: scope.now + timedelta(seconds=1)}, commented=())
        assert (found[key].item, found[key].reason) == (None, "")


async def test_what_lookback_never_had_and_what_is_not_asked_have_a_reason(rally: Simulator) -> None:
    async with RallyClient(settings(rally), limiters=LimiterPool()) as client:
        scope = await client.open()
        found = await client.recover_removed(scope, {1: scope.now - timedelta(hours=1)}, commented=())
        assert found[1].reason == LOOKBACK_EMPTY
    async with RallyClient(settings(rally, historySource="revisions"), limiters=LimiterPool()) as client:
        scope = await client.open()
        found = await client.recover_removed(scope, {1: scope.now}, commented=())
        assert "historySource is revisions" in found[1].reason


async def test_a_moved_item_is_read_as_it_is(rally: Simulator) -> None:
    properties = settings(rally, projects=["Team Amber"], types=["hierarchicalrequirement"])
    async with RallyClient(properties, limiters=LimiterPool()) as client:
        scope = await client.open()
        key = next(iter(await read(client, scope)))
        rally.post("edit", {"objectId": key, "fields": {"Project": "Team Dune"}})
        rally.post("clock", {"advance_seconds": 600})
        scope = await client.open()
        found = await client.recover_removed(scope, {key: scope.now}, commented=())
        item = found[key].item
        assert item is not None
        assert found[key].deleted_at is None
        assert item.past.up_to_date
        assert "Project" in [change.field for change in item.past.changes]
