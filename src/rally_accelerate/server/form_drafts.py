"""Forms that are being filled in: kept for an hour, so that nothing typed is lost on the way to a preview."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from rally_accelerate.server.permissions import Actor

Thing = TypeVar("Thing")

LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Thing]):
    actor_id: str
    #: By a clock that nobody sets.
    since: float
    what: Thing


class Shelf(Generic[Thing]):
    """Things of one kind.

    Args:
        most: So many are kept; the oldest give way.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._kept: dict[str, _Kept[Thing]] = {}

    def key(self, actor: Actor, wanted: str = "") -> str:
        """The wanted key where this actor keeps something under it, else a new one."""
        return wanted if self.of(actor, wanted) is not None else secrets.token_urlsafe(16)

    def put(self, actor: Actor, key: str, what: Thing) -> None:
        """Keep something under a key of ``key``, in place of what was there."""
        self._kept.pop(key, None)
        self._kept[key] = _Kept(actor.id, time.monotonic(), what)
        self._make_room()

    def of(self, actor: Actor, key: str) -> Thing | None:
        """What this actor keeps under a key, or None."""
        self._make_room()
        found = self._kept.get(key)
        return found.what if found is not None and found.actor_id == actor.id else None

    def drop(self, actor: Actor, key: str) -> None:
        """Forget something: it was saved, or given up."""
        if self.of(actor, key) is not None:
            del self._kept[key]

    def _make_room(self) -> None:
        oldest = time.monotonic() - LIFETIME.total_seconds()
        # In the order in which they were put.
        for key, kept in list(self._kept.items()):
            if kept.since < oldest or len(self._kept) > self._most:
                del self._kept[key]


#: So many drafts are remembered.
MOST = 200


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
    #: The page where somebody began who typed nothing, and goes back to; empty for the form.
    origin: str = ""


class Drafts:
    """The drafts of one host."""

    def __init__(self) -> None:
        self._shelf: Shelf[Draft] = Shelf(most=MOST)
        #: What became of drafts: browsers go back to their addresses.
        self._saved: Shelf[str] = Shelf(most=MOST)

    def keep(
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
            draft_id: The draft that it goes on from.
            origin: The page where somebody began who typed nothing.
        """
        draft = Draft(
            id=self._shelf.key(actor, draft_id),
            integration_id=integration_id,
            values=dict(values),
            secrets=dict(secrets_typed),
            cleared=cleared,
            origin=origin,
        )
        self._shelf.put(actor, draft.id, draft)
        return draft

    def of(self, actor: Actor, draft_id: str) -> Draft | None:
        """A draft of this actor's, or None."""
        return self._shelf.of(actor, draft_id)

    def saved(self, actor: Actor, draft_id: str, integration_id: str) -> None:
        """Forget a draft, but for what it was saved as."""
        self._shelf.drop(actor, draft_id)
        self._saved.put(actor, draft_id, integration_id)

    def saved_as(self, actor: Actor, draft_id: str) -> str:
        """The integration that a draft of this actor's was saved as; empty when it was not, or long ago."""
        return self._saved.of(actor, draft_id) or ""
