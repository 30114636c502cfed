"""Password generation, checks and scrypt hashes, which record their cost parameters."""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

#: Neither 0 and o nor 1, i and l: a password is read from a terminal and typed elsewhere.
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, GROUP_LETTERS = 4, 4

MIN_LENGTH, MAX_LENGTH = 10, 200

SALT_BYTES, HASH_BYTES = 16, 32


@dataclass(frozen=True, slots=True)
class Cost:
    """What a guess costs: memory (128 * n * r bytes) and time."""

    n: int
    r: int
    p: int


#: One of the equal choices of OWASP's password storage cheat sheet: 32 MiB and about a quarter of a second.
COST = Cost(2**15, 8, 3)

#: A guess takes this much memory: so many at a time, and no more.
_executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="passwords")


def generate() -> str:
    """Generate a random password that is easy to type: 79 bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(GROUP_LETTERS)) for _ in range(GROUPS))


def find_problem(password: str, *, name: str) -> str:
    """Return the problem with a chosen password; empty if it is acceptable."""
    if len(password) < MIN_LENGTH:
        return f"needs at least {MIN_LENGTH} characters"
    if len(password) > MAX_LENGTH:
        return f"must not be longer than {MAX_LENGTH} characters"
    if password.casefold() == name.casefold():
        return "must differ from the name"
    if len(set(password)) == 1:
        return "must not be one character over and over"
    return ""


async def hash_password(password: str) -> str:
    """Hash a password as ``scrypt$n$r$p$salt$hash``."""
    salt = os.urandom(SALT_BYTES)
    return _format_hash(COST, salt, await _derive_hash(password, salt, COST))


async def verify(password: str, stored_hash: str) -> bool:
    """Return whether a password matches a stored hash; an empty hash takes as long as any other.

    Args:
        password: What a user typed.
        stored_hash: From ``hashed``; empty when there is no such user.
    """
    cost, salt, known = _parse_hash(stored_hash) if stored_hash else (COST, bytes(SALT_BYTES), b"")
    return hmac.compare_digest(await _derive_hash(password, salt, cost), known)


def needs_rehash(stored_hash: str) -> bool:
    """Return whether a hash has other cost parameters than the current ones."""
    return _parse_hash(stored_hash)[0] != COST


async def _derive_hash(password: str, salt: bytes, cost: Cost) -> bytes:
    # One letter has several codings, and keyboards differ. What is longer than allowed is cut: a guess is bounded work.
    existing = unicodedata.normalize("NFKC", password[: 2 * MAX_LENGTH]).encode(errors="surrogatepass")
    return await asyncio.get_running_loop().run_in_executor(_executor, _scrypt, existing, salt, cost)


def _scrypt(password: bytes, salt: bytes, cost: Cost) -> bytes:
    memory = 128 * cost.r * (cost.n + cost.p + 2)
    return hashlib.scrypt(
        password, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=2 * memory + 2**20, dklen=HASH_BYTES
    )


def _format_hash(cost: Cost, salt: bytes, derived: bytes) -> str:
    parts = [base64.b64encode(one).decode() for one in (salt, derived)]
    return "$".join(["scrypt", str(cost.n), str(cost.r), str(cost.p), *parts])


def _parse_hash(stored_hash: str) -> tuple[Cost, bytes, bytes]:
    _, n, r, p, salt, derived = stored_hash.split("$")
    return Cost(int(n), int(r), int(p)), base64.b64decode(salt), base64.b64decode(derived)
