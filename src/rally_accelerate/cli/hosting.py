"""Running the server inside a command."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rally_accelerate.config.listen_errors import PORT_OPTION
from rally_accelerate.config.load import get_state_folder
from rally_accelerate.config.sqlite_files import refuse_foreign
from rally_accelerate.errors import StoreError

if TYPE_CHECKING:
    from rally_accelerate.server.app import Server
    from rally_accelerate.server.store.repositories import Stores

DEFAULT_PORT = 8420

#: Said where other machines reach the host.
UNSAFE = """warning: other machines can reach {address}, and without TLS, passwords and keys can be read on the network.
         Listen on 127.0.0.1 behind a TLS proxy instead and set --outside-url https://...
         (see docs/how-to/run-the-embedded-host.md)."""

database_option = click.option(
    "--database",
    type=click.Path(path_type=Path),
    help="The SQLite database file.  [default: host.sqlite in the user's state folder]",
)


@asynccontextmanager
async def run_server(
    database: Path,
    *,
    address: str,
    port: int,
    interval: timedelta,
    outside: str = "",
    proxy: str = "",
    keep_runs: int = 500,
    keep_days: float = 90.0,
    choose: str = PORT_OPTION,
) -> AsyncIterator[tuple["Server", str]]:
    """Run the server and yield it with the URL of its pages.

    Args:
        database: The SQLite file; made if it is missing.
        address: The address to listen on.
        port: 0 takes a free one.
        interval: Time from one run to the next, once the schedule is started.
        outside: The address under which a proxy in front shows the host, when there is one.
        proxy: The proxy's own address.
        keep_runs: How many runs of each integration are kept.
        keep_days: For how many days at most.
        choose: How to choose another port, for the hint of an error.
    """
    try:
        from rally_accelerate.server.app import Server  # noqa: PLC0415 - an extra: the command says how to get it
        from rally_accelerate.server.http_server import is_local, open_listener, serve  # noqa: PLC0415 - likewise
        from rally_accelerate.server.store.executions import Retention  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise missing_server_error() from error
    if not is_local(address) and not outside.startswith("https://"):
        click.secho(UNSAFE.format(address=address), fg="yellow", err=True)
    listener = open_listener(address, port, choose=choose)
    with listener:
        opened = Server.open(database, interval=interval, retention=Retention(runs=keep_runs, days=keep_days))
        async with opened as host, serve(host, listener, outside=outside, proxy=proxy) as url:
            yield host, url


@contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets; a second one ends the process.

    Without it, the signal would be raised wherever the process happens to be, and every task be cancelled at once.
    """
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def open_unused_stores(database: Path | None) -> AsyncIterator[tuple["Stores", Path]]:
    """Open the stores of a database that no server uses and yield them with its path.

    Args:
        database: The SQLite file; None takes the one that ``serve`` takes.

    Raises:
        StoreError: The database does not exist, or a server uses it.
    """
    path = require_database(database)
    from rally_accelerate.server.store.repositories import open_repositories  # noqa: PLC0415 - as above

    async with open_repositories(path) as stores:
        yield stores, path


def require_database(database: Path | None) -> Path:
    """Return the path of an existing database; None means the default one of ``serve``.

    Raises:
        StoreError: The database does not exist, or the file belongs to another program.
    """
    try:
        from rally_accelerate.server.store.repositories import DATABASE, REQUIRED_TABLES  # noqa: PLC0415 - as above
    except ImportError as error:
        raise missing_server_error() from error
    path = database or default_database()
    if not path.is_file():
        raise StoreError(f"no database at {path}", hint="Set the path of the server's database with --database.")
    refuse_foreign(path, REQUIRED_TABLES, what=DATABASE, option="--database")
    return path


def default_database() -> Path:
    """Return the default path of the server's database."""
    return get_state_folder() / "host.sqlite"


def missing_server_error() -> click.ClickException:
    """Return the error for a missing ``host`` extra."""
    return click.ClickException("The server needs an extra. Run: pip install 'rally-accelerate[host]'")
