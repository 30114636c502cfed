"""WSAPI over HTTP: envelopes, rows, scopes, collections and what is refused (rally-api-notes.md#web-services-api)."""

import http.client
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2
import pytest

from rally_sandbox.auth import SANDBOX_API_KEY
from rally_sandbox.server import Sandbox
from rally_sandbox.world import World

Json = dict[str, Any]
Ask = Callable[..., Json]


def truth(world: World, kind: str) -> Iterator[Mapping[str, Any]]:
    """What the default workspace shows."""
    home = world.company.workspaces[0].object_id
    return (row for row in world.items(kind) if row["visible"] and row["workspace"] == home)


def ids(result: Json) -> list[int]:
    return [int(row["_ref"].rsplit("/", 1)[1]) for row in result["Results"]]


def test_the_envelope_of_a_query(ask: Ask, world: World, sandbox: Sandbox) -> None:
    result = ask("hierarchicalrequirement", project="null", order="ObjectID", pagesize=1)
    first = next(truth(world, "story"))
    assert result == {
        "_rallyAPIMajor": "2",
        "_rallyAPIMinor": "0",
        "Errors": [],
        "Warnings": [],
        "TotalResultCount": sum(1 for _ in truth(world, "story")),
        "StartIndex": 1,
        "PageSize": 1,
        "Results": [
            {
                "_rallyAPIMajor": "2",
                "_rallyAPIMinor": "0",
                "_ref": f"{sandbox.url}/slm/webservice/v2.0/hierarchicalrequirement/{first['object_id']}",
                "_refObjectUUID": result["Results"][0]["_refObjectUUID"],
                "_objectVersion": str(first["version"]),
                "_refObjectName": first["values"]["Name"],
                "_type": "HierarchicalRequirement",
            }
        ],
    }


def test_pages_cover_everything_once_and_end_empty(ask: Ask, world: World) -> None:
    expected = [row["object_id"] for row in truth(world, "story")]
    found: list[int] = []
    for start in range(1, len(expected) + 30, 30):
        found += ids(ask("hierarchicalrequirement", project="null", order="ObjectID", pagesize=30, start=start))
    assert found == expected
    beyond = ask("hierarchicalrequirement", project="null", start=100_000)
    assert (beyond["Results"], beyond["TotalResultCount"]) == ([], len(expected))


def test_defaults_help_nobody_who_relies_on_them(ask: Ask) -> None:
    result = ask("hierarchicalrequirement", project="null")
    assert (len(result["Results"]), result["PageSize"]) == (20, 20)
    assert ids(result) != sorted(ids(result))
    assert ask("hierarchicalrequirement", project="null", pagesize=99_999)["PageSize"] == 2000


def test_fetched_values_are_the_truth(ask: Ask, world: World) -> None:
    fetch = "FormattedID,Name,ScheduleState,PlanEstimate,Owner,Iteration,Release,Blocked,CreationDate,LastUpdateDate"
    rows = ask("defect", project="null", order="ObjectID", pagesize=2000, fetch=fetch + ",State,Priority,Tags")[
        "Results"
    ]
    for row, expected in zip(rows, truth(world, "Defect"), strict=True):
        values = expected["values"]
        assert row["FormattedID"] == expected["formatted_id"]
        assert row["CreationDate"] == expected["created"]
        assert row["LastUpdateDate"] == expected["updated"]
        for name in ("Name", "ScheduleState", "PlanEstimate", "Blocked", "State", "Priority"):
            assert row[name] == values[name]
        for name in ("Owner", "Iteration", "Release"):
            assert (row[name] or {}).get("_refObjectName") == (values[name] or {}).get("name")
        assert [tag["Name"] for tag in row["Tags"]["_tagsNameArray"]] == [tag["name"] for tag in values["Tags"]]
        assert row["Tags"]["Count"] == len(values["Tags"])


def test_nested_objects_are_stubs_until_one_of_their_fields_is_fetched(ask: Ask) -> None:
    query = "(Iteration != null)"
    stub = ask("defect", project="null", fetch="Iteration", query=query, pagesize=1)["Results"][0]["Iteration"]
    assert {name for name in stub if not name.startswith("_rally")} == {
        "_ref", "_refObjectName", "_refObjectUUID", "_type",
    }  # fmt: skip
    full = ask("defect", project="null", fetch="Iteration,StartDate", query=query, pagesize=1)["Results"][0][
        "Iteration"
    ]
    assert full["StartDate"].endswith("T06:00:00.000Z")
    everything = ask("defect", project="null", fetch="true", query=query, pagesize=1)["Results"][0]
    assert "StartDate" not in everything["Iteration"]
    assert everything["ObjectUUID"] == everything["_refObjectUUID"]


def test_compact_answers_have_relative_refs(ask: Ask) -> None:
    row = ask("defect", compact="true", pagesize=1, fetch="Project", project="null")["Results"][0]
    assert row["_ref"].startswith("/slm/webservice/v2.0/defect/")
    assert "_rallyAPIMajor" not in row["Project"]


@pytest.mark.parametrize(
    ("query", "keep"),
    [
        ('(ScheduleState < "Accepted")', lambda v: v["ScheduleState"] in {"Idea", "Defined", "In-Progress", "Completed"}),
        ('(ScheduleState In "Defined,In-Progress")', lambda v: v["ScheduleState"] in {"Defined", "In-Progress"}),
        ("(Owner = null)", lambda v: v["Owner"] is None),
        ('(Owner.UserName = "USER03@sandbox.example")', lambda v: (v["Owner"] or {}).get("name") == "Sample User 03"),
        ("(Owner = currentuser)", lambda v: (v["Owner"] or {}).get("name") == "Sample User 01"),
        ('(Iteration.Name = "Sprint 05")', lambda v: (v["Iteration"] or {}).get("name") == "Sprint 05"),
        ('(Project.Name contains "team")', lambda v: "team" in v["Project"]["name"].lower()),
        ('(Project.Name = "Customer\'s Corner")', lambda _: False),
        ('(Project.Name = "100% Quality")', lambda v: v["Project"]["name"] == "100% Quality"),
        ('(Tags.Name = "R&D")', lambda v: "R&D" in [tag["name"] for tag in v["Tags"]]),
        ('((Name contains "as csv") OR (PlanEstimate >= 8))', lambda v: "as CSV" in v["Name"] or (v["PlanEstimate"] or 0) >= 8),
        ("((PlanEstimate > 1) AND (Blocked = false))", lambda v: (v["PlanEstimate"] or 0) > 1 and not v["Blocked"]),
        ('(Description contains "details")', lambda v: "details" in v["Description"]),
    ],
)  # fmt: skip
def test_conditions_find_what_they_say(ask: Ask, world: World, query: str, keep: Callable[[Json], bool]) -> None:
    expected = [row["object_id"] for row in truth(world, "story") if keep(row["values"])]
    assert ids(ask("hierarchicalrequirement", project="null", query=query, order="ObjectID", pagesize=2000)) == expected


def test_conditions_on_ids_and_dates_find_what_they_say(ask: Ask, world: World) -> None:
    rows = list(truth(world, "Defect"))
    some, since = rows[10], sorted(row["updated"] for row in rows)[-7]
    later = [row["object_id"] for row in rows if row["updated"] >= since]
    cases = {
        f"(ObjectID = {some['object_id']})": [some["object_id"]],
        f"(FormattedID = {some['formatted_id']})": [some["object_id"]],
        f"(FormattedID = {some['formatted_id'][2:]})": [some["object_id"]],
        f"(ObjectID > {some['object_id']})": [row["object_id"] for row in rows[11:]],
        f"((ObjectID = {rows[3]['object_id']}) OR (ObjectID = {rows[5]['object_id']}))": [rows[3]["object_id"], rows[5]["object_id"]],
        f'(LastUpdateDate >= "{since}")': later,
        f'((LastUpdateDate >= "{since}") AND (Blocked = true))': [
            row["object_id"] for row in rows if row["updated"] >= since and row["values"]["Blocked"]
        ],
        f'(CreationDate <= "{some["created"]}")': [row["object_id"] for row in rows[:11]],
    }  # fmt: skip
    for query, expected in cases.items():
        assert ids(ask("defect", project="null", query=query, order="ObjectID", pagesize=2000)) == expected, query


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("(NoSuchThing = 1)", "Could not parse: Could not find attribute 'NoSuchThing'"),
        ("(RevisionHistory.ObjectID = 1)", "Could not parse: Could not find attribute 'RevisionHistory.ObjectID'"),
        ("(Workspace.ObjectID = 1)", "Could not parse: Could not find attribute 'Workspace.ObjectID'"),
        ("(Recycled = false)", "Could not parse: Could not find attribute 'Recycled'"),
        ("(ObjectID = one)", "Could not parse: Cannot parse number"),
        ('(CreationDate > "sometime")', "Could not parse: Cannot parse date"),
        ('(Description = "x")', 'Could not parse: Operator "=" is not allowed'),
        ("(Owner > null)", "Could not parse: Operator"),
        ("(Iteration = Sprint)", "Could not parse: Cannot parse object reference"),
        ("((ObjectID > 1))", "Could not parse: Error parsing expression"),
    ],
)
def test_query_errors_come_with_status_200_and_no_rows(ask: Ask, query: str, message: str) -> None:
    result = ask("hierarchicalrequirement", query=query)
    assert result["Errors"][0].startswith(message)
    assert (result["Results"], result["TotalResultCount"]) == ([], 0)


def test_artifact_mixes_types_and_needs_only_one_that_knows_the_attribute(ask: Ask, world: World) -> None:
    query = '((Requirement != null) OR (ScheduleState = "Accepted"))'
    result = ask("artifact", types="hierarchicalrequirement,defect", project="null", query=query, pagesize=2000)
    expected = {row["object_id"] for row in truth(world, "story") if row["values"]["ScheduleState"] == "Accepted"} | {
        row["object_id"]
        for row in truth(world, "Defect")
        if row["values"]["ScheduleState"] == "Accepted" or row["values"]["Requirement"]
    }
    assert set(ids(result)) == expected
    assert {row["_type"] for row in result["Results"]} == {"HierarchicalRequirement", "Defect"}


def test_portfolio_levels(ask: Ask, client: httpx2.Client, world: World) -> None:
    every = ask("portfolioitem", project="null", pagesize=2000, fetch="State")
    levels = ask("PortfolioItem/Feature", project="null", pagesize=2000)["TotalResultCount"]
    levels += ask("portfolioitem/initiative", project="null", pagesize=2000)["TotalResultCount"]
    assert every["TotalResultCount"] == levels
    assert every["Results"][0]["State"]["_type"] == "State"
    feature = next(truth(world, "Feature"))["object_id"]
    assert list(client.get(f"portfolioitem/feature/{feature}").json()) == ["Feature"]


def test_reading_one_object(client: httpx2.Client, world: World) -> None:
    story = next(truth(world, "story"))
    document = client.get(f"hierarchicalrequirement/{story['object_id']}").json()["HierarchicalRequirement"]
    assert document["Name"] == story["values"]["Name"]
    assert (document["Errors"], document["Warnings"]) == ([], [])
    wrong_type = client.get(f"defect/{story['object_id']}")
    assert wrong_type.status_code == 200
    assert wrong_type.json()["OperationResult"]["Errors"] == ["Cannot find object to read"]


def test_singletons(client: httpx2.Client, ask: Ask) -> None:
    assert client.get("subscription").json()["Subscription"]["Name"] == "Sample Subscription"
    assert client.get("user").json()["User"]["UserName"] == "user01@sandbox.example"
    assert ask("users", pagesize=100)["TotalResultCount"] == 24
    assert ask("subscriptions")["TotalResultCount"] == 1


def test_collections(ask: Ask, world: World) -> None:
    task = next(row for row in truth(world, "Task") if row["values"]["WorkProduct"])
    owner = task["values"]["WorkProduct"]["object_id"]
    path = f"{world.find(owner).type}/{owner}/Tasks"
    assert task["object_id"] in ids(ask(path, fetch="Name", query=f"(FormattedID = {task['formatted_id']})"))
    # In another workspace there is nothing (rally-api-notes.md#scope).
    assert ask(path, workspace=f"/workspace/{world.company.workspaces[1].object_id}")["TotalResultCount"] == 0
    assert ask(f"project/{world.company.teams[0].project.object_id}/Iterations", pagesize=100)["TotalResultCount"] > 50


def test_revisions_by_history_collection_and_feed(ask: Ask, client: httpx2.Client, world: World) -> None:
    story = max(truth(world, "story"), key=lambda row: len(row["changes"]))
    texts = [change["text"] for change in story["changes"]]
    history = story["history_id"]
    found = ask(
        "revision",
        query=f"(RevisionHistory.ObjectID = {history})",
        fetch="Description",
        order="RevisionNumber",
        pagesize=99,
    )
    assert [row["Description"] for row in found["Results"]] == texts
    found = ask(
        "revision",
        query=f'(RevisionHistory = "/revisionhistory/{history}")',
        fetch="Description",
        order="ObjectID",
        pagesize=99,
    )
    assert [row["Description"] for row in found["Results"]] == texts
    found = ask(f"RevisionHistory/{history}/Revisions", fetch="Description", pagesize=99)
    assert [row["Description"] for row in found["Results"]] == texts[::-1]
    assert client.get(f"revisionhistory/{history}").json()["RevisionHistory"]["Revisions"]["Count"] == len(texts)
    revision = story["changes"][1]["object_id"]
    assert client.get(f"revision/{revision}").json()["Revision"]["Description"] == texts[1]
    assert "cannot be queried" in client.get("revisionhistory").json()["OperationResult"]["Errors"][0]


def test_the_feed_by_date_holds_records_too(ask: Ask) -> None:
    result = ask("revision", order="CreationDate,ObjectID", pagesize=2000, fetch="CreationDate,Description")
    dates = [row["CreationDate"] for row in result["Results"]]
    assert dates == sorted(dates)
    assert {row["Description"] for row in result["Results"][:100]} == {"Original revision"}


def test_metadata(ask: Ask) -> None:
    levels = ask(
        "typedefinition", query='(Parent.Name = "Portfolio Item")', fetch="TypePath,Ordinal,IDPrefix", order="Ordinal"
    )
    assert [(row["TypePath"], row["Ordinal"], row["IDPrefix"]) for row in levels["Results"]] == [
        ("PortfolioItem/Feature", 0, "F"),
        ("PortfolioItem/Initiative", 1, "I"),
    ]
    definition = ask("typedefinition", query="(Name = Defect)", fetch="ObjectID")["Results"][0]["ObjectID"]
    attributes = ask(
        f"TypeDefinition/{definition}/Attributes", pagesize=200, fetch="ElementName,Filterable,AllowedValues"
    )
    by_name = {row["ElementName"]: row for row in attributes["Results"]}
    assert not by_name["RevisionHistory"]["Filterable"]
    severity = by_name["Severity"]["_ref"].rsplit("/", 1)[1]
    values = ask(f"attributedefinition/{severity}/AllowedValues", fetch="StringValue")
    assert "Cosmetic" in [row["StringValue"] for row in values["Results"]]
    states = ask("schedulestate", order="OrderIndex", fetch="Name")["Results"]
    assert [row["Name"] for row in states][:2] == ["Idea", "Defined"]


def test_what_is_no_query(client: httpx2.Client, sandbox: Sandbox) -> None:
    unknown = client.get("nonsense")
    assert unknown.status_code == 404
    assert 'Requested type name "nonsense" is unknown' in unknown.json()["OperationResult"]["Errors"][0]
    assert client.get("defect.js").json()["QueryResult"]["Warnings"] == [
        'It is no longer necessary to append ".js" to WSAPI resources.'
    ]
    attempt = client.post("defect/create", json={})
    assert attempt.status_code == 405
    assert sandbox.stats.write_attempts[-1:] == ["POST /slm/webservice/v2.0/defect/create"]


def test_malformed_percent_encoding_is_an_unexpected_error(sandbox: Sandbox) -> None:
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"))
    connection.request(
        "GET", "/slm/webservice/v2.0/defect?query=(Name%20=%20100%)", headers={"ZSESSIONID": SANDBOX_API_KEY}
    )
    answer = connection.getresponse()
    assert answer.status == 500
    assert "html" in answer.headers["Content-Type"]
    connection.close()


def test_bad_credentials_get_a_page_and_nobody_gets_cookies(client: httpx2.Client) -> None:
    assert "set-cookie" not in client.get("defect").headers
    client.headers["ZSESSIONID"] = "_wrong"
    refused = client.get("defect")
    assert refused.status_code == 401
    assert "HTTP ERROR 401" in refused.text
    assert "Problem accessing /slm/webservice/v2.0/defect" in refused.text


def test_answers_carry_the_virtual_clocks_date(client: httpx2.Client) -> None:
    assert client.get("defect").headers["date"] == "Mon, 02 Nov 2026 15:30:00 GMT"


@pytest.mark.parametrize("kind", ["conversationpost", "defectsuite", "tag", "milestone", "state", "flowstate", "workspaceconfiguration", "workspace", "release", "iteration", "task", "testcase"])  # fmt: skip
def test_every_type_answers_with_everything_fetched(ask: Ask, kind: str) -> None:
    result = ask(kind, fetch="true", pagesize=3)
    assert result["Errors"] == []
    assert all(row["ObjectID"] for row in result["Results"])
