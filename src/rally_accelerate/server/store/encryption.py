"""Encryption of secrets at rest, with a key file next to the database that only its owner can read."""

import json
import logging
import os
from collections.abc import Callable, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.config.load import LEVEL_KEYS
from rally_accelerate.config.model import Properties
from rally_accelerate.config.private_files import (
    close_to_others,
    make_private_folder,
    read_small_file,
    replace_private_file,
)
from rally_accelerate.errors import StoreError
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.tables import integrations, value_stream_versions

log = logging.getLogger(__name__)

#: A key has 45 bytes; a file that is larger than this holds something else.
MAX_KEY_FILE_BYTES = 65_536

#: What an encrypted value looks like in the store.
ENCRYPTED_KEY = "encrypted"

#: Shown instead of a secret, and understood as "keep what you have" when it comes back.
MASK = "****"

SECURE_PROPERTIES = frozenset(
    field.alias or name
    for name, field in Properties.model_fields.items()
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra["kind"] == "Secure"
)


KNOWN_PROPERTIES = frozenset(field.alias or name for name, field in Properties.model_fields.items())


#: The keys of an integration in the file of a value stream (accelerate-api-notes.md#integrations-in-the-file). Under
#: any other there can be a secret, as in its settings.
ENVELOPE_KEYS = frozenset(
    {"name", "type", "tenant_id", "tenantId", "properties", "image", "disabled"}
    | {"_id", "status", "startTime", "latest", "loggingLevel"}
)


class Vault:
    """Encrypts and decrypts with the keys of one file, the newest first."""

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    @classmethod
    def open_for(cls, database: Path) -> "Vault":
        """Open the vault of a database; create its key at the first start.

        Raises:
            StoreError: The key file cannot be read or made.
        """
        path = get_key_file(database)
        try:
            if not os.path.lexists(path):
                make_private_folder(path.parent)
                make_key_file(path)
            elif close_to_others(path):
                log.warning(
                    "other users of this machine could read the key file %s; it is closed to them now. If one of them "
                    "may have read it, stop the server, run rally-accelerate secrets rotate, and change the secrets",
                    path,
                )
            return cls(read_keys(path))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the key file {path} cannot be used",
                hint="It belongs to the database beside it; bring it back from your backup.",
            ) from error

    def encrypt_secrets(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return properties with every secret encrypted."""
        return {
            # What only looks encrypted is encrypted as well: it must come back as it was, and not as a broken secret.
            name: self._encrypt(value) if _is_secret(name, value) or is_encrypted(value) else value
            for name, value in properties.items()
        }

    def decrypt_secrets(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return properties with every secret decrypted.

        Raises:
            StoreError: The key file is not the one that encrypted them.
        """
        try:
            return {name: self._decrypt(value) for name, value in properties.items()}
        except InvalidToken as error:
            raise StoreError(
                "the secrets in the database cannot be read with the key file beside it",
                hint="Bring back the key file that belongs to this database, or enter the secrets again.",
            ) from error

    def _encrypt(self, value: Any) -> dict[str, str]:
        return {ENCRYPTED_KEY: self._fernet.encrypt(json.dumps(value).encode()).decode()}

    def _decrypt(self, value: Any) -> Any:
        return self.decrypt_token(value[ENCRYPTED_KEY]) if is_encrypted(value) else value

    def decrypt_token(self, token: str) -> Any:
        """Decrypt a value.

        Raises:
            InvalidToken: None of the keys encrypted it.
        """
        return json.loads(self._fernet.decrypt(token.encode()))


def get_key_file(database: Path) -> Path:
    """Return the path of a database's key file: one key a line, the encrypting one first."""
    return Path(f"{database}.key")


def read_keys(file: Path) -> list[bytes]:
    """Return the keys in a file, in the order of its lines.

    Raises:
        OSError: It is missing, cannot be read, or is no file of keys.
    """
    return read_small_file(file, MAX_KEY_FILE_BYTES).split()


class KeyState(Enum):
    """What can be said of a key file without looking at a secret."""

    MISSING = auto()
    #: Empty, cut, or otherwise without a key in its form.
    DAMAGED = auto()
    USABLE = auto()


def read_key_state(file: Path) -> KeyState:
    """Return whether a key file is there and holds keys.

    Raises:
        StoreError: It is there and cannot be read.
    """
    try:
        keys = read_keys(file)
    except FileNotFoundError:
        return KeyState.MISSING
    except OSError as error:
        raise StoreError(
            f"the key file {file} cannot be read: {error.strerror}",
            hint="It must be a file of keys that the user who runs the server can read, or a link to one.",
        ) from error
    try:
        return KeyState.USABLE if [Fernet(key) for key in keys] else KeyState.DAMAGED
    except ValueError:
        return KeyState.DAMAGED


def make_key_file(file: Path) -> None:
    """Write a new key in one step: a crash leaves the whole file or none.

    Raises:
        OSError: The file cannot be written.
    """
    replace_private_file(file, Fernet.generate_key() + b"\n")


def mask_secrets(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties with masked secrets, for people and clients."""
    return {name: MASK if _is_secret(name, value) else value for name, value in properties.items()}


def select_unknown_keys(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an integration in a file holds under unknown keys next to its settings."""
    return {name: value for name, value in entry.items() if is_unknown_key(name)}


def is_unknown_key(name: str) -> bool:
    """Return whether a key of an integration in a file is unknown."""
    return name not in ENVELOPE_KEYS and name.lower() not in LEVEL_KEYS


def list_secret_values(properties: Mapping[str, Any]) -> list[str]:
    """Return every secret of properties, in all forms that may appear in texts, for a redactor."""
    result = [str(value) for name, value in properties.items() if _is_secret(name, value)]
    credentials, at, _ = str(properties.get("proxyServer") or "").partition("://")[2].rpartition("@")
    if at:
        result += [credentials, *(part for part in credentials.split(":", 1) if part)]
    if properties.get("username") and properties.get("password"):
        # Basic credentials travel as one encoded text.
        result.append(f"{properties['username']}:{properties['password']}")
    return result


def is_encrypted(value: Any) -> bool:
    """Return whether a value, where the vault encrypts, is encrypted."""
    return isinstance(value, dict) and set(value) == {ENCRYPTED_KEY}


def _is_secret(name: str, value: Any) -> bool:
    """Secure properties, whatever is not known (a misspelt key is a key), and addresses with credentials inside."""
    return bool(value) and (
        name in SECURE_PROPERTIES or name not in KNOWN_PROPERTIES or (name == "proxyServer" and "@" in str(value))
    )


#: What is done with the settings of an integration.
Transform = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def transform_settings(document: Mapping[str, Any], treat: Transform) -> dict[str, Any]:
    """Return a value stream's document with the settings of its integrations encrypted or decrypted."""
    entries = [_transform_entry(entry, treat) for entry in document.get("integrations") or ()]
    return {**document, "integrations": entries} if "integrations" in document else dict(document)


def _transform_entry(entry: Mapping[str, Any], treat: Transform) -> dict[str, Any]:
    extra = treat(select_unknown_keys(entry))
    result = {
        name: extra.get(name, value) for name, value in entry.items() if name in extra or not is_unknown_key(name)
    }
    return {**result, "properties": treat(entry["properties"])} if entry.get("properties") else result


async def rewrite_secrets(connection: AsyncConnection, change: Callable[[str], str | None]) -> int:
    """Replace every encrypted value of every table, or delete it for None; return their number."""
    count = 0

    def replace_secrets(properties: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal count
        result = dict(properties)
        for name, value in properties.items():
            if is_encrypted(value):
                count += 1
                after = change(value[ENCRYPTED_KEY])
                if after is None:
                    del result[name]
                else:
                    result[name] = {ENCRYPTED_KEY: after}
        return result

    places: list[tuple[sa.Column[Any], Transform]] = [
        (integrations.c.properties, replace_secrets),
        (value_stream_versions.c.document, lambda document: transform_settings(document, replace_secrets)),
    ]
    for column, treated in places:
        table = column.table
        assert isinstance(table, sa.Table)
        holds = sa.cast(column, sa.Text).contains(f'"{ENCRYPTED_KEY}"')
        result = (await connection.execute(sa.select(*table.primary_key.columns, column).where(holds))).all()
        for *identity, value in result:
            after = treated(value)
            if json.dumps(after) != json.dumps(value):
                pairs = zip(table.primary_key.columns, identity, strict=True)
                this = sa.and_(*(key == part for key, part in pairs))
                await connection.execute(sa.update(table).where(this).values({column: after}))
    return count


async def count_unreadable(database: Database, vault: Vault | None) -> int:
    """Return how many secrets a vault cannot read; without a vault, how many there are."""
    async with database.reading() as connection:
        return await _process_unreadable(connection, vault)


async def delete_unreadable(database: Database, vault: Vault) -> int:
    """Delete every secret that a vault cannot decrypt; return their number."""
    async with database.writing() as connection:
        return await _process_unreadable(connection, vault, drop=True)


async def _process_unreadable(connection: AsyncConnection, vault: Vault | None, *, drop: bool = False) -> int:
    count = 0

    def check_token(token: str) -> str | None:
        nonlocal count
        try:
            if vault is not None:
                vault.decrypt_token(token)
                return token
        except InvalidToken:
            pass
        count += 1
        return None if drop else token

    await rewrite_secrets(connection, check_token)
    return count


async def rotate(path: Path, database: Database) -> int:
    """Encrypt every secret of a database with a new key and drop the old keys; return the number of secrets.

    Whenever it is killed, the key file has every key that some secret needs: the new one is in it before the first
    secret is encrypted with it, and the old ones leave when the last secret is, in a separate transaction.

    Args:
        path: The database's file; the key file lies beside it.
        database: The same, open, and used by no other user.

    Raises:
        StoreError: A secret cannot be read with the keys that there are, or a file cannot be written; nothing is lost.
    """
    file = get_key_file(path)
    new = Fernet.generate_key()
    try:
        keys = [new, *read_keys(file)]
        rotating = MultiFernet([Fernet(key) for key in keys])
        replace_private_file(file, _format_keys(keys))
        async with database.writing() as connection:
            count = await rewrite_secrets(connection, lambda token: rotating.rotate(token.encode()).decode())
        alone = Fernet(new)
        async with database.reading() as connection:
            await rewrite_secrets(connection, lambda token: _check_readable(token, alone))
        # Copies of the old pages are in the log until it is written back.
        await database.checkpoint()
        replace_private_file(file, _format_keys([new]))
    except InvalidToken:
        raise StoreError(
            f"a secret in the database cannot be read with any key in {file}",
            hint="Bring back the key file that belongs to this database, or enter the integration's secrets again.",
        ) from None
    except (OSError, ValueError, SQLAlchemyError) as error:
        raise StoreError(
            f"the secrets could not all be re-encrypted: {error}", hint="Nothing is lost; run the command again."
        ) from error
    return count


def _check_readable(token: str, key: Fernet) -> str:
    key.decrypt(token.encode())
    return token


def _format_keys(keys: list[bytes]) -> bytes:
    return b"".join(key + b"\n" for key in keys)
