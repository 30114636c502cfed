"""What connectors and people write into an integration at the same time: of several writers, none loses."""

import asyncio
from datetime import UTC, datetime

from rally_accelerate.config.model import EVENT
from rally_accelerate.server.permissions import SYSTEM_ACTOR
from rally_accelerate.server.runner import add_removal_approval, add_resync_request, clear_run_request, read_run_request
from support.server_client import ServerClient

#: Disabled, so that no run fulfils a wish meanwhile.
SAMPLE = {"name": "sample", "disabled": True, "properties": {"baseUrl": "http://127.0.0.1:9", "apiKey": "k"}}

STATE = """mutation ($id: ID!, $event: String!, $p: JSON) {
    updateIntegrationState(integrationId: $id, eventName: $event, properties: $p) { state } }"""


async def test_states_that_are_written_at_once_are_all_kept(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration(SAMPLE)
    names = [f"event {number}" for number in range(20)]
    await asyncio.gather(*(asked.fetch_data(STATE, id=its_id, event=name, p={"its": name}) for name in names))
    found = await asked.host.integrations.get(its_id)
    assert found.state == {name: {"its": name} for name in names}


async def test_event_states_that_are_written_at_once_are_all_kept(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration(SAMPLE)
    write = asked.host.integrations.write_event_states
    names = [f"event {number}" for number in range(20)]
    since = datetime(2026, 1, 31, tzinfo=UTC)
    await asyncio.gather(
        asked.host.integrations.resync(SYSTEM_ACTOR, its_id, since=since),
        *(write(SYSTEM_ACTOR, its_id, {name: {"lastStartTime": 5}}) for name in names),
        write(SYSTEM_ACTOR, its_id, {EVENT: {"lastStartTime": 7}}),
    )
    states = (await asked.host.integrations.get(its_id)).event_states
    assert set(states) == {EVENT, *names}
    assert states[EVENT]["lastStartTime"] == 7
    again = read_run_request(states).resync_window
    assert again is not None
    assert again.since == since


async def test_a_wish_that_comes_while_another_is_fulfilled_stays(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration(SAMPLE)
    rewrite = asked.host.stores.integrations.rewrite
    for _ in range(10):
        await rewrite(its_id, lambda now: {"event_states": add_resync_request(now.event_states, None)})
        done = read_run_request((await asked.host.integrations.get(its_id)).event_states)
        await asyncio.gather(
            rewrite(its_id, lambda now, done=done: {"event_states": clear_run_request(now.event_states, done)}),  # type: ignore[misc]
            rewrite(its_id, lambda now: {"event_states": add_removal_approval(now.event_states)}),
        )
        left = read_run_request((await asked.host.integrations.get(its_id)).event_states)
        assert left.approve_removal
        assert left.resync_window is None
        await rewrite(its_id, lambda now: {"event_states": {}})
