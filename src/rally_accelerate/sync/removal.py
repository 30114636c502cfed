"""What is gone, decided with care; pure.

An item is *missing* when it is held and a complete listing does not show it. It counts as gone only when a second
listing of a later run misses it too. When very many would go at once, the fault is taken to be somewhere else, and none
goes.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: ``removalCap`` unless it is set: both must be exceeded.
CAP_ITEMS = 50
CAP_SHARE = 0.05


class Reason(StrEnum):
    """Why an item is no longer shown."""

    DELETED = "deleted"
    #: It is in another project, or its project was closed or is not to be seen any more.
    MOVED_OUT = "moved out"


@dataclass(frozen=True, slots=True)
class Cap:
    """How many items may go at once: more are only removed when somebody approves."""

    items: int = CAP_ITEMS
    share: float = CAP_SHARE

    def stops(self, going: int, *, held: int) -> bool:
        """Whether so many of the items that are held must not go unasked."""
        return going > self.items and going > self.share * held


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What the listings of one run showed."""

    #: Items that are held and not marked as gone.
    held: AbstractSet[int]
    #: Items that are marked as gone.
    gone: AbstractSet[int]
    #: Which items a complete listing covered; the whole ledger, or the suspects only.
    looked_for: AbstractSet[int]
    #: Which of them it showed.
    seen: AbstractSet[int]
    #: Items that the recycle bin names.
    binned: AbstractSet[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from a sighting."""

    #: Missed for the second time.
    confirmed: frozenset[int]
    #: Missed for the first time, or named by the recycle bin, with the instant; to be looked for again.
    suspected: Mapping[int, datetime]
    #: Marked as gone, and there again.
    returned: frozenset[int]


def decide(sighting: Sighting, suspected: Mapping[int, datetime], *, now: datetime) -> Decision:
    """What is gone, what may be, and what came back.

    Args:
        sighting: What was looked for in this run, and seen.
        suspected: Items missed in an earlier run, with the instant.
        now: The service's clock in this run.
    """
    missed = (sighting.looked_for & sighting.held) - sighting.seen
    # Suspects were missed by another run. Instants do not part two runs: the clock tells whole seconds.
    confirmed = frozenset(missed & suspected.keys())
    rest = {item: suspected.get(item, now) for item in missed - confirmed}
    # The recycle bin's word is a suspicion: an item may have been restored meanwhile.
    rest |= {item: suspected.get(item, now) for item in (sighting.binned & sighting.held) - sighting.looked_for}
    # What was not looked for stays what it was.
    rest |= {item: at for item, at in suspected.items() if item in sighting.held - sighting.looked_for}
    return Decision(
        confirmed=confirmed, suspected=rest, returned=frozenset(sighting.gone & sighting.looked_for & sighting.seen)
    )


def listing_is_due(listed_at: datetime | None, *, now: datetime, every: timedelta) -> bool:
    """Whether everything has to be listed again."""
    return listed_at is None or now - listed_at >= every
