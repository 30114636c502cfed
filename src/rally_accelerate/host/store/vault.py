"""Secure properties are encrypted at rest; the key lies beside the database, readable by its owner alone."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from rally_accelerate.config.model import Properties
from rally_accelerate.errors import StoreError

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
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(Fernet.generate_key() + b"\n")
            return cls(path.read_bytes().split())
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


def masked(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties as people and clients may see them."""
    return {name: MASK if _is_secret(name, value) else value for name, value in properties.items()}


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
