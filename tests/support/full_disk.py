"""A disk that is full, under a host in this process."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from support.server_client import ServerClient


@contextmanager
def full_disk(client: ServerClient, *, when: Callable[[str], bool] = lambda _: True) -> Iterator[None]:
    """Nothing can be written meanwhile, or not what a statement says."""

    def fail_write(*arguments: Any) -> None:
        if arguments[2].startswith(("INSERT", "UPDATE", "DELETE")) and when(arguments[2]):
            raise sqlite3.OperationalError("database or disk is full")

    engine = client.host.stores.database._engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", fail_write)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", fail_write)
