"""Current names of people and tags, in one request each however many there are."""

from datetime import UTC, datetime

import pytest

from rally_accelerate.model.progress import PEOPLE, TAGS
from rally_sandbox.clock import Clock
from rally_sandbox.server import SANDBOX_API_KEY, serve
from rally_sandbox.world import World
from support.rally_settings import Connect

#: More ids than an address has room for.
STRANGERS = tuple(range(10**12, 10**12 + 200))


@pytest.fixture
def world() -> World:
    """A company whose clock stands."""
    return World.create(5, 50, clock=Clock.frozen(datetime(2026, 3, 4, 12, 0, tzinfo=UTC)))


@pytest.mark.parametrize("kind", [PEOPLE, TAGS])
async def test_a_few_are_asked_for_by_their_ids(world: World, connect: Connect, kind: str) -> None:
    records = world.company.users if kind == PEOPLE else world.company.tags
    wanted = {each.object_id: each.name for each in records[1:4]}
    with serve(world) as rally:
        async with connect(rally.url, apiKey=SANDBOX_API_KEY) as client:
            scope = await client.open()
            before = client.usage.requests
            page = await client.names(scope, kind, list(wanted), after=7)
            assert (page.names, page.after, client.usage.requests - before) == (wanted, 0, 1)


@pytest.mark.parametrize("kind", [PEOPLE, TAGS])
async def test_of_many_each_request_reads_a_page_of_the_list(world: World, connect: Connect, kind: str) -> None:
    records = world.company.users if kind == PEOPLE else world.company.tags
    known = [each.object_id for each in records]
    found: dict[int, str] = {}
    after = requests = 0
    with serve(world) as rally:
        async with connect(rally.url, apiKey=SANDBOX_API_KEY, pageSize=3) as client:
            scope = await client.open()
            while True:
                before = client.usage.requests
                page = await client.names(scope, kind, [*known, *STRANGERS], after=after)
                assert client.usage.requests - before == 1
                assert len(page.names) <= 3
                found |= page.names
                after, requests = page.after, requests + 1
                if not after:
                    break
    expected = {each.object_id: each.name for each in records}
    assert expected.items() <= found.items()
    # A list ends with a page that is not full.
    assert requests == len(found) // 3 + 1
