"""Walking by key: nothing is lost or doubled, whatever happens between pages, and requests are few."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.errors import ServiceTimeoutError, TruncatedResponseError, UnexpectedResponseError
from rally_accelerate.model.progress import Walk, Window
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.records import Scope
from support.rally_settings import Connect
from support.request_recorder import RecordedRequest, Reply, run_recorder
from support.tiny_rally import TinyRally, item, project, workspace
from support.waiting import until

NOW = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)


def rally(count: Any = 0, **more: Any) -> Any:
    rows = {
        "project": [project(100, "Main")],
        "workspace": [workspace(7, "Main")],
        "defect": [item(10 * n) for n in range(1, count + 1)],
    }
    return TinyRally(rows=rows, **more)


async def walked(client: RallyClient, scope: Scope, **more: Any) -> Any:
    return [page async for page in client.read_changes(scope, Walk(kind="defect", started_at=scope.now, **more))]


def ids(pages: Any) -> Any:
    return [record.object_id for page in pages for record in page.records]


async def test_a_cycle_without_news_is_three_requests(connect: Connect) -> None:
    tiny = rally()
    async with run_recorder(tiny) as server, connect(server.url) as client:
        scope = await client.open()
        assert scope.now == NOW
        for kind in scope.kinds:
            pages = [
                page async for page in client.read_changes(scope, Walk(kind=kind, started_at=NOW, window=Window(NOW)))
            ]
            assert [(page.records, page.last, page.remaining) for page in pages] == [((), True, 0)]
        assert client.usage.requests == 3


async def test_every_item_once_in_as_few_pages_as_possible(connect: Connect) -> None:
    tiny = rally(45)
    async with run_recorder(tiny) as server, connect(server.url, pageSize=10) as client:
        scope = await client.open()
        pages = await walked(client, scope)
    assert ids(pages) == [10 * n for n in range(1, 46)]
    assert [page.remaining for page in pages] == [45, 35, 25, 15, 5]
    assert [page.last for page in pages] == [False, False, False, False, True]
    assert tiny.count_requests("defect") == 5


async def test_a_full_last_page_costs_one_empty_one(connect: Connect) -> None:
    tiny = rally(20)
    async with run_recorder(tiny) as server, connect(server.url, pageSize=10) as client:
        pages = await walked(client, await client.open())
    assert [len(page.records) for page in pages] == [10, 10, 0]
    assert [page.last for page in pages] == [False, False, True]
    assert pages[-1].after == 200


async def test_a_walk_goes_on_where_it_stood(connect: Connect) -> None:
    async with run_recorder(rally(5)) as server, connect(server.url) as client:
        assert ids(await walked(client, await client.open(), after=30)) == [40, 50]


async def test_the_granted_page_size_counts(connect: Connect) -> None:
    """A server that clamps the page size must not look like the end."""
    async with run_recorder(rally(45, most_rows=10)) as server, connect(server.url) as client:
        assert len(ids(await walked(client, await client.open()))) == 45


async def test_edits_creations_and_deletions_between_pages_lose_nothing(connect: Connect) -> None:
    tiny = rally(40)
    there_all_the_time = {10 * n for n in range(1, 41)} - {20, 210}

    def between(number: Any) -> None:
        rows = tiny.rows["defect"]
        if number == 3:
            rows[:] = [row for row in rows if row["ObjectID"] not in {20, 210}]
            rows[0] = {**rows[0], "LastUpdateDate": "2026-10-21T07:28:00.000Z"}
            rows.append(item(5000))

    tiny.between = between
    async with run_recorder(tiny) as server, connect(server.url, pageSize=10) as client:
        seen = ids(await walked(client, await client.open()))
    assert there_all_the_time <= set(seen)
    assert 5000 in seen
    assert len(seen) == len(set(seen))


async def test_only_what_changed_since(connect: Connect) -> None:
    tiny = rally(5)
    tiny.rows["defect"][2]["LastUpdateDate"] = "2026-10-21T07:00:00.000Z"
    async with run_recorder(tiny) as server, connect(server.url) as client:
        scope = await client.open()
        assert ids(await walked(client, scope, window=Window(datetime(2026, 10, 21, 7, tzinfo=UTC)))) == [30]


async def test_projects_one_or_several(connect: Connect) -> None:
    tiny = rally(6)
    for row, inside in zip(tiny.rows["defect"], (100, 101, 102, 100, 101, 102), strict=True):
        row["Project"] = {"ObjectID": inside}
    async with run_recorder(tiny) as server, connect(server.url, query='(VersionId = "1")') as client:
        scope = await client.open()
        assert ids(await walked(client, scope, projects=(100,))) == [10, 40]
        assert ids(await walked(client, scope, projects=(100, 102))) == [10, 30, 40, 60]


async def test_owed_items_are_asked_for_by_id(connect: Connect) -> None:
    tiny = rally(400)
    owed = tuple(range(10, 3000, 10))
    async with run_recorder(tiny) as server, connect(server.url) as client:
        pages = await walked(client, await client.open(), only=(*owed, 999_999))
    assert ids(pages) == list(owed)
    assert [page.last for page in pages].count(True) == 1
    assert pages[-1].last
    assert tiny.count_requests("defect") < 8


async def test_a_server_that_repeats_itself_is_refused(connect: Connect) -> None:
    tiny = rally(30)
    stuck = Reply(
        body=b'{"QueryResult": {"Errors": [], "TotalResultCount": 30, "PageSize": 10, "Results": ['
        + b",".join(b'{"ObjectID": %d}' % (10 * n) for n in range(1, 11))
        + b"]}}"
    )
    tiny.faults = {2: stuck, 3: stuck}
    async with run_recorder(tiny) as server, connect(server.url, pageSize=10) as client:
        with pytest.raises(UnexpectedResponseError, match="out of order"):
            await walked(client, await client.open())


@pytest.mark.parametrize("fault", [Reply(524), Reply(body=b'{"QueryResult": {"Resu')])
async def test_the_page_shrinks_when_the_service_struggles_and_nothing_is_lost(connect: Connect, fault: Any) -> None:
    tiny = rally(100, faults={3: fault, 4: fault})
    async with run_recorder(tiny) as server, connect(server.url, pageSize=40) as client:
        pages = await walked(client, await client.open())
        assert client.usage.retries == 2
    assert ids(pages) == [10 * n for n in range(1, 101)]
    sizes = [int(params["pagesize"]) for kind, params in tiny.requests if kind == "defect"]
    assert sizes == [40, 40, 20, 10, 12, 15, 18, 22], "halves twice, then grows by quarters"


@pytest.mark.parametrize(("status", "error"), [(524, ServiceTimeoutError), (200, TruncatedResponseError)])
async def test_a_service_that_never_recovers_ends_the_walk_with_its_error(
    connect: Connect, status: Any, error: Any
) -> None:
    tiny = rally(10, faults=dict.fromkeys(range(2, 50), Reply(status, body=b"{" if status == 200 else b"")))
    async with run_recorder(tiny) as server, connect(server.url, pageSize=40) as client:
        scope = await client.open()
        with pytest.raises(error):
            await walked(client, scope)


async def test_the_next_page_is_fetched_while_one_is_in_use_and_no_more(connect: Connect) -> None:
    tiny = rally(50)
    async with run_recorder(tiny) as server, connect(server.url, pageSize=10) as client:
        scope = await client.open()
        async with aclosing(client.read_changes(scope, Walk(kind="defect", started_at=NOW))) as pages:
            async for _ in pages:
                await until(lambda: tiny.count_requests("defect") >= 2)
                # Time for a third request, which does not come.
                await asyncio.sleep(0.05)
                break
        assert tiny.count_requests("defect") == 2


async def test_leaving_the_client_stops_a_forgotten_walk(connect: Connect) -> None:
    tiny = rally(50, faults={3: Reply(headers={"Content-Length": "500"})})
    async with run_recorder(tiny) as server:
        async with connect(server.url, pageSize=10) as client:
            scope = await client.open()
            pages = client.read_changes(scope, Walk(kind="defect", started_at=NOW))
            await anext(pages)
            await until(lambda: len(server.requests) >= 3)
        assert not [task for task in asyncio.all_tasks() if "LookAhead" in repr(task)]
        await pages.aclose()


async def test_walks_of_one_user_share_one_limit(connect: Connect) -> None:
    tiny, pool = rally(200), LimiterPool()
    async with (
        run_recorder(tiny) as server,
        connect(server.url, pool=pool, pageSize=5, maxRequestsInFlight=3) as one,
        connect(server.url, pool=pool, pageSize=5, maxRequestsInFlight=5) as other,
    ):
        scope = await one.open()
        walks = [walked(client, scope) for client in (one, other) for _ in range(4)]
        for pages in await asyncio.gather(*walks):
            assert len(ids(pages)) == 200
        (limiter,) = pool._limiters.values()
        assert limiter.peak == 3


async def test_a_warning_is_told_once(connect: Connect) -> None:
    def warning(asked: RecordedRequest) -> Any:
        reply = tiny(asked)
        return Reply(body=reply.body.replace(b'"Warnings":[]', b'"Warnings":["Please upgrade"]'))

    tiny = rally(30)
    async with run_recorder(warning) as server, connect(server.url, pageSize=10) as client:
        scope = await client.open()
        notices = [notice for page in await walked(client, scope) for notice in page.notices]
    assert notices == ["Rally warns about defect: Please upgrade"]
    assert "Rally warns about project: Please upgrade" in scope.notices


async def test_items_are_counted_with_one_request(connect: Connect) -> None:
    tiny = rally(30)
    async with run_recorder(tiny) as server, connect(server.url) as client:
        scope = await client.open()
        assert await client.count(scope, "defect") == 30
        assert await client.count(scope, "task") == 0
        assert client.usage.requests == 3
