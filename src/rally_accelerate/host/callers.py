"""Who asks: by access key, by session, or the host itself."""

import secrets
from dataclasses import dataclass

from rally_accelerate.host.access import HOST, Actor
from rally_accelerate.host.store.sessions import Session
from rally_accelerate.host.store.users import User
from rally_accelerate.host.stores import Stores


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody who was recognised."""

    actor: Actor
    #: The user; None for the host itself and its own keys.
    user: User | None = None
    #: The session it was recognised by; None for keys.
    session: Session | None = None
    #: The id of the access key it was recognised by; empty for sessions.
    key_id: str = ""


class Callers:
    """Recognises who asks.

    Args:
        stores: Where sessions and keys are known.
        inside_key: The key of the host's own runs; it never leaves the process.
    """

    def __init__(self, stores: Stores, *, inside_key: str) -> None:
        self._stores = stores
        self._inside_key = inside_key

    async def by_authorization(self, header: str) -> Known | None:
        """Who gives this ``Authorization`` (accelerate-api-notes.md#endpoint), or None."""
        scheme, _, key = header.partition(" ")
        key = key.strip()
        if scheme.lower() not in {"useraccesskey", "bearer"} or not key:
            return None
        if secrets.compare_digest(key.encode(errors="surrogatepass"), self._inside_key.encode()):
            return Known(HOST)
        found = await self._stores.keys.actor(key)
        if found is None:
            return None
        actor, key_id = found
        return Known(actor, key_id=key_id)

    async def by_token(self, token: str) -> Known | None:
        """Whose browser holds this token, or None."""
        found = await self._stores.sessions.find(token) if token else None
        if found is None:
            return None
        session, user = found
        return Known(user.actor, user, session)
