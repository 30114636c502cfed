"""Unsaved form input, kept in memory for an hour."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from rally_accelerate.server.permissions import Actor

Item = TypeVar("Item")

LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Item]):
    actor_id: str
    #: By a clock that no one sets.
    stored_at: float
    item: Item


class ExpiringStore(Generic[Item]):
    """Things of one kind.

    Args:
        most: So many are kept; the oldest give way.
    """

    def __init__(self, *, most: int) -> None:
        self._max_items = most
        self._entries: dict[str, _Entry[Item]] = {}

    def choose_key(self, actor: Actor, requested_key: str = "") -> str:
        """Return the given key if this actor has an item under it, else a new key."""
        return requested_key if self.get(actor, requested_key) is not None else secrets.token_urlsafe(16)

    def put(self, actor: Actor, key: str, what: Item) -> None:
        """Store an item under a key from ``choose_key``, replacing any earlier item."""
        self._entries.pop(key, None)
        self._entries[key] = _Entry(actor.id, time.monotonic(), what)
        self._evict()

    def get(self, actor: Actor, key: str) -> Item | None:
        """Return this actor's item under a key, or None."""
        self._evict()
        result = self._entries.get(key)
        return result.item if result is not None and result.actor_id == actor.id else None

    def delete(self, actor: Actor, key: str) -> None:
        """Delete an item."""
        if self.get(actor, key) is not None:
            del self._entries[key]

    def _evict(self) -> None:
        oldest = time.monotonic() - LIFETIME.total_seconds()
        # In the order in which they were put.
        for key, cached in list(self._entries.items()):
            if cached.stored_at < oldest or len(self._entries) > self._max_items:
                del self._entries[key]


#: So many drafts are remembered.
MAX_DRAFTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was typed so far."""

    id: str
    #: The integration that is edited; empty for a new one.
    integration_id: str
    #: What is not secret, by the names of the form.
    values: Mapping[str, str] = field(repr=False)
    #: Secrets by the names of properties.
    secrets: Mapping[str, str] = field(repr=False)
    #: Stored secrets that are to be forgotten.
    cleared: frozenset[str] = frozenset()
    #: The page where a user began who typed nothing, and goes back to; empty for the form.
    origin: str = ""


class DraftStore:
    """The drafts of a server."""

    def __init__(self) -> None:
        self._drafts: ExpiringStore[Draft] = ExpiringStore(most=MAX_DRAFTS)
        #: What became of drafts: browsers go back to their addresses.
        self._saved: ExpiringStore[str] = ExpiringStore(most=MAX_DRAFTS)

    def store(
        self,
        actor: Actor,
        integration_id: str,
        *,
        values: Mapping[str, str],
        secrets_typed: Mapping[str, str],
        cleared: frozenset[str] = frozenset(),
        draft_id: str = "",
        origin: str = "",
    ) -> Draft:
        """Keep what was typed; in place of the draft of an id, if it is this actor's.

        Args:
            actor: Who typed it.
            integration_id: What is edited; empty for a new one.
            values: What is not secret.
            secrets_typed: What is.
            cleared: Stored secrets that are to be forgotten.
            draft_id: The draft that it continues from.
            origin: The page where a user began who typed nothing.
        """
        draft = Draft(
            id=self._drafts.choose_key(actor, draft_id),
            integration_id=integration_id,
            values=dict(values),
            secrets=dict(secrets_typed),
            cleared=cleared,
            origin=origin,
        )
        self._drafts.put(actor, draft.id, draft)
        return draft

    def get(self, actor: Actor, draft_id: str) -> Draft | None:
        """Return a draft of this actor, or None."""
        return self._drafts.get(actor, draft_id)

    def mark_saved(self, actor: Actor, draft_id: str, integration_id: str) -> None:
        """Delete a draft that was saved; remember the integration that it was saved as."""
        self._drafts.delete(actor, draft_id)
        self._saved.put(actor, draft_id, integration_id)

    def get_saved_integration_id(self, actor: Actor, draft_id: str) -> str:
        """Return the integration that a draft was saved as; empty if it was not saved or has expired."""
        return self._saved.get(actor, draft_id) or ""
