"""What holds for every test."""

from collections.abc import Iterator

import pytest
import trustme
from hypothesis import HealthCheck, settings

from support.process_starter import fork_processes

# No test depends on timing: on a busy machine making examples may be slow.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

#: Files that take a minute; each is run by one worker, which would end alone with it if it came last.
LONG = ("tests/integration/server/test_fuzz.py", "tests/unit/sync/test_promises.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the long files first, and everything else in the order of the folders."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(scope="session", autouse=True)
def _quick_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled modules, and trust one authority instead of the system's many, whose certificates every client and process would read again."""
    path = tmp_path_factory.mktemp("authorities") / "authorities.pem"
    trustme.CA().cert_pem.write_to_path(path)
    with pytest.MonkeyPatch.context() as patch:
        # Without compiled modules, each process that a test starts compiles the package again.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("SSL_CERT_FILE", str(path))
        patch.setenv("SSL_CERT_DIR", str(path.parent / "none"))
        with fork_processes():
            yield
