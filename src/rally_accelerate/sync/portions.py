"""Group the items of a walk into requests for their history."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rally_accelerate.rally.records import Record
from rally_accelerate.sync.ports import Source

#: So many items wait at most for others to share a request for history with.
MOST_GATHERED = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Some items of a walk whose history is asked for together."""

    #: ObjectIDs of everything that was read, news or not.
    items: tuple[int, ...]
    fresh: Sequence[Record]
    after: int = 0
    last: bool = False


@dataclass(slots=True)
class Gathered:
    """The items of a walk that wait for a request; pages and requests for history are of different sizes."""

    items: list[int] = field(default_factory=list)
    fresh: list[Record] = field(default_factory=list)
    ended: bool = False

    def add(self, records: Sequence[Record], fresh: Sequence[Record]) -> None:
        """Take a page's records in."""
        self.items.extend(record.object_id for record in records)
        self.fresh.extend(fresh)

    def portion(self, source: Source, *, after: int, last: bool) -> Portion | None:
        """The next portion, or None when more has to be read first.

        Args:
            source: Knows how many fit.
            after: How far the walk has been read.
            last: Whether the walk has been read to its end.
        """
        if self.ended or (not self.items and not last):
            return None
        fits = source.fits(self.fresh) if self.fresh else 0
        if not fits and (last or not self.fresh or len(self.fresh) >= MOST_GATHERED):
            fits = len(self.fresh)
        elif not fits:
            return None
        if fits == len(self.fresh):
            portion = Portion(items=tuple(self.items), fresh=self.fresh, after=after, last=last)
            self.items, self.fresh, self.ended = [], [], last
            return portion
        reached = self.fresh[fits - 1].object_id
        portion = Portion(
            items=tuple(each for each in self.items if each <= reached),
            fresh=self.fresh[:fits],
            after=reached,
            last=False,
        )
        self.items = [each for each in self.items if each > reached]
        self.fresh = self.fresh[fits:]
        return portion
