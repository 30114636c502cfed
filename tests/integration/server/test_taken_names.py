"""Two who give one name at once: the second is told that it is taken, though both have found it free."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from rally_accelerate.errors import ConfigError, OutdatedError
from rally_accelerate.server.permissions import SYSTEM_ACTOR
from rally_accelerate.server.store.integrations import Integrations
from support.server_client import TENANT, ServerClient

PROPERTIES = {"baseUrl": "http://127.0.0.1:9", "apiKey": "sample-key"}
RAW = {"name": "same", "tenant_id": TENANT, "type": "ucv-ext-rally", "disabled": True, "properties": PROPERTIES}

TOLD = "an integration named 'same' exists already"


@pytest.fixture(autouse=True)
def found_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks a name up does so before the other has written it."""

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr(Integrations, "by_name", nothing)


def only_taken(outcomes: Sequence[Any]) -> None:
    """One is told that the name is taken, the other has it."""
    (lost,) = [each for each in outcomes if isinstance(each, BaseException)]
    assert isinstance(lost, ConfigError)
    assert str(lost) == TOLD
    assert [(problem.path, problem.text) for problem in lost.problems] == [("name", "is taken")]


async def test_two_integrations_are_added_under_one_name(asked: ServerClient) -> None:
    add = asked.host.integrations.add
    only_taken(await asyncio.gather(add(SYSTEM_ACTOR, RAW), add(SYSTEM_ACTOR, RAW), return_exceptions=True))
    assert [each.name for each in await asked.host.stores.integrations.all()] == ["same"]


async def test_two_integrations_are_given_one_name(asked: ServerClient) -> None:
    administration = asked.host.integrations
    ids = [await administration.add(SYSTEM_ACTOR, {**RAW, "name": name}) for name in ("one", "two")]
    renamed = (administration.edit(SYSTEM_ACTOR, its_id, {"name": "same"}) for its_id in ids)
    only_taken(await asyncio.gather(*renamed, return_exceptions=True))
    assert len({each.name for each in await asked.host.stores.integrations.all()} & {"one", "two", "same"}) == 2


async def test_pages_tell_it_at_the_name_and_keep_what_was_typed(asked: ServerClient) -> None:
    typed = {"name": "same", "properties.baseUrl": "http://127.0.0.1:9", "properties.apiKey": "sample-key"}
    assert (await asked.http.post("/settings/integrations/new", data=typed)).status_code == 303
    other = await asked.host.integrations.add(SYSTEM_ACTOR, {**RAW, "name": "other"})
    for address in ("new", f"{other}/edit"):
        answer = await asked.http.post(f"/settings/integrations/{address}", data=typed)
        assert answer.status_code == 422
        assert 'id="fault-name">is taken<' in answer.text
        assert 'value="http://127.0.0.1:9"' in answer.text


async def test_clients_are_told_it(asked: ServerClient) -> None:
    await asked.host.integrations.add(SYSTEM_ACTOR, RAW)
    other = await asked.host.integrations.add(SYSTEM_ACTOR, {**RAW, "name": "other"})
    given = {"name": "same", "tenantId": TENANT, "properties": PROPERTIES}
    add = "mutation($i: AddIntegrationInput!) { addIntegration(input: $i) { _id } }"
    more = {"displayName": "same", "type": "ucv-ext-rally", "enabled": False}
    edit = "mutation($d: ID!, $i: EditIntegrationInput!) { editIntegration(_id: $d, input: $i) { _id } }"
    for answer in (
        await asked.graphql(add, i={**given, **more}),
        await asked.graphql(edit, d=other, i=given),
    ):
        assert [each["message"] for each in answer.json()["errors"]] == [TOLD]


async def test_a_file_that_adds_it_is_refused_whole(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    its_id = await asked.host.integrations.add(SYSTEM_ACTOR, RAW)

    async def nothing(_: Integrations) -> list[Any]:
        return []

    entry = {"type": "ucv-ext-rally", "name": "same", "tenant_id": TENANT, "properties": PROPERTIES}
    document = {"name": "stream", "tenantId": TENANT, "phases": [], "integrations": [entry]}
    with monkeypatch.context() as patch:
        patch.setattr(Integrations, "all", nothing)
        with pytest.raises(OutdatedError, match="'same' was added in the meantime"):
            await asked.host.importer.create(document, actor=SYSTEM_ACTOR)
    assert await asked.host.stores.streams.all() == []
    # Once more, it changes the one that is there.
    await asked.host.importer.create(document, actor=SYSTEM_ACTOR)
    assert [each.id for each in await asked.host.stores.integrations.all()] == [its_id]
