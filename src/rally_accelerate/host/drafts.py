"""Forms that are being filled in: kept in memory for an hour, so that nothing typed is lost on the way to a preview.

Secrets that were typed stay here and are never sent back to the browser. A draft is known to its author only.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rally_accelerate.host.access import Actor

LIFETIME = timedelta(hours=1)

#: So many drafts are remembered; the oldest give way.
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was typed so far."""

    id: str
    actor_id: str
    #: The integration that is edited; empty for a new one.
    integration_id: str
    #: What is not secret, by the names of the form.
    values: Mapping[str, str] = field(repr=False)
    #: Secrets by the names of properties.
    secrets: Mapping[str, str] = field(repr=False)
    #: Stored secrets that are to be forgotten.
    cleared: frozenset[str] = frozenset()
    kept: datetime


class Drafts:
    """The drafts of one host."""

    def __init__(self) -> None:
        self._drafts: dict[str, Draft] = {}

    def keep(
        self,
        actor: Actor,
        integration_id: str,
        *,
        values: Mapping[str, str],
        secrets_typed: Mapping[str, str],
        cleared: frozenset[str] = frozenset(),
        draft_id: str = "",
    ) -> Draft:
        """Keep what was typed; in place of the draft of an id, if it is this actor's.

        Args:
            actor: Who typed it.
            integration_id: What is edited; empty for a new one.
            values: What is not secret.
            secrets_typed: What is.
            cleared: Stored secrets that are to be forgotten.
            draft_id: The draft that it goes on from.
        """
        before = self.of(actor, draft_id)
        draft = Draft(
            id=before.id if before is not None else secrets.token_urlsafe(16),
            actor_id=actor.id,
            integration_id=integration_id,
            values=dict(values),
            secrets=dict(secrets_typed),
            cleared=cleared,
            kept=datetime.now(UTC),
        )
        self._drafts.pop(draft.id, None)
        self._drafts[draft.id] = draft
        self._make_room()
        return draft

    def of(self, actor: Actor, draft_id: str) -> Draft | None:
        """A draft of this actor's, or None."""
        self._make_room()
        found = self._drafts.get(draft_id)
        return found if found is not None and found.actor_id == actor.id else None

    def drop(self, actor: Actor, draft_id: str) -> None:
        """Forget a draft: it was saved, or given up."""
        if self.of(actor, draft_id) is not None:
            del self._drafts[draft_id]

    def _make_room(self) -> None:
        oldest = datetime.now(UTC) - LIFETIME
        for draft in list(self._drafts.values()):
            if draft.kept < oldest or len(self._drafts) > MOST:
                del self._drafts[draft.id]
