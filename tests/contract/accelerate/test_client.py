"""Uploads reach a server whole, whatever it does on the way; only the item at fault stays behind."""

import asyncio
import dataclasses
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import orjson
import pytest
import stamina
from pydantic import SecretStr

from rally_accelerate import errors
from rally_accelerate.accelerate.client import AccelerateClient, Account, Connection, make_tracker_id
from rally_accelerate.accelerate.payload import Limits
from rally_accelerate.model.issue import Issue, SourceRevision

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ACCOUNT = Account(url="https://accelerate.example", key=SecretStr("sample-key"), tenant_id="t", name="sample")
OK: dict[str, Any] = {"data": {"uploadIssueData": {"result": True}}}

Answer = Callable[[list[dict[str, Any]], bytes], httpx2.Response | None]


class Server:
    """Takes uploads; ``answer`` may refuse one by returning a response of its own."""

    def __init__(self, answer: Answer = lambda issues, content: None) -> None:
        self.answer = answer
        self.held: list[str] = []
        self.requests = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        assert request.method == "POST"
        assert request.headers["Authorization"] == "UserAccessKey sample-key"
        asked = orjson.loads(request.content)
        if asked["operationName"] == "integrationByName":
            return httpx2.Response(200, json={"data": {"integrationByName": None}})
        issues = asked["variables"]["data"]["issues"]
        if response := self.answer(issues, request.content):
            return response
        self.held += [issue["_id"] for issue in issues]
        return httpx2.Response(200, json=OK)


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4):
        yield


def issues(count: int) -> list[Issue]:
    return [
        Issue(
            external_id=str(number),
            display_id=f"US{number}",
            name="n",
            status="s",
            url="u",
            created=NOW,
            last_update=NOW,
            type="Story",
            revision=SourceRevision(NOW),
        )
        for number in range(count)
    ]


async def upload(server: Server, count: int, *, limits: Limits | None = None) -> tuple[list[str], dict[str, str]]:
    connection = Connection(transport=httpx2.MockTransport(server))
    delivered: list[str] = []
    refused: dict[str, str] = {}
    async with AccelerateClient(ACCOUNT, limits=limits, connection=connection) as client:
        await client.open()
        async for receipt in client.deliver(issues(count)):
            delivered += receipt.delivered
            refused |= {key: skip.reason for key, skip in receipt.refused}
    return delivered, refused


async def test_everything_arrives_once_and_in_order() -> None:
    server = Server()
    delivered, refused = await upload(server, 25, limits=Limits(items=10))
    assert delivered == server.held == [str(number) for number in range(25)]
    assert refused == {}


async def test_a_413_halves_the_parcel() -> None:
    server = Server(lambda issues, content: httpx2.Response(413) if len(issues) > 3 else None)
    delivered, refused = await upload(server, 20)
    assert delivered == server.held == [str(number) for number in range(20)]
    assert refused == {}


async def test_a_refused_parcel_is_bisected_down_to_the_items_at_fault() -> None:
    bad = {"3", "4", "17"}

    def answer(issues: list[dict[str, Any]], content: bytes) -> httpx2.Response | None:
        found = [issue["_id"] for issue in issues if issue["_id"] in bad]
        return httpx2.Response(200, json={"errors": [{"message": f"bad {found[0]}"}]}) if found else None

    server = Server(answer)
    delivered, refused = await upload(server, 30)
    assert set(refused) == bad
    assert "bad 17" in refused["17"]
    assert delivered == server.held
    assert set(delivered) | bad == {str(number) for number in range(30)}


async def test_an_item_too_large_by_itself_is_refused_alone() -> None:
    server = Server(lambda issues, content: httpx2.Response(413) if "2" in {issue["_id"] for issue in issues} else None)
    delivered, refused = await upload(server, 4)
    assert set(refused) == {"2"}
    assert len(delivered) == 3


async def test_result_false_is_a_refusal() -> None:
    server = Server(lambda issues, content: httpx2.Response(200, json={"data": {"uploadIssueData": {"result": False}}}))
    delivered, refused = await upload(server, 1)
    assert (delivered, set(refused)) == ([], {"0"})


@pytest.mark.parametrize("answer", [None, {}, {"result": None}])
async def test_an_answer_without_a_result_is_no_acknowledgement(answer: Any) -> None:
    """``uploadIssueData: null`` without errors says nothing about the upload.

    See accelerate-api-notes.md#acknowledgements.
    """
    unclear = httpx2.Response(200, json={"data": {"uploadIssueData": answer}})
    left = [unclear, unclear]
    server = Server(lambda issues, content: left.pop() if left else None)
    delivered, refused = await upload(server, 3)
    assert (delivered, refused) == (["0", "1", "2"], {})
    assert server.held == delivered
    # One item whose upload is never acknowledged holds up no other.
    server = Server(lambda issues, content: unclear if any(each["_id"] == "1" for each in issues) else None)
    delivered, refused = await upload(server, 3)
    assert (sorted(delivered), list(refused)) == (["0", "2"], ["1"])
    assert "did not acknowledge the upload" in refused["1"]
    with pytest.raises(errors.InternalServerError, match="did not acknowledge the upload"):
        await upload(Server(lambda issues, content: unclear), 400)


@pytest.mark.parametrize(
    "fault",
    [
        httpx2.Response(429, headers={"Retry-After": "1"}),
        httpx2.Response(502, text="<html>"),
        httpx2.Response(503),
        httpx2.Response(200, content=b'{"data": {"upl'),
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("slow"),
        httpx2.RemoteProtocolError("gone"),
    ],
)
async def test_passing_faults_are_tried_again(fault: httpx2.Response | Exception) -> None:
    left = [fault, fault]

    def answer(issues: list[dict[str, Any]], content: bytes) -> httpx2.Response | None:
        if not left:
            return None
        now = left.pop()
        if isinstance(now, Exception):
            raise now
        return now

    server = Server(answer)
    delivered, refused = await upload(server, 3)
    assert delivered == server.held == ["0", "1", "2"]
    assert refused == {}


async def test_a_wrong_key_stops_at_once() -> None:
    server = Server(lambda issues, content: httpx2.Response(401))
    with pytest.raises(errors.AccessDeniedError):
        await upload(server, 50)
    assert server.requests == 2


async def test_a_lasting_fault_is_reported_after_the_tries() -> None:
    server = Server(lambda issues, content: httpx2.Response(503))
    with pytest.raises(errors.UnavailableError):
        await upload(server, 1)
    assert server.requests == 1 + 4


async def test_the_made_id_has_the_hosts_form_and_stays_the_same() -> None:
    assert make_tracker_id("t", "sample") == make_tracker_id("t", "sample")
    assert make_tracker_id("t", "sample") != make_tracker_id("t", "other")
    assert len(make_tracker_id("t", "sample")) == 24


async def test_a_known_integration_gives_its_id() -> None:
    def server(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"data": {"integrationByName": {"_id": "abc", "name": "sample"}}})

    async with AccelerateClient(ACCOUNT, connection=Connection(transport=httpx2.MockTransport(server))) as client:
        await client.open()
        assert client.tracker_id == "abc"


async def test_an_item_that_makes_the_server_fail_is_found_and_left_out() -> None:
    server = Server(
        lambda issues, content: httpx2.Response(500) if any(each["_id"] == "13" for each in issues) else None
    )
    delivered, refused = await upload(server, 30)
    assert set(refused) == {"13"}
    assert "HTTP 500" in refused["13"]
    assert sorted(map(int, delivered)) == [number for number in range(30) if number != 13]


async def test_a_server_that_fails_whatever_it_is_sent_stops_the_run() -> None:
    server = Server(lambda issues, content: httpx2.Response(500, text="<h1>Oops</h1>"))
    with pytest.raises(errors.InternalServerError):
        await upload(server, 400)
    # Told apart by a few items, not by all of them.
    assert server.requests < 100


@pytest.mark.parametrize(
    "address", ["http://[::1", "https://host:99999", "https://host:x", "ftp://host", "https://user:word@host"]
)
def test_an_address_that_cannot_be_used_is_told_before_anything_is_sent(address: str) -> None:
    with pytest.raises(errors.ConfigError) as told:
        AccelerateClient(dataclasses.replace(ACCOUNT, url=address))
    assert told.value.problems[0].path == "properties.accelerateUrl"
    assert "word" not in str(told.value.problems[0]).replace("password", "")


def test_a_key_that_no_header_can_carry_is_told_without_showing_it() -> None:
    with pytest.raises(errors.ConfigError) as told:
        AccelerateClient(dataclasses.replace(ACCOUNT, key=SecretStr("schlüssel")))
    assert told.value.problems[0].path == "properties.ucvAccessKey"
    assert "schl" not in str(told.value.problems[0])


async def test_accelerate_is_reached_through_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        passed.append(head.splitlines()[0])
        await reader.readexactly(int(re.findall(r"(?i)content-length: (\d+)", head)[0]))
        body = b'{"data": {"integrationByName": {"_id": "from-behind-the-proxy"}}}'
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with AccelerateClient(dataclasses.replace(ACCOUNT, url="http://accelerate.invalid")) as client:
            await client.open()
            assert client.tracker_id == "from-behind-the-proxy"
    assert passed == ["POST http://accelerate.invalid/release-events-api/graphql HTTP/1.1"]


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {}},
        {"data": {"integrationByName": []}},
        {"data": {"integrationByName": {}}},
        {"data": {"integrationByName": {"_id": None}}},
        {"data": {"integrationByName": {"_id": " "}}},
        {"errors": [{"message": "Cannot return null for non-nullable field Integration._id."}]},
    ],
)
async def test_an_id_is_only_made_for_an_integration_that_the_server_does_not_know(answer: Any) -> None:
    connection = Connection(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, json=answer)))
    async with AccelerateClient(ACCOUNT, connection=connection) as client:
        with pytest.raises((errors.UnexpectedResponseError, errors.RejectedError)):
            await client.open()
        assert client.tracker_id == ""


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"integrationByName": None}},
        {"errors": [{"message": "Cannot return null for non-nullable field Query.integrationByName."}]},
        {"errors": [{"message": "Cannot read property '_id' of null"}]},
    ],
)
async def test_an_id_is_made_for_an_integration_that_the_server_does_not_know(answer: Any) -> None:
    connection = Connection(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, json=answer)))
    async with AccelerateClient(ACCOUNT, connection=connection) as client:
        await client.open()
        assert client.tracker_id == make_tracker_id("t", "sample")
