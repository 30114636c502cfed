"""Forms that are being filled in: kept for an hour, so that nothing typed is lost on the way to a preview."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rally_accelerate.host.access import Actor
from rally_accelerate.host.shelf import Shelf

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
