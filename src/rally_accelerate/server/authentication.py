"""Authentication: passwords, one-time links, sessions, access keys and throttling of failed sign-ins."""

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

from rally_accelerate.errors import OutdatedError
from rally_accelerate.observe.run_summary import format_duration
from rally_accelerate.server.permissions import SYSTEM_ACTOR, Actor, Role
from rally_accelerate.server.store.credentials import Session
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.users import User, fold_name

#: How many failures cost nothing: of one name from one address, of one name from anywhere, from one address at all.
#: The wider ones are larger, so that no one locks a colleague out from elsewhere.
FREE_ATTEMPTS = {"both": 5, "name": 40, "address": 40}

FIRST_WAIT, MAX_WAIT = 2.0, 900.0

#: A failure is forgotten after a day without another.
FORGET_SECONDS = 86_400.0

#: So many names and addresses are remembered; beyond, the oldest is forgotten.
MAX_ENTRIES = 10_000


@dataclass(slots=True)
class _Failures:
    count: int
    latest: float


class SignInThrottle:
    """The failed attempts of one process. Instants are seconds of any clock that only rises."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str, str], _Failures] = OrderedDict()

    def compute_wait(self, name: str, address: str, *, now: float) -> float:
        """Return how many seconds to wait before the next attempt; 0 if none."""
        return max(self._compute_wait(key, now) for key in _throttle_keys(name, address))

    def record_failure(self, name: str, address: str, *, now: float) -> int:
        """Note an attempt before its password is looked at, so that many at once are counted too.

        Returns:
            How many of this name from this address have failed in a row, with this one.
        """
        for key in _throttle_keys(name, address):
            result = self._failures.pop(key, None)
            if result is None or now - result.latest > FORGET_SECONDS:
                result = _Failures(0, now)
            result.count += 1
            result.latest = now
            self._failures[key] = result
        while len(self._failures) > MAX_ENTRIES:
            self._failures.popitem(last=False)
        return self._failures[_throttle_keys(name, address)[0]].count

    def withdraw_failure(self, name: str, address: str) -> None:
        """Take back the attempt that was noted: it was no failure."""
        both, *wider = _throttle_keys(name, address)
        self._failures.pop(both, None)
        for key in wider:
            if failure := self._failures.get(key):
                failure.count -= 1

    def _compute_wait(self, key: tuple[str, str, str], now: float) -> float:
        failure = self._failures.get(key)
        if failure is None or failure.count < FREE_ATTEMPTS[key[0]]:
            return 0.0
        waits = min(FIRST_WAIT * 2.0 ** min(failure.count - FREE_ATTEMPTS[key[0]], 20), MAX_WAIT)
        return max(0.0, failure.latest + waits - now)


def _throttle_keys(name: str, address: str) -> list[tuple[str, str, str]]:
    # As names are looked up: every spelling that signs the same user in is a guess at the same password.
    name = fold_name(name)[:100]
    return [("both", name, address), ("name", name, ""), ("address", "", address)]


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller."""

    actor: Actor
    #: The user; None for the server itself and its own keys.
    user: User | None = None
    #: The session it was recognised by; None for keys.
    session: Session | None = None
    #: The id of the access key it was recognised by; empty for sessions.
    key_id: str = ""


class Authenticator:
    """Authenticates callers.

    Args:
        stores: Where sessions and keys are known.
        inside_key: The key of the server's own runs; it never leaves the process.
    """

    def __init__(self, stores: Stores, *, inside_key: str) -> None:
        self._stores = stores
        self._inside_key = inside_key

    async def authenticate_header(self, header: str) -> Identity | None:
        """Return the identity of an ``Authorization`` header (accelerate-api-notes.md#endpoint), or None."""
        scheme, _, key = header.partition(" ")
        key = key.strip()
        if scheme.lower() not in {"useraccesskey", "bearer"} or not key:
            return None
        if secrets.compare_digest(key.encode(errors="surrogatepass"), self._inside_key.encode()):
            return Identity(SYSTEM_ACTOR)
        result = await self._stores.keys.authenticate(key)
        if result is None:
            return None
        actor, key_id = result
        return Identity(actor, key_id=key_id)

    async def authenticate_session(self, token: str) -> Identity | None:
        """Return the identity of a session token, or None."""
        result = await self._stores.sessions.find(token) if token else None
        if result is None:
            return None
        session, user = result
        return Identity(user.actor, user, session)


#: How long a sign-in link lasts.
LINK_LIFETIME = timedelta(minutes=10)

ANONYMOUS = Actor("", "nobody", Role.VIEWER)

LINK_INVALID = "This link has been used, or is too old. Sign in with your password."
WRONG_CREDENTIALS = "The name or the password is wrong."


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientInfo:
    """Where a sign-in comes from."""

    address: str
    #: The browser, as it calls itself.
    agent: str
    #: The token of the session that the browser had before, or nothing.
    token: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that succeeded."""

    user: User
    token: str


@dataclass(frozen=True, slots=True)
class SignInRefusal:
    """A sign-in that did not."""

    text: str
    #: How many seconds until the next attempt is heard; 0 when it is heard at once.
    wait: int = 0


class SignInService:
    """Signs users in with passwords and one-time links."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._throttle = SignInThrottle()
        #: The digests of the links that no one has followed yet: whose, and until when by a clock that no one sets.
        self._links: dict[str, tuple[str, float]] = {}

    async def sign_in_with_password(self, name: str, password: str, *, caller: ClientInfo) -> SignedIn | SignInRefusal:
        """Sign in with name and password."""
        now = time.monotonic()
        if (wait := self._throttle.compute_wait(name, caller.address, now=now)) > 0:
            return _make_wait_refusal(wait)
        failures = self._throttle.record_failure(name, caller.address, now=now)
        proven = await self._stores.users.verify_password(name, password)
        if proven is None:
            # A name that no one has is not kept: people type passwords into the wrong field.
            known = await self._stores.users.by_name(name)
            await self._stores.audit.record(
                ANONYMOUS,
                "failed to sign in",
                kind="user",
                object_id=known.id if known else "",
                name=known.name if known else "an unknown name",
                detail={"address": caller.address, "failures": failures},
            )
            wait = self._throttle.compute_wait(name, caller.address, now=time.monotonic())
            return _make_wait_refusal(wait, f"{WRONG_CREDENTIALS} ") if wait > 0 else SignInRefusal(WRONG_CREDENTIALS)
        self._throttle.withdraw_failure(name, caller.address)
        if proven.user.disabled:
            return SignInRefusal("This user is disabled. Ask an administrator of this server.")
        try:
            return await self._complete_sign_in(proven.user, caller, how="password", proof=proven.password_hash)
        except OutdatedError:
            return SignInRefusal(WRONG_CREDENTIALS)

    async def verify_password(self, user: User, password: str, *, caller: ClientInfo) -> SignInRefusal | None:
        """Return None if the password is that of the signed-in user; throttle guesses as at sign-in."""
        now = time.monotonic()
        if (wait := self._throttle.compute_wait(user.name, caller.address, now=now)) > 0:
            return _make_wait_refusal(wait)
        self._throttle.record_failure(user.name, caller.address, now=now)
        if await self._stores.users.by_password(user.name, password) is None:
            return SignInRefusal("This is not your present password.")
        self._throttle.withdraw_failure(user.name, caller.address)
        return None

    def create_link(self, user: User) -> str:
        """Create a one-time sign-in link for a user, valid for ten minutes; return its token."""
        token = secrets.token_urlsafe(32)
        self._links[_compute_digest(token)] = (user.id, time.monotonic() + LINK_LIFETIME.total_seconds())
        return token

    async def sign_in_with_link(self, token: str, *, caller: ClientInfo) -> SignedIn | SignInRefusal:
        """Sign in with the token of a link, which is used up by it."""
        user_id, until = self._links.pop(_compute_digest(token), ("", -math.inf))
        user = await self._stores.users.by_id(user_id) if time.monotonic() < until else None
        if user is None or user.disabled:
            return SignInRefusal(LINK_INVALID)
        try:
            return await self._complete_sign_in(user, caller, how="link")
        except OutdatedError:
            return SignInRefusal(LINK_INVALID)

    async def create_session(self, user: User, *, caller: ClientInfo, proof: str = "") -> str:
        """Create a session for a user whose other sessions were ended; return its token.

        Raises:
            OutdatedError: What proved who it is does not any more.
        """
        return await self._stores.sessions.create(user.id, address=caller.address, agent=caller.agent, proof=proof)

    async def _complete_sign_in(self, user: User, caller: ClientInfo, *, how: str, proof: str = "") -> SignedIn:
        # A new token for each sign-in: one that was planted before is worth nothing after it.
        if caller.token:
            await self._stores.sessions.end_token(caller.token)
        token = await self.create_session(user, caller=caller, proof=proof)
        detail = {"address": caller.address, "with": how}
        await self._stores.audit.record(
            user.actor, "signed in", kind="user", object_id=user.id, name=user.name, detail=detail
        )
        return SignedIn(user, token)


def _make_wait_refusal(wait: float, before: str = "") -> SignInRefusal:
    seconds = math.ceil(wait)
    return SignInRefusal(
        f"{before}After several failures you have to wait: try again in {format_duration(seconds)}.", seconds
    )


def _compute_digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
