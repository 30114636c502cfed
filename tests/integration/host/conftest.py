"""An embedded host on a real SQLite file, asked in-process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rally_accelerate.host import passwords
from support.asked import Asked, asking


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host makes its administrator's password at the first start; hundreds of them need not be hard to guess."""
    monkeypatch.setattr(passwords, "COST", passwords.Cost(2, 1, 1))


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    """A new host, asked by its administrator."""
    async with asking(tmp_path / "host.sqlite") as asked:
        yield asked
