"""A disk that is full, under a host in this process."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from support.asked import Asked


@contextmanager
def full_disk(asked: Asked, *, when: Callable[[str], bool] = lambda _: True) -> Iterator[None]:
    """Nothing can be written meanwhile, or not what a statement says."""

    def failing(*given: Any) -> None:
        if given[2].startswith(("INSERT", "UPDATE", "DELETE")) and when(given[2]):
            raise sqlite3.OperationalError("database or disk is full")

    engine = asked.host.stores.database._engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", failing)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", failing)
