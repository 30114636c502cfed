"""What the platform hands over for a run of the event, read tolerantly; pure.

See accelerate-api-notes.md#run-arguments and accelerate-api-notes.md#encrypted-arguments.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from rally_accelerate.config.load import Loaded, load_from_platform
from rally_accelerate.config.model import DEFAULT_TENANT, PLUGIN_ID
from rally_accelerate.config.value_parsers import as_level, as_text
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.model.lenient_json import JsonDecodeError, parse_json

SALTED = b"Salted__"
SALT_BYTES = 8
KEY_BYTES = 32
BLOCK_BYTES = 16

#: What base64 of ``Salted__`` begins with.
_LOOKS_ENCRYPTED = re.compile(r"\s*U2FsdGVkX1")

_KEY_HINT = "Add the integration anew, or upgrade it, so that the platform hands over a matching key."


def looks_encrypted(text: str) -> bool:
    """Return whether an argument is encrypted rather than JSON."""
    return _LOOKS_ENCRYPTED.match(text) is not None


def decrypt(text: str, passphrase: str, *, name: str) -> str:
    """Decrypt an argument.

    Args:
        text: Base64 of ``Salted__``, eight bytes of salt and the encrypted text.
        passphrase: The content of the key file.
        name: What the argument is called in messages.

    Raises:
        ConfigError: It is not encrypted, cut off, or encrypted with another key. Nothing of it is in the message.
    """
    if text.lstrip().startswith(("{", "[")):
        raise ConfigError(
            f"{name} is plain text, but the key file encryptKey exists, so it must be encrypted",
            hint="Remove the file encryptKey from the working directory, or pass encrypted arguments.",
        )
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"{name} cannot be decrypted: it is not base64 text", hint=_KEY_HINT) from None
    body = raw[len(SALTED) + SALT_BYTES :]
    if not raw.startswith(SALTED) or not body or len(body) % BLOCK_BYTES:
        raise ConfigError(
            f"{name} cannot be decrypted: it is truncated or encrypted with another method", hint=_KEY_HINT
        )
    clear = _decrypt_body(body, passphrase, salt=raw[len(SALTED) : len(SALTED) + SALT_BYTES])
    if clear is None:
        raise ConfigError(f"{name} cannot be decrypted: it is encrypted with another key", hint=_KEY_HINT)
    return clear


def _decrypt_body(body: bytes, passphrase: str, *, salt: bytes) -> str | None:
    # Only where it is needed: importing it takes longer than everything else here.
    from cryptography.hazmat.primitives import padding  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    key, start = _derive_key(passphrase.encode(), salt)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(start)).decryptor()
    unpadder = padding.PKCS7(BLOCK_BYTES * 8).unpadder()
    try:
        padded = decryptor.update(body) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except (ValueError, UnicodeDecodeError):
        return None


def _derive_key(passphrase: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Derive key and initialization vector like OpenSSL's ``EVP_BytesToKey``."""
    derived, block = b"", b""
    while len(derived) < KEY_BYTES + BLOCK_BYTES:
        block = hashlib.md5(block + passphrase + salt, usedforsecurity=False).digest()
        derived += block
    return derived[:KEY_BYTES], derived[KEY_BYTES : KEY_BYTES + BLOCK_BYTES]


PROCESS = "the first argument (processProps)"
VELOCITY = "the second argument (velocityProps)"

#: Up to here a number of ``lastRun`` is seconds, beyond it milliseconds: in milliseconds it is the third of March 1973,
#: in seconds the year 5138.
MOST_SECONDS = 100_000_000_000

#: Words in names of values that must never be shown, whoever gave them.
_SECRET_WORDS = ("key", "token", "password", "secret", "credential", "authorization")

#: A key of the integration's that the platform makes, and the one that is entered by hand
#: (accelerate-api-notes.md#property-values).
_ACCESS_KEYS = ("_useraccesskey", "ucvaccesskey", "useraccesskey")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """What the platform says of the run (accelerate-api-notes.md#run-arguments)."""

    #: When the event ran last; None when it never did, or when that is not told.
    last_run: datetime | None
    #: From when on everything is to be sent again; None when nobody asked. The epoch means everything.
    delta_time: datetime | None
    tracker_id: str
    tenant_id: str
    #: The server's address, with or without ``/graphql``.
    api_server_url: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The two arguments, taken apart."""

    state: RunState
    loaded: Loaded
    access_key: SecretStr
    #: ``state`` as handed over: a server may give back in it what it was asked to keep.
    handed: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RawArguments:
    """The two arguments as JSON, not yet understood; every secret in them is known."""

    state: Mapping[str, Any]
    properties: Mapping[str, Any]
    level: str
    secrets: tuple[str, ...] = field(repr=False)


def read(process: str, velocity: str, *, passphrase: str = "") -> RawArguments:
    """Parse the arguments as JSON.

    Args:
        process: ``{"state": {…}, "properties": {…}, "loggingLevel": "INFO"}``, encrypted if there is a passphrase.
        velocity: A JSON object, encrypted likewise. A scheduled event makes no use of it.
        passphrase: The content of the file ``encryptKey``; empty without such a file.

    Raises:
        ConfigError: They cannot be read. What they hold is not in the message.
    """
    parsed = _object(process, PROCESS, passphrase)
    _object(velocity, VELOCITY, passphrase)
    problems = [
        Problem(name, "is missing" if parsed.get(name) is None else "must be an object")
        for name in ("state", "properties")
        if not isinstance(parsed.get(name), Mapping)
    ]
    if problems:
        raise ConfigError(
            f"{PROCESS} is not valid for a scheduled event",
            problems=problems,
            hint='Use JSON such as {"state": {...}, "properties": {...}, "loggingLevel": "INFO"}.',
        )
    state, properties = parsed["state"], parsed["properties"]
    level = as_level(_level(parsed) or _level(properties))
    return RawArguments(state, properties, level, tuple(dict.fromkeys(_secrets(parsed))))


def validate(raw: RawArguments) -> Arguments:
    """Validate the arguments.

    Raises:
        ConfigError: With every problem.
    """
    problems: list[Problem] = []
    state = _state(raw.state, problems)
    loaded = None
    envelope = {
        "name": state.name or PLUGIN_ID,
        "_id": state.tracker_id,
        "tenant_id": state.tenant_id,
        "loggingLevel": raw.level,
    }
    try:
        loaded = load_from_platform(raw.properties, envelope)
    except ConfigError as error:
        problems += error.problems
    unread = {problem.path for problem in problems}
    if not state.tracker_id and "state.trackerId" not in unread:
        problems.append(Problem("state.trackerId", "is missing (the ID of the integration)"))
    if not (
        state.api_server_url
        or "state.apiServerUrl" in unread
        or (loaded and loaded.integration.properties.accelerate_url)
    ):
        problems.append(Problem("state.apiServerUrl", "is missing (the URL of the Accelerate server)"))
    key = _access_key(raw.properties)
    if not key and "properties.ucvAccessKey" not in unread:
        text = "no user access key; edit and save the integration, so that the server makes one, or enter ucvAccessKey"
        problems.append(Problem("properties._userAccessKey", text))
    if problems or loaded is None:
        raise ConfigError("the integration's settings cannot be used", problems=problems)
    return Arguments(state=state, loaded=loaded, access_key=SecretStr(key), handed=raw.state)


def _object(text: str, name: str, passphrase: str) -> dict[str, Any]:
    text = text.strip()
    if passphrase:
        text = decrypt(text, passphrase, name=name)
    elif looks_encrypted(text):
        raise ConfigError(
            f"{name} is encrypted, but there is no key file",
            hint="The file encryptKey must be in the working directory of the container.",
        )
    try:
        parsed = parse_json(text).data if text else None
    except JsonDecodeError as error:
        # The decoder's own text is fine, its excerpt is not: the argument may be all secrets.
        raise ConfigError(f"{name} is not valid JSON: {error.reason} at character {error.position + 1}") from None
    if not isinstance(parsed, dict):
        raise ConfigError(f"{name} must be a JSON object" if text else f"{name} is empty")
    return parsed


def _state(raw_state: Mapping[str, Any], problems: list[Problem]) -> RunState:
    lower = {str(key).lower(): value for key, value in raw_state.items()}

    def text(name: str) -> str:
        value = as_text(lower.get(name.lower()))
        if isinstance(value, str):
            return value
        problems.append(Problem(f"state.{name}", "must be a string"))
        return ""

    return RunState(
        last_run=_instant(lower.get("lastrun"), "state.lastRun", problems, zero_is_never=True),
        delta_time=_instant(lower.get("deltatime"), "state.deltaTime", problems, zero_is_never=False),
        tracker_id=text("trackerId") or text("id"),
        tenant_id=text("tenantId") or DEFAULT_TENANT,
        api_server_url=text("apiServerUrl"),
        name=text("name"),
    )


def _instant(value: Any, path: str, problems: list[Problem], *, zero_is_never: bool) -> datetime | None:
    """Parse an instant in seconds or milliseconds, as a number or text, or in ISO form; negative means none."""
    try:
        if value in (None, ""):
            return None
        if isinstance(value, bool):
            raise TypeError  # noqa: TRY301 - true is no number here
        if isinstance(value, str) and not value.strip().lstrip("-").replace(".", "", 1).isdigit():
            found = datetime.fromisoformat(value.strip())
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        number = float(value)
        if number < 0 or (number == 0 and zero_is_never):
            return None
        return datetime.fromtimestamp(number if number < MOST_SECONDS else number / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        problems.append(Problem(path, "must be an instant in milliseconds since 1970"))
        return None


def _access_key(properties: Mapping[str, Any]) -> str:
    lower = {str(key).lower(): value for key, value in properties.items()}
    found = (lower.get(name) for name in _ACCESS_KEYS)
    return next((value.strip() for value in found if isinstance(value, str) and value.strip()), "")


def _level(raw: Mapping[str, Any]) -> Any:
    return next((value for key, value in raw.items() if str(key).lower() in {"logginglevel", "loglevel"}), None)


def _secrets(value: Any, *, secret: bool = False) -> Iterator[str]:
    """Return all values whose names mark them as secrets, at any depth."""
    match value:
        case str() if secret:
            yield value
            yield value.strip()
        case int() if secret and not isinstance(value, bool):
            yield str(value)
        case Mapping():
            for key, inner in value.items():
                yield from _secrets(inner, secret=secret or any(word in str(key).lower() for word in _SECRET_WORDS))
        case list():
            for inner in value:
                yield from _secrets(inner, secret=secret)
