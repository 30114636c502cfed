"""Workspace and projects are found with few requests, and what cannot be told is one error."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.errors import AccessDeniedError, ConfigError, QueryError
from support.rally_settings import Connect
from support.request_recorder import run_recorder
from support.tiny_rally import TinyRally, project, workspace

ODD = '100% "Größe" & [x], 日本 #1'


def rally(**more: Any) -> Any:
    projects = [
        project(100, "Main"),
        project(101, "Team A", parent=100),
        project(102, "Team B", parent=100),
        project(103, "Team Old", parent=100, state="Closed"),
        project(104, ODD, parent=101),
        project(200, "Elsewhere", inside=8),
    ]
    spaces = [workspace(7, "Main"), workspace(8, "Side"), workspace(9, "Twin"), workspace(10, "Twin")]
    return TinyRally(rows={"project": projects, "workspace": spaces}, **more)


@pytest.mark.parametrize(
    ("settings", "space", "projects", "requests"),
    [
        ({}, 7, [], 1),
        ({"workspace": "Side"}, 8, [], 2),
        ({"workspace": "8"}, 8, [], 2),
        ({"projects": "101, 102"}, 7, [101, 102], 1),
        ({"projects": ["Team ?"]}, 7, [101, 102], 1),
        ({"projects": [ODD]}, 7, [104], 1),
        ({"projects": ["Main // Team A"]}, 7, [101], 1),
        ({"projects": ["Main"], "includeChildProjects": True}, 7, [100, 101, 102, 104], 1),
        ({"projects": ["101"], "includeChildProjects": True}, 7, [101, 104], 1),
        ({"workspace": "Side", "projects": "Elsewhere"}, 8, [200], 2),
        ({"workspace": "Side", "projects": "200"}, 8, [200], 2),
    ],
)
async def test_scopes_and_what_they_cost(
    connect: Connect, settings: Any, space: Any, projects: Any, requests: Any
) -> None:
    async with run_recorder(rally()) as server, connect(server.url, **settings) as client:
        scope = await client.open()
        assert scope.workspace.object_id == space
        assert [each.object_id for each in scope.projects] == projects
        assert client.usage.requests == requests


async def test_the_clock_is_that_of_the_first_answer(connect: Connect) -> None:
    """What changes while the scope is being resolved must not fall between two runs."""
    tiny = rally()

    def later(number: Any) -> None:
        tiny.date = f"Wed, 21 Oct 2026 07:{28 + number}:00 GMT"

    tiny.between = later
    async with run_recorder(tiny) as server, connect(server.url, workspace="Main", projects="Team A") as client:
        assert (await client.open()).now == datetime(2026, 10, 21, 7, 29, tzinfo=UTC)


async def test_later_openings_see_new_projects(connect: Connect) -> None:
    tiny = rally()
    async with run_recorder(tiny) as server, connect(server.url, projects=["Team ?"]) as client:
        await client.open()
        tiny.rows["project"].append(project(105, "Team C"))
        assert [each.name for each in (await client.open()).projects] == ["Team A", "Team B", "Team C"]


async def test_many_projects_come_in_pages(connect: Connect) -> None:
    tiny = rally(most_rows=2)
    async with run_recorder(tiny) as server, connect(server.url, projects=["*"]) as client:
        assert len((await client.open()).projects) == 4
    assert tiny.requests[1][1]["workspace"] == "/workspace/7"


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({"workspace": "Twin"}, {"properties.workspace"}),
        ({"workspace": "Nowhere"}, {"properties.workspace"}),
        ({"projects": "Teem A, 999, Zz*"}, {"properties.projects"}),
        ({"projects": "999"}, {"properties.projects"}),
        ({"projects": "200"}, {"properties.projects"}),
        ({"projects": "Team Old"}, {"properties.projects"}),
        ({"projects": "103"}, {"properties.projects"}),
    ],
)
async def test_what_cannot_be_told_is_one_settings_error(connect: Connect, settings: Any, paths: Any) -> None:
    async with run_recorder(rally()) as server, connect(server.url, **settings) as client:
        with pytest.raises(ConfigError) as caught:
            await client.open()
    assert {problem.path for problem in caught.value.problems} == paths


async def test_closed_children_are_told(connect: Connect) -> None:
    async with (
        run_recorder(rally()) as server,
        connect(server.url, projects="Main", includeChildProjects=True) as client,
    ):
        assert any("Team Old" in notice for notice in (await client.open()).notices)


async def test_a_user_who_sees_nothing_is_told_so(connect: Connect) -> None:
    async with run_recorder(TinyRally()) as server, connect(server.url) as client:
        with pytest.raises(AccessDeniedError, match="sees no workspace"):
            await client.open()


async def test_projects_that_do_not_name_their_workspace(connect: Connect) -> None:
    tiny = rally()
    for row in tiny.rows["project"]:
        del row["Workspace"]
    async with run_recorder(tiny) as server, connect(server.url) as client:
        with pytest.raises(ConfigError, match="no default workspace"):
            await client.open()
        tiny.rows["workspace"] = tiny.rows["workspace"][:1]
        assert (await client.open()).workspace.object_id == 7


async def test_a_wrong_filter_is_told_before_anything_is_asked(connect: Connect) -> None:
    async with run_recorder(rally()) as server, connect(server.url, query="(A = 1") as client:
        with pytest.raises(QueryError, match="not closed"):
            await client.open()
        assert server.requests == []
