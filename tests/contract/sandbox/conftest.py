"""A served world for the tests of this folder, over plain HTTP and over TLS."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from rally_sandbox.clock import Clock
from rally_sandbox.serving import Sandbox, Tls, serve
from rally_sandbox.world import World

#: Standing time makes every answer the same in every run.
NOW = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    return World.create(7, 400, clock=Clock.standing(NOW))


@pytest.fixture
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world) as running:
        yield running


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
