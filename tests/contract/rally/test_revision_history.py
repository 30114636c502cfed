"""The past of many items: complete, current, and in few requests."""

import asyncio
import random
from typing import Any

import pytest

from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.records import Scope
from support.rally_settings import Connect
from support.request_recorder import Reply, run_recorder
from support.tiny_rally import Row, TinyRally, item, project, revision

DAY_AGO = "2026-10-20T00:00:00.000Z"


def world(items: Any, *, each: Any = 3, seed: Any = 1) -> Any:
    """Stories and defects whose ids interleave, with revisions in the order of time."""
    chance = random.Random(seed)
    stories: list[Row] = []
    defects: list[Row] = []
    revisions = []
    for number in range(items):
        key = 1000 + 10 * number
        (stories if chance.random() < 0.7 else defects).append(item(key, updated=DAY_AGO))
        revisions += [(key + 1, turn) for turn in range(each)]
    chance.shuffle(revisions)
    rows = [revision(10_000_000 + place, history, turn) for place, (history, turn) in enumerate(revisions)]
    rows += [revision(20_000_000 + n, 1001 + 10 * n, each, "OWNER added [Ada Sample]") for n in range(items)]
    return TinyRally(
        rows={
            "project": [project(100, "Main")],
            "hierarchicalrequirement": stories,
            "defect": defects,
            "revision": rows,
        }
    )


async def past_of(client: RallyClient, scope: Scope, kind: Any) -> Any:
    items = []
    async for page in client.read_changes(scope, Walk(kind=kind, started_at=scope.now)):
        items += await client.history(scope, page.records)
    return items


def check(items: Any, *, each: Any) -> None:
    for one in items:
        assert [change.field for change in one.past.changes].count("ScheduleState") == each
        assert [change.field for change in one.past.changes].count("Owner") == 1


async def test_everything_is_there_once_and_in_order(connect: Connect) -> None:
    tiny = world(300)
    async with run_recorder(tiny) as server, connect(server.url, pageSize=50) as client:
        scope = await client.open()
        stories = await past_of(client, scope, "hierarchicalrequirement")
        defects = await past_of(client, scope, "defect")
    assert len(stories) + len(defects) == 300
    check([*stories, *defects], each=3)


async def test_walks_side_by_side_read_a_shared_range_once(connect: Connect) -> None:
    tiny = world(2000, each=4)
    async with run_recorder(tiny) as server, connect(server.url, pageSize=1000) as client:
        scope = await client.open()
        kinds = ("hierarchicalrequirement", "defect")
        stories, defects = await asyncio.gather(*(past_of(client, scope, kind) for kind in kinds))
    check([*stories, *defects], each=4)
    least = 2000 * 4 / 1000
    assert tiny.count_requests("revision") <= least * 1.5, "neighbours read the same ranges twice"


async def test_few_items_far_apart_are_asked_for_by_id(connect: Connect) -> None:
    tiny = world(3000)
    tiny.rows["defect"] = tiny.rows["defect"][::90]
    async with run_recorder(tiny) as server, connect(server.url, pageSize=100) as client:
        items = await past_of(client, await client.open(), "defect")
    check(items, each=3)
    assert tiny.count_requests("revision") == 1


async def test_many_items_far_apart_give_the_range_up_after_one_answer(connect: Connect) -> None:
    tiny = world(2500)
    tiny.rows["defect"] = tiny.rows["defect"][::6]
    async with run_recorder(tiny) as server, connect(server.url, pageSize=500) as client:
        scope = await client.open()
        items = await past_of(client, scope, "defect")
        first = tiny.count_requests("revision")
        check(items, each=3)
        lists = -(-len(items) // 45)
        assert lists <= first <= lists + 1
        await past_of(client, scope, "defect")
    assert tiny.count_requests("revision") - first <= lists, "the range was tried again although it cannot pay"


async def test_a_kept_range_serves_only_what_was_old_by_then(connect: Connect) -> None:
    tiny = world(200)
    async with run_recorder(tiny) as server, connect(server.url, pageSize=500) as client:
        scope = await client.open()
        await past_of(client, scope, "hierarchicalrequirement")
        before = tiny.count_requests("revision")
        newest = tiny.rows["hierarchicalrequirement"][7]
        newest["LastUpdateDate"] = "2026-10-21T07:27:30.000Z"
        tiny.rows["revision"].append(revision(30_000_000, newest["ObjectID"] + 1, 3))
        items = await past_of(client, scope, "hierarchicalrequirement")
        assert tiny.count_requests("revision") == before + 1
    by_id = {one.record.object_id: one for one in items}
    check([by_id.pop(newest["ObjectID"])], each=4)
    check(by_id.values(), each=3)


async def test_an_item_without_history_has_an_empty_past(connect: Connect) -> None:
    tiny = world(5)
    for row in tiny.rows["hierarchicalrequirement"]:
        row["RevisionHistory"] = None
    async with run_recorder(tiny) as server, connect(server.url) as client:
        items = await past_of(client, await client.open(), "hierarchicalrequirement")
    assert items
    assert all(one.past.changes == () and not one.past.whole for one in items)
    assert tiny.count_requests("revision") == 0


async def test_the_first_revision_tells_the_creator(connect: Connect) -> None:
    tiny = world(5, each=0)
    tiny.rows["revision"] = [
        revision(number, row["ObjectID"] + 1, 0, "Original revision")
        for number, row in enumerate(tiny.rows["hierarchicalrequirement"], start=1)
    ]
    async with run_recorder(tiny) as server, connect(server.url) as client:
        items = await past_of(client, await client.open(), "hierarchicalrequirement")
    assert all(one.past.creator == "Ada Sample" for one in items)


@pytest.mark.parametrize("fault", [Reply(503), Reply(body=b"{"), Reply(429, {"Retry-After": "9"})])
async def test_a_fault_in_the_middle_changes_nothing(connect: Connect, fault: Any) -> None:
    tiny = world(300)
    tiny.faults = dict.fromkeys((3, 5, 8), fault)
    async with run_recorder(tiny) as server, connect(server.url, pageSize=50) as client:
        items = await past_of(client, await client.open(), "hierarchicalrequirement")
        assert client.usage.retries == 3
    check(items, each=3)


async def test_a_failing_neighbour_does_not_leave_others_waiting(connect: Connect) -> None:
    tiny = world(1000)
    async with run_recorder(tiny) as server, connect(server.url, pageSize=500) as client:
        scope = await client.open()
        walk = Walk(kind="hierarchicalrequirement", started_at=scope.now)
        pages = [page async for page in client.read_changes(scope, walk)]
        one = asyncio.create_task(client.history(scope, pages[0].records))
        other = asyncio.create_task(client.history(scope, pages[0].records))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        one.cancel()
        check(await asyncio.wait_for(other, 60), each=3)
        with pytest.raises(asyncio.CancelledError):
            await one
