"""Another key for the secrets: made, used for all of them, and only then are the old ones dropped."""

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy.exc import SQLAlchemyError

from rally_accelerate.config.private_files import replace_private_file
from rally_accelerate.errors import StoreError
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.sealed import every_secret
from rally_accelerate.host.store.vault import key_file, read_keys


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
        keys = [new, *read_keys(file)]
        rotating = MultiFernet([Fernet(key) for key in keys])
        replace_private_file(file, _lines(keys))
        async with database.writing() as connection:
            count = await every_secret(connection, lambda token: rotating.rotate(token.encode()).decode())
        alone = Fernet(new)
        async with database.reading() as connection:
            await every_secret(connection, lambda token: _readable(token, alone))
        # Copies of the old pages are in the log until it is written back.
        await database.settle()
        replace_private_file(file, _lines([new]))
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


def _readable(token: str, key: Fernet) -> str:
    key.decrypt(token.encode())
    return token


def _lines(keys: list[bytes]) -> bytes:
    return b"".join(key + b"\n" for key in keys)
