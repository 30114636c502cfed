"""The simulator against a client that we did not write: pyral from PyPI, over https as it insists."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rally_sandbox.auth import SANDBOX_API_KEY
from rally_sandbox.sample_company import PASSWORD
from rally_sandbox.server import Sandbox, Tls, serve
from rally_sandbox.world import World

pyral = pytest.importorskip("pyral")
RallyRESTAPIError = pytest.importorskip("pyral.context").RallyRESTAPIError

# pyral leaves its requests session to the garbage collector, which may close sockets during any later test.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]

ITEMS = 3000

#: pyral leaves the project parameter out when told ``project=None``, which means the default project.
EVERYWHERE = {"project": "Sample Company Delivery", "projectScopeDown": True}


@pytest.fixture(scope="module")
def big_world() -> World:
    return World.create(11, ITEMS)


@pytest.fixture(scope="module")
def secure(big_world: World, certificates: tuple[Tls, Path]) -> Iterator[Sandbox]:
    tls, authority = certificates
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REQUESTS_CA_BUNDLE", str(authority))
        for name in ("HTTPS_PROXY", "https_proxy"):
            environment.delenv(name, raising=False)
        with serve(big_world, tls=tls) as sandbox:
            yield sandbox


@pytest.fixture(scope="module")
def rally(secure: Sandbox) -> Iterator[Any]:
    client = pyral.Rally(_host(secure), apikey=SANDBOX_API_KEY, warn=False)
    yield client
    client.session.close()


def _host(sandbox: Sandbox) -> str:
    return sandbox.url.removeprefix("https://")


def _visible(world: World, kind: str) -> set[int]:
    home = world.company.workspaces[0].object_id
    return {row["object_id"] for row in world.items(kind) if row["visible"] and row["workspace"] == home}


def test_connect_by_key_finds_the_default_workspace_and_project(rally: Any, big_world: World) -> None:
    assert rally.getWorkspace().Name == "Sample Company"
    assert rally.getProject().Name == "Team Amber"
    assert {each.Name for each in rally.getWorkspaces()} == {each.name for each in big_world.company.workspaces}


def test_connect_by_user_and_password(secure: Sandbox) -> None:
    client = pyral.Rally(_host(secure), "user03@sandbox.example", PASSWORD, warn=False)
    assert client.subscriptionName() == "Sample Subscription"
    client.session.close()


@pytest.mark.parametrize("credentials", [{"apikey": "_wrong"}, {"user": "user03@sandbox.example", "password": "wrong"}])
def test_wrong_credentials_are_refused(secure: Sandbox, credentials: dict[str, str]) -> None:
    # pyral has two unrelated classes of this name.
    with pytest.raises(RallyRESTAPIError, match="Invalid credentials"):
        pyral.Rally(_host(secure), warn=False, **credentials)


@pytest.mark.parametrize(
    "project", ["Payments & Billing", "100% Quality", "Équipe Été", "チーム青", "Mobile, Web and Desk"]
)
def test_connect_to_projects_with_difficult_names(secure: Sandbox, project: str) -> None:
    client = pyral.Rally(_host(secure), apikey=SANDBOX_API_KEY, project=project, warn=False)
    assert client.getProject().Name == project
    client.session.close()


def test_connect_to_another_workspace(secure: Sandbox) -> None:
    client = pyral.Rally(
        _host(secure), apikey=SANDBOX_API_KEY, workspace="Sample Company Archive", project="Team Fern", warn=False
    )
    assert "Team Granite" in {each.Name for each in client.getProjects()}
    client.session.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_every_page_arrives_with_and_without_threads(rally: Any, big_world: World, threads: int) -> None:
    found = rally.get(
        "HierarchicalRequirement", fetch="ObjectID", **EVERYWHERE, pagesize=100, order="ObjectID", threads=threads
    )
    ids = [story.ObjectID for story in found]
    assert len(ids) > 1000
    assert len(set(ids)) == len(ids)
    assert set(ids) == _visible(big_world, "story")


def test_scope_of_one_project_without_children(rally: Any, big_world: World) -> None:
    found = rally.get("Defect", fetch="FormattedID,Project", project="Team Birch", projectScopeDown=False)
    expected = [
        row for row in big_world.items("Defect") if row["visible"] and row["values"]["Project"]["name"] == "Team Birch"
    ]
    assert found.resultCount == len(expected) > 0


def test_nested_fetch_needs_no_request_of_its_own(rally: Any, secure: Sandbox, big_world: World) -> None:
    before = secure.stats.total
    story = next(
        iter(
            rally.get(
                "HierarchicalRequirement",
                fetch="Name,FormattedID,Iteration,StartDate,EndDate,Owner,UserName,ScheduleState",
                query="((Iteration != null) AND (Owner != null))",
                **EVERYWHERE,
            )
        )
    )
    truth = next(row for row in big_world.items("story") if row["formatted_id"] == story.FormattedID)
    assert story.Iteration.Name == truth["values"]["Iteration"]["name"]
    assert story.Iteration.StartDate.endswith("Z")
    assert story.Owner.UserName.endswith("@sandbox.example")
    assert story.ScheduleState == truth["values"]["ScheduleState"]
    assert secure.stats.total == before + 1


def test_lazy_attributes_and_collections(rally: Any, big_world: World) -> None:
    tasks = [row for row in big_world.items("Task") if row["visible"]]
    owner = next(row for row in tasks if row["values"]["WorkProduct"])["values"]["WorkProduct"]["object_id"]
    kind = big_world.find(owner).type
    item = rally.get(kind, fetch="Name,Tasks", query=f"ObjectID = {owner}", **EVERYWHERE, instance=True)
    expected = {row["formatted_id"] for row in tasks if row["values"]["WorkProduct"]["object_id"] == owner}
    assert {task.FormattedID for task in item.Tasks} == expected


def test_revisions_through_the_history(rally: Any, big_world: World) -> None:
    truth = next(row for row in big_world.items("story") if row["visible"] and len(row["changes"]) > 5)
    story = rally.get(
        "HierarchicalRequirement",
        fetch="Name,RevisionHistory",
        query=f"ObjectID = {truth['object_id']}",
        **EVERYWHERE,
        instance=True,
    )
    texts = [revision.Description for revision in story.RevisionHistory.Revisions]
    assert texts == [change["text"] for change in reversed(truth["changes"])]


def test_query_by_formatted_id_and_by_words(rally: Any) -> None:
    story = rally.get("UserStory", fetch="FormattedID", query="FormattedID = US5", **EVERYWHERE, instance=True)
    assert story.FormattedID == "US5"
    found = rally.get(
        "Defect", fetch="ScheduleState,Name", query=["ScheduleState = Accepted", 'Name contains "as CSV"'], **EVERYWHERE
    )
    rows = list(found)
    assert rows
    assert all(row.ScheduleState == "Accepted" and "as CSV" in row.Name for row in rows)


def test_query_errors_come_as_errors(rally: Any) -> None:
    found = rally.get("Defect", fetch="Name", query="(NoSuchThing = 1)", **EVERYWHERE)
    assert found.status_code == 422
    assert "Could not find attribute 'NoSuchThing'" in found.errors[0]


def test_portfolio_items_users_and_allowed_values(rally: Any) -> None:
    feature = next(iter(rally.get("PortfolioItem/Feature", fetch="FormattedID,Name,State", **EVERYWHERE)))
    assert feature.FormattedID.startswith("F")
    assert len(rally.getAllUsers()) == 24
    assert "Crash/Data Loss" in rally.getAllowedValues("Defect", "Severity")
