"""The container's file tree is put together once; one simulator and one host serve every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.container import PASSPHRASE, Container, added, assembled, working_in
from support.processes import RunningHost, Simulator, host, simulator


@pytest.fixture(scope="session")
def tree() -> Iterator[Path]:
    """The file tree of the image."""
    with assembled() as folder:
        yield folder


@pytest.fixture
def container(tree: Path, request: pytest.FixtureRequest) -> Iterator[Container]:
    """A container of its own for each test; its arguments are encrypted unless ``IN_EITHER_FORM`` says otherwise."""
    with working_in(tree, passphrase=getattr(request, "param", PASSPHRASE)) as made:
        yield made


@pytest.fixture
def bare(tree: Path) -> Iterator[Container]:
    """A container without a key."""
    with working_in(tree) as made:
        yield made


@pytest.fixture(scope="session")
def rally() -> Iterator[Simulator]:
    """A small company."""
    with simulator("--items", "60") as running:
        yield running


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host that answers as Accelerate does."""
    with host(tmp_path_factory.mktemp("host") / "host.sqlite") as running:
        yield running


@pytest.fixture
def tracker(target: RunningHost) -> str:
    """An integration of its own for each test."""
    return added(target)
