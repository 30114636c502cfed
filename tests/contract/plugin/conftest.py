"""The container's file tree is put together once; one simulator and one host serve every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.container import PASSPHRASE, Container, add_integration, assemble_image, open_container
from support.processes import RunningServer, Simulator, start_server, start_simulator


@pytest.fixture(scope="session")
def tree() -> Iterator[Path]:
    """The file tree of the image."""
    with assemble_image() as folder:
        yield folder


@pytest.fixture
def container(tree: Path, request: pytest.FixtureRequest) -> Iterator[Container]:
    """A container of its own for each test; its arguments are encrypted unless ``IN_EITHER_FORM`` says otherwise."""
    with open_container(tree, passphrase=getattr(request, "param", PASSPHRASE)) as made:
        yield made


@pytest.fixture
def bare(tree: Path) -> Iterator[Container]:
    """A container without a key."""
    with open_container(tree) as made:
        yield made


@pytest.fixture(scope="session")
def rally() -> Iterator[Simulator]:
    """A small company."""
    with start_simulator("--items", "60") as running:
        yield running


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A host that answers as Accelerate does."""
    with start_server(tmp_path_factory.mktemp("host") / "host.sqlite") as running:
        yield running


@pytest.fixture
def tracker(target: RunningServer) -> str:
    """An integration of its own for each test."""
    return add_integration(target)
