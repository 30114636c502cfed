"""An item's revisions in the order in which they were saved, with what is missing among them; pure.

See rally-api-notes.md#reading-revisions.

Revision numbers rise by one with each save, so they tell the order. Instants do not: nodes of the service write them by
clocks of their own, and saves of one second come with instants that go backwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from rally_accelerate.rally.records import Revision

#: The service's clocks may differ by so much (rally-api-notes.md#snapshots).
CLOCKS = timedelta(seconds=5)

#: From so many items on it shows whether versions and instants of items agree with those of their revisions.
ENOUGH = 20

#: So many items have to confirm a rule for each that breaks it.
NEARLY_ALL = 10


class Save(NamedTuple):
    """One revision in its place."""

    revision: Revision
    #: Milliseconds since 1970; never before those of an earlier save.
    at: int
    #: Which one it is of those that came, from 0 on.
    position: int
    #: Saves of one number follow each other at the same instant: one save that was written as several revisions
    #: (rally-api-notes.md#revision-texts), or several saves within a millisecond.
    group: int


class Saves(NamedTuple):
    """The saves of one item, oldest first."""

    saves: tuple[Save, ...]
    #: Positions behind which revisions are missing; -1 for the beginning.
    missing_behind: frozenset[int]


def in_order(revisions: Sequence[Revision]) -> Saves:
    """Put revisions in order.

    Args:
        revisions: All of one item that came, in any order.
    """
    its = sorted(set(revisions), key=lambda each: (each.number, each.instant))
    if len({each.number for each in its}) < len(its):
        # Rally does not tell the numbers, or tells them wrongly.
        its.sort(key=lambda each: (each.instant, each.number))
    saves: list[Save] = []
    missing: set[int] = set() if its and its[0].number == 0 else {-1}
    at, group = 0, -1
    for position, (before, each) in enumerate(zip((None, *its), its, strict=False)):
        follows = before is not None and each.number == before.number + 1
        if before is None or before.instant != each.instant or not follows:
            group += 1
        if before is not None and not follows:
            missing.add(position - 1)
        at = max(at, round(each.instant.timestamp() * 1000))
        saves.append(Save(each, at, position, group))
    return Saves(tuple(saves), frozenset(missing))


class Newest(Enum):
    """Whether the newest revision that came is the one that made an item what it is now."""

    TOLD = auto()
    #: A later one is missing, or the item was read before the newest one was written.
    OTHER = auto()
    UNSURE = auto()


@dataclass(slots=True)
class Agreement:
    """How often the revisions of one run's items end where the items are."""

    items: int = 0
    others: int = 0
    #: How many items' versions say that their newest revision came, and how many that a later one did not.
    whole: int = 0
    behind: int = 0

    def newest(self, revisions: Sequence[Revision], *, updated_at: datetime, version: int) -> Newest:
        """Judge the newest revision of one item.

        Args:
            revisions: All of the item that came.
            updated_at: When the item was changed last.
            version: Its version; 0 when it is not known.
        """
        if not revisions:
            return Newest.UNSURE
        found = _newest(revisions, updated_at, version)
        self.items += 1
        lacks = version > max(each.number for each in revisions) + 1
        self.whole += version == max(each.number for each in revisions) + 1
        self.behind += bool(version) and lacks
        # Of two revisions of one instant, the later one can be missing. Only the version tells, so it is believed where
        # it agrees with the revisions of nearly all items.
        if found is Newest.TOLD and lacks and self.whole >= max(ENOUGH, NEARLY_ALL * self.behind):
            return Newest.OTHER
        self.others += found is Newest.OTHER
        # It is not documented that every change of an item's instant or version writes a revision
        # (rally-api-notes.md#item-versions).
        # Where they disagree as a rule, a difference says nothing.
        if found is Newest.OTHER and self.items >= ENOUGH and self.others * 2 > self.items:
            return Newest.UNSURE
        return found


def _newest(revisions: Sequence[Revision], updated_at: datetime, version: int) -> Newest:
    latest = max(each.instant for each in revisions)
    if latest == updated_at:
        return Newest.TOLD
    # The version rises with each change, and is 1 after the creation, which is revision 0
    # (rally-api-notes.md#item-versions).
    by_version = max(each.number for each in revisions) + 1 == version
    told = by_version if version else abs(latest - updated_at) <= CLOCKS
    return Newest.TOLD if told else Newest.OTHER
