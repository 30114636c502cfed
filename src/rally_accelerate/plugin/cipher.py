"""The encryption of the container's arguments: OpenSSL's salted AES-256-CBC; pure.

See accelerate-api-notes.md#encrypted-arguments.

The key is derived with one round of MD5 because the platform does so. It keeps arguments out of process lists; nothing
else rests on it.
"""

import base64
import binascii
import hashlib
import re

from rally_accelerate.errors import ConfigError

SALTED = b"Salted__"
SALT_BYTES = 8
KEY_BYTES = 32
BLOCK_BYTES = 16

#: What base64 of ``Salted__`` begins with.
_LOOKS_ENCRYPTED = re.compile(r"\s*U2FsdGVkX1")

_KEY_HINT = "Add the integration anew, or upgrade it, so that the platform hands over a matching key."


def looks_encrypted(text: str) -> bool:
    """Whether an argument is encrypted rather than JSON."""
    return _LOOKS_ENCRYPTED.match(text) is not None


def decrypted(text: str, passphrase: str, *, name: str) -> str:
    """The clear text of an encrypted argument.

    Args:
        text: Base64 of ``Salted__``, eight bytes of salt and the encrypted text.
        passphrase: The content of the key file.
        name: What the argument is called in messages.

    Raises:
        ConfigError: It is not encrypted, cut off, or encrypted with another key. Nothing of it is in the message.
    """
    if text.lstrip().startswith(("{", "[")):
        raise ConfigError(
            f"{name} is plain text, but there is a key file encryptKey: it should be encrypted",
            hint="Remove the file encryptKey from the working directory, or hand over encrypted arguments.",
        )
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"{name} cannot be decrypted: it is not base64 text", hint=_KEY_HINT) from None
    body = raw[len(SALTED) + SALT_BYTES :]
    if not raw.startswith(SALTED) or not body or len(body) % BLOCK_BYTES:
        raise ConfigError(f"{name} cannot be decrypted: it is cut off or encrypted in another way", hint=_KEY_HINT)
    clear = _opened(body, passphrase, salt=raw[len(SALTED) : len(SALTED) + SALT_BYTES])
    if clear is None:
        raise ConfigError(f"{name} cannot be decrypted: it is encrypted with another key", hint=_KEY_HINT)
    return clear


def _opened(body: bytes, passphrase: str, *, salt: bytes) -> str | None:
    # Only where it is needed: importing it takes longer than everything else here.
    from cryptography.hazmat.primitives import padding  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    key, start = _derived(passphrase.encode(), salt)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(start)).decryptor()
    unpadder = padding.PKCS7(BLOCK_BYTES * 8).unpadder()
    try:
        padded = decryptor.update(body) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except (ValueError, UnicodeDecodeError):
        return None


def _derived(passphrase: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Key and initial vector as OpenSSL's ``EVP_BytesToKey`` makes them of a passphrase."""
    made, block = b"", b""
    while len(made) < KEY_BYTES + BLOCK_BYTES:
        block = hashlib.md5(block + passphrase + salt, usedforsecurity=False).digest()
        made += block
    return made[:KEY_BYTES], made[KEY_BYTES : KEY_BYTES + BLOCK_BYTES]
