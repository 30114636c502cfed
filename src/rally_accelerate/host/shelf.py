"""What somebody is in the middle of: kept in memory for a while, and known to its author only.

Secrets that were typed may lie here: they never go back to the browser, nor into the database before they are saved.
"""

import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from rally_accelerate.host.access import Actor

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
