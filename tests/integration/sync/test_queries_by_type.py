"""A filter for each type, and a field that a type lacks is explained."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.config.load import validate_integration
from rally_accelerate.errors import ConfigError, QueryError
from rally_accelerate.mapping.rules import find_rule_problems
from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.records import Scope
from rally_accelerate.sync.connection_check import Finding, Link, run_checks
from rally_sandbox.clock import Clock
from rally_sandbox.server import SANDBOX_API_KEY, Sandbox, serve
from rally_sandbox.world import World

HIGH = '(Priority = "High Attention")'


@pytest.fixture(scope="module")
def rally() -> Iterator[Sandbox]:
    world = World.create(3, 120, clock=Clock.frozen(datetime(2026, 3, 2, 9, 0, tzinfo=UTC)))
    with serve(world) as running:
        yield running


def read(rally: Sandbox, **given: Any) -> tuple[Scope, Counter[str], Counter[str]]:
    """The scope, and how many items of each type were read and counted."""
    properties = validate_integration(
        {"name": "x", "properties": {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, **given}}
    )

    async def run() -> tuple[Scope, Counter[str], Counter[str]]:
        async with RallyClient(properties.properties, limiters=LimiterPool()) as client:
            scope = await client.open()
            items: Counter[str] = Counter()
            counted: Counter[str] = Counter()
            for kind in scope.kinds:
                async for page in client.read_changes(scope, Walk(kind=kind, projects=(), started_at=scope.now)):
                    items[kind] += len(page.records)
                counted[kind] = await client.count(scope, kind)
            return scope, items, counted

    return asyncio.run(run())


def test_each_type_is_filtered_by_its_own_query(rally: Sandbox) -> None:
    _, every, _ = read(rally, types="Story, Defect, Feature, Initiative")
    text = f"Bug: {HIGH}".replace("Bug", "defects") + '\n*: (Name != "x")\nPortfolio Item: (Name = "nothing")'
    scope, found, counted = read(rally, types="Story, Defect, Feature, Initiative", query=text)
    assert found == counted
    assert 0 < found["defect"] < every["defect"]
    assert found["hierarchicalrequirement"] == every["hierarchicalrequirement"]
    assert found["portfolioitem/feature"] == found["portfolioitem/initiative"] == 0
    assert scope.signature != read(rally, types="Story, Defect, Feature, Initiative")[0].signature


def test_a_query_for_known_types_costs_no_request_and_pasted_quotes_delimit(rally: Sandbox) -> None:
    rally.stats.reset()
    scope, found, _ = read(rally, query={"Defect": "(Priority\u00a0= \u201cHigh Attention\u201d)"})
    assert 0 < found["defect"] < found["hierarchicalrequirement"]
    assert (scope.query, scope.queries) == ("", {"defect": HIGH})
    assert "typedefinition" not in rally.stats.requests


def test_a_field_that_a_type_lacks_is_explained_with_the_way_to_write_it(rally: Sandbox) -> None:
    with pytest.raises(ConfigError) as refused:
        read(rally, query=HIGH)
    assert str(refused.value) == 'properties.query: User Story has no field "Priority"; Defect has it'
    assert refused.value.hint.endswith(f"one per line, for example Defect: {HIGH}")
    integration = validate_integration(
        {"name": "x", "properties": {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, "query": HIGH}}
    )

    async def run() -> list[Finding]:
        return [each async for each in run_checks(integration, target=None, limiters=LimiterPool())]

    items = [each for each in asyncio.run(run()) if each.link is Link.ITEMS]
    assert [bool(each.error) for each in items] == [True, False]
    assert 'User Story has no field "Priority"; Defect has it' in items[0].text


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ('(Prioritty = "High")', 'User Story has no field "Prioritty" (did you mean "Priority"'),
        ('(CustomerReference = "x")', 'has no field "CustomerReference" (did you mean "c_CustomerReference"'),
        ({"Epics": "(A = 1)"}, '"Epics" is no type of work item in this workspace'),
        ({"Defect": "(A = 1)", "defects": "(B = 2)"}, 'two queries for the type "defects"'),
    ],
)
def test_what_no_type_has_is_refused_with_a_suggestion(rally: Sandbox, query: Any, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(rally, query=query)
    assert {each.path for each in refused.value.problems} == {"properties.query"}
    assert told in str(refused.value)


def test_a_query_for_a_type_that_is_not_imported_is_told(rally: Sandbox) -> None:
    scope, _, _ = read(rally, query={"Task": "(State = Defined)"})
    assert scope.notices == ('The extra filter (query) has a query for "Task", which is not imported.',)


def test_one_level_of_all_cannot_be_filtered_alone(rally: Sandbox) -> None:
    with pytest.raises(ConfigError, match="list them one by one"):
        read(rally, types="PortfolioItem", query={"Feature": '(Name = "x")'})


def test_what_cannot_be_right_is_refused_without_rally() -> None:
    told = [(each.path, each.text) for each in find_rule_problems({"query": "Defect: (A = 1\nStorry: (B = 2)"})]
    assert told == [("properties.query", "Defect: A parenthesis is not closed. (column 1)")]
    (problem,) = find_rule_problems({"query": "Defect: (A = 1)\nStorry: (B = 2)"})
    assert 'did you mean "Story"' in problem.text
    (problem,) = find_rule_problems({"query": "(A = 1"})
    assert problem.text == "A parenthesis is not closed. (column 1)"
    integration = validate_integration({"name": "x", "properties": {"apiKey": "k", "query": {"Defect": "(A = 1"}}})

    async def run() -> None:
        async with RallyClient(integration.properties, limiters=LimiterPool()) as client:
            await client.open()

    with pytest.raises(QueryError, match="Defect: A parenthesis is not closed"):
        asyncio.run(run())
