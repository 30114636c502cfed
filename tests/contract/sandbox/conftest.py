"""A served world for the tests of this folder, over plain HTTP and over TLS."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme

from rally_sandbox.auth import SANDBOX_API_KEY
from rally_sandbox.clock import Clock
from rally_sandbox.server import Sandbox, Tls, serve
from rally_sandbox.world import World
from support.waiting import PATIENCE_SECONDS

#: Standing time makes every answer the same in every run.
NOW = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)

Json = dict[str, Any]
Ask = Callable[..., Json]


def make_world() -> World:
    """The small world of this folder."""
    return World.create(7, 400, clock=Clock.frozen(NOW))


@pytest.fixture(scope="session")
def world() -> World:
    """Shared by tests that only read; ``test_changes.py`` and ``test_faults.py`` have their own."""
    return make_world()


@pytest.fixture
def fresh_world() -> World:
    """For one test to change."""
    return make_world()


@pytest.fixture(scope="session")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx2.Client]:
    base = f"{sandbox.url}/slm/webservice/v2.0/"
    with httpx2.Client(
        base_url=base, headers={"ZSESSIONID": SANDBOX_API_KEY}, trust_env=False, timeout=PATIENCE_SECONDS
    ) as client:
        yield client


@pytest.fixture
def ask(client: httpx2.Client) -> Ask:
    """Asks and returns the QueryResult."""

    def ask(path: str, **parameters: object) -> Json:
        answer = client.get(path, params={name: str(value) for name, value in parameters.items()})
        assert answer.status_code == 200
        result: Json = answer.json()["QueryResult"]
        return result

    return ask


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tls, Path]:
    """The server's certificate, and the file of the authority that a client must trust."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    issued.private_key_pem.write_to_path(folder / "server.key")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(folder / "server.pem", append=True)
    return Tls(folder / "server.pem", folder / "server.key"), folder / "authority.pem"
