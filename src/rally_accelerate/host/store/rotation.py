"""Another key for the secrets: made, used for all of them, and only then are the old ones dropped."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.errors import StoreError
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import issue_contents, issue_history, issues, metadata
from rally_accelerate.host.store.vault import MARK, key_file

#: What others uploaded: nothing in there is a secret of ours, whatever it looks like.
UPLOADED = {issues.name, issue_contents.name, issue_history.name}


async def rotate(path: Path, database: Database) -> int:
    """Encrypt every secret of a database with a new key, and drop the keys before it; how many secrets there are.

    Whenever it is killed, the key file has every key that some secret needs: the new one is in it before the first
    secret is encrypted with it, and the old ones leave when the last secret is, in a transaction of its own.

    Args:
        path: The database's file; the key file lies beside it.
        database: The same, open, and used by nobody else.

    Raises:
        StoreError: A secret cannot be read with the keys that there are, or a file cannot be written; nothing is lost.
    """
    file = key_file(path)
    new = Fernet.generate_key()
    try:
        keys = [new, *file.read_bytes().split()]
        rotating = MultiFernet([Fernet(key) for key in keys])
        _write(file, keys)
        async with database.writing() as connection:
            count = await _every_secret(connection, lambda token: rotating.rotate(token.encode()).decode())
        alone = Fernet(new)
        async with database.reading() as connection:
            await _every_secret(connection, lambda token: _readable(token, alone))
        # Copies of the old pages are in the log until it is written back.
        await database.settle()
        _write(file, [new])
    except InvalidToken:
        raise StoreError(
            f"a secret in the database cannot be read with any key in {file}",
            hint="Bring back the key file that belongs to this database, or enter the integration's secrets again.",
        ) from None
    except (OSError, ValueError, SQLAlchemyError) as error:
        raise StoreError(
            f"the secrets could not all be encrypted anew: {error}", hint="Nothing is lost; run the command again."
        ) from error
    return count


async def _every_secret(connection: AsyncConnection, change: Callable[[str], str]) -> int:
    """Change every encrypted value of every table; how many there are."""
    count = 0

    def changed(value: Any) -> Any:
        nonlocal count
        match value:
            case {"encrypted": str(token), **rest} if not rest:
                count += 1
                return {MARK: change(token)}
            case dict():
                return {name: changed(each) for name, each in value.items()}
            case list():
                return [changed(each) for each in value]
            case _:
                return value

    for table in metadata.sorted_tables:
        columns = [column for column in table.c if isinstance(column.type, sa.JSON)]
        if table.name in UPLOADED or not columns:
            continue
        for column in columns:
            holds = sa.cast(column, sa.Text).contains(f'"{MARK}"')
            found = (await connection.execute(sa.select(*table.primary_key.columns, column).where(holds))).all()
            for *identity, value in found:
                after = changed(value)
                if json.dumps(after) != json.dumps(value):
                    pairs = zip(table.primary_key.columns, identity, strict=True)
                    this = sa.and_(*(key == part for key, part in pairs))
                    await connection.execute(sa.update(table).where(this).values({column: after}))
    return count


def _readable(token: str, key: Fernet) -> str:
    key.decrypt(token.encode())
    return token


def _write(file: Path, keys: list[bytes]) -> None:
    """Replace the key file in one step: after a crash it is the old one or the new one, and on the disk."""
    beside = file.with_name(f"{file.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
        written.write(b"".join(key + b"\n" for key in keys))
        written.flush()
        os.fsync(written.fileno())
    beside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
