"""Secure properties are encrypted at rest; the key lies beside the database, readable by its owner alone."""

import json
import logging
import os
from collections.abc import Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from rally_accelerate.config.load import LEVEL_KEYS
from rally_accelerate.config.model import Properties
from rally_accelerate.config.private_files import (
    close_to_others,
    make_private_folder,
    read_small_file,
    replace_private_file,
)
from rally_accelerate.errors import StoreError

log = logging.getLogger(__name__)

#: A key has 45 bytes; a file that is larger than this holds something else.
MOST_BYTES = 65_536

#: What an encrypted value looks like in the store.
MARK = "encrypted"

#: Shown instead of a secret, and understood as "keep what you have" when it comes back.
MASK = "****"

SECURE = frozenset(
    field.alias or name
    for name, field in Properties.model_fields.items()
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra["kind"] == "Secure"
)


KNOWN = frozenset(field.alias or name for name, field in Properties.model_fields.items())


#: The keys of an integration in the file of a value stream (accelerate-api-notes.md#integrations-in-the-file). Under
#: any other there can be a secret, as in its settings.
ENVELOPE = frozenset(
    {"name", "type", "tenant_id", "tenantId", "properties", "image", "disabled"}
    | {"_id", "status", "startTime", "latest", "loggingLevel"}
)


class Vault:
    """Encrypts and decrypts with the keys of one file, the newest first."""

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    @classmethod
    def beside(cls, database: Path) -> "Vault":
        """The vault of a database; its key is made at the first start.

        Raises:
            StoreError: The key file cannot be read or made.
        """
        path = key_file(database)
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

    def sealed(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Properties with every secure value encrypted."""
        return {
            # What only looks encrypted is encrypted as well: it must come back as it was, and not as a broken secret.
            name: self._seal(value) if _is_secret(name, value) or is_sealed(value) else value
            for name, value in properties.items()
        }

    def opened(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Properties with every secure value in clear.

        Raises:
            StoreError: The key file is not the one that encrypted them.
        """
        try:
            return {name: self._open(value) for name, value in properties.items()}
        except InvalidToken as error:
            raise StoreError(
                "the secrets in the database cannot be read with the key file beside it",
                hint="Bring back the key file that belongs to this database, or enter the secrets again.",
            ) from error

    def _seal(self, value: Any) -> dict[str, str]:
        return {MARK: self._fernet.encrypt(json.dumps(value).encode()).decode()}

    def _open(self, value: Any) -> Any:
        return self.read(value[MARK]) if is_sealed(value) else value

    def read(self, token: str) -> Any:
        """The value of an encrypted text.

        Raises:
            InvalidToken: None of the keys encrypted it.
        """
        return json.loads(self._fernet.decrypt(token.encode()))


def key_file(database: Path) -> Path:
    """Where the keys of a database lie: one a line, the one that encrypts first, others still decrypt."""
    return Path(f"{database}.key")


def read_keys(file: Path) -> list[bytes]:
    """Return the keys in a file, in the order of its lines.

    Raises:
        OSError: It is missing, cannot be read, or is no file of keys.
    """
    return read_small_file(file, MOST_BYTES).split()


class KeyState(Enum):
    """What can be said of a key file without looking at a secret."""

    MISSING = auto()
    #: Empty, cut, or otherwise without a key in its form.
    DAMAGED = auto()
    USABLE = auto()


def key_state(file: Path) -> KeyState:
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


def masked(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties as people and clients may see them."""
    return {name: MASK if _is_secret(name, value) else value for name, value in properties.items()}


def strays(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an integration in a file holds under unknown keys next to its settings."""
    return {name: value for name, value in entry.items() if is_stray(name)}


def is_stray(name: str) -> bool:
    """Return whether a key of an integration in a file is unknown."""
    return name not in ENVELOPE and name.lower() not in LEVEL_KEYS


def secret_values(properties: Mapping[str, Any]) -> list[str]:
    """Every secret of some properties, right or wrong, in the forms in which it may come back: for a redactor."""
    found = [str(value) for name, value in properties.items() if _is_secret(name, value)]
    credentials, at, _ = str(properties.get("proxyServer") or "").partition("://")[2].rpartition("@")
    if at:
        found += [credentials, *(part for part in credentials.split(":", 1) if part)]
    if properties.get("username") and properties.get("password"):
        # Basic credentials travel as one encoded text.
        found.append(f"{properties['username']}:{properties['password']}")
    return found


def is_sealed(value: Any) -> bool:
    """Whether a value, where the vault encrypts, is encrypted."""
    return isinstance(value, dict) and set(value) == {MARK}


def _is_secret(name: str, value: Any) -> bool:
    """Secure properties, whatever is not known (a misspelt key is a key), and addresses with credentials inside."""
    return bool(value) and (name in SECURE or name not in KNOWN or (name == "proxyServer" and "@" in str(value)))
