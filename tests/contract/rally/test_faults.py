"""Every fault at every kind of request: what passes ends in the same state, what lasts in the right error."""

from typing import Any

import pytest

from rally_accelerate.errors import (
    AccessDeniedError,
    NotFoundError,
    PermanentError,
    RejectedError,
    UnexpectedResponseError,
)
from rally_accelerate.model.progress import Walk
from support.rally_settings import Connect
from support.request_recorder import RecordedRequest, Reply, run_recorder
from support.tiny_rally import TinyRally, item, project, revision, workspace

HTML = {"Content-Type": "text/html"}

PASSING = {
    "maintenance page with 200": Reply(200, HTML, b"<html>Scheduled maintenance, be back soon</html>"),
    "some page with 200": Reply(200, HTML, b"<html>Hello</html>"),
    "truncated JSON": Reply(body=b'{"QueryResult": {"Errors": [], "Results": [{"Obj'),
    "connection cut in the body": Reply(cut=30),
    "empty body": Reply(body=b""),
    "throttled": Reply(429),
    "throttled for seconds": Reply(429, {"Retry-After": "5"}),
    "throttled until a date": Reply(429, {"Retry-After": "Wed, 21 Oct 2026 07:28:20 GMT"}),
    "server error": Reply(500, HTML, b"<html>An unexpected error occurred</html>"),
    "bad gateway": Reply(502, HTML, b"<html>Bad gateway</html>"),
    "unavailable": Reply(503, HTML, b"<html>Maintenance</html>"),
    "time limit": Reply(524, HTML, b"<html>A timeout occurred</html>"),
    "no answer in time": Reply(headers={"Content-Length": "500"}),
    "undecodable body": Reply(headers={"Content-Encoding": "gzip"}, body=b"not gzip"),
}


def errors(text: Any) -> Any:
    return Reply(
        body=b'{"QueryResult": {"Errors": ["%s"], "Warnings": [], "TotalResultCount": 0, "Results": []}}' % text
    )


LASTING = {
    "wrong key": (Reply(401, HTML, b"<html>Full authentication is required</html>"), AccessDeniedError),
    "forbidden": (Reply(403), AccessDeniedError),
    "single sign-on": (Reply(302, {"Location": "https://sso.example/login"}), AccessDeniedError),
    "login page with 200": (Reply(200, HTML, b"<html><input type=password></html>"), AccessDeniedError),
    "not found": (Reply(404, HTML, b"<html></html>"), NotFoundError),
    "no object": (Reply(body=b'{"OperationResult": {"Errors": ["Cannot find object to read"]}}'), NotFoundError),
    "no attribute": (errors(b"Could not parse: Could not find attribute 'X'"), RejectedError),
    "invalid key": (errors(b"Not authorized to perform action: Invalid key"), AccessDeniedError),
    "another service": (Reply(body=b'{"hello": "world"}'), UnexpectedResponseError),
}


def world() -> Any:
    stories = [item(10 * n, prefix="US") for n in range(1, 8)]
    revisions = [revision(1000 + 10 * n + turn, 10 * n + 1, turn) for n in range(1, 8) for turn in range(2)]
    return TinyRally(
        rows={
            "workspace": [workspace(7, "Main")],
            "project": [project(100, "Main")],
            "hierarchicalrequirement": stories,
            "revision": revisions,
        }
    )


async def everything(connect: Connect, url: Any, **more: Any) -> Any:
    """All that a run reads, and what it cost."""
    async with connect(url, workspace="Main", projects="Main", pageSize=5, **more) as client:
        scope = await client.open()
        items = []
        async for page in client.read_changes(scope, Walk(kind="hierarchicalrequirement", started_at=scope.now)):
            items += await client.history(scope, page.records)
        return (scope.workspace, scope.projects, items), client.usage


KINDS = ("workspace", "project", "hierarchicalrequirement", "revision")


@pytest.fixture
async def expected(connect: Connect) -> Any:
    async with run_recorder(world()) as server:
        return (await everything(connect, server.url))[0]


def failing(kind: Any, fault: Any, *, times: Any) -> Any:
    tiny = world()
    left = [times]

    def reply(asked: RecordedRequest) -> Any:
        if asked.target.split("?")[0].endswith(f"/{kind}") and left[0]:
            left[0] -= 1
            return fault
        return tiny(asked)

    return reply


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PASSING)
async def test_what_passes_leaves_no_trace(connect: Connect, expected: Any, kind: Any, name: Any) -> None:
    # On a loaded machine, right answers can take longer than this, and are then asked for once more.
    is_slow = name == "no answer in time"
    limit = {"requestTimeoutSeconds": 0.3} if is_slow else {}
    async with run_recorder(failing(kind, PASSING[name], times=2)) as server:
        read, usage = await everything(connect, server.url, **limit)
    assert read == expected
    assert usage.retries == 2 or (is_slow and usage.retries > 2)
    assert usage.requests == len(server.requests) or (is_slow and usage.requests > len(server.requests))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LASTING)
async def test_what_lasts_stops_at_once_with_a_sentence_to_act_on(connect: Connect, kind: Any, name: Any) -> None:
    fault, error = LASTING[name]
    async with run_recorder(failing(kind, fault, times=1)) as server:
        with pytest.raises(PermanentError) as caught:
            await everything(connect, server.url)
    assert type(caught.value) is error
    assert caught.value.message
    assert caught.value.hint
