"""Issues are read back page by page, from older and newer servers and from our own, and only those of one integration."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from rally_accelerate import errors
from rally_accelerate.accelerate import client as client_module
from rally_accelerate.accelerate import documents
from rally_accelerate.accelerate.client import AccelerateClient, Account, Connection
from rally_accelerate.accelerate.integration_state import Platform
from rally_accelerate.model.issue import Project
from support.accelerate_stub import EVENT, KEY, TENANT, TRACKER, AccelerateStub, Label, accelerate_stub
from support.models import issue

OTHER = "65a1b2c3d4e5f60718293a4c"
SCHEMAS: Sequence[Label] = ("A", "B")


def connect(stub: AccelerateStub, tracker: str = TRACKER) -> AccelerateClient:
    account = Account(url=stub.url, key=SecretStr(KEY), tenant_id=TENANT, name="rally", tracker_id=tracker)
    return AccelerateClient(account, connection=Connection(retry_seconds=0))


async def upload(stub: AccelerateStub, *numbers: int, tracker: str = TRACKER) -> None:
    async with connect(stub, tracker) as client:
        project = Project(id="7", name="P", key="7")
        async for _ in client.deliver([issue(number, project=project) for number in numbers]):
            pass


async def held(stub: AccelerateStub, *projects: str) -> list[dict[str, Any]]:
    async with connect(stub) as client:
        return [dict(each) async for each in client.list_issues(projects)]


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_every_page_is_read_once(schema: Label, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ISSUES_IN_A_PAGE", 3)
    with accelerate_stub(schema) as stub:
        await upload(stub, *range(1, 9))
        await upload(stub, 100, 101, tracker=OTHER)
        found = await held(stub, "7", "nothing")
        assert [each["_id"] for each in found] == [str(number) for number in range(1, 9)]
        assert stub.request_counts["issuesForProjectKey"] == 5
        assert "history" not in found[0]
        assert ("resolution" in found[0]) is (schema == "B")
        assert not stub.refused


async def test_a_cursor_that_comes_twice_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ISSUES_IN_A_PAGE", 1)
    with accelerate_stub("A") as stub:
        stub.repeats_cursor = True
        await upload(stub, 1, 2)
        with pytest.raises(errors.UnexpectedResponseError, match="same cursor twice"):
            await held(stub, "7")
        assert stub.request_counts["issuesForProjectKey"] == 2


async def test_a_list_that_never_ends_is_an_error() -> None:
    with accelerate_stub("A") as stub:
        pages = iter(range(10**6))

        def endless(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
            if body["operationName"] != "issuesForProjectKey":
                return None
            page = {"nodes": [], "pageInfo": {"cursor": f"page {next(pages)}", "hasMore": True}}
            return 200, {"data": {"issuesForProjectKey": page}}

        stub.decide = endless
        with pytest.raises(errors.UnexpectedResponseError, match="does not end: 3 pages in a row"):
            await held(stub, "7")


@pytest.mark.parametrize(
    "answer",
    [
        [{"_id": "1"}],
        {"nodes": None, "pageInfo": None},
        {"nodes": [], "pageInfo": {"cursor": None, "hasMore": True}},
    ],
)
async def test_a_list_in_another_form_is_an_error(answer: Any) -> None:
    with accelerate_stub("A") as stub:
        stub.decide = lambda body: (
            (200, {"data": {"issuesForProjectKey": answer}}) if body["operationName"] == "issuesForProjectKey" else None
        )
        with pytest.raises(errors.UnexpectedResponseError):
            await held(stub, "7")


async def test_a_project_that_the_server_does_not_know_has_no_issues() -> None:
    with accelerate_stub("A") as stub:
        stub.decide = lambda body: (
            (200, {"data": {"issuesForProjectKey": None}}) if body["operationName"] == "issuesForProjectKey" else None
        )
        assert await held(stub, "7") == []


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_without_introspection_the_fields_of_every_server_are_read(schema: Label) -> None:
    with accelerate_stub(schema) as stub:
        stub.introspection = False
        await upload(stub, 1)
        async with connect(stub) as client:
            assert await client.readable_fields() == documents.EVERYWHERE.keys()
            assert [each["_id"] async for each in client.list_issues(["7"])] == ["1"]
        # It is asked once.
        assert stub.request_counts["__type"] == 1


async def test_an_issue_of_another_integration_is_not_ours() -> None:
    """``issue(issueId)`` may answer the issue of another tracker that has the same id."""
    with accelerate_stub("A") as stub:
        await upload(stub, 1, 2, tracker=OTHER)
        await upload(stub, 3)
        async with connect(stub) as client:
            platform = Platform(client, integration_id=TRACKER, tenant_id=TENANT)
            assert await platform.statuses([1, 2, 3]) == {3: "Defined"}
            assert await platform.all_statuses(["7"]) == {3: "Defined"}


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_state_and_resyncs_are_written_as_the_schemas_have_them(schema: Label) -> None:
    with accelerate_stub(schema) as stub:
        async with connect(stub) as client:
            platform = Platform(client, integration_id=TRACKER, tenant_id=TENANT)
            assert await platform.keep(EVENT, {"a": 1})
            assert await platform.resync_done(EVENT)
            assert (await platform.recall()).state == {"a": 1}
            stub.fail("updateScheduledEventStates", message="not allowed")
            assert not await platform.resync_done(EVENT)
        assert stub.event_states == {(TRACKER, EVENT): -1}
        assert not stub.refused


async def test_an_answer_without_the_list_is_an_error() -> None:
    with accelerate_stub("A") as stub:
        stub.decide = lambda body: (200, {"data": {}}) if body["operationName"] == "issuesForProjectKey" else None
        with pytest.raises(errors.UnexpectedResponseError):
            await held(stub, "7")
