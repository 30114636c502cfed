"""A query that asks for what nothing has says so, beside what it found; one that cannot be read leaves the map alone."""

import re

import pytest

from rally_accelerate.dql.parser import parse
from rally_accelerate.server.query_diagnostics import find_misspelled_fields, find_unknown_fields
from support.issues import UPLOAD, item, upload
from support.server_client import ServerClient
from support.value_streams import board, create_value_stream

RAW = {"Severity": "Major", "c_Customer": {"name": "A", "Town": "B"}}


async def filled(asked: ServerClient) -> None:
    items = [item(number, owner="Ann", labels=["a"], rawIssue=RAW) for number in range(1, 4)]
    await asked.fetch_data(UPLOAD, data=upload(*items, item(4, status="In-Progress"), tracker="a" * 24))


async def hints(asked: ServerClient, query: str) -> list[str]:
    return await find_unknown_fields(asked.host.stores.database, parse(query))


NO_FIELD = [
    ("issue.nosuch = 'x'", ["No issue has a field issue.nosuch."]),
    ("issue.ownr = x or issue.type = Story", ["No issue has a field issue.ownr; did you mean issue.owner?"]),
    ("not issue.Storypoint > 1", ["No issue has a field issue.Storypoint; did you mean issue.storyPoints?"]),
    ("issue.severity = x", ["No issue has a value in issue.severity; did you mean issue.rawIssue.severity?"]),
    (
        "issue.rawIssue.severty = x",
        ["No issue has a field issue.rawIssue.severty; did you mean issue.rawIssue.severity?"],
    ),
    ("issue.Town = x", ["No issue has a field issue.Town; did you mean issue.rawIssue.c_customer.town?"]),
    ("issue.nosuch.count = 0", ["No issue has a field issue.nosuch.count."]),
    (
        "pr.status != open and issue.zzz = 1 and issue.zzz = 2",
        [
            "This server stores issues only: there is no pr whose status could be compared.",
            "No issue has a field issue.zzz.",
        ],
    ),
]


@pytest.mark.parametrize(("query", "expected"), NO_FIELD)
async def test_a_field_that_no_issue_has_is_told_with_what_may_be_meant(
    asked: ServerClient, query: str, expected: list[str]
) -> None:
    await filled(asked)
    assert await hints(asked, query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "issue.STATUS = x and issue.owner = y",
        "issue.labels.count > 1 or issue.labels = a",
        "issue.rawissue.severity = x",
        "issue.rawIssue.c_Customer = A or issue.rawIssue.c_Customer.town = B",
        "issue.created < 1d and issue.lastUpdate < 1d and issue.storyPoints > 1",
        "issue.description contains x or issue.comments.comment contains x or issue.sprints.state = x",
    ],
)
async def test_fields_that_issues_have_or_may_have_are_passed_over(asked: ServerClient, query: str) -> None:
    await filled(asked)
    assert await hints(asked, query) == []


async def test_before_there_are_issues_nothing_is_said_of_fields(asked: ServerClient) -> None:
    assert await hints(asked, "issue.nosuch = x") == []


async def test_a_value_too_odd_to_be_searched_is_not_called_missing(asked: ServerClient) -> None:
    many = {f"f{number}": number for number in range(500)}
    await asked.fetch_data(UPLOAD, data=upload(item(1, rawIssue=many), tracker="a" * 24))
    assert await hints(asked, "issue.rawIssue.f7 = 7") == []


async def test_a_field_whose_last_issue_is_gone_is_gone(asked: ServerClient) -> None:
    await filled(asked)
    await asked.fetch_data(UPLOAD, data=upload(item(9, rawIssue={"c_Only": "x"}), tracker="a" * 24))
    assert await hints(asked, "issue.rawIssue.c_Only = x") == []
    await asked.fetch_data(UPLOAD, data=upload(item(9), tracker="a" * 24))
    assert await hints(asked, "issue.rawIssue.c_Only = x") == ["No issue has a field issue.rawIssue.c_Only."]


async def test_the_list_of_issues_says_it_in_the_words_of_its_form(asked: ServerClient) -> None:
    await filled(asked)
    text = (await asked.http.get("/issues?dql=issue.ownr+%3D+%27%3Cb%3E%27&text=story")).text
    assert "No issue has a field issue.ownr; did you mean issue.owner?" in text
    assert "Search with DQL" in text
    assert 'aria-label="Remove filter DQL: issue.ownr = &#39;&lt;b&gt;&#39;"' in text
    assert 'aria-label="Remove filter Search: story"' in text
    found = (await asked.http.get("/issues.json?dql=issue.ownr+%3D+x")).json()
    assert found["hints"] == ["No issue has a field issue.ownr; did you mean issue.owner?"]
    assert (await asked.http.get("/issues.json?dql=issue.owner+%3D+x")).json()["hints"] == []


async def test_a_slip_in_a_stage_is_one_that_no_issue_could_have(asked: ServerClient) -> None:
    queries = {
        "the stage A": parse("issue.statux = x and pr.status = y"),
        "the stage B": parse("not (issue.STATUS = x) or issue.history.count > 1 or issue.rawIssue.no = 1"),
        "the stage C": parse("issue.epic = x or issue.additionalInfo.x = y or issue.description = z"),
        "the stage D": parse("issue.town = x"),
    }
    # Before a first sync every issue's field is empty, and nothing is said of those that may be filled.
    assert await find_misspelled_fields(asked.host.stores.database, queries) == [
        "the stage A: no issue has a field issue.statux; did you mean issue.status?",
        "the stage D: no issue has a field issue.town; did you mean issue.owner?",
    ]
    await filled(asked)
    found = await find_misspelled_fields(asked.host.stores.database, queries)
    assert found[1] == "the stage D: no issue has a field issue.town; did you mean issue.rawIssue.c_customer.town?"


async def test_the_map_and_its_stages_say_it_too(asked: ServerClient) -> None:
    await filled(asked)
    stream = await asked.http.post("/value-streams/new", data={"name": "S", "start": "default"})
    place = str(stream.headers["location"])
    for address in (place, f"{place}/stages/1"):
        text = (await asked.http.get(f"{address}?dql=issue.ownr+%3D+x")).text
        assert "did you mean issue.owner?" in text
        assert "did you mean" not in (await asked.http.get(f"{address}?dql=issue.owner+%3D+x")).text


async def test_with_a_query_that_cannot_be_read_the_map_is_the_one_without_it(asked: ServerClient) -> None:
    await filled(asked)
    place = f"/value-streams/{await create_value_stream(asked, board())}"
    answer = await asked.http.get(f"{place}?dql=issue.status+%3D&text=US1")
    assert answer.status_code == 400
    assert "Invalid query" in answer.text
    assert re.search(r"<strong>1</strong> item without this query", answer.text)
    # Neither the sum nor a link speaks of the search that there is not.
    assert "of the search" not in answer.text
    assert "/stages/1?text=US1" in answer.text
    stage = await asked.http.get(f"{place}/stages/1?dql=issue.status+%3D")
    assert stage.status_code == 400
    assert len(re.findall(r'<th scope="row">', stage.text)) == 3
